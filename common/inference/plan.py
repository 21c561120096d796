"""What is measured, and how thoroughly."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VARIANT_IMAGES = (1, 1000)  # images a call of the variants; more are not profiled


@dataclass(frozen=True)
class Plan:
    """What is measured.

    device: where.
    variants: keys of VARIANTS.
    images: numbers of images a call; the variants have those of VARIANT_IMAGES.
    threads: numbers of threads; the variants have the first.
    calls: calls with one image in a round.
    seconds: how long calls with more images are repeated in a round.
    processes: networks that are profiled at once; more than one slow each other down.
    traces: a folder for a trace of each network, for Perfetto; None: no traces.
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
        """The numbers of images a call of a variant."""
        return [n for n in self.images if variant == "plain" or n in VARIANT_IMAGES]

    def profiled(self, variant: str) -> list[int]:
        """The smallest and the largest of them that are profiled."""
        images = self.images_of(variant)
        return sorted({min(images), max(n for n in images if n <= max(VARIANT_IMAGES))})
