"""What can go wrong with an archive."""

from helpers.profiles import HelpersError


class ArchiveError(HelpersError):
    """A run cannot be archived, or an archive cannot be read or repeated."""
