"""Shares of labels in a population, or in its groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from helpers.estimates.core import Data, Floats, scaled_weights
from helpers.estimates.library import library_estimate
from helpers.estimates.methods import (
    Result,
    classical,
    dsl,
    naive,
    ppi,
    t_limits,
    wilson_limits,
)
from helpers.estimates.sample import METHODS, Coded, EstimatesError, check_settings, positions

COLUMNS = [
    "label", "method", "estimate", "std_error", "ci_low", "ci_high", "n", "n_coded", "note",
]  # fmt: skip


def shares(
    population: pd.DataFrame,
    coded: Coded,
    labels: Sequence[Any],
    *,
    predicted: str = "predicted",
    by: str | Sequence[str] | None = None,
    level: float = 0.95,
    methods: Sequence[str] = METHODS,
    target: str = "superpopulation",
    min_coded: int = 20,
) -> pd.DataFrame:
    """Estimate the share of each label, in all rows or by group.

    Parameters
    ----------
    population : all N rows, with predictions. A cell is a label, a collection of labels, or empty
        (no label applies).
    coded : see `coded_sample`.
    labels : the label set.
    by : column or columns of the population; each group is estimated from its own rows, the
        weights scaled to its size.
    level : nominal coverage.
    target : ``superpopulation`` or ``population``, see `helpers.estimates`.
    min_coded : a group with fewer coded rows gets estimates without intervals.

    Returns
    -------
    frame ([by], label, method, estimate, std_error, ci_low, ci_high, n, n_coded, note), in the
    order of groups, labels, methods.

    Raises
    ------
    EstimatesError
        Labels in predictions or truth that are not of the label set; unknown columns or settings.

    Notes
    -----
    Limits: naive and classical Wilson's; ppi and dsl t, with one error (dsl: half an error) of
    either kind added to those seen among the coded rows (`methods.ADDED_ERRORS`), cut at 0
    and 1. Estimates are not cut: one outside [0, 1] says that the coded rows are too few.
    """
    check_settings(methods, target, level)
    by = [by] if isinstance(by, str) else list(by or [])
    for column in [predicted, *by]:
        if column not in population:
            raise EstimatesError(f"the population has no column {column!r}")
    if len(labels) == 0 or len(set(labels)) < len(labels):
        raise EstimatesError("labels must be a list of different labels, at least one")
    rows = positions(population, coded)
    guesses = indicators(population[predicted], labels, f"population column {predicted!r}")
    truth = indicators(coded.truth, labels, "truth of the coded rows")
    probability = coded.probability.to_numpy(dtype=float)
    tables = []
    for key, inside in _groups(population, by):
        here = np.flatnonzero(inside[rows])
        data = share_data(
            guesses[:, inside], truth[:, here], guesses[:, rows[here]], probability[here]
        )
        table = _table(data, labels, methods, target, level, min_coded)
        for position, (column, value) in enumerate(zip(by, key, strict=True)):
            table.insert(position, column, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)[[*by, *COLUMNS]]


def indicators(column: pd.Series, labels: Sequence[Any], what: str) -> Floats:
    """Return 1 where a row has the label, (labels, rows); empty cells have none.

    Raises
    ------
    EstimatesError
        At a label that is not of the label set.
    """
    known = {label: position for position, label in enumerate(labels)}
    shown = ", ".join(map(repr, labels[:3])) + (", ..." if len(labels) > 3 else "")
    found = np.zeros((len(labels), len(column)))
    for row, cell in enumerate(column.tolist()):
        for value in _labels_of(cell):
            if value not in known:
                raise EstimatesError(
                    f"{what}: {value!r} in row {row + 1} is not one of the {len(labels)} labels "
                    f"({shown}): correct it, or name it in `labels`; labels must be of the same "
                    "type everywhere"
                )
            found[known[value], row] = 1
    return found


def _labels_of(cell: Any) -> list[Any]:
    if isinstance(cell, list | tuple | set | frozenset | np.ndarray):
        return list(cell)
    return [] if pd.isna(cell) else [cell]


def share_data(y_all: Floats, y: Floats, y_hat: Floats, probability: Floats) -> Data:
    """Return the data of shares: regressions on a constant, one for each leading entry."""
    n_all = y_all.shape[-1]
    ones, ones_all = np.ones((*y.shape[-1:], 1)), np.ones((n_all, 1))
    weight = scaled_weights(probability, n_all) if y.shape[-1] else probability
    return Data(ones_all, y_all, ones, y, ones, y_hat, weight)


def estimate_shares(
    data: Data, method: str, target: str, level: float
) -> tuple[Result, Floats, Floats]:
    """Return estimates and limits of shares, (..., 1), by one method."""
    if method == "naive":
        result = naive(data, target=target)
        if target == "population":
            return result, result.value, result.value
        size = np.full(result.value.shape[:-1], float(data.n_all))
        return result, *wilson_limits(result, size, level)
    w = data.weight
    with np.errstate(invalid="ignore"):  # a group without coded rows
        size = w.sum(axis=-1) ** 2 / (w**2).sum(axis=-1)
    if method == "classical":
        result = classical(data, target=target)
        with np.errstate(divide="ignore"):
            size = size / (1 - data.n / data.n_all) if target == "population" else size
        return result, *wilson_limits(result, np.broadcast_to(size, result.value.shape[:-1]), level)
    result = (ppi if method == "ppi" else dsl)(data, target=target, binary=True)
    low, high = t_limits(result, level)
    return result, np.clip(low, 0, 1), np.clip(high, 0, 1)


def _groups(
    population: pd.DataFrame, by: list[str]
) -> Iterator[tuple[tuple[Any, ...], np.ndarray]]:
    if not by:
        yield (), np.ones(len(population), dtype=bool)
        return
    numbers = population.groupby(by, sort=True, dropna=False).ngroup().to_numpy()
    for number in range(numbers.max() + 1):
        inside = numbers == number
        yield tuple(population[by].iloc[int(np.argmax(inside))]), inside


def _table(
    data: Data, labels: Sequence[Any], methods: Sequence[str], target: str, level: float, least: int
) -> pd.DataFrame:
    n = data.y.shape[-1]
    rows = []
    for method in methods:
        if method != "naive" and n == 0:
            note = "no coded rows: no estimate"
            rows += [(label, method, *[np.nan] * 4, note) for label in labels]
            continue
        result, low, high = estimate_shares(data, method, target, level)
        if method == "ppi":
            result = replace(result, value=_by_library(data, result))
        for i, label in enumerate(labels):
            cells = [float(part[i, 0]) for part in (result.value, result.std_error, low, high)]
            note = ""
            if method != "naive" and n < least:
                cells[1:] = [np.nan] * 3
                note = f"{n} coded rows, fewer than {least}: no interval"
            elif not 0 <= cells[0] <= 1:
                note = "estimate outside [0, 1]: too few coded rows for this label"
            rows.append((label, method, *cells, note))
    table = pd.DataFrame(rows, columns=[*COLUMNS[:6], "note"])
    order = {label: position for position, label in enumerate(labels)}
    table = table.sort_values("label", key=lambda column: column.map(order), kind="stable")
    return table.assign(n=data.n_all, n_coded=n)[COLUMNS]


def _by_library(data: Data, result: Result) -> Floats:
    """Return the estimates of `ppi_py`, or those at hand where it is not installed."""
    assert result.lam is not None
    value = result.value.copy()
    for i, lam in enumerate(result.lam):
        found = library_estimate(data.with_outcome(data.y_all[i], data.y[i], data.y_hat[i]), lam)
        value[i] = value[i] if found is None else found
    return value
