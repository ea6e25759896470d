"""Bootstrap intervals by resampling texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.metrics.counts import Floats, Sums, TextCounts
from helpers.metrics.scores import class_rates, metrics_of

# Weights of one block: 4 million float64 = 32 MB, whatever the number of texts.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A score with the limits of its interval (NaN where undefined)."""

    value: float
    ci_low: float
    ci_high: float


def resampled_sums(counts: TextCounts, n_resamples: int, seed: int) -> Sums:
    """Sums over `n_resamples` bootstrap samples of the texts.

    A bootstrap sample draws n texts with replacement, each with probability 1/n. How often each
    text was drawn is counted, and the counts multiply the texts' contributions: one matrix product
    in place of a loop. The draws depend on (n, n_resamples, seed) alone, so two models scored on
    the same texts see the same samples, and the difference of their results is a paired one.

    Parameters
    ----------
    counts : TextCounts
        n texts.
    n_resamples : int
        At least 1.
    seed : int

    Returns
    -------
    dict of ndarray
        Each part of `counts`, (n_resamples, width), and ``n``, (n_resamples, 1).
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}")
    n = counts.n
    stacked = np.hstack(list(counts.parts.values()))
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n)
    blocks = []
    for start in range(0, n_resamples, rows):
        size = min(rows, n_resamples - start)
        cells = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        drawn = np.bincount(cells.ravel(), minlength=size * n).reshape(size, n)
        blocks.append(drawn.astype(np.float64) @ stacked)
    edges = np.cumsum([part.shape[1] for part in counts.parts.values()])[:-1]
    columns = np.split(np.vstack(blocks), edges, axis=1)
    sums = dict(zip(counts.parts, columns, strict=True))
    return sums | {"n": np.full((n_resamples, 1), float(n))}


def percentile_interval(samples: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Percentile interval: the (1-level)/2 and (1+level)/2 quantiles of the bootstrap scores.

    Parameters
    ----------
    samples : ndarray, (n_resamples, ...)
        Scores of the bootstrap samples. Undefined (NaN) ones are left out.
    level : float
        Nominal coverage.

    Returns
    -------
    low, high : ndarray, (...)
        Linear interpolation between order statistics; NaN where every sample is undefined.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    flat = samples.reshape(len(samples), -1)
    limits = np.full((2, flat.shape[1]), np.nan)
    defined = ~np.isnan(flat).all(axis=0)
    if defined.any():
        tail = (1 - level) / 2
        limits[:, defined] = np.nanquantile(flat[:, defined], [tail, 1 - tail], axis=0)
    low, high = limits.reshape((2, *samples.shape[1:]))
    return low, high


def bootstrap_metrics(counts: TextCounts, n_resamples: int, seed: int) -> dict[str, Floats]:
    """Every score of the label type on every bootstrap sample, each (n_resamples,)."""
    return metrics_of(counts.label_type, resampled_sums(counts, n_resamples, seed))


def evaluate(
    counts: TextCounts, n_resamples: int, seed: int, level: float = 0.95
) -> tuple[dict[str, Estimate], dict[str, list[Estimate]]]:
    """Scores and rates of each class, with bootstrap percentile intervals.

    Parameters
    ----------
    counts : TextCounts
    n_resamples, seed : int
        As in `resampled_sums`.
    level : float
        Nominal coverage.

    Returns
    -------
    overall : dict of Estimate
        By name of the score.
    by_class : dict of list of Estimate
        By name of the rate, one entry per class in column order; empty for numeric tasks.
    """
    total, resampled = counts.total(), resampled_sums(counts, n_resamples, seed)
    points = metrics_of(counts.label_type, total)
    spread = metrics_of(counts.label_type, resampled)
    overall = {}
    for name, point in points.items():
        low, high = percentile_interval(spread[name], level)
        overall[name] = Estimate(float(point), float(low), float(high))
    if counts.label_type == "numeric":
        return overall, {}
    by_class = {}
    class_points, class_spread = class_rates(total), class_rates(resampled)
    for name, values in class_points.items():
        low, high = percentile_interval(class_spread[name], level)
        # No value, no interval: a class may be defined in some resamples only.
        low, high = np.where(np.isnan(values), np.nan, (low, high))
        rows = zip(values, low, high, strict=True)
        by_class[name] = [Estimate(float(v), float(a), float(b)) for v, a, b in rows]
    return overall, by_class
