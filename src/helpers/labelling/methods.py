"""Prompt methods: how the labels of a text are asked for.

Four are those of Carammia, Iacus and Porro (2024) for a codebook of topics with subtopics:

``v1`` : for each topic, which of its subtopics (or none)? Then: which of the topics found?
``v2`` : the same questions, then: which of the 'topic: subtopic' pairs found?
``v3`` : which of all subtopics? The label is the topic of the answer.
``v4`` : which of all topics?

Two are for any codebook: ``direct`` (all labels in one question; the same as ``v4``) and
``groups`` (for each group of labels: which of these apply?).

A method is a generator: it yields questions, is sent the answers, and returns a `Proposal`.

**What becomes of answers that are no labels.** One failed question (``error``) makes the text an
``error``, so that a re-run asks again; later questions are not asked. Other unusable answers
among several (``off_list``, ``unparsed``, ``refused``, ``truncated``) count as "none of these";
`Proposal.answered` says how many were usable. If nothing was found that way, "none" is believed
only if every question was answered: else the text has the status of the most frequent failure.
"None" throughout is the empty label set where the task has one; where a text must have a label it
is ``off_list``: a proper answer, but no label of the codebook.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from helpers.labelling.prompts import ask
from helpers.labelling.questions import Answer, Option, Question, Status
from helpers.plans import HelpersError, Method
from helpers.tasks import Labels, Task, load_task, task_names

Style = Literal["full", "short"]
FAILURES: tuple[Status, ...] = ("error", "refused", "truncated", "unparsed", "off_list")
"""Statuses without labels; in ties the first counts."""


class MethodError(HelpersError):
    """A prompt method does not fit the task."""


@dataclass(frozen=True)
class Proposal:
    """The labels that a labeller proposes for a text.

    Attributes
    ----------
    status : ``ok``, or why there are no labels.
    labels : in the task's form; None unless ``ok``.
    confidence : of the answer that decided (``groups``: product over the groups), if all have one.
    questions : how many were asked about the text.
    answered : how many answers could be used (``ok``).
    """

    status: Status
    labels: Labels | None = None
    confidence: float | None = None
    questions: int = 0
    answered: int = 0


Steps = Generator[list[Question], list[Answer], Proposal]


def method(name: Method, task: Task, *, style: Style = "full") -> Callable[[], Steps]:
    """Return a function that starts the questions about one text.

    Parameters
    ----------
    name : see the module.
    task : its codebook gives the options.
    style : ``full`` (instruction and list of options, for models that follow instructions) or
        ``short`` (the task's short prompt, on which the offline model is trained; ``v4`` and
        ``direct`` only).

    Raises
    ------
    MethodError
        If the task has no codebook, or not the subtopics or groups that the method asks for.
    """
    if not task.labels:
        raise MethodError(f"task {task.name} has no codebook: labels cannot be proposed for it")
    if style == "short" and name not in ("v4", "direct"):
        raise MethodError(
            f"short prompts have no list of options, which method {name} needs: use v4 or direct"
        )
    if name in ("v4", "direct"):
        return _direct(task, name, style)
    if name == "groups":
        _need(task, name, "groups of labels", lambda other: bool(other.groups))
        return _groups(task)
    _need(task, name, "one topic a text and subtopics", _has_subtopics)
    return _subtopics(task) if name == "v3" else _hierarchy(task, pairs=name == "v2")


def worst(statuses: Iterable[Status]) -> Status:
    """Return the status of a whole from failed parts: an error, else the most frequent."""
    counts: Counter[Status] = Counter(status for status in statuses if status != "ok")
    if "error" in counts:
        return "error"
    return max(FAILURES, key=lambda status: (counts[status], -FAILURES.index(status)))


def _has_subtopics(task: Task) -> bool:
    return task.label_type == "single" and len(task.subtopics) > 0


def _need(task: Task, name: str, what: str, fits: Callable[[Task], bool]) -> None:
    if not fits(task):
        others = ", ".join(other for other in task_names() if fits(load_task(other)))
        raise MethodError(
            f"method {name} needs {what}, which task {task.name} has not (these have: {others}); "
            "use method direct"
        )


# --- all labels at once -----------------------------------------------------------------------


def _direct(task: Task, name: Method, style: Style) -> Callable[[], Steps]:
    """Ask with the task's own prompt, the one that models are fine-tuned on."""
    prompt = task.prompt("", style)
    options = tuple(Option(task.codes[key], task.label_names[key]) for key in task.labels)
    several, none = task.label_type != "single", task.empty is not None
    question = Question(
        task.name, name, "labels", prompt.head, prompt.tail, options, several, none,
        tuple(task.levels),
    )  # fmt: skip

    def steps() -> Steps:
        answer = (yield [question])[0]
        if answer.status != "ok":
            return Proposal(answer.status, None, answer.confidence, 1, 0)
        return Proposal("ok", _labels(task, answer.chosen), answer.confidence, 1, 1)

    return steps


