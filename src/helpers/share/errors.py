"""The error that all of `helpers.share` raises."""

from helpers.profiles import HelpersError


class ShareError(HelpersError):
    """A model cannot be shared as asked; says why, and what to do."""
