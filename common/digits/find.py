"""Find the digits on a photograph or scan of a page."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from common import LabError, one_line

WORK = 1600  # pixels of a page's longer side; larger images are reduced
MANY = 500  # more parts than this are noise


class Found(NamedTuple):
    """A digit on a page."""

    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the upright image
    ink: np.ndarray  # float32 (h, w), 0 is paper, 1 is ink; the page may be reduced


def find(path: Path) -> tuple[np.ndarray, float, list[Found]]:
    """The page and its scale, as `read` gives them, and its digits in reading order.

    Raises:
        LabError: the image cannot be read, or there are no digits on it.
    """
    page, scale = read(path)
    ink = without_lines(inked(page))
    labels, digits = joined(ink > 0.5)
    if not digits:
        raise LabError(f"{path}: no digits on this page: only paper, or too much noise")
    found = []
    for number in reading_order(np.array([box for _, box in digits])):
        parts, (top, left, bottom, right) = digits[number]
        x, y, x_end, y_end = (round(edge / scale) for edge in (left, top, right, bottom))
        area = np.s_[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2]
        own = ndimage.binary_dilation(np.isin(labels[area], parts), iterations=2)
        found.append(Found((x, y, x_end - x, y_end - y), ink[area] * own))
    return page, scale, found


def read(path: Path) -> tuple[np.ndarray, float]:
    """Read an image: grey and upright, float32 (H, W) in [0, 1], and its scale, at most 1.

    An image with a side above WORK pixels is reduced. Transparent pixels are white.

    Raises:
        LabError: there is no such file, or it is no image that Pillow can read.
    """
    if not path.is_file():
        raise LabError(
            f"{path} is {'a folder: name the images in it' if path.is_dir() else 'no file'}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # an error above 179 M
            image = Image.open(path)
        with image:
            longer = max(image.size)
            image.draft("L", (WORK, WORK))  # a JPEG is decoded at a reduced size: faster
            image = ImageOps.exif_transpose(image)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            white = 0 if image.mode[0] in "IF" else 255  # 16 or 32 bits: the brightest pixel
            image = image.convert("L" if white else "F")
            image.thumbnail((WORK, WORK), Image.Resampling.BOX)
    except Exception as error:  # decoders raise errors of many types for a damaged file
        raise LabError(f"{path}: no image that can be read ({one_line(error)})") from error
    grey = np.nan_to_num(np.asarray(image, np.float32))
    return grey / (white or max(grey.max(), 1)), max(image.size) / longer


def inked(page: np.ndarray) -> np.ndarray:
    """How much ink covers each pixel, float32 (H, W) in [0, 1]; the ink may be dark or light.

    The paper's brightness is the median of a large neighbourhood: it changes with the light.
    """
    page = ndimage.gaussian_filter(page, max(page.shape) / 2000)  # less noise
    step = max(1, max(page.shape) // 100)
    small = Image.fromarray(page).reduce(step)
    paper = ndimage.median_filter(np.asarray(small), 21, mode="nearest")
    paper = ndimage.gaussian_filter(paper, 5, mode="nearest")
    paper = np.asarray(Image.fromarray(paper).resize(page.shape[::-1]))
    inner = tuple(slice(side // 8, side - side // 8) for side in page.shape)  # without a table
    if ((page - paper)[inner] ** 3).sum() > 0:  # the pixels that differ most are light
        page, paper = 1 - page, 1 - paper
    ink = (paper - page) / np.maximum(paper, 0.05)
    noise = 1.5 * np.median(np.abs(ink - ndimage.uniform_filter(ink, 3 * step)))  # deviation
    strokes = ink[ink > max(5 * noise, 0.08)]
    full = 0.7 * np.percentile(strokes, 90) if strokes.size else 1
    return np.clip(ink / max(full, 10 * noise), 0, 1)


def without_lines(ink: np.ndarray) -> np.ndarray:
    """Remove ruled lines, horizontal and vertical, tilted by up to 12 degrees: float32 (H, W)."""
    ink = ink.copy()
    slopes = np.tan(np.radians(np.arange(-12, 12.1, 0.2)))
    for turned in (ink, ink.T):
        width = max(turned.shape[1] // 3, 1)
        for start in range(0, turned.shape[1], width):  # a photographed line may be curved
            part = turned[:, start : start + width]
            mask = part > 0.25
            y, x = mask.nonzero()
            # Seen along the lines, the ink is in few places.
            levels = [(y + x * slope + width).round().astype(int) for slope in slopes]
            level = max(levels, key=lambda level: (np.bincount(level) ** 2).sum())
            full = np.bincount(level, minlength=1) > 0.8 * width
            thickness = 2 * full.sum() / max(1, np.diff(full, prepend=False).sum())
            if 0 < thickness < 0.006 * max(ink.shape):
                on_line = ndimage.binary_dilation(full)[level]
                mask[y[on_line], x[on_line]] = False
                # Strokes go on at the other side of a line.
                mask = ndimage.grey_closing(mask.astype(np.uint8), int(thickness) + 5)
                part[y, x] *= mask[y, x]
    return ink


def joined(mask: np.ndarray) -> tuple[np.ndarray, list[tuple[list[int], np.ndarray]]]:
    """Label the connected parts of a mask, bool (H, W), and join the parts of each digit.

    Returns labels, int32 (H, W), and for each digit the labels of its parts, and its box (top,
    left, bottom, right). A fragment, like the bar of a 5, joins the nearest digit. No specks.
    """
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    boxes = [(r.start, c.start, r.stop, c.stop) for r, c in ndimage.find_objects(labels)]
    boxes = np.array(boxes).reshape(-1, 4)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    table = np.bincount(border, minlength=len(boxes) + 1)[1:] > 0.15 * len(border)
    boxes[table & ~table.all()] = 0  # along the border: not ink on paper, but the table below it
    heights, widths = (boxes[:, 2:] - boxes[:, :2]).T
    large = heights[heights >= max(6, 0.012 * max(mask.shape))]
    if not 0 < large.size <= MANY:
        return labels, []
    typical = np.median(np.repeat(large, large))  # of most of the ink
    digits: list[tuple[list[int], np.ndarray]] = []
    for number in np.argsort(-heights):
        box = boxes[number]
        gaps = [max(*(box[:2] - b[2:]), *(b[:2] - box[2:])) for _, b in digits]
        near = min(gaps, default=np.inf) < 0.15 * typical
        if near and heights[number] < 0.6 * typical:
            if max(heights[number], widths[number]) > 0.15 * typical:
                parts, whole = digits[int(np.argmin(gaps))]
                parts.append(number + 1)
                whole[:] = [*np.minimum(whole, box)[:2], *np.maximum(whole, box)[2:]]
        elif heights[number] >= max(0.4 * typical, 0.4 * widths[number]):  # no digit is so wide
            digits.append(([number + 1], box))
    return labels, digits


def reading_order(boxes: np.ndarray) -> np.ndarray:
    """Row by row, from left to right: boxes (top, left, bottom, right), int (N, 4), to indices.

    The page may be tilted: at the slope of the rows, the digits cover the least height.
    """
    y, x = (boxes[:, :2] + boxes[:, 2:]).T / 2
    half = np.median(boxes[:, 2] - boxes[:, 0]) / 2
    slopes = sorted(np.tan(np.radians(np.arange(-15, 15.1, 0.5))), key=abs)
    slope = min(slopes, key=lambda s: np.minimum(np.diff(np.sort(y - s * x)), half).sum().round(6))
    level = y - slope * x
    order = np.argsort(level)
    row = np.cumsum(np.diff(level[order], prepend=-np.inf) > half)
    return order[np.lexsort(((x + slope * y)[order], row))]
