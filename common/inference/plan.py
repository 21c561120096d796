"""The plan of the measurements."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VARIANT_IMAGES = (1, 1000)  # images per call of variants; larger calls are not profiled


@dataclass(frozen=True)
class Plan:
    """The plan of the measurements.

    device: `cpu`, `cuda` or `mps`.
    variants: keys of VARIANTS.
    images: numbers of images per call; for variants only VARIANT_IMAGES.
    threads: numbers of threads; for variants only the first.
    calls: number of calls with one image in a round.
    seconds: duration of the calls with more images in a round.
    processes: number of networks profiled in parallel; parallel processes slow each other down.
    traces: a folder for a Perfetto trace of each network; None: no traces.
    """

    device: str
    variants: Sequence[str]
    images: Sequence[int]
    threads: Sequence[int]
    calls: int
    seconds: float
    processes: int = 1
    traces: Path | None = None

    def images_of(self, variant: str) -> list[int]:
        """The numbers of images per call of a variant."""
        return [n for n in self.images if variant == "plain" or n in VARIANT_IMAGES]

    def profiled(self, variant: str) -> list[int]:
        """The numbers of images per call that are profiled: the smallest and the largest."""
        images = self.images_of(variant)
        return sorted({min(images), max(n for n in images if n <= max(VARIANT_IMAGES))})
