"""The built-in images: for a first try without a download, and for tests.

Digits from the fonts that matplotlib ships, and coloured shapes and textures on clutter, drawn
from a seed in under three seconds. They resemble MNIST and CIFAR-10 in size and in what a network
needs for them (both move about, so that single pixels tell little), not in difficulty: numbers
from them answer none of the lab's questions.
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

OBJECTS = (
    *("disc", "square", "triangle", "ring", "cross"),
    *("star", "stripes", "checks", "dots", "waves"),
)

Part = tuple[Tensor, Tensor]  # images uint8 (N, C, H, W), labels int64 (N,)

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSansMono-BoldOblique"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10"),
)
GLYPH = 56  # side of the square that a digit is first drawn in, pixels


def digits(seed: int = 0, train: int = 12000, test: int = 2000) -> tuple[Part, Part]:
    """Training and test part: grey 28 x 28 digits, the ten classes in equal numbers."""
    generator = torch.Generator().manual_seed(seed)
    glyphs = _glyphs()  # (fonts, 10, GLYPH, GLYPH)

    def part(count: int) -> Part:
        labels = torch.arange(count) % 10
        fonts = torch.randint(len(FONTS), (count,), generator=generator)
        images = _distorted(glyphs[fonts, labels].unsqueeze(1), generator)
        return (images * 255).round().to(torch.uint8), labels

    return part(train), part(test)


def _glyphs() -> Tensor:
    """Every digit in every font, blurred so that a threshold sets its stroke weight.

    Returns float32 (fonts, 10, GLYPH, GLYPH) in [0, 1].
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    drawn = []
    for name in FONTS:
        font = ImageFont.truetype(folder / f"{name}.ttf", size=46)
        for digit in "0123456789":
            image = Image.new("L", (GLYPH, GLYPH))
            left, top, right, bottom = font.getbbox(digit)
            corner = ((GLYPH - left - right) / 2, (GLYPH - top - bottom) / 2)
            ImageDraw.Draw(image).text(corner, digit, fill=255, font=font)
            image = image.filter(ImageFilter.GaussianBlur(1.5))
            drawn.append(torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8))
    glyphs = torch.stack(drawn).view(len(FONTS), 10, GLYPH, GLYPH).float()
    return glyphs / glyphs.amax((2, 3), keepdim=True)  # else thin strokes would vanish


def _distorted(glyphs: Tensor, generator: torch.Generator) -> Tensor:
    """Glyphs (N, 1, GLYPH, GLYPH) shifted, turned, scaled, thinned or thickened, with noise.

    Returns float32 (N, 1, 28, 28) in [0, 1].
    """
    count = len(glyphs)
    angle = _uniform(-0.15, 0.15, count, generator)  # radians
    slant = _uniform(-0.15, 0.15, count, generator)
    size = _uniform(0.85, 1.25, (count, 2), generator)  # above 1 shrinks
    shift = _uniform(-0.2, 0.2, (count, 2), generator)
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack(
        [
            torch.stack([cos * size[:, 0], -sin * size[:, 0] + slant, shift[:, 0]], 1),
            torch.stack([sin * size[:, 1], cos * size[:, 1], shift[:, 1]], 1),
        ],
        dim=1,
    )  # (N, 2, 3)
    grid = F.affine_grid(matrix, [count, 1, 28, 28], align_corners=False)
    ink = F.grid_sample(glyphs, grid, align_corners=False)
    threshold = _uniform(0.25, 0.55, (count, 1, 1, 1), generator)
    strength = _uniform(0.7, 1.0, (count, 1, 1, 1), generator)
    ink = strength * torch.sigmoid((ink - threshold) * 14)
    noise = 0.08 * torch.randn(ink.shape, generator=generator)
    return (ink + noise).clamp(0, 1)


