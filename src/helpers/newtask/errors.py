"""The error of this package."""

from helpers.profiles import HelpersError


class NewTaskError(HelpersError):
    """A file cannot be made a task as it is; the message names file, row and remedy.

    Attributes
    ----------
    report : what was found until then, for the user to read before the message.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report
