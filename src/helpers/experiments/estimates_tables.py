"""The tables of chapter 09 about this run: counted labels and estimated shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers import estimates
from helpers.experiments.estimates import (
    NO_LABEL,
    SETS,
    Pool,
    has_label,
    most_predicted,
    sample_of,
    tuned_answers,
)
from helpers.runs import Run
from helpers.tasks import Task

TOPIC, OTHER = "topic", "other"
ALL = "all"
ESTIMATE = ["estimate", "std_error", "ci_low", "ci_high", "n", "n_coded", "note"]


def counts(run: Run, pools: dict[str, Pool]) -> pd.DataFrame:
    """Count predicted labels as if they were data, beside the truth.

    Returns
    -------
    One row a task, set of texts, predictor and label: task, texts, predictor, label, name, n,
    naive, truth (share of the gold labels), difference. All predictors are counted over the pool;
    where chapter 05 has answers of a fine-tuned model, it and the crowd over the same test texts.
    """
    rows = []
    for pool in pools.values():
        sets = {
            ("training texts", key): (pool.texts["labels"], cells)
            for key, cells in pool.predicted.items()
        }
        for key, frame in tuned_answers(run, pool.task).items():
            sets["test texts", key] = (frame["labels"], frame["predicted"])
        for (texts, predictor), (gold, cells) in sets.items():
            row: dict[str, Any] = {"task": pool.task.name, "texts": texts, "predictor": predictor}
            for label in pool.task.labels:
                truth, naive = (has_label(pool.task, x, label).mean() for x in (gold, cells))
                row |= {"label": label, "name": pool.task.label_names[label], "n": len(gold)}
                rows.append(row | {"naive": naive, "truth": truth, "difference": naive - truth})
    columns = ["task", "texts", "predictor", "label", "name", "n", "naive", "truth", "difference"]
    return pd.DataFrame(rows, columns=columns).round(6)


def misplaced(counted: pd.DataFrame) -> pd.DataFrame:
    """Sum up how far counts are from the truth.

    Returns
    -------
    One row a task, set of texts and predictor: n, wrong (share of all labels that would have to
    change places for the shares to be right; half the sum of absolute differences over the sum
    of true shares), largest (difference), of (which label).
    """
    rows = []
    for key, part in counted.groupby(["task", "texts", "predictor"], sort=False):
        worst = part.loc[part["difference"].abs().idxmax()]
        wrong = part["difference"].abs().sum() / (part["naive"].sum() + part["truth"].sum())
        row = dict(zip(["task", "texts", "predictor"], key, strict=True))
        row |= {"n": int(part["n"].iloc[0]), "wrong": wrong, "largest": worst["difference"]}
        rows.append(row | {"of": worst["name"]})
    return pd.DataFrame(rows).round(6)


def topic_of(run: Run, pool: Pool) -> list[str]:
    """Return the labels that are taken together: the profile's, or the most predicted one."""
    named = run.profile.estimates.topic.get(pool.task.name)
    if not named:
        return most_predicted(pool, 1)
    return [str(pool.task.check_labels(label)) for label in named]


def topic_name(task: Task, labels: Sequence[str]) -> str:
    """Return the readable name of labels that are taken together."""
    return " + ".join(task.label_names[label] for label in labels)


