"""What the scripts of the laboratory share."""


class LabError(Exception):
    """A failure that the user can mend; its text is one line: what is wrong and what to do."""


def in_one_line(error: Exception) -> str:
    """The kind of an error, and the first line of its text."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
