"""REFORMS, modules 1, 3, 4 and 6b: texts, labels, what was left out."""

from __future__ import annotations

import json

import pandas as pd

from helpers.checklist.facts import Fact, Facts, listed
from helpers.data.leakage import SHINGLE, THRESHOLD
from helpers.data.splits import FRACTIONS, RARE

SOURCES = {
    "embedded": "written for the package by a language model acting as author, which also fixed "
    "the labels; nobody has checked them",
    "own": "a table of the user's; labels as they stand there",
    "upstream": "the repository siacus/rethinking-scale at a pinned commit; labels as archived",
    "hub": "a data set on the model hub, at a pinned commit; labels as they stand there",
    "dataverse": "a deposit, read by its DOI; values as they stand there",
}


KINDS = {
    "single": "one label a text",
    "multi": "any number of labels a text",
    "multi_intensity": "any number of labels a text, each with a level",
    "numeric": "a number",
}


def _embedded(facts: Facts) -> bool:
    return any(facts.run.profile.source(task.name) == "embedded" for task in facts.tasks)


def population(facts: Facts) -> list[Fact]:
    """1a: none, for texts that were made up."""
    if not _embedded(facts):
        return []
    return [
        Fact("none: the texts were written for this package", "`data/embedded/DATASHEET.md`"),
    ]


def source(facts: Facts) -> list[Fact]:
    """3a: where texts and labels come from, and what models learnt from."""
    profile = facts.run.profile
    by_source: dict[str, list[str]] = {}
    for task in facts.tasks:
        by_source.setdefault(str(profile.source(task.name)), []).append(task.name)
    found = [
        Fact(f"{', '.join(names)}: {SOURCES.get(kind, kind)}", f"source `{kind}`")
        for kind, names in by_source.items()
    ]
    words = {
        "gold": "the labels of the source",
        "majority": "the majority of a crowd of models, unreviewed",
        "verified": "what coders left standing, or corrected, of a crowd of models' proposals",
    }[profile.train_labels]
    where = f"`config/profiles/{profile.name}.yaml`"
    found.append(Fact(f"models learn from {profile.train_labels} labels: {words}", where))
    if profile.train_labels == "verified":
        people = profile.verification
        who = f"{len(people.names)} coders"
        if people.coders == "simulated":
            who += f", **simulated** with {people.error_rate:.0%} wrong decisions: nobody coded"
        found.append(Fact(who, "chapter 03"))
    found.append(Fact("validation and test labels are always those of the source", "chapter 01"))
    return found


def sampling(facts: Facts) -> list[Fact]:
    """3b: how splits were drawn; the rest is the author's."""
    shares = " / ".join(f"{share:.0%}" for share in FRACTIONS)
    return [
        Fact(
            f"splits are drawn from the texts that are there: {shares} train, validation, test, "
            f"stratified by label, seed {facts.run.profile.seed}; a split that the data come with "
            "is kept",
            "chapter 01",
        )
    ]


def outcome(facts: Facts) -> list[Fact]:
    """3d: type of label, and the commonest and rarest class."""
    found = []
    for task in facts.tasks:
        row = facts.of("data_overview", task)
        if row.empty:
            continue
        one = row.iloc[0]
        text = f"{task.name}: {KINDS[task.label_type]}. {task.question}"
        counts = facts.of("data_label_counts", task)
        if len(counts):
            ordered = counts.sort_values("n", ascending=False)
            most, least = ordered.iloc[0], ordered.iloc[-1]
            text += (
                f" {one['labels_that_occur']:.0f} of {one['labels_in_codebook']:.0f} labels occur, "
                f"{one['labels_per_text']:.2f} a text; most often {most['name']} "
                f"({most['share']:.1%}), least {least['name']} ({least['share']:.1%})"
            )
        where = "`tables/data_overview.csv`, `data_label_counts.csv`, chapter 01"
        found.append(Fact(text, where))
    return found


def sizes(facts: Facts) -> list[Fact]:
    """3e: texts by split; by class in a table."""
    found = []
    for task in facts.tasks:
        rows = facts.of("data_splits", task)
        each = [f"{int(r.texts):,} {r.split}" for r in rows.itertuples()]
        rare = facts.of("data_rare_labels", task)
        note = f"; {len(rare)} classes with fewer than {RARE} texts" if len(rare) else ""
        total = int(rows["texts"].sum())
        where = "`tables/data_splits.csv`; by class: `data_label_counts.csv`; chapter 01"
        found.append(Fact(f"{task.name}: {total:,} texts: {', '.join(each)}{note}", where))
    return found


