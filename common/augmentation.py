"""Training images varied at random, a whole block of tensors at once.

Every function takes uint8 images (N, C, H, W) and random numbers, returns images of the same shape
and type, and leaves its argument as it was.
"""

import torch
from torch import Tensor


def flip_and_shift(images: Tensor, random: torch.Generator, pixels: int = 2) -> Tensor:
    """Every second image mirrored, and each shifted by up to `pixels` in both directions.

    What a shift uncovers is the reflection of what lies beside it. Both are a choice of rows and
    columns, so one gathering does them: 2 ms for 1,024 CIFAR-10 images, whose training takes 100.
    """
    count, channels, height, width = images.shape
    down, right = torch.randint(-pixels, pixels + 1, (2, count, 1), generator=random)
    rows = reflected(torch.arange(height) + down, height)  # (N, H)
    columns = reflected(torch.arange(width) + right, width)  # (N, W)
    mirrored = torch.rand(count, 1, generator=random) < 0.5
    columns = torch.where(mirrored, width - 1 - columns, columns)
    pixel = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, -1).to(images.device)
    return images.flatten(2).gather(2, pixel.expand(-1, channels, -1)).view_as(images)


def reflected(index: Tensor, size: int) -> Tensor:
    """Indices up to `size` - 1 beyond either end, as in a mirror that stands on the last pixel."""
    last = size - 1
    return last - (last - index.abs()).abs()
