"""The review widget for JupyterLab: a `ReviewSession` that a coder drives by keyboard.

Texts reach the browser in messages, never as widget state: state can be written into the
notebook's file, and texts that may not be shown must not get there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from helpers.plans import HelpersError
from helpers.verification.marks import Draft
from helpers.verification.session import Item, ReviewSession

STATIC = Path(__file__).parent / "static"


class ReviewWidget(anywidget.AnyWidget):
    """Shows one text at a time and hands what the coder does to the session.

    Parameters
    ----------
    session : holds all state. After a reload of the page the widget shows it again; after a
        restart of the kernel a new session, built by the same cell, resumes from the log.

    Notes
    -----
    Messages from the browser: ``hello`` (a view asks what to show), ``mark``, ``confirm``,
    ``undo``, ``skip``, ``note``; all but the first carry the ticket of the text that was on the
    screen, and stale ones are ignored. Each is answered by ``state`` or ``error``; ``state``
    tells of something saved only after it is on disk.
    """

    _esm = STATIC / "review.js"
    _css = STATIC / "review.css"
    about: traitlets.Dict = traitlets.Dict().tag(sync=True)
    codebook: traitlets.List = traitlets.List().tag(sync=True)

    def __init__(self, session: ReviewSession) -> None:
        self.session = session
        super().__init__(about=_about(session), codebook=_codebook(session))
        self.on_msg(self._receive)

    def _receive(self, _: Any, content: dict[str, Any], __: Any) -> None:
        ticket = str(content.get("ticket", ""))
        if content["kind"] == "mark":
            self.session.mark(ticket, _draft(content))
            return
        try:
            said = self._act(content, ticket)
        except HelpersError as error:
            self.send({"kind": "error", "ticket": ticket, "message": str(error)})
            return
        except OSError as error:
            said = (
                f"{error}. What was saved before is safe. Put this right, then press Enter again."
            )
            self.send({"kind": "error", "ticket": ticket, "message": said})
            return
        self.send({"kind": "state", "said": said, **self._state()})

    def _act(self, content: dict[str, Any], ticket: str) -> str:
        """Do what the coder asks for, and say what happened."""
        kind, session = content["kind"], self.session
        if kind == "confirm":
            marks = _draft(content)
            if session.decide(ticket, marks.rejected, marks.given, marks.none):
                return f"Saved {session.progress().done}"
        elif kind == "undo":
            if text_id := session.undo(ticket):
                return f"Taken back: {text_id}. Decide again."
            return "" if ticket != session.ticket else "Nothing to undo."
        elif kind == "skip":
            if ticket == session.ticket:
                return "Skipped; it comes again." if session.skip(ticket) else "No other is open."
        elif kind == "note":
            if session.note(ticket, str(content["text"])):
                return "Note saved."
            if content["text"].strip():
                raise HelpersError("That text is no longer shown: the note was not saved.")
        return ""

    def _state(self) -> dict[str, Any]:
        session = self.session
        item, progress = session.current(), session.progress()
        return {
            "ticket": session.ticket,
            "item": _item(item, session) if item else None,
            "draft": vars(session.draft),
            "notes": session.notes(),
            "progress": vars(progress),
        }


def review(session: ReviewSession) -> ReviewWidget:
    """Return the widget for a session; as the last line of a cell it is shown."""
    return ReviewWidget(session)


def _draft(content: dict[str, Any]) -> Draft:
    return Draft(
        rejected=tuple(int(i) for i in content["rejected"]),
        given=tuple((str(label), str(level)) for label, level in content["given"]),
        none=bool(content["none"]),
    )


def _item(item: Item, session: ReviewSession) -> dict[str, Any]:
    codes = session.task.codes
    return {
        "id": item.text_id,
        "text": item.text,
        "mode": item.mode,
        "proposals": [{**vars(p), "code": codes[p.label]} for p in item.proposals],
    }


def _about(session: ReviewSession) -> dict[str, Any]:
    task = session.task
    return {
        "task": task.title,
        "question": task.question,
        "coder": session.coder,
        "single": task.label_type == "single",
        "levels": task.levels,
        "left_out": len(session.left_out),
    }


def _codebook(session: ReviewSession) -> list[dict[str, str]]:
    """Return the labels that can be searched; subtopics help to find them."""
    task = session.task
    finer = task.subtopics.groupby("label")["name"].agg("; ".join).to_dict()
    return [
        {
            "label": label,
            "name": task.label_names[label],
            "code": task.codes[label],
            "group": task.groups.get(label, ""),
            "finer": finer.get(label, ""),
        }
        for label in task.labels
    ]
