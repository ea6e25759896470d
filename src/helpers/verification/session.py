"""A coder's sitting: which text comes next, and each decision saved at once. No widget here."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from helpers.tasks import Task
from helpers.verification.decisions import Action, Decision, DecisionLog, effective
from helpers.verification.items import Item, Key, Mode, Proposal, SessionError, build_items
from helpers.verification.marks import (
    Draft,
    Given,
    Progress,
    draft_of,
    events_of,
    is_done,
    key_of,
    pace,
)

__all__ = [
    "Draft",
    "Item",
    "Mode",
    "Progress",
    "Proposal",
    "ReviewSession",
    "SessionError",
]


@dataclass
class _Shown:
    """The current text: its ticket changes whenever another text comes, or the same comes back."""

    ticket: str
    since: float | None = None
    draft: Draft = field(default_factory=Draft)


class ReviewSession:
    """The texts of one coder, in order, with what is already decided left out.

    Parameters
    ----------
    task : the codebook and label type.
    texts : frame with the columns id, text.
    proposals : the crowd's labels; columns id, label, level, labellers (JSON list), votes.
    assignment : columns id, coder, blind, position.
    log : where decisions go; what it holds already is resumed from.
    coder : name, as in the assignment.
    mode : ``reject`` wrong proposals, or reject and ``correct`` them. Texts assigned as blind
        are coded without proposals in both.
    show_proposers : show who proposed a label, and order proposals by votes.
    show_texts : may the texts be shown (`helpers.data.prepared.may_show`)?
    clock : seconds of a steady clock.

    Attributes
    ----------
    items : what the coder is to decide, in order, by (text id, blind).
    left_out : ids of texts that nobody proposed a label for: in reject mode there is nothing
        to decide.

    Raises
    ------
    SessionError
        If texts may not be shown, or assignment, texts, proposals and codebook do not fit.

    Notes
    -----
    The log is the truth. If it has grown since this session last wrote, e.g. because the same
    coder has a second window open, it is read again before anything is decided.
    """

    def __init__(
        self,
        task: Task,
        texts: pd.DataFrame,
        proposals: pd.DataFrame,
        assignment: pd.DataFrame,
        log: DecisionLog,
        coder: str,
        *,
        mode: Literal["reject", "correct"] = "reject",
        show_proposers: bool = False,
        show_texts: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not show_texts:
            raise SessionError(
                f"the texts of {task.name} may not be shown in a notebook (show_texts: false). "
                "If you may read them on this screen, pass show_texts=True: the widget does not "
                "write them into the notebook."
            )
        if not task.labels:
            raise SessionError(f"task {task.name} has no codebook: there is nothing to review")
        if mode not in ("reject", "correct"):
            raise SessionError(f"unknown mode '{mode}': use reject or correct")
        items = build_items(
            task, texts, proposals, assignment, coder, mode=mode, show_proposers=show_proposers
        )
        self.task, self.log, self.coder, self.mode = task, log, coder, mode
        self.show_proposers = show_proposers
        self.left_out = tuple(i.text_id for i in items if i.mode == "reject" and not i.proposals)
        self.session = uuid.uuid4().hex[:8]
        self.items: dict[Key, Item] = {i.key: i for i in items if i.proposals or i.mode != "reject"}
        self._clock = clock
        self._tickets = 0
        self._skipped: set[Key] = set()
        self._drafts: dict[Key, Draft] = {}
        self._events: list[Decision] = []
        self._counted: tuple[int, list[Decision]] = (0, [])
        self._open: list[Key] = list(self.items)
        self._refresh()
        self._next()

    # --- what is shown --------------------------------------------------------------------------

    def current(self) -> Item | None:
        """Return the text to decide, or None if all are; its time starts with the first call."""
        if not self._open:
            return None
        if self._shown.since is None:
            self._shown.since = self._clock()
        return self.items[self._open[0]]

    @property
    def ticket(self) -> str:
        """Name of what is shown now; a decision with another ticket is stale and ignored."""
        return self._shown.ticket

    @property
    def draft(self) -> Draft:
        """What is marked on the current text."""
        return self._shown.draft

    def notes(self) -> list[str]:
        """Return the coder's notes on the current text, oldest first."""
        key = self._open[0] if self._open else None
        return [d.comment for d in self._counting() if d.action == "note" and key_of(d) == key]

    def progress(self) -> Progress:
        """Return how far the coder is, with today's pace."""
        today, seconds = pace(self._decided())
        return Progress(
            done=len(self.items) - len(self._open),
            total=len(self.items),
            skipped=len(self._skipped & set(self._open)),
            today=today,
            seconds=seconds,
            left=None if seconds is None else seconds * len(self._open),
        )

    # --- what the coder does --------------------------------------------------------------------

    def mark(self, ticket: str, draft: Draft) -> bool:
        """Remember what is marked, so that it survives a reload of the page; nothing is saved."""
        if ticket != self.ticket:
            return False
        self._shown.draft = draft
        return True

    def decide(
        self,
        ticket: str,
        rejected: Collection[int] = (),
        given: Sequence[Given] = (),
        none: bool = False,
    ) -> bool:
        """Save the decisions on the current text and go on to the next.

        Parameters
        ----------
        ticket : of the text that was decided (`ticket`).
        rejected, given, none : see `events_of`.

        Returns
        -------
        False, with nothing saved, if the ticket is stale: a message came twice, or late.

        Raises
        ------
        SessionError
            If the decision is not complete.
        DecisionError, OSError
            If it could not be saved; the same text stays.
        """
        item = self._unchanged(ticket)
        if item is None:
            return False
        events = events_of(self.task, item, rejected, given, none)
        started = self._shown.since
        seconds = None if started is None else round(self._clock() - started, 2)
        self._append(
            [
                # Of a text that was opened again, nothing older may stay beside the new decision.
                *(self._event(item.key, "undo", undoes=d.number) for d in self._standing(item.key)),
                *(
                    self._event(item.key, action, label=label, level=level, seconds=seconds)
                    for action, label, level in events
                ),
            ]
        )
        self._open.pop(0)
        self._skipped.discard(item.key)
        self._next()
        return True

    def undo(self, ticket: str) -> str | None:
        """Take back the last text that was decided, also in an earlier sitting, and show it again.

        Returns
        -------
        The text's id, or None if nothing is left to undo or the ticket is stale.
        """
        if ticket != self.ticket:
            return None
        if self._refresh():
            self._next()
            return None
        decided = self._decided()
        if not decided:
            return None
        key = key_of(decided[-1])
        last = self._standing(key)
        self._append(self._event(key, "undo", undoes=d.number) for d in last)
        if self._open:
            self._drafts[self._open[0]] = self._shown.draft
        self._drafts[key] = draft_of(self.items[key], last)
        self._open = [key, *(k for k in self._open if k != key)]
        self._next()
        return key[0]

    def note(self, ticket: str, comment: str) -> bool:
        """Save a note on the current text; the text stays. False if the ticket is stale."""
        item = self._unchanged(ticket)
        if item is None or not comment.strip():
            return False
        self._append([self._event(item.key, "note", comment=comment.strip())])
        return True

    def skip(self, ticket: str) -> bool:
        """Put the current text off to the end. False if there is no other, or on a stale ticket."""
        if ticket != self.ticket or len(self._open) < 2:
            return False
        key = self._open.pop(0)
        self._drafts[key] = self._shown.draft
        self._skipped.add(key)
        self._open.append(key)
        self._next()
        return True

    # --- the log --------------------------------------------------------------------------------

    def _counting(self) -> list[Decision]:
        if self._counted[0] != len(self._events):
            self._counted = (len(self._events), effective(self._events))
        return self._counted[1]

    def _decided(self) -> list[Decision]:
        return [d for d in self._counting() if d.action != "note" and key_of(d) in self.items]

    def _standing(self, key: Key) -> list[Decision]:
        """Decisions about a text that were not taken back, also those that others replaced."""
        undone = {d.undoes for d in self._events if d.action == "undo"}
        mine = [d for d in self._events if key_of(d) == key and d.action not in ("undo", "note")]
        return [d for d in mine if d.number not in undone]

    def _event(self, key: Key, action: Action, **fields: Any) -> Decision:
        return Decision(self.coder, key[0], action, blind=key[1], session=self.session, **fields)

    def _append(self, decisions: Iterable[Decision]) -> None:
        self._events += self.log.append(*decisions)

    def _unchanged(self, ticket: str) -> Item | None:
        if ticket != self.ticket or not self._open:
            return None
        if self._refresh():
            self._next()
            return None
        return self.items[self._open[0]]

    def _refresh(self) -> bool:
        """Read the log again; say whether another text must be shown now."""
        events = self.log.read()
        if len(events) == len(self._events):
            return False
        self._events = events
        decisions: dict[Key, list[Decision]] = {}
        for event in self._decided():
            decisions.setdefault(key_of(event), []).append(event)
        before = self._open[:1]
        done = {k for k, item in self.items.items() if is_done(item, decisions.get(k, []))}
        reopened = [k for k in self.items if k not in done and k not in self._open]
        self._open = [k for k in [*reopened, *self._open] if k not in done]
        for key in self._open:
            if key in decisions:
                self._drafts.setdefault(key, draft_of(self.items[key], decisions[key]))
        return self._open[:1] != before

    def _next(self) -> None:
        self._tickets += 1
        draft = self._drafts.pop(self._open[0], Draft()) if self._open else Draft()
        self._shown = _Shown(f"{self.session}-{self._tickets}", draft=draft)
