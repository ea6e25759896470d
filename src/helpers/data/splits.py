"""Splits, folds and subsets: stratified, seeded, and the same in whatever order rows come.

One algorithm serves all label types: iterative stratification (Sechidis, Tsoumakas & Vlahavas
2011, ECML PKDD, doi:10.1007/978-3-642-23808-6_10) of a matrix of strata. For a single label or a
binned number that matrix has one 1 a row, and the algorithm gives each part its share of every
class to within a text or so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.data.sections import design_columns
from helpers.data.validation import DataError
from helpers.tasks import Task

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.65, 0.10, 0.25)
RARE = 4


class Split(NamedTuple):
    """What `make_split` returns.

    Attributes
    ----------
    frame : the texts, sorted by id, with the column split.
    rare : classes with fewer than 4 texts, which cannot be in all splits: label, n, and how many
        are in train, validation and test.
    """

    frame: pd.DataFrame
    rare: pd.DataFrame


def make_split(
    frame: pd.DataFrame,
    task: Task,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
    fixed: str = "paper_split",
) -> Split:
    """Draw train, validation and test once.

    Parameters
    ----------
    frame : texts frame with unique ids.
    task : decides the strata: classes, labels (with their levels), or ten quantile bins of a
        number; and columns that the YAML names under ``stratify``.
    seed : seed of the draw.
    fractions : shares of train, validation and test; they sum to 1.
    fixed : column with the values train and test. Where the frame has it, test is what it says,
        and validation is drawn from its training texts, in the proportion of `fractions`.

    Raises
    ------
    DataError
        If ids are not unique, there are fewer than three texts, `fractions` are no shares, or
        `fixed` has another value.
    """
    if len(fractions) != 3 or min(fractions) < 0 or not np.isclose(sum(fractions), 1):
        raise DataError(f"fractions {tuple(fractions)} must be three shares that sum to 1")
    texts = by_id(frame)
    if len(texts) < 3:
        raise DataError(f"{task.name}: {len(texts)} text(s) cannot be split into three")
    matrix = strata(texts, task)
    if fixed in texts.columns:
        if unknown := set(texts[fixed]) - {"train", "test"}:
            raise DataError(f"column {fixed} may hold train and test, not {sorted(unknown)}")
        parts = np.full(len(texts), 2)
        open_ = (texts[fixed] == "train").to_numpy()
        shares = np.array(fractions[:2]) / sum(fractions[:2])
        parts[open_] = allocate(matrix[open_], shares, seed)
    else:
        parts = allocate(matrix, np.array(fractions), seed)
    texts["split"] = np.array(SPLITS)[parts]
    return Split(texts, _rare_classes(texts, task))


def by_id(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy sorted by id, so that a draw does not depend on the order of rows.

    Raises
    ------
    DataError
        If an id occurs twice.
    """
    if (twice := frame["id"].duplicated()).any():
        raise DataError(f"id {frame.loc[twice, 'id'].iloc[0]!r} occurs more than once")
    return frame.sort_values("id", kind="stable").reset_index(drop=True)


