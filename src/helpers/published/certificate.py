"""The certificate: each published value beside the one that the archive yields.

A verdict is given with the files that are there, and gets complete when the rest are downloaded: a
value whose files are missing is not recomputable, and the files are named. A file that is not that
of the pinned commit is refused, never scored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.data.manifest import UpstreamFile, file_status, local_copy, read_manifest
from helpers.published.archive import Archive
from helpers.published.panel import PUBLISHED
from helpers.published.recomputed import (
    LAST_VERSION,
    model_file,
    needed_files,
    recomputed_table,
    recomputed_values,
)
from helpers.published.values import KEY, published_values

Manifest = Sequence[UpstreamFile]
EXACT, ROUNDED, DIFFERS = "exact", "within rounding", "differs"
NO_FILE, ABSENT = "not recomputable", "not run: archive absent"
VERDICTS = (EXACT, ROUNDED, DIFFERS, NO_FILE, ABSENT)
TOLERANCE = 1e-9
NEVER = "no file in the archive"
CERTIFICATE_COLUMNS = (
    *("exhibit", "source", *KEY, "unit", "decimals", "kind", "version"),
    *("published", "recomputed", "difference", "verdict", "why", "files", "missing"),
)


def certificate(
    folder: Path | None,
    *,
    archive: Archive | None = None,
    published: Path = PUBLISHED,
    manifest: Manifest | None = None,
) -> pd.DataFrame:
    """Put each published value beside the recomputed one.

    Parameters
    ----------
    folder : of the authors' files; None, or one without any file, is an absent archive.
    archive : of the posts, if it is open already; it must be that of the folder.
    published : folder with the published values as CSV.
    manifest : of the authors' files; the package's without it.

    Returns
    -------
    DataFrame, columns `CERTIFICATE_COLUMNS`, one row a value. `exhibit` to `kind` as in
    `published_values`. `version` is empty, or `LAST_VERSION` for what the last version of a file
    gives where an earlier one is behind the published value: listed, but no part of the verdict on
    the archive. `difference` is recomputed minus published. `verdict` is one of `VERDICTS`:

    - exact: they differ by 1e-9 at most, or both are undefined;
    - within rounding: they agree when rounded as printed;
    - differs: they don't, or our copy of the value differs from the authors' own table;
    - not recomputable: files are missing, or the archive never had them;
    - not run: archive absent.

    `why` gives the reason for a verdict, and what the number is where that is not plain; `files`
    are those that are needed, `missing` those that are not there, joined by ``; ``.

    Raises
    ------
    UpstreamError
        If a needed file is not that of the pinned commit; each is named.
    PublishedError
        If a file's content, or one of the published values, is not what it should be.
    """
    rows = {row.local_path: row for row in manifest or read_manifest()}
    if folder is None or not _any_file(folder, list(rows.values())):
        return compared(published_values(published), recomputed_table([]), None)
    values = published_values(published, folder, manifest)
    wanted = {file for needed in _needed(values) for file in needed}
    status = local_copy(folder, [rows[file] for file in sorted(wanted & set(rows))])
    here = status.loc[status["status"] == "verified", "local_path"]
    return compared(values, recomputed_values(folder, archive, manifest), here.tolist())


def compared(
    values: pd.DataFrame, found: pd.DataFrame, here: Collection[str] | None
) -> pd.DataFrame:
    """Give each published value its verdict.

    Parameters
    ----------
    values : see `published_values`.
    found : see `recomputed_values`.
    here : files that are there; None if the archive is absent.

    Returns
    -------
    DataFrame: see `certificate`.
    """
    files = _needed(values)
    table = values.rename(columns={"value": "published"}).assign(
        files=["; ".join(needed) for needed in files],
        missing=["; ".join(f for f in needed if f not in (here or ())) for needed in files],
        version="",
    )
    last = found.loc[found["version"] == LAST_VERSION, list(KEY)]
    again = table.merge(last, on=list(KEY)).assign(version=LAST_VERSION, missing="")
    again["files"] = [
        f"{files.split('; ')[0]}; {model_file(fname, 'test')}"
        for files, fname in zip(again["files"], again["model"], strict=True)
    ]
    table = pd.concat([table, again], ignore_index=True) if len(again) else table
    table = table.merge(found, on=[*KEY, "version"], how="left", indicator="found")
    table["difference"] = table["recomputed"] - table["published"]
    table["changed"] = _changed(table)
    table["verdict"] = ABSENT if here is None else _verdicts(table)
    table["why"] = [_why(row) for row in table.to_dict("records")]
    return table[list(CERTIFICATE_COLUMNS)]


def _needed(values: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the files that each value needs, found once for all values of a model."""
    about = values[["task", "split", "model", "kind"]]
    files = {tuple(row): needed_files(row) for _, row in about.drop_duplicates().iterrows()}
    return [files[row] for row in about.itertuples(index=False, name=None)]


def _any_file(folder: Path, rows: Sequence[UpstreamFile]) -> bool:
    return any(file_status(folder, row) != "absent" for row in rows)


def _changed(table: pd.DataFrame) -> pd.Series:
    """Where our copy of a value differs from the authors' own table."""
    ours, theirs = table["published"], table["archived"]
    same = (ours.isna() & theirs.isna()) | ((ours - theirs).abs() <= 1e-12)
    return table["in_archive"] & ~same


