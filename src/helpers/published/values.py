"""All published values that we know, in one tidy frame: what the certificate goes through.

They come from ``data/published/*.csv`` and, where a folder of the authors' files has them, from the
authors' own tables of results. Where both have a value the frame holds both, so that a change of
our copy can't pass unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data.manifest import UpstreamFile, file_status, read_manifest, upstream_file
from helpers.published.panel import (
    PUBLISHED,
    PublishedError,
    published_flourishing,
    published_headlines,
)
from helpers.published.per_dimension import STATISTICS
from helpers.tasks import load_task

Manifest = Sequence[UpstreamFile]
KEY = ("task", "split", "model", "item", "quantity")
VALUE_COLUMNS = (
    *("exhibit", "source", *KEY, "value", "unit", "decimals", "kind", "archived", "in_archive"),
)
KINDS = {
    "archived": "in the authors' tables of results, with all digits",
    "printed": "printed in the article",
    "about": "rounded in the article's text",
    "earlier": "not printed: recomputed from the archive before this package was made",
    "claim": "said in the article, with no data behind it in the archive",
}
POSTS = ("n", "ntext", "accD", "accI", "FN", "FP", "jac", "jac2", "ham")
COUNTS = frozenset({"n", "ntext"})
SUMMARY_FILES = {"train": "flourishing/summaryOld.csv", "test": "flourishing/verifyOld.csv"}
DIMENSION_FILES = {
    "train": "flourishing/summaryStatsOld.csv",
    "test": "flourishing/verifyStatsOld.csv",
}
SETS = {"train": "training posts", "test": "test posts"}
DIMENSIONS_CSV = "per_dimension_chatgpt4.csv"
# Files of single values -> (task, exhibit).
SINGLE_VALUES = {
    "cap.csv": ("cap", "CAP"),
    "dataverse.csv": ("dataverse", "Dataverse"),
    "human_coding.csv": ("flourishing", "human coding"),
}
SINGLE_COLUMNS = (
    *("split", "model", "item", "quantity", "value", "unit", "decimals", "kind", "source"),
)
TASK_NAMES = {"cap": "CAP", "dataverse": "Dataverse"}
REMEDY = "take the file from the archive again"


def published_values(
    folder: Path = PUBLISHED, upstream: Path | None = None, manifest: Manifest | None = None
) -> pd.DataFrame:
    """Collect all published values that we know.

    Parameters
    ----------
    folder : with the published values as CSV.
    upstream : of the authors' files, for their own tables of results; none without it.
    manifest : of the authors' files; the package's without it.

    Returns
    -------
    DataFrame, columns `VALUE_COLUMNS`, one row a value: `exhibit` what it is part of; `source` file
    or place in the article, with the column; `model` (fname for the posts, else the name); `item`
    the dimension, code or labeller, or empty; `value` (NaN where published as undefined); `unit`
    (``share`` of 1, ``percent``, ``count``); `decimals` as printed, NaN where all digits are known
    (-1 means tens); `kind` of `KINDS`; `archived` the value in the authors' own file and
    `in_archive` whether that file is here and has it.

    Raises
    ------
    PublishedError
        If a file lacks a column, a row or a value; the file, the row and a remedy are named.
    UpstreamError
        If a file of the authors is not that of the pinned commit.
    """
    ours = pd.concat([_summary(folder), _dimensions(folder)], ignore_index=True)
    theirs = _authors(folder, upstream, manifest) if upstream is not None else ours.head(0)
    ours = ours.merge(
        theirs[[*KEY, "value"]].rename(columns={"value": "archived"}),
        on=list(KEY),
        how="left",
        indicator="in_archive",
    )
    ours["in_archive"] = ours["in_archive"] == "both"
    known = pd.MultiIndex.from_frame(ours[list(KEY)])
    more = theirs[~pd.MultiIndex.from_frame(theirs[list(KEY)]).isin(known)]
    more = more.assign(archived=more["value"], in_archive=True)
    parts = [ours, more, *(part for part in (_headlines(folder), *_single(folder)))]
    # Frames without a value would decide the types of the columns.
    frame = pd.concat([part for part in parts if len(part)], ignore_index=True)
    frame["in_archive"] = frame["in_archive"].eq(True)
    if (again := frame.duplicated([*KEY, "kind"])).any():
        row = frame[again].iloc[0]
        what = ", ".join(str(row[name]) for name in KEY if row[name])
        raise PublishedError(f"data/published has two values for {what}: restore the files")
    return frame[list(VALUE_COLUMNS)]


def _long(frame: pd.DataFrame, quantities: Sequence[str], exhibit: str) -> pd.DataFrame:
    """Turn columns of statistics with all digits into rows; `source` gets the column's name."""
    ids = ["split", "model", "item", "source"]
    long = frame.melt(ids, list(quantities), var_name="quantity", value_name="value")
    return long.assign(
        exhibit=exhibit + ", " + long["split"].map(SETS),
        source=long["source"] + ", column " + long["quantity"],
        task="flourishing",
        unit=np.where(long["quantity"].isin(COUNTS), "count", "share"),
        decimals=np.nan,
        kind="archived",
    )


def _summary(folder: Path) -> pd.DataFrame:
    frame = published_flourishing(folder).drop(columns="model")
    return _long(frame.rename(columns={"fname": "model"}).assign(item=""), POSTS, "models")


