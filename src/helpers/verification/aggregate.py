"""From the decisions of several coders to one verified label set, by stated rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from helpers.plans import HelpersError
from helpers.tasks import Task
from helpers.verification.events import Decision

Rule = Literal["majority", "any", "unanimous", "first-accepted", "high-wins"]
Item = tuple[str, str]  # label, level

RULES: dict[str, str] = {
    "majority": "more of the coders who judged a label accept it than reject it; a tie rejects it",
    "any": "one coder's acceptance is enough",
    "unanimous": "all coders who judged a label accept it",
    "first-accepted": "as published (answers.csv): all accepted labels; of several levels of a "
    "label the one accepted first, in the order of the decisions",
    "high-wins": "as published (code of the statistics): all accepted labels; of several levels "
    "of a label the highest",
}


class AggregationError(HelpersError):
    """Decisions cannot be turned into labels."""


def items_of(labels: Any) -> list[Item]:
    """Return labels of any task as (label, level) pairs; the level is empty without levels."""
    if labels is None:
        return []
    if isinstance(labels, dict):
        return list(labels.items())
    return [(label, "") for label in ([labels] if isinstance(labels, str) else labels)]


@dataclass
class Judged:
    """What the coders decided about one text.

    Attributes
    ----------
    votes : proposed or given (label, level) -> coder -> accepted. Items in the order in which
        they were first accepted; `votes` holds rejected ones too.
    coders : who decided anything about the text, in their order.
    """

    votes: dict[Item, dict[str, bool]] = field(default_factory=dict)
    coders: list[str] = field(default_factory=list)

    def yes(self, item: Item) -> int:
        """Return how many coders accept or give an item."""
        return sum(self.votes.get(item, {}).values())

    def no(self, item: Item) -> int:
        """Return how many coders reject an item."""
        return len(self.votes.get(item, {})) - self.yes(item)

    @property
    def disputed(self) -> bool:
        """Whether coders disagree about an item."""
        return any(self.yes(item) and self.no(item) for item in self.votes)


def judged_texts(decisions: Iterable[Decision]) -> dict[str, Judged]:
    """Return what the coders decided about each reviewed text; blind coding is left out.

    A label that a coder gives instead (``correct``) counts as accepted by this coder, and as
    rejected by the others who reviewed the text and did not give it, although they could have. It
    replaces another level of the label that the same coder accepted.
    """
    texts: dict[str, Judged] = {}
    given: dict[str, dict[Item, None]] = {}
    for decision in decisions:
        if decision.blind or decision.action not in ("accept", "reject", "correct"):
            continue
        text = texts.setdefault(decision.text_id, Judged())
        if decision.coder not in text.coders:
            text.coders.append(decision.coder)
        item = (decision.label, decision.level)
        if decision.action == "correct":
            if not decision.label:
                continue
            given.setdefault(decision.text_id, {})[item] = None
        accepted = decision.action != "reject"
        # The first acceptance decides an item's place: rules go by the order of acceptance.
        votes = text.votes.get(item, {})
        if accepted and not any(votes.values()):
            text.votes.pop(item, None)
        # A coder who decided on an item twice (other than in a log): one acceptance is enough.
        votes[decision.coder] = accepted or votes.get(decision.coder, False)
        text.votes[item] = votes
    for text_id, items in given.items():
        _complete(texts[text_id], items)
    return texts


def _complete(text: Judged, given: Iterable[Item]) -> None:
    for item in given:
        givers = [coder for coder, accepted in text.votes[item].items() if accepted]
        for coder in text.coders:
            text.votes[item].setdefault(coder, False)
        for other, votes in text.votes.items():
            if other[0] == item[0] and other != item:
                votes.update({coder: False for coder in givers if coder in votes})


def verified_labels(
    task: Task,
    proposals: pd.DataFrame,
    decisions: Sequence[Decision],
    *,
    rule: Rule = "majority",
    ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Turn reviews into one label set a text.

    Parameters
    ----------
    proposals : frame (id, label, level, votes); the crowd's proposals.
    decisions : those that count, of all coders (`read_logs`), in their order. Blind coding does
        not enter: it measures the review.
    rule : see `RULES`.
    ids : texts to report on (default: those with a proposal or a decision).

    Returns
    -------
    frame (id, labels, coders, conflict, resolved_by, dropped), one row a text: labels as JSON
    (``null`` if dropped), names of the coders, whether they disagree or several labels had to be
    reduced to one, how that was resolved, and why the text is dropped (empty if it is not).

    Notes
    -----
    Dropped are texts without proposals, not or not fully reviewed, and those of which no label
    survives: this says that the crowd was wrong, not that the text has no label. Where a coder
    states that no label applies, or all coders' labels fall out by the rule, no label survives
    either.

    Of several surviving labels of a single-label task, or levels of a label, the one that most
    coders accept is kept, then the one with most votes of the crowd, then (labels) the first of
    the codebook or (levels) the highest.

    Raises
    ------
    AggregationError
        If the rule is unknown or a decision is about a label that is not in the codebook.
    """
    if rule not in RULES:
        raise AggregationError(f"unknown rule {rule!r}: use one of {', '.join(RULES)}")
    judged = judged_texts(decisions)
    crowd: dict[str, dict[Item, int]] = {}
    for i, label, level, votes in proposals[["id", "label", "level", "votes"]].itertuples(
        index=False
    ):
        crowd.setdefault(i, {})[label, level] = votes
    wanted = dict.fromkeys([*crowd, *judged]) if ids is None else dict.fromkeys(ids)
    rows = [_row(task, i, judged.get(i), crowd.get(i, {}), rule) for i in wanted]
    columns = ["id", "labels", "coders", "conflict", "resolved_by", "dropped"]
    return pd.DataFrame(rows, columns=columns)


