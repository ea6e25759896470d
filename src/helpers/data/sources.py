"""The one door to the texts of a task, whatever source a profile names."""

from __future__ import annotations

from pathlib import Path

from helpers.data.dataverse import load_dataverse
from helpers.data.embedded import load_embedded
from helpers.data.hub import load_hub
from helpers.data.upstream import LOADERS
from helpers.data.validation import DataError, Loaded
from helpers.tasks import Task


def load_texts(
    task: Task, source: str, upstream: Path | None = None, *, offline: bool = False
) -> Loaded:
    """Load the texts of a task from the source of a profile.

    Parameters
    ----------
    source : ``embedded``, ``own`` (`helpers.newtask`), ``upstream``, ``hub``, ``dataverse``, or
        another section of the task's YAML that names a data file.
    upstream : folder of the authors' files; needed for ``upstream``.
    offline : for ``dataverse``: refuse to download; a file that was verified before is read.

    Returns
    -------
    Loaded: frame (id, text, labels, extras; no split), dropped rows, notes.

    Raises
    ------
    DataError
        If the task has no texts from this source, or they are not valid.
    """
    if source == "hub":
        return load_hub(task)
    if source == "dataverse":
        return load_dataverse(task, offline=offline)
    if source != "upstream":
        return load_embedded(task, source)
    name = task.data.get("upstream", {}).get("loader")
    if name not in LOADERS:
        raise DataError(
            f"the authors' repository holds no texts for the task {task.name} (loaders: "
            f"{', '.join(LOADERS)}). Leave it out of the profile's tasks, or use a profile with "
            "embedded or hub data."
        )
    if upstream is None:
        raise DataError("upstream data need the folder of the authors' files")
    return LOADERS[name](task, upstream)
