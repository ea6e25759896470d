"""Events of a review: what a coder decided, as plain data, and which decisions count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from operator import itemgetter
from typing import Any, Literal, get_args

import pandas as pd
from pydantic import ConfigDict

from helpers.plans import HelpersError

Action = Literal["accept", "reject", "correct", "code", "undo", "note"]
# Session of simulated coders: such decisions carry no time, because nobody took any.
SIMULATED = "simulated"


class DecisionError(HelpersError):
    """A decision makes no sense, or a log cannot be read or written."""


@dataclass(frozen=True)
class Decision:
    """One decision of a coder about one text.

    Attributes
    ----------
    coder, text_id : who, about which text.
    action : ``accept`` or ``reject`` a proposed (label, level); ``correct``: the label that the
        coder gives instead; ``code``: a label given in blind coding; ``undo``: takes back the
        decision with number `undoes`; ``note``: `comment` only.
    label, level : as in the codebook. An empty label with ``code`` or ``correct`` means that no
        label applies.
    blind : made without seeing proposals.
    seconds : time since the text was shown (None: not measured).
    time : UTC, ISO 8601; set by the log, empty in simulations.
    session : which sitting; ``simulated`` for simulated coders.
    number : running number in the coder's log, from 1; set by the log.
    undoes : number of the decision that an ``undo`` takes back.
    comment : free text.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    coder: str
    text_id: str
    action: Action
    label: str = ""
    level: str = ""
    blind: bool = False
    seconds: float | None = None
    time: str = ""
    session: str = ""
    number: int = 0
    undoes: int | None = None
    comment: str = ""

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise DecisionError(f"unknown action {self.action!r}: use one of {get_args(Action)}")
        if not self.coder or not self.text_id:
            raise DecisionError("a decision needs a coder and a text_id")
        if self.action in ("accept", "reject") and not self.label:
            raise DecisionError(f"text {self.text_id}: {self.action} needs the proposed label")
        if self.level and not self.label:
            raise DecisionError(f"text {self.text_id}: level {self.level!r} without a label")
        if (self.action == "undo") != (self.undoes is not None):
            raise DecisionError(f"text {self.text_id}: `undoes` belongs to undo, and only to it")


def effective(events: Iterable[Decision]) -> list[Decision]:
    """Return the decisions of one coder that count, in their order.

    Decisions taken back are left out, and undo events too. Of several on the same (text, label,
    level) the last counts; blind coding and review are kept apart. A label that is coded or
    corrected again with another level replaces the first; "no label applies" replaces all that
    were given before it, and is replaced by one given after it. Notes are all kept.
    """
    events = list(events)
    undone = {event.undoes for event in events if event.action == "undo"}
    texts: dict[str, dict[tuple[Any, ...], tuple[int, Decision]]] = {}
    for place, event in enumerate(events):
        if event.action == "undo" or event.number in undone:
            continue
        kept = texts.setdefault(event.text_id, {})
        if event.action in ("code", "correct"):
            for other in [k for k, (_, before) in kept.items() if _contradicts(event, before)]:
                del kept[other]
        proposal = (event.blind, event.label, event.level)
        kept[(place,) if event.action == "note" else proposal] = (place, event)
    in_order = sorted(
        (pair for kept in texts.values() for pair in kept.values()), key=itemgetter(0)
    )
    return [event for _, event in in_order]


def _contradicts(event: Decision, before: Decision) -> bool:
    """Whether a label given by the coder replaces one that the coder gave before."""
    same = (event.blind, event.action) == (before.blind, before.action)
    return same and (event.label == before.label or "" in (event.label, before.label))


def check_undos(events: Iterable[Decision], name: str) -> None:
    """Check that each undo takes back a decision that stands; `name`: the log, for messages."""
    standing: set[int] = set()
    for event in events:
        if event.undoes is None:
            standing.add(event.number)
        elif event.undoes in standing:
            standing.remove(event.undoes)
        else:
            raise DecisionError(
                f"{name}: event {event.number} takes back number {event.undoes}, which is no "
                "decision before it, or was taken back already"
            )


def decisions_frame(decisions: Iterable[Decision]) -> pd.DataFrame:
    """Return decisions as a frame, one row each, in their order; columns as in `Decision`."""
    columns = [field.name for field in fields(Decision)]
    return pd.DataFrame([asdict(decision) for decision in decisions], columns=columns)
