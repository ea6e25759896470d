"""Agreement coefficients of units that several raters put into categories.

Every coefficient is a function of sums over texts, so that its value and its bootstrap interval
come from one definition. Where there is no variation it is undefined: an exact 0/0, hence NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.metrics.counts import Floats, Sums, TextCounts
from helpers.metrics.intervals import percentile_interval, resampled_sums
from helpers.metrics.scores import _ratio


@dataclass(frozen=True)
class Ratings:
    """Units that several raters put into one of `n_values` categories.

    Attributes
    ----------
    values : ndarray of int, (units, raters)
        Category 0 to n_values - 1; -1 where the rater gave none.
    text : ndarray of int, (units,)
        Text that the unit belongs to: texts, not units, are independent of each other.
    n_texts, n_values : int
    """

    values: NDArray[np.int_]
    text: NDArray[np.int_]
    n_texts: int
    n_values: int

    def per_text(self, per_unit: NDArray[Any]) -> Floats:
        """Sums over the units of each text, (n_texts, width), of an array (units, width)."""
        sums = np.zeros((self.n_texts, per_unit.shape[1]))
        np.add.at(sums, self.text, per_unit)
        return sums

    def both(self, i: int, j: int) -> Ratings:
        """Return the units that both raters judged, with the texts that they belong to."""
        kept = (self.values[:, [i, j]] >= 0).all(axis=1)
        texts, text = np.unique(self.text[kept], return_inverse=True)
        return Ratings(self.values[kept][:, [i, j]], text, len(texts), self.n_values)


def bootstrap(
    parts: dict[str, Floats], statistic: Callable[[Sums], Floats], n_resamples: int, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Statistics of sums over texts, with 95% percentile intervals over resampled texts.

    Parameters
    ----------
    parts : dict of ndarray, each (texts, width)
        What each text adds; see `helpers.metrics.resampled_sums`.
    statistic : callable
        From sums, each (..., width), to statistics (..., k); NaN where undefined.
    n_resamples, seed : int

    Returns
    -------
    value, ci_low, ci_high : ndarray, (k,)
        No interval where the statistic is undefined, or where there are fewer than two texts.
    """
    n = len(next(iter(parts.values())))
    value = statistic({name: part.sum(axis=0) for name, part in parts.items()})
    if n < 2:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    counts = TextCounts("agreement", parts, np.ones(n, dtype=bool))
    low, high = percentile_interval(statistic(resampled_sums(counts, n_resamples, seed)))
    return value, np.where(np.isnan(value), np.nan, low), np.where(np.isnan(value), np.nan, high)


