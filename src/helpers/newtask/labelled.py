"""Labels that were read: what all types of labels share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from helpers.newtask.columns import number
from helpers.newtask.errors import NewTaskError
from helpers.tasks import LabelType

MOST_LABELS = 200


@dataclass(frozen=True)
class Labelled:
    """What a column of labels holds.

    Attributes
    ----------
    label_type : as in a task.
    values : one a row: a label, a list, a mapping, a number, or None where there is no label.
    levels : intensities in rising order.
    notes : what was found out, in words.
    merged : spelling -> the spelling that it was merged into.
    separator : between several labels, if cells hold them so.
    """

    label_type: LabelType
    values: pd.Series
    levels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)
    separator: str | None = None


def check_classes(count: Counter[str], column: str) -> None:
    """Refuse labels that tell nothing apart, or that are no labels.

    Raises
    ------
    NewTaskError
        If there is one label, there are more than `MOST_LABELS`, or they look like free text.
    """
    total, distinct = sum(count.values()), len(count)
    if distinct == 1:
        raise NewTaskError(
            f"column '{column}' holds one label only, '{next(iter(count))}' ({total} texts): there "
            "is nothing to tell apart"
        )
    lengths = sorted(len(label) for label in count.elements())
    typical = lengths[len(lengths) // 2]
    once = sum(n == 1 for n in count.values())
    example = "', '".join(label[:40] for label, _ in count.most_common(3))
    if distinct > 20 and (once > 0.5 * total or (typical > 50 and distinct > 0.2 * total)):
        raise NewTaskError(
            f"column '{column}' has {distinct} different values in {total} rows (such as "
            f"'{example}'): it looks like free text or an identifier, not like labels. Name the "
            "column with the codes; if these are codes for many labels a text, give the separator "
            "(--separator)"
        )
    if distinct > MOST_LABELS:
        raise NewTaskError(
            f"column '{column}' has {distinct} labels; up to {MOST_LABELS} can be studied. Take a "
            "coarser code (the first digits?), or leave rare ones out (--min-class 20)"
        )


def present(values: Iterable[Any]) -> Counter[str]:
    """Count the texts that have each label."""
    count: Counter[str] = Counter()
    for value in values:
        count.update([value] if isinstance(value, str) else value or [])
    return count


def in_order(labels: Sequence[str]) -> list[str]:
    """Return labels in the order of a codebook: numbers by size, words by the alphabet."""
    return sorted(labels, key=lambda x: (number(x) is None, number(x) or 0.0, x.casefold(), x))
