"""Images in a grid."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from common.plots import style


def image_grid(
    images: np.ndarray, captions: Sequence[str], columns: int, title: str, note: str
) -> Figure:
    """Images in rows of `columns`, each below its caption.

    `images` are uint8 (N, C, H, W) with one or three channels, or float in [0, 1]. A final `!`
    makes a caption orange and is not shown.
    """
    height = (style.WIDTH / columns + 0.35, 0.7)
    figure, panels = style.panels(title, note, len(images), columns, height)
    for axes, image, text in zip(panels, images, captions, strict=True):
        axes.set_axis_off()
        # One channel needs a colour map; three channels: height, width, channels.
        axes.imshow(image[0] if len(image) == 1 else image.transpose(1, 2, 0), cmap="gray_r")
        colour = style.COLOURS[1] if text.endswith("!") else "black"
        axes.set_title(text.rstrip("!"), fontsize=7.5, pad=2, color=colour)
    return figure
