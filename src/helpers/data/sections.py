"""The ``data`` section of a task's YAML: where its texts come from and what their fields mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import pandas as pd
from pydantic import Field, ValidationError

from helpers.data.validation import TYPES, DataError
from helpers.profiles import Strict
from helpers.tasks import Task

TRANSFORMS: dict[str, Callable[[float], float]] = {"log1p": math.log1p}


class FileSection(Strict):
    """A section of a task's YAML that describes a data file.

    Attributes
    ----------
    file : path from the repository root, ``.jsonl`` or ``.csv``.
    id, labels : fields that hold them.
    text : fields joined by line breaks; a name with a trailing ``?`` may be empty.
    extras : further fields that are kept as columns.
    types : field -> string, integer, number or boolean, checked; trailing ``?`` allows empty.
    transform : ``log1p`` turns a count of 0 or more into log(1 + count) (numeric tasks).
    stratify : extra field(s) by which splits are stratified, besides the labels.
    groups : extra field whose values are kept together in group folds.
    show_texts : whether chapters may print the texts.
    """

    file: str
    id: str = "id"
    text: list[str] = Field(min_length=1)
    labels: str
    extras: list[str] = []
    types: dict[str, str] = {}
    transform: str | None = None
    stratify: list[str] | str = []
    groups: str | None = None
    show_texts: bool = False


def file_section(task: Task, source: str = "embedded") -> FileSection:
    """Read and check the section ``data.<source>`` of a task.

    Raises
    ------
    DataError
        If the task has no such section, or the section has an unknown key or value.
    """
    content = task.data.get(source)
    if not isinstance(content, dict) or "file" not in content:
        raise DataError(f"task {task.name} has no data file under data.{source} in its YAML")
    try:
        section = FileSection.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{task.name}.yaml, data.{source}: {error}") from error
    types = {kind.removesuffix("?") for kind in section.types.values()}
    if unknown := types - set(TYPES):
        raise DataError(f"{task.name}.yaml, types: unknown {sorted(unknown)}; use {list(TYPES)}")
    if section.transform not in (None, *TRANSFORMS):
        raise DataError(f"{task.name}.yaml, transform: use {list(TRANSFORMS)} or leave it out")
    if section.groups and section.groups not in section.extras:
        raise DataError(f"{task.name}.yaml, groups: '{section.groups}' must be one of the extras")
    return section


class HubSection(Strict):
    """A section of a task's YAML that describes a data set on the Hugging Face hub.

    Attributes
    ----------
    dataset, revision : name, and the pinned version: a commit id (or its first digits), or a day
        (``2024-12-31``: the last commit up to then).
    rows : expected number of rows per split; another number is an error.
    id, text, labels : columns that hold them.
    between : texts before and after the part of `text` that is kept, where `text` is a formatted
        prompt (which may also hold the answer).
    ignore_labels : labels that are left out; a row that has no others is dropped.
    extras : further columns that are kept.
    show_texts : whether chapters may print the texts.
    """

    dataset: str
    revision: str = Field(min_length=7)
    rows: dict[str, int] = Field(min_length=1)
    id: str
    text: str
    labels: str
    between: tuple[str, str] | None = None
    ignore_labels: list[str] = []
    extras: list[str] = []
    show_texts: bool = False


def hub_section(task: Task) -> HubSection:
    """Read and check the section ``data.hub`` of a task.

    Raises
    ------
    DataError
        If the task has none, or it has an unknown key or value.
    """
    try:
        return HubSection.model_validate(task.data.get("hub", {}))
    except ValidationError as error:
        raise DataError(f"{task.name}.yaml, data.hub: {error}") from error


def design_columns(
    task: Task, key: Literal["stratify", "groups"], frame: pd.DataFrame
) -> list[str]:
    """Return the columns of `frame` that a task's YAML names under `key`, from any source."""
    names: list[str] = []
    for section in task.data.values():
        value = section.get(key) or [] if isinstance(section, dict) else []
        names += [value] if isinstance(value, str) else value
    return [name for name in dict.fromkeys(names) if name in frame.columns]


def texts_allowed(task: Task, source: str) -> bool:
    """Tell whether chapters may print texts of ``data.<source>``: only if the YAML says so."""
    section = task.data.get(source)
    return isinstance(section, dict) and section.get("show_texts") is True
