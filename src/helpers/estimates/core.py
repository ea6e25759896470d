"""Regressions by estimating equations, and their influence functions, for many samples at once.

Every array may have leading axes, one entry for each label or replication; the last axes are
rows (and terms). A mean is the regression on a constant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A system worse conditioned than this has no answer worth the name: the estimate is NaN.
_CONDITION = 1e12
_STEPS = 50
# A row that decides its own fitted value alone says nothing about its error.
_LEVERAGE = 0.95


@dataclass(frozen=True)
class Data:
    """A population with predictions and its coded rows.

    Attributes
    ----------
    x_all, y_all : (..., N, k), (..., N) all rows, predictions in place of what is predicted.
    x, y : (..., n, k), (..., n) coded rows, with the truth.
    x_hat, y_hat : (..., n, k), (..., n) the same rows, with the predictions.
    weight : (..., n) 1 / inclusion probability, scaled to the sum N; 0 marks padding.
    transform : (k, k) maps coefficients of `x` to those that are reported (default: the same).
    """

    x_all: Floats
    y_all: Floats
    x: Floats
    y: Floats
    x_hat: Floats
    y_hat: Floats
    weight: Floats
    transform: Floats | None = None

    @property
    def n_all(self) -> int:
        """Rows of the population."""
        return int(self.y_all.shape[-1])

    @property
    def n(self) -> Floats:
        """Coded rows, (...,)."""
        return np.count_nonzero(self.weight, axis=-1).astype(float)

    @property
    def terms(self) -> int:
        """Coefficients."""
        return int(self.x_all.shape[-1])

    @property
    def equal(self) -> bool:
        """Whether all coded rows of a sample weigh the same."""
        largest = self.weight.max(axis=-1, keepdims=True, initial=0)
        return bool(((self.weight == 0) | np.isclose(self.weight, largest, rtol=1e-9)).all())

    def with_outcome(self, y_all: Floats, y: Floats, y_hat: Floats) -> Data:
        """Return the same rows with another outcome."""
        return replace(self, y_all=y_all, y=y, y_hat=y_hat)


Part = tuple[Floats, Floats, Floats | float]


def scaled_weights(probability: Floats, n_all: int) -> Floats:
    """Return 1 / probability, scaled to the sum `n_all` over the last axis."""
    weight = 1 / probability
    return weight * n_all / weight.sum(axis=-1, keepdims=True)


def _mean_and_slope(linear: Floats, family: str) -> tuple[Floats, Floats | float]:
    if family == "ols":
        return linear, 1.0
    fitted = 1 / (1 + np.exp(-np.clip(linear, -35, 35)))
    return fitted, fitted * (1 - fitted)


def _equations(parts: list[Part], theta: Floats, family: str) -> tuple[Floats, Floats]:
    """Return the summed moments s x (y - mu), (..., k), and minus their slope, (..., k, k)."""
    moments, slopes = np.zeros(()), np.zeros(())
    for x, y, s in parts:
        mu, slope = _mean_and_slope(np.matmul(x, theta[..., None])[..., 0], family)
        factor = np.broadcast_to(s * slope, np.broadcast_shapes(np.shape(y), np.shape(s)))
        transposed = np.swapaxes(x, -1, -2)
        moments = moments + np.matmul(transposed, (s * (y - mu))[..., None])[..., 0]
        slopes = slopes + np.matmul(transposed * factor[..., None, :], x)
    return moments, slopes


def solve(parts: list[Part], family: str = "ols") -> tuple[Floats, Floats]:
    """Solve the estimating equations: sum over parts and rows of s x (y - mu(x theta)) = 0.

    Parameters
    ----------
    parts : each (x, y, s): (..., m, k), (..., m), and a sign or weight for each row.
    family : ``ols`` (mu is the identity) or ``logit``.

    Returns
    -------
    theta : (..., k), NaN where there is no solution (a term does not vary, or classes separate).
    inverse : (..., k, k) inverse of the summed slopes.
    """
    theta = np.zeros(parts[0][0].shape[-1])
    for _ in range(_STEPS):
        moments, slopes = _equations(parts, theta, family)
        inverse = _inverse(slopes)
        step = np.matmul(inverse, moments[..., None])[..., 0]
        theta = theta + step
        if family == "ols" or not np.nanmax(np.abs(step), initial=0) > 1e-10:
            break
    diverged = (np.abs(step) > 1e-6).any(axis=-1) if family != "ols" else np.zeros(step.shape[:-1])
    return np.where(np.asarray(diverged, dtype=bool)[..., None], np.nan, theta), inverse


def _inverse(matrices: Floats) -> Floats:
    # Terms have scales of their own: compare them as correlations.
    scale = np.sqrt(np.abs(np.einsum("...jj->...j", matrices)))
    outer = scale[..., :, None] * scale[..., None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        standard = matrices / outer
    finite = np.isfinite(standard).all(axis=(-1, -2))
    safe = np.where(finite[..., None, None], standard, np.eye(matrices.shape[-1]))
    bad = ~finite | (np.linalg.cond(safe) > _CONDITION)
    safe = np.where(bad[..., None, None], np.eye(matrices.shape[-1]), safe)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.linalg.inv(safe) / outer
    return np.where(bad[..., None, None], np.nan, inverse)


def influence(
    x: Floats, y: Floats, theta: Floats, inverse: Floats, n_all: int, family: str = "ols"
) -> Floats:
    """Return each row's influence on theta, (..., m, k): theta - truth ~ mean of them over N."""
    mu, _ = _mean_and_slope(np.matmul(x, theta[..., None])[..., 0], family)
    return np.matmul(x * (y - mu)[..., None], n_all * np.swapaxes(inverse, -1, -2))


def without_itself(
    x: Floats, theta: Floats, inverse: Floats, weight: Floats, family: str = "ols"
) -> Floats:
    """Return 1 / (1 - leverage), (..., m, 1): residuals as if the row had not been fitted (HC3)."""
    _, slope = _mean_and_slope(np.matmul(x, theta[..., None])[..., 0], family)
    leverage = weight * slope * (np.matmul(x, np.nan_to_num(inverse)) * x).sum(axis=-1)
    return 1 / (1 - np.clip(leverage, 0, _LEVERAGE))[..., None]


def fewest_events(truth: Floats, weight: Floats, parts: Floats) -> Floats:
    """Return the fewest coded rows with either value of a 0/1 variable, (...,).

    Parameters
    ----------
    truth, weight : (..., n)
    parts : (..., n, p) of 0 and 1; rows are also counted within each value of each column.
    """
    real = (weight > 0)[..., None]
    everybody = np.ones((*np.shape(parts)[:-1], 1))
    inside = np.concatenate([everybody, parts, 1 - parts], axis=-1) * real
    counts = [(inside * value[..., None]).sum(axis=-2) for value in (truth, 1 - truth)]
    return np.minimum(*counts).min(axis=-1)
