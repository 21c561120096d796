"""Images in a grid."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from common.plots import style


def image_grid(
    images: np.ndarray, captions: Sequence[str], columns: int, title: str, note: str
) -> Figure:
    """Images in rows of `columns`, each below its caption.

    Args:
        images: uint8 (N, C, H, W) with one or three channels, or float in [0, 1].
        captions: N texts; a final `!` makes a text orange and is not shown.
        columns: images in a row.
        title: title of the figure.
        note: text below the images: data set, recipe, seed.
    """
    rows = math.ceil(len(images) / columns)
    figure = style.figure(title, note, height=rows * (style.WIDTH / columns + 0.35) + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes in panels:
        axes.set_axis_off()
    for axes, image, text in zip(figure.axes, images, captions, strict=False):
        if len(image) == 1:
            axes.imshow(image[0], cmap="gray_r")
        else:
            axes.imshow(image.transpose(1, 2, 0))  # height, width, channels
        colour = style.COLOURS[1] if text.endswith("!") else "black"
        axes.set_title(text.rstrip("!"), fontsize=7.5, pad=2, color=colour)
    return figure
