"""What a finished run leaves: rows for every table, and the weights of seed 0."""

import hashlib
import io
import json
import pickle

import pandas as pd
import torch
from torch import nn

from common import LabError
from common.data.datasets import Dataset
from common.models.design import totals
from common.results.columns import Value
from common.results.files import replacing
from common.results.store import Results
from common.training.evaluation import evaluate
from common.training.loop import Outcome, Run

# Errors from a file with other weights, with a part of the weights, or with other content.
NOT_WEIGHTS = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
)
# Images of a class. Between SSE4, AVX2 and AVX512, scores of saved networks differ by up to 0.0002,
# and no prediction differs; a processor with larger differences may change one.
TOLERANCE = 1
LOSS_WINDOW = 500  # training steps; each row of the loss table is the mean over a window


def rows_of(run: Run, outcome: Outcome) -> dict[str, list[dict[str, Value]]]:
    """The rows of a finished run, without key and fingerprint, for every table."""
    parameters, macs = totals(run.design)
    last, names = vars(outcome.epochs[-1]).copy(), outcome.classes
    del last["seconds"]
    correct, total = outcome.test.correct.tolist(), outcome.test.total.tolist()
    windows = outcome.step_losses.split(LOSS_WINDOW)
    steps = [min(LOSS_WINDOW * n, len(outcome.step_losses)) for n in range(1, len(windows) + 1)]
    trained = {"train_seconds": outcome.train_seconds, "threads": 1, "torch": outcome.torch}
    return {
        "runs": [
            {"parameters": parameters, "macs": macs, "device": outcome.device, **last, **trained}
        ],
        "epochs": [
            {"epoch": number, **vars(epoch)} for number, epoch in enumerate(outcome.epochs, start=1)
        ],
        "classes": [
            {"class": name, "correct": c, "total": t, "accuracy": c / t}
            for name, c, t in zip(names, correct, total, strict=True)
        ],
        "confusion": [
            {"class": name, "predicted": other, "count": outcome.test.confusion[i, j].item()}
            for i, name in enumerate(names)
            for j, other in enumerate(names)
        ],
        "variations": [
            {"variation": name, "test_loss": test.loss, "test_accuracy": test.accuracy}
            for name, test in outcome.variations.items()
        ],
        "loss": [
            {"step": step, "train_loss": window.double().mean().item()}
            for step, window in zip(steps, windows, strict=True)
        ],
    }


def save_weights(run: Run, outcome: Outcome, results: Results) -> None:
    """Write the state dict of a run, and beside it the run's identity and the file's SHA-256."""
    content, path = io.BytesIO(), results.weights_path(run)
    # With a path, torch.save would report a full disk as a RuntimeError.
    torch.save(outcome.weights, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())
    record = record_of(run, results, content.getvalue())
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def record_of(run: Run, results: Results, content: bytes) -> dict[str, Value]:
    """What is written beside the weights of a run, whose file has this content."""
    identity = dict(zip(results.kinds, results.identity(run), strict=True))
    return {**identity, "sha256": hashlib.sha256(content).hexdigest()}


def trained(run: Run, results: Results) -> nn.Module:
    """The trained network of a run, on the CPU.

    Raises:
        LabError: there are no saved weights (only seed 0 has them), or they are of another run.
    """
    path = results.weights_path(run)
    model = run.design.build()
    try:
        content = path.read_bytes()
        if json.loads(path.with_suffix(".json").read_text()) != record_of(run, results, content):
            raise ValueError
        # weights_only: runs no code that the file may contain
        model.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    except FileNotFoundError as error:
        options = f"--seeds 1 --recipe {run.recipe.name} --designs {run.design.name} --fresh"
        command = f"{results.experiment}.py {options}"
        raise LabError(f"no weights of {run} in {path.parent}: {command} trains it") from error
    except NOT_WEIGHTS as error:
        restore = "train them again, or restore both files (git checkout)"
        message = f"{path} or the .json file beside it is not of {run}, or is damaged: {restore}"
        raise LabError(message) from error
    return model


def tested_again(run: Run, results: Results, dataset: Dataset) -> pd.DataFrame:
    """Test the saved network of a run again, and compare with its recorded numbers.

    One row per class and one for all classes ("overall"). Columns: class, images, recorded and
    correct (numbers of images; recorded is NaN if there is no such row), matches.

    Raises:
        LabError: there are no saved weights, or they are of another run.
    """
    test = evaluate(trained(run, results), dataset, dataset.test)
    runs, classes = (results.select([run], table) for table in ("runs", "classes"))
    recorded = classes[classes["seed"] == run.seed].set_index("class")["correct"]
    images, correct = test.total.tolist(), test.correct.tolist()
    accuracy = runs.set_index("seed")["test_accuracy"].get(run.seed, float("nan"))
    recorded["overall"] = round(accuracy * sum(images), 3)
    table = pd.DataFrame({"class": [*dataset.classes, "overall"]})
    table["images"], table["recorded"] = [*images, sum(images)], table["class"].map(recorded)
    table["correct"] = [*correct, sum(correct)]
    table["matches"] = (table["correct"] - table["recorded"]).abs() <= TOLERANCE
    return table
