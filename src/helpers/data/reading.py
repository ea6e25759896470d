"""Reading of JSONL and CSV files into raw values, line by line.

Lines that cannot be read become problems with their line number; they are reported together with
what `helpers.data.validation` finds in the others.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from helpers.data.sections import FileSection
from helpers.data.validation import DataError, Problems, shown_path
from helpers.tasks import Task


def read_records(path: Path) -> tuple[pd.DataFrame, Problems]:
    """Read a JSONL or CSV file into a frame of raw values, indexed by line number.

    Parameters
    ----------
    path : ``.jsonl`` or ``.csv``, in UTF-8. Blank lines are skipped.

    Returns
    -------
    frame of objects (index ``line``), and the problems of lines that could not be read.

    Raises
    ------
    DataError
        If the file is missing, empty, or of another kind.
    """
    readers = {".jsonl": _json_records, ".csv": _csv_records}
    if path.suffix not in readers:
        raise DataError(f"{shown_path(path)}: only .jsonl and .csv files can be read")
    if not path.is_file():
        raise DataError(f"{shown_path(path)} is missing: check `file` in the task's YAML")
    problems: Problems = []
    # Lines end at \n only: str.splitlines would also cut at U+2028, which JSON text may hold.
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    records = dict(readers[path.suffix](lines, problems))
    if not records and not problems:
        raise DataError(f"{shown_path(path)} is empty: it needs at least one row")
    index = pd.Index(list(records), name="line")
    frame = pd.DataFrame(list(records.values()), index=index, dtype=object)
    return frame.where(frame.notna(), None), problems


def _decoded(lines: list[bytes], problems: Problems) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(lines, start=1):
        try:
            yield number, raw.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append((number, f"is no UTF-8 ({error.reason}): save the file as UTF-8"))


def _json_records(lines: list[bytes], problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _decoded(lines, problems):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            problems.append((number, f"is no valid JSON ({error.msg}, character {error.pos + 1})"))
        except ValueError as error:
            problems.append((number, str(error)))
        else:
            if isinstance(record, dict):
                yield number, record
            else:
                problems.append((number, f"is no JSON object but {type(record).__name__}"))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json.loads would silently keep the last of two equal keys: a label given two levels.
    keys = [key for key, _ in pairs]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ValueError(f"gives {', '.join(sorted(twice))} more than once: keep one")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is no JSON value: write null or a number")


def _csv_records(lines: list[bytes], problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    text = "\n".join(line for _, line in _decoded(lines, problems))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    start = 1
    try:
        for row in reader:
            number, start = start, reader.line_num + 1
            if not header:
                header = [name.strip() for name in row]
            elif any(cell.strip() for cell in row):
                if len(row) == len(header):
                    yield number, dict(zip(header, (cell or None for cell in row), strict=True))
                else:
                    problems.append((number, f"has {len(row)} fields, the header {len(header)}"))
    except csv.Error as error:
        problems.append((start, f"is no valid CSV ({error}): check the quotes"))


# --- CSV cells: text that stands for a number, a list or a mapping --------------------------------


def typed_cells(raw: pd.DataFrame, task: Task, section: FileSection) -> pd.DataFrame:
    """Return the raw values of a CSV with numbers, lists and mappings in place of their text.

    A cell that does not stand for the expected type is left as it is: the check refuses it.
    """
    typed = raw.copy()
    for name, kind in section.types.items():
        if name in typed:
            typed[name] = typed[name].map(lambda c, k=kind: _cell(c, k.removesuffix("?")))
    if section.labels in typed and section.labels not in section.types:
        typed[section.labels] = typed[section.labels].map(lambda c: _label_cell(c, task))
    return typed.astype(object).where(typed.notna(), None)


def _cell(cell: str | None, kind: str) -> Any:
    if cell is None or kind == "string":
        return cell
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(cell.lower(), cell)
    try:
        return int(cell) if kind == "integer" else float(cell)
    except ValueError:
        return cell


def _label_cell(cell: str | None, task: Task) -> Any:
    if cell is None or task.label_type == "single":
        return cell.strip() if cell else cell
    if task.label_type == "numeric":
        return _cell(cell, "number")
    if cell.lstrip().startswith(("[", "{")):
        try:
            return json.loads(cell)
        except json.JSONDecodeError:
            return cell
    return [part.strip() for part in cell.split(";")] if task.label_type == "multi" else cell
