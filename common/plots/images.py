"""Images in a grid: pictures, filters, feature maps."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from common.plots import style

COLUMNS = 8  # feature maps in a row


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


def filters(before: Tensor, after: Tensor, title: str, note: str) -> Figure:
    """The filters of a first layer before training and after it, one below the other.

    Both are weights (maps, channels, height, width). Each filter has its own scale.
    """
    weights = torch.cat([before, after]).detach()
    low, high = weights.amin((1, 2, 3), True), weights.amax((1, 2, 3), True)
    images, count = ((weights - low) / (high - low)).numpy(), len(before)
    captions = [f"map {n}, {when}" for when in ("before", "after") for n in range(1, count + 1)]
    return image_grid(images, captions, count, title, note)


def feature_maps(image: np.ndarray, outputs: Mapping[str, Tensor], title: str, note: str) -> Figure:
    """An image, and what the convolution and pooling layers make of it, a row each.

    Args:
        image: uint8 (C, H, W).
        outputs: of all layers, for this image alone; see `layer_outputs`. The colours of a layer
            have one scale; white is its lowest value.
        title: of the figure.
        note: below the figure.
    """
    rows = [("image", [image[0] if len(image) == 1 else image.transpose(1, 2, 0)], 0, 255)]
    for name, values in outputs.items():
        if values.ndim == 4 and values[0, 0].numel() > 1 and name[0] in "CS":  # not the padding
            maps = values[0].numpy()
            parts = [maps[first : first + COLUMNS] for first in range(0, len(maps), COLUMNS)]
            rows += [
                (name if part is parts[0] else "", part, maps.min(), maps.max()) for part in parts
            ]
    figure = style.figure(title, note, len(rows) * style.WIDTH / COLUMNS + 0.7)
    grid = figure.subplots(len(rows), COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], visible=False)
        axes.spines[:].set_color("0.8")
    for line, (name, maps, low, high) in zip(grid, rows, strict=True):
        line[0].set_ylabel(name)
        for axes, part in zip(line, maps, strict=False):
            axes.set_visible(True)
            axes.imshow(part, cmap="gray_r", vmin=low, vmax=high)
    return figure
