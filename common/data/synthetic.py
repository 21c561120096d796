"""Built-in images, for a first try without a download and for tests.

Digits in matplotlib's fonts have the size of MNIST's images; coloured objects on random backgrounds
have the size of CIFAR-10's. Positions vary: single pixels carry little information. Accuracies on
these images do not answer the lab's questions.
"""

import functools
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

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
def parts(
    draw: Callable[[Tensor, Generator], Tensor], seed: int = 0, train: int = 10000, test: int = 2000
) -> tuple[Part, Part]:
    """Training and test part, ten classes of equal size. `draw` turns labels into images."""
    random = Generator().manual_seed(seed)
    labels = [torch.arange(count) % 10 for count in (train, test)]
    images = [(draw(part, random) * 255).round().to(torch.uint8) for part in labels]
    return tuple(zip(images, labels, strict=True))


@functools.cache
def glyphs() -> Tensor:
    """Every digit in every font, blurred: float32 (fonts, 10, GLYPH, GLYPH) in [0, 1]."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    folder = Path(find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf"
    images = []
    for name in FONTS:
        font = ImageFont.truetype(folder / f"{name}.ttf", size=46)
        for digit in "0123456789":
            image = Image.new("L", (GLYPH, GLYPH))
            left, top, right, bottom = font.getbbox(digit)
            corner = ((GLYPH - left - right) / 2, (GLYPH - top - bottom) / 2)
            ImageDraw.Draw(image).text(corner, digit, fill=255, font=font)
            image = image.filter(ImageFilter.GaussianBlur(1.5))
            images.append(list(image.tobytes()))
    result = torch.tensor(images, dtype=torch.float32).view(len(FONTS), 10, GLYPH, GLYPH)
    return result / result.amax((2, 3), keepdim=True)  # without this, thin strokes would vanish


def draw_digits(labels: Tensor, random: Generator) -> Tensor:
    """A glyph per label, randomly distorted, with noise: float32 (N, 1, 28, 28) in [0, 1]."""
    count = len(labels)
    chosen = glyphs()[torch.randint(len(FONTS), (count,), generator=random), labels]
    angle = uniform(-0.15, 0.15, (count,), random)  # radians
    slant = uniform(-0.15, 0.15, (count,), random)
    width, height = uniform(0.85, 1.25, (count, 2), random).T  # above 1 shrinks
    right, down = uniform(-0.2, 0.2, (count, 2), random).T
    cos, sin = angle.cos(), angle.sin()
    rows = [cos * width, -sin * width + slant, right, sin * height, cos * height, down]
    maps = torch.stack(rows, 1).view(count, 2, 3)
    grid = F.affine_grid(maps, [count, 1, 28, 28], align_corners=False)
    ink = F.grid_sample(chosen.unsqueeze(1), grid, align_corners=False)
    threshold = uniform(0.25, 0.55, (count, 1, 1, 1), random)  # sets the width of the strokes
    strength = uniform(0.7, 1.0, (count, 1, 1, 1), random)
    ink = strength * torch.sigmoid((ink - threshold) * 14)
    return (ink + 0.08 * torch.randn(ink.shape, generator=random)).clamp(0, 1)


def draw_objects(labels: Tensor, random: Generator) -> Tensor:
    """An object per label on a background of other colours: float32 (N, 3, 32, 32) in [0, 1]."""
    count = len(labels)
    colour, ground = (torch.rand(count, 3, 1, 1, generator=random) for _ in range(2))
    # Background: coarse random colours, enlarged, and a bar of a third colour.
    coarse = torch.rand(count, 3, 5, 5, generator=random)
    coarse = F.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
    x, _ = coordinates(count, 1.0, random)
    bar = 0.7 * (x.abs() < 0.15).unsqueeze(1)
    image = 0.7 * ground + 0.3 * coarse
    image = torch.lerp(image, torch.rand(count, 3, 1, 1, generator=random), bar)

    x, y = coordinates(count, 0.2, random)
    radius, box = (x.square() + y.square()).sqrt(), torch.maximum(x.abs(), y.abs())
    covered = torch.stack([shape(x, y, radius, box) for shape in SHAPES.values()])
    mask = covered[labels, torch.arange(count)].float().unsqueeze(1)
    # The colour differs from the ground by at least half the range: the object is always visible.
    colour = torch.where((colour - ground).abs().amax(1, True) < 0.5, (ground + 0.5) % 1, colour)
    image = torch.lerp(image, colour, mask)
    return (image + 0.05 * torch.randn(image.shape, generator=random)).clamp(0, 1)


def coordinates(count: int, shift: float, random: Generator) -> tuple[Tensor, Tensor]:
    """x and y of pixels, (N, 32, 32): shifted by up to `shift`, scaled and rotated at random."""
    line = torch.linspace(-1.5, 1.5, 32)
    size = uniform(0.9, 1.3, (count, 1, 1), random)
    angle = uniform(0, 2 * math.pi, (count, 1, 1), random)
    x = (line - uniform(-shift, shift, (count, 1, 1), random)) / size
    y = (line[:, None] - uniform(-shift, shift, (count, 1, 1), random)) / size
    return x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()


def uniform(low: float, high: float, shape: tuple, random: Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=random)


digits = functools.partial(parts, draw_digits, train=12000)  # grey, 28 x 28
objects = functools.partial(parts, draw_objects)  # OBJECTS in colour, 32 x 32
