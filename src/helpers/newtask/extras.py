"""Further columns of a user's table, for shares by them in chapter 09."""

from __future__ import annotations

import pandas as pd

from helpers.newtask.columns import as_text, each, number
from helpers.newtask.errors import NewTaskError

YEAR = "year"
TAKEN = frozenset({"id", "text", "labels", "split", "period"})


def extra(cells: pd.Series, name: str) -> tuple[pd.Series, str]:
    """Return a further column as whole numbers or text, and its type as a task's YAML says it.

    Raises
    ------
    NewTaskError
        If the name is one of the package's own, or a year is missing or no whole number.
    """
    if name in TAKEN:
        raise NewTaskError(f"a column to keep may not be called '{name}': rename it in your file")
    texts = each(cells, as_text)
    known = [number(text) for text in texts if text is not None]
    whole = bool(known) and all(value is not None and value.is_integer() for value in known)
    optional = "" if texts.notna().all() else "?"
    if name == YEAR and (optional or not whole):
        wrong = [row for row, text in texts.items() if (number(text) or 0.5) % 1]
        raise NewTaskError(
            f"column '{YEAR}' must hold a whole number in every row; {len(wrong)} row(s) do not, "
            f"the first is {wrong[0]}: fill it in, or do not keep the column"
        )
    if not whole:
        return texts, f"string{optional}"
    return each(texts, lambda t: None if t is None else int(number(t) or 0)), f"integer{optional}"


def periods(years: pd.Series) -> list[int]:
    """Return the years in which the second and third of three periods begin, alike in texts."""
    values = pd.Series(years.tolist(), dtype=int)
    cuts = {int(values.quantile(share, interpolation="nearest")) for share in (1 / 3, 2 / 3)}
    return sorted(cut for cut in cuts if cut > values.min())
