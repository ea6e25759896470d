"""The coded subsample: rows drawn from a population with known inclusion probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.estimates.checks import check_balance, check_total
from helpers.estimates.core import Floats
from helpers.runs import HelpersError

METHODS = ("naive", "classical", "ppi", "dsl")
TARGETS = ("superpopulation", "population")
FEWEST = 20  # coded rows: below, normal theory is not to be trusted whatever the method
FEW = 50


class EstimatesError(HelpersError):
    """Estimates cannot be made from these tables; the message says which row and what to do."""


@dataclass(frozen=True)
class Coded:
    """Coded rows of a population, made by `coded_sample`.

    Attributes
    ----------
    ids : which rows of the population.
    truth : what the coders say.
    probability : inclusion probability of each, in (0, 1].
    id : name of the population's id column.
    """

    ids: pd.Series
    truth: pd.Series
    probability: pd.Series
    id: str = "id"

    def __len__(self) -> int:
        return len(self.ids)


def coded_sample(
    population: pd.DataFrame,
    coded: pd.DataFrame,
    *,
    id: str = "id",
    truth: str = "truth",
    probability: str = "probability",
    predicted: str | None = "predicted",
    covariates: Sequence[str] = (),
) -> Coded:
    """Check that coded rows can be a probability sample of a population, and return them.

    Parameters
    ----------
    population : all N rows, one per id, coded ones included.
    coded : one row per coded id: its truth, and the probability with which it was drawn (n / N
        for a simple random sample).
    predicted, covariates : columns of the population that the coded rows must balance on
        (predicted: where the population has it).

    Raises
    ------
    EstimatesError
        Missing columns; missing or unknown or repeated ids; missing truth; probabilities missing
        or outside (0, 1]; fewer than 20 rows; a subsample that cannot come from the population:
        1 / probability does not sum to about N, or the weighted means of predictions or
        covariates differ from the population's (two-sided normal tests, p < 0.001, the latter
        divided by the number of means compared; means with fewer than 5 rows to expect on either
        side are not compared).

    Warns
    -----
    UserWarning
        Below 50 rows.
    """
    _check_population(population, id)
    _check_columns(coded, {id: "id", truth: "truth", probability: "probability"}, population)
    _check_ids(population, coded, id)
    if (missing := coded[truth].isna()).any():
        raise EstimatesError(
            f"column {truth!r} is empty in {place(coded, id, missing)}: code it, or remove the row "
            "only if rows to code were lost at random, and set the probabilities anew"
        )
    chances = _probabilities(coded, id, probability, len(population))
    if len(coded) < FEWEST:
        raise EstimatesError(
            f"{len(coded)} coded rows are too few for an honest interval: code at least {FEWEST}, "
            f"better {FEW}, drawn at random"
        )
    if len(coded) < FEW:
        warnings.warn(
            f"only {len(coded)} coded rows: intervals are rough below {FEW}", stacklevel=2
        )
    made = Coded(
        coded[id].reset_index(drop=True),
        coded[truth].reset_index(drop=True),
        pd.Series(chances, name=probability),
        id,
    )
    shown = [predicted] if predicted is not None and predicted in population else []
    _check_origin(population, made, shown, covariates)
    return made


def positions(population: pd.DataFrame, coded: Coded) -> np.ndarray:
    """Return the row numbers of the coded ids in `population`.

    Raises
    ------
    EstimatesError
        If the population has no such ids, or repeats them.
    """
    _check_population(population, coded.id)
    found = pd.Index(population[coded.id]).get_indexer(pd.Index(coded.ids))
    if (found < 0).any():
        lost = coded.ids[found < 0]
        raise EstimatesError(
            f"{len(lost)} coded ids are not in the population, first {lost.iloc[0]!r}: give the "
            "table that the coded rows were drawn from, all rows of it"
        )
    return found


def place(frame: pd.DataFrame, id: str, rows: Iterable[bool]) -> str:
    """Return where the first of the marked rows is, and how many there are."""
    marked = np.flatnonzero(np.asarray(rows, dtype=bool))
    more = f" and {len(marked) - 1} more" if len(marked) > 1 else ""
    named = f" (id {frame[id].iloc[marked[0]]!r})" if id in frame else ""
    return f"row {marked[0] + 1}{named}{more}"


def check_choice(value: str, choices: Sequence[str], what: str) -> None:
    """Raise EstimatesError if a setting is none of its choices."""
    if value not in choices:
        raise EstimatesError(f"{what} is {value!r}: choose one of {', '.join(choices)}")


def check_settings(methods: Sequence[str], target: str, level: float) -> None:
    """Raise EstimatesError for an unknown method or target, or a level outside (0, 1)."""
    for method in methods:
        check_choice(method, METHODS, "method")
    check_choice(target, TARGETS, "target")
    if not 0 < level < 1:
        raise EstimatesError(f"level is {level}: give the coverage as a share, such as 0.95")


def _check_population(population: pd.DataFrame, id: str) -> None:
    if id not in population:
        raise EstimatesError(f"the population has no column {id!r}: name its id column with `id`")
    if (missing := population[id].isna()).any():
        raise EstimatesError(f"the population has no id in {place(population, id, missing)}")
    if (twice := population[id].duplicated()).any():
        raise EstimatesError(
            f"the population repeats an id in {place(population, id, twice)}: keep one row per id"
        )


def _check_columns(coded: pd.DataFrame, names: dict[str, str], population: pd.DataFrame) -> None:
    for name, role in names.items():
        if name in coded:
            continue
        if role == "probability":
            n, n_all = len(coded), len(population)
            raise EstimatesError(
                f"the coded rows have no column {name!r}: give each the probability with which it "
                f"was drawn. For a simple random sample that is n / N = {n} / {n_all} = "
                f"{n / max(n_all, 1):.6g} in every row; for a stratified one n / N of its stratum. "
                "Rows that were not drawn at random have none, and no honest estimate"
            )
        raise EstimatesError(f"the coded rows have no column {name!r}: name it with `{role}`")


def _check_ids(population: pd.DataFrame, coded: pd.DataFrame, id: str) -> None:
    if (missing := coded[id].isna()).any():
        raise EstimatesError(f"the coded rows have no id in {place(coded, id, missing)}")
    if (twice := coded[id].duplicated()).any():
        raise EstimatesError(
            f"the coded rows repeat an id in {place(coded, id, twice)}: settle on one code per id"
        )
    if (unknown := ~coded[id].isin(population[id])).any():
        raise EstimatesError(
            f"coded id not in the population: {place(coded, id, unknown)}. Give the whole table "
            "that the coded rows were drawn from; ids must be of the same type in both"
        )


def _probabilities(coded: pd.DataFrame, id: str, name: str, n_all: int) -> Floats:
    remedy = f"for a simple random sample it is n / N = {len(coded) / n_all:.6g} in every row"
    values = pd.to_numeric(coded[name], errors="coerce").to_numpy(dtype=float)
    if (bad := ~np.isfinite(values)).any():
        raise EstimatesError(
            f"column {name!r} is missing or not a number in {place(coded, id, bad)}: {remedy}"
        )
    if (bad := (values <= 0) | (values > 1)).any():
        worst = values[np.flatnonzero(bad)[0]]
        raise EstimatesError(
            f"column {name!r} is {worst:.6g} in {place(coded, id, bad)}: an inclusion probability "
            f"is above 0 and at most 1 (weights are 1 / probability); {remedy}"
        )
    return values


def _check_origin(
    population: pd.DataFrame, coded: Coded, predicted: Sequence[str], covariates: Sequence[str]
) -> None:
    chances = coded.probability.to_numpy()
    rows = positions(population, coded)
    if problem := check_total(chances, len(population)):
        raise EstimatesError(problem)
    for column in [*predicted, *covariates]:
        if column not in population:
            raise EstimatesError(f"the population has no column {column!r} to balance on")
    compared = population[[*predicted, *covariates]]
    # Whole numbers are names of labels, not amounts.
    whole = [name for name in predicted if pd.api.types.is_integer_dtype(compared[name])]
    if problem := check_balance(compared.astype(dict.fromkeys(whole, str)), rows, chances):
        raise EstimatesError(problem)
