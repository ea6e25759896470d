"""What a coder marks on a text: checked, turned into decisions, and read back from them."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from helpers.tasks import Task
from helpers.verification.events import Action, Decision
from helpers.verification.items import Item, Key, SessionError

Given = tuple[str, str]


@dataclass(frozen=True)
class Draft:
    """What is marked on a text but not confirmed: see `events_of`."""

    rejected: tuple[int, ...] = ()
    given: tuple[Given, ...] = ()
    none: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a coder is.

    Attributes
    ----------
    done, total : texts decided, texts to decide in all.
    skipped : open texts that were put off in this sitting.
    today : texts decided today.
    seconds : median seconds per text of today's (wall clock, pauses included); None without any.
    left : `seconds` times the open texts.
    """

    done: int
    total: int
    skipped: int
    today: int
    seconds: float | None
    left: float | None


def events_of(
    task: Task,
    item: Item,
    rejected: Collection[int] = (),
    given: Sequence[Given] = (),
    none: bool = False,
) -> list[tuple[Action, str, str]]:
    """Check what a coder decided about a text, and return it as (action, label, level).

    Parameters
    ----------
    rejected : positions of the rejected proposals, from 0; the others are accepted.
    given : (label, level) that the coder gives (``correct`` and ``blind``).
    none : the coder says that no label of the codebook applies.

    Raises
    ------
    SessionError
        If the decision is not complete or contradicts itself; it says what to press.
    """
    if strange := set(rejected) - set(range(len(item.proposals))):
        raise SessionError(f"text {item.text_id} has no proposal {min(strange) + 1}")
    kept = [p for i, p in enumerate(item.proposals) if i not in rejected]
    if item.mode == "reject":
        if given or none:
            raise SessionError("in reject mode proposals are only accepted or rejected")
    else:
        _check_labels(task, [(p.label, p.level) for p in kept], given, none)
    action: Action = "code" if item.blind else "correct"
    # First what is given: of a write that a power cut tears, the proposals would be missing,
    # and the text counts as open.
    events: list[tuple[Action, str, str]] = [(action, *pair) for pair in given]
    events += [(action, "", "")] if none else []
    for i, proposal in enumerate(item.proposals):
        verdict: Action = "reject" if i in rejected else "accept"
        events.append((verdict, proposal.label, proposal.level))
    return events


def _check_labels(task: Task, kept: list[Given], given: Iterable[Given], none: bool) -> None:
    given = list(given)
    for label, level in given:
        if label not in task.label_names:
            raise SessionError(f"{label!r} is not in the codebook of {task.name}")
        if level not in (task.levels or [""]):
            raise SessionError(f"choose a level of {task.label_names[label]}: {task.levels}")
    final = [*kept, *given]
    if none and final:
        raise SessionError("'none applies' (0) contradicts a label that is kept or given")
    if not none and not final:
        raise SessionError("give the right label with /, or press 0 if none applies")
    if task.label_type == "single" and len(final) > 1:
        raise SessionError("a text has one label here: keep one, reject the others")
    labels = [label for label, _ in final]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise SessionError(f"{task.label_names[twice]} is there twice: keep one")


def key_of(decision: Decision) -> Key:
    """Return the key of the item that a decision is about."""
    return decision.text_id, decision.blind


def is_done(item: Item, decisions: Sequence[Decision]) -> bool:
    """Whether all proposals are decided; one that came later opens the text again."""
    decided = {(d.label, d.level) for d in decisions}
    return bool(decisions) and all((p.label, p.level) in decided for p in item.proposals)


def draft_of(item: Item, decisions: Sequence[Decision]) -> Draft:
    """Return earlier decisions as marks."""
    rejected = {(d.label, d.level) for d in decisions if d.action == "reject"}
    given = [(d.label, d.level) for d in decisions if d.action in ("correct", "code")]
    return Draft(
        tuple(i for i, p in enumerate(item.proposals) if (p.label, p.level) in rejected),
        tuple(pair for pair in given if pair[0]),
        any(not label for label, _ in given),
    )


def pace(decisions: Iterable[Decision]) -> tuple[int, float | None]:
    """Return how many texts were decided today, and the median seconds of one."""
    today = datetime.now().astimezone().date()
    seconds: dict[Key, float | None] = {}
    for decision in decisions:
        if decision.time and datetime.fromisoformat(decision.time).astimezone().date() == today:
            seconds[key_of(decision)] = decision.seconds
    measured = [value for value in seconds.values() if value is not None]
    return len(seconds), statistics.median(measured) if measured else None
