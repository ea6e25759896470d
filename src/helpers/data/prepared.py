"""The texts as chapter 01 leaves them and all later chapters find them: split, checked, saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from helpers.data.leakage import drop_leaks
from helpers.data.manifest import read_manifest
from helpers.data.sections import texts_allowed
from helpers.data.sources import load_texts
from helpers.data.splits import folds, limit, make_split, stratified_subset
from helpers.data.validation import DataError, Loaded
from helpers.runs import Run, frame_sha256, write_frame, write_json
from helpers.tasks import Task

SOURCES = {
    "embedded": "embedded texts",
    "own": "own texts",
    "upstream": "the authors' texts",
    "hub": "hub texts",
    "dataverse": "deposited texts",
}


def load(run: Run, task: Task) -> Loaded:
    """Load the texts of a task from where the profile takes them."""
    source, offline = run.profile.source(task.name), run.profile.offline
    return load_texts(task, source, run.upstream, offline=offline)


def source_title(run: Run, task: Task | None = None) -> str:
    """Say in a figure's title where the texts come from, e.g. ``embedded texts``."""
    return SOURCES[run.profile.source(task.name) if task else run.profile.data]


def of_the_paper(run: Run) -> bool:
    """Whether a run has texts that stand for the paper's tasks, not a user's own alone."""
    return any(run.profile.source(task) != "own" for task in run.profile.tasks)


def may_show(run: Run, task: Task) -> bool:
    """Whether the chapters of this run may print the texts of a task."""
    return texts_allowed(task, run.profile.source(task.name))


def missing_upstream(run: Run) -> list[str]:
    """Return the authors' files that the run's tasks need and its upstream folder lacks."""
    tasks = {t for t in run.profile.tasks if run.profile.source(t) == "upstream"}
    return [
        row.local_path
        for row in read_manifest()
        if tasks & set(row.needed_for) and not (run.upstream / row.local_path).is_file()
    ]


class Drawn(NamedTuple):
    """What `split_texts` returns.

    Attributes
    ----------
    frame : texts with the column split, sorted by id.
    leaks : texts that were taken out, since they nearly repeat a held-out text.
    rare : classes with too few texts to be in every split.
    """

    frame: pd.DataFrame
    leaks: pd.DataFrame
    rare: pd.DataFrame


def split_texts(run: Run, task: Task, frame: pd.DataFrame) -> Drawn:
    """Draw the split, take training texts out that leak into it, and limit its size."""
    drawn = make_split(frame, task, run.profile.seed)
    cleaned = drop_leaks(drawn.frame)
    kept = limit(cleaned.frame, task, run.profile.limit, run.profile.seed)
    return Drawn(kept, cleaned.dropped, drawn.rare)


def stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put one table per task under each other, with the task as first column."""
    parts = [table.assign(task=task) for task, table in tables.items() if len(table)]
    if not parts:
        columns = next(iter(tables.values())).columns.tolist() if tables else []
        return pd.DataFrame(columns=["task", *(name for name in columns if name != "task")])
    whole = pd.concat(parts, ignore_index=True)
    return whole[["task", *[column for column in whole if column != "task"]]]


def save_task(run: Run, task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Save split texts, folds and a manifest under ``data/<task>/``; return the texts.

    Folds are written for numeric tasks (repeated 5-fold, and by group where the task has groups)
    and where the profile asks for cross-validation.
    """
    write_frame(run.path("data", task.name, "texts.parquet"), frame)
    plan = run.profile.finetuning.tasks.get(task.name)
    manifest = {
        "source": run.profile.source(task.name),
        "seed": run.profile.seed,
        "texts": len(frame),
        "splits": frame["split"].value_counts().to_dict(),
        "sha256": frame_sha256(frame),
    }
    if task.label_type == "numeric" or (plan and plan.cross_validation):
        k = plan.cross_validation if plan and plan.cross_validation else 5
        repeats = 5 if task.label_type == "numeric" else 1
        table = folds(frame, task, k=k, repeats=repeats, seed=run.profile.seed)
        write_frame(run.path("data", task.name, "folds.parquet"), table)
        manifest["folds_sha256"] = frame_sha256(table)
    write_json(run.path("data", task.name, "manifest.json"), manifest)
    return frame


def read_task(run: Run, task: Task, what: str = "texts") -> pd.DataFrame:
    """Read what chapter 01 saved for a task: ``texts`` or ``folds``.

    Raises
    ------
    DataError
        If chapter 01 has not been run for this task.
    """
    path = run.root / "data" / task.name / f"{what}.parquet"
    if not path.is_file():
        raise DataError(f"no {what} of {task.name} in this run: run chapter 01_data first")
    return pd.read_parquet(path)


def scored_texts(run: Run, task: Task) -> pd.DataFrame:
    """Return the texts that models answer for: all held-out texts, and a sample of training texts.

    Scores on training texts are in-sample and only described; a sample is enough for that.
    """
    texts, size = read_task(run, task), run.profile.train_scored
    train = texts[texts["split"] == "train"]
    if size is None or len(train) <= size:
        return texts
    kept = stratified_subset(train, task, size, run.profile.seed)
    return texts[(texts["split"] != "train") | texts["id"].isin(kept["id"])].reset_index(drop=True)
