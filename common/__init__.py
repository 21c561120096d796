"""What the scripts of the laboratory share."""


class LabError(Exception):
    """A failure that the user can mend; its text is one line: what is wrong and what to do."""