def strata(frame: pd.DataFrame, task: Task, bins: int = 10) -> NDArray[np.bool_]:
    """Return what a draw is stratified by.

    Returns
    -------
    (n, S) boolean array: label, and label with level (multi_intensity), or quantile bin
    (numeric); then the values of the YAML's ``stratify`` columns.
    """
    labels = [task.loads(cell) for cell in frame["labels"]]
    if task.label_type == "numeric":
        count = max(2, min(bins, len(frame) // 5))
        binned = pd.qcut(pd.Series(labels, dtype=float), count, labels=False, duplicates="drop")
        blocks = [pd.get_dummies(binned).to_numpy(dtype=bool)]
    else:
        matrix = task.encode(labels)
        # Labels and labels with level together keep both balanced; either alone worsens the other.
        blocks = [matrix > 0]
        blocks += [matrix == level + 1 for level in range(len(task.levels))]
    for column in design_columns(task, "stratify", frame):
        blocks.append(pd.get_dummies(frame[column].reset_index(drop=True)).to_numpy(dtype=bool))
    joined = np.hstack(blocks)
    return joined[:, joined.any(axis=0)]


def allocate(
    matrix: NDArray[np.bool_], shares: NDArray[np.float64], seed: int | Sequence[int]
) -> NDArray[np.int_]:
    """Allocate rows to parts by iterative stratification.

    Parameters
    ----------
    matrix : (n, S) strata.
    shares : (P,) share of each part, summing to 1.

    Returns
    -------
    (n,) number of the part of each row.
    """
    from iterstrat.ml_stratifiers import IterativeStratification  # takes a second to import

    random = np.random.RandomState(seed)
    order = random.permutation(len(matrix))
    parts = np.empty(len(matrix), dtype=int)
    parts[order] = IterativeStratification(matrix[order], np.array(shares), random)
    return parts


def _rare_classes(frame: pd.DataFrame, task: Task) -> pd.DataFrame:
    columns = ["label", "n", *SPLITS]
    if task.label_type == "numeric":
        return pd.DataFrame(columns=columns)
    present = task.encode([task.loads(cell) for cell in frame["labels"]]) > 0
    counts = {s: present[(frame["split"] == s).to_numpy()].sum(axis=0) for s in SPLITS}
    table = pd.DataFrame({"label": task.labels, "n": present.sum(axis=0), **counts})
    return table[table["n"].between(1, RARE - 1)].reset_index(drop=True)


def folds(
    frame: pd.DataFrame, task: Task, k: int = 5, repeats: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Draw repeated cross-validation folds.

    Parameters
    ----------
    frame : texts frame; all its texts are used.
    k, repeats : number of folds, and of independent draws.

    Returns
    -------
    frame (id, scheme, repeat, fold); a text's fold is the one in which it is tested.
    `scheme` is ``stratified`` (repeats 0 to repeats - 1) and, where the YAML names ``groups``
    (say country), ``by_country`` (k folds of whole groups, repeated) and
    ``leave_one_country_out`` (repeat 0; folds in alphabetical order of the groups).

    Raises
    ------
    DataError
        If there are fewer than k texts or groups.
    """
    from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

    texts = by_id(frame)
    if not 2 <= k <= len(texts):
        raise DataError(f"{len(texts)} text(s) cannot be put into {k} folds")
    matrix = strata(texts, task)
    tables = []
    for repeat in range(repeats):
        parts = allocate(matrix, np.full(k, 1 / k), [seed, repeat])
        tables.append(_fold_table(texts, "stratified", repeat, parts))
    for column in design_columns(task, "groups", texts):
        groups = texts[column].to_numpy()
        if len(set(groups)) < k:
            raise DataError(f"{len(set(groups))} values of {column} cannot be put into {k} folds")
        for repeat in range(repeats):
            kfold = GroupKFold(k, shuffle=True, random_state=(seed * 1009 + repeat) % 2**32)
            parts = _numbers(kfold.split(groups, groups=groups), len(groups))
            tables.append(_fold_table(texts, f"by_{column}", repeat, parts))
        parts = _numbers(LeaveOneGroupOut().split(groups, groups=groups), len(groups))
        tables.append(_fold_table(texts, f"leave_one_{column}_out", 0, parts))
    return pd.concat(tables, ignore_index=True)


def _numbers(splits: Any, n: int) -> NDArray[np.int_]:
    parts = np.empty(n, dtype=int)
    for number, (_, test) in enumerate(splits):
        parts[test] = number
    return parts


def _fold_table(
    texts: pd.DataFrame, scheme: str, repeat: int, parts: NDArray[np.int_]
) -> pd.DataFrame:
    return pd.DataFrame({"id": texts["id"], "scheme": scheme, "repeat": repeat, "fold": parts})


def limit(
    frame: pd.DataFrame, task: Task, limits: Mapping[str, int | None] | Any, seed: int
) -> pd.DataFrame:
    """Keep at most so many texts of each split, drawn with the seed and stratified.

    Parameters
    ----------
    frame : texts frame with a split column.
    limits : split -> largest number of texts, or None for all (a mapping, or ``profile.limit``).

    Returns
    -------
    The kept rows, sorted by id; each limited split has exactly the number asked for.
    """
    texts = by_id(frame)
    kept = []
    for number, split in enumerate(SPLITS):
        part = texts[texts["split"] == split]
        size = limits.get(split) if isinstance(limits, Mapping) else getattr(limits, split)
        kept.append(part if size is None else stratified_subset(part, task, size, [seed, number]))
    return by_id(pd.concat(kept))


def stratified_subset(
    frame: pd.DataFrame, task: Task, size: int, seed: int | Sequence[int]
) -> pd.DataFrame:
    """Return exactly `size` rows (all if there are fewer), stratified and seeded."""
    texts = by_id(frame)
    if size >= len(texts):
        return texts
    share = size / len(texts)
    inside = allocate(strata(texts, task), np.array([share, 1 - share]), seed) == 0
    # Rounding in each stratum can leave a few too many or too few: settle that at random.
    order = np.random.RandomState(seed).permutation(len(texts))
    chosen = sorted(order, key=lambda row: not inside[row])[:size]
    return texts.iloc[sorted(chosen)].reset_index(drop=True)