def missing(facts: Facts) -> list[Fact]:
    """3f: texts without a label at the source, in the crowd, and after review."""
    found = []
    for task in facts.tasks:
        one = facts.of("data_overview", task)
        if len(one) and pd.notna(one["without_label"].iloc[0]):
            n = int(one["without_label"].iloc[0])
            # Where a text may have no label, "none" is an answer, not a gap.
            kind = "without a label" if task.empty is None else "to which no label applies"
            found.append(
                Fact(f"{task.name}: {n} texts {kind}", "`tables/data_overview.csv`, chapter 01")
            )
        outcomes = facts.of("verification_outcome", task)
        if len(outcomes):
            each = [f"{int(r.texts):,} {r.outcome}" for r in outcomes.itertuples()]
            lost = int(outcomes["texts"].sum() - outcomes["texts"].iloc[0])
            text = f"{task.name}: after review {'; '.join(each)}"
            if facts.run.profile.train_labels == "verified" and lost:
                text += f". The {lost:,} without labels are not learnt from; which they are "
                text += "depends on what the crowd proposed: not missing at random"
            found.append(Fact(text, "`tables/verification_outcome.csv`, chapter 03"))
    return found


def representative(facts: Facts) -> list[Fact]:
    """3g: texts that were made up represent nothing."""
    if not _embedded(facts):
        return []
    return [Fact("they are not: nothing about the world follows", "`data/embedded/DATASHEET.md`")]


def left_out(facts: Facts) -> list[Fact]:
    """4a: rows left out on reading, as near-duplicates, or by a limit of the profile."""
    found = []
    for name, what in (("data_dropped", "left out on reading"), ("data_leaks", "near-duplicates")):
        rows = facts.table(name)
        each = [
            f"{r['task']}: {int(r['count'])} ({r['reason']})"
            for r in _rows(rows, "task count reason")
        ]
        where = f"`tables/{name}.csv`, with ids; chapter 01"
        found.append(Fact(f"{what}: {'; '.join(each) if each else 'none'}", where))
    limits = {k: v for k, v in facts.run.profile.limit.model_dump().items() if v}
    if limits:
        each = [f"{split} {n}" for split, n in limits.items()]
        found.append(
            Fact(
                f"the profile keeps at most so many texts: {', '.join(each)}",
                f"`config/profiles/{facts.run.profile.name}.yaml`",
            )
        )
    return found


def _rows(frame: pd.DataFrame, columns: str) -> list[pd.Series]:
    """Return rows of a table that may be empty and then lacks columns."""
    names = columns.split()
    return [row for _, row in frame[names].iterrows()] if set(names) <= set(frame) else []


def broken(facts: Facts) -> list[Fact]:
    """4b: what reading checks."""
    return [
        Fact(
            "every row is checked when it is read (text, id, label in the codebook, encoding); a "
            "bad one is left out with its id and reason, or stops the run",
            "`src/helpers/data/validation.py`, chapter 01",
        )
    ]


def transformed(facts: Facts) -> list[Fact]:
    """4c: from the text to what the model reads."""
    forms: dict[tuple[str, int], list[str]] = {}
    for task, _, made, _ in facts.trained():
        form = (made["settings"]["prompt_style"], made["settings"]["max_prompt_tokens"])
        names = forms.setdefault(form, [])
        names += [task] * (task not in names)
    found = [
        Fact(
            f"{', '.join(names)}: the text is put into the prompt `{style}` and cut at {tokens} "
            "tokens, prompt included; its end is lost then",
            "`config/tasks/`, chapter 04",
        )
        for (style, tokens), names in forms.items()
    ]
    simple = [b for b in facts.run.profile.baselines if b in ("tfidf-lr", "embeddings-lr")]
    if simple:
        found.append(
            Fact(
                f"{listed(simple)}: weights of words and scales from training texts alone",
                "chapter 05",
            )
        )
    return found


def duplicates(facts: Facts) -> list[Fact]:
    """6b: near-duplicates across splits."""
    rows = facts.table("data_leaks")
    n = sum(int(row["count"]) for row in _rows(rows, "task count reason"))
    found = [
        Fact(
            f"texts that nearly repeat a held-out text are taken out of training (equal, or a "
            f"Jaccard similarity of {SHINGLE}-word runs of {THRESHOLD} or more): {n} here",
            "`tables/data_leaks.csv`, chapter 01",
        )
    ]
    groups = sorted(
        json.dumps(task.data[kind]["groups"])
        for task in facts.tasks
        if (kind := str(facts.run.profile.source(task.name))) in task.data
        and "groups" in task.data[kind]
    )
    if not groups:
        found.append(Fact("no groups of dependent texts are declared for these tasks"))
    return found
