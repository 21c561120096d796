"""Code that the scripts of the laboratory share."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Scripts draw to files. A notebook may have set a backend that works only in the notebook.
os.environ["MPLBACKEND"] = "Agg"


class LabError(Exception):
    """An error that the user can fix. Its message is one line: the problem and what to do."""


class UsageError(LabError):
    """A wrong command line: exit status 2."""


def one_line(error: Exception) -> str:
    """The first line of an error's message; for an error of others, after its type."""
    if isinstance(error, LabError):
        return str(error)
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
