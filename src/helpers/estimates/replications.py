"""Samples of a design, with the true value of what they estimate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from helpers.estimates.core import Data, Floats
from helpers.estimates.design import Design
from helpers.estimates.draws import Draws, Truth, draw, subset, thinned

# Unequal probabilities: rows predicted to have the label are this much likelier to be coded.
_OVERSAMPLING = 3.0


def estimands(
    design: Design,
    truth: Truth,
    n_coded: int,
    replications: int,
    noise: Floats,
    rng: np.random.Generator,
) -> Iterator[tuple[str, float, Data]]:
    """Yield each estimand, its true value, and the data of `replications` samples."""
    size = design.n_population or len(truth.truth)
    draws = _draws(design, truth, size, n_coded, replications, rng)
    for estimand in design.estimands:
        if estimand == "share":
            yield estimand, float(truth.truth.mean()), _share(truth, draws)
        elif estimand == "outcome":
            x = np.stack([np.ones_like(truth.covariate), truth.covariate], axis=-1)
            value = np.linalg.lstsq(x, truth.truth, rcond=None)[0][1]
            coded = draws.coded(draws.rows)
            outcomes = (truth.predicted[draws.rows], truth.truth[coded], truth.predicted[coded])
            y_all, y, y_hat = outcomes
            data = Data(x[draws.rows], y_all, x[coded], y, x[coded], y_hat, draws.weight)
            yield estimand, float(value), data
        elif estimand == "covariate":
            yield _with_covariate(design, truth, draws, noise, rng)
        else:
            yield from _by_group(design, truth, size, n_coded, replications, rng)


def _draws(
    design: Design,
    truth: Truth,
    size: int,
    n_coded: int,
    replications: int,
    rng: np.random.Generator,
) -> Draws:
    score = None
    if design.probabilities == "unequal":
        score = 1 + (_OVERSAMPLING - 1) * truth.predicted
    finite = design.target == "population"
    return draw(len(truth.truth), size, n_coded, replications, score, finite, rng)


def _share(truth: Truth, draws: Draws) -> Data:
    coded = draws.coded(draws.rows)
    one, one_all = np.ones((coded.shape[1], 1)), np.ones((draws.rows.shape[-1], 1))
    y_all, y, y_hat = truth.predicted[draws.rows], truth.truth[coded], truth.predicted[coded]
    return Data(one_all, y_all, one, y, one, y_hat, draws.weight)


def _by_group(
    design: Design,
    truth: Truth,
    size: int,
    n_coded: int,
    replications: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, float, Data]]:
    """Yield the share in each group; how many of its rows are coded is left to chance."""
    for group in np.unique(truth.group):
        part = subset(truth, truth.group == group)
        share = len(part.truth) / len(truth.truth)
        own = round(size * share)
        if design.probabilities == "equal":
            counts = rng.hypergeometric(own, size - own, n_coded, size=replications)
            most = max(int(counts.max()), 1)
            draws = thinned(_draws(design, part, own, most, replications, rng), counts)
        else:
            weights = 1 + (_OVERSAMPLING - 1) * truth.predicted
            mine = weights[truth.group == group].sum() / weights.sum()
            draws = _draws(design, part, own, round(n_coded * mine), replications, rng)
        yield f"share: {design.group} = {group}", float(part.truth.mean()), _share(part, draws)


def _with_covariate(
    design: Design, truth: Truth, draws: Draws, noise: Floats, rng: np.random.Generator
) -> tuple[str, float, Data]:
    """Return the regression of a simulated outcome on the predicted label and the covariate."""
    x = truth.covariate
    right, guess = (np.stack([np.ones_like(x), y, x], -1) for y in (truth.truth, truth.predicted))
    expected = design.effect * truth.truth + 0.5 * x
    true_value = design.effect
    if draws.rows.ndim == 1:
        y_all = expected + noise
        true_value = float(np.linalg.lstsq(right, y_all, rcond=None)[0][1])
    else:
        y_all = expected[draws.rows] + rng.normal(scale=design.noise, size=draws.rows.shape)
    coded = draws.coded(draws.rows)
    y = draws.coded(y_all)
    data = Data(guess[draws.rows], y_all, right[coded], y, guess[coded], y, draws.weight)
    return "covariate", true_value, data
