"""What coders write into review sheets: read, and checked against the empty sheet."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

from helpers.plans import HelpersError
from helpers.tasks import Task
from helpers.verification.events import Decision
from helpers.verification.sheet_files import unguarded

SheetMode = Literal["reject", "correct", "blind"]

ACCEPT = {"accept", "a", "yes", "y"}
REJECT = {"reject", "r", "no", "n"}
NO_LABEL = "none"


class SheetError(HelpersError):
    """A sheet cannot be made, or was filled in in a way that cannot be read."""


def matched(
    cells: dict[str, str], rows: dict[str, dict[str, str]], seen: dict[str, int], number: int
) -> dict[str, str]:
    """Return the row of the empty sheet that a filled-in row belongs to, checked for changes."""
    key = cells.get("key", "").strip()
    if key not in rows:
        raise SheetError(
            f"the key {key!r} is not in the sheet of this coder and mode (text "
            f"{cells.get('id', '')!r}): do not change the column key, or remove the row"
        )
    if key in seen:
        raise SheetError(f"the same as row {seen[key]}: remove one of the two")
    seen[key] = number
    row = rows[key]
    for name in ("id", "label", "level"):
        cell = unguarded(cells.get(name, "").strip())
        if name in row and not _same(cell, row[name]):
            raise SheetError(
                f"{name} was changed from {row[name]!r} to {cell!r}: put it back (a better label "
                "belongs into the column labels, in correct mode)"
            )
    return row


def _same(cell: str, expected: str) -> bool:
    """Whether a cell is unchanged, but for what spreadsheet programs do to numbers."""
    if cell == expected:
        return True
    if not re.fullmatch(r"\d+", expected) or not re.fullmatch(r"\d+([.,]\d+)?([eE]\+?\d+)?", cell):
        return False
    return math.isclose(float(cell.replace(",", ".")), float(expected), rel_tol=1e-4)


def decisions_of(
    task: Task, row: dict[str, str], cells: dict[str, str], coder: str, mode: SheetMode
) -> list[Decision]:
    """Return the decisions that a row holds: none if the coder left it empty."""
    comment = unguarded(cells.get("comment", "").strip())
    made = []
    word = cells.get("decision", "").strip().lower()
    label, level = row.get("label", ""), row.get("level", "")
    if word and not label:
        raise SheetError(f"{word!r} in a row without a proposal: write into the column labels")
    if word:
        if word not in ACCEPT | REJECT:
            raise SheetError(f"{word!r} is no decision: write accept or reject, or leave it empty")
        verdict: Literal["accept", "reject"] = "accept" if word in ACCEPT else "reject"
        made.append(Decision(coder, row["id"], verdict, label, level, comment=comment))
    given = unguarded(cells.get("labels", "").strip())
    if given and mode == "reject":
        raise SheetError("labels cannot be given in reject mode: empty the column labels")
    items = parse_labels(task, given) if given else []
    for item in items:
        action: Literal["code", "correct"] = "code" if mode == "blind" else "correct"
        blind = mode == "blind"
        made.append(Decision(coder, row["id"], action, *item, blind=blind, comment=comment))
    if comment and not made:
        made.append(Decision(coder, row["id"], "note", blind=mode == "blind", comment=comment))
    return made


def shown_label(task: Task, label: str) -> str:
    """Return a label as coders choose it, e.g. ``6: Education``."""
    name = task.label_names[label]
    return name if name == label else f"{task.codes[label]}: {name}"


def parse_labels(task: Task, cell: str) -> list[tuple[str, str]]:
    """Read what a coder wrote: labels separated by semicolons, with ``: level`` where needed.

    A label may be given by key, code or name, in any case; ``none``: no label applies.

    Raises
    ------
    SheetError
        If something is not in the codebook, a level is missing, or labels contradict each other.
    """
    if cell.strip().lower() == NO_LABEL:
        return [("", "")]
    known = {name.lower(): label for label, name in task.label_names.items()}
    known |= {code.lower(): label for label, code in task.codes.items()}
    known |= {shown_label(task, label).lower(): label for label in task.labels}
    known |= {label.lower(): label for label in task.labels}
    items = []
    for part in filter(None, (part.strip() for part in cell.split(";"))):
        name, level = part, ""
        if task.levels:
            name, _, level = (side.strip() for side in part.rpartition(":"))
            if level.lower() not in task.levels:
                raise SheetError(f"{part!r}: write 'label: level', with a level of {task.levels}")
        label = known.get(re.sub(r"\.0$", "", name.lower()))
        if label is None:
            raise SheetError(f"{name!r} is not in the codebook of {task.name}: see its codes")
        items.append((label, level.lower()))
    if len({label for label, _ in items}) < len(items):
        raise SheetError(f"{cell!r} gives a label twice: keep one")
    return items


def contradictions(task: Task, wanted: Sequence[Decision], mode: SheetMode) -> list[str]:
    """Texts with more labels than the task allows, or 'none' beside a label."""
    if mode == "reject":
        return []
    final: dict[str, list[tuple[str, str]]] = {}
    verdicts: dict[tuple[str, str, str], str] = {}
    problems = []
    for decision in wanted:
        if decision.action in ("accept", "correct", "code"):
            final.setdefault(decision.text_id, []).append((decision.label, decision.level))
        key = (decision.text_id, decision.label, decision.level)
        if decision.label and verdicts.setdefault(key, decision.action) != decision.action:
            problems.append(
                f"  text {decision.text_id}: {decision.label!r} is a proposal and given as label "
                "too: accept or reject it, and give only others"
            )
    for text_id, items in final.items():
        labels = [label for label, _ in items]
        if "" in labels and len(labels) > 1:
            problems.append(f"  text {text_id}: '{NO_LABEL}' beside a label: remove one of them")
        elif task.label_type == "single" and len(labels) > 1:
            problems.append(f"  text {text_id}: {len(labels)} labels, but it has one: keep one")
        elif len(set(labels)) < len(labels):
            problems.append(f"  text {text_id}: a label is accepted or given twice: keep one")
    return problems