def dropped_counts(verified: pd.DataFrame) -> pd.DataFrame:
    """Return how many texts were kept, and dropped by reason: frame (outcome, texts)."""
    outcome = verified["dropped"].where(verified["dropped"] != "", "kept")
    counts = outcome.value_counts().rename_axis("outcome").reset_index(name="texts")
    return counts.sort_values(["texts", "outcome"], ascending=[False, True], ignore_index=True)


def _row(
    task: Task, text_id: str, text: Judged | None, crowd: dict[Item, int], rule: Rule
) -> tuple[str, str, str, bool, str, str]:
    null = task.dumps(None)
    if text is None:
        return text_id, null, "", False, "", "not reviewed" if crowd else "no proposals"
    coders = "; ".join(sorted(text.coders))
    if any(item not in text.votes for item in crowd):
        return text_id, null, coders, text.disputed, "", "not fully reviewed"
    surviving = [item for item in text.votes if _survives(text, item, rule)]
    how = [rule] if text.disputed else []
    kept, reduced = _reduce(task, text, surviving, crowd, rule)
    if not kept:
        reason = "conflict: no label survives the rule" if text.disputed else "no label survives"
        return text_id, null, coders, text.disputed, "; ".join(how), reason
    for label, _ in kept:
        if label not in task.label_names:
            raise AggregationError(
                f"text {text_id}: decisions hold {label!r}, which is not in the codebook of "
                f"{task.name}: are these the logs of another task?"
            )
    labels = task.check_labels(
        kept[0][0]
        if task.label_type == "single"
        else dict(kept)
        if task.label_type == "multi_intensity"
        else [label for label, _ in kept]
    )
    resolved = "; ".join([*how, *reduced])
    return text_id, task.dumps(labels), coders, bool(resolved), resolved, ""


def _survives(text: Judged, item: Item, rule: Rule) -> bool:
    yes, no = text.yes(item), text.no(item)
    if rule == "majority":
        return yes > no
    return yes > 0 and (no == 0 or rule != "unanimous")


def _reduce(
    task: Task, text: Judged, items: list[Item], crowd: dict[Item, int], rule: Rule
) -> tuple[list[Item], list[str]]:
    """Keep one level a label, and one label in single-label tasks; say by what, if it mattered."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault("" if task.label_type == "single" else item[0], []).append(item)
    reduced: dict[str, None] = {}
    kept = []
    for group in groups.values():
        best, how = _best(task, text, group, crowd, rule)
        kept.append(best)
        if how:
            reduced[how] = None
    return kept, list(reduced)


def _best(
    task: Task, text: Judged, group: list[Item], crowd: dict[Item, int], rule: Rule
) -> tuple[Item, str]:
    if len(group) == 1:
        return group[0], ""
    if rule == "first-accepted":
        return group[0], "accepted first"
    single = task.label_type == "single"
    tests = [
        ("most coders", text.yes),
        ("most votes of the crowd", lambda item: crowd.get(item, 0)),
    ]
    if rule == "high-wins" and not single:
        tests = []
    for name, score in tests:
        best = max(map(score, group))
        group = [item for item in group if score(item) == best]
        if len(group) == 1:
            return group[0], name
    if single:
        return min(group, key=lambda item: task.labels.index(item[0])), "first of the codebook"
    return max(group, key=lambda item: task.levels.index(item[1])), "highest level"
