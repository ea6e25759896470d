"""The AI crowd and the coders: agreement, acceptance, what the crowd missed (02 and 03)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from helpers.figures.labellers import LABELLER_METRICS
from helpers.report.blocks import Block, Points, Section, Title, Words
from helpers.report.folder import RunFolder
from helpers.report.words import count, joined, percent_interval, scored

ALL = "all"
AGREEMENT = {
    "krippendorff_alpha": "Krippendorff's alpha",
    "fleiss_kappa": "Fleiss' kappa",
    "mean_pairwise_agreement": "Share of equal answers, mean over pairs",
}
CODERS = {"agreement": "Share of equal decisions", "alpha": "Krippendorff's alpha"}


def labelling(folder: RunFolder) -> Section:
    """Agreement of the crowd, and what coders made of its proposals."""
    section = Section("labelling", "Labelling and review", why=folder.why_missing("02"))
    for task in folder.tasks:
        blocks = [*_crowd(folder, task), *_review(folder, task)]
        if blocks:
            section.blocks += [Title(folder.title(task), f"labelling-{task}"), *blocks]
    if not section.blocks:
        return section
    section.highlights += _highlight(folder)
    coders = "simulated: they look at the gold labels and err at a stated rate"
    if folder.profile.verification.coders != "simulated":
        coders = "people"
    lead = (
        "An AI crowd of several labellers proposes labels; no labeller sees a human label. Coders "
        f"then reject or correct the proposals. The coders of this run are {coders}."
    )
    section.blocks.insert(0, Words(lead))
    for name in [n for n in folder.figures if n == "03_pool_recall"]:
        alt = f"Dot plot: share of labels that somebody in the crowd proposed. {_recall(folder)}"
        caption = "The ceiling of any review that only rejects: labels that nobody proposed."
        section.blocks += [
            Title("What the crowd missed", "labelling-missed"),
            Words(_recall(folder)),
            folder.picture(name, alt, caption, ["verification_pool_recall"]),
        ]
    return section


def _of(folder: RunFolder, table: str, task: str, *columns: str) -> pd.DataFrame:
    rows = folder.table(table, "task", *columns)
    return rows[rows["task"] == task]


def _crowd(folder: RunFolder, task: str) -> Iterator[Block]:
    columns = ("statistic", "value", "ci_low", "ci_high", "n", "n_labellers")
    agreement = _of(folder, "labelling_agreement", task, *columns)
    if len(agreement):
        members = int(agreement["n_labellers"].iloc[0])
        said = [
            f"{AGREEMENT.get(r.statistic, r.statistic)} {scored(r)} (n = {r.n:,})"
            for r in agreement.itertuples()
        ]
        yield Words(f"The crowd has {count(members, 'member')}. {joined(said)}.")
    if lines := _shares(folder, task):
        yield Points(lines)
    yield from _figures(folder, task)
    yield from _scores(folder, task)


def _figures(folder: RunFolder, task: str) -> Iterator[Block]:
    drawn = {
        "02_crowd": (
            "Bars: how often any, the majority or all of the crowd's labellers are right.",
            "Between “any” and “majority” lies what human review can gain.",
            "labelling_shares",
        ),
        "02_by_agreement": (
            "Bars: share of right labels by how many labellers agree, with 95% intervals.",
            "Does agreement tell right from wrong?",
            "labelling_given_agreement",
        ),
    }
    for prefix, (alt, caption, table) in drawn.items():
        for name in folder.task_figures(prefix, task):
            said = " ".join(_shares(folder, task)) if prefix == "02_crowd" else ""
            yield folder.picture(name, f"{alt} {said}".strip(), caption, [table])


def _shares(folder: RunFolder, task: str) -> list[str]:
    columns = ("rule", "statistic", "value", "ci_low", "ci_high", "n")
    rows = _of(folder, "labelling_shares", task, *columns)
    rows = rows[rows["statistic"].isin(["right", "recall"])]
    names = {"any": "Any labeller", "majority": "The majority", "all": "All labellers together"}
    lines = []
    for r in rows.itertuples():
        share = percent_interval(r.value, r.ci_low, r.ci_high)
        if r.statistic == "right":
            tail = f"of {r.n:,} training texts get their right label"
        else:
            tail = f"of the gold labels of {r.n:,} training texts are found"
        lines.append(f"{names.get(r.rule, r.rule)}: {share} {tail}.")
    return lines


def _scores(folder: RunFolder, task: str) -> Iterator[Block]:
    columns = ("labeller", "metric", "value", "ci_low", "ci_high", "n", "n_answered")
    rows = _of(folder, "labelling_scores", task, *columns)
    if rows.empty:
        return
    metrics = list(dict.fromkeys(rows["metric"]))
    cells = []
    for labeller, part in rows.groupby("labeller", sort=False):
        own = part.drop_duplicates("metric").set_index("metric")
        answered = f"{int(own['n_answered'].iloc[0]):,} of {int(own['n'].iloc[0]):,}"
        scores = [scored(own.loc[m]) if m in own.index else "–" for m in metrics]
        cells.append([str(labeller), *scores, answered])
    names = [LABELLER_METRICS.get(m, m) for m in metrics]
    yield folder.sheet(
        "labelling_scores",
        f"{folder.title(task)}: each labeller on the training texts, with 95% intervals",
        ["Labeller", *names, "Answered"],
        cells,
        chapter="02",
        folded=True,
    )


def _review(folder: RunFolder, task: str) -> Iterator[Block]:
    columns = ("labeller", "coder", "accepted", "judged", "rate", "ci_low", "ci_high")
    rates = _of(folder, "verification_acceptance", task, *columns)
    if rates.empty:
        return
    yield Points(_reviewed(folder, task, rates))
    for name in folder.task_figures("03_acceptance", task):
        alt = (
            "Dot plot: share of proposals that coders accepted, by labeller and coder. "
            f"{_rates_of(rates, 'labeller')}"
        )
        caption = "Whose proposals are accepted, and by whom; 95% intervals."
        yield folder.picture(name, alt, caption, ["verification_acceptance"])
    shown = rates[(rates["labeller"] == ALL) | (rates["coder"] == ALL)]
    cells = [
        [
            r.labeller if r.labeller != ALL else "all labellers",
            r.coder if r.coder != ALL else "all coders",
            percent_interval(r.rate, r.ci_low, r.ci_high),
            f"{r.accepted:,} of {r.judged:,}",
        ]
        for r in shown.itertuples()
    ]
    yield folder.sheet(
        "verification_acceptance",
        f"{folder.title(task)}: accepted proposals, by labeller and by coder",
        ["Proposed by", "Judged by", "Accepted, 95% interval", "Proposals"],
        cells,
        chapter="03",
        words=(0, 1),
        folded=True,
    )


def _reviewed(folder: RunFolder, task: str, rates: pd.DataFrame) -> list[str]:
    overall = rates[(rates["labeller"] == ALL) & (rates["coder"] == ALL)]
    lines = [
        f"Coders accepted {percent_interval(r.rate, r.ci_low, r.ci_high)} of "
        f"{count(r.judged, 'proposal')}."
        for r in overall.itertuples()
    ]
    columns = ("a", "b", "statistic", "value", "ci_low", "ci_high", "n")
    agreed = _of(folder, "verification_agreement", task, *columns)
    agreed = agreed[(agreed["a"] == ALL) & agreed["statistic"].isin(CODERS)]
    if len(agreed):
        said = [f"{CODERS[r.statistic].lower()} {scored(r)}" for r in agreed.itertuples()]
        said = [text.replace("krippendorff", "Krippendorff") for text in said]
        n = count(agreed["n"].iloc[0], "proposal")
        lines.append(f"Where two coders judged the same {n}: {joined(said)}.")
    outcome = _of(folder, "verification_outcome", task, "outcome", "texts")
    if len(outcome):
        kept = int(outcome.loc[outcome["outcome"] == "kept", "texts"].sum())
        total = int(outcome["texts"].sum())
        lines.append(
            f"{kept:,} of {count(total, 'training text')} kept a label and can be learnt from."
        )
    return lines


def _rates_of(rates: pd.DataFrame, by: str) -> str:
    other = "coder" if by == "labeller" else "labeller"
    rows = rates[(rates[other] == ALL) & (rates[by] != ALL)]
    said = [
        f"{row[by]} {percent_interval(row['rate'], row['ci_low'], row['ci_high'])}"
        for _, row in rows.iterrows()
    ]
    return f"{joined(said)}." if said else ""


def _recall(folder: RunFolder) -> str:
    columns = ("task", "quantity", "estimate", "ci_low", "ci_high", "texts")
    rows = folder.table("verification_pool_recall", *columns)
    rows = rows[rows["quantity"] == "labels found"]
    said = [
        f"{folder.title(r.task)} {percent_interval(r.estimate, r.ci_low, r.ci_high)} "
        f"({count(r.texts, 'text')})"
        for r in rows.itertuples()
        if r.task in folder.tasks
    ]
    if not said:
        return ""
    return (
        "A random sample was coded blind, without proposals. Of the labels that coders gave "
        f"there, the crowd had proposed: {'; '.join(said)}."
    )


def _highlight(folder: RunFolder) -> list[str]:
    columns = ("task", "labeller", "coder", "judged", "rate", "ci_low", "ci_high")
    rates = folder.table("verification_acceptance", *columns)
    rates = rates[(rates["labeller"] == ALL) & (rates["coder"] == ALL)]
    said = [
        f"{folder.title(r.task)} {percent_interval(r.rate, r.ci_low, r.ci_high)} of "
        f"{count(r.judged)}"
        for r in rates.itertuples()
        if r.task in folder.tasks
    ]
    return [f"Proposals of the AI crowd that coders accepted: {'; '.join(said)}."] if said else []
