"""Bring what a coder decided outside (sheets, Label Studio) into the log, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from helpers.verification.decisions import DecisionLog
from helpers.verification.events import Decision

GIVEN = ("code", "correct")


def synchronise(
    log: DecisionLog, wanted: Sequence[Decision], session: str = "import"
) -> list[Decision]:
    """Append those decisions that the log does not hold as its last word already.

    Labels given (``code``, ``correct``) are taken as all that the coder gives for that text:
    others that the log holds for it are taken back, by undo events.

    Returns
    -------
    The events that were added; none if the same was brought in before.
    """
    added: list[Decision] = []
    # Taking a label back can bring back one that it had replaced: until nothing is left to do.
    while missing := _missing(log.effective(), wanted):
        added += log.append(*(replace(event, session=session) for event in missing))
    return added


def _missing(standing: Sequence[Decision], wanted: Sequence[Decision]) -> list[Decision]:
    known = {_content(decision) for decision in standing}
    given: dict[tuple[str, bool, str], set[tuple[str, str]]] = {}
    for decision in wanted:
        if decision.action in GIVEN:
            key = (decision.text_id, decision.blind, decision.action)
            given.setdefault(key, set()).add((decision.label, decision.level))
    undone = [
        Decision(before.coder, before.text_id, "undo", blind=before.blind, undoes=before.number)
        for before in standing
        if before.action in GIVEN
        and (items := given.get((before.text_id, before.blind, before.action)))
        and (before.label, before.level) not in items
    ]
    return [*undone, *(decision for decision in wanted if _content(decision) not in known)]


def _content(decision: Decision) -> tuple[object, ...]:
    return (
        decision.coder,
        decision.text_id,
        decision.action,
        decision.label,
        decision.level,
        decision.blind,
        decision.comment,
    )
