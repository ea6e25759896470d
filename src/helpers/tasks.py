"""Tasks: a codebook, a label type, a prompt and a completion format, read from YAML.

A task knows how labels are written, checked, put into a matrix and read back from a model's
answer. It does not know any model. Adding one means adding ``config/tasks/<name>.yaml``, a
codebook CSV and a data file; no code.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from helpers.profiles import REPO, HelpersError, Strict

TASKS = REPO / "config" / "tasks"
NONE = "none"

LabelType = Literal["single", "multi", "multi_intensity", "numeric"]
Labels = str | list[str] | dict[str, str] | float


class TaskError(HelpersError):
    """A task file is wrong, or labels do not fit the task's codebook."""


class Prompt(NamedTuple):
    """A prompt in three parts; only `text` may be cut to fit a model's context."""

    head: str
    text: str
    tail: str

    def __str__(self) -> str:
        return self.head + self.text + self.tail


class Parsed(NamedTuple):
    """What an answer says: ``ok`` with labels, or ``off_list`` / ``unparsed`` without."""

    status: Literal["ok", "off_list", "unparsed"]
    labels: Labels | None


class CodebookFile(Strict):
    """Where the labels stand: a CSV, and the columns that hold them.

    `key` names the label, `name` its readable name, `code` the number that a model answers with;
    `sub_key` and `sub_name` name finer categories, where a codebook has them.
    """

    file: str
    key: str
    name: str
    code: str
    group: str | None = None
    sub_key: str | None = None
    sub_name: str | None = None


class PromptParts(Strict):
    """What stands before and after the text. ``{codebook}`` is replaced by the list of labels."""

    head: str
    tail: str


class TaskFile(Strict):
    """The content of ``config/tasks/<name>.yaml``."""

    name: str
    title: str
    question: str
    label_type: LabelType
    codebook: CodebookFile | None = None
    levels: list[str] = []
    prompts: dict[Literal["short", "full"], PromptParts]
    data: dict[str, Any]


