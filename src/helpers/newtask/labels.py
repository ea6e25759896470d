"""Make sense of a column of labels: what type they are, and which spellings are one label."""

from __future__ import annotations

import ast
import json
from collections import Counter
from typing import Any

import pandas as pd

from helpers.newtask.columns import as_text, each, is_missing, number
from helpers.newtask.errors import NewTaskError
from helpers.newtask.labelled import Labelled, check_classes
from helpers.newtask.several import intensities, separator_of, several
from helpers.newtask.spelling import merged, similar, spellings
from helpers.tasks import LabelType

NUMERIC_FROM = 20
"""More different numbers than this are a measurement, not classes."""


def read_labels(
    cells: pd.Series,
    column: str,
    label_type: LabelType | None = None,
    separator: str | None = None,
) -> Labelled:
    """Guess the type of labels (unless it is given) and read them.

    Parameters
    ----------
    cells : the column, as read.
    column : its name, for messages.
    separator : between several labels in a cell; None: found out.

    Raises
    ------
    NewTaskError
        If there are no labels, all are the same, or they look like free text or identifiers.
    """
    structured = each(cells, _structure)
    filled = structured[structured.notna()]
    if filled.empty:
        raise NewTaskError(f"column '{column}' holds no labels: all its cells are empty")
    kinds = Counter(type(value) for value in filled)
    if kinds[dict] and label_type in (None, "multi_intensity"):
        return intensities(structured, column)
    if label_type == "multi_intensity":
        raise NewTaskError(
            f"column '{column}': labels with intensities must be JSON mappings, for example "
            '{"anxiety": "high", "hope": "low"}'
        )
    texts = each(structured, lambda v: v if v is None or isinstance(v, list) else str(v))
    if label_type == "numeric" or (label_type is None and not separator and _is_measure(texts)):
        return _numbers(texts, column)
    if kinds[list] and label_type in (None, "multi"):
        return several(texts, column, None)
    if label_type in (None, "multi"):
        mark = separator or separator_of(texts, sure=label_type is None)
        if mark or label_type == "multi":
            return several(texts, column, mark)
    return _one(texts, column)


def _structure(cell: Any) -> Any:
    """Return a dict, a list of texts, a text, or None where there is no label."""
    if isinstance(cell, dict):
        return cell
    if isinstance(cell, list | tuple | set):
        return [text for item in cell if not is_missing(text := as_text(item))]
    text = as_text(cell)
    if is_missing(text) or text is None:
        return None
    if text[0] in "[{" and text[-1] in "]}":
        for parse in (json.loads, ast.literal_eval):
            try:
                value = parse(text)
            except (ValueError, SyntaxError):
                continue
            return _structure(value) if isinstance(value, list | dict) else text
    return text


def _one(texts: pd.Series, column: str) -> Labelled:
    known = each(texts, lambda v: "; ".join(v) if isinstance(v, list) else v)
    spelling, notes = spellings(known.dropna())
    values = each(known, lambda v: None if v is None else spelling[v])
    count = Counter(values.dropna())
    check_classes(count, column)
    notes += similar(count)
    return Labelled("single", values, notes=notes, merged=merged(spelling))


def _is_measure(texts: pd.Series) -> bool:
    known = [text for text in texts.dropna() if isinstance(text, str)]
    values = {number(text) for text in known}
    if None in values or len(known) < len(texts.dropna()):
        return False
    whole = all(value is not None and value.is_integer() for value in values)
    return len(values) > (NUMERIC_FROM if whole else NUMERIC_FROM // 2)


def _numbers(texts: pd.Series, column: str) -> Labelled:
    wrong = [row for row, t in texts.items() if t is not None and number(str(t)) is None]
    if wrong:
        raise NewTaskError(
            f"column '{column}' should hold numbers, but {len(wrong)} cell(s) do not, the first in "
            f"row {wrong[0]}: correct them, or choose another label type"
        )
    values = pd.Series(
        [None if t is None else number(str(t)) for t in texts], texts.index, dtype=object
    )
    if len(set(values.dropna())) < 2:
        raise NewTaskError(f"column '{column}' holds one number only: there is nothing to predict")
    return Labelled("numeric", values)