def library_frames(
    pool: Pool, predictor: str, topic: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a pool as `helpers.estimates` takes it: all rows with predictions, and the coded rows.

    Parameters
    ----------
    topic : labels that become the one label ``topic``, all others ``other``.

    Returns
    -------
    population : id, predicted, what else is known of the texts, and ``gold`` for comparison.
    coded : id, truth, probability.

    A cell is a label, or a list of labels where a text may have several; ``none`` says that there
    is none where there should be one.
    """
    known = pool.texts.drop(columns=["text", "labels", "split"], errors="ignore")

    def read(cells: Iterable[Any]) -> list[Any]:
        return [_read(pool.task, cell, topic) for cell in cells]

    population = known.assign(
        predicted=read(pool.predicted[predictor]), gold=read(pool.texts["labels"])
    )
    coded = pool.coded[["id", "probability"]].assign(truth=read(pool.coded["labels"]))
    return population, coded


def _read(task: Task, cell: Any, topic: Sequence[str]) -> Any:
    labels = None if pd.isna(cell) else task.loads(cell)
    if task.label_type in SETS:
        return list(labels or [])
    if topic:
        return TOPIC if labels in topic else OTHER
    return NO_LABEL if labels is None else labels


def share_table(run: Run, pool: Pool) -> pd.DataFrame:
    """Estimate shares of labels, over all texts and by the profile's groups.

    Returns
    -------
    One row a predictor, group, label and method: task, predictor, group_by, group, label, name,
    method, estimate, std_error, ci_low, ci_high, n, n_coded, note, truth. Over all texts: every
    label (of tasks with several labels a text the most predicted ones); by group: the most
    predicted ones; and the labels that the profile takes together, as ``topic``.
    """
    task, plan, single = pool.task, run.profile.estimates, pool.task.label_type not in SETS
    some = most_predicted(pool, plan.labels)
    topic = topic_of(run, pool)
    every = [*task.labels, NO_LABEL] if single else task.labels
    columns = [None, *(name for name in plan.by.get(task.name, []) if name in pool.texts)]
    parts = []
    for predictor in pool.predicted:
        for by in columns:
            shown = task.labels if single and by is None else some
            parts.append(_shares(pool, predictor, by, every, shown))
            if single and len(topic) > 1:
                parts.append(_shares(pool, predictor, by, [TOPIC, OTHER], [TOPIC], topic))
    table = pd.concat(parts, ignore_index=True)
    names = task.label_names | {TOPIC: topic_name(task, topic)}
    table = table.assign(task=task.name, name=table["label"].map(names))
    columns = ["task", "predictor", "group_by", "group", "label", "name", "method"]
    return table[[*columns, *ESTIMATE, "truth"]].round(8)


def _shares(
    pool: Pool,
    predictor: str,
    by: str | None,
    labels: Sequence[str],
    shown: Sequence[str],
    topic: Sequence[str] = (),
) -> pd.DataFrame:
    population, coded = library_frames(pool, predictor, topic)
    if by is not None:
        filled = population[by].astype("string").fillna("")
        population[by] = filled.where(filled != "", "not filled").astype(object)
    sample = sample_of(population, coded)
    table = estimates.shares(population, sample, labels, by=by)
    table = table.rename(columns={by: "group"}) if by else table.assign(group=ALL)
    groups = population[by] if by else pd.Series(ALL, index=population.index)
    truth = {
        (group, label): np.mean([_is(cell, label) for cell in cells])
        for group, cells in population["gold"].groupby(groups)
        for label in shown
    }
    table = table[table["label"].isin(shown)]
    pairs = zip(table["group"], table["label"], strict=True)
    return table.assign(
        truth=[truth[pair] for pair in pairs], predictor=predictor, group_by=by or ALL
    )


def _is(cell: Any, label: str) -> bool:
    return label in cell if isinstance(cell, list) else cell == label


def missing_groups(run: Run, pools: dict[str, Pool]) -> list[str]:
    """Say which of the profile's groups the texts do not have."""
    return [
        f"{name}: these texts have no column '{column}': no shares by it"
        for name, pool in pools.items()
        for column in run.profile.estimates.by.get(name, [])
        if column not in pool.texts
    ]


def share_summary(shares: pd.DataFrame) -> pd.DataFrame:
    """Sum up, over the labels of all texts, how near estimates are and what intervals hold.

    Returns
    -------
    One row a task, predictor and method: labels, mean_error (absolute, against gold labels),
    holds_truth (number of intervals), mean_width.
    """
    rows = shares[(shares["group_by"] == ALL) & (shares["label"] != TOPIC)].dropna(
        subset=["ci_low", "truth"]
    )
    inside = rows["truth"].between(rows["ci_low"], rows["ci_high"])
    rows = rows.assign(
        mean_error=(rows["estimate"] - rows["truth"]).abs(),
        holds_truth=inside.astype(int),
        mean_width=rows["ci_high"] - rows["ci_low"],
    )
    grouped = rows.groupby(["task", "predictor", "method"], sort=False, as_index=False)
    table = grouped.agg(
        labels=("label", "size"),
        mean_error=("mean_error", "mean"),
        holds_truth=("holds_truth", "sum"),
        mean_width=("mean_width", "mean"),
    )
    return table.round(6)
