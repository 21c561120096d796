"""Built-in images, for a first try without a download and for tests.

Digits in matplotlib's fonts have the size of MNIST's images. Coloured shapes and textures on random
backgrounds have the size of CIFAR-10's. Positions vary: single pixels carry little information.
Accuracies on these images do not answer the lab's questions.
"""

import functools
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

Part = tuple[Tensor, Tensor]  # images uint8 (N, C, H, W), labels int64 (N,)

FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif",
    "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSansMono-BoldOblique", "STIXGeneral",
    "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10",
)  # fmt: skip
GLYPH = 56  # side of a digit's square before distortion, pixels

# The pixels of an object, as functions of x and y (from -1 to 1 in the object), their `radius`,
# and `box`, the larger of |x| and |y|.
PERIOD = 2 * math.pi / 0.62
SHAPES = {
    "disc": lambda x, y, radius, box: radius < 0.85,
    "square": lambda x, y, radius, box: box < 0.8,
    "triangle": lambda x, y, radius, box: (y > -0.6) & (y < 1 - 1.9 * x.abs()),
    "ring": lambda x, y, radius, box: (radius < 0.95) & (radius > 0.5),
    "cross": lambda x, y, radius, box: (torch.minimum(x.abs(), y.abs()) < 0.25) & (box < 0.95),
    "star": lambda x, y, radius, box: radius < 0.65 + 0.35 * (5 * torch.atan2(y, x)).cos(),
    "stripes": lambda x, y, radius, box: ((PERIOD * x).sin() > 0) & (box < 1),
    "checks": lambda x, y, _, box: ((PERIOD * x).sin() * (PERIOD * y).sin() > 0) & (box < 1),
    "dots": lambda x, y, _, box: ((PERIOD * x).sin() + (PERIOD * y).sin() > 0.9) & (box < 1),
    "waves": lambda x, y, _, box: ((PERIOD * x + 2 * (3 * y).sin()).sin() > 0) & (box < 1),
}
OBJECTS = tuple(SHAPES)


@functools.cache
def digits(seed: int = 0, train: int = 12000, test: int = 2000) -> tuple[Part, Part]:
    """Training and test part: grey 28 x 28 digits in ten classes of equal size."""
    return _parts(_digits, seed, train, test)


@functools.cache
def objects(seed: int = 0, train: int = 10000, test: int = 2000) -> tuple[Part, Part]:
    """Training and test part: colour 32 x 32 images of OBJECTS, ten classes of equal size."""
    return _parts(_objects, seed, train, test)


def _parts(images: Callable[..., Tensor], seed: int, train: int, test: int) -> tuple[Part, Part]:
    """`images` turns labels into float images in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)

    def part(count: int) -> Part:
        labels = torch.arange(count) % 10
        return (images(labels, generator) * 255).round().to(torch.uint8), labels

    return part(train), part(test)


@functools.cache
def _glyphs() -> Tensor:
    """Every digit in every font, float32 (fonts, 10, GLYPH, GLYPH) in [0, 1].

    They are blurred, so that a threshold sets the width of the strokes.
    """
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    folder = Path(find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf"
    glyphs = []
    for name in FONTS:
        font = ImageFont.truetype(folder / f"{name}.ttf", size=46)
        for digit in "0123456789":
            image = Image.new("L", (GLYPH, GLYPH))
            left, top, right, bottom = font.getbbox(digit)
            corner = ((GLYPH - left - right) / 2, (GLYPH - top - bottom) / 2)
            ImageDraw.Draw(image).text(corner, digit, fill=255, font=font)
            image = image.filter(ImageFilter.GaussianBlur(1.5))
            glyphs.append(torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8))
    result = torch.stack(glyphs).view(len(FONTS), 10, GLYPH, GLYPH).float()
    return result / result.amax((2, 3), keepdim=True)  # without this, thin strokes would vanish


def _digits(labels: Tensor, generator: torch.Generator) -> Tensor:
    """One glyph per label: shifted, rotated, scaled, thinner or thicker, with noise.

    Returns float32 (N, 1, 28, 28) in [0, 1].
    """
    count = len(labels)
    glyphs = _glyphs()[torch.randint(len(FONTS), (count,), generator=generator), labels]
    angle = _uniform(-0.15, 0.15, (count,), generator)  # radians
    slant = _uniform(-0.15, 0.15, (count,), generator)
    width, height = _uniform(0.85, 1.25, (count, 2), generator).T  # above 1 shrinks
    right, down = _uniform(-0.2, 0.2, (count, 2), generator).T
    cos, sin = angle.cos(), angle.sin()
    x = torch.stack([cos * width, -sin * width + slant, right], 1)
    y = torch.stack([sin * height, cos * height, down], 1)
    grid = F.affine_grid(torch.stack([x, y], 1), [count, 1, 28, 28], align_corners=False)
    ink = F.grid_sample(glyphs.unsqueeze(1), grid, align_corners=False)
    threshold = _uniform(0.25, 0.55, (count, 1, 1, 1), generator)
    strength = _uniform(0.7, 1.0, (count, 1, 1, 1), generator)
    ink = strength * torch.sigmoid((ink - threshold) * 14)
    return (ink + 0.08 * torch.randn(ink.shape, generator=generator)).clamp(0, 1)


def _objects(labels: Tensor, generator: torch.Generator) -> Tensor:
    """One scene per label: its object in one colour on a background of other colours.

    Returns float32 (N, 3, 32, 32) in [0, 1].
    """
    count = len(labels)
    colour = torch.rand(count, 3, 1, 1, generator=generator)
    ground = torch.rand(count, 3, 1, 1, generator=generator)
    # Background: coarse random colours, enlarged, and a bar of a third colour.
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    coarse = F.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
    image = 0.7 * ground + 0.3 * coarse
    x, _ = _coordinates(count, 1.0, generator)
    bar = (x.abs() < 0.15).float().unsqueeze(1)
    image = torch.lerp(image, torch.rand(count, 3, 1, 1, generator=generator), 0.7 * bar)

    x, y = _coordinates(count, 0.2, generator)
    radius, box = (x.square() + y.square()).sqrt(), torch.maximum(x.abs(), y.abs())
    mask = torch.empty(count, 1, 32, 32)
    for label, covers in enumerate(SHAPES.values()):
        own = labels == label
        mask[own, 0] = covers(x[own], y[own], radius[own], box[own]).float()
    # The colour differs from the ground by at least half the range: the object is always visible.
    colour = torch.where((colour - ground).abs().amax(1, True) < 0.5, (ground + 0.5) % 1, colour)
    image = torch.lerp(image, colour, mask)
    return (image + 0.05 * torch.randn(image.shape, generator=generator)).clamp(0, 1)


def _coordinates(count: int, shift: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coordinates x and y of 32 x 32 pixels, randomly shifted, scaled and rotated: (N, 32, 32).

    An object extends from -1 to 1; `shift` is the largest shift.
    """
    line = torch.linspace(-1.5, 1.5, 32)
    y, x = torch.meshgrid(line, line, indexing="ij")
    size = _uniform(0.9, 1.3, (count, 1, 1), generator)
    angle = _uniform(0, 2 * math.pi, (count, 1, 1), generator)
    x = (x - _uniform(-shift, shift, (count, 1, 1), generator)) / size
    y = (y - _uniform(-shift, shift, (count, 1, 1), generator)) / size
    return x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()


def _uniform(low: float, high: float, shape: tuple, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)
