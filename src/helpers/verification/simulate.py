"""Simulated coders: decisions that follow the gold labels, with a stated error rate.

They stand in for people where nobody is there to ask (tests, the non-interactive run). Their
names start with ``simulated-``, their session is ``simulated``, and no time is made up for them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from helpers.plans import HelpersError
from helpers.tasks import Task
from helpers.verification.aggregate import Item, items_of
from helpers.verification.decisions import SIMULATED, Decision, DecisionLog, log_path

PREFIX = f"{SIMULATED}-"
Mode = Literal["reject", "correct"]


class SimulationError(HelpersError):
    """Decisions cannot be simulated, or would mix with those of people."""


def simulated_names(names: Iterable[str]) -> list[str]:
    """Return coders' names with the prefix ``simulated-``."""
    return [name if name.startswith(PREFIX) else PREFIX + name for name in names]


def simulate(
    task: Task,
    gold: pd.DataFrame,
    proposals: pd.DataFrame,
    assignment: pd.DataFrame,
    *,
    error_rate: float,
    seed: int,
    mode: Mode = "reject",
) -> list[Decision]:
    """Simulate the decisions of all coders of an assignment.

    Parameters
    ----------
    gold : frame (id, labels as JSON).
    proposals : frame (id, label, level, ...).
    assignment : see `helpers.verification.assignment.assign`; coders named ``simulated-...``.
    error_rate : probability that a decision is wrong, between 0 and 1.
    seed : each draw depends on (seed, coder, text, label) alone, not on the order of rows.

    Returns
    -------
    Decisions by coder and position.

    Notes
    -----
    What a coder with error rate e does:

    - reject mode: a proposal is right if the gold labels hold it, with its level where there are
      levels (the archive's items are post, dimension and value). Right ones are accepted, wrong
      ones rejected, each decision turned round with probability e.
    - correct mode, one label: the coder settles on the gold label, or with probability e on
      another: one of the wrong proposals, or any label if there is none. If it was not proposed it
      is given (``correct``); each proposal is accepted or rejected accordingly.
    - correct mode, several labels: as in reject mode; then each gold label (with its level) that
      nobody proposed is noticed and added with probability 1 - e.
    - blind, one label: the gold label, or with probability e any other.
    - blind, several labels: each gold label is wrong with probability e: left out or, where there
      are levels, given another level with equal chance. Labels that do not apply are added with
      the same small probability each, so that e x (number of gold labels, at least one) are
      expected: as many false as missing ones.

    Raises
    ------
    SimulationError
        If a coder's name lacks the prefix, a text has no gold labels, or the task is numeric.
    """
    _check(task, gold, assignment, error_rate)
    truth = {
        i: items_of(task.loads(cell)) for i, cell in zip(gold["id"], gold["labels"], strict=True)
    }
    proposed: dict[str, list[Item]] = {}
    for i, label, level in proposals[["id", "label", "level"]].itertuples(index=False):
        proposed.setdefault(i, []).append((label, level))
    decisions = []
    for row in assignment.itertuples(index=False):
        draws = Draws(seed, row.coder, row.id, error_rate)
        if row.blind:
            made = _blind(task, truth[row.id], draws)
        elif mode == "correct" and task.label_type == "single":
            made = _settle(task, truth[row.id], proposed.get(row.id, []), draws)
        else:
            made = _review(truth[row.id], proposed.get(row.id, []), draws, add=mode == "correct")
        decisions += [
            Decision(row.coder, row.id, action, *item, blind=bool(row.blind), session=SIMULATED)  # type: ignore[arg-type]
            for action, item in made
        ]
    return decisions


def save_simulated(folder: Path, task: str, decisions: Sequence[Decision]) -> list[Path]:
    """Write simulated decisions into the coders' logs; logs that hold the same are left alone.

    Raises
    ------
    SimulationError
        If a log holds anything else: it is never overwritten.
    """
    paths = []
    for coder in sorted({decision.coder for decision in decisions}):
        log = DecisionLog(log_path(folder, task, coder))
        own = [decision for decision in decisions if decision.coder == coder]
        known = [_content(decision) for decision in log.read()]
        if not known:
            log.append(*own)
        elif known != [_content(decision) for decision in own]:
            raise SimulationError(
                f"{task}/{log.path.name} holds decisions of another simulation: delete it, or give "
                "the coders other names"
            )
        paths.append(log.path)
    return paths


class Draws:
    """Random draws of a coder about a text, each of its own: adding one changes no other."""

    def __init__(self, seed: int, coder: str, text_id: str, error_rate: float) -> None:
        self._seed = (seed, coder, text_id)
        self.error_rate = error_rate

    def source(self, *purpose: str) -> random.Random:
        """Return a generator for a purpose, the same on every machine."""
        return random.Random(repr((*self._seed, *purpose)))

    def wrong(self, *purpose: str) -> bool:
        """Return whether the coder errs."""
        return self.source(*purpose).random() < self.error_rate


def _review(
    truth: list[Item], proposed: list[Item], draws: Draws, *, add: bool
) -> Iterator[tuple[str, Item]]:
    for item in proposed:
        accepted = (item in truth) != draws.wrong("review", *item)
        yield ("accept" if accepted else "reject"), item
    if add:
        for item in truth:
            if item not in proposed and not draws.wrong("add", *item):
                yield "correct", item


def _settle(
    task: Task, truth: list[Item], proposed: list[Item], draws: Draws
) -> Iterator[tuple[str, Item]]:
    choice = truth[0]
    if draws.wrong("settle"):
        others = sorted(set(proposed) - {choice}) or [
            (x, "") for x in task.labels if x != choice[0]
        ]
        choice = draws.source("other").choice(others)
    if choice not in proposed:
        yield "correct", choice
    yield from (("accept" if item == choice else "reject", item) for item in proposed)


def _blind(task: Task, truth: list[Item], draws: Draws) -> Iterator[tuple[str, Item]]:
    if task.label_type == "single":
        label = truth[0][0]
        if draws.wrong("blind"):
            label = draws.source("other").choice([x for x in task.labels if x != label])
        yield "code", (label, "")
        return
    given = dict(truth)
    others = len(task.labels) - len(given)
    share = draws.error_rate * max(1, len(given)) / others if others else 0.0
    coded = []
    for label in task.labels:
        source = draws.source("blind", label)
        chance, level = source.random(), given.get(label, "")
        if label not in given:
            if chance < share:
                coded.append((label, source.choice(task.levels) if task.levels else ""))
        elif chance >= draws.error_rate:
            coded.append((label, level))
        elif task.levels and source.random() < 0.5:
            coded.append((label, source.choice([x for x in task.levels if x != level])))
    yield from (("code", item) for item in coded or [("", "")])


def _content(decision: Decision) -> tuple[Any, ...]:
    return (decision.text_id, decision.action, decision.label, decision.level, decision.blind)


def _check(task: Task, gold: pd.DataFrame, assignment: pd.DataFrame, error_rate: float) -> None:
    if task.label_type == "numeric":
        raise SimulationError(f"task {task.name} is numeric: there are no labels to review")
    if not 0 <= error_rate <= 1:
        raise SimulationError(f"error_rate is {error_rate}: give a probability")
    real = sorted(name for name in set(assignment["coder"]) if not name.startswith(PREFIX))
    if real:
        raise SimulationError(
            f"coder {real[0]}: simulated coders have names with '{PREFIX}' (see simulated_names), "
            "so that nobody takes them for people"
        )
    if lost := sorted(set(assignment["id"]) - set(gold["id"])):
        raise SimulationError(f"{len(lost)} texts have no gold labels, first {lost[0]}")
