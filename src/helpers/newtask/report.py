"""What was found in a file, as a person reads it; kept beside the data."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from helpers.newtask.labelled import Labelled, in_order, present
from helpers.newtask.rows import some
from helpers.newtask.sizing import Plan

MOST_FOR_PAIRS = 10_000
SHOWN_LABELS = 60


@dataclass
class Report:
    """Sections of lines, and the same as data.

    Attributes
    ----------
    sections : title -> lines, in the order in which they were added.
    facts : for ``report.json``.
    """

    sections: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, section: str, lines: list[str], **facts: Any) -> None:
        """Add lines to a section, and facts."""
        self.sections.setdefault(section, []).extend(lines)
        self.facts |= facts

    def text(self) -> str:
        """Return the report for a terminal, 96 columns wide."""
        parts = []
        for title, lines in self.sections.items():
            if lines:
                wrapped = [_wrap(line) for line in lines]
                parts.append("\n".join([title.upper(), *wrapped]))
        return "\n\n".join(parts)

    def markdown(self, title: str) -> str:
        """Return the report as Markdown."""
        parts = [f"# {title}"]
        for name, lines in self.sections.items():
            if lines:
                parts.append(f"## {name}\n\n" + "\n".join(_item(line) for line in lines))
        return "\n\n".join(parts) + "\n"


def _wrap(line: str) -> str:
    if line.startswith("    "):
        return line
    return textwrap.fill(line, 96, initial_indent="  ", subsequent_indent="    ")


def _item(line: str) -> str:
    return f"    {line}" if line.startswith("    ") else f"- {line}"


def label_lines(labelled: Labelled, frame: pd.DataFrame, names: dict[str, str]) -> list[str]:
    """Describe the labels that are left: their type, and how many texts have each."""
    kinds = {
        "single": "one label a text",
        "multi": "several labels a text",
        "multi_intensity": "several labels a text, each with an intensity",
        "numeric": "a number",
    }
    lines = [f"type: {labelled.label_type} ({kinds[labelled.label_type]})"]
    if labelled.separator:
        lines[0] += f", separated by '{labelled.separator}'"
    if labelled.label_type == "numeric":
        values = pd.Series(frame["labels"].tolist(), dtype=float)
        low, middle, high = values.min(), values.median(), values.max()
        return [*lines, f"numbers: {low:g} to {high:g}, median {middle:g}"]
    count = present(frame["labels"])
    for label in in_order(list(count))[:SHOWN_LABELS]:
        name = names.get(label, label)
        shown = label if name == label else f"{label} = {name}"
        share = count[label] / len(frame)
        lines.append(f"    {shown[:60]:<60} {count[label]:>7,} {share:>6.1%}")
    if len(count) > SHOWN_LABELS:
        lines.append(f"    ... and {len(count) - SHOWN_LABELS} more labels")
    if labelled.label_type != "single":
        bare = int((frame["labels"].map(len) == 0).sum())
        mean = frame["labels"].map(len).mean()
        lines.append(f"{mean:.2f} labels a text; {bare} text(s) have none")
    largest = count.most_common(1)[0]
    if labelled.label_type == "single":
        lines.append(
            f"always answering '{largest[0]}' is right for {largest[1] / len(frame):.0%} of the "
            "texts: read every score beside that"
        )
    return lines


def length_lines(texts: pd.Series) -> tuple[list[str], dict[str, float]]:
    """Describe the lengths of texts."""
    words = texts.str.split().str.len()
    low, middle, high, top = np.percentile(words, [5, 50, 95, 100])
    lines = [
        f"words: median {middle:.0f}, 90% of the texts between {low:.0f} and {high:.0f}, longest "
        f"{top:.0f}"
    ]
    if cut := int((words > 180).sum()):
        lines.append(
            f"{cut} text(s) are longer than about 180 words: the offline model reads their "
            "beginning only (max_prompt_tokens: 256)"
        )
    if short := int((words < 3).sum()):
        rows = [int(row) for row in texts.index[words < 3]]
        lines.append(f"{short} text(s) have fewer than three words: row {some(rows)}")
    return lines, {"words_median": float(middle), "words_95th_percentile": float(high)}


def pair_lines(frame: pd.DataFrame, seed: int) -> tuple[list[str], dict[str, Any]]:
    """Count nearly equal texts, as chapter 01 defines them; of a large table in a sample."""
    from helpers.data.leakage import near_duplicates

    part = frame
    if len(frame) > MOST_FOR_PAIRS:
        part = frame.sample(MOST_FOR_PAIRS, random_state=seed)
    row_of = dict(zip(part["id"], part.index, strict=True))
    label_of = {key: repr(item) for key, item in zip(part["id"], part["labels"], strict=True)}
    pairs = near_duplicates(part[["id", "text"]].assign(split="train"), across=False)
    other = pairs[pairs["id_a"].map(label_of) != pairs["id_b"].map(label_of)]
    where = "" if len(part) == len(frame) else f" among {len(part):,} of the texts"
    lines = []
    if len(pairs):
        lines.append(
            f"{len(pairs)} pair(s) of texts{where} share 70% or more of their five-word sequences; "
            "chapter 01 takes training texts out that nearly repeat a test text"
        )
    if len(other):
        rows = [
            f"{row_of[a]}/{row_of[b]}" for a, b in zip(other["id_a"], other["id_b"], strict=True)
        ]
        lines.append(f"{len(other)} of these pairs have DIFFERENT labels: look at row {some(rows)}")
    return lines, {"near_duplicates": len(pairs), "near_duplicates_other_label": len(other)}


def plan_lines(name: str, plan: Plan, numeric: bool) -> list[str]:
    """Say how the texts will be split, what will run, and how long it takes."""
    half = 98 / max(plan.test, 1) ** 0.5  # 1.96 standard errors of a share of one half
    lines = [
        f"split: {plan.train:,} training, {plan.validation:,} validation, {plan.test:,} test texts "
        "(65, 10, 25%; stratified by label; drawn in chapter 01)"
    ]
    if plan.limit:
        lines.append(
            "the profile takes a stratified part of the splits so that a run stays short; see its "
            "key limit"
        )
    if numeric:
        lines.append(
            "numbers: only chapters 01 and 07 can study them. 07 fine-tunes encoders and compares "
            "them with dictionaries and regressions by cross-validation; its running text speaks "
            "of bulletins about conflicts, its tables and figures are yours. Chapters 02 to 06 "
            "and 09 need labels: to use them, cut the number into classes (low, high) in your file"
        )
    else:
        lines.append(
            f"a share of right answers measured on {plan.test:,} texts is known to about ±"
            f"{half:.0f} points"
        )
    lines.append(
        f"estimated time of all chapters: {plan.minutes} minutes on two cores, once set up"
    )
    return lines
