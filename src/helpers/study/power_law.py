"""Learning curves as inverse power laws: score(n) = a - b n^(-c).

a is the score that endless labels would lead to, b how far below it one starts, c how fast the
gap closes: the form that Figueroa et al. (2012) fit to text classifiers and Cho et al. (2015) to
images, and that Hestness et al. (2017) find between the first stage, where a model can but guess,
and the last, where it has learned all there is. Nothing guarantees it: learning curves may dip or
rise in steps (Viering & Loog 2023), which is why `helpers.study.curves` checks each fit on the
largest size.

References
----------
Figueroa, Zeng-Treitler, Kandula & Ngo (2012), BMC Medical Informatics and Decision Making 12:8,
doi:10.1186/1472-6947-12-8. Cho et al. (2015), arXiv:1511.06348. Hestness et al. (2017),
arXiv:1712.00409. Viering & Loog (2023), IEEE TPAMI 45(6), 7799-7819, arXiv:2103.10948.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from helpers.metrics.counts import Floats
from helpers.runs import HelpersError

# Below 0.01 the curve is a straight line in log n over any range of sizes that can be seen: the
# asymptote is then no longer determined by the data.
EXPONENT_LOW = 0.01
# Theory and measurements lie between 0 and 1 (1/2 and 1 for finite-dimensional models, Hutter
# 2021, arXiv:2102.04074). 2 leaves room, and keeps a fit from turning one flat step into "done".
EXPONENT_HIGH = 2.0
# Scores are shares or explained shares: an asymptote below 0 has no meaning.
ASYMPTOTE_LOW = 0.0
MIN_SIZES = 3  # three parameters

# A rise over all sizes below this is rounding: the curve is flat and its exponent undefined.
_FLAT = 1e-9
_GRID = np.geomspace(EXPONENT_LOW, EXPONENT_HIGH, 100)
_ROUNDS, _STEPS = 9, 11  # each round makes the bracket five times narrower
_BLOCK = 1000  # curves at a time: a few MB per array of the search


class CurveError(HelpersError):
    """A learning curve cannot be fitted to what was given."""


@dataclass(frozen=True, eq=False)
class PowerLaws:
    """R fitted curves a - b n^(-c).

    Attributes
    ----------
    asymptote, scale : ndarray, (R,)
        a and b. NaN where a score was undefined.
    exponent : ndarray, (R,)
        c; NaN for a flat curve (b = 0), where no exponent can be told.
    residual : ndarray, (R,)
        Root of the weighted mean squared residual, in units of the score.
    """

    asymptote: Floats
    scale: Floats
    exponent: Floats
    residual: Floats

    @property
    def flat(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which curves do not rise, (R,)."""
        return self.scale == 0

    def at(self, n: ArrayLike) -> Floats:
        """Scores at `n` training texts: (R,) for a number, (R, M) for an array (M,)."""
        sizes = np.asarray(n, dtype=float)
        exponent = np.where(self.flat, 1.0, self.exponent)
        gap = self.scale[:, None] * sizes.reshape(1, -1) ** -exponent[:, None]
        values = self.asymptote[:, None] - gap
        return values if sizes.ndim else values[:, 0]

    def reaches(self, target: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether a curve attains `target`, a number or (R,), at any number of texts."""
        goal = np.asarray(target, dtype=float)
        return np.where(self.flat, self.asymptote >= goal, self.asymptote > goal)

    def needed(self, target: ArrayLike) -> Floats:
        """Number of texts (not rounded) at which a curve attains `target`, (R,).

        0 for a flat curve at or above the target, inf where the target is never reached, NaN
        where there is no curve.
        """
        goal = np.broadcast_to(np.asarray(target, dtype=float), self.asymptote.shape)
        found = np.full(goal.shape, np.inf)
        rising = self.reaches(goal) & ~self.flat
        gap = self.asymptote[rising] - goal[rising]
        # A tiny exponent can overflow: so many texts are as good as never.
        with np.errstate(over="ignore"):
            found[rising] = (self.scale[rising] / gap) ** (1 / self.exponent[rising])
        found[self.reaches(goal) & self.flat] = 0.0
        found[np.isnan(self.asymptote) | np.isnan(goal)] = np.nan
        return found


def fit_power_law(
    n: ArrayLike, scores: ArrayLike, upper: float = 1.0, weights: ArrayLike | None = None
) -> PowerLaws:
    """Fit a - b n^(-c) by (weighted) least squares, to many curves at once.

    Variable projection: for a given c the best a and b within their bounds follow from a closed
    formula, so that only c is searched, on a grid over its whole range (no starting values, no
    local minima) that is then refined around the best point.

    Parameters
    ----------
    n : array_like, (S,)
        Numbers of training texts: positive, at least 3 different ones.
    scores : array_like, (R, S) or (S,)
        Scores where higher is better, one curve a row. A row with an undefined (NaN) score gets
        NaN parameters.
    upper : float
        Largest asymptote: 1 for accuracy, Jaccard, R².
    weights : array_like, (S,), optional
        Positive weights of the squared residuals, such as inverse variances; equal by default.

    Returns
    -------
    PowerLaws
        R curves (1 for a single row), 0 <= a <= upper, b >= 0,
        EXPONENT_LOW <= c <= EXPONENT_HIGH.

    Raises
    ------
    CurveError
        For fewer than three different sizes, or shapes and weights that do not fit.
    """
    sizes, values = np.asarray(n, dtype=float), np.atleast_2d(np.asarray(scores, dtype=float))
    share = np.ones(len(sizes)) if weights is None else np.asarray(weights, dtype=float)
    _check(sizes, values, share)
    share = share / share.sum()
    defined = ~np.isnan(values).any(axis=1)
    found = np.full((4, len(values)), np.nan)
    rows = np.flatnonzero(defined)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        found[:, block] = _search(sizes, values[block], upper, share)
    return PowerLaws(*found)


def _check(sizes: Floats, values: Floats, weights: Floats) -> None:
    if sizes.ndim != 1 or values.ndim != 2 or values.shape[1] != len(sizes):
        raise CurveError(f"{values.shape} scores do not belong to {sizes.shape} training sizes")
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise CurveError("numbers of training texts must be positive")
    if (distinct := len(np.unique(sizes))) < MIN_SIZES:
        raise CurveError(
            f"a learning curve has three parameters; {distinct} training size(s) cannot determine "
            f"them: train with at least {MIN_SIZES} different numbers of texts"
        )
    if weights.shape != sizes.shape or not (np.isfinite(weights) & (weights > 0)).all():
        raise CurveError("weights must be positive, one per training size")


def _search(sizes: Floats, values: Floats, upper: float, weights: Floats) -> Floats:
    """Rows a, b, c and root mean squared residual, (4, R)."""
    # In units of the smallest size, n^-c stays between 0 and 1.
    unit = sizes.min()
    ratio = sizes / unit
    rows = np.arange(len(values))
    grid = _GRID[None, :]  # all curves share the first grid, then each has its own
    for _ in range(_ROUNDS):
        a, b, error = _bounded_line(ratio ** -grid[..., None], values, upper, weights)
        best = error.argmin(axis=1)
        a, b, error = (array[rows, best] for array in (a, b, error))
        grid = np.broadcast_to(grid, (len(values), grid.shape[1]))
        c, last = grid[rows, best], grid.shape[1] - 1
        left, right = grid[rows, np.maximum(best - 1, 0)], grid[rows, np.minimum(best + 1, last)]
        grid = np.linspace(left, right, _STEPS, axis=1)
    flat = b * (1 - (sizes.max() / unit) ** -c) < _FLAT
    a = np.where(flat, np.clip(values @ weights, ASYMPTOTE_LOW, upper), a)
    b = np.where(flat, 0.0, b * unit**c)
    return np.array([a, b, np.where(flat, np.nan, c), np.sqrt(error)])


def _bounded_line(
    basis: Floats, y: Floats, upper: float, weights: Floats
) -> tuple[Floats, Floats, Floats]:
    """Least squares of y = a - b * basis with ASYMPTOTE_LOW <= a <= upper and b >= 0.

    The error is convex: with a free, b is that of the line or 0; if a then breaks a bound, it
    lies on that bound, and b is the best one there.

    Parameters
    ----------
    basis : ndarray, (R or 1, K, S)
        n^-c of K exponents.
    y : ndarray, (R, S)
    upper : float
    weights : ndarray, (S,)
        Summing to 1.

    Returns
    -------
    a, b, error : ndarray, (R, K)
        Error: the weighted mean of the squared residuals.
    """
    mean_g, mean_y = basis @ weights, (y @ weights)[:, None]
    g, centred = basis - mean_g[..., None], y - mean_y
    s_gg, s_yy = g**2 @ weights, (centred**2 @ weights)[:, None]
    s_gy = ((g * weights) @ centred[..., None])[..., 0]
    b = np.maximum(-s_gy / s_gg, 0)
    free = mean_y + b * mean_g
    a = np.clip(free, ASYMPTOTE_LOW, upper)
    # Sums of basis * (a - y) and of basis squared, from the centred ones.
    on_bound = (mean_g * (a - mean_y) - s_gy) / (s_gg + mean_g**2)
    b = np.where(a == free, b, np.maximum(on_bound, 0))
    error = s_yy + 2 * b * s_gy + b**2 * s_gg + (mean_y + b * mean_g - a) ** 2
    return a, b, np.maximum(error, 0)
