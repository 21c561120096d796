"""Prepare the ink of one digit as MNIST was prepared: 28 x 28 pixels.

The page of MNIST, http://yann.lecun.com/exdb/mnist/: the digit's longer side has 20 pixels, with
grey levels from anti-aliasing; the centre of its mass is the centre of the image.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

SIZE, LONG_SIDE = 28, 20  # pixels: the image, and the longer side of the digit
# Index of the centre of mass: the mean over MNIST's training images is 14.0 for rows and columns.
CENTRE = 14
WORK = 100  # longer side in pixels where strokes are measured: 5 for each pixel of the result
# Width of strokes / longer side, as `thickened` measures it on MNIST's training images: the median,
# and a width that three in four exceed. Thinner strokes are thickened.
STROKE, THIN = 0.124, 0.105


def prepare(ink: np.ndarray, *, centre: str = "mass", thicken: bool = True) -> np.ndarray:
    """Prepare one digit as MNIST was prepared: uint8 (28, 28), 0 is paper, 255 is ink.

    Args:
        ink: float (H, W) of any size, 0 is paper, 1 is full ink. Without ink, the result is empty.
        centre: what is at the centre: the centre of `mass`, or the middle of the digit's `box`;
            `corner`: nothing, the digit is in the upper left corner.
        thicken: give thin strokes the width of MNIST's. The line of a pen is about 3 % of a digit's
            height, and MNIST's is 12 %.
    """
    image = np.zeros((SIZE, SIZE), np.uint8)
    ink = cropped(np.asarray(ink, np.float32))
    if not ink.size:
        return image
    ink = resized(ink / ink.max(), WORK)
    if thicken:
        ink = cropped(thickened(ink))
    ink = resized(ink, LONG_SIDE)
    height, width = ink.shape
    middle = {
        "mass": ndimage.center_of_mass(ink),
        "box": (height / 2, width / 2),
        "corner": (CENTRE, CENTRE),
    }
    y, x = (CENTRE - round(place) for place in middle[centre])
    y, x = min(max(y, 0), SIZE - height), min(max(x, 0), SIZE - width)
    image[y : y + height, x : x + width] = (255 * ink / ink.max()).round()
    return image


def cropped(ink: np.ndarray) -> np.ndarray:
    """The rows and columns from the first to the last pixel above 0.1 times the maximum.

    float (H, W) -> float (h, w); (0, 0) if there is no ink.
    """
    if not ink.size or ink.max() <= 0:
        return np.zeros((0, 0), np.float32)
    mask = ink > 0.1 * ink.max()
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def resized(ink: np.ndarray, side: int) -> np.ndarray:
    """Resize with anti-aliasing, so that the longer side has `side` pixels; at least 1 pixel wide.

    float (H, W) -> float32 (h, w) in [0, 1].
    """
    height, width = (max(1, round(length * side / max(ink.shape))) for length in ink.shape)
    small = max(ink.shape) < side
    method = Image.Resampling.LANCZOS if small else Image.Resampling.BOX
    image = Image.fromarray(ink.astype(np.float32)).resize((width, height), method)
    return np.asarray(image).clip(0, 1)


def thickened(ink: np.ndarray) -> np.ndarray:
    """Move the edges of thin strokes outwards, so that they have the width of MNIST's.

    float (H, W) -> float32 (h, w), larger if strokes are thin: the digit grows with its strokes.
    """
    side = max(ink.shape)
    mask = np.pad(ink > 0.5, side // 8)
    if not mask.any():
        return ink
    # The distance to paper grows from 1 at the edge of a stroke to its middle: its mean is a
    # quarter of the width, plus a half.
    width = 4 * ndimage.distance_transform_edt(mask)[mask].mean() - 2
    if width > THIN * side:
        return ink
    # After the edges move by m, the strokes have width + 2 m, and the digit side + 2 m.
    move = (STROKE * side - width) / (2 * (1 - STROKE))
    return np.clip(move + 1 - ndimage.distance_transform_edt(~mask), 0, 1).astype(np.float32)
