"""The headline comparison: all models of a task with intervals, and what labels are worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from helpers.baselines import BASELINES
from helpers.comparison.reading import SHOWN
from helpers.metrics import LOWER_IS_BETTER
from helpers.report.blocks import Block, Card, Missing, Points, Section, Title, Words
from helpers.report.folder import RunFolder
from helpers.report.sections.models import (
    CROWD,
    best_first,
    headline_metric,
    label_type,
    learnt_from,
    metric_name,
    metrics_of_task,
    model_name,
    reference,
)
from helpers.report.words import count, decimal, interval, limits, of_labels, p_value, scored

CHAPTER = "05"


def comparison(folder: RunFolder) -> Section:
    """All models and baselines of every task on the test texts."""
    section = Section("comparison", "Models compared", why=folder.why_missing(CHAPTER))
    found = [task for task in folder.tasks if len(metrics_of_task(folder, task))]
    if not found:
        return section
    section.blocks.append(
        Words(
            "Each model answered the test texts once, and scores only read the saved answers. "
            f"Intervals are 95%, from {count(folder.profile.bootstrap, 'resample')} of the texts; "
            "a text without a valid answer counts as wrong. Simple baselines stand in every "
            "table, since a score says little without them."
        )
    )
    for task in folder.tasks:
        section.blocks.append(Title(folder.title(task), f"comparison-{task}"))
        if task not in found:
            section.blocks.append(Missing(f"Not run: {folder.why_missing(CHAPTER)}."))
            continue
        section.blocks += _of_task(folder, task)
    return section


def _of_task(folder: RunFolder, task: str) -> Iterator[Block]:
    metric = headline_metric(folder, task)
    rows = best_first(metrics_of_task(folder, task), metric)
    if rows.empty:
        yield Missing(f"metrics.csv has no {metric_name(metric)} of this task.")
        return
    n = int(rows["n"].iloc[0])
    if loaded := folder.task(task):
        yield Words(f"“{loaded.question}” {_counted(rows)} answered {count(n, 'test text')}.")
    if lines := _verdicts(folder, task, metric, rows):
        yield Points(lines)
    for name in folder.task_figures("05_headline", task):
        alt = _alt(folder, task, metric, rows)
        caption = (
            f"{metric_name(metric)} on {count(n, 'test text')} with 95% intervals, "
            f"{'best' if metric not in LOWER_IS_BETTER else 'lowest'} on top."
        )
        yield folder.picture(name, alt, caption, ["metrics", "paired_tests"])
    yield _sheet(folder, task, metric)
    if (rows["ci_low"] == rows["ci_high"]).any():
        yield Words(
            "An interval without width means that these texts are all alike (all right, say): "
            "resampling them cannot show errors that did not occur. The uncertainty is not zero."
        )
    yield from _cross_validated(folder, task, metric)
    yield from _label_sources(folder, task, metric)


def _counted(rows: pd.DataFrame) -> str:
    simple = int(rows["model"].isin(BASELINES).sum())
    return f"{count(len(rows) - simple, 'model')} and {count(simple, 'simple baseline')}"


def _alt(folder: RunFolder, task: str, metric: str, rows: pd.DataFrame) -> str:
    best, worst = rows.iloc[0], rows.iloc[-1]
    return (
        f"Dot plot: {metric_name(metric)} of {len(rows)} models and baselines on "
        f"{folder.title(task)}. Best: {model_name(folder, task, best.model, best.fine_tuned)}, "
        f"{scored(best)}. Last: {model_name(folder, task, worst.model, worst.fine_tuned)}, "
        f"{scored(worst)}. All numbers are in the table below."
    )


def _sheet(folder: RunFolder, task: str, metric: str) -> Block:
    rows = metrics_of_task(folder, task)
    present = set(rows["metric"])
    shown = [m for m in SHOWN.get(label_type(folder, task), (metric,)) if m in present]
    cells = []
    for first in best_first(rows, metric).itertuples():
        own = rows[rows["model"] == first.model].drop_duplicates("metric").set_index("metric")
        scores = [scored(own.loc[m]) if m in own.index else "–" for m in shown]
        name = model_name(folder, task, first.model, bool(first.fine_tuned))
        learnt = learnt_from(folder, task, first.model, bool(first.fine_tuned))
        cells.append([name, learnt, *scores, _answered(first)])
    return folder.sheet(
        "metrics",
        f"{folder.title(task)}: scores on the test texts, best first, with 95% intervals",
        ["Model", "Learnt from", *map(metric_name, shown), "n"],
        cells,
        chapter=CHAPTER,
        words=(0, 1),
    )


def _answered(row: Any) -> str:
    n, answered = int(row.n), int(row.n_answered)
    return f"{n:,}" if n == answered else f"{n:,} ({answered:,} answered)"


def _others(rows: pd.DataFrame, chosen: str) -> list[str]:
    """Models that the reference is set beside: base, crowd, zero-shot, the best simple method."""
    names = rows["model"].tolist()
    simple = [name for name in names if name in BASELINES and name != "zero-shot"]
    wanted = [chosen.removesuffix("-ft"), "zero-shot", CROWD, *simple[:1]]
    wanted += [name for name in names if name.startswith("classified-")]
    return [name for name in dict.fromkeys(wanted) if name in names and name != chosen]


def _verdicts(folder: RunFolder, task: str, metric: str, rows: pd.DataFrame) -> list[str]:
    found = reference(folder, task, metric)
    if found is None or found.model not in set(rows["model"]):
        return []
    own = rows.set_index("model")
    lines = [
        f"{model_name(folder, task, found.model, True)}, learnt from "
        f"{learnt_from(folder, task, found.model, True)}: {metric_name(metric)} "
        f"{scored(own.loc[found.model])}."
    ]
    tests = found.tests.set_index("model")
    for other in _others(rows, found.model):
        if other not in tests.index:
            continue
        name = model_name(folder, task, other, bool(own.loc[other, "fine_tuned"]))
        lines.append(
            f"Against {name} ({decimal(own.loc[other, 'value'])}): "
            f"{_verdict(tests.loc[other], metric)}."
        )
    return lines


def _verdict(test: pd.Series, metric: str) -> str:
    """The reference minus the other model (the table has it the other way round)."""
    difference = interval(-test["difference"], -test["ci_high"], -test["ci_low"], sign=True)
    numbers = f"{difference}, {p_value(test['p_holm'])} (Holm)"
    if not test["p_holm"] < 0.05:
        return f"{numbers}; these texts do not tell the two apart"
    better = (test["difference"] < 0) != (metric in LOWER_IS_BETTER)
    return f"{numbers}; the fine-tuned model is {'better' if better else 'worse'}"


def _cross_validated(folder: RunFolder, task: str, metric: str) -> Iterator[Block]:
    rows = best_first(metrics_of_task(folder, task, "cross-validation"), metric)
    if rows.empty:
        return
    cells = [
        [model_name(folder, task, r.model, bool(r.fine_tuned)), scored(r), _answered(r)]
        for r in rows.itertuples()
    ]
    yield folder.sheet(
        "metrics",
        f"{folder.title(task)}: cross-validation, each text under models that had not seen it",
        ["Model", metric_name(metric), "n"],
        cells,
        chapter=CHAPTER,
        folded=True,
    )


def _label_sources(folder: RunFolder, task: str, metric: str) -> Iterator[Block]:
    name = f"label_sources_{task}"
    rows = folder.table(name, "source", "value", "ci_low", "ci_high", "n", "n_train", "weighed")
    if rows.empty:
        return
    said = "; ".join(f"{of_labels(r.source)} {scored(r)}" for r in rows.itertuples())
    cells = [
        [of_labels(r.source), scored(r), count(r.n_train), count(r.weighed), count(r.n)]
        for r in rows.itertuples()
    ]
    head = ["Labels", metric_name(metric), "Training texts", "Labels weighed by coders", "n"]
    caption = f"{folder.title(task)}: what are labels worth? One model, trained on other labels"
    yield folder.sheet(name, caption, head, cells, chapter=CHAPTER)
    for figure in folder.task_figures("05_label_sources", task):
        alt = f"Dot plot beside bars: {metric_name(metric)} by source of labels, and the effort."
        caption = "One model, other labels; right: labels that coders had to think about."
        yield folder.picture(figure, f"{alt} {said}.", caption, [name])


def cards(folder: RunFolder) -> list[Card]:
    """One number a task for the top of the page, beside the best simple baseline."""
    made = []
    for task in folder.tasks:
        metric = headline_metric(folder, task)
        rows = best_first(metrics_of_task(folder, task), metric)
        if rows.empty:
            continue
        found = reference(folder, task, metric)
        names = set(rows["model"])
        chosen = found.model if found and found.model in names else str(rows["model"].iloc[0])
        own = rows.set_index("model").loc[chosen]
        n = f"n = {count(own.n, 'test text')}"
        name = model_name(folder, task, chosen, bool(own.fine_tuned))
        made.append(
            Card(
                folder.title(task),
                decimal(own.value),
                f"{limits(own.ci_low, own.ci_high)}, {n}" if not pd.isna(own.ci_low) else n,
                f"{metric_name(metric)} of {name}",
                _beside(folder, task, metric, rows),
                f"#comparison-{task}",
            )
        )
    return made


def _beside(folder: RunFolder, task: str, metric: str, rows: pd.DataFrame) -> list[str]:
    """Say how the best simple baseline does, and whether the texts tell the two apart."""
    simple = rows[rows["model"].isin(BASELINES)]
    if simple.empty:
        return []
    best = simple.iloc[0]
    lines = [f"Best simple baseline: {model_name(folder, task, best.model)}, {scored(best)}."]
    found = reference(folder, task, metric)
    tests = found.tests.set_index("model") if found else simple.iloc[:0]
    if best.model in tests.index:
        lines.append(f"Difference {_verdict(tests.loc[best.model], metric)}.")
    return lines
