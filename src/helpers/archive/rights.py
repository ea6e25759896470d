"""What may be deposited: which texts are the user's to share, and what is left out instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from helpers.profiles import Profile

# Folders of a run that hold texts, or something about each single text.
BY_TEXT = frozenset(
    [
        "data",
        "responses",
        "predictions",
        "labelling",
        "verification",
        "decisions",
        "estimates",
        "study",
        "parts",
    ]
)
WHY = {
    "upstream": "texts of the authors' archive, by real people: not to be passed on from here",
    "hub": "texts from a hub data set, whose page states the terms",
    "dataverse": "texts from a Dataverse deposit, whose page states the terms",
    "own": "your own texts: left out unless --include-own is given",
}


@dataclass(frozen=True)
class Rights:
    """Tasks whose texts must not be in the archive: task -> source of its texts."""

    restricted: dict[str, str]

    def excludes(self, path: str) -> bool:
        """Whether a file of the run (path below its folder) is left out by rule."""
        parts = PurePosixPath(path).parts
        inner = {*parts[1:-1], PurePosixPath(parts[-1]).stem}
        return parts[0] in BY_TEXT and bool(inner & self.restricted.keys())

    def reasons(self) -> dict[str, str]:
        """Return task -> why its texts, answers and predictions are left out."""
        return {task: WHY.get(source, source) for task, source in self.restricted.items()}


def rights_of(profile: Profile, include_own: bool = False) -> Rights:
    """Return which tasks of a profile have texts that may not be deposited."""
    free = {"embedded", "own"} if include_own else {"embedded"}
    sources = {task: profile.source(task) for task in [*profile.tasks, *profile.describe_only]}
    return Rights({task: str(source) for task, source in sources.items() if source not in free})