def _labels(task: Task, chosen: Iterable[tuple[str, str]]) -> Labels:
    key_of = {code: key for key, code in task.codes.items()}
    if task.label_type == "multi_intensity":
        return task.check_labels({key_of[code]: level for code, level in chosen})
    keys = [key_of[code] for code, _ in chosen]
    return task.check_labels(keys if task.label_type == "multi" else keys[0])


# --- one question a group ---------------------------------------------------------------------


def _groups(task: Task) -> Callable[[], Steps]:
    members: dict[str, list[Option]] = {}
    for key in task.labels:
        option = Option(task.codes[key], task.label_names[key])
        members.setdefault(task.groups[key], []).append(option)
    questions = [
        ask(task, "groups", f"group {group}", options, part_of=group, many=True, none=True)
        for group, options in members.items()
    ]

    def steps() -> Steps:
        answers = yield questions
        found = [pair for answer in answers for pair in answer.chosen]
        if failed := _failed(answers, bool(found)):
            return failed
        known = [answer.confidence for answer in answers if answer.status == "ok"]
        confidence = None if None in known else math.prod(filter(None, known))
        labels = _labels(task, found) if found else task.empty
        return Proposal("ok", labels, confidence, len(answers), _usable(answers))

    return steps


def _usable(answers: Sequence[Answer]) -> int:
    return sum(answer.status == "ok" for answer in answers)


def _failed(answers: Sequence[Answer], found: bool) -> Proposal | None:
    """Return what ends the questions: an error, or nothing found and not all answered."""
    statuses = [answer.status for answer in answers]
    usable = _usable(answers)
    if "error" in statuses or (not found and usable < len(answers)):
        return Proposal(worst(statuses), None, None, len(answers), usable)
    return None


# --- topics and subtopics ---------------------------------------------------------------------


def _subtopics(task: Task) -> Callable[[], Steps]:
    """V3. A name that several topics use is told apart by the topic's name."""
    major_of, names = _book(task)
    twice = {name for name, n in Counter(names.values()).items() if n > 1}
    options = [
        Option(code, f"{task.label_names[major_of[code]]}: {name}" if name in twice else name)
        for code, name in names.items()
    ]
    question = ask(task, "v3", "subtopics", options)

    def steps() -> Steps:
        answer = (yield [question])[0]
        if answer.status != "ok":
            return Proposal(answer.status, None, answer.confidence, 1, 0)
        return Proposal("ok", major_of[answer.chosen[0][0]], answer.confidence, 1, 1)

    return steps


def _hierarchy(task: Task, *, pairs: bool) -> Callable[[], Steps]:
    """V1 and V2: the same first questions, with other options in the last one."""
    name = "v2" if pairs else "v1"
    major_of, names = _book(task)
    key_of = {code: key for key, code in task.codes.items()}
    first = [
        ask(
            task, name, f"subtopics of {major}", options, part_of=task.label_names[major], none=True
        )
        for major in task.labels
        if (options := [Option(c, n) for c, n in names.items() if major_of[c] == major])
    ]

    @cache  # texts with the same hits share one question
    def last(found: tuple[str, ...]) -> Question:
        if pairs:
            options = [Option(c, f"{task.label_names[major_of[c]]}: {names[c]}") for c in found]
            return ask(task, name, "pairs found", options)
        majors = [major_of[code] for code in found]
        options = [Option(task.codes[key], task.label_names[key]) for key in majors]
        return ask(task, name, "majors found", options)

    def steps() -> Steps:
        answers = yield first
        hits = {code: answer for answer in answers for code, _ in answer.chosen}
        asked, usable = len(answers), _usable(answers)
        if failed := _failed(answers, bool(hits)):
            return failed
        if not hits:
            return Proposal("off_list", None, None, asked, usable)
        code, answer = next(iter(hits.items()))
        if len(hits) > 1:
            asked += 1
            answer = (yield [last(tuple(hits))])[0]
            if answer.status != "ok":
                return Proposal(answer.status, None, answer.confidence, asked, usable)
            usable += 1
            code = answer.chosen[0][0]
            major = major_of[code] if pairs else key_of[code]
            return Proposal("ok", major, answer.confidence, asked, usable)
        return Proposal("ok", major_of[code], answer.confidence, asked, usable)

    return steps


def _book(task: Task) -> tuple[dict[str, str], dict[str, str]]:
    """Return subtopic -> label and subtopic -> name, in the order of the codebook."""
    rows = list(task.subtopics.itertuples())
    return {str(r.code): str(r.label) for r in rows}, {str(r.code): str(r.name) for r in rows}
