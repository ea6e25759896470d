"""From labels to shares and coefficients, with the coverage of their intervals (chapter 09)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from helpers.report.blocks import Block, Section, Title, Words
from helpers.report.folder import RunFolder
from helpers.report.words import count, decimal, interval, joined, percent

CHAPTER = "09"
METHODS = {
    "naive": "Naive (predictions counted as data)",
    "classical": "Classical (coded texts alone)",
    "ppi": "PPI++ (both)",
    "dsl": "DSL (both)",
}
SHORT = {"naive": "naive", "classical": "classical", "ppi": "PPI++", "dsl": "DSL"}
PREDICTORS = {
    "crowd": "the AI crowd",
    "cross-fitted": "a cross-fitted simple model",
    "fine-tuned": "the fine-tuned model",
}
ESTIMANDS = {
    "share": "a share",
    "outcome": "a slope over the years",
    "covariate": "an effect on a made-up outcome",
}
SUMMARY = ("task", "predictor", "method", "labels", "mean_error", "holds_truth", "mean_width")
COVERAGE = ("estimand", "method", "designs", "lowest", "highest", "in_band", "width")
REGRESSIONS: tuple[str, ...] = (
    "task",
    "predictor",
    "made_up",
    "term",
    "method",
    "estimate",
    "ci_low",
    "ci_high",
)
REGRESSIONS += ("truth", "n", "n_coded")


def estimates(folder: RunFolder) -> Section:
    """Shares by method, coverage of the intervals, coefficients, and how many texts to code."""
    section = Section("estimates", "From labels to quantities", why=folder.why_missing(CHAPTER))
    summary = folder.table("estimates_summary", *SUMMARY)
    for task in folder.tasks:
        rows = summary[summary["task"] == task]
        if len(rows):
            section.blocks.append(Title(folder.title(task), f"estimates-{task}"))
            section.blocks += _shares(folder, task, rows)
    section.highlights += _highlight(folder, summary)
    section.blocks += [*_groups(folder), *_coverage(folder), *_regressions(folder)]
    section.blocks += _planning(folder)
    if section.blocks:
        lead = (
            "Labels are wrong in many texts; shares and coefficients inherit it. Each is estimated "
            "from predictions alone (naive), from texts that coders labelled blind (classical), "
            "and from both (PPI++ and DSL). Gold labels of all texts are known here and serve to "
            "check the intervals; no estimate sees them."
        )
        section.blocks.insert(0, Words(lead))
    return section


def _shares(folder: RunFolder, task: str, rows: pd.DataFrame) -> Iterator[Block]:
    reading = _reading(folder, task, rows)
    yield Words(reading)
    for name in folder.task_figures("09_shares", task):
        alt = f"Dot plot: the share of each label by four methods, beside the true share. {reading}"
        caption = "Shares with 95% intervals. The black line is the gold share."
        yield folder.picture(name, alt, caption, ["estimates_shares"])
    cells = [
        [
            PREDICTORS.get(r.predictor, r.predictor),
            METHODS.get(r.method, r.method),
            f"{int(r.holds_truth)} of {int(r.labels)}",
            f"{100 * r.mean_error:.1f}",
            f"{100 * r.mean_width:.1f}",
        ]
        for r in rows.itertuples()
    ]
    yield folder.sheet(
        "estimates_summary",
        f"{folder.title(task)}: shares of labels by method (points are percentage points)",
        [
            "Predictions of",
            "Method",
            "95% intervals that hold the gold share",
            "Mean error, points",
            "Mean width, points",
        ],
        cells,
        chapter=CHAPTER,
        words=(0, 1),
    )


def _coded(folder: RunFolder, task: str) -> str:
    shares = folder.table("estimates_shares", "task", "group_by", "n", "n_coded")
    rows = shares[(shares["task"] == task) & (shares["group_by"] == "all")]
    if rows.empty:
        return ""
    return f" ({count(rows['n'].iloc[0], 'text')}, {count(rows['n_coded'].iloc[0])} of them coded)"


def _reading(folder: RunFolder, task: str, rows: pd.DataFrame) -> str:
    lines = []
    for predictor, part in rows.groupby("predictor", sort=False):
        said = [
            f"{SHORT.get(r.method, r.method)} {int(r.holds_truth)} of {int(r.labels)}"
            for r in part.itertuples()
        ]
        lines.append(
            f"with the predictions of {PREDICTORS.get(predictor, predictor)}, {joined(said)}"
        )
    return f"Intervals that hold the gold share{_coded(folder, task)}: {'; '.join(lines)}."


def _groups(folder: RunFolder) -> Iterator[Block]:
    shares = folder.table("estimates_shares", "group_by", "group")
    groups = sorted(set(shares.loc[shares["group_by"] != "all", "group_by"]))
    for name in [n for n in folder.figures if n == "09_groups"]:
        yield Title("By group of texts", "estimates-groups")
        alt = f"Dot plots: shares of labels by {joined(groups)}, by four methods, beside the truth."
        caption = "Shares by group. Naive points may show a trend that is not there."
        yield folder.picture(name, alt, caption, ["estimates_shares"])


def _coverage(folder: RunFolder) -> Iterator[Block]:
    rows = folder.table("estimates_coverage", *COVERAGE)
    if rows.empty:
        return
    yield Title("Do the intervals keep their promise?", "estimates-coverage")
    simulated = folder.table("estimates_simulation", "replications", "n_coded")
    draws = count(simulated["replications"].max(), "sample") if len(simulated) else "many samples"
    cells = [
        [
            ESTIMANDS.get(r.estimand, r.estimand),
            METHODS.get(r.method, r.method),
            f"{percent(r.lowest)} to {percent(r.highest)}",
            f"{int(r.in_band)} of {int(r.designs)}",
            decimal(r.width, 2),
        ]
        for r in rows.itertuples()
    ]
    yield Words(
        f"Repeated on the computer, {draws} for each design, with texts whose truth is known: a "
        "95% interval should hold the truth in 95 of 100 samples."
    )
    for name in [n for n in folder.figures if n == "09_coverage_share"]:
        alt = (
            "Line plots: coverage and width of the intervals for a share, by number of coded texts "
            "and method."
        )
        yield folder.picture(name, alt, "Coverage and width, a share.", ["estimates_simulation"])
    yield folder.sheet(
        "estimates_coverage",
        "Coverage of 95% intervals over all simulated designs",
        ["Estimated", "Method", "Coverage", "Designs at 93% to 97%", "Width (classical = 1)"],
        cells,
        chapter=CHAPTER,
        words=(0, 1),
    )


def _regressions(folder: RunFolder) -> Iterator[Block]:
    rows = folder.table("estimates_regressions", *REGRESSIONS)
    if rows.empty:
        return
    cells = [
        [
            PREDICTORS.get(r.predictor, r.predictor),
            "an outcome that is made up" if str(r.made_up) == "True" else "has the topic",
            str(r.term),
            METHODS.get(r.method, r.method),
            interval(r.estimate, r.ci_low, r.ci_high, sign=True),
            decimal(r.truth, sign=True),
            f"{int(r.n):,} ({int(r.n_coded):,} coded)",
        ]
        for r in rows.itertuples()
    ]
    yield folder.sheet(
        "estimates_regressions",
        "Regression coefficients by method; gold: the same with gold labels of all texts",
        ["Predictions of", "Outcome", "Term", "Method", "Coefficient, 95% interval", "Gold", "n"],
        cells,
        chapter=CHAPTER,
        words=(0, 1, 2, 3),
        folded=True,
    )


def _planning(folder: RunFolder) -> Iterator[Block]:
    columns = ("task", "predictor", "name", "width", "corpus", "classical", "ppi", "ppi_cautious")
    rows = folder.table("estimates_labels", *columns).drop_duplicates(
        ["task", "predictor", "width"]
    )
    rows = rows[rows["task"].isin(folder.tasks)].dropna(subset=["classical", "ppi"])
    if rows.empty:
        return
    cells = [
        [
            str(row["name"]),
            PREDICTORS.get(row["predictor"], row["predictor"]),
            f"{100 * row['width']:g} points",
            *(count(row[name]) for name in ("classical", "ppi", "ppi_cautious")),
        ]
        for _, row in rows.iterrows()
    ]
    yield Title("How many texts to code", "estimates-planning")
    yield folder.sheet(
        "estimates_labels",
        f"Texts to be coded for an interval so wide, in a corpus of {count(rows['corpus'].max())}",
        [
            "Label",
            "Predictions of",
            "Width",
            "By themselves",
            "With PPI++",
            "To be on the safe side",
        ],
        cells,
        chapter=CHAPTER,
        words=(0, 1),
    )


def _highlight(folder: RunFolder, summary: pd.DataFrame) -> list[str]:
    said: dict[str, list[str]] = {"naive": [], "ppi": []}
    for task in folder.tasks:
        rows = summary[(summary["task"] == task) & (summary["predictor"] == "crowd")]
        own = rows.drop_duplicates("method").set_index("method")
        for method in said:
            if method in own.index:
                row = own.loc[method]
                held = f"{int(row.holds_truth)} of {int(row.labels)} labels"
                said[method].append(f"{folder.title(task)} {held}")
    naive, both = said.values()
    lines = []
    if naive:
        lines.append(
            "The AI crowd's labels counted as data; intervals that hold the true share: "
            f"{'; '.join(naive)}."
        )
    if both:
        lines.append(f"The same, corrected with coded texts (PPI++): {'; '.join(both)}.")
    return lines
