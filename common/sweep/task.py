"""The task of a Dask worker: train one run."""

import os
import pickle
import threading
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from distributed import get_worker

from common import LabError, one_line
from common.data.mapped import mapped_file, read_mapped
from common.sweep.engine import Engine
from common.training.device import available
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
    engine: Engine


@dataclass(frozen=True)
class Refusal:
    """The address of a worker that does not train a run, and the reason."""

    worker: str
    reason: str


def train_task(number: int, pickled: bytes, fingerprint: str, job: Job) -> Outcome | Refusal | str:
    """Train a run in this worker; returns its outcome, a refusal, or an error message.

    The worker sends the event (number, None) at the start, and (number, values of Epoch) after each
    epoch.

    Args:
        number: the number of the run in its sweep.
        pickled: the Run.
        fingerprint: its fingerprint in the script.
        job: what all tasks of the sweep share.
    """
    worker = get_worker()
    name, task = f"worker {worker.name}", worker.get_current_task()
    for what, version in versions().items():
        if version != job.versions[what]:
            differ = f"{name} has {what} {version}, the script has {job.versions[what]}"
            return Refusal(worker.address, f"{differ}: use the same for both")

    def on_epoch(epoch: Epoch) -> None:
        if worker.state.tasks[task].state != "executing":
            raise LabError("the script has cancelled the run")
        worker.log_event(job.topic, (number, astuple(epoch)))

    with training:
        worker.log_event(job.topic, (number, None))
        torch.set_num_threads(1)
        try:
            run = pickle.loads(pickled)
            if run.fingerprint != fingerprint:
                return Refusal(worker.address, f"{name} has another network or recipe of {run}")
            file = job.files.get(run.dataset)
            if file is None:
                data_dir = os.environ.get("LAB_DATA_DIR") or job.engine.data_dir
                file = mapped_file(run.dataset, Path(data_dir), job.engine.shifts)
            return train(run, read_mapped(file, available(job.engine.device)), on_epoch)
        except LabError as error:
            return f"{name}: {error}"
        except Exception as error:  # any error fails only this run
            return one_line(error)