def objects(seed: int = 0, train: int = 10000, test: int = 2000) -> tuple[Part, Part]:
    """Training and test part: colour 32 x 32 images of OBJECTS, the ten in equal numbers."""
    generator = torch.Generator().manual_seed(seed)

    def part(count: int) -> Part:
        labels = torch.arange(count) % 10
        return (_scenes(labels, generator) * 255).round().to(torch.uint8), labels

    return part(train), part(test)


def _scenes(labels: Tensor, generator: torch.Generator) -> Tensor:
    """One scene a label: its object in one colour on clutter of others.

    Returns float32 (N, 3, 32, 32) in [0, 1].
    """
    count = len(labels)
    colour = torch.rand(count, 3, 1, 1, generator=generator)
    ground = torch.rand(count, 3, 1, 1, generator=generator)
    # Clutter: coarse random colour, enlarged, and a bar of a third colour behind the object.
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    coarse = F.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
    image = 0.7 * ground + 0.3 * coarse
    x, y = _coordinates(count, 1.0, generator)
    bar = (x.abs() < 0.15).float().unsqueeze(1)
    image = torch.lerp(image, torch.rand(count, 3, 1, 1, generator=generator), 0.7 * bar)

    x, y = _coordinates(count, 0.2, generator)
    mask = torch.empty(count, 1, 32, 32)
    for label, covers in enumerate(_shapes()):
        mine = labels == label
        mask[mine, 0] = covers(x[mine], y[mine]).float()
    # At least as far from the ground as half the range, or the object could be invisible.
    colour = torch.where((colour - ground).abs().amax(1, True) < 0.5, (ground + 0.5) % 1, colour)
    image = torch.lerp(image, colour, mask)
    image = image + 0.05 * torch.randn(image.shape, generator=generator)
    return image.clamp(0, 1)


def _coordinates(count: int, shift: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coordinates of 32 x 32 pixels, moved, scaled and turned at random: two (N, 32, 32).

    The square from -1 to 1 is where a shape stands; `shift` is the most that it moves by.
    """
    line = torch.linspace(-1.5, 1.5, 32)
    y, x = torch.meshgrid(line, line, indexing="ij")
    size = _uniform(0.9, 1.3, (count, 1, 1), generator)
    angle = _uniform(0, 2 * math.pi, (count, 1, 1), generator)
    x = (x - _uniform(-shift, shift, (count, 1, 1), generator)) / size
    y = (y - _uniform(-shift, shift, (count, 1, 1), generator)) / size
    return x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()


def _shapes() -> tuple:
    """For each of OBJECTS, a function of x, y that tells the pixels that it covers."""
    period = 2 * math.pi / 0.62

    def radius(x: Tensor, y: Tensor) -> Tensor:
        return (x.square() + y.square()).sqrt()

    def box(x: Tensor, y: Tensor) -> Tensor:
        return torch.maximum(x.abs(), y.abs())

    return (
        lambda x, y: radius(x, y) < 0.85,
        lambda x, y: box(x, y) < 0.8,
        lambda x, y: (y > -0.6) & (y < 1 - 1.9 * x.abs()),
        lambda x, y: (radius(x, y) < 0.95) & (radius(x, y) > 0.5),
        lambda x, y: (torch.minimum(x.abs(), y.abs()) < 0.25) & (box(x, y) < 0.95),
        lambda x, y: radius(x, y) < 0.65 + 0.35 * (5 * torch.atan2(y, x)).cos(),
        lambda x, y: ((period * x).sin() > 0) & (box(x, y) < 1),
        lambda x, y: ((period * x).sin() * (period * y).sin() > 0) & (box(x, y) < 1),
        lambda x, y: ((period * x).sin() + (period * y).sin() > 0.9) & (box(x, y) < 1),
        lambda x, y: ((period * x + 2 * (3 * y).sin()).sin() > 0) & (box(x, y) < 1),
    )


def _uniform(low: float, high: float, shape: int | tuple, generator: torch.Generator) -> Tensor:
    shape = (shape,) if isinstance(shape, int) else shape
    return low + (high - low) * torch.rand(shape, generator=generator)
