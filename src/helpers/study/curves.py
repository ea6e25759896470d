"""What a learning curve says: labels needed for a target, and what the next labels are worth.

Each curve (`helpers.study.power_law`) is fitted to the mean scores, for the value, and to every
two-level bootstrap sample of them, for the interval. A sample holds the same texts and the same
seeds at all sizes, of all models, and of a target that was sampled with the same seed, so that
what moves all of them together cancels.

What an interval leaves out: the form of the curve. Only `curve_table`'s check speaks of that, and
no number is given beyond `FURTHEST` times the largest size seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers.metrics import percentile_interval
from helpers.metrics.counts import Floats
from helpers.study.learning_curve import Curve, Target
from helpers.study.power_law import MIN_SIZES, CurveError, PowerLaws, fit_power_law

__all__ = [
    "Curve",
    "CurveError",
    "PowerLaws",
    "Target",
    "curve_lines",
    "curve_table",
    "fit_power_law",
    "labels_needed",
    "next_labels",
]

FURTHEST = 4  # times the largest number of training texts: no number is given beyond
DECIMALS = 6


def curve_table(curves: Sequence[Curve]) -> pd.DataFrame:
    """Parameters of each curve, and how well it predicts the largest size from the others.

    The check fits all sizes but the largest. ``predicted_low`` to ``predicted_high`` is where the
    observed score should lie: the percentile interval of the predictions of all samples, each
    plus the noise of the observation (its bootstrap deviation). Prediction and observation come
    from the same seeds and texts, so noise that they share cancels, as it must: ``error``
    is their difference on these texts.

    Returns
    -------
    DataFrame
        One row per curve: task, model, labels, ``sizes``, ``n_max``; ``asymptote``, ``scale``,
        ``exponent`` with ``_low`` and ``_high`` (exponent: NaN for a flat curve), ``residual``,
        ``share_flat`` (samples whose curve does not rise); of the check ``predicted`` with limits,
        ``observed`` with limits, ``error`` (predicted minus observed) with limits, ``held``
        (whether the observed score lies in the interval of the prediction) and ``extrapolation``
        (largest over second largest size). Three sizes leave nothing to check: NaN.
    """
    rows = []
    for curve in curves:
        row = curve.keys | {"sizes": len(curve.n), "n_max": int(curve.n[-1])}
        for name in ("asymptote", "scale", "exponent"):
            row |= _with_interval(name, getattr(curve.fit, name)[0], getattr(curve.fits, name))
        row["residual"] = curve.fit.residual[0]
        row["share_flat"] = float(curve.fits.flat.mean())
        rows.append(row | _check_of(curve))
    return _rounded(rows)


def _check_of(curve: Curve) -> dict[str, Any]:
    largest, observed = curve.n[-1], curve.points[-1]
    if len(curve.n) > MIN_SIZES:
        fit, fits = curve.without_largest()
        predicted, spread = float(fit.at(largest)[0]), fits.at(largest)
    else:
        predicted, spread = np.nan, np.full(len(curve.samples), np.nan)
    noise = curve.samples[:, -1] - observed
    low, high = _limits(spread - noise)
    error = _with_interval("error", predicted - observed, spread - curve.samples[:, -1])
    return {
        "predicted": predicted,
        "predicted_low": low,
        "predicted_high": high,
        **_with_interval("observed", observed, curve.samples[:, -1]),
        **error,
        "held": None if np.isnan(predicted) else bool(low <= observed <= high),
        "extrapolation": largest / curve.n[-2],
    }


def labels_needed(curves: Sequence[Curve], targets: Mapping[str, float | Target]) -> pd.DataFrame:
    """Number of labels at which each curve attains each target.

    Parameters
    ----------
    curves : sequence of Curve
    targets : mapping of name to number or Target
        Samples of a target are paired with those of the curve: draw them with the same
        number of resamples and seed.

    Returns
    -------
    DataFrame
        One row per curve and target: task, model, labels, ``target``, ``value``; ``needed`` with
        ``ci_low`` and ``ci_high``: the smallest whole number of labels, never below the smallest
        size seen, inf (unknown, possibly never) beyond `FURTHEST` times the largest;
        ``share_reached``: share of samples whose curve attains the target at any number;
        ``status``: ``smallest`` (the smallest size suffices; fewer were not tried), ``within``
        the sizes seen, ``extrapolated``, ``beyond``; ``in_words``: ``at most 25``, ``140``,
        ``more than 3,200``.

    Raises
    ------
    CurveError
        If a target has another number of samples than a curve.
    """
    rows = []
    for curve in curves:
        for name, given in targets.items():
            target = given if isinstance(given, Target) else Target(float(given))
            goals = target.value if target.samples is None else target.samples
            if np.ndim(goals) and np.shape(goals) != (len(curve.samples),):
                raise CurveError(
                    f"{curve.what}, target {name!r}: {np.size(goals)} samples do not pair with "
                    f"{len(curve.samples)}: draw both with the same number of resamples"
                )
            needed = float(_whole(curve, curve.fit.needed(target.value))[0])
            spread = _whole(curve, curve.fits.needed(goals))
            low, high = _whole_limits(spread)
            row = {"target": name, "value": target.value}
            row |= {"needed": needed, "ci_low": low, "ci_high": high}
            row["share_reached"] = float(curve.fits.reaches(goals).mean())
            rows.append(curve.keys | row | _in_words(curve, needed))
    return _rounded(rows)


def _whole(curve: Curve, needed: Floats) -> Floats:
    """Whole numbers of labels, from the smallest size seen to FURTHEST times the largest."""
    # 140.0000001 is 140 up to rounding, not 141.
    whole = np.maximum(np.ceil(np.round(needed, 4)), curve.n[0])
    return np.where(whole > FURTHEST * curve.n[-1], np.inf, whole)


def _in_words(curve: Curve, needed: float) -> dict[str, str]:
    smallest, largest = curve.n[0], curve.n[-1]
    if np.isnan(needed):
        return {"status": "undefined", "in_words": "undefined"}
    if np.isinf(needed):
        return {"status": "beyond", "in_words": f"more than {FURTHEST * largest:,.0f}"}
    if needed <= smallest:
        return {"status": "smallest", "in_words": f"at most {smallest:,.0f}"}
    status = "within" if needed <= largest else "extrapolated"
    return {"status": status, "in_words": f"{needed:,.0f}"}


def next_labels(curves: Sequence[Curve], extra: int = 100) -> pd.DataFrame:
    """Gain in score by `extra` more labels, at each size seen.

    Returns
    -------
    DataFrame
        One row per curve and size: task, model, labels, ``n_train``, ``extra``, ``score`` (fitted,
        at ``n_train``), ``gain`` = f(n + extra) - f(n) with ``ci_low``, ``ci_high`` (NaN beyond
        `FURTHEST` times the largest size) and ``extrapolated``: n + extra lies beyond the largest.
    """
    rows = []
    for curve in curves:
        more = np.where(curve.n + extra > FURTHEST * curve.n[-1], np.nan, curve.n + extra)
        gain = (curve.fit.at(more) - curve.fit.at(curve.n))[0]
        low, high = percentile_interval(curve.fits.at(more) - curve.fits.at(curve.n))
        fitted = curve.fit.at(curve.n)[0]
        for i, n in enumerate(curve.n):
            row = {"n_train": int(n), "extra": extra, "score": fitted[i], "gain": gain[i]}
            row |= {"ci_low": low[i], "ci_high": high[i]}
            row["extrapolated"] = bool(n + extra > curve.n[-1])
            rows.append(curve.keys | row)
    return _rounded(rows)


def curve_lines(curves: Sequence[Curve], factor: float = 2.0, steps: int = 60) -> pd.DataFrame:
    """Fitted scores along each curve, for a figure.

    Parameters
    ----------
    curves : sequence of Curve
    factor : float
        How far beyond the largest size, at most `FURTHEST`.
    steps : int
        Places per curve, evenly spaced on a log scale.

    Returns
    -------
    DataFrame
        task, model, labels, ``n_train``, ``value``, ``ci_low``, ``ci_high``.
    """
    tables = []
    for curve in curves:
        n = np.geomspace(curve.n[0], curve.n[-1] * min(factor, FURTHEST), steps)
        low, high = percentile_interval(curve.fits.at(n))
        values = {"n_train": n, "value": curve.fit.at(n)[0], "ci_low": low, "ci_high": high}
        tables.append(pd.DataFrame(curve.keys | values))
    return pd.concat(tables, ignore_index=True).round(DECIMALS) if tables else pd.DataFrame()


def _limits(samples: ArrayLike) -> tuple[float, float]:
    """95% percentile interval."""
    low, high = percentile_interval(np.asarray(samples, dtype=float))
    return float(low), float(high)


def _whole_limits(samples: Floats) -> tuple[float, float]:
    """95% percentile interval of whole or infinite numbers: no mixture of neighbours."""
    defined = samples[~np.isnan(samples)]
    if len(defined) == 0:
        return np.nan, np.nan
    low = np.quantile(defined, 0.025, method="lower")
    return float(low), float(np.quantile(defined, 0.975, method="higher"))


def _with_interval(name: str, value: float, samples: Floats) -> dict[str, float]:
    low, high = _limits(samples) if not np.isnan(value) else (np.nan, np.nan)
    return {name: float(value), f"{name}_low": low, f"{name}_high": high}


def _rounded(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Table whose last digits do not depend on the machine."""
    return pd.DataFrame(rows).round(DECIMALS)
