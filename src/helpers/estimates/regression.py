"""Regressions with a predicted label as the outcome or as a covariate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers.estimates.core import Data, Floats, fewest_events, scaled_weights
from helpers.estimates.library import library_estimate
from helpers.estimates.methods import Result, classical, dsl, naive, ppi, t_limits
from helpers.estimates.sample import (
    METHODS,
    Coded,
    EstimatesError,
    check_choice,
    check_settings,
    place,
    positions,
)

COLUMNS = [
    "term", "method", "estimate", "std_error", "ci_low", "ci_high", "n", "n_coded", "note",
]  # fmt: skip
FAMILIES = ("ols", "logit")
ROLES = ("outcome", "covariate")
# Coded rows with the label, and without it: below, the t distribution is no guide.
FEWEST_EVENTS = 5
_UNDETERMINED = "predictions too poor for so few coded rows: no estimate"
_METHODS = {"naive": naive, "classical": classical, "ppi": ppi, "dsl": dsl}


def regression(
    population: pd.DataFrame,
    coded: Coded,
    *,
    outcome: str,
    covariates: Sequence[str],
    predicted_role: str = "outcome",
    family: str = "ols",
    predicted: str | None = None,
    label: Any = None,
    level: float = 0.95,
    methods: Sequence[str] = METHODS,
    target: str = "superpopulation",
) -> pd.DataFrame:
    """Estimate a linear or logistic regression in which one variable is predicted.

    Parameters
    ----------
    population : all N rows; the covariates, and the outcome, are known in all of them, but one of
        these columns holds predictions.
    coded : see `coded_sample`; its truth replaces the predictions.
    outcome : column. In the role ``outcome`` it is the predicted one.
    covariates : columns; text columns become indicators, the first level (sorted) left out.
    predicted_role : ``outcome`` or ``covariate``.
    family : ``ols`` or ``logit`` (outcome 0 or 1).
    predicted : the predicted column, if not `outcome` or, in the role ``covariate``,
        ``predicted``; there it must be one of the covariates.
    label : compare predictions and truth with this label (1 = has it); by default both are
        numbers already.

    Returns
    -------
    frame (term, method, estimate, std_error, ci_low, ci_high, n, n_coded, note); the constant is
    the term ``intercept``.

    Raises
    ------
    EstimatesError
        Unknown columns or settings; empty or non-numeric cells; a term that does not vary; fewer
        than 5 coded rows per coefficient.

    Notes
    -----
    A predicted 0/1 variable with fewer than 5 coded rows of either value gets no interval but for
    naive; nor does a predicted outcome with fewer than 5 of either value within either value of a
    0/1 covariate. With 5 to 10, or with dsl and 50 coded rows, intervals cover 88-94% in place of
    95%. ppi tunes lambda for each coefficient.
    """
    check_settings(methods, target, level)
    check_choice(family, FAMILIES, "family")
    check_choice(predicted_role, ROLES, "predicted_role")
    column = predicted or (outcome if predicted_role == "outcome" else "predicted")
    if predicted_role == "covariate" and column not in covariates:
        raise EstimatesError(f"the predicted column {column!r} is not among the covariates")
    data, terms, events = _data(
        population, coded, outcome, covariates, column, predicted_role, family, label
    )
    rows = []
    for method in methods:
        result = _METHODS[method](data, family=family, target=target)
        value = result.value
        if method == "ppi" and family == "ols" and predicted_role == "outcome":
            value = _by_library(data, result)
        low, high = t_limits(Result(value, result.std_error, result.df), level)
        note = "" if method == "naive" else events
        for j, term in enumerate(terms):
            cells = [float(part[j]) for part in (value, result.std_error, low, high)]
            if method == "dsl" and not np.isfinite(cells[0]):
                rows.append((term, method, *[np.nan] * 4, data.n_all, len(coded), _UNDETERMINED))
                continue
            if not np.isfinite(cells[0]):
                raise EstimatesError(
                    f"no {method} estimate of {term!r}: among the {len(coded)} coded rows a term "
                    "does not vary, is a sum of others, or tells the outcome with certainty. "
                    "Leave a covariate out, or code more rows"
                )
            if note:
                cells[1:] = [np.nan] * 3
            rows.append((term, method, *cells, data.n_all, len(coded), note))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order = {term: position for position, term in enumerate(terms)}
    return frame.sort_values(
        "term", key=lambda column: column.map(order), kind="stable", ignore_index=True
    )


def _by_library(data: Data, result: Result) -> Floats:
    assert result.lam is not None
    found = library_estimate(data, result.lam)
    return result.value if found is None else found


def _data(
    population: pd.DataFrame,
    coded: Coded,
    outcome: str,
    covariates: Sequence[str],
    column: str,
    role: str,
    family: str,
    label: Any,
) -> tuple[Data, list[str], str]:
    """Return the data of the regression, its terms, and a note if the label is too rare."""
    rows = positions(population, coded)
    guess = _numbers(population, column, label, population, coded.id)
    named = coded.truth.to_frame("truth").assign(**{coded.id: coded.ids.to_numpy()})
    truth = _numbers(named, "truth", label, named, coded.id)
    if role == "outcome":
        y_all, y, y_hat = guess, truth, guess[rows]
        x_all, terms = _design(population, covariates, coded.id)
        x = x_hat = x_all[rows]
    else:
        y_all = _numbers(population, outcome, None, population, coded.id)
        y = y_hat = y_all[rows]
        x_all, terms = _design(population.assign(**{column: guess}), covariates, coded.id)
        x_hat, x = x_all[rows], x_all[rows].copy()
        x[:, terms.index(column)] = truth
    for values, name in ((y_all, outcome), (y, "truth" if role == "outcome" else outcome)):
        if family == "logit" and not np.isin(values, (0, 1)).all():
            raise EstimatesError(f"logit needs an outcome of 0 and 1: {name!r} has other values")
    if len(rows) < 5 * len(terms):
        raise EstimatesError(
            f"{len(rows)} coded rows for {len(terms)} coefficients: code at least "
            f"{5 * len(terms)} rows, or leave covariates out"
        )
    weight = scaled_weights(coded.probability.to_numpy(dtype=float), len(population))
    centre, scale = x_all[:, 1:].mean(axis=0), x_all[:, 1:].std(axis=0)
    if (flat := np.flatnonzero(scale == 0)).size:
        raise EstimatesError(f"{terms[flat[0] + 1]!r} has the same value in all rows: leave it out")
    to_standard = _standardiser(centre, scale)
    parts = [part @ to_standard for part in (x_all, x, x_hat)]
    data = Data(parts[0], y_all, parts[1], y, parts[2], y_hat, weight, to_standard)
    return data, terms, _rare(truth, data, role)


def _standardiser(centre: Floats, scale: Floats) -> Floats:
    """Return T with x T standardised, and coefficients of x = T (coefficients of x T).

    Years squared swamp a constant in double precision; standardised they do not.
    """
    transform = np.diag(np.concatenate([[1.0], 1 / scale]))
    transform[0, 1:] = -centre / scale
    return transform


def _design(frame: pd.DataFrame, covariates: Sequence[str], id: str) -> tuple[Floats, list[str]]:
    """Return the design matrix with a constant first, and the names of its terms."""
    columns, terms = [np.ones(len(frame))], ["intercept"]
    for name in covariates:
        if name not in frame:
            raise EstimatesError(f"the population has no column {name!r}")
        if pd.api.types.is_numeric_dtype(frame[name]):
            columns.append(_numbers(frame, name, None, frame, id))
            terms.append(name)
            continue
        if (empty := frame[name].isna()).any():
            raise EstimatesError(f"covariate {name!r} is empty in {place(frame, id, empty)}")
        levels = sorted(frame[name].unique())
        for level in levels[1:]:
            columns.append((frame[name] == level).to_numpy(dtype=float))
            terms.append(f"{name}[{level}]")
    return np.column_stack(columns), terms


def _numbers(frame: pd.DataFrame, name: str, label: Any, ids: pd.DataFrame, id: str) -> Floats:
    """Return a column as numbers, or as an indicator of `label`."""
    if name not in frame:
        raise EstimatesError(f"the population has no column {name!r}")
    column = frame[name]
    if label is not None:
        # An empty prediction is one without this label.
        found = column.map(lambda cell: _has(cell, label)).to_numpy(dtype=float)
        if not found.any():
            raise EstimatesError(
                f"no row of {name!r} has the label {label!r}: check its type, or code more rows"
            )
        return found
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    if (bad := ~np.isfinite(values)).any():
        raise EstimatesError(
            f"{name!r} is empty or not a number in {place(ids, id, bad)}: fill it, leave the row "
            "out of the population before sampling, or give `label` to compare with"
        )
    return values


def _has(cell: Any, label: Any) -> bool:
    if isinstance(cell, list | tuple | set | frozenset | np.ndarray):
        return label in list(cell)
    return bool(pd.notna(cell) and cell == label)


def _rare(truth: Floats, data: Data, role: str) -> str:
    """Return a note where a 0/1 variable has too few coded rows of one value."""
    if not np.isin(truth, (0, 1)).all():
        return ""
    fewest = int(fewest_events(truth, data.weight, two_valued(data, role)))
    if fewest >= FEWEST_EVENTS:
        return ""
    where = ", or of one within a group" if role == "outcome" else ""
    return f"{fewest} coded rows of one value{where}, fewer than {FEWEST_EVENTS}: no interval"


def two_valued(data: Data, role: str) -> Floats:
    """Return the covariates of two values as 0 and 1, (..., n, p); none for the other role."""
    if role != "outcome":
        return np.zeros((*data.x.shape[:-1], 0))
    # All replications of a simulation draw from the same rows: the first shows their values.
    values = [np.unique(column) for column in data.x_all.reshape(-1, *data.x_all.shape[-2:])[0].T]
    chosen = [j for j, found in enumerate(values) if len(found) == 2]
    middle = np.array([values[j].mean() for j in chosen])
    return (data.x[..., chosen] > middle).astype(float)
