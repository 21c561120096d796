"""The columns of the result files, and the type of each."""

Value = str | int | float
Kinds = dict[str, type]  # columns in order, each with its type: str, int or float

RECIPE_KEY = ("recipe", "epochs", "batch_size", "lr", "momentum")
RECIPE_KINDS: Kinds = {
    "recipe": str,
    "epochs": int,
    "batch_size": int,
    "lr": float,
    "momentum": float,
}
FINGERPRINT = "fingerprint"

# The tables of runs, and their columns after key and fingerprint. The file of "runs" has no suffix.
# Every experiment has runs, epochs and classes; the other tables are optional.
TABLES: dict[str, Kinds] = {
    "runs": {
        "parameters": int,
        "macs": int,
        "train_loss": float,
        "train_accuracy": float,
        "test_loss": float,
        "test_accuracy": float,
        "train_seconds": float,
        "threads": int,
        "device": str,
        "torch": str,
    },
    "epochs": {
        "epoch": int,
        "train_loss": float,
        "train_accuracy": float,
        "test_loss": float,
        "test_accuracy": float,
        "seconds": float,
    },
    "classes": {"class": str, "correct": int, "total": int, "accuracy": float},
    "confusion": {"class": str, "predicted": str, "count": int},
    "loss": {"step": int, "train_loss": float},
    "variations": {"variation": str, "test_loss": float, "test_accuracy": float},
}
# The columns that identify a row within its run.
ROW_NAMES = {
    "runs": (),
    "epochs": ("epoch",),
    "classes": ("class",),
    "confusion": ("class", "predicted"),
    "loss": ("step",),
    "variations": ("variation",),
}


def write_cell(column: str, value: Value) -> str:
    """A value as text: measurements with six significant digits, options with all digits."""
    measured = not isinstance(value, str | int) and column not in RECIPE_KEY
    return f"{value:.6g}" if measured else str(value)
