"""Which parameters to train (chapter 07)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from helpers.figures.parts import part_name, readable_share
from helpers.metrics import LOWER_IS_BETTER
from helpers.report.blocks import Block, Missing, Section, Title, Words
from helpers.report.folder import RunFolder
from helpers.report.sections.models import metric_name
from helpers.report.words import count, interval, scored

CHAPTER = "07"
SCHEMES = {"fold": "cross-validation", "group": "whole groups left out", "split": "test texts"}
SCORES: tuple[str, ...] = ("task", "scheme", "method", "metric", "value", "ci_low", "ci_high")
SCORES += ("trainable_share", "n")
GAINS: tuple[str, ...] = (
    "task",
    "scheme",
    "method",
    "dictionary",
    "metric",
    "difference",
    "difference_low",
)
GAINS += ("difference_high",)


def parts(folder: RunFolder) -> Section:
    """Scores by the part of an encoder that learns, beside dictionaries."""
    section = Section("parts", "What to fine-tune", why=folder.why_missing(CHAPTER))
    scores = folder.table("parts_scores", *SCORES)
    for task in dict.fromkeys(scores["task"]):
        section.blocks.append(Title(folder.title(task), f"parts-{task}"))
        for scheme in dict.fromkeys(scores.loc[scores["task"] == task, "scheme"]):
            rows = scores[(scores["task"] == task) & (scores["scheme"] == scheme)]
            section.blocks += _scheme(folder, task, scheme, rows)
        if section.highlights == []:
            section.highlights += _highlight(folder, task, scores[scores["task"] == task])
    if section.blocks:
        lead = (
            "The same encoder with more and more of its parameters trained, beside dictionaries "
            "learnt from the same texts and baselines that read nothing."
        )
        section.blocks.insert(0, Words(lead))
        section.blocks += _causal(folder)
    return section


def _scheme(folder: RunFolder, task: str, scheme: str, rows: pd.DataFrame) -> Iterator[Block]:
    metrics = list(dict.fromkeys(rows["metric"]))
    first = _ranked(rows, metrics[0])
    where = SCHEMES.get(scheme, scheme)
    reading = (
        f"{metric_name(metrics[0])} by {where}, {count(first['n'].iloc[0], 'text')}: best "
        f"{part_name(first.iloc[0].method)} {scored(first.iloc[0])}, last "
        f"{part_name(first.iloc[-1].method)} {scored(first.iloc[-1])}."
    )
    yield Words(reading)
    drawn = {
        "07_share": "against the share of parameters that learn",
        "07_gains": "gain over the dictionary",
    }
    for prefix, what in drawn.items():
        for name in folder.task_figures(prefix, task):
            if name.endswith(f"_{scheme}"):
                alt = f"Dot plot: scores of each method, {what}, with 95% intervals. {reading}"
                caption = f"Scores {what}; {where}."
                table = "parts_scores" if prefix == "07_share" else "parts_gains"
                yield folder.picture(name, alt, caption, [table])
    cells = []
    for row in first.itertuples():
        own = rows[rows["method"] == row.method].drop_duplicates("metric").set_index("metric")
        share = row.trainable_share
        cells.append(
            [
                part_name(row.method),
                "–" if pd.isna(share) else readable_share(share),
                *(scored(own.loc[m]) if m in own.index else "–" for m in metrics),
                count(row.n),
            ]
        )
    yield folder.sheet(
        "parts_scores",
        f"{folder.title(task)}: {where}, with 95% intervals",
        ["What learns", "Share that learns", *map(metric_name, metrics), "n"],
        cells,
        chapter=CHAPTER,
    )


def _ranked(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    rows = rows[rows["metric"] == metric]
    return rows.sort_values("value", ascending=metric in LOWER_IS_BETTER, kind="stable")


def _highlight(folder: RunFolder, task: str, scores: pd.DataFrame) -> list[str]:
    gains = folder.table("parts_gains", *GAINS)
    metric = scores["metric"].iloc[0]
    rows = gains[(gains["task"] == task) & (gains["method"] == "all") & (gains["metric"] == metric)]
    if rows.empty:
        return []
    row = rows.iloc[0]
    difference = interval(row.difference, row.difference_low, row.difference_high, sign=True)
    apart = row.difference_low > 0 or row.difference_high < 0
    return [
        f"{folder.title(task)}: an encoder with all parameters trained, minus the better "
        f"dictionary ({part_name(row.dictionary)}): {difference} in {metric_name(metric)}"
        f"{'' if apart else '; these texts do not tell the two apart'}."
    ]


def _causal(folder: RunFolder) -> Iterator[Block]:
    rows = folder.table("parts_causal", "task", "variant", "metric", "value", "ci_low", "ci_high")
    yield Title("The same question for a causal model", "parts-causal")
    if rows.empty:
        yield Missing("Not run: this profile has no variants of the causal model; “study” has.")
        return
    cells = [
        [folder.title(r.task), r.variant, metric_name(r.metric), scored(r)]
        for r in rows.itertuples()
    ]
    yield folder.sheet(
        "parts_causal",
        "Variants of fine-tuning a causal model, with 95% intervals",
        ["Task", "Variant", "Score", "Value"],
        cells,
        chapter=CHAPTER,
        words=(0, 1, 2),
    )
