"""The user's own table: predictions and a coded subsample in, estimates with intervals out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.estimates.regression import regression
from helpers.estimates.sample import METHODS, EstimatesError, coded_sample
from helpers.estimates.shares import shares
from helpers.runs import write_frame

SUFFIXES = (".csv", ".parquet")


def estimate_table(
    population: str | Path,
    coded: str | Path,
    *,
    output: str | Path | None = None,
    id: str = "id",
    predicted: str = "predicted",
    truth: str = "truth",
    probability: str = "probability",
    labels: Sequence[Any] | None = None,
    by: str | Sequence[str] | None = None,
    outcome: str | None = None,
    covariates: Sequence[str] = (),
    label: Any = None,
    family: str = "ols",
    balance: Sequence[str] = (),
    level: float = 0.95,
    methods: Sequence[str] = METHODS,
    target: str = "superpopulation",
) -> pd.DataFrame:
    """Estimate shares, or a regression where `covariates` are given, from two files.

    Parameters
    ----------
    population : CSV or Parquet, all rows with predictions.
    coded : CSV or Parquet, the coded rows with truth and inclusion probability.
    output : CSV or Parquet to write, at once or not at all.
    labels : the label set (default: all labels of predictions and truth).
    outcome : column (default: the predicted one). If `predicted` is among the covariates, it is
        the covariate that is predicted.
    label : for regressions, the label that the predicted variable is about.
    balance : further columns that the coded rows must balance on.

    Returns
    -------
    See `shares` and `regression`.

    Raises
    ------
    EstimatesError
        With the name of the file; nothing is written then.
    """
    if output is not None:
        _check_suffix(Path(output))
    everybody, sample = _read(Path(population)), _read(Path(coded))
    try:
        if predicted not in everybody:
            raise EstimatesError(
                f"the population has no column {predicted!r}: name the column of the predictions"
            )
        everybody, sample = _same_ids(everybody, sample, id)
        if probability in sample and not pd.api.types.is_numeric_dtype(sample[probability]):
            sample = sample.assign(**{probability: pd.to_numeric(sample[probability], "coerce")})
        made = coded_sample(
            everybody, sample, id=id, truth=truth, probability=probability,
            predicted=predicted, covariates=balance,
        )  # fmt: skip
        if covariates or outcome is not None:
            table = regression(
                everybody, made, outcome=outcome or predicted, covariates=list(covariates),
                predicted_role="covariate" if predicted in covariates else "outcome",
                predicted=predicted, family=family, label=_like(label, everybody[predicted]),
                level=level, methods=methods, target=target,
            )  # fmt: skip
        else:
            table = shares(
                everybody, made, _label_set(labels, everybody[predicted], made.truth),
                predicted=predicted, by=by, level=level, methods=methods, target=target,
            )  # fmt: skip
    except EstimatesError as error:
        raise EstimatesError(f"{Path(population).name}, {Path(coded).name}: {error}") from error
    if output is not None:
        write_frame(Path(output), table)
    return table


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise EstimatesError(f"{path.name}: give a file that ends in {' or '.join(SUFFIXES)}")


def _read(path: Path) -> pd.DataFrame:
    _check_suffix(path)
    if not path.is_file():
        raise EstimatesError(f"{path.name}: there is no such file in {path.parent}")
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise EstimatesError(f"{path.name} cannot be read as {path.suffix[1:]}: {error}") from error
    if frame.empty:
        raise EstimatesError(f"{path.name} has no rows")
    return frame


def _same_ids(
    population: pd.DataFrame, coded: pd.DataFrame, id: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare ids as text where one file holds numbers and the other does not."""
    both = [frame[id].dtype for frame in (population, coded) if id in frame]
    if len(both) == 2 and both[0] != both[1]:
        population, coded = (
            frame.assign(**{id: frame[id].map(lambda cell: cell if pd.isna(cell) else str(cell))})
            for frame in (population, coded)
        )
    return population, coded


def _like(label: Any, column: pd.Series) -> Any:
    """Return a label given as text as a number, where the column holds numbers."""
    if isinstance(label, str) and pd.api.types.is_numeric_dtype(column):
        try:
            return float(label)
        except ValueError as error:
            raise EstimatesError(
                f"label {label!r}: the column {column.name!r} holds numbers"
            ) from error
    return label


def _label_set(labels: Sequence[Any] | None, predicted: pd.Series, truth: pd.Series) -> list[Any]:
    if labels:
        return [_like(label, predicted) for label in labels]
    found = pd.unique(pd.concat([predicted.dropna(), truth.dropna()]).astype(object))
    if len(found) > 1000:
        raise EstimatesError(
            f"the predictions have {len(found)} different values: that is no label set; name the "
            "labels, or give covariates for a regression"
        )
    try:
        return sorted(found)
    except TypeError as error:
        raise EstimatesError(
            "predictions and truth mix numbers and text: write labels the same way in both files"
        ) from error
