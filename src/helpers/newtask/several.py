"""Several labels a text, with intensities or without."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pandas as pd

from helpers.newtask.columns import as_text, each, is_missing, number
from helpers.newtask.errors import NewTaskError
from helpers.newtask.labelled import MOST_LABELS, Labelled, check_classes
from helpers.newtask.spelling import merged, similar, spellings

SEPARATORS = (";", "|", ",")
EMPTY_SETS = frozenset({"[]", "{}", "none"})
LEVEL_ORDERS = (
    ("none", "low", "medium", "high"),
    ("very-low", "low", "medium", "high", "very-high"),
    ("weak", "moderate", "strong"),
    ("weak", "medium", "strong"),
    ("mild", "moderate", "severe"),
    ("negative", "neutral", "positive"),
)
NUMBERED = {1: ("present",), 2: ("low", "high"), 3: ("low", "medium", "high")}


def separator_of(texts: pd.Series, sure: bool) -> str | None:
    """Return the sign between several labels, if cells hold several.

    Parts of cells with several labels must occur in other cells too: "Health; social affairs", if
    it always stands together, is one label. `sure`: only then; else the most frequent sign.
    """
    cells = Counter(text for text in texts.dropna() if isinstance(text, str))
    best, most = None, 0.0
    for mark in SEPARATORS:
        parts = {
            cell: {p.strip().casefold() for p in cell.split(mark) if p.strip()} for cell in cells
        }
        joint = {cell: found for cell, found in parts.items() if len(found) > 1}
        if not joint:
            continue
        where = Counter(p for found in parts.values() for p in found)
        again = sum(cells[c] * len(f) for c, f in joint.items() if all(where[p] > 1 for p in f))
        share = again / sum(cells[c] * len(f) for c, f in joint.items())
        total = sum(cells[cell] for cell in joint) / sum(cells.values())
        fewer = len(where) < 0.9 * len(cells) or len(where) <= len(cells) - 3
        if sure and (share < 0.8 or not fewer or total < 0.02):
            continue
        if share * total > most:
            best, most = mark, share * total
    return best


def several(texts: pd.Series, column: str, mark: str | None) -> Labelled:
    """Read cells with any number of labels: lists, or text that `mark` separates."""

    def split(value: Any) -> list[str] | None:
        if value is None:
            return None
        if isinstance(value, list):
            return value
        if value.casefold() in EMPTY_SETS:
            return []
        parts = value.split(mark) if mark else [value]
        return [part.strip() for part in parts if not is_missing(part.strip())]

    lists = each(texts, split)
    spelling, notes = spellings(p for item in lists.dropna() for p in item)
    values = pd.Series(
        [None if x is None else list(dict.fromkeys(spelling[p] for p in x)) for x in lists],
        index=texts.index,
        dtype=object,
    )
    count = Counter(label for item in values.dropna() for label in item)
    if len(count) < 2:
        raise NewTaskError(f"column '{column}' holds fewer than two labels")
    if len(count) > MOST_LABELS:
        check_classes(count, column)
    notes += similar(count)
    return Labelled("multi", values, notes=notes, merged=merged(spelling), separator=mark)


def intensities(values: pd.Series, column: str) -> Labelled:
    """Read mappings of label to intensity."""
    wrong = [
        row for row, value in values.items() if value is not None and not isinstance(value, dict)
    ]
    if wrong:
        raise NewTaskError(
            f"column '{column}': row {wrong[0]} and {len(wrong) - 1} more hold no JSON mapping "
            "like the others: correct them, or leave them empty"
        )
    known = [value for value in values if value is not None]
    spelling, notes = spellings(str(label) for value in known for label in value)
    levels, names = _levels({as_text(level) for value in known for level in value.values()}, column)
    read = [
        None if v is None else {spelling[str(k)]: levels[str(as_text(x))] for k, x in v.items()}
        for v in values
    ]
    notes.append(f"intensities, in rising order: {', '.join(names)}")
    series = pd.Series(read, index=values.index, dtype=object)
    return Labelled("multi_intensity", series, names, notes, merged(spelling))


def _levels(found: set[str | None], column: str) -> tuple[dict[str, str], list[str]]:
    """Return level as written -> as a model writes it (one word, no digits), and their order."""
    present = {level for level in found if level is not None}
    if len(present) != len(found):
        raise NewTaskError(f"column '{column}': a label has no intensity (null): give it one")
    numbers = {level: number(level) for level in present}
    if all(value is not None for value in numbers.values()):
        if len(present) not in NUMBERED:
            raise NewTaskError(
                f"column '{column}' has {len(present)} numeric intensities: write words, at most "
                "five, for example low, medium, high"
            )
        names = NUMBERED[len(present)]
        order = sorted(present, key=lambda level: numbers[level] or 0.0)
        return dict(zip(order, names, strict=True)), list(names)
    words = {level: re.sub(r"\s+", "-", level.strip().casefold()) for level in present}
    distinct = set(words.values())
    for known in LEVEL_ORDERS:
        if distinct <= set(known):
            return words, [name for name in known if name in distinct]
    return words, sorted(distinct)
