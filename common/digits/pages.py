"""Pages of handwritten digits, composed from MNIST: pencil on paper, photographed with a phone.

Light and paper vary: shadow, vignette, noise, ruled lines, rotation, size, width of the strokes.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from common.digits.prepare import cropped, resized

NEIGHBOURS = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]  # clockwise


class Page(NamedTuple):
    """A page with the labels of its digits in reading order, and their boxes."""

    image: np.ndarray  # uint8 (H, W)
    labels: np.ndarray  # int64 (N,)
    boxes: np.ndarray  # int64 (N, 4): x, y, width, height in pixels


def compose(digits: np.ndarray, labels: np.ndarray, seed: int) -> Page:
    """Write up to 30 digits on a page: uint8 (N, 28, 28), 255 is ink, and int64 (N,).

    The page has 1 to 12 megapixels. The same seed gives the same page.
    """
    random = np.random.default_rng(seed)
    uniform = random.uniform
    long = np.sqrt(4 / 3 * 1e6 * 12 ** uniform(0, 1))
    height, width = (int(side) for side in random.permutation([long, long * 3 / 4]))
    columns = int(np.ceil(np.sqrt(len(digits) * width / height)))
    rows = int(np.ceil(len(digits) / columns))
    cell = int(min(0.7 * width / columns, 0.7 * height / rows, 0.25 * long))
    angle = np.radians(uniform(-10, 10))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # of (y, x)

    # How much of the light each pixel absorbs: first the ruled lines, in turned coordinates.
    y, x = np.ogrid[:height, :width]
    ink = np.zeros((height, width), np.float32)
    if random.random() < 0.5:
        across = turn[0, 0] * y + turn[1, 0] * x
        spacing, thickness = cell * uniform(0.4, 1.2), 0.0015 * long * uniform(0.5, 1.5)
        line = np.clip(thickness - np.abs((across + 1e5) % spacing - spacing / 2) + 0.5, 0, 1)
        ink = uniform(0.1, 0.4) * line.astype(np.float32)
    boxes = []
    for number, digit in enumerate(digits):
        place = np.array(divmod(number, columns)) - (rows / 2 - 0.5, columns / 2 - 0.5)
        place += uniform(-0.08, 0.08, 2)
        middle = turn @ (place * cell) + np.array([height, width]) / 2
        line = pen_line(digit, cell * uniform(0.45, 0.7), uniform(0.03, 0.15), np.degrees(angle))
        top, left = (middle - np.array(line.shape) / 2).astype(int)
        part = ink[top : top + line.shape[0], left : left + line.shape[1]]
        np.maximum(part, uniform(0.5, 0.9) * line, out=part)
        boxes.append((left, top, *line.shape[::-1]))
    ink = ndimage.gaussian_filter(ink, 0.0004 * long)  # the lens
    # Light: a vignette, the soft edge of a shadow, and the noise of the camera.
    corner = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) * 2  # 1 in the corners
    edge = (y / height - uniform()) * uniform(-1, 1) + (x / width - uniform()) * uniform(-1, 1)
    shadow = uniform(0, 0.5) / (1 + np.exp(-edge * uniform(5, 40)))
    light = uniform(0.6, 0.95) * (1 - uniform(0, 0.4) * corner) * (1 - shadow)
    noise = random.normal(0, uniform(0.005, 0.04), ink.shape)
    image = (255 * (light * (1 - ink) + noise)).clip(0, 255).astype(np.uint8)
    return Page(image, np.asarray(labels), np.array(boxes))


def pen_line(digit: np.ndarray, height: float, width: float, degrees: float) -> np.ndarray:
    """A digit drawn with a pen: float32 (h, w) in [0, 1].

    Args:
        digit: uint8 (28, 28).
        height: the longer side before the rotation, pixels.
        width: of the line, a fraction of `height`.
        degrees: the rotation, counterclockwise.
    """
    ink = resized(cropped(digit / 255), 112)
    distance = ndimage.distance_transform_edt(~thinned(np.pad(ink, 24) > 0.5)) / 112
    distance = ndimage.gaussian_filter(distance, 1.5)
    image = Image.fromarray(distance.astype(np.float32))
    image = image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=1.0)
    size = [round(side * height / 112) for side in image.size]
    distance = height * np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    return cropped(np.clip(width * height / 2 - distance + 0.5, 0, 1))


def thinned(mask: np.ndarray) -> np.ndarray:
    """Lines of one pixel in the middle of the strokes: bool (H, W), with an empty border, to same.

    Zhang, Suen, A fast parallel algorithm for thinning digital patterns, 1984.
    """
    mask, before = mask.copy(), None
    while before is None or (mask != before).any():
        before = mask.copy()
        for first, second in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            near = np.array([np.roll(mask, (-y, -x), (0, 1)) for y, x in NEIGHBOURS])
            count = near.sum(0)
            starts = (~near & np.roll(near, -1, 0)).sum(0)  # of strokes around the pixel
            edge = ~near[list(first)].all(0) & ~near[list(second)].all(0)
            mask &= ~((count >= 2) & (count <= 6) & (starts == 1) & edge)
    return mask
