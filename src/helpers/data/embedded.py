"""Loader of JSONL and CSV files: the embedded corpora and a user's own data alike.

Which fields hold the id, the text and the labels stands in the task's YAML, so that a new task
or a new file needs no code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from helpers.data.reading import read_records, typed_cells
from helpers.data.sections import TRANSFORMS, FileSection, file_section
from helpers.data.validation import (
    TYPES,
    Loaded,
    Problems,
    check_texts,
    column_check,
    dropped_table,
    is_number,
    is_text,
    raise_problems,
    schema_problems,
    shown_value,
)
from helpers.runs import REPO
from helpers.tasks import Task, TaskError

DUPLICATE = "this id was used on an earlier line: give each row its own"


def load_embedded(task: Task, source: str = "embedded", file: Path | None = None) -> Loaded:
    """Load the texts of a JSONL or CSV file; refuse the file if anything in it is wrong.

    Parameters
    ----------
    task : gives the section ``data.<source>`` (see `FileSection`), the codebook and label type.
    source : name of the section.
    file : another file with the same fields, instead of the section's.

    Returns
    -------
    Loaded with columns id, text, labels (JSON of `Task.dumps`) and the extras, in file order.
    No row is ever dropped here.

    Raises
    ------
    DataError
        For invalid lines, missing or empty fields, duplicate ids, unknown labels or levels and
        wrong types: all are listed with line and value.

    Notes
    -----
    In a CSV, a cell of labels is one label (single), labels separated by ``;`` or a JSON list
    (multi), a JSON object (multi with intensity), or a number.
    """
    section = file_section(task, source)
    path = file or REPO / section.file
    raw, problems = read_records(path)
    if len(raw):
        if path.suffix == ".csv":
            raw = typed_cells(raw, task, section)
        if section.id in raw:
            raw[section.id] = raw[section.id].map(_id).astype(object)
        problems += _problems(raw, task, section)
    if problems:
        raise_problems(path, problems)
    frame = _texts(raw, task, section)
    return Loaded(check_texts(frame, path.name), dropped_table([]), {"rows": len(frame)})


def _texts(raw: pd.DataFrame, task: Task, section: FileSection) -> pd.DataFrame:
    fields = [name.removesuffix("?") for name in section.text]
    parts = raw.reindex(columns=fields)
    texts = ["\n".join(p.strip() for p in row if is_text(p)) for row in parts.to_numpy()]
    labels = [_labels(value, task, section) for value in raw[section.labels]]
    columns = {
        "id": raw[section.id].tolist(),
        "text": texts,
        "labels": [task.dumps(item) for item in labels],
    }
    extras = {name: _column(raw[name]) for name in section.extras if name not in columns}
    return pd.DataFrame(columns).join(pd.DataFrame(extras).reset_index(drop=True))


def _column(values: pd.Series) -> pd.Series:
    # Whole numbers with gaps become Int64: as floats they would be printed as 5.0.
    return values.convert_dtypes() if values.isna().any() else values.infer_objects()


def _labels(value: Any, task: Task, section: FileSection) -> Any:
    if section.transform is not None:
        value = TRANSFORMS[section.transform](value)
    return task.check_labels(value)


def _label_problem(value: Any, task: Task, section: FileSection) -> str | None:
    if task.label_type == "numeric":
        if not is_number(value):
            return "it must be a number"
        if section.transform == "log1p" and value < 0:
            return "it must be 0 or more, since its logarithm is taken"
    try:
        task.check_labels(value)
    except TaskError as error:
        return f"{error}; correct the row, or the codebook"
    return None


def _id(value: Any) -> Any:
    # An id read as 7 in one row and "7" in another is the same id.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else value


def _problems(raw: pd.DataFrame, task: Task, section: FileSection) -> Problems:
    import pandera.pandas as pa

    required = "it must be text that is not empty"
    columns = {
        section.id: column_check(is_text, "an id must be text or a whole number (no decimals)"),
        **{
            name.removesuffix("?"): column_check(is_text, required, nullable=name.endswith("?"))
            for name in section.text
        },
        section.labels: pa.Column(object, nullable=False),  # against the codebook, below
    }
    for name in section.extras:
        columns.setdefault(name, pa.Column(object, nullable=True))
    for name, kind in section.types.items():
        test, remedy = TYPES[kind.removesuffix("?")], f"it must be of type {kind.removesuffix('?')}"
        columns[name] = column_check(test, remedy, nullable=kind.endswith("?"))
    problems = schema_problems(raw, pa.DataFrameSchema(columns))
    problems += _duplicates(raw, section) + _label_problems(raw, task, section)
    return problems


def _duplicates(raw: pd.DataFrame, section: FileSection) -> Problems:
    if section.id not in raw:
        return []
    keys = raw[section.id].map(lambda value: value if is_text(value) else None)
    twice = keys.index[keys.duplicated() & keys.notna()]
    return [
        (int(line), f"'{section.id}' is {shown_value(keys[line])}: {DUPLICATE}") for line in twice
    ]


def _label_problems(raw: pd.DataFrame, task: Task, section: FileSection) -> Problems:
    problems: Problems = []
    if section.labels not in raw:
        return problems
    kind = section.types.get(section.labels, "").removesuffix("?")
    for line, value in zip(raw.index, raw[section.labels], strict=True):
        if value is None or (kind and not TYPES[kind](value)):
            continue  # already reported by the schema
        if what := _label_problem(value, task, section):
            problems.append((int(line), f"'{section.labels}' is {shown_value(value)}: {what}"))
    return problems
