"""What a simulation shows, with Monte-Carlo standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.estimates.core import Floats

COLUMNS = [
    "estimand", "n_coded", "method", "true_value",
    "bias", "bias_se", "coverage", "coverage_se", "mean_width", "mean_width_se",
    "rmse", "rmse_se", "effective_n", "effective_n_se", "replications", "failed",
]  # fmt: skip
Limits = tuple[Floats, Floats, Floats]


def summarise(
    found: Mapping[tuple[str, str], tuple[float, list[Limits]]],
    n_coded: int,
    methods: Sequence[str],
) -> pd.DataFrame:
    """Return one row per estimand and method.

    Parameters
    ----------
    found : (estimand, method) -> true value, and blocks of (estimates, lower, upper limits).

    Notes
    -----
    Standard errors: of means, s / sqrt(R); of a share, sqrt(c (1 - c) / R); of the root mean
    squared error by the delta method; of the ratio of variances by that of log s^2 for two
    normal variables with correlation r: ratio x sqrt(4 (1 - r^2) / R).
    """
    rows = []
    for estimand in dict.fromkeys(name for name, _ in found):
        joined = {m: _joined(found[estimand, m][1]) for m in methods}
        base = joined.get("classical")
        for method in methods:
            value = found[estimand, method][0]
            worth = (np.nan, np.nan)
            if method != "naive" and base is not None:
                worth = _effective(base[0], joined[method][0], n_coded)
            figures = _figures(value, *joined[method])
            rows.append((estimand, n_coded, method, value, *figures[:8], *worth, *figures[8:]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _joined(blocks: list[Limits]) -> Limits:
    value, low, high = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return value, low, high


def _figures(true: float, value: Floats, low: Floats, high: Floats) -> tuple[float, ...]:
    done = np.isfinite(value) & np.isfinite(low) & np.isfinite(high)
    count = int(done.sum())
    if count < 2:
        return (*[np.nan] * 8, len(value), len(value) - count)
    error, width = value[done] - true, (high - low)[done]
    # A limit that equals the truth to rounding covers it.
    covered = ((low[done] <= true + 1e-12) & (true - 1e-12 <= high[done])).mean()
    root = np.sqrt(count)
    rmse = np.sqrt((error**2).mean())
    rmse_se = (error**2).std(ddof=1) / root / (2 * rmse) if rmse > 0 else 0.0
    return (
        float(error.mean()),
        float(error.std(ddof=1) / root),
        float(covered),
        float(np.sqrt(covered * (1 - covered) / count)),
        float(width.mean()),
        float(width.std(ddof=1) / root),
        float(rmse),
        float(rmse_se),
        len(value),
        len(value) - count,
    )


def _effective(base: Floats, value: Floats, n_coded: int) -> tuple[float, float]:
    both = np.isfinite(base) & np.isfinite(value)
    if both.sum() < 2 or np.ptp(base[both]) == 0 or np.ptp(value[both]) == 0:
        return np.nan, np.nan
    ratio = base[both].var(ddof=1) / value[both].var(ddof=1)
    r = np.corrcoef(base[both], value[both])[0, 1]
    spread = ratio * np.sqrt(max(4 * (1 - r**2), 0) / both.sum())
    return float(n_coded * ratio), float(n_coded * spread)