class Task:
    """A classification or regression task.

    Attributes
    ----------
    name, title, question, label_type : as in the YAML.
    labels : label keys in the order of the codebook (empty for numeric tasks).
    label_names : key -> readable name.
    codes : key -> the number that stands for it in a completion.
    levels : intensities in rising order (only for ``multi_intensity``).
    subtopics : frame with the columns label, code, name (empty where a codebook has none).
    data : the data sources of the YAML, read by `helpers.data`.
    """

    def __init__(self, content: TaskFile) -> None:
        self.name = content.name
        self.title = content.title
        self.question = content.question
        self.label_type: LabelType = content.label_type
        self.levels = content.levels
        self.data = content.data
        self._prompts = content.prompts
        self.labels: list[str] = []
        self.label_names: dict[str, str] = {}
        self.codes: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.subtopics = pd.DataFrame({"label": [], "code": [], "name": []}, dtype=str)
        if content.codebook is not None:
            self._read_codebook(content.codebook)
        self._index = {label: i for i, label in enumerate(self.labels)}
        self._by_code = {code: label for label, code in self.codes.items()}

    def _read_codebook(self, book: CodebookFile) -> None:
        path = REPO / book.file
        if not path.is_file():
            raise TaskError(f"task {self.name}: its codebook {book.file} is missing")
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        wanted = {book.key, book.name, book.code, book.group, book.sub_key, book.sub_name} - {None}
        if missing := wanted - set(frame.columns):
            raise TaskError(f"{book.file} has no column {', '.join(sorted(map(str, missing)))}")
        frame = frame.apply(lambda column: column.str.strip())
        first = frame.drop_duplicates(book.key)
        self.labels = first[book.key].tolist()
        self.label_names = dict(zip(first[book.key], first[book.name], strict=True))
        self.codes = dict(zip(first[book.key], first[book.code], strict=True))
        if book.group:
            self.groups = dict(zip(first[book.key], first[book.group], strict=True))
        if book.sub_key and book.sub_name:
            self.subtopics = frame[[book.key, book.sub_key, book.sub_name]].set_axis(
                ["label", "code", "name"], axis=1
            )

    # --- labels -------------------------------------------------------------------------------

    def check_labels(self, labels: Any) -> Labels:
        """Return labels in canonical form (codebook order, str keys).

        Raises
        ------
        TaskError
            If the type does not fit the task, or a label or level is not in the codebook.
        """
        if self.label_type == "numeric":
            if isinstance(labels, bool) or not isinstance(labels, int | float | np.number):
                raise TaskError(f"{labels!r} is no number")
            return float(labels)
        if self.label_type == "single":
            return self._known(str(labels))
        if self.label_type == "multi":
            if not isinstance(labels, list | tuple | set):
                raise TaskError(f"{labels!r} is no list of labels")
            return sorted({self._known(str(x)) for x in labels}, key=self._index.__getitem__)
        if not isinstance(labels, dict):
            raise TaskError(f"{labels!r} is no mapping of label to level")
        for label, level in labels.items():
            self._known(str(label))
            if level not in self.levels:
                raise TaskError(f"unknown level {level!r} of '{label}': use {self.levels}")
        return {x: labels[x] for x in sorted(labels, key=self._index.__getitem__)}

    def _known(self, label: str) -> str:
        if label not in self._index:
            raise TaskError(f"unknown label {label!r}: it is not in the codebook of {self.name}")
        return label

    @property
    def empty(self) -> Labels | None:
        """The labels of a text that has none: ``[]``, ``{}``, or None where there must be one."""
        return {"multi": [], "multi_intensity": {}}.get(self.label_type)  # type: ignore[return-value]

    def dumps(self, labels: Labels | None) -> str:
        """Write labels as JSON, for one cell of a table."""
        return json.dumps(labels, ensure_ascii=False)

    def loads(self, cell: str) -> Any:
        """Read labels back from `dumps`."""
        return json.loads(cell)

    def encode(self, labels: list[Any]) -> NDArray[np.uint8]:
        """Put labels into a matrix.

        Returns
        -------
        (n, L) array: 0 absent, 1 present; with intensities 1, 2, 3 for low, medium, high.
        None (no answer) becomes a row of zeros.
        """
        if self.label_type == "numeric":
            raise TaskError(f"task {self.name} is numeric: it has no label matrix")
        matrix = np.zeros((len(labels), len(self.labels)), dtype=np.uint8)
        for row, item in enumerate(labels):
            if item is None:
                continue
            if isinstance(item, dict):
                for label, level in item.items():
                    matrix[row, self._index[label]] = self.levels.index(level) + 1
            else:
                for label in [item] if isinstance(item, str) else item:
                    matrix[row, self._index[label]] = 1
        return matrix

    def decode(self, matrix: NDArray[Any]) -> list[Any]:
        """Turn a matrix of `encode` back into labels (single: None for a row of zeros)."""
        decoded: list[Any] = []
        for row in matrix:
            present = np.flatnonzero(row)
            if self.label_type == "single":
                decoded.append(self.labels[present[0]] if len(present) else None)
            elif self.label_type == "multi":
                decoded.append([self.labels[i] for i in present])
            else:
                decoded.append({self.labels[i]: self.levels[row[i] - 1] for i in present})
        return decoded

    # --- what a model reads and writes ----------------------------------------------------------

    def codebook_text(self) -> str:
        """Return the codebook as a prompt shows it: one line ``code: name`` a label."""
        return "\n".join(f"{self.codes[key]}: {self.label_names[key]}" for key in self.labels)

    def prompt(self, text: str, style: Literal["short", "full"] = "short") -> Prompt:
        """Return the prompt for a text: instruction and codebook first, the text last."""
        parts = self._prompts[style]
        head = parts.head
        if "{codebook}" in head:  # written anew for each text otherwise
            head = head.replace("{codebook}", self.codebook_text())
        return Prompt(head, text, parts.tail)

    def completion(self, labels: Any) -> str:
        """Return what a model should write, e.g. ``" 6"``, ``" 3 7"``, ``" 4 high 12 low"``."""
        if self.label_type == "numeric":
            return f" {labels:.1f}"
        if self.label_type == "single":
            return f" {self.codes[labels]}"
        if not labels:
            return f" {NONE}"
        if isinstance(labels, dict):
            return "".join(f" {self.codes[key]} {level}" for key, level in labels.items())
        return "".join(f" {self.codes[key]}" for key in labels)

    def parse(self, answer: str) -> Parsed:
        """Read a model's answer.

        ``unparsed``: it does not have the format. ``off_list``: it has, but names a code that
        is not in the codebook. A label given twice counts once, with its first level.
        """
        words = answer.strip().lower().split()
        if self.label_type == "numeric":
            number = re.fullmatch(r"-?\d+(\.\d+)?", answer.strip())
            return Parsed("ok", float(answer)) if number else Parsed("unparsed", None)
        if words == [NONE] and self.empty is not None:
            return Parsed("ok", self.empty)
        levels: list[str] = []
        if self.label_type == "multi_intensity":
            words, levels = words[0::2], words[1::2]
            if len(words) != len(levels) or not set(levels) <= set(self.levels):
                return Parsed("unparsed", None)
        if not words or not all(re.fullmatch(r"\d+", word) for word in words):
            return Parsed("unparsed", None)
        if self.label_type == "single" and len(words) != 1:
            return Parsed("unparsed", None)
        if not set(words) <= set(self._by_code):
            return Parsed("off_list", None)
        keys = [self._by_code[word] for word in words]
        if self.label_type == "single":
            return Parsed("ok", keys[0])
        if self.label_type == "multi":
            return Parsed("ok", self.check_labels(keys))
        first = dict(reversed(list(zip(keys, levels, strict=True))))
        return Parsed("ok", self.check_labels(first))


def task_names() -> list[str]:
    """Return the names of all tasks, sorted."""
    return sorted(path.stem for path in TASKS.glob("*.yaml"))


@cache
def load_task(name: str) -> Task:
    """Read and check ``config/tasks/<name>.yaml`` and its codebook.

    Raises
    ------
    TaskError
        If the task is unknown, its YAML has an unknown key, or its codebook is missing or wrong.
    """
    path: Path = TASKS / f"{name}.yaml"
    if not path.is_file():
        raise TaskError(f"no task '{name}': choose one of {', '.join(task_names())}")
    try:
        content = TaskFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise TaskError(f"{path.name}: {error}") from error
    return Task(content)
