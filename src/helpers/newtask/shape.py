"""What the files of a new task say about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from helpers.tasks import LabelType


@dataclass(frozen=True)
class Shape:
    """What the files say about a task.

    Attributes
    ----------
    name, description, label : of the task; what the texts and labels are; the column of labels.
    label_type, levels, labels : as in a task; how many labels.
    several : labels of a typical text, rounded up.
    subtopics : the codebook has them.
    titles : every text begins with a line of its own (several text columns).
    words : the labels' names are words, not numbers: a zero-shot encoder can read them.
    keep : further columns, with their types.
    file : name of the user's file, without its folder.
    show_texts : whether chapters may print texts.
    periods : years in which a period begins, where texts have years.
    """

    name: str
    description: str
    label: str
    label_type: LabelType
    levels: list[str]
    labels: int
    several: int
    subtopics: bool
    titles: bool
    words: bool
    keep: dict[str, str]
    file: str
    show_texts: bool
    periods: list[int]


def quoted(text: str) -> str:
    """Write a text as YAML (JSON is YAML)."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def listed(items: Sequence[str]) -> str:
    """Write a list as YAML, on one line."""
    return "[" + ", ".join(items) + "]"
