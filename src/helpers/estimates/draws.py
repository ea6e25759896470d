"""Populations whose truth is known, and coded samples of them, many at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from helpers.estimates.core import Floats
from helpers.estimates.sample import EstimatesError


@dataclass(frozen=True)
class Truth:
    """One population to draw from: truth and prediction are 0 or 1, all (B,).

    Attributes
    ----------
    accuracy : share of right labels (of all labels, not of 0 and 1) before differential error.
    realised : the same, after it.
    """

    truth: Floats
    predicted: Floats
    covariate: Floats
    group: np.ndarray
    accuracy: float
    realised: float


def subset(truth: Truth, inside: np.ndarray) -> Truth:
    """Return the rows of a population that are marked."""
    names = ("truth", "predicted", "covariate", "group")
    return replace(truth, **{name: getattr(truth, name)[inside] for name in names})


@dataclass(frozen=True)
class Draws:
    """Populations, as row numbers of the base, and their coded samples.

    Attributes
    ----------
    rows : (replications, N), or (N,) where all samples are of one finite population.
    positions : (replications, m) of the coded rows in their population.
    weight : (replications, m) 1 / probability, scaled to the sum N; 0 is padding.
    """

    rows: np.ndarray
    positions: np.ndarray
    weight: Floats

    def coded(self, values: np.ndarray) -> np.ndarray:
        """Return the coded rows' entries of values of the population, (..., N) -> (..., m)."""
        if values.ndim == 1:
            return values[self.positions]
        return np.take_along_axis(values, self.positions, axis=1)


def with_errors(
    truth: pd.Series, predicted: pd.Series, accuracy: float | None, rng: np.random.Generator
) -> np.ndarray:
    """Return predictions with a given accuracy: wrong ones put right, or right ones made wrong.

    New errors are labels that the model gives where it errs, so that the errors stay those of the
    model, only more of them. `accuracy` None: the predictions as they are.
    """
    true, made = truth.to_numpy(dtype=object), predicted.to_numpy(dtype=object).copy()
    right = made == true
    if accuracy is None:
        return made
    change = round(accuracy * len(made)) - int(right.sum())
    if change > 0:
        chosen = rng.choice(np.flatnonzero(~right), change, replace=False)
        made[chosen] = true[chosen]
    elif change < 0:
        chosen = rng.choice(np.flatnonzero(right), -change, replace=False)
        pool = made[~right] if (~right).any() else true
        for row in chosen:
            others = pool[pool != true[row]]
            if not len(others):
                raise EstimatesError("degrading the predictions needs at least two labels")
            made[row] = rng.choice(others)
    return made


def draw(
    n_base: int,
    n_population: int,
    n_coded: int,
    replications: int,
    score: Floats | None,
    finite: bool,
    rng: np.random.Generator,
) -> Draws:
    """Draw populations (with replacement, unless finite) and a coded sample of each.

    Parameters
    ----------
    score : (n_base,) coded rows are drawn independently with probabilities proportional to it
        (Poisson sampling: `n_coded` is the number to expect). None: simple random sampling.
    finite : the base itself is the population of all samples.
    """
    size = n_base if finite else n_population
    if n_coded > size:
        raise EstimatesError(f"{n_coded} rows cannot be coded in a population of {size}")
    rows = np.arange(n_base) if finite else rng.integers(0, n_base, size=(replications, size))
    if score is None:
        weight = np.full((replications, n_coded), size / n_coded)
        if not finite:  # the rows are in random order already
            first = np.broadcast_to(np.arange(n_coded), weight.shape)
            return Draws(rows, first, weight)
        keys = rng.random((replications, size), dtype=np.float32)
        return Draws(rows, np.argpartition(keys, n_coded - 1, axis=1)[:, :n_coded], weight)
    chance = score[rows]
    chance = np.minimum(1, n_coded * chance / chance.sum(axis=-1, keepdims=True))
    chance = np.broadcast_to(chance, (replications, size))
    return _independent(rows, chance, rng)


def thinned(draws: Draws, n_coded: np.ndarray) -> Draws:
    """Keep the first `n_coded` (replications,) coded rows of each simple random sample."""
    kept = np.arange(draws.weight.shape[1]) < n_coded[:, None]
    size = draws.rows.shape[-1]
    weight = np.where(kept, size / np.maximum(n_coded, 1)[:, None], 0.0)
    return Draws(draws.rows, draws.positions, weight)


def _independent(rows: np.ndarray, chance: Floats, rng: np.random.Generator) -> Draws:
    """Draw each row by itself (Poisson sampling); shorter samples are padded with weight 0."""
    taken = rng.random(chance.shape) < chance
    most = max(int(taken.sum(axis=1).max()), 1)
    order = np.argsort(~taken, axis=1, kind="stable")[:, :most]
    inside = np.take_along_axis(taken, order, axis=1)
    weight = np.where(inside, 1 / np.take_along_axis(chance, order, axis=1), 0.0)
    total = weight.sum(axis=1, keepdims=True)
    weight *= chance.shape[1] / np.where(total > 0, total, 1)
    return Draws(rows, order, weight)
