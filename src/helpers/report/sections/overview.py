"""The top of the page: what was run, on which texts, and what it is not."""

from __future__ import annotations

import pandas as pd

from helpers.report.blocks import Missing, Section, Sheet
from helpers.report.folder import RunFolder
from helpers.report.sections.machine import machine_words
from helpers.report.words import count, joined

SOURCES = {
    "embedded": "written for this package (embedded)",
    "upstream": "the authors' real texts, as far as they are public",
    "hub": "from the model hub",
    "dataverse": "from a Dataverse deposit",
    "own": "your own texts",
}
LEARNT = {
    "verified": "the AI crowd's proposals that {coders} left standing",
    "majority": "the AI crowd's majority vote, which nobody reviewed",
    "gold": "gold labels",
}


def lead(folder: RunFolder) -> list[str]:
    """Say in plain words what was run."""
    profile = folder.profile
    done = [c for c in folder.chapters if c.state == "done" and c.name in folder.wanted]
    lines = [
        f"This page sums up one run with the profile “{profile.name}” ({profile.title}): "
        f"{len(done)} of {count(len(folder.wanted), 'chapter')}."
    ]
    overview = folder.table("data_overview", "task", "texts")
    sizes = dict(zip(overview["task"], overview["texts"], strict=True))
    if known := [task for task in folder.tasks if task in sizes]:
        said = [f"{folder.title(task)} ({count(sizes[task], 'text')})" for task in known]
        lines.append(f"{count(len(known), 'task').capitalize()}: {joined(said)}.")
    scores = folder.table("metrics", "fine_tuned")
    if (scores["fine_tuned"].astype(str) == "True").any():
        coders = "simulated coders" if _simulated(folder) else "coders"
        learnt = LEARNT[profile.train_labels].format(coders=coders)
        lines.append(
            f"Models learnt from {learnt}; they are judged by gold labels of test texts that "
            "nothing was trained or chosen on."
        )
    lines.append(f"Machine: {machine_words(folder)}.")
    return lines


def cautions(folder: RunFolder) -> list[str]:
    """Say what the results are not; empty where there is nothing to warn of."""
    profile = folder.profile
    shown = set(folder.table("data_overview", "task")["task"]) | _scored(folder)
    shown &= {*profile.tasks, *profile.describe_only}
    embedded = [task for task in sorted(shown) if profile.source(task) == "embedded"]
    lines = []
    of_paper = any(profile.source(task) != "own" for task in shown)
    if of_paper and (embedded or _tuned(folder).size):
        lines.append("These are not the paper's results.")
    if embedded:
        which = joined(folder.title(task) for task in embedded)
        lines.append(
            f"{'All' if len(embedded) == len(shown) else 'The following'} texts were written for "
            "this package" + ("." if len(embedded) == len(shown) else f": {which}.")
        )
    if of_paper and (sizes := _sizes(folder)):
        lines.append(sizes)
    limits = {k: v for k, v in profile.limit.model_dump().items() if v is not None}
    if limits and shown:
        said = joined(f"{size} {split}" for split, size in limits.items())
        lines.append(
            f"Texts were limited to {said} texts a task, to see that everything runs: the scores "
            "mean nothing."
        )
    if _simulated(folder) and len(folder.table("verification_acceptance")):
        lines.append(
            "Nobody was asked: the coders are simulated. They look at the gold labels and err in "
            f"{profile.verification.error_rate:.0%} of their decisions."
        )
    if stand_ins := _stand_ins(folder):
        lines.append(
            f"{joined(stand_ins)}: small models served on the machine of the run; they stand in "
            "for a closed model behind an API and are none."
        )
    return lines


def _tuned(folder: RunFolder) -> pd.Series:
    rows = folder.table("metrics", "fine_tuned", "parameters")
    return rows.loc[rows["fine_tuned"].astype(str) == "True", "parameters"].dropna()


def _sizes(folder: RunFolder) -> str:
    """Compare the size of the fine-tuned models with that of the paper's."""
    from helpers.figures.comparison import readable_size
    from helpers.published import published_flourishing

    own = _tuned(folder)
    if own.empty:
        return ""
    values = published_flourishing()
    paper = 1e9 * values.loc[values["fine_tuned"], "parameters_billion"].astype(float)
    spans = []
    for sizes in (own, paper):
        low, high = readable_size(sizes.min()), readable_size(sizes.max())
        spans.append(low if low == high else f"{low} to {high}")
    return f"The fine-tuned models have {spans[0]} parameters, the paper's have {spans[1]}."


def _simulated(folder: RunFolder) -> bool:
    return folder.profile.verification.coders == "simulated"


def _scored(folder: RunFolder) -> set[str]:
    return set(folder.table("metrics", "task")["task"])


def _stand_ins(folder: RunFolder) -> list[str]:
    plan = folder.profile.labelling
    served = [
        name
        for name, labeller in plan.labellers.items()
        if labeller.endpoint and plan.endpoints[labeller.endpoint].serve
    ]
    asked = set(folder.table("metrics", "model")["model"])
    asked |= set(folder.table("labelling_scores", "labeller")["labeller"])
    return [name for name in served if name in asked]


def texts(folder: RunFolder) -> Section:
    """The texts of each task and their split."""
    section = Section("texts", "The texts", why=folder.why_missing("01"))
    columns = ("task", "label_type", "texts", "labels_in_codebook", "labels_per_text")
    overview = folder.table("data_overview", *columns)
    if overview.empty:
        return section
    splits = folder.table("data_splits", "task", "split", "texts")
    rows = []
    for row in overview.itertuples():
        if row.task not in {*folder.profile.tasks, *folder.profile.describe_only}:
            continue
        own = splits[splits["task"] == row.task].set_index("split")["texts"].to_dict()
        each = [count(own.get(split)) for split in ("train", "validation", "test")]
        source = folder.profile.source(row.task)
        labels = count(row.labels_in_codebook) if row.labels_in_codebook else "numeric"
        many = "–" if pd.isna(row.labels_per_text) else f"{row.labels_per_text:.2g}"
        where = SOURCES.get(source, source)
        rows.append([folder.title(row.task), where, count(row.texts), *each, labels, many])
    head = ["Task", "Texts are", "Texts", "Train", "Validation", "Test", "Labels", "Labels a text"]
    caption = "Texts by task and split; the split was drawn once, in chapter 1"
    links = folder.csv_link("data_splits") + folder.notebook_link("01", "data_splits")
    section.blocks.append(Sheet(caption, head, rows, (0, 1), links))
    return section


def problems(folder: RunFolder) -> list[Missing]:
    """Return what could not be read, as blocks."""
    return [
        Missing(f"{problem}. Run the chapters again to repair it.") for problem in folder.problems
    ]
