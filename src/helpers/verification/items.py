"""What a coder is shown about one text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from helpers.plans import HelpersError
from helpers.tasks import Task

Mode = Literal["reject", "correct", "blind"]
Key = tuple[str, bool]


class SessionError(HelpersError):
    """A review cannot be started as asked, or a decision is not complete."""


@dataclass(frozen=True)
class Proposal:
    """A label that the crowd proposes for a text.

    Attributes
    ----------
    label, level : as in the codebook; the level is empty in tasks without levels.
    name : readable name of the label.
    votes, labellers : how many and who proposed it; 0 and empty where proposers are hidden.
    """

    label: str
    level: str
    name: str
    votes: int = 0
    labellers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """One text as one coder sees it.

    Attributes
    ----------
    text_id, text : the text.
    mode : ``reject``, ``correct`` or ``blind`` (no proposals, the coder chooses labels).
    proposals : in the order of the codebook, or by votes where proposers are shown.
    """

    text_id: str
    text: str
    mode: Mode
    proposals: tuple[Proposal, ...] = ()

    @property
    def blind(self) -> bool:
        """Whether the coder decides without seeing proposals."""
        return self.mode == "blind"

    @property
    def key(self) -> Key:
        """What identifies the item in a log: a text may be both reviewed and coded blind."""
        return self.text_id, self.blind


def build_items(
    task: Task,
    texts: pd.DataFrame,
    proposals: pd.DataFrame,
    assignment: pd.DataFrame,
    coder: str,
    *,
    mode: Literal["reject", "correct"],
    show_proposers: bool,
) -> list[Item]:
    """Return a coder's items in the order of the assignment.

    Raises
    ------
    SessionError
        If the coder has no texts, an assigned text is missing, or a proposal is not in the
        codebook.
    """
    mine = assignment[assignment["coder"] == coder].sort_values("position", kind="stable")
    if mine.empty:
        known = ", ".join(sorted(map(str, assignment["coder"].unique()))) or "nobody"
        raise SessionError(f"no texts are assigned to coder '{coder}': there are texts for {known}")
    if twice := mine[mine.duplicated(["id", "blind"])]["id"].tolist():
        raise SessionError(f"assigned twice to {coder}: text {', '.join(map(str, twice[:5]))}")
    content = dict(zip(texts["id"], texts["text"], strict=True))
    if missing := [str(i) for i in mine["id"] if i not in content]:
        raise SessionError(
            f"{len(missing)} of the assigned texts are not among the texts, e.g. "
            f"{', '.join(missing[:5])}: pass the texts that the assignment was made from"
        )
    proposed = _proposals(task, proposals[proposals["id"].isin(mine["id"])], show_proposers)
    items = []
    for text_id, blind in zip(mine["id"], mine["blind"], strict=True):
        how: Mode = "blind" if blind else mode
        offered = () if blind else tuple(proposed.get(text_id, ()))
        items.append(Item(text_id, content[text_id], how, offered))
    return items


def _proposals(task: Task, frame: pd.DataFrame, shown: bool) -> dict[str, list[Proposal]]:
    if twice := frame[frame.duplicated(["id", "label", "level"])]["id"].tolist():
        raise SessionError(f"text {twice[0]} has the same proposal twice")
    order = {label: i for i, label in enumerate(task.labels)}
    levels = ["", *task.levels]
    found: dict[str, list[Proposal]] = {}
    for row in frame.itertuples(index=False):
        if row.label not in order or row.level not in (levels[1:] or [""]):
            raise SessionError(
                f"text {row.id}: the proposal {row.label!r} {row.level!r} is not in the codebook "
                f"of {task.name}"
            )
        who = (int(row.votes), tuple(json.loads(row.labellers))) if shown else ()
        proposal = Proposal(row.label, row.level, task.label_names[row.label], *who)
        found.setdefault(row.id, []).append(proposal)
    if not shown:  # an order by votes would give the votes away
        for items in found.values():
            items.sort(key=lambda p: (order[p.label], levels.index(p.level)))
    return found
