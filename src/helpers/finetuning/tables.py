"""Labelled texts from a user's own table, checked row by row."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.finetuning.processes import FinetuningError
from helpers.tasks import Task, TaskError

COLUMNS = ("text", "labels")
SHOWN = 10  # problems of a table that are listed


def labelled_texts(path: Path, task: Task) -> pd.DataFrame:
    """Read texts and labels.

    Parameters
    ----------
    path : ``.parquet``, ``.csv`` or ``.jsonl`` (UTF-8) with the columns text and labels; others
        are ignored. A label is a name from the codebook; several are a list, with intensities a
        mapping of label to level; in a cell of text they are written as JSON, several labels also
        with semicolons between them.
    task : whose labels they are.

    Returns
    -------
    Columns text and labels (JSON, in the codebook's order), one row a row of the file.

    Raises
    ------
    FinetuningError
        Names the file, and column and remedy of each problem.
    DataError
        If a line of a CSV or JSONL file cannot be read.
    """
    unit, frame = ("row", _parquet(path)) if path.suffix == ".parquet" else ("line", _lines(path))
    for column in COLUMNS:
        if column not in frame:
            found = ", ".join(map(str, frame.columns))
            raise FinetuningError(
                f"{path.name} has no column '{column}' (found: {found}): rename the one that holds "
                f"the {'texts' if column == 'text' else 'labels'}"
            )
    if frame.empty:
        raise FinetuningError(f"{path.name} has no rows: it needs at least one labelled text")
    problems, rows = [], []
    for number, text, cell in zip(frame.index, frame["text"], frame["labels"], strict=True):
        if not isinstance(text, str) or not text.strip():
            problems.append(
                f"{unit} {number}, column text: is empty: fill it in, or delete the row"
            )
        try:
            rows.append((text, task.dumps(_labels(cell, task))))
        except TaskError as error:
            problems.append(f"{unit} {number}, column labels: {error}")
    if problems:
        listed = "\n".join(f"  {line}" for line in problems[:SHOWN])
        more = len(problems) - SHOWN
        listed += f"\n  ... and {more} more" if more > 0 else ""
        raise FinetuningError(
            f"{path.name} has {len(problems)} problem(s); nothing was trained\n{listed}\n"
            "Correct these and run the same command again."
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _parquet(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FinetuningError(f"{path.name} is missing: check the path {path}")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise FinetuningError(
            f"{path.name} is no Parquet file ({reason}): write it anew"
        ) from error
    return frame.set_axis(range(1, len(frame) + 1))


def _lines(path: Path) -> pd.DataFrame:
    from helpers.data.reading import read_records
    from helpers.data.validation import raise_problems

    if not path.is_file():
        raise FinetuningError(f"{path.name} is missing: check the path {path}")
    frame, problems = read_records(path)
    if problems:
        raise_problems(path, problems)
    return frame


def _labels(cell: Any, task: Task) -> Any:
    """Return a cell's labels in canonical form, or raise TaskError."""
    if hasattr(cell, "tolist"):  # what Parquet's lists and numbers are read as
        cell = cell.tolist()
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        raise TaskError("is empty: give the label, or delete the row")
    labels = task.check_labels(_from_text(cell, task) if isinstance(cell, str) else cell)
    if isinstance(labels, float) and not math.isfinite(labels):
        raise TaskError(f"{labels} is no finite number")
    return labels


def _from_text(cell: str, task: Task) -> Any:
    try:
        value = json.loads(cell)
    except json.JSONDecodeError:
        value = cell
    if task.label_type == "single":
        return value if isinstance(value, str) else cell.strip()
    if task.label_type == "multi" and not isinstance(value, list):
        return [part.strip() for part in cell.split(";")]
    return value
