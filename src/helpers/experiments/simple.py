"""Predictions of the simple baselines, kept like those of the models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.baselines import applicable, predict_baseline, remembered
from helpers.data.prepared import read_task, scored_texts
from helpers.experiments.embedded import Embedding, embedding_work, kept
from helpers.experiments.trainings import fingerprint, train_texts
from helpers.runs import Run, file_sha256, frame_artifact, frame_sha256
from helpers.tasks import Task, load_task

UNLABELLED = "train, unlabelled"
FOLDER = Path(__file__).resolve().parents[1] / "baselines"


@dataclass(frozen=True)
class Baselines:
    """All baselines of a task, to be predicted in a process of its own."""

    task: str
    texts: pd.DataFrame
    folder: Path
    names: Sequence[str]
    seed: int
    scored: list[str]
    embedding: Embedding
    fold: pd.Series | None = None


def predict_baselines(item: Baselines) -> list[str]:
    """Predict and save the baselines of one task; return the names of those made now."""
    task = load_task(item.task)
    known = remembered(kept(item.embedding))
    made = []
    for name in item.names:
        inputs = _inputs(item, task, name)
        build = partial(_predict, item, task, name, known)
        if frame_artifact(item.folder / f"{name}.parquet", inputs, build)[1]:
            made.append(name)
    return made


def _inputs(item: Baselines, task: Task, name: str) -> dict[str, Any]:
    code = [file_sha256(path) for path in sorted(FOLDER.glob("*.py"))]
    fold = None if item.fold is None else item.fold.tolist()
    texts = frame_sha256(item.texts[["id", "text", "labels", "split"]])
    return {
        "baseline": name,
        "texts": texts,
        "fold": fold,
        "scored": hashlib.sha256(json.dumps(item.scored).encode()).hexdigest(),
        "seed": item.seed,
        "code": code,
        "fingerprint": fingerprint(task),
    }


def _predict(item: Baselines, task: Task, name: str, embed: Any) -> pd.DataFrame:
    if item.fold is None:
        everything = predict_baseline(name, task, item.texts, embed, seed=item.seed)
        everything["split"] = everything["split"].replace(UNLABELLED, "train")
        return everything[everything["id"].isin(item.scored)].reset_index(drop=True)
    parts = []
    for number in sorted(item.fold.unique()):
        held_out = item.fold == number
        texts = item.texts.assign(split=held_out.map({True: "test", False: "train"}))
        found = predict_baseline(name, task, texts, embed, seed=item.seed)
        parts.append(found[held_out.to_numpy()])
    whole = pd.concat(parts).sort_values("id", ignore_index=True)
    return whole.assign(split="cross-validation")


def _with_labels_of_run(run: Run, task: Task, texts: pd.DataFrame) -> pd.DataFrame:
    """Give training texts the labels that the models of the run learn from.

    Those that have none (the crowd was wrong about them) get a split of their own: a baseline
    answers for them and does not learn from them.
    """
    train = train_texts(run, task, run.profile.train_labels).set_index("id")["labels"]
    is_train = texts["split"] == "train"
    labelled = texts["id"].isin(train.index)
    labels = texts["labels"].where(~(is_train & labelled), texts["id"].map(train))
    split = texts["split"].mask(is_train & ~labelled, UNLABELLED)
    return texts.assign(labels=labels, split=split)


def baseline_work(run: Run) -> dict[str, Baselines]:
    """Return the baselines that the profile asks for, one piece of work a task.

    With cross-validation there is a second piece, under the name of the task and ``-folds``.
    """
    seed = run.profile.seed
    work = {}
    for name in run.profile.tasks:
        task = load_task(name)
        texts = read_task(run, task)
        learnt = _with_labels_of_run(run, task, texts)
        names = [b for b in run.profile.baselines if applicable(b, task)]
        scored = scored_texts(run, task)["id"].tolist()
        folder, embedding = run.root / "predictions" / name, embedding_work(run, name)
        work[name] = Baselines(name, learnt, folder, names, seed, scored, embedding)
        if run.profile.plan(name).cross_validation:
            fold = texts["id"].map(read_task(run, task, "folds").set_index("id")["fold"])
            folder = run.root / "predictions" / f"{name}-folds"
            work[f"{name}-folds"] = Baselines(
                name, texts, folder, names, seed, scored, embedding, fold
            )
    return work
