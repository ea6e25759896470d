"""How much the labels depend on the prompt, everything else being equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from helpers.metrics.paired import holm, mcnemar_exact
from helpers.metrics.panel import Gold, Panel, read_panel, rounded
from helpers.metrics.reliability import bootstrap_shares
from helpers.metrics.tidy import MetricsError

if TYPE_CHECKING:
    from helpers.plans import Labeller
    from helpers.tasks import Task

_CHANGED = ["changed", "ci_low", "ci_high"]
_TEST = ["n_gold", "accuracy_a", "accuracy_b", "only_a", "only_b", "p_value", "p_holm"]
PROMPT_COLUMNS = ["a", "b", "n", *_CHANGED, *_TEST]


def prompt_groups(labellers: Mapping[str, Labeller]) -> list[list[str]]:
    """Groups of two or more labellers that differ in method or view alone.

    Parameters
    ----------
    labellers : mapping of name to Labeller
        Settings of the crowd.
    """
    groups: dict[str, list[str]] = {}
    for name, labeller in labellers.items():
        same = labeller.model_dump_json(exclude={"method", "view"})
        groups.setdefault(same, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def prompt_sensitivity(
    task: Task,
    labelled: pd.DataFrame,
    names: Sequence[str],
    gold: Gold | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of texts whose labels change with the prompt, and whether accuracy does.

    Parameters
    ----------
    task : Task
    labelled : DataFrame
        Columns id, labeller, status, labels (JSON).
    names : sequence of two or more str
        Labellers that differ in their prompt alone, e.g. a group of `prompt_groups`.
    gold : Series or DataFrame, optional
        JSON labels by id. With it, accuracies (the whole label set right; no usable answer is
        wrong) and McNemar's exact test, its p-values adjusted by Holm over the pairs.
    n_resamples, seed : int

    Returns
    -------
    DataFrame
        Columns `PROMPT_COLUMNS`, one row per pair: of n texts that both answered, the share whose
        labels differ; of n_gold texts, how many only one of the two gets right. Levels count.
    """
    if len(names) < 2:
        raise MetricsError(f"prompt sensitivity compares two or more labellers, got {len(names)}")
    panel = read_panel(task, labelled, names)
    rows: list[dict[str, Any]] = []
    right = _right(panel, task, gold)
    for i, j in combinations(range(len(names)), 2):
        both = panel.answered[:, i] & panel.answered[:, j]
        differ = (panel.levels[:, i] != panel.levels[:, j]).any(axis=1) & both
        found = bootstrap_shares(differ[:, None], both[:, None], n_resamples, seed)
        numbers = dict(zip(_CHANGED, (float(part[0]) for part in found), strict=True))
        row = {"a": panel.names[i], "b": panel.names[j], "n": int(both.sum())} | numbers
        rows.append(row | _test(right, i, j))
    adjusted = holm([row["p_value"] for row in rows])
    table = rounded(rows, PROMPT_COLUMNS)
    # Significant digits, not decimals: a p-value of 1e-9 must not become 0.
    for name, values in (("p_value", [row["p_value"] for row in rows]), ("p_holm", adjusted)):
        table[name] = [float(f"{value:.4g}") for value in values]
    return table


def _right(panel: Panel, task: Task, gold: Gold | None) -> np.ndarray[Any, Any]:
    """Whether each labeller has the whole label set right, (texts with gold, labellers)."""
    if gold is None:
        return np.zeros((0, len(panel.names)), dtype=bool)
    known, truth = panel.with_gold(task, gold)
    return (known.levels == truth[:, None, :]).all(axis=2) & known.answered


def _test(right: np.ndarray[Any, Any], i: int, j: int) -> dict[str, Any]:
    n = len(right)
    a, b = right[:, i], right[:, j]
    test = mcnemar_exact(a, b)
    return {
        "n_gold": n,
        "accuracy_a": float(a.mean()) if n else np.nan,
        "accuracy_b": float(b.mean()) if n else np.nan,
        "only_a": test.only_a,
        "only_b": test.only_b,
        "p_value": test.p_value if n else np.nan,
    }
