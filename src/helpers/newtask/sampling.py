"""A stratified sample of a large table, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers.newtask.labelled import present

MOST_TEXTS = 20_000
"""More texts than this are not taken without being asked for: chapters would run for hours."""
SUGGESTED = 5_000
AT_LEAST = 12
"""A class keeps so many texts in a sample (all if it has fewer): three of them for testing."""


def stratified_sample(frame: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """Draw `size` rows, each class with its share but at least `AT_LEAST` texts.

    Parameters
    ----------
    frame : rows with the column labels.
    size : rows wanted (all if there are fewer); a few more where many classes are small.
    seed : of the draw; the same rows in any order give the same sample.

    Notes
    -----
    A text with several labels counts for its rarest one; numbers for their tenth of the range.
    """
    if size >= len(frame):
        return frame
    ordered = frame.sort_values("id", kind="stable")
    groups = pd.Series(strata(ordered["labels"].tolist()), index=ordered.index)
    sizes = groups.value_counts(sort=False)
    wanted = (sizes * size / len(frame)).round().astype(int)
    floor = np.minimum(sizes, min(AT_LEAST, max(1, size // len(sizes))))
    wanted = np.maximum(wanted, floor)
    surplus = int(wanted.sum() - size)
    for group in wanted.sort_values(ascending=False, kind="stable").index:
        take = max(min(surplus, wanted[group] - floor[group]), wanted[group] - sizes[group])
        wanted[group] -= take
        surplus -= take
        if surplus == 0:
            break
    random = np.random.default_rng(seed)
    chosen: list[Any] = []
    for group in sorted(sizes.index, key=str):
        rows = ordered.index[(groups == group).to_numpy()].to_numpy()
        chosen += random.choice(rows, size=int(wanted[group]), replace=False).tolist()
    return frame.loc[sorted(chosen)]


def strata(labels: Sequence[Any]) -> list[str]:
    """Return the stratum of each row: its label, its rarest label, or its tenth of the numbers."""
    if all(isinstance(item, float) for item in labels):
        tenth = pd.qcut(pd.Series(labels), 10, labels=False, duplicates="drop")
        return [str(value) for value in tenth]
    count = present(labels)

    def rarest(item: Any) -> str:
        names = [item] if isinstance(item, str) else list(item)
        return min(names, key=lambda name: (count[name], name), default="")

    return [rarest(item) for item in labels]
