"""Can these rows be a sample of that population? Tests that only gross mistakes fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from helpers.estimates.core import Floats, scaled_weights

THRESHOLD = 0.001
# A share with fewer rows to expect than this is no matter for a normal test.
_EXPECTED = 5
_LEVELS = 50


def check_total(probability: Floats, n_all: int) -> str | None:
    """Compare the sum of 1 / probability with N; return what is wrong, or None.

    Its variance is taken as that of independent draws, sum of (1 - p) / p^2, which is wide for
    samples of a fixed size.
    """
    total = float((1 / probability).sum())
    spread = float(np.sqrt(((1 - probability) / probability**2).sum()))
    # Probabilities given with few digits are no reason to refuse: half a per cent.
    if abs(total - n_all) <= norm.isf(THRESHOLD / 2) * spread + 0.005 * n_all:
        return None
    return (
        f"the sum of 1 / probability is {total:.6g}, the population has {n_all} rows: these "
        "cannot be the probabilities with which the coded rows were drawn from it. For a simple "
        f"random sample give n / N = {len(probability) / n_all:.6g}; else check that the "
        "population is the whole table that was drawn from, and that no coded row was lost"
    )


def check_balance(columns: pd.DataFrame, rows: np.ndarray, probability: Floats) -> str | None:
    """Compare weighted means of the coded rows with the population's; return what is wrong.

    Parameters
    ----------
    columns : (N, ...) of the population; numbers as they are, anything else by its levels.
    rows : (n,) positions of the coded rows.
    probability : (n,)

    Returns
    -------
    None, or a message: some mean has a two-sided p below 0.001 / number of means.
    """
    if len(rows) == len(columns):
        return None
    weight = scaled_weights(probability, len(columns))
    found = []
    for name in columns:
        for level, values in _indicators(columns[name]):
            sample = values[rows]
            if level is not None and not _enough(values.mean(), len(rows)):
                continue
            found.append((_p_value(values, sample, weight), name, level, values, sample))
    if not found:
        return None
    p, name, level, values, sample = min(found, key=lambda entry: entry[0])
    if p >= THRESHOLD / len(found):
        return None
    what = f"mean of {name!r}" if level is None else f"share of {name!r} = {level!r}"
    return (
        f"the coded rows are not a sample of this population with these probabilities: the {what} "
        f"is {np.average(sample, weights=weight):.4g} in the weighted coded rows and "
        f"{values.mean():.4g} in the population (p = {p:.1g}, threshold {THRESHOLD} / "
        f"{len(found)}). Give the table that they were drawn from, and the probabilities with "
        "which each row was really drawn; rows chosen by hand or by convenience cannot be used"
    )


def _enough(share: float, n: int) -> bool:
    return n * min(share, 1 - share) >= _EXPECTED


def _indicators(column: pd.Series) -> list[tuple[Any, Floats]]:
    """Return (level, values): the numbers themselves (level None), or one indicator per level."""
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and column.notna().all() and column.nunique() > 2:
        return [(None, column.to_numpy(dtype=float))]
    # Cells that hold several labels are compared as they stand.
    text = column.map(lambda cell: None if cell is None or cell is pd.NA else str(cell))
    common = text.value_counts().head(_LEVELS).index
    return [(level, (text == level).to_numpy(dtype=float)) for level in common]


def _p_value(values: Floats, sample: Floats, weight: Floats) -> float:
    """Return the p-value of the weighted mean under the design; exact in its variance for n / N."""
    n, n_all = len(sample), len(values)
    if np.allclose(weight, weight[0]):
        variance = values.var(ddof=1) * (1 / n - 1 / n_all)
    else:
        residual = sample - values.mean()
        variance = float((weight * np.maximum(weight - 1, 0) * residual**2).sum()) / n_all**2
        variance *= n / (n - 1)
    gap = abs(np.average(sample, weights=weight) - values.mean())
    if variance <= 0:
        return 1.0 if gap < 1e-9 else 0.0
    return float(2 * norm.sf(gap / np.sqrt(variance)))
