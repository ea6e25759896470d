"""Loader of texts from a deposit on a Dataverse server, e.g. the reports of Häffner et al. (2023).

Which file it is and what its columns are called stands in the task's YAML. A file or column that is
not there is reported with those that are, and with the key that has to be set.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from helpers.data.deposits import Deposit, fetch_file
from helpers.data.sections import TRANSFORMS
from helpers.data.validation import DataError, Loaded, check_texts, dropped_table, shown_path
from helpers.profiles import Strict
from helpers.runs import REPO
from helpers.tasks import Task

SEPARATORS = {".csv": ",", ".tab": "\t", ".tsv": "\t"}
TABLES = (*SEPARATORS, ".xlsx")
Fetch = Callable[..., Path]


class DataverseSection(Strict):
    """The section ``data.dataverse`` of a task's YAML.

    Attributes
    ----------
    server, doi, version : of the deposit; the version is pinned.
    file : path or name of the file in the deposit (``.csv``, ``.tab``, ``.tsv``, ``.xlsx``, or a
        ``.zip`` that holds one); None: the error lists what there is.
    member : path of the table inside a ``.zip``; not needed if there is one table only.
    md5 : checksum of the file, if known beforehand.
    encoding : of a text table.
    id : columns that identify a row together; joined by hyphens.
    text, labels : columns with the text and the number to be predicted.
    transform : ``log1p`` turns a count of 0 or more into log(1 + count); None: as it is.
    extras : our name -> column of the file, further columns that are kept.
    groups : one of the extras, whose values are kept together in group folds.
    at_least : fewer texts than this are an error: it would be another table.
    show_texts : whether chapters may print the texts.
    """

    server: str = "https://dataverse.harvard.edu"
    doi: str
    version: str
    file: str | None = None
    member: str | None = None
    md5: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{32}$")
    encoding: str = "utf-8"
    id: list[str] = Field(min_length=1)
    text: str | None = None
    labels: str | None = None
    transform: str | None = None
    extras: dict[str, str] = {}
    groups: str | None = None
    at_least: int = Field(default=1, ge=1)
    show_texts: bool = False


def dataverse_section(task: Task) -> DataverseSection:
    """Read and check the section ``data.dataverse`` of a numeric task.

    Raises
    ------
    DataError
        If the task has none, it has an unknown key or value, or the task is not numeric.
    """
    if "dataverse" not in task.data or task.label_type != "numeric":
        raise DataError(
            f"task {task.name} has no texts on a Dataverse server (section data.dataverse of a "
            "numeric task): use another source in the profile"
        )
    try:
        section = DataverseSection.model_validate(task.data["dataverse"])
    except ValidationError as error:
        raise DataError(f"{task.name}.yaml, data.dataverse: {error}") from error
    if section.transform not in (None, *TRANSFORMS):
        raise DataError(f"{task.name}.yaml, transform: use {list(TRANSFORMS)} or leave it out")
    if section.groups and section.groups not in section.extras:
        raise DataError(f"{task.name}.yaml, groups: '{section.groups}' must be one of the extras")
    return section


def load_dataverse(
    task: Task, folder: Path | None = None, *, offline: bool = False, fetch: Fetch = fetch_file
) -> Loaded:
    """Load the texts of a task from its deposit (see `DataverseSection`).

    Parameters
    ----------
    task : a numeric task.
    folder : where the file is, or is downloaded to (default: ``data/upstream/<task>/``, which git
        ignores: such texts are never part of the repository).
    offline : refuse to use the network; a file that was verified before is read.

    Returns
    -------
    Loaded with columns id, text, labels and the extras, in file order. Dropped and reported: rows
    without text, without a number, and repeated ids.

    Raises
    ------
    DataError
        If the file cannot be had or read, a column is missing (those found are listed), or fewer
        texts than `at_least` are left.
    """
    section = dataverse_section(task)
    deposit = Deposit(section.server, section.doi, section.version)
    folder = folder or REPO / "data" / "upstream" / task.name
    path = fetch(deposit, section.file, folder, md5=section.md5, offline=offline)
    raw = read_table(path, section)
    _check_columns(task, section, raw)
    frame, dropped = _texts(task, section, raw)
    if len(frame) < section.at_least:
        raise DataError(
            f"{path.name} gives {len(frame)} texts of {len(raw)} rows, expected at least "
            f"{section.at_least}: check file, id, text and labels of data.dataverse in "
            f"{task.name}.yaml"
        )
    notes = {"doi": section.doi, "version": section.version, "rows": len(raw)}
    return Loaded(check_texts(frame, path.name), dropped, notes)


def read_table(path: Path, section: DataverseSection) -> pd.DataFrame:
    """Read a table of strings from a file, or from a member of a zip archive.

    Raises
    ------
    DataError
        If its kind cannot be read, it is damaged, or the archive holds no or several tables.
    """
    try:
        if path.suffix.lower() != ".zip":
            with open(path, "rb") as handle:
                return _table(handle, path.name, section.encoding)
        with zipfile.ZipFile(path) as archive:
            member = _member(archive, path, section.member)
            with archive.open(member) as handle:
                return _table(handle, member, section.encoding)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, zipfile.BadZipFile) as error:
        raise DataError(f"{shown_path(path)} is no readable table: {error}") from error
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(
            f"{shown_path(path)} is not in {section.encoding}: set `encoding` of data.dataverse in "
            "the task's YAML (e.g. latin-1)"
        ) from error


def _member(archive: zipfile.ZipFile, path: Path, wanted: str | None) -> str:
    tables = [name for name in archive.namelist() if name.lower().endswith(TABLES)]
    found = [name for name in tables if wanted is None or name == wanted]
    if len(found) != 1:
        raise DataError(
            f"{shown_path(path)} holds {len(tables)} tables: set `member` of data.dataverse in the "
            "task's YAML to one of these:\n" + "\n".join(f"  {name}" for name in tables)
        )
    return found[0]


def _table(handle: IO[bytes], name: str, encoding: str) -> pd.DataFrame:
    suffix = Path(name).suffix.lower()
    if suffix == ".xlsx":
        return pd.read_excel(handle, dtype=str, keep_default_na=False)
    if suffix not in SEPARATORS:
        # Pickles and R's own formats are left alone: reading them can run code.
        raise DataError(f"{name} cannot be read: choose a file of kind {', '.join(TABLES)}, .zip")
    return pd.read_csv(
        handle, sep=SEPARATORS[suffix], dtype=str, keep_default_na=False, encoding=encoding
    )


def _check_columns(task: Task, section: DataverseSection, raw: pd.DataFrame) -> None:
    named: dict[str, Any] = {"text": section.text, "labels": section.labels}
    named |= {f"id ({name})": name for name in section.id}
    named |= {f"extras.{key}": name for key, name in section.extras.items()}
    unset = [key for key, name in named.items() if name is None]
    missing = [f"{key}: '{n}'" for key, n in named.items() if n is not None and n not in raw]
    if unset or missing:
        problems = [f"not set: {', '.join(unset)}"] * bool(unset)
        problems += [f"not in the file: {', '.join(missing)}"] * bool(missing)
        raise DataError(
            f"{task.name}.yaml, data.dataverse: {'; '.join(problems)}. Set these keys to columns "
            f"of the file, which has: {', '.join(map(str, raw.columns))}"
        )


def _texts(
    task: Task, section: DataverseSection, raw: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    numbers = pd.to_numeric(raw[section.labels], errors="coerce").astype(float)
    numbers = numbers.where(np.isfinite(numbers))
    if section.transform is not None:
        if (numbers < 0).any():
            raise DataError(
                f"{task.name}.yaml, transform: the column '{section.labels}' has negative numbers: "
                "it holds no counts; leave transform out"
            )
        numbers = numbers.map(TRANSFORMS[section.transform], na_action="ignore")
    ids = raw[section.id].apply(lambda column: column.str.strip()).agg("-".join, axis=1)
    frame = pd.DataFrame({"id": ids, "text": raw[section.text].str.strip()})
    frame["labels"] = [None if pd.isna(x) else task.dumps(task.check_labels(x)) for x in numbers]
    for name, column in section.extras.items():
        frame[name] = _typed(raw[column])
    empty, unlabelled = frame["text"] == "", frame["labels"].isna()
    kept = ~empty & ~unlabelled
    repeated = kept & frame["id"].where(kept).duplicated()
    dropped = dropped_table(
        [
            ("no text", frame.loc[empty, "id"]),
            (f"no number in '{section.labels}'", frame.loc[unlabelled & ~empty, "id"]),
            ("id used before: first row kept", frame.loc[repeated, "id"]),
        ]
    )
    frame = frame[kept & ~repeated].reset_index(drop=True)
    return frame, dropped[dropped["count"] > 0].reset_index(drop=True)


def _typed(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return column.str.strip() if numbers.isna().any() else numbers
