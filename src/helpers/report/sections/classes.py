"""The size axis and the scores class by class (chapter 05)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from helpers.figures.comparison import readable_size
from helpers.report.blocks import Block, Missing, Section, Title, Words
from helpers.report.folder import RunFolder
from helpers.report.sections.models import (
    headline_metric,
    metric_name,
    metrics_of_task,
    model_name,
    reference,
)
from helpers.report.words import count, joined, percent_interval, scored

CHAPTER = "05"
RATES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
}


def size_axis(folder: RunFolder) -> Section:
    """Score against number of parameters, base and fine-tuned."""
    section = Section("size", "Does size matter?", why=folder.why_missing(CHAPTER))
    if not any(len(metrics_of_task(folder, task)) for task in folder.tasks):
        return section
    for task in folder.tasks:
        names = folder.task_figures("05_size", task)
        rows = _sized(folder, task)
        section.blocks.append(Title(folder.title(task), f"size-{task}"))
        if rows["parameters"].nunique() < 2:
            section.blocks.append(
                Missing("Not run: this profile has models of one size only for this task.")
            )
            continue
        section.blocks.append(Words(_reading(folder, task, rows)))
        for name in names:
            metric = name.removeprefix(f"05_size_{task}_")
            alt = (
                f"Line plot: {metric_name(metric)} against the number of parameters, base and "
                f"fine-tuned, training and test texts, baselines as lines. "
                f"{_reading(folder, task, _sized(folder, task, metric), metric)}"
            )
            caption = f"{metric_name(metric)} by number of parameters, with 95% intervals."
            section.blocks.append(folder.picture(name, alt, caption, ["metrics"]))
    return section


def _sized(folder: RunFolder, task: str, metric: str = "") -> pd.DataFrame:
    rows = metrics_of_task(folder, task)
    rows = rows[rows["metric"] == (metric or headline_metric(folder, task))]
    rows = rows[rows["parameters"].notna() & ~rows["model"].str.contains("@", regex=False)]
    return rows.sort_values("parameters", kind="stable")


def _reading(folder: RunFolder, task: str, rows: pd.DataFrame, metric: str = "") -> str:
    said = []
    for tuned, part in rows.groupby(rows["fine_tuned"].astype(bool), sort=True):
        first, last = part.iloc[0], part.iloc[-1]
        said.append(
            f"{'fine-tuned' if tuned else 'base'} models go from {scored(first)} with "
            f"{readable_size(first.parameters)} parameters to {scored(last)} with "
            f"{readable_size(last.parameters)}"
        )
    n = int(rows["n"].iloc[0]) if len(rows) else 0
    name = metric_name(metric or headline_metric(folder, task))
    return f"{name} on {count(n, 'test text')}: {joined(said)}."


def per_class(folder: RunFolder) -> Section:
    """Rates of each label, of the model that the others are tested against."""
    section = Section("classes", "Class by class", why=folder.why_missing(CHAPTER))
    columns = ("task", "split", "model", "label", "name", "metric", "value", "ci_low", "ci_high")
    table = folder.table("per_class", *columns, "support")
    table = table[table["split"] == "test"]
    for task in folder.tasks:
        rows = table[table["task"] == task]
        if rows.empty:
            continue
        section.blocks.append(Title(folder.title(task), f"classes-{task}"))
        section.blocks += _classes(folder, task, rows)
    if section.blocks:
        section.blocks.insert(
            0,
            Words(
                "For each label: the share of its texts that are found (sensitivity), the share "
                "of other texts that are left alone (specificity), their mean (balanced "
                "accuracy), and F1. Labels with few test texts have wide intervals."
            ),
        )
    return section


def _classes(folder: RunFolder, task: str, rows: pd.DataFrame) -> Iterator[Block]:
    found = reference(folder, task, headline_metric(folder, task))
    model = found.model if found else str(rows["model"].iloc[0])
    own = rows[rows["model"] == model]
    name = model_name(folder, task, model, found is not None)
    reading = _extremes(own, name)
    yield Words(reading)
    for figure in folder.task_figures("05_per_class", task):
        alt = f"Dot plot: sensitivity, specificity, balanced accuracy and F1 by label. {reading}"
        caption = "Each label, with 95% intervals. A cross at the left edge: undefined."
        yield folder.picture(figure, alt, caption, ["per_class"])
    cells = []
    for label, part in own.groupby("label", sort=False):
        by_metric = part.drop_duplicates("metric").set_index("metric")
        rates = [scored(by_metric.loc[m]) if m in by_metric.index else "–" for m in RATES]
        readable = by_metric["name"].iloc[0]
        cells.append(
            [
                str(label if pd.isna(readable) else readable),
                count(by_metric["support"].iloc[0]),
                *rates,
            ]
        )
    yield folder.sheet(
        "per_class",
        f"{folder.title(task)}: {name}, test texts, with 95% intervals",
        ["Label", "Test texts", *RATES.values()],
        cells,
        chapter=CHAPTER,
        folded=True,
    )


def _extremes(own: pd.DataFrame, name: str) -> str:
    rows = own[(own["metric"] == "sensitivity") & own["value"].notna()]
    unknown = int(((own["metric"] == "sensitivity") & own["value"].isna()).sum())
    if rows.empty:
        return f"{name}: no label has a defined sensitivity."
    ranked = rows.sort_values(["value", "support"], ascending=[False, False], kind="stable")
    best, last = ranked.iloc[0], ranked.iloc[-1]
    said = [
        f"{which} is “{row['name']}” ({percent_interval(row.value, row.ci_low, row.ci_high)} of "
        f"{count(row.support, 'text')})"
        for which, row in (("found most often", best), ("least often", last))
    ]
    tail = f" {count(unknown, 'label')} of the codebook: no test text." if unknown else ""
    return f"{name}, {count(len(rows), 'label')}: {joined(said)}.{tail}"
