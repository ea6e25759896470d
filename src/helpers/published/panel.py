"""The values that the article published, for a panel beside (never among) our own results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from helpers.runs import REPO, HelpersError

PUBLISHED = REPO / "data" / "published"
FLOURISHING_COLUMNS = (
    *("fname", "split", "model", "family", "parameters_billion", "fine_tuned", "n", "ntext"),
    *("accD", "accI", "FN", "FP", "jac", "jac2", "ham", "source"),
)
HEADLINE_COLUMNS = (
    *("task", "split", "model", "parameters_billion", "fine_tuned", "metric", "value", "unit"),
    *("precision", "n", "source"),
)


class PublishedError(HelpersError):
    """A file of published values is missing or not what it should be."""


def published_flourishing(folder: Path = PUBLISHED) -> pd.DataFrame:
    """Published statistics of 18 models on the flourishing posts.

    Returns
    -------
    DataFrame
        36 rows, one per model and split; columns as explained in data/published/README.md,
        all rates between 0 and 1.

    Raises
    ------
    PublishedError
        If the file is missing, lacks a column, or has other than one row per model and split.
    """
    frame = _read(folder / "flourishing.csv", FLOURISHING_COLUMNS)
    if len(frame) != 36 or frame.duplicated(["fname", "split"]).any():
        raise PublishedError("flourishing.csv must have one row for each of 18 models and 2 splits")
    return frame


def published_headlines(folder: Path = PUBLISHED) -> pd.DataFrame:
    """Published headline numbers for the CAP and Dataverse case studies, in percent.

    Raises
    ------
    PublishedError
        If the file is missing or lacks a column.
    """
    return _read(folder / "headline.csv", HEADLINE_COLUMNS)


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    where = f"data/published/{path.name}"
    if not path.is_file():
        raise PublishedError(f"{where} is missing: restore it from the repository")
    frame = pd.read_csv(path)
    if missing := [name for name in columns if name not in frame.columns]:
        raise PublishedError(f"{where} lacks column(s) {', '.join(missing)}: restore the file")
    return frame[list(columns)]
