"""From a profile to verified labels; they lie under ``verification/`` of the run.

Decisions of people lie under ``decisions/``, which outlives ``make clean``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data.prepared import may_show, read_task
from helpers.experiments.trainings import read_made
from helpers.metrics import crowd_shares
from helpers.runs import HelpersError, Run, write_frame
from helpers.tasks import Task, load_task
from helpers.verification.aggregate import verified_labels
from helpers.verification.assignment import assign
from helpers.verification.decisions import Decision, DecisionLog, log_path, read_logs
from helpers.verification.session import ReviewSession
from helpers.verification.simulate import PREFIX, save_simulated, simulate, simulated_names


class ReviewError(HelpersError):
    """A review lacks what it needs."""


@dataclass(frozen=True)
class Review:
    """All there is about the review of a task.

    Attributes
    ----------
    task : whose texts.
    proposals : the crowd's, for training texts.
    assignment : who reviews which text, and the blind audit.
    decisions : those that count, of all coders.
    verified : one row a text, see `verified_labels`.
    """

    task: Task
    proposals: pd.DataFrame
    assignment: pd.DataFrame
    decisions: list[Decision]
    verified: pd.DataFrame


def reviewed_tasks(run: Run) -> list[Task]:
    """Return the tasks of a run that a crowd labels.

    Raises
    ------
    ReviewError
        If there is none: chapters 02 and 03 have nothing to do then.
    """
    found = [name for name in run.profile.tasks if run.profile.labelling.crowd.get(name)]
    if not found:
        raise ReviewError(
            f"profile '{run.profile.name}' names no labellers for {', '.join(run.profile.tasks)}: "
            "add them under labelling.crowd (config/labellers.yaml lists some)"
        )
    return [load_task(name) for name in found]


def crowd_proposals(run: Run, task: Task) -> pd.DataFrame:
    """Return what the crowd proposed for the training texts of a task."""
    return read_made(run, task, "labelling/{}/proposals", "02_labelling")


def decisions_folder(run: Run) -> Path:
    """Return where the coders' logs lie, one file a task and coder."""
    simulated = run.profile.verification.coders == "simulated"
    return run.root / ("verification/simulated" if simulated else "decisions")


def coder_names(run: Run) -> list[str]:
    """Return the coders' names; those of simulated coders say so."""
    names = run.profile.verification.names
    return simulated_names(names) if run.profile.verification.coders == "simulated" else names


def assignment_of(run: Run, task: Task) -> pd.DataFrame:
    """Return who reviews which text of a task, and which texts are coded blind.

    The same profile and data give the same assignment. A pool that is smaller than the audit is
    coded blind as a whole.
    """
    plan, texts = run.profile.verification, read_task(run, task)
    pool = texts.loc[texts["split"] == "train", "id"].tolist()
    names = coder_names(run)
    audit = min(plan.audit, len(pool))
    overlap = 0.0 if len(names) == 1 else plan.overlap
    if len(names) == 2:  # whoever codes a text blind must not review it, so that two do not do
        overlap = min(overlap, 1 - audit / len(pool))
    return assign(pool, names, overlap=overlap, audit=audit, seed=run.profile.seed)


def review_session(run: Run, task: Task, coder: str) -> ReviewSession:
    """Open a coder's sitting, for the widget; decisions go to the run's log of this coder.

    Raises
    ------
    ReviewError
        If the profile's coders are simulated: people's decisions would mix with made-up ones.
    """
    if run.profile.verification.coders == "simulated":
        raise ReviewError(
            f"profile '{run.profile.name}' has simulated coders: copy it, set "
            "verification.coders: logs and verification.names to your coders, and open the copy"
        )
    texts = read_task(run, task)
    return ReviewSession(
        task,
        texts[["id", "text"]],
        crowd_proposals(run, task),
        assignment_of(run, task),
        DecisionLog(log_path(decisions_folder(run), task.name, coder)),
        coder,
        mode=run.profile.verification.mode_for(task.name),
        show_texts=may_show(run, task),
    )


