"""How many rows to code, and how many coded rows a model is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t as t_distribution

from helpers.estimates.methods import ADDED_ERRORS
from helpers.estimates.sample import FEWEST, TARGETS, EstimatesError, check_choice

PLANNED = ("classical", "ppi", "dsl")


def effective_sample_size(
    variance_classical: float, variance_method: float, n_coded: float
) -> float:
    """Return how many coded rows the classical estimate would need for the method's variance.

    n_coded x variance_classical / variance_method: with 200 coded rows and half the variance,
    400. What exceeds `n_coded` is what the model is worth. Only for methods without bias.

    Raises
    ------
    EstimatesError
        If a variance is not above 0.
    """
    if not (variance_classical > 0 and variance_method > 0):
        raise EstimatesError(
            f"variances must be above 0, got {variance_classical} and {variance_method}"
        )
    return n_coded * variance_classical / variance_method


def labels_needed(
    width: float,
    *,
    share: float | None = None,
    n_population: int,
    correlation: float | None = None,
    predicted_share: float | None = None,
    pilot: pd.DataFrame | None = None,
    level: float = 0.95,
    method: str = "classical",
    target: str = "superpopulation",
) -> int:
    """Return how many rows to code, drawn at random, for an interval of a given width.

    Parameters
    ----------
    width : upper minus lower limit, as a share: 0.1 for plus or minus 5 points.
    share : the share to expect (0.5 is the worst case).
    n_population : rows N that the model has labelled.
    correlation : between prediction and truth, both 0 or 1 (phi coefficient); not for classical.
    predicted_share : share of the rows predicted to have the label (default: `share`); for dsl.
    pilot : coded rows with columns truth and predicted, both 0 or 1, drawn with equal
        probabilities; gives what is not given of share, correlation and predicted share.
    method : ``classical``, ``ppi`` or ``dsl``.

    Returns
    -------
    The smallest n, at least 20, whose interval is expected to be no wider.

    Raises
    ------
    EstimatesError
        Values out of range, or a width that is out of reach: even with all N rows coded, the
        process that made them would be known less well (target ``superpopulation``).

    Notes
    -----
    Simple random sampling without replacement, with f = 1/n - 1/N and S^2 = share (1 - share):
    classical S^2 f, ppi S^2 (1 - correlation^2) f, dsl Var(truth - prediction) f, and S^2 / N
    more for the superpopulation (see `helpers.estimates.methods`, also for the errors that ppi
    and dsl add to those seen). A pilot's correlation is an
    estimate; plan with the lower end of its interval to be on the safe side.
    """
    check_choice(method, PLANNED, "method")
    check_choice(target, TARGETS, "target")
    if pilot is not None:
        known = _pilot(pilot)
        share = known[0] if share is None else share
        predicted_share = known[1] if predicted_share is None else predicted_share
        correlation = known[2] if correlation is None else correlation
    residual, spread = _variances(share, predicted_share, correlation, method)
    added = ADDED_ERRORS.get(method)
    if not 0 < width < 1 or n_population < FEWEST:
        raise EstimatesError(
            f"width {width} and n_population {n_population}: give a width between 0 and 1, and a "
            f"population of at least {FEWEST} rows"
        )
    n = np.arange(FEWEST, n_population + 1)
    fraction = 1 / n - 1 / n_population
    # As the intervals are made: with the errors that are added to those seen.
    variance = fraction * (residual if added is None else (n * residual + added) / (n + 2))
    if target == "superpopulation":
        variance = variance + spread / n_population
    lost = 2 if method == "ppi" else 1
    reached = 2 * t_distribution.ppf((1 + level) / 2, n - lost) * np.sqrt(variance) <= width
    if not reached.any():
        best = (
            2 * t_distribution.ppf((1 + level) / 2, n_population) * np.sqrt(spread / n_population)
        )
        raise EstimatesError(
            f"no number of coded rows gives a width of {width}: {n_population} rows, all coded, "
            f"give {best:.3g}. Widen it, or collect more rows"
        )
    return int(n[np.argmax(reached)])


def _variances(
    share: float | None, predicted_share: float | None, correlation: float | None, method: str
) -> tuple[float, float]:
    """Return the variance of what coding must settle, and that of the truth."""
    if share is None or not 0 < share < 1:
        raise EstimatesError(f"share is {share}: give one between 0 and 1, or a pilot")
    spread = share * (1 - share)
    if method == "classical":
        return spread, spread
    if correlation is None or not -1 <= correlation <= 1:
        raise EstimatesError(
            f"correlation is {correlation}: {method} needs that of prediction and truth, between "
            "-1 and 1, or a pilot"
        )
    if method == "ppi":
        # Predictions that point the wrong way are not used: lambda is clipped at 0.
        return spread * (1 - max(correlation, 0) ** 2), spread
    guessed = share if predicted_share is None else predicted_share
    if not 0 <= guessed <= 1:
        raise EstimatesError(f"predicted_share is {guessed}: give one between 0 and 1")
    guessed = guessed * (1 - guessed)
    return spread + guessed - 2 * correlation * np.sqrt(spread * guessed), spread


def _pilot(pilot: pd.DataFrame) -> tuple[float, float, float]:
    for name in ("truth", "predicted"):
        if name not in pilot or not pilot[name].isin([0, 1]).all():
            raise EstimatesError(f"the pilot needs a column {name!r} of 0 and 1")
    truth, predicted = (pilot[name].to_numpy(dtype=float) for name in ("truth", "predicted"))
    if len(pilot) < FEWEST or truth.std() == 0:
        raise EstimatesError(
            f"a pilot of {len(pilot)} rows with {int(truth.sum())} of the label says too little: "
            f"give at least {FEWEST} rows, some with the label and some without"
        )
    # Predictions that never vary tell nothing.
    both = np.corrcoef(truth, predicted)[0, 1] if predicted.std() else 0.0
    return float(truth.mean()), float(predicted.mean()), float(both)
