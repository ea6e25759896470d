"""Text files with delimiters: find out encoding and delimiter, read rows with their line numbers.

Python's `csv` reads the fields and charset-normalizer guesses encodings. What is added: the
delimiter is the one under which the wanted columns appear, and a row that cannot be read is named.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

from helpers.newtask.encodings import decode
from helpers.newtask.errors import NewTaskError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
HEADER_ROWS = 20
"""First rows among which the header is looked for: exports often have a title above it."""
LONGEST_FIELD = 10_000_000
BAD_SHARE = 0.01
"""Largest share of rows that may be unreadable (and then are left out, by name)."""
SHOWN = 5


class Rows(NamedTuple):
    """Rows of a file, as text.

    Attributes
    ----------
    header : names of the columns.
    rows : line number and fields of each row that could be read; as many fields as the header.
    notes : what was found out or repaired, in words.
    facts : the same as data: encoding, delimiter.
    """

    header: list[str]
    rows: list[tuple[int, list[str]]]
    notes: list[str]
    facts: dict[str, str]


def matches(names: Sequence[str], wanted: Sequence[str]) -> int:
    """Return how many of the wanted columns are among names, whatever the case and spaces."""
    known = {plain(name) for name in names}
    return sum(plain(name) in known for name in wanted)


def plain(name: str) -> str:
    """Return a column's name without what people get wrong: case, spaces, underscores."""
    return re.sub(r"[\s_]+", " ", name.strip().strip("\ufeff").casefold())


def read_delimited(
    raw: bytes,
    wanted: Sequence[str],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Rows:
    """Read a file with delimiters.

    Parameters
    ----------
    raw : content of the file.
    wanted : names of the columns that are looked for; they tell the delimiter and the header.
    encoding, delimiter : None: found out.

    Raises
    ------
    NewTaskError
        If the file is empty, quotes are broken, or too many rows have another number of fields
        than the header: lines are named.
    """
    text, name, notes = decode(raw, encoding)
    if count := text.count("\0"):
        line = text[: text.index("\0")].count("\n") + 1
        notes.append(f"{count} NUL byte(s) were removed, the first in line {line}")
        text = text.replace("\0", "")
    if not text.strip():
        raise NewTaskError("the file is empty: it needs a header and rows")
    csv.field_size_limit(LONGEST_FIELD)
    first = re.match(r"sep=(.)\r?\n", text)  # Excel's own hint
    skipped = 1 if first else 0
    if first:
        text, delimiter = text[first.end() :], delimiter or first[1]
    mark = delimiter or _delimiter(text, wanted)
    records, bad = _records(text, mark, skipped)
    header, start = _header(records, wanted)
    if start:
        above = ", ".join(str(records[i][0]) for i in range(start))
        notes.append(f"the header was found in line {records[start][0]}; skipped: line {above}")
    rows, odd = _rectangular(records[start + 1 :], len(header), header, wanted)
    notes += _unreadable(sorted([*bad, *odd]), len(rows), mark)
    return Rows(header, rows, notes, {"encoding": name, "delimiter": DELIMITERS.get(mark, mark)})


def _delimiter(text: str, wanted: Sequence[str]) -> str:
    """Return the delimiter under which most wanted columns appear and rows are most alike."""

    def fit(mark: str) -> tuple[int, float, int]:
        sample = io.StringIO(text[:200_000], newline="")
        rows = [row for row, _ in zip(csv.reader(sample, delimiter=mark), range(300), strict=False)]
        rows = [row for row in rows if any(cell.strip() for cell in row)]
        if not rows:
            return 0, 0.0, 0
        header = max(rows[:HEADER_ROWS], key=lambda row: matches(row, wanted))
        alike = sum(len(row) == len(header) for row in rows) / len(rows)
        return matches(header, wanted), alike if len(header) > 1 else 0.0, len(header)

    return max(DELIMITERS, key=fit)


def _records(
    text: str, mark: str, skipped: int
) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str]]]:
    """Return all records with the line that they begin in, and lines that cannot be read."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    records: list[tuple[int, list[str]]] = []
    bad: list[tuple[int, str]] = []
    start = 1
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return records, bad
        except csv.Error as error:
            if reader.line_num > start or "unexpected end" in str(error):
                raise NewTaskError(_broken(start + skipped, reader.line_num + skipped)) from error
            bad.append((start + skipped, "quotes"))
            continue
        if any(cell.strip() for cell in row):
            records.append((start + skipped, row))


def _broken(start: int, end: int) -> str:
    return (
        f"line {start}: a quotation mark opens a text and nothing closes it properly (read up to "
        f'line {end}). Inside a quoted text write "" for a quotation mark, or save the table as '
        ".xlsx, which needs no quotes"
    )


def _header(records: list[tuple[int, list[str]]], wanted: Sequence[str]) -> tuple[list[str], int]:
    if not records:
        raise NewTaskError("the file has no rows: it needs a header and rows")
    first = records[:HEADER_ROWS]
    best = max(range(len(first)), key=lambda i: (matches(first[i][1], wanted), -i))
    return [cell.strip().strip("\ufeff") for cell in records[best][1]], best


def _rectangular(
    records: list[tuple[int, list[str]]], width: int, header: list[str], wanted: Sequence[str]
) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str]]]:
    """Fill or cut rows where nothing that is needed is lost; return the others as bad."""
    needed = [i for i, name in enumerate(header) if plain(name) in set(map(plain, wanted))]
    least = max(needed, default=width - 1) + 1
    rows, bad = [], []
    for line, row in records:
        if len(row) == width:
            rows.append((line, row))
        elif len(row) > width and not any(cell.strip() for cell in row[width:]):
            rows.append((line, row[:width]))
        elif least <= len(row) < width:
            rows.append((line, row + [""] * (width - len(row))))
        else:
            bad.append((line, f"{len(row)} fields instead of {width}"))
    return rows, bad


def _unreadable(bad: list[tuple[int, str]], good: int, mark: str) -> list[str]:
    if not bad:
        return []
    listed = "; ".join(f"line {line}: {what}" for line, what in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    if len(bad) > max(3, BAD_SHARE * good):
        raise NewTaskError(
            f"{len(bad)} of {len(bad) + good} rows cannot be read as columns separated by "
            f"{DELIMITERS.get(mark, mark)} ({listed}{more}). A text that contains the separator or "
            "a line break must stand in quotation marks, and a quotation mark inside it be doubled;"
            " or save the table as .xlsx"
        )
    return [f"{len(bad)} row(s) could not be read and were left out: {listed}{more}"]
