"""Which rows can be classified, and why the others cannot."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import pandas as pd


class Row(NamedTuple):
    """One row of the input as it was read.

    Attributes
    ----------
    id : as written to the output; None where it is missing.
    text : any value.
    problem : why the row could not be read, or None.
    """

    id: str | None
    text: Any
    problem: str | None = None


def as_id(value: Any) -> str | None:
    """Return an id as text, or None if there is none; numbers and text are ids, no other value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and value != value:  # NaN: a missing number
        return None
    text = str(value)
    if not _is_unicode(text):
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text or None


def problem_of(row: Row) -> str | None:
    """Return why a row cannot be classified, or None; repeated ids are not seen here."""
    if row.problem is not None:
        return row.problem
    if row.id is None:
        return "missing id"
    if row.text is None:
        return "missing text"
    if not isinstance(row.text, str):
        return f"text is not a string ({type(row.text).__name__})"
    if not row.text.strip():
        return "empty text"
    return None if _is_unicode(row.text) else "text is not valid UTF-8"


def sort_out(
    rows: Iterable[Row], start: int, duplicates: Collection[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tell rows that can be classified from those that cannot.

    Parameters
    ----------
    rows : in the order of the file.
    start : position of the first one in its file.
    duplicates : positions of rows whose id an earlier row of the file has.

    Returns
    -------
    Frame of row (position), id, text; and frame of row, id, reason.
    """
    good: list[tuple[int, str | None, Any]] = []
    bad: list[tuple[int, str | None, str]] = []
    for position, row in enumerate(rows, start):
        reason = problem_of(row)
        if reason is None and position in duplicates:
            reason = "duplicate id: an earlier row of the file has it"
        if reason is None:
            good.append((position, row.id, row.text))
        else:
            bad.append((position, row.id, reason))
    return (
        pd.DataFrame(good, columns=["row", "id", "text"]),
        pd.DataFrame(bad, columns=["row", "id", "reason"]),
    )


def _is_unicode(text: str) -> bool:
    """Whether a text can be encoded: half a surrogate pair, legal in JSON, cannot."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