def _dimensions(folder: Path) -> pd.DataFrame:
    columns = ["fname", "split", "dimension", *STATISTICS, "source"]
    frame = _read(folder / DIMENSIONS_CSV, columns)
    frame[list(STATISTICS)] = _numbers(
        frame, STATISTICS, f"data/published/{DIMENSIONS_CSV}", "restore the file"
    )
    frame = frame.rename(columns={"fname": "model", "dimension": "item"})
    return _long(frame, STATISTICS, "dimensions")


def _headlines(folder: Path) -> pd.DataFrame:
    frame = published_headlines(folder)
    decimals = np.where(frame["precision"] == "printed", 1.0, 0.0)
    return frame.rename(columns={"metric": "quantity", "precision": "kind"}).assign(
        exhibit=frame["task"].map(TASK_NAMES) + ": headline numbers",
        decimals=decimals,
        item="",
        archived=np.nan,
        in_archive=False,
    )


def _single(folder: Path) -> list[pd.DataFrame]:
    parts = []
    for name, (task, exhibit) in SINGLE_VALUES.items():
        where = f"data/published/{name}"
        frame = _read(folder / name, SINGLE_COLUMNS)
        for problem, bad in {
            "unknown kind {kind!r}": ~frame["kind"].isin(list(KINDS)),
            "no quantity": frame["quantity"] == "",
            "no source": frame["source"] == "",
        }.items():
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                what = problem.format(**frame.iloc[row].to_dict())
                raise PublishedError(f"{where}, row {row + 1}: {what}; restore the file")
        numbers = _numbers(frame, ("value", "decimals"), where, "restore the file")
        earlier = np.where(frame["kind"] == "earlier", ", not printed", "")
        parts.append(
            frame.assign(
                **{name: numbers[name] for name in numbers},
                task=task,
                exhibit=exhibit + pd.Series(earlier, index=frame.index),
                archived=np.nan,
                in_archive=False,
            )
        )
    return parts


def _authors(folder: Path, upstream: Path, manifest: Manifest | None) -> pd.DataFrame:
    """Read the authors' own tables of results, as far as they are in their folder."""
    rows = {row.local_path: row for row in manifest or read_manifest()}
    fnames = published_flourishing(folder)["fname"].unique().tolist()
    dimensions = load_task("flourishing").labels
    parts = []
    for files, quantities, items, exhibit in (
        (SUMMARY_FILES, POSTS, [""], "models"),
        (DIMENSION_FILES, STATISTICS, dimensions, "dimensions"),
    ):
        for split, file in files.items():
            if file in rows and file_status(upstream, rows[file]) != "absent":
                path = upstream_file(file, upstream, list(rows.values()))
                raw = pd.read_csv(path, dtype=str, keep_default_na=False)
                table = check_results(raw, file, fnames, items, quantities)
                parts.append(_long(table.assign(split=split, source=file), quantities, exhibit))
    return pd.concat(parts, ignore_index=True) if parts else _summary(folder).head(0)


def check_results(
    raw: pd.DataFrame,
    file: str,
    fnames: Sequence[str],
    items: Sequence[str],
    quantities: Sequence[str],
) -> pd.DataFrame:
    """Check a table of the authors' results.

    Parameters
    ----------
    raw : all columns as str; ``NA`` is an undefined value.
    file : named in messages.
    fnames : of the models; each must have one row for each of `items`.
    items : the dimensions, or one empty name for a table with a row a model.
    quantities : columns of numbers.

    Returns
    -------
    DataFrame (model, item, and the quantities as float).

    Raises
    ------
    PublishedError
        If a column or a row is missing, a row is unknown or occurs twice, or a value is no number.
    """
    with_items = list(items) != [""]
    wanted = ["fname", *(["dimension"] if with_items else []), *quantities]
    if missing := [name for name in wanted if name not in raw.columns]:
        raise PublishedError(f"{file} lacks column(s) {', '.join(missing)}; {REMEDY}")
    table = raw[wanted].rename(columns={"fname": "model", "dimension": "item"})
    if not with_items:
        table["item"] = ""
    for problem, bad in {
        "unknown model {model!r}": ~table["model"].isin(list(fnames)),
        "unknown dimension {item!r}": ~table["item"].isin(list(items)),
        "a second row for {model!r} {item!r}": table.duplicated(["model", "item"]),
    }.items():
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            what = problem.format(**table.iloc[row].to_dict())
            raise PublishedError(f"{file}, row {row + 1}: {what}; {REMEDY}")
    if len(table) != (due := len(fnames) * len(items)):
        raise PublishedError(f"{file} has {len(table)} rows, {due} are due: it is cut; {REMEDY}")
    numbers = _numbers(table, quantities, file, REMEDY)
    return table[["model", "item"]].join(numbers)


def _numbers(frame: pd.DataFrame, columns: Sequence[str], where: str, remedy: str) -> pd.DataFrame:
    """Read cells as numbers; ``NA`` and an empty cell are undefined."""
    cells = frame[list(columns)].astype("str")
    numbers = cells.apply(pd.to_numeric, errors="coerce").astype(float)
    bad = (numbers.isna() & ~cells.isin(["NA", ""])).to_numpy()
    if bad.any():
        row, column = (int(x[0]) for x in np.nonzero(bad))
        cell, name = cells.iloc[row, column], columns[column]
        raise PublishedError(f"{where}, row {row + 1}: {name} is {cell!r}, no number; {remedy}")
    return numbers


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    where = f"data/published/{path.name}"
    if not path.is_file():
        raise PublishedError(f"{where} is missing: restore it from the repository")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := [name for name in columns if name not in frame.columns]:
        raise PublishedError(f"{where} lacks column(s) {', '.join(missing)}: restore the file")
    return frame[list(columns)]
