"""Where the runs of a sweep are trained."""

from dataclasses import dataclass
from pathlib import Path

from common.training.loop import Epoch, Outcome

Event = Epoch | Outcome | str | None  # end of an epoch, end of a run, error message, start of a run


@dataclass(frozen=True)
class Engine:
    """The workers that train runs, and their data.

    Args:
        data_dir: the folder of the data sets.
        jobs: the number of worker processes on this machine, each with one thread.
        device: the device of the workers.
        cluster: address or file of a running Dask scheduler, instead of own worker processes.
        shifts: add variations to the data sets, see `load`.
    """

    data_dir: Path
    jobs: int = 1
    device: str = "cpu"
    cluster: str = ""
    shifts: bool = False
