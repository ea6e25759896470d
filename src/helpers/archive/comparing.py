"""Compare the tables and predictions of two runs: to the byte, or within stated tolerances."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from helpers.archive.contents import CELLS, cell_predictions
from helpers.archive.frames import (
    SEPARATOR,
    Difference,
    Tolerances,
    compare_frames,
    load_tolerances,
)

Verdict = Literal["identical", "within tolerance", "different"]
COLUMNS = ["table", "row", "column", "deposited", "recomputed", "problem"]


@dataclass(frozen=True)
class Compared:
    """One table (or file of predictions) beside the other."""

    name: str
    verdict: Verdict
    note: str = ""
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """All tables and all predictions of two runs, and how strictly they were compared."""

    tables: list[Compared]
    predictions: list[Compared]
    strict: bool

    @property
    def equal(self) -> bool:
        """Whether nothing differs more than is allowed, and there was something to compare."""
        every = [*self.tables, *self.predictions]
        return bool(self.tables) and all(item.verdict != "different" for item in every)

    def summary(self) -> str:
        """Return one line for the tables and one for the predictions."""
        return "\n".join(
            f"{len(items)} {what} compared, " + ", ".join(_counts(items))
            for what, items in (("tables", self.tables), ("files of predictions", self.predictions))
        )

    def differences(self) -> pd.DataFrame:
        """Return every value that differs too much (table, row, column, both values, problem)."""
        rows = [row for item in [*self.tables, *self.predictions] for row in item.differences]
        return pd.DataFrame(rows, columns=COLUMNS)


def _counts(items: list[Compared]) -> list[str]:
    counts = Counter(item.verdict for item in items)
    return [f"{counts[v]} {v}" for v in ("identical", "within tolerance", "different")]


def compare_runs(deposited: Path, recomputed: Path, *, strict: bool) -> Comparison:
    """Compare every table and prediction of a deposited run with those of another one.

    Parameters
    ----------
    deposited, recomputed : folders with ``tables/`` and ``predictions/``.
    strict : demand equal bytes (two runs on one type of processor).
    """
    limits = load_tolerances()
    names = _names("tables/*.csv", deposited, recomputed)
    tables = [_table(deposited, recomputed, name, strict, limits) for name in names]
    predicted = [
        _predictions(name, deposited / name, recomputed / name, strict, limits)
        for name in _prediction_files(deposited, recomputed)
    ]
    for part, name in CELLS.items():
        if (file := deposited / "predictions" / f"{name}.parquet").is_file():
            predicted.append(_cells(file, recomputed, part, strict, limits))
    return Comparison(tables, predicted, strict)


def _names(pattern: str, *folders: Path) -> list[str]:
    return sorted({p.relative_to(base).as_posix() for base in folders for p in base.glob(pattern)})


def _prediction_files(deposited: Path, recomputed: Path) -> list[str]:
    """Return the files of all tasks that were deposited; others were left out for their texts."""
    tasks = {path.name for path in (deposited / "predictions").glob("*") if path.is_dir()}
    files = _names("predictions/*/*.parquet", deposited, recomputed)
    return [name for name in files if Path(name).parent.name in tasks]


def _absent(name: str, one: Path, other: Path) -> Compared | None:
    for path, where in ((one, "deposited"), (other, "recomputed")):
        if not path.is_file():
            problem = f"only in the {'recomputed' if where == 'deposited' else 'deposited'} run"
            return Compared(name, "different", problem, [(name, "", "", "", "", problem)])
    return None


def _table(
    deposited: Path, recomputed: Path, name: str, strict: bool, limits: Tolerances
) -> Compared:
    stem = Path(name).stem
    if absent := _absent(stem, deposited / name, recomputed / name):
        return absent
    twins = [name, str(Path(name).with_suffix(".parquet"))]
    pairs = [(deposited / twin, recomputed / twin) for twin in twins]
    if all(_same_bytes(one, other) for one, other in pairs):
        return Compared(stem, "identical")
    one, other = (_read(base, name) for base in (deposited, recomputed))
    differences = compare_frames(stem, one, other, None if strict else limits)
    if strict:
        note = "" if differences else "equal values, but other bytes (order of rows, or digits)"
        row = (stem, "", "", "", "", note)
        return Compared(stem, "different", note, differences or [row])
    return Compared(stem, "different" if differences else "within tolerance", "", differences)


def _same_bytes(one: Path, other: Path) -> bool:
    if not one.is_file() and not other.is_file():
        return True
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def _read(base: Path, name: str) -> pd.DataFrame:
    path = (base / name).with_suffix(".parquet")
    return pd.read_parquet(path) if path.is_file() else pd.read_csv(base / name)


def _predictions(name: str, one: Path, other: Path, strict: bool, limits: Tolerances) -> Compared:
    if absent := _absent(name, one, other):
        return absent
    if _same_bytes(one, other):
        return Compared(name, "identical")
    return _by_text(name, pd.read_parquet(one), pd.read_parquet(other), strict, limits)


def _cells(file: Path, recomputed: Path, part: str, strict: bool, limits: Tolerances) -> Compared:
    """Compare the predictions of all trainings of a chapter, in one table."""
    name = f"predictions/{file.name}"
    one = pd.read_parquet(file)
    tasks = set(one["cell"].str.partition("/")[0])
    gathered = recomputed / "predictions" / file.name  # where another archive has them
    if gathered.is_file():
        other: pd.DataFrame | None = pd.read_parquet(gathered)
    else:
        other = cell_predictions(recomputed, part)
    if other is None:
        problem = "only in the deposited run"
        return Compared(name, "different", problem, [(name, "", "", "", "", problem)])
    other = other[other["cell"].str.partition("/")[0].isin(tasks)]
    if one.equals(other.reset_index(drop=True)):
        return Compared(name, "identical")
    return _by_text(name, one, other, strict, limits)


def _by_text(
    name: str, one: pd.DataFrame, other: pd.DataFrame, strict: bool, limits: Tolerances
) -> Compared:
    """Compare predictions text by text: status and labels."""
    left, right = _answers(one), _answers(other)
    every = left.index.union(right.index)
    values = [frame.reindex(every).fillna("(absent)") for frame in (left, right)]
    differ = values[0] != values[1]
    share = 1.0 - float(differ.mean()) if len(every) else 1.0
    limit = 1.0 if strict else limits.predictions.equal
    note = f"{differ.sum()} of {len(every)} predictions differ"
    if share >= limit and not strict:
        return Compared(name, "within tolerance", note)
    rows = [
        (name, str(at).replace(SEPARATOR, ", "), "status and labels", a, b, f"equal: {limit:g}")
        for at, a, b in zip(every[differ], values[0][differ], values[1][differ], strict=True)
    ]
    problem = "equal predictions, but other bytes (order of rows, or wording of an answer)"
    return Compared(name, "different", note, rows or [(name, "", "", "", "", problem)])


def _answers(frame: pd.DataFrame) -> pd.Series:
    names = [name for name in ("cell", "id", "split") if name in frame.columns]
    index = frame[names].astype(str).agg(SEPARATOR.join, axis=1)
    content = frame["status"].astype(str) + " " + frame["labels"].astype(str)
    return pd.Series(content.to_numpy(), index=pd.Index(index))
