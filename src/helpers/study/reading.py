"""A training-size study in words and short tables; every number comes from its tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.metrics import METRIC_NAMES
from helpers.tasks import Task


def by_size(scores: pd.DataFrame, task: Task, metric: str) -> pd.DataFrame:
    """Return one score by model and kind of labels (rows) and training size (columns).

    Cells read ``0.61 [0.55, 0.66]``: mean over seeds and interval over seeds and texts.
    """
    rows = scores[(scores["task"] == task.name) & (scores["metric"] == metric)]
    cells = rows.assign(
        cell=[f"{r.value:.3f} [{r.ci_low:.2f}, {r.ci_high:.2f}]" for r in rows.itertuples()]
    )
    table = cells.pivot(index=["labels", "model"], columns="n_train", values="cell").fillna("")
    in_order = dict.fromkeys(zip(rows["labels"], rows["model"], strict=True))
    return table.reindex(pd.MultiIndex.from_tuples(in_order, names=table.index.names))


def labels_reading(
    task: Task,
    scores: pd.DataFrame,
    curves: pd.DataFrame,
    needed: pd.DataFrame,
    worth: pd.DataFrame,
    headlines: Mapping[str, str],
) -> str:
    """Say what the gold-label curves of a task show, as a Markdown list.

    Parameters
    ----------
    task : Task
    scores, curves, needed, worth : DataFrame
        Tables of `helpers.experiments.study_scores` and of `helpers.study.curves`: curve_table,
        labels_needed, next_labels.
    headlines : mapping of label type to metric
    """
    metric = headlines[task.label_type]
    name = METRIC_NAMES.get(metric, metric)
    own = {"task": task.name, "labels": "gold"}
    rows = _where(scores, metric=metric, **own)
    lines = [f"**{task.title}** ({name}, {int(rows['n'].iloc[0])} test texts, gold labels)", ""]
    for model in dict.fromkeys(rows["model"]):
        lines.append(f"- `{model}`: {_ends(rows[rows['model'] == model])}")
        check = _where(curves, model=model, **own)
        if len(check) and check["held"].notna().all():
            lines[-1] += f" {_check(check.iloc[0])}"
        step = _where(worth, model=model, **own)
        if len(step):
            lines[-1] += f" {_step(step.iloc[-1])}"
        lines += [
            f"    - {_crossing(row)}" for _, row in _where(needed, model=model, **own).iterrows()
        ]
    return "\n".join(lines)


def _where(table: pd.DataFrame, **equal: str) -> pd.DataFrame:
    if table.empty:
        return table
    kept = np.logical_and.reduce([table[key] == value for key, value in equal.items()])
    return table[kept]


def _ends(rows: pd.DataFrame) -> str:
    first, last = rows.iloc[0], rows.iloc[-1]
    return (
        f"{_with_interval(first)} with {int(first['n_train'])} labels, "
        f"{_with_interval(last)} with {int(last['n_train']):,}."
    )


def _with_interval(row: pd.Series) -> str:
    return f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"


def _check(row: pd.Series) -> str:
    verdict = "which holds what was observed" if row["held"] else "which misses what was observed"
    return (
        f"The curve of the smaller sizes predicts {row['predicted']:.3f} "
        f"[{row['predicted_low']:.3f}, {row['predicted_high']:.3f}] at {int(row['n_max']):,}, "
        f"{verdict} (error {row['error']:+.3f})."
    )


def _step(row: pd.Series) -> str:
    return (
        f"The next {int(row['extra'])} labels would add {row['gain']:+.3f} "
        f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]."
    )


def _crossing(row: pd.Series) -> str:
    limits = [_number(row["ci_low"]), _number(row["ci_high"])]
    note = {"extrapolated": ", beyond the data", "smallest": ", the smallest size tried"}
    interval = (
        "" if row["status"] == "smallest" and limits[0] == limits[1] else f" [{', '.join(limits)}]"
    )
    return (
        f"to reach {row['target']} ({row['value']:.3f}): {row['in_words']} labels{interval}"
        f"{note.get(row['status'], '')}"
    )


def _number(value: float) -> str:
    return "unknown" if not np.isfinite(value) else f"{value:,.0f}"
