"""What a finished run leaves: rows for every table, and the weights of seed 0."""

import io
import pickle

import torch
from torch import nn

from common import LabError
from common.models.design import totals
from common.results.columns import Value
from common.results.files import replacing
from common.results.store import Results
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
    """Write the state dict of a run, with its identity."""
    content = io.BytesIO()
    # With a path, torch.save would report a full disk as a RuntimeError.
    torch.save({"run": list(results.identity(run)), "weights": outcome.weights}, content)
    with replacing(results.weights_path(run)) as temporary:
        temporary.write_bytes(content.getvalue())


def trained(run: Run, results: Results) -> nn.Module:
    """The trained network of a run, on the CPU.

    Raises:
        LabError: there are no saved weights (only seed 0 has them), or they are of another run.
    """
    path = results.weights_path(run)
    model = run.design.build()
    try:
        saved = torch.load(path, weights_only=True)  # runs no code that the file may contain
        if saved["run"] != list(results.identity(run)):
            raise ValueError
        model.load_state_dict(saved["weights"])
    except FileNotFoundError as error:
        raise LabError(f"no weights of {run} in {path.parent}: --fresh trains them") from error
    except NOT_WEIGHTS as error:
        raise LabError(f"{path} has no weights of {run}: delete it") from error
    return model
