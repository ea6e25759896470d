"""What the solutions of the exercises need beyond the chapters' own functions; writes nothing."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from helpers.data.prepared import read_task
from helpers.experiments.review import Review
from helpers.runs import Run
from helpers.verification.aggregate import Rule, verified_labels
from helpers.verification.simulate import Mode, simulate


def review_again(
    run: Run,
    review: Review,
    *,
    mode: Mode | None = None,
    error_rate: float | None = None,
    rule: Rule | None = None,
) -> Review:
    """Let simulated coders decide again in another way; nothing is saved.

    Parameters
    ----------
    run : where the texts come from, and the settings that are not changed.
    review : of a task; its proposals and assignment are used again.
    mode : ``reject`` or ``correct``.
    error_rate : share of a coder's decisions that are wrong.
    rule : how conflicts are resolved, see `helpers.verification.aggregate.RULES`. With `rule`
        alone the decisions stay as they are, also those of people.

    Raises
    ------
    SimulationError
        If the decisions are people's, and anything but `rule` is changed.
    """
    task, plan = review.task, run.profile.verification
    texts = read_task(run, task)
    decisions = review.decisions
    if mode is not None or error_rate is not None:
        decisions = simulate(
            task,
            texts[["id", "labels"]],
            review.proposals,
            review.assignment,
            error_rate=plan.error_rate if error_rate is None else error_rate,
            seed=run.profile.seed,
            mode=mode or plan.mode_for(task.name),
        )
    pool = texts.loc[texts["split"] == "train", "id"].tolist()
    verified = verified_labels(task, review.proposals, decisions, rule=rule or plan.rule, ids=pool)
    return replace(review, decisions=decisions, verified=verified)


def kept_labels(review: Review) -> pd.Series:
    """Return the labels (JSON, by id) of the texts that kept one."""
    kept = review.verified[review.verified["dropped"] == ""]
    return kept.set_index("id")["labels"]
