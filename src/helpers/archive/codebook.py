"""The data dictionary: what each table and each column is, and of which kind.

It is read from ``config/archive/codebook.yaml``. A column without an entry is reported, never
described with a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from helpers.profiles import REPO

FOLDER = REPO / "config" / "archive"


@dataclass(frozen=True)
class Column:
    """What a column is: its kind (see tolerances.yaml), a description and a unit."""

    kind: str
    text: str
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """Title and columns of a table; `undescribed` are the columns without an entry."""

    name: str
    title: str
    columns: dict[str, Column]
    undescribed: tuple[str, ...]

    @property
    def key(self) -> list[str]:
        """Names of the columns that together name a row."""
        return [name for name, column in self.columns.items() if "key" in column.kind]


@cache
def _content(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((folder / "codebook.yaml").read_text(encoding="utf-8"))
    return loaded


def _entry(entries: dict[str, Any], name: str) -> Any:
    if name in entries:
        return entries[name]
    return next((value for key, value in entries.items() if fnmatchcase(name, key)), None)


def describe_table(name: str, columns: list[str], folder: Path = FOLDER) -> Table:
    """Return what the codebook says about a table with these columns.

    Parameters
    ----------
    name : of the table, without suffix.
    columns : as the file has them.
    folder : of ``codebook.yaml``.
    """
    content = _content(folder)
    entry = _entry(content["tables"], name) or {}
    known = content["columns"] | entry.get("columns", {})
    found = {column: Column(*known[column]) for column in columns if column in known}
    if entry.get("fixed"):
        exact = {"key", "text", "words", "count"}
        found = {
            key: c if c.kind in exact else Column("fixed", c.text, c.unit)
            for key, c in found.items()
        }
    title = entry.get("title", name.replace("_", " "))
    missing = tuple(column for column in columns if column not in known)
    return Table(name, title, found, missing if entry else tuple(columns))


def describe_performance(name: str, columns: list[str], folder: Path = FOLDER) -> Table:
    """Return what the codebook says about a table of times, memory or cost."""
    content = _content(folder)
    own = content["performance_columns"]
    shared = content["columns"]
    found = {}
    for column in columns:
        if column in own:
            found[column] = Column("measured", own[column])
        elif column in shared:
            found[column] = Column(*shared[column])
    entry = content["performance"].get(name)
    missing = tuple(column for column in columns if column not in found)
    title = entry["title"] if entry else name.replace("_", " ")
    return Table(name, title, found, missing if entry else tuple(columns))


def figure_title(stem: str, folder: Path = FOLDER) -> str:
    """Return the title of a figure by its file's name; the name itself where none is known.

    What the pattern's ``*`` stands for (task, model, metric) is added: one title, many figures.
    """
    for pattern, title in _content(folder)["figures"].items():
        if fnmatchcase(stem, pattern):
            rest = stem.removeprefix(pattern.rstrip("*")).replace("_", ", ").strip(", ")
            return f"{title}: {rest}" if rest and pattern.endswith("_*") else str(title)
    return stem


def header(path: Path) -> list[str]:
    """Return the column names of a CSV or Parquet file."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    return pd.read_csv(path, nrows=0).columns.tolist()


def tables_of(results: Path) -> list[Table]:
    """Describe every table below ``tables/`` and ``performance/`` of a run or archive."""
    found = [describe_table(p.stem, header(p)) for p in sorted((results / "tables").glob("*.csv"))]
    measured = sorted((results / "performance").glob("*.csv"))
    return found + [describe_performance(path.stem, header(path)) for path in measured]


def undescribed(results: Path) -> list[str]:
    """Return ``table.column`` of every column that the codebook does not know."""
    return [f"{table.name}.{name}" for table in tables_of(results) for name in table.undescribed]


def dictionary(results: Path) -> pd.DataFrame:
    """Return the data dictionary of a run.

    Returns
    -------
    frame (table, title, column, type, kind, unit, description), one row a column.
    """
    rows = []
    for part, describe in (("tables", describe_table), ("performance", describe_performance)):
        for path in sorted((results / part).glob("*.csv")):
            twin = path.with_suffix(".parquet")
            frame = pd.read_parquet(twin) if twin.is_file() else pd.read_csv(path)
            table = describe(path.stem, [str(name) for name in frame.columns])
            for name in map(str, frame.columns):
                column = table.columns.get(name, Column("", "(not described)"))
                what = (column.kind, column.unit, column.text)
                rows.append((f"{part}/{path.stem}", table.title, name, _type(frame[name]), *what))
    names = ["table", "title", "column", "type", "kind", "unit", "description"]
    return pd.DataFrame(rows, columns=names)


def _type(values: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(values):
        return "boolean"
    if pd.api.types.is_integer_dtype(values):
        return "integer"
    if pd.api.types.is_float_dtype(values):
        return "number"
    return "text"


def as_markdown(rows: pd.DataFrame) -> str:
    """Return the data dictionary as a readable page, one section a table."""
    lines = [
        "# Codebook of the tables",
        "",
        "Times and memory are under `performance/`; all other tables are results. An empty cell is",
        "a value that does not exist there. 95% intervals are bootstrap intervals over texts if",
        "nothing else is said.",
    ]
    for (table, title), part in rows.groupby(["table", "title"], sort=False):
        lines += ["", f"## `{table}`: {title}", ""]
        lines += ["| column | type | unit | what it is |", "|---|---|---|---|"]
        for row in part.itertuples():
            text = re.sub(r"\s+", " ", str(row.description)).replace("|", "\\|")
            lines.append(f"| `{row.column}` | {row.type} | {row.unit} | {text} |")
    return "\n".join(lines) + "\n"