def bootstrap_shares(
    part: NDArray[Any], whole: NDArray[Any], n_resamples: int, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Shares, each a sum over texts divided by another, with 95% intervals.

    Where a share is 0 or 1 resampling has nothing to vary: the interval is Wilson's, the texts
    with a positive denominator being its trials.

    Parameters
    ----------
    part, whole : array_like, (texts, k)
        Numerators and denominators; 0 <= part <= whole.
    n_resamples, seed : int

    Returns
    -------
    value, ci_low, ci_high : ndarray, (k,)
        NaN where the denominator is 0.
    """
    parts = {"part": np.asarray(part, dtype=float), "whole": np.asarray(whole, dtype=float)}
    value, low, high = bootstrap(
        parts, lambda sums: _ratio(sums["part"], sums["whole"]), n_resamples, seed
    )
    trials = (parts["whole"] > 0).sum(axis=0)
    limits = wilson_interval(np.nan_to_num(value) * trials, trials)
    extreme = (value == 0) | (value == 1)
    return value, np.where(extreme, limits[0], low), np.where(extreme, limits[1], high)


def wilson_interval(successes: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    """95% score interval of a share; NaN where n is 0.

    Parameters
    ----------
    successes, n : array_like
        Number of successes and of independent trials.

    References
    ----------
    Wilson (1927), Journal of the American Statistical Association 22, 209-212.
    """
    # Imported here because statsmodels takes a second to load.
    from statsmodels.stats.proportion import proportion_confint

    hits, trials = np.broadcast_arrays(np.asarray(successes, float), np.asarray(n, float))
    some = (trials > 0).ravel()
    limits = np.full((2, some.size), np.nan)
    if some.any():
        limits[:, some] = proportion_confint(
            hits.ravel()[some], trials.ravel()[some], method="wilson"
        )
    low, high = limits.reshape((2, *trials.shape))
    return low, high


def _one_hot(ratings: Ratings, rater: int, kept: np.ndarray[Any, Any]) -> Floats:
    return np.eye(ratings.n_values)[ratings.values[:, rater]] * kept[:, None]


def pair_parts(ratings: Ratings, i: int = 0, j: int = 1) -> dict[str, Floats]:
    """Units that both raters judged: how many, how many equally, and each rater's categories."""
    a, b = ratings.values[:, i], ratings.values[:, j]
    both = (a >= 0) & (b >= 0)
    per_unit = {
        "units": both[:, None],
        "equal": (both & (a == b))[:, None],
        "a": _one_hot(ratings, i, both),
        "b": _one_hot(ratings, j, both),
    }
    return {name: ratings.per_text(part) for name, part in per_unit.items()}


def kappa_of(sums: Sums) -> Floats:
    """(p_o - p_e)/(1 - p_e) times n² above and below, so that "undefined" is an exact 0/0."""
    n, equal = sums["units"], sums["equal"]
    chance = (sums["a"] * sums["b"]).sum(axis=-1, keepdims=True)
    return _ratio(n * equal - chance, n**2 - chance)


def _value_counts(ratings: Ratings) -> Floats:
    """How many raters put each unit into each category, (units, n_values)."""
    raters = range(ratings.values.shape[1])
    return sum(
        (_one_hot(ratings, rater, ratings.values[:, rater] >= 0) for rater in raters),
        start=np.zeros((len(ratings.values), ratings.n_values)),
    )


def alpha_parts(ratings: Ratings) -> dict[str, Floats]:
    """Disagreeing pairs per unit, and categories, of the units with two or more values."""
    counts = _value_counts(ratings)
    m = counts.sum(axis=1, keepdims=True)
    pairs = m**2 - (counts**2).sum(axis=1, keepdims=True)
    return {
        "disagreement": ratings.per_text(np.where(m >= 2, pairs / np.maximum(m - 1, 1), 0)),
        "values": ratings.per_text(np.where(m >= 2, counts, 0)),
    }


def alpha_of(sums: Sums) -> Floats:
    """1 - D_o/D_e with nominal differences, from sums of `alpha_parts`; (..., 1)."""
    n = sums["values"].sum(axis=-1)
    expected = n**2 - (sums["values"] ** 2).sum(axis=-1)
    return 1 - _ratio((n - 1) * sums["disagreement"][..., 0], expected)[..., None]


def alpha_with_interval(
    ratings: Ratings, n_resamples: int, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Nominal Krippendorff's alpha by the krippendorff package; interval by `alpha_of`."""
    import krippendorff

    value, low, high = bootstrap(alpha_parts(ratings), alpha_of, n_resamples, seed)
    if not np.isnan(value[0]):  # where alpha is undefined, the package raises or divides by 0
        counts = _value_counts(ratings)
        alpha = krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
        value = np.array([float(alpha)])
    return value, low, high


def fleiss_parts(ratings: Ratings) -> dict[str, Floats]:
    """Agreeing pairs and categories of the units that every rater judged, and their number."""
    counts, raters = _value_counts(ratings), ratings.values.shape[1]
    full = (ratings.values >= 0).all(axis=1, keepdims=True) & (raters > 1)
    pairs = (counts**2).sum(axis=1, keepdims=True) - raters
    return {
        # Ordered pairs of raters who agree, as a share of each rater's partners.
        "agreeing": ratings.per_text(np.where(full, pairs / max(raters - 1, 1), 0)),
        "values": ratings.per_text(np.where(full, counts, 0)),
    }


def fleiss_of(sums: Sums) -> Floats:
    """(P - P_e)/(1 - P_e) times the squared number of values above and below; (..., 1)."""
    n = sums["values"].sum(axis=-1)
    chance = (sums["values"] ** 2).sum(axis=-1)
    return _ratio(sums["agreeing"][..., 0] * n - chance, n**2 - chance)[..., None]


def all_pairs_parts(ratings: Ratings, pairs: list[tuple[int, int]]) -> dict[str, Floats]:
    """Units that both raters of each pair judged, and judged equally, (n_texts, pairs)."""
    found = [pair_parts(ratings, i, j) for i, j in pairs]
    nothing = np.zeros((ratings.n_texts, 0))
    return {
        name: np.hstack([nothing, *(parts[name] for parts in found)]) for name in ("units", "equal")
    }


def mean_agreement(sums: Sums) -> Floats:
    """Share of equal judgements, averaged over the pairs that have units in common."""
    share = _ratio(sums["equal"], sums["units"])
    defined = ~np.isnan(share)
    total = np.where(defined, share, 0).sum(axis=-1)
    return _ratio(total, defined.sum(axis=-1).astype(float))[..., None]


def unanimous_parts(ratings: Ratings) -> dict[str, Floats]:
    """Units with two or more judgements, and those whose judgements are all equal."""
    counts = _value_counts(ratings)
    judged = counts.sum(axis=1, keepdims=True) >= 2
    one = (counts > 0).sum(axis=1, keepdims=True) == 1
    return {"equal": ratings.per_text(judged & one), "units": ratings.per_text(judged)}
