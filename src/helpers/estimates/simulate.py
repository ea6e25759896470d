"""Simulation where the truth is known: bias, coverage and width of each method."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from helpers.estimates.core import Data, Floats, fewest_events
from helpers.estimates.design import Design
from helpers.estimates.draws import Truth, with_errors
from helpers.estimates.methods import classical, dsl, naive, ppi, t_limits
from helpers.estimates.regression import FEWEST_EVENTS, two_valued
from helpers.estimates.replications import estimands
from helpers.estimates.sample import FEWEST, EstimatesError
from helpers.estimates.shares import estimate_shares
from helpers.estimates.summaries import summarise

# Replications at a time: arrays that stay in the processor's cache.
_BLOCK = 100
_METHODS = {"naive": naive, "classical": classical, "ppi": ppi, "dsl": dsl}


def simulate(design: Design, *, replications: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Draw coded samples many times, estimate, and compare with the truth.

    Returns
    -------
    frame, one row per estimand, accuracy, differential, n_coded and method: probabilities, target,
    realised_accuracy (with differential error), correlation (of prediction and truth), true_value,
    bias, coverage, mean_width, rmse, effective_n, each with its Monte-Carlo standard error
    (``..._se``), replications, and failed (replications without an interval, as where hardly a
    coded row has the label; left out of all figures). effective_n is n_coded x variance of
    classical / variance of the method over replications; empty for naive, whose error is bias.
    """
    tables = []
    for number, (truth, differential) in enumerate(_truths(design, seed)):
        for n_coded in design.n_coded:
            rng = np.random.default_rng([seed, number, n_coded])
            found = _setting(design, truth, n_coded, replications, rng)
            table = summarise(found, n_coded, design.methods)
            table.insert(1, "accuracy", truth.accuracy)
            table.insert(2, "differential", differential)
            varies = np.ptp(truth.predicted) > 0
            correlation = np.corrcoef(truth.truth, truth.predicted)[0, 1] if varies else np.nan
            tables.append(
                table.assign(
                    probabilities=design.probabilities,
                    target=design.target,
                    realised_accuracy=truth.realised,
                    correlation=correlation,
                )
            )
    return pd.concat(tables, ignore_index=True)


def _truths(design: Design, seed: int) -> Iterator[tuple[Truth, float]]:
    """Yield the population of each accuracy and differential error."""
    table = design.table
    covariate = np.zeros(len(table))
    if design.covariate is not None:
        column = table[design.covariate]
        if not pd.api.types.is_numeric_dtype(column):
            column = (column == sorted(column.unique())[-1]).astype(float)
        values = column.to_numpy(dtype=float)
        if values.std() == 0:
            raise EstimatesError(f"covariate {design.covariate!r} does not vary")
        covariate = (values - values.mean()) / values.std()
    high = covariate > np.median(covariate) if np.ptp(covariate) else covariate > 0
    if not high.any():  # of two values, the larger one is also the median
        high = covariate == covariate.max()
    group = table[design.group].to_numpy() if design.group else np.zeros(len(table))
    true = table[design.truth]
    for a, accuracy in enumerate(design.accuracy):
        made = with_errors(
            true, table[design.predicted], accuracy, np.random.default_rng([seed, a])
        )
        right = float((made == true.to_numpy(dtype=object)).mean())
        turn = np.random.default_rng([seed, a, 1]).random(len(table))
        for differential in design.differential:
            turned = np.where(high & (turn < differential), design.label, made)
            realised = float((turned == true.to_numpy(dtype=object)).mean())
            yield (
                Truth(
                    (true == design.label).to_numpy(dtype=float),
                    (turned == design.label).astype(float),
                    covariate,
                    group,
                    right,
                    realised,
                ),
                differential,
            )


Limits = tuple[Floats, Floats, Floats]
Found = dict[tuple[str, str], tuple[float, list[Limits]]]


def _setting(
    design: Design, truth: Truth, n_coded: int, replications: int, rng: np.random.Generator
) -> Found:
    """Return (estimand, method) -> true value, and estimates with limits, block by block."""
    found: Found = {}
    # A finite population has one outcome, whatever sample is drawn.
    noise = rng.normal(scale=design.noise, size=len(truth.truth))
    for start in range(0, replications, _BLOCK):
        block = min(_BLOCK, replications - start)
        for estimand, value, data in estimands(design, truth, n_coded, block, noise, rng):
            for method in design.methods:
                limits = _estimate(design, data, method, estimand)
                found.setdefault((estimand, method), (value, []))[1].append(limits)
    return found


def _estimate(design: Design, data: Data, method: str, estimand: str) -> Limits:
    """Return estimates and limits of all replications, each (replications,)."""
    if estimand.startswith("share"):
        result, low, high = estimate_shares(data, method, design.target, design.level)
        j = 0
    else:
        result = _METHODS[method](data, target=design.target)
        low, high = t_limits(result, design.level)
        j = 1
    # Naive is the same for all samples of a finite population.
    shape = data.weight.shape[:1]
    value, low, high = (np.broadcast_to(x[..., j], shape) for x in (result.value, low, high))
    if method == "naive":
        return value, low, high
    # Where the library gives no interval, there is none here.
    if estimand.startswith("share"):
        enough = data.n >= (FEWEST if estimand.startswith("share:") else 1)
    else:
        truth = data.y if estimand == "outcome" else data.x[..., 1]
        parts = two_valued(data, estimand)
        enough = fewest_events(truth, data.weight, parts) >= FEWEST_EVENTS
    return tuple(np.where(enough, part, np.nan) for part in (value, low, high))  # type: ignore[return-value]
