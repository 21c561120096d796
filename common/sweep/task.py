"""The task of a Dask worker: train one run."""

import os
import pickle
import threading
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from distributed import get_worker

from common import LabError
from common.data.mapped import mapped_file, read_mapped
from common.training.device import available, keep_freed_memory
from common.training.fingerprint import versions
from common.training.loop import Epoch, Outcome, train

# Runs use torch's global random numbers: a process trains only one of them at a time.
training = threading.Lock()


@dataclass(frozen=True)
class Job:
    """What all tasks of a sweep share."""

    topic: str  # of the events that workers send
    versions: dict[str, str]  # of the script
    files: dict[str, Path]  # data set -> its mapped file, for workers on the script's machine
    data_dir: Path
    shifts: bool
    device: str


class Refusal(LabError):
    """The worker does not train this run: the reason, and the worker's address."""


def train_task(number: int, pickled: bytes, fingerprint: str, job: Job) -> Outcome:
    """Train the pickled Run, which has this number in its sweep and this fingerprint in the script.

    Sends the event (number, None) at the start, and (number, values of Epoch) after each epoch.

    Raises:
        LabError: the data or the device is not here; Refusal: this worker has other versions.
    """
    worker = get_worker()
    name, task = f"worker {worker.name}", worker.get_current_task()
    for what, version in versions().items():
        if version != job.versions[what]:
            reason = f"{name} has {what} {version}, the script has {job.versions[what]}"
            raise Refusal(f"{reason}: use the same for both", worker.address)

    def on_epoch(epoch: Epoch) -> None:
        if worker.state.tasks[task].state != "executing":
            raise LabError("the script has cancelled the run")
        worker.log_event(job.topic, (number, astuple(epoch)))

    with training:
        worker.log_event(job.topic, (number, None))
        torch.set_num_threads(1)
        keep_freed_memory()
        run = pickle.loads(pickled)
        if run.fingerprint != fingerprint:
            raise Refusal(f"{name} has another network or recipe of {run}", worker.address)
        try:
            file = job.files.get(run.dataset)
            if file is None or not file.exists():
                data_dir = Path(os.environ.get("LAB_DATA_DIR", job.data_dir))
                file = mapped_file(run.dataset, data_dir, job.shifts)
            dataset = read_mapped(file, available(job.device))
        except LabError as error:
            raise LabError(f"{name}: {error}") from None
        return train(run, dataset, on_epoch)
