"""Review in Label Studio: tasks with predictions out, annotations in.

The format is that of Label Studio's guide (https://labelstud.io/guide/task_format and
https://labelstud.io/guide/predictions): a list of tasks, each with ``data`` and, for a review,
one prediction that ticks what the crowd proposed. Project: Labeling Setup > Code takes
`labelling_config`; Import takes the file of `export_tasks`; Export > JSON gives the file that
`import_annotations` reads. One project is for one coder and one mode.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import pandas as pd

from helpers.plans import HelpersError
from helpers.runs import write_json
from helpers.tasks import Task
from helpers.verification.decisions import DecisionLog
from helpers.verification.events import Action, Decision
from helpers.verification.sheets import NOTE, SheetMode, sheet_rows, shown_label
from helpers.verification.synchronise import synchronise

CONTROL, OBJECT = "labels", "text"
Item = tuple[str, str]


class LabelStudioError(HelpersError):
    """A file of Label Studio cannot be used."""


def labelling_config(task: Task, mode: SheetMode = "reject") -> str:
    """Return the project's labelling configuration as XML.

    One tick box for each label, or for each label and level. A radio button instead where the
    task has one label and the coder names it; in reject mode several proposals may stand.
    """
    one = task.label_type == "single" and mode != "reject"
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", value=task.question)
    ElementTree.SubElement(view, "Text", name=OBJECT, value="$text")
    choices = ElementTree.SubElement(
        view,
        "Choices",
        name=CONTROL,
        toName=OBJECT,
        choice="single" if one else "multiple",
        showInline="true",
    )
    for value in _values(task):
        ElementTree.SubElement(choices, "Choice", value=value)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def export_tasks(
    path: Path,
    task: Task,
    texts: pd.DataFrame,
    proposals: pd.DataFrame,
    assignment: pd.DataFrame,
    coder: str,
    *,
    mode: SheetMode = "reject",
) -> Path:
    """Write a coder's texts as a file to import into Label Studio, in the order to be worked on.

    The crowd's proposals are ticked (a prediction without score); blind tasks have none. The file
    holds the texts and says that it must not be published.

    Raises
    ------
    SheetError
        If the coder has nothing to do in this mode, or a text is missing.
    """
    rows = sheet_rows(task, texts, proposals, assignment, coder, mode)
    content, proposed = [], _proposed(proposals, mode)
    for text_id, group in rows.groupby("id", sort=False):
        data = {"text_id": text_id, "text": group["text"].iloc[0], "mode": mode, "note": NOTE}
        entry: dict[str, Any] = {"data": data}
        if values := [value_of(task, *item) for item in proposed.get(str(text_id), [])]:
            # A radio button shows one: the first proposal, which has most votes.
            single = task.label_type == "single" and mode == "correct"
            chosen = values[:1] if single else values
            result = {
                "id": "crowd",
                "type": "choices",
                "from_name": CONTROL,
                "to_name": OBJECT,
                "value": {"choices": chosen},
            }
            entry["predictions"] = [{"model_version": "crowd", "result": [result]}]
        content.append(entry)
    write_json(path, content)
    return path


def import_annotations(
    path: Path,
    task: Task,
    proposals: pd.DataFrame,
    assignment: pd.DataFrame,
    log: DecisionLog,
    coder: str,
    *,
    mode: SheetMode = "reject",
) -> list[Decision]:
    """Read Label Studio's JSON export, and append what it says to the coder's log.

    A proposal that is still ticked counts as accepted, one that is not as rejected; a tick that
    nobody proposed is a label that the coder gives. Tasks without annotation, or whose annotation
    was skipped, are left open. Importing twice adds nothing.

    Returns
    -------
    The events that were added to the log.

    Raises
    ------
    LabelStudioError
        Lists file, task and remedy of what is wrong. Nothing is saved then.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelStudioError(f"{path.name} cannot be read as JSON ({error})") from error
    if not isinstance(content, list):
        raise LabelStudioError(f"{path.name} is no list of tasks: export the project as JSON")
    mine = assignment[assignment["coder"] == coder]
    mine = set(mine.loc[mine["blind"].astype(bool) == (mode == "blind"), "id"])
    known: dict[str, Item] = {value_of(task, *item): item for item in _items(task)}
    proposed = _proposed(proposals, mode)
    wanted: list[Decision] = []
    problems: list[str] = []
    seen: set[str] = set()
    for place, entry in enumerate(content, start=1):
        try:
            text_id = _text_id(entry, mine, seen, mode)
            annotation = _annotation(entry)
            if annotation is not None:
                chosen = list(_chosen(annotation, known))
                events = _events(task, chosen, proposed.get(text_id, []), mode)
                seconds = annotation.get("lead_time")
                wanted += [
                    Decision(coder, text_id, action, *item, blind=mode == "blind", seconds=seconds)
                    for action, item in events
                ]
        except LabelStudioError as error:
            problems.append(f"  task {place}: {error}")
    if problems:
        lines = [f"{path.name}: nothing was imported, because", *problems[:20]]
        raise LabelStudioError("\n".join(lines))
    return synchronise(log, wanted, session="label-studio")


