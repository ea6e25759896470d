"""Compare two tables: rows by their key, columns by the rule of their kind.

Which columns name a row and of which kind the others are stands in ``codebook.yaml``; how far two
values of a kind may be apart, in ``tolerances.yaml``, with reasons.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import TypeAdapter, ValidationError

from helpers.archive.codebook import FOLDER, describe_table
from helpers.archive.errors import ArchiveError
from helpers.plans import Strict

Difference = tuple[str, str, str, str, str, str]
"""Table, row, column, deposited value, recomputed value, problem."""
SEPARATOR = "\x1f"  # between the parts of a key: occurs in no value


class Rule(Strict):
    """How values of a kind of column are compared; see the head of tolerances.yaml."""

    rule: Literal["equal", "near", "ignored"]
    why: str
    absolute: float = 0.0
    relative: float = 0.0
    texts: float = 0.0


class Rows(Strict):
    """Share of the rows of a table that only one of two runs may have."""

    share: float
    why: str


class Predictions(Strict):
    """Smallest share of texts with equal predictions."""

    equal: float
    why: str


class Tolerances(Strict):
    """``config/archive/tolerances.yaml``."""

    kinds: dict[str, Rule]
    rows: dict[str, Rows] = {}
    predictions: Predictions


@cache
def load_tolerances(folder: Path = FOLDER) -> Tolerances:
    """Read ``tolerances.yaml``; refuse unknown keys."""
    path = folder / "tolerances.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(Tolerances).validate_python(content)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ArchiveError(f"{path.name} cannot be read: {error}") from error


def compare_frames(
    name: str, one: pd.DataFrame, other: pd.DataFrame, limits: Tolerances | None
) -> list[Difference]:
    """Compare two tables row by row and column by column, whatever the order of their rows.

    Parameters
    ----------
    name : of the table.
    one, other : deposited and recomputed.
    limits : None: values must be equal.

    Returns
    -------
    One row (table, row, column, deposited, recomputed, problem) for each value that differs too
    much, and for each column or row that only one of them has.
    """
    found = [
        (name, "", column, "", "", f"column only in the {where} table")
        for frame, against, where in ((one, other, "deposited"), (other, one, "recomputed"))
        for column in frame.columns
        if column not in against.columns
    ]
    shared = [column for column in one.columns if column in other.columns]
    book = describe_table(name, shared)
    key = [column for column in book.key if column in shared] or shared[:1]
    ranked = {c for c in key if c in book.columns and book.columns[c].kind == "near_key"}
    left, right = (_indexed(frame[shared], key, ranked) for frame in (one, other))
    found += _rows_of_one(name, left, right, limits)
    both = left.index.intersection(right.index, sort=False)
    left, right = left.loc[both], right.loc[both]
    for column in shared:
        if column in key and column not in ranked:
            continue
        kind = book.columns[column].kind if column in book.columns else "text"
        rule = Rule(rule="equal", why="") if limits is None else _rule(limits, kind)
        bad = ~_close(left[column], right[column], rule, _texts(left))
        found += [
            (name, _row(at, key), column, _shown(a), _shown(b), f"{kind}: {_limit(rule)}")
            for at, a, b in zip(left.index[bad], left[column][bad], right[column][bad], strict=True)
        ]
    return found


def _rule(limits: Tolerances, kind: str) -> Rule:
    try:
        return limits.kinds[kind]
    except KeyError:
        raise ArchiveError(
            f"codebook.yaml names a kind of column, '{kind}', that tolerances.yaml does not have"
        ) from None


def _indexed(frame: pd.DataFrame, key: list[str], ranked: set[str]) -> pd.DataFrame:
    """Return the frame by its key, as text; equal keys are numbered in their order."""
    parts = [
        frame[c].rank(method="dense") if c in ranked else frame[c].map(_shown, na_action=None)
        for c in key
    ]
    labels = pd.concat(parts, axis=1).astype(str).agg(SEPARATOR.join, axis=1) if len(frame) else []
    index = pd.Series(labels, dtype=object)
    repeated = index.groupby(index).cumcount() if len(index) else index
    again = (
        index + repeated.map(lambda n: f"{SEPARATOR}#{n + 1}" if n else "") if len(index) else index
    )
    return frame.set_index(pd.Index(again, name="row"))


def _rows_of_one(
    name: str, left: pd.DataFrame, right: pd.DataFrame, limits: Tolerances | None
) -> list[Difference]:
    found = [
        (name, str(at).replace(SEPARATOR, ", "), "", "", "", f"row only in the {where} table")
        for frame, against, where in ((left, right, "deposited"), (right, left, "recomputed"))
        for at in frame.index.difference(against.index, sort=False)
    ]
    allowed = limits.rows.get(name) if limits else None
    if allowed and len(found) <= allowed.share * max(len(left), len(right)):
        return []
    return found


def _texts(frame: pd.DataFrame) -> np.ndarray:
    """Return the number of texts behind each row; infinite where no column tells."""
    for name in ("support", "n"):
        if name in frame.columns and pd.api.types.is_numeric_dtype(frame[name]):
            counts = frame[name].to_numpy(dtype=float, na_value=np.nan)
            return np.where(counts > 0, counts, np.inf)
    return np.full(len(frame), np.inf)


def _close(one: pd.Series, other: pd.Series, rule: Rule, texts: np.ndarray) -> np.ndarray:
    """Whether each pair of values is as near as the rule demands; two missing values are."""
    if rule.rule == "ignored":
        return np.ones(len(one), dtype=bool)
    missing = one.isna().to_numpy(), other.isna().to_numpy()
    numeric = all(
        pd.api.types.is_numeric_dtype(v) and not pd.api.types.is_bool_dtype(v) for v in (one, other)
    )
    if numeric:
        a, b = (v.to_numpy(dtype=float, na_value=np.nan) for v in (one, other))
        same = a == b
        if rule.rule == "near":
            limit = np.maximum.reduce(
                [np.full(len(a), rule.absolute), rule.relative * np.abs(a), rule.texts / texts]
            )
            with np.errstate(invalid="ignore"):
                same = same | (np.abs(a - b) <= limit * (1 + 1e-12))
    else:
        same = (one.map(_shown) == other.map(_shown)).to_numpy(dtype=bool)
    return np.where(missing[0] | missing[1], missing[0] & missing[1], same)


def _shown(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.12g}"
    return str(value)


def _row(at: Any, key: list[str]) -> str:
    parts = str(at).split(SEPARATOR)
    named = [f"{name}={value}" for name, value in zip(key, parts, strict=False)]
    return ", ".join(named + parts[len(key) :])


def _limit(rule: Rule) -> str:
    if rule.rule == "equal":
        return "must be equal"
    names = ("absolute", "relative", "texts")
    parts = [f"{name} {getattr(rule, name):g}" for name in names if getattr(rule, name)]
    return "allowed: " + ", ".join(parts)
