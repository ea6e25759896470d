"""Tests that compare two models on the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from helpers.metrics.counts import TextCounts
from helpers.metrics.intervals import bootstrap_metrics, percentile_interval
from helpers.metrics.scores import metric_names, scores


@dataclass(frozen=True)
class PairedDifference:
    """Difference model minus reference, its 95% interval and two-sided p-value."""

    difference: float
    ci_low: float
    ci_high: float
    p_value: float


@dataclass(frozen=True)
class McNemar:
    """Discordant texts and the exact two-sided p-value."""

    only_a: int
    only_b: int
    p_value: float


def paired_bootstrap(
    a: TextCounts, b: TextCounts, n_resamples: int, seed: int
) -> dict[str, PairedDifference]:
    """Bootstrap of the difference a - b of every score, texts resampled jointly.

    The interval is the percentile interval of the differences. The p-value is twice the smaller
    share of bootstrap differences on either side of 0, (1 + count)/(1 + n_resamples) so that it
    is never 0, at most 1: the smallest value that n_resamples = 2,000 can give is 0.001.

    Parameters
    ----------
    a, b : TextCounts
        The same texts in the same order.
    n_resamples, seed : int
        As in `resampled_sums`.

    Raises
    ------
    ValueError
        If label type or number of texts differ.

    References
    ----------
    Davison & Hinkley (1997), Bootstrap Methods and their Application, sections 4.2 and 5.2.
    """
    if a.label_type != b.label_type or a.n != b.n:
        raise ValueError(f"cannot pair {a.n} {a.label_type} texts with {b.n} {b.label_type} texts")
    points_a, points_b = scores(a), scores(b)
    spread_a, spread_b = (
        bootstrap_metrics(a, n_resamples, seed),
        bootstrap_metrics(b, n_resamples, seed),
    )
    result = {}
    for name in metric_names(a.label_type):
        samples = spread_a[name] - spread_b[name]
        low, high = percentile_interval(samples)
        defined = samples[~np.isnan(samples)]
        tail = min((defined <= 0).sum(), (defined >= 0).sum())
        p_value = min(1.0, 2 * (1 + tail) / (1 + len(defined)))
        difference = points_a[name] - points_b[name]
        if np.isnan(difference):
            low, high, p_value = np.array(np.nan), np.array(np.nan), np.nan
        result[name] = PairedDifference(difference, float(low), float(high), float(p_value))
    return result


def mcnemar_exact(right_a: ArrayLike, right_b: ArrayLike) -> McNemar:
    """Exact McNemar test of equal accuracy of two models on the same texts.

    Under equal accuracy the texts that only one of the two gets right fall to either with
    probability 1/2: a two-sided binomial test on those texts; 1 if there are none.

    Parameters
    ----------
    right_a, right_b : array_like of bool, (n,)

    References
    ----------
    McNemar (1947), Psychometrika 12(2), 153-157.
    """
    from scipy.stats import binomtest  # takes half a second to import

    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape}, {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    p_value = binomtest(only_a, discordant, 0.5).pvalue if discordant else 1.0
    return McNemar(only_a, only_b, float(p_value))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values of one family; NaN (no test) stays NaN, uncounted.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70.
    """
    # Imported here because statsmodels takes a second to load.
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p_values, dtype=float)
    adjusted = np.full(values.shape, np.nan)
    tested = ~np.isnan(values)
    if tested.any():
        adjusted[tested] = multipletests(values[tested], method="holm")[1]
    return [float(value) for value in adjusted]