def value_of(task: Task, label: str, level: str) -> str:
    """Return how a label stands in Label Studio, e.g. ``6: Education`` or ``hope: high``."""
    name = shown_label(task, label)
    return f"{name}: {level}" if level else name


def _items(task: Task) -> list[Item]:
    return [(label, level) for label in task.labels for level in (task.levels or [""])]


def _values(task: Task) -> list[str]:
    return [value_of(task, *item) for item in _items(task)]


def _proposed(proposals: pd.DataFrame, mode: SheetMode) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    rows = proposals.iloc[:0] if mode == "blind" else proposals
    for text_id, label, level in rows[["id", "label", "level"]].itertuples(index=False):
        found.setdefault(text_id, []).append((label, level))
    return found


def _text_id(entry: Any, mine: set[str], seen: set[str], mode: SheetMode) -> str:
    data = entry.get("data", {}) if isinstance(entry, dict) else {}
    text_id = data.get("text_id")
    if text_id not in mine or data.get("mode") != mode:
        raise LabelStudioError(
            f"text {text_id!r} in mode {data.get('mode')!r} is not this coder's in mode {mode}: "
            "choose the coder and mode that the tasks were exported for"
        )
    if text_id in seen:
        raise LabelStudioError(f"text {text_id} comes twice: remove one of the two tasks")
    seen.add(text_id)
    return str(text_id)


def _annotation(entry: dict[str, Any]) -> dict[str, Any] | None:
    done = [a for a in entry.get("annotations", []) if not a.get("was_cancelled")]
    if len(done) > 1:
        raise LabelStudioError(
            f"has {len(done)} annotations: one project is for one coder; delete all but one"
        )
    return done[0] if done else None


def _chosen(annotation: dict[str, Any], known: dict[str, Item]) -> Iterator[Item]:
    for result in annotation.get("result", []):
        if result.get("from_name") != CONTROL or result.get("type") != "choices":
            continue
        for value in result["value"]["choices"]:
            if value not in known:
                raise LabelStudioError(
                    f"{value!r} is not in the codebook: was the labelling configuration changed?"
                )
            yield known[value]


def _events(
    task: Task, chosen: list[Item], proposed: list[Item], mode: SheetMode
) -> list[tuple[Action, Item]]:
    added = [item for item in chosen if item not in proposed]
    if mode == "reject" and added:
        raise LabelStudioError(
            f"{added[0][0]!r} is ticked but was not proposed: reject mode only removes ticks"
        )
    if mode != "reject" and len({label for label, _ in chosen}) < len(chosen):
        raise LabelStudioError("a label is ticked with two levels: keep one")
    if mode != "reject" and task.label_type == "single" and len(chosen) > 1:
        raise LabelStudioError(f"{len(chosen)} labels are ticked, the task has one: keep one")
    action: Literal["code", "correct"] = "code" if mode == "blind" else "correct"
    events: list[tuple[Action, Item]] = [(action, item) for item in added]
    if not chosen and mode != "reject":
        events.append((action, ("", "")))
    events += [("accept" if item in chosen else "reject", item) for item in proposed]
    return events