def review_task(run: Run, task: Task) -> Review:
    """Bring the coders' decisions about a task together; simulate them where the profile says so.

    Saves ``verification/<task>/verified.parquet``: the texts that kept a label, id and labels.

    Raises
    ------
    ReviewError
        If nobody has decided anything yet.
    """
    plan, texts = run.profile.verification, read_task(run, task)
    proposals = crowd_proposals(run, task)
    assignment, folder = assignment_of(run, task), decisions_folder(run)
    if plan.coders == "simulated":
        _simulate(run, task, texts, proposals, assignment)
    decisions = read_logs(folder, task.name)
    if not decisions:
        raise ReviewError(
            f"no decisions about {task.name} yet: the coders ({', '.join(plan.names)}) review in "
            "the widget or in sheets (see chapter 03), then run the chapter again"
        )
    pool = texts.loc[texts["split"] == "train", "id"].tolist()
    verified = verified_labels(task, proposals, decisions, rule=plan.rule, ids=pool)
    write_frame(run.path("verification", task.name, "assignment.parquet"), assignment)
    kept = verified.loc[verified["dropped"] == "", ["id", "labels"]]
    if kept.empty:
        raise ReviewError(f"no text of {task.name} kept a label: there is nothing to train on")
    write_frame(run.path("verification", task.name, "verified.parquet"), kept)
    return Review(task, proposals, assignment, decisions, verified)


def _simulate(
    run: Run, task: Task, texts: pd.DataFrame, proposals: pd.DataFrame, assignment: pd.DataFrame
) -> None:
    plan = run.profile.verification
    decisions = simulate(
        task,
        texts[["id", "labels"]],
        proposals,
        assignment,
        error_rate=plan.error_rate,
        seed=run.profile.seed,
        mode=plan.mode_for(task.name),
    )
    folder = decisions_folder(run)
    # An earlier simulation, of other settings or coders; people's logs lie elsewhere.
    for log in (folder / task.name).glob(f"{PREFIX}*.jsonl"):
        log.unlink()
    save_simulated(folder, task.name, decisions)


def label_quality(run: Run, reviews: Mapping[str, Review]) -> pd.DataFrame:
    """Compare label sources with the gold labels of the training texts that were verified.

    Returns
    -------
    One row a task and source (the crowd's majority, verified): texts, exact (share with exactly
    the gold labels) and jaccard (mean; with one label the same). Only where gold labels are known
    can this be looked at.
    """
    rows = []
    for name, review in reviews.items():
        task = review.task
        gold = read_task(run, task).set_index("id")["labels"]
        kept = review.verified[review.verified["dropped"] == ""].set_index("id")["labels"]
        majority = read_made(run, task, "labelling/{}/majority", "02_labelling")
        voted = majority.set_index("id")["labels"].reindex(kept.index)
        truth = task.encode([task.loads(cell) for cell in gold.reindex(kept.index)])
        for source, labels in (("majority", voted), ("verified", kept)):
            guess = task.encode([task.loads(cell) for cell in labels])
            exact = float((guess == truth).all(axis=1).mean())
            both, either = (guess > 0) & (truth > 0), (guess > 0) | (truth > 0)
            # Two empty label sets are equal.
            jaccard = np.where(either.any(axis=1), both.sum(1) / np.maximum(either.sum(1), 1), 1.0)
            row = {"task": name, "source": source, "texts": len(kept), "exact": exact}
            rows.append(row | {"jaccard": float(jaccard.mean())})
    return pd.DataFrame(rows).round(6)


def true_recall(run: Run, review: Review) -> float:
    """Return what the audit estimates: the share of gold labels that the crowd proposed."""
    task, names = review.task, run.profile.labelling.crowd[review.task.name]
    texts = read_task(run, task)
    gold = texts[texts["split"] == "train"].set_index("id")["labels"]
    labelled = read_made(run, task, "labelling/{}/labelled", "02_labelling")
    shares = crowd_shares(task, labelled, gold, names, n_resamples=2, seed=run.profile.seed)
    wanted = "right" if task.label_type == "single" else "recall"
    found = shares[(shares["rule"] == "any") & (shares["statistic"] == wanted)]
    return float(found["value"].iloc[0])
