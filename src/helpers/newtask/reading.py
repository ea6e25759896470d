"""Read a user's table, whatever its form; the user's file is only read, never changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.newtask.delimited import SHOWN, plain, read_delimited
from helpers.newtask.errors import NewTaskError
from helpers.newtask.workbooks import read_workbook

KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
CALLED = {"csv": "a text table", "xlsx": "an Excel workbook", "parquet": "Parquet", "jsonl": "JSON"}


@dataclass(frozen=True)
class Source:
    """A table as it was found.

    Attributes
    ----------
    frame : cells as they are (objects, None where empty); the index, ``row``, is the line of a text
        file, the row of a sheet, or the number of the record.
    notes : what was found out or repaired, in words.
    facts : kind, encoding, delimiter, sheet.
    """

    frame: pd.DataFrame
    notes: list[str]
    facts: dict[str, str]


def read_table(
    path: Path,
    wanted: Sequence[str],
    *,
    sheet: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Source:
    """Read a CSV, TSV, XLSX, Parquet or JSON Lines file.

    Parameters
    ----------
    path : the file; what it is, is seen from its content.
    wanted : names of the columns that are looked for.
    sheet, encoding, delimiter : None: found out.

    Raises
    ------
    NewTaskError
        If the file is missing, empty or cannot be read; it names file, place and remedy.
    """
    if not path.is_file():
        raise NewTaskError(f"no file {path}: check the name (CSV=..., or --file)")
    if path.stat().st_size == 0:
        raise NewTaskError(f"{path.name} is empty: it needs a header and rows")
    kind, notes = _kind(path)
    try:
        if kind == "csv":
            found = read_delimited(
                path.read_bytes(), wanted, encoding=encoding, delimiter=delimiter
            )
            header, rows = found.header, found.rows
            notes, facts = notes + found.notes, dict(found.facts)
        elif kind == "xlsx":
            header, rows, more, facts = read_workbook(path, wanted, sheet)
            notes += more
        else:
            frame = _parquet(path) if kind == "parquet" else _json(path)
            return Source(_no_gaps(frame), notes, {"kind": kind})
    except NewTaskError as error:
        text = str(error)
        raise NewTaskError(text if path.name in text else f"{path.name}: {text}") from error
    frame = _frame(header, rows, wanted, path)
    dropped = [name for name in frame if frame[name].isna().all() and name.startswith("column ")]
    return Source(frame.drop(columns=dropped), notes, {"kind": kind} | facts)


def _kind(path: Path) -> tuple[str, list[str]]:
    """Tell what a file is by its first bytes; its name may be wrong."""
    with open(path, "rb") as handle:
        start = handle.read(4096)
    named = KINDS.get(path.suffix.lower())
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise NewTaskError(
            f"{path.name} is an old Excel file (.xls), or protected by a password: save it as .xlsx"
        )
    if start.startswith(b"PK\x03\x04"):
        found = "xlsx"
    elif start.startswith(b"PAR1"):
        found = "parquet"
    elif start.startswith((b"%PDF", b"\x1f\x8b", b"{\\rtf")):
        raise NewTaskError(f"{path.name} is no table: give a .csv, .tsv, .xlsx, .parquet or .jsonl")
    else:
        text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
        is_json = text.startswith((b'{"', b"[{", b"[\n", b"[\r\n", b"{ "))
        found = "jsonl" if named == "jsonl" or is_json else "csv"
    if named in (None, found):
        return found, []
    return found, [f"the name ends in {path.suffix}, but the file is {CALLED[found]}: read as such"]


def _frame(
    header: Sequence[str],
    rows: Sequence[tuple[int, Sequence[Any]]],
    wanted: Sequence[str],
    path: Path,
) -> pd.DataFrame:
    names = [name or f"column {i}" for i, name in enumerate(header, start=1)]
    known = [plain(name) for name in names]
    if twice := sorted({n for n, k in zip(names, known, strict=True) if known.count(k) > 1}):
        if {plain(name) for name in twice} & {plain(name) for name in wanted}:
            raise NewTaskError(
                f"{path.name} has more than one column '{twice[0]}': rename one of them"
            )
        names = [f"{n} ({i})" if n in twice else n for i, n in enumerate(names, start=1)]
    if not rows:
        raise NewTaskError(
            f"{path.name} has a header ({', '.join(names[:8])}) and no rows below it"
        )
    width = len(names)
    index = pd.Index([number for number, _ in rows], name="row")
    cells = [[*row[:width], *[None] * (width - len(row))] for _, row in rows]
    return _no_gaps(pd.DataFrame(cells, columns=names, index=index, dtype=object))


def _no_gaps(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.astype(object)
    return frame.where(frame.notna() & (frame != ""), None)


def _parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame = pq.read_table(path).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise NewTaskError(
            f"{path.name} is no valid Parquet file ({error}): write it anew"
        ) from error
    frame = frame.reset_index(drop=True).astype(object)
    frame.columns = [str(name) for name in frame.columns]
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    # Arrow gives lists as arrays, which are neither empty nor full.
    return frame.map(lambda cell: cell.tolist() if hasattr(cell, "tolist") else cell)


def _json(path: Path) -> pd.DataFrame:
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise NewTaskError(
            f"{path.name}, line {line}: JSON must be UTF-8; save it as UTF-8"
        ) from error
    bad: list[str] = []
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = None
    if isinstance(whole, list):
        pairs: list[tuple[int, Any]] = list(enumerate(whole, start=1))
    else:
        pairs = _json_lines(text, bad)
    bad += [f"line {line}: no JSON object" for line, item in pairs if not isinstance(item, dict)]
    if bad or not pairs:
        shown = "; ".join(bad[:SHOWN]) or "no records"
        raise NewTaskError(f"{path.name}: each line must be one JSON object: {shown}")
    index = pd.Index([line for line, _ in pairs], name="row")
    return pd.DataFrame([item for _, item in pairs], index=index, dtype=object)


def _json_lines(text: str, bad: list[str]) -> list[tuple[int, Any]]:
    pairs = []
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            try:
                pairs.append((line, json.loads(content)))
            except json.JSONDecodeError as error:
                bad.append(f"line {line}: {error.msg}")
    return pairs
