"""Label texts with a crowd, and bring its proposals together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from helpers.labelling.methods import Proposal, Steps, Style, method, worst
from helpers.labelling.questions import Asked, Backend, Question
from helpers.plans import HelpersError, Labeller, View
from helpers.tasks import Task

COLUMNS = ["id", "labeller", "status", "labels", "confidence", "questions", "answered"]


class LabelError(HelpersError):
    """Texts cannot be labelled as asked."""


def label_texts(
    task: Task,
    texts: pd.DataFrame,
    labeller: Labeller,
    backend: Backend,
    *,
    name: str,
    style: Style = "full",
) -> pd.DataFrame:
    """Let one member of the crowd propose labels.

    Parameters
    ----------
    task : gives the codebook.
    texts : columns id and text; gold labels are never looked at.
    labeller : its method and view are used.
    backend : who answers; asked once a wave, about all texts that are not done yet.
    name : of the labeller, for the table.
    style : of the prompts, see `helpers.labelling.methods.method`.

    Returns
    -------
    One row a text, in the order of `texts`: id, labeller, status, labels (JSON of `Task.dumps`,
    ``null`` unless ok), confidence (NaN where unknown), questions (asked about this text) and
    answered (how many of those answers could be used).

    Raises
    ------
    LabelError
        If ids repeat, or texts have no subject line and the view is ``subject``.
    MethodError
        If the method does not fit the task.
    """
    ids = [str(item) for item in texts["id"]]
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise LabelError(f"task {task.name}: id '{twice}' occurs twice: give each text its own")
    shown = viewed(texts, labeller.view)
    start = method(labeller.method, task, style=style)
    proposals = _in_waves(ids, shown, [start() for _ in ids], backend)
    rows = [
        [key, name, p.status, task.dumps(p.labels), p.confidence, p.questions, p.answered]
        for key, p in zip(texts["id"], proposals, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"confidence": float, "questions": int, "answered": int})


def viewed(texts: pd.DataFrame, view: View) -> list[str]:
    """Return what a labeller sees: the whole text, or its subject, which is the first line.

    A subject is set before its text with a line break (``text: [subject, text]`` in a task's
    YAML), so a text of one line has none.
    """
    whole = [str(text) for text in texts["text"]]
    if view == "text":
        return whole
    parts = [text.strip().split("\n", 1) for text in whole]
    lacking = [str(key) for key, part in zip(texts["id"], parts, strict=True) if len(part) < 2]
    if lacking:
        raise LabelError(
            f"view subject: {len(lacking)} of {len(whole)} texts have no subject line, first "
            f"'{lacking[0]}': use view text for this task"
        )
    return [part[0].strip() for part in parts]


def _in_waves(
    ids: list[str], texts: list[str], steps: list[Steps], backend: Backend
) -> list[Proposal]:
    """Ask the next questions of all texts at once, until every text has its proposal."""
    done: dict[int, Proposal] = {}
    waiting: dict[int, list[Question]] = {i: next(step) for i, step in enumerate(steps)}
    while waiting:
        asked = [Asked(ids[i], texts[i], q) for i, questions in waiting.items() for q in questions]
        answers = backend.answer(asked)
        if len(answers) != len(asked):
            raise LabelError(f"{len(asked)} questions got {len(answers)} answers: a labeller's bug")
        start = 0
        following: dict[int, list[Question]] = {}
        for i, questions in waiting.items():
            own = answers[start : start + len(questions)]
            start += len(questions)
            try:
                following[i] = steps[i].send(list(own))
            except StopIteration as end:
                done[i] = end.value
        waiting = following
    return [done[i] for i in range(len(steps))]


def proposals(task: Task, labelled: pd.DataFrame) -> pd.DataFrame:
    """List who proposes what.

    Parameters
    ----------
    task : gives the order of labels and levels.
    labelled : rows of `label_texts` of all labellers, one below the other.

    Returns
    -------
    One row a text, label and level: id, label, level (empty without), labellers (JSON list, in
    the order of `labelled`) and votes. Texts in the order of their first row, then votes falling,
    then the codebook's order. A text without proposals has no row.
    """
    votes: dict[Any, dict[tuple[str, str], list[str]]] = {key: {} for key in labelled["id"]}
    for row in labelled[labelled["status"] == "ok"].itertuples():
        for pair in _pairs(task.loads(row.labels)):
            votes[row.id].setdefault(pair, []).append(row.labeller)
    place = {label: i for i, label in enumerate(task.labels)}
    levels = {level: i for i, level in enumerate(task.levels)}
    rows = []
    for key, found in votes.items():
        ordered = sorted(found, key=lambda p: (-len(found[p]), place[p[0]], levels.get(p[1], -1)))
        rows += [
            [key, *p, json.dumps(found[p], ensure_ascii=False), len(found[p])] for p in ordered
        ]
    return pd.DataFrame(rows, columns=["id", "label", "level", "labellers", "votes"])


def majority(task: Task, labelled: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Let the crowd vote, without people.

    Parameters
    ----------
    task : gives the label type.
    labelled : rows of `label_texts`.
    names : labellers that vote; in ties the one who stands first counts.

    Returns
    -------
    One row a text: id, status, labels (JSON, ``null`` unless ok), votes (labellers that proposed
    exactly this) and share (of those that answered; NaN if none did). One label a text: the one
    with most votes. Several: those that more than half of the labellers who answered propose,
    each with the level that most of its proposers give. Without any answer the status is
    ``error`` if a labeller failed, else the most frequent one.
    """
    if unknown := set(names) - set(labelled["labeller"]):
        raise LabelError(f"no answers of labeller {', '.join(sorted(unknown))}: label first")
    order = {name: i for i, name in enumerate(names)}
    voting = labelled[labelled["labeller"].isin(order)]
    voting = voting.iloc[voting["labeller"].map(order).argsort(kind="stable")]
    groups = dict(iter(voting.groupby("id", sort=False)))
    rows = []
    for key in dict.fromkeys(labelled["id"]):
        own = groups.get(key, voting.iloc[:0])
        ballots = [task.loads(cell) for cell in own.loc[own["status"] == "ok", "labels"]]
        if not ballots:
            rows.append([key, worst(own["status"]) if len(own) else "error", "null", 0, None])
            continue
        winner = task.check_labels(_winner(task, ballots))
        agree = sum(ballot == winner for ballot in ballots)
        rows.append([key, "ok", task.dumps(winner), agree, agree / len(ballots)])
    frame = pd.DataFrame(rows, columns=["id", "status", "labels", "votes", "share"])
    return frame.astype({"votes": int, "share": float})


def _winner(task: Task, ballots: list[Any]) -> Any:
    if task.label_type == "single":
        return Counter(ballots).most_common(1)[0][0]  # ties: in the order of first mention
    counts = Counter(label for ballot in ballots for label in ballot)
    chosen = [label for label, n in counts.items() if 2 * n > len(ballots)]
    if task.label_type == "multi":
        return chosen
    levels = {x: Counter(ballot[x] for ballot in ballots if x in ballot) for x in chosen}
    return {label: given.most_common(1)[0][0] for label, given in levels.items()}


def _pairs(labels: Any) -> list[tuple[str, str]]:
    if isinstance(labels, dict):
        return list(labels.items())
    return [(label, "") for label in ([labels] if isinstance(labels, str) else labels)]
