"""How many labels: learning curves, labels needed, worse labels (chapter 06)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from helpers.report.blocks import Block, Points, Section, Title, Words
from helpers.report.folder import RunFolder
from helpers.report.sections.models import headline_metric, metric_name, model_name
from helpers.report.words import count, decimal, interval, joined, limits, of_labels, scored

CHAPTER = "06"
SCORES: tuple[str, ...] = (
    "task",
    "model",
    "labels",
    "n_train",
    "metric",
    "value",
    "ci_low",
    "ci_high",
)
SCORES += ("n_seeds", "n")
NEEDED: tuple[str, ...] = (
    "task",
    "model",
    "labels",
    "target",
    "value",
    "needed",
    "ci_low",
    "ci_high",
    "status",
)
NEEDED += ("in_words",)
NOTES = {"extrapolated": "beyond the data", "smallest": "the smallest size tried"}
NOTES |= {"within": "within the data", "beyond": "not reached"}


def training_size(folder: RunFolder) -> Section:
    """Test scores by number of training texts, for every task."""
    section = Section("labels", "How many labels?", why=folder.why_missing(CHAPTER))
    scores = folder.table("training_size_scores", *SCORES)
    for task in folder.tasks:
        metric = headline_metric(folder, task)
        rows = scores[(scores["task"] == task) & (scores["metric"] == metric)]
        if rows.empty:
            continue
        section.blocks.append(Title(folder.title(task), f"labels-{task}"))
        section.blocks += _of_task(folder, task, metric, rows)
        section.highlights += _highlight(folder, task, metric, rows)
    if section.blocks:
        lead = (
            "The same recipe is trained on more and more labelled texts and scored on the same "
            "test texts each time. Means are over seeds; each seed draws other texts. The 95% "
            "intervals are over seeds and test texts."
        )
        section.blocks.insert(0, Words(lead))
    return section


def _of_task(folder: RunFolder, task: str, metric: str, rows: pd.DataFrame) -> Iterator[Block]:
    gold = rows[rows["labels"] == "gold"]
    lines = [
        line for model in dict.fromkeys(gold["model"]) for line in _model(folder, task, gold, model)
    ]
    if lines:
        yield Points(lines)
    said = " ".join(lines)
    for name in folder.task_figures("06_learning_curve", task):
        alt = f"Line plot: {metric_name(metric)} against the number of training texts. {said}"
        caption = (
            f"{metric_name(metric)} by number of labelled training texts, "
            f"{count(rows['n'].iloc[0], 'test text')}. Dotted: a power law, beyond the last size a "
            "forecast."
        )
        yield folder.picture(name, alt, caption, ["training_size_scores", "training_size_curves"])
    yield from _needed(folder, task)
    yield from _by_size(folder, task, metric, rows)
    yield from _other_labels(folder, task, metric, rows)


def _name(folder: RunFolder, task: str, model: str) -> str:
    causal = folder.profile.training_size.models.get(task, [])
    return model_name(folder, task, model, fine_tuned=model in causal)


def _model(folder: RunFolder, task: str, gold: pd.DataFrame, model: str) -> list[str]:
    rows = gold[gold["model"] == model].sort_values("n_train")
    first, last = rows.iloc[0], rows.iloc[-1]
    line = (
        f"{_name(folder, task, model)}: {scored(first)} with {count(first.n_train, 'label')}, "
        f"{scored(last)} with {count(last.n_train)}."
    )
    columns = ("task", "model", "labels", "n_max", "predicted", "predicted_low", "predicted_high")
    curves = folder.table("training_size_curves", *columns, "observed", "held")
    own = curves[(curves["task"] == task) & (curves["model"] == model)]
    for check in own[own["labels"] == "gold"].dropna(subset=["held"]).itertuples():
        held = str(check.held) == "True"
        line += (
            f" A curve through the smaller sizes forecasts "
            f"{interval(check.predicted, check.predicted_low, check.predicted_high)} at "
            f"{count(check.n_max)}; observed was {decimal(check.observed)}, "
            f"{'inside' if held else 'outside'} the interval."
        )
    return [line]


def _needed(folder: RunFolder, task: str) -> Iterator[Block]:
    rows = folder.table("training_size_needed", *NEEDED)
    rows = rows[(rows["task"] == task) & (rows["labels"] == "gold")]
    if rows.empty:
        return
    cells = [
        [
            _name(folder, task, r.model),
            f"{r.target} ({decimal(r.value)})",
            str(r.in_words),
            _span(r.ci_low, r.ci_high),
            NOTES.get(r.status, str(r.status)),
        ]
        for r in rows.itertuples()
    ]
    yield folder.sheet(
        "training_size_needed",
        f"{folder.title(task)}: gold labels needed to reach what needs none",
        ["Model", "To reach", "Labels", "95% interval", "Where"],
        cells,
        chapter=CHAPTER,
        words=(0, 1, 4),
    )


def _span(low: float, high: float) -> str:
    known = [count(x) if np.isfinite(x) else "unknown" for x in (low, high)]
    return "unknown" if known == ["unknown"] * 2 else f"{known[0]} to {known[1]}"


def _by_size(folder: RunFolder, task: str, metric: str, rows: pd.DataFrame) -> Iterator[Block]:
    cells = [
        [
            _name(folder, task, r.model),
            of_labels(r.labels),
            count(r.n_train),
            scored(r),
            count(r.n_seeds),
            count(r.n),
        ]
        for r in rows.itertuples()
    ]
    yield folder.sheet(
        "training_size_scores",
        f"{folder.title(task)}: {metric_name(metric)} by number and kind of labels",
        ["Model", "Labels", "Training texts", f"{metric_name(metric)}, 95% interval", "Seeds", "n"],
        cells,
        chapter=CHAPTER,
        words=(0, 1),
        folded=True,
    )


def _other_labels(folder: RunFolder, task: str, metric: str, rows: pd.DataFrame) -> Iterator[Block]:
    others = rows[rows["labels"] != "gold"]
    if others.empty:
        return
    columns = ("task", "model", "labels", "n_train", "value", "in_words", "ci_low", "ci_high")
    exchange = folder.table("training_size_exchange", *columns)
    exchange = exchange[exchange["task"] == task].sort_values("n_train", kind="stable")
    last = exchange.drop_duplicates(["model", "labels"], keep="last")
    cells = [
        [
            _name(folder, task, r.model),
            of_labels(r.labels),
            count(r.n_train),
            f"{r.in_words} {limits(r.ci_low, r.ci_high, 0)}",
        ]
        for r in last.itertuples()
    ]
    if cells:
        head = ["Model", "Learnt from", "Training texts", "Are worth so many gold labels"]
        caption = f"{folder.title(task)}: what worse labels are worth, in gold labels"
        yield folder.sheet(
            "training_size_exchange", caption, head, cells, chapter=CHAPTER, words=(0, 1)
        )
    said = [f"{c[2]} with {c[1]}: {c[3]} gold labels" for c in cells]
    for name in folder.task_figures("06_labels", task):
        alt = (
            f"Line plot: {metric_name(metric)} against the number of training texts, for "
            f"{joined(of_labels(x) for x in dict.fromkeys(rows['labels']))}. {'; '.join(said)}"
        )
        caption = "The same method, learning from better and worse labels."
        yield folder.picture(name, alt, caption, ["training_size_exchange"])


def _highlight(folder: RunFolder, task: str, metric: str, rows: pd.DataFrame) -> list[str]:
    """The best method with the fewest and with all labels."""
    gold = rows[rows["labels"] == "gold"]
    if gold.empty or gold["n_train"].nunique() < 2:
        return []
    said = []
    for n in (gold["n_train"].min(), gold["n_train"].max()):
        at = gold[gold["n_train"] == n].sort_values("value", ascending=False, kind="stable").iloc[0]
        said.append(f"{scored(at)} with {count(n, 'label')} ({_name(folder, task, at.model)})")
    return [f"{folder.title(task)}, highest {metric_name(metric)}: {joined(said)}."]
