"""What the scripts of the laboratory share."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Scripts draw to files. A notebook names a backend here that does not exist outside it.
os.environ["MPLBACKEND"] = "Agg"


class LabError(Exception):
    """A failure that the user can mend; its text is one line: what is wrong and what to do."""


class UsageError(LabError):
    """The command line is wrong: the exit status is 2."""


def one_line(error: Exception) -> str:
    """The kind of an error, and the first line of its text."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
