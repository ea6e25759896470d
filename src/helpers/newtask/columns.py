"""Find the columns that a user named, and turn cells into text."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from helpers.newtask.delimited import plain
from helpers.newtask.errors import NewTaskError

MISSING = frozenset(
    {"", "na", "n/a", "nan", "null", "<na>", ".", "#n/a", "#ref!", "#value!", "#div/0!", "#name?"}
)
"""Cells that say that there is nothing, in lower case; the last ones are Excel's errors."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def resolve(frame: pd.DataFrame, names: Sequence[str], file: str) -> tuple[list[str], list[str]]:
    """Return the columns that names stand for, and notes where they are spelt otherwise.

    Raises
    ------
    NewTaskError
        If a column is missing: names those that there are and the closest ones.
    """
    found, notes = [], []
    for name in names:
        if name in frame:
            found.append(name)
            continue
        same = [column for column in frame if plain(str(column)) == plain(name)]
        if len(same) != 1:
            raise NewTaskError(_missing(frame, name, file))
        found.append(same[0])
        notes.append(f"column '{same[0]}' was taken for '{name}'")
    return found, notes


def _missing(frame: pd.DataFrame, name: str, file: str) -> str:
    columns = [str(column) for column in frame]
    close = difflib.get_close_matches(plain(name), [plain(c) for c in columns], n=3, cutoff=0.5)
    likely = [column for column in columns if plain(column) in close]
    hint = f" Did you mean {' or '.join(repr(c) for c in likely)}?" if likely else ""
    shown = ", ".join(repr(c if len(c) <= 40 else c[:37] + "...") for c in columns[:20])
    if len(columns) == 1:
        hint += " There is only one column: is the separator something unusual (--delimiter)?"
    return (
        f"{file} has no column '{name}'.{hint} Its columns: {shown}. (The first row must hold the "
        "names of the columns.)"
    )


def as_text(cell: Any) -> str | None:
    """Return a cell as text, or None if it is empty; whole numbers lose their ``.0``."""
    if cell is None or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    text = CONTROL.sub("", str(cell).replace("\r\n", "\n").replace("\r", "\n"))
    return text.strip().strip("\ufeff\u200b").strip() or None


def each(cells: pd.Series, function: Callable[[Any], Any]) -> pd.Series:
    """Apply a function to each cell; the result holds objects, None where it gives None.

    (`Series.map` would make a column of text of it, in which None is a number, NaN.)
    """
    return pd.Series([function(cell) for cell in cells], index=cells.index, dtype=object)


def is_missing(text: str | None) -> bool:
    """Whether a cell's text says that there is nothing."""
    return text is None or text.casefold() in MISSING


def number(text: str | None) -> float | None:
    """Return the number that a text stands for (``3``, ``3.0``, ``3,5``), or None."""
    if text is None or not re.fullmatch(
        r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", text.strip()
    ):
        return None
    return float(text.strip().replace(",", "."))
