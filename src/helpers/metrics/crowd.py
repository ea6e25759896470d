"""How right a crowd of labellers is together.

A labeller without a usable answer for a text (missing, off the list, refused, ...) is wrong
about it. Only texts whose gold labels are known enter. Intervals are 95% percentile intervals
over resampled texts (a share of 0 or 1: Wilson's) unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.metrics.panel import Gold, read_panel, rounded
from helpers.metrics.reliability import bootstrap_shares, wilson_interval

if TYPE_CHECKING:
    from helpers.tasks import Task

_INTERVAL = ["value", "ci_low", "ci_high"]
SHARE_COLUMNS = ["rule", "statistic", *_INTERVAL, "n", "n_labellers"]
GIVEN_COLUMNS = ["agreeing", "unit", "n", "share", "accuracy", "ci_low", "ci_high", "n_tied"]


def crowd_shares(
    task: Task,
    labelled: pd.DataFrame,
    gold: Gold,
    names: Sequence[str] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How often any labeller, the majority, or all labellers are right.

    The majority is strictly more than half of all labellers, whether they answered or not. In
    tasks with several labels per text a rule is a pool of labels: those that any, more than half
    of, or all labellers propose. ``recall`` and ``precision`` of the pool count (text, label)
    pairs; ``complete`` is the share of texts whose every gold label is in the pool, of the
    texts that have one.

    Parameters
    ----------
    task : Task
    labelled : DataFrame
        Columns id, labeller, status, labels (JSON).
    gold : Series or DataFrame
        JSON labels by id (index, or columns id and labels).
    names : sequence of str, optional
        Labellers; all without it.
    n_resamples, seed : int

    Returns
    -------
    DataFrame
        Columns `SHARE_COLUMNS`: rule (any, majority, all), statistic (``right``, or ``recall``,
        ``precision``, ``complete``), n texts.
    """
    panel, truth = read_panel(task, labelled, names).with_gold(task, gold)
    votes, count, true = panel.present.sum(axis=1), len(panel.names), truth > 0
    pools = {"any": votes > 0, "majority": 2 * votes > count, "all": votes == count}
    size, rows = {"n": len(true), "n_labellers": count}, []
    for rule, pool in pools.items():
        value, low, high = bootstrap_shares(*_pool_shares(pool, true), n_resamples, seed)
        # With one label per text the pool has it or not: that is recall.
        wanted = ["right"] if task.label_type == "single" else ["recall", "precision", "complete"]
        for name, *numbers in zip(wanted, value, low, high, strict=False):
            row = {"rule": rule, "statistic": name, **dict(zip(_INTERVAL, numbers, strict=True))}
            n = int(true.any(axis=1).sum()) if name == "complete" else size["n"]
            rows.append(row | size | {"n": n})
    return rounded(rows, SHARE_COLUMNS)


def _pool_shares(
    pool: NDArray[np.bool_], true: NDArray[np.bool_]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Numerators and denominators of recall, precision and completeness, (texts, 3)."""
    found, some = (pool & true).sum(axis=1), true.any(axis=1)
    complete = some & (pool | ~true).all(axis=1)
    whole = np.stack([true.sum(axis=1), pool.sum(axis=1), some], axis=1)
    return np.stack([found, found, complete], axis=1), whole


def accuracy_given_agreement(
    task: Task,
    labelled: pd.DataFrame,
    gold: Gold,
    names: Sequence[str] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy by the number of labellers that agree.

    One label per text: the largest group of labellers with the same answer, and the share of
    texts where its label is right, with Wilson's interval. Where t groups are equally large, one
    is drawn: a text whose gold label is among theirs counts 1/t (n_tied texts).

    Several labels per text: each proposed (text, label) pair by the number of its proposers, and
    the share of pairs that are right, with a bootstrap interval, as a text's pairs are dependent.

    Parameters
    ----------
    task, labelled, gold, names, n_resamples, seed
        As in `crowd_shares`.

    Returns
    -------
    DataFrame
        Columns `GIVEN_COLUMNS`, one row per number of agreeing labellers; 0 (nobody answered)
        only where it occurs. `unit` is texts or proposals; `share` is of all units.
    """
    panel, truth = read_panel(task, labelled, names).with_gold(task, gold)
    votes, sizes = panel.present.sum(axis=1), np.arange(len(panel.names) + 1)
    if task.label_type == "single":
        rows = _given_texts(votes, truth > 0, sizes)
    else:
        rows = _given_proposals(votes, truth > 0, sizes[1:], n_resamples, seed)
    total = sum(row["n"] for row in rows)
    rows = [row | {"share": row["n"] / total if total else np.nan} for row in rows]
    return rounded([row for row in rows if row["agreeing"] or row["n"]], GIVEN_COLUMNS)


def _given_texts(
    votes: NDArray[np.int_], true: NDArray[np.bool_], sizes: NDArray[np.int_]
) -> list[dict[str, Any]]:
    largest = votes.max(axis=1)
    leading = (votes == largest[:, None]) & (largest[:, None] > 0)
    groups = leading.sum(axis=1)
    right = (leading & true).any(axis=1) / np.maximum(groups, 1)
    rows = []
    for size in sizes:
        chosen = largest == size
        n, hits = int(chosen.sum()), float(right[chosen].sum())
        low, high = wilson_interval(hits, n if size else 0)
        accuracy = hits / n if n and size else np.nan
        limits = {"accuracy": accuracy, "ci_low": float(low), "ci_high": float(high)}
        tied = int((chosen & (groups > 1)).sum())
        rows.append({"agreeing": int(size), "unit": "texts", "n": n, "n_tied": tied} | limits)
    return rows


def _given_proposals(
    votes: NDArray[np.int_],
    true: NDArray[np.bool_],
    sizes: NDArray[np.int_],
    n_resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    proposed = np.stack([(votes == size).sum(axis=1) for size in sizes], axis=1)
    right = np.stack([((votes == size) & true).sum(axis=1) for size in sizes], axis=1)
    found = bootstrap_shares(right, proposed, n_resamples, seed)
    rows = []
    for place, size in enumerate(sizes):
        numbers = [float(part[place]) for part in found]
        limits = dict(zip(["accuracy", "ci_low", "ci_high"], numbers, strict=True))
        n = int(proposed[:, place].sum())
        rows.append({"agreeing": int(size), "unit": "proposals", "n": n, "n_tied": 0} | limits)
    return rows