def _verdicts(table: pd.DataFrame) -> NDArray[np.object_]:
    distance = table["difference"].abs()
    both_undefined = table["published"].isna() & table["recomputed"].isna()
    cases = [
        table["changed"],
        table["found"] != "both",
        both_undefined | (distance <= TOLERANCE),
        distance <= 0.5 * 10.0 ** -table["decimals"] + TOLERANCE,
    ]
    return np.select(cases, [DIFFERS, NO_FILE, EXACT, ROUNDED], DIFFERS).astype(object)


def _why(row: dict[str, Any]) -> str:
    note = row["note"] if isinstance(row["note"], str) else ""
    if row["changed"]:
        theirs = f"{row['source'].split(',')[0]} says {row['archived']}"
        return f"data/published says {row['published']}, {theirs}: restore our copy"
    if row["verdict"] == NO_FILE and row["kind"] == "claim":
        return "said without data: see the table of claims"
    reasons = {
        EXACT: "",
        ROUNDED: f"the published value is rounded{' in the text' * (row['kind'] == 'about')}",
        NO_FILE: f"missing: {row['missing']}" if row["files"] else NEVER,
        ABSENT: "",
        DIFFERS: f"recomputed from {row['files']}; no reason is known",
    }
    reason = reasons[row["verdict"]]
    if row["verdict"] == DIFFERS and row["version"] == LAST_VERSION:
        reason = "an earlier version of the file is behind the published value"
    elif row["verdict"] == DIFFERS and np.isnan(row["difference"]):
        reason = f"defined on one side only; {reason}"
    return "; ".join(filter(None, [reason, note]))


def certificate_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts by exhibit.

    Parameters
    ----------
    table : see `certificate`.

    Returns
    -------
    DataFrame (exhibit, values, and a column for each of `VERDICTS`), in the order of the
    certificate; rows of `LAST_VERSION` are an exhibit of their own, and the last row, ``all``,
    leaves them out.
    """
    version = np.where(table["version"] == "", "", " (" + table["version"] + ")")
    exhibit = table["exhibit"] + version
    counts = pd.crosstab(exhibit, table["verdict"]).reindex(columns=list(VERDICTS), fill_value=0)
    counts = counts.loc[exhibit.unique()]
    main = table.loc[table["version"] == "", "verdict"].value_counts()
    counts.loc["all"] = [int(main.get(verdict, 0)) for verdict in VERDICTS]
    counts.insert(0, "values", counts.sum(axis=1))
    return counts.rename_axis("exhibit").rename_axis(None, axis=1).reset_index()


def check_published(
    folder: Path | None, *, published: Path = PUBLISHED, manifest: Manifest | None = None
) -> tuple[int, str]:
    """Certify a folder of the authors' files.

    Parameters
    ----------
    folder, published, manifest : see `certificate`.

    Returns
    -------
    status : 0 if at least one value was recomputed and none differs (values that can't be
        recomputed are no failure, nor are rows of `LAST_VERSION`), else 1.
    report : verdicts by exhibit, each value that differs and why, and the missing files with the
        number of values that wait for each.

    Raises
    ------
    UpstreamError, PublishedError
        See `certificate`.
    """
    table = certificate(folder, published=published, manifest=manifest)
    main, last = table[table["version"] == ""], table[table["version"] != ""]
    differs, done = main[main["verdict"] == DIFFERS], main["recomputed"].notna()
    lines = [certificate_counts(table).to_string(index=False), ""]
    if not done.any():
        lines.append("Nothing could be recomputed: the archive is absent or lacks what is needed.")
        lines.append("Run `make data`, or name a folder that has it: UPSTREAM=<folder>.")
    elif differs.empty:
        lines.append("No recomputable value differs from the published one.")
    if len(differs):
        lines += [f"{len(differs)} value(s) differ:", *_listed(differs)]
    if len(last):
        apart = last[last["verdict"] == DIFFERS]
        lines.append(
            f"{LAST_VERSION} of a file with an earlier one behind the published values: "
            f"{len(apart)} of {len(last)} values differ (no failure):"
        )
        lines += _listed(apart[apart["item"] == ""])
    lines += _waiting(main)
    return int(bool(len(differs)) or not done.any()), "\n".join(lines)


def _listed(rows: pd.DataFrame) -> list[str]:
    lines = []
    for row in rows.to_dict("records"):
        name = ", ".join(str(row[key]) for key in KEY if row[key])
        values = f"published {row['published']:.10g}, recomputed {row['recomputed']:.10g}"
        lines.append(f"  {name}: {values} ({row['why']})")
    return lines


def _waiting(main: pd.DataFrame) -> list[str]:
    """Name the missing files and how many values wait for each."""
    waiting = main[main["verdict"].isin([NO_FILE, ABSENT])]
    files = Counter(file for cell in waiting["missing"] for file in cell.split("; ") if file)
    lines = [f"  {file}: {number}" for file, number in sorted(files.items())]
    if never := int((waiting["files"] == "").sum()):
        lines.append(f"  {NEVER}: {never}")
    return ["Values that wait for a missing file:", *lines] if lines else []
