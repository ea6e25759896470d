"""A small run for tests: embedded texts, split, and labelled by a made-up crowd."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.data import load_embedded
from helpers.data.prepared import read_task
from helpers.experiments import build_bases
from helpers.labelling.label import COLUMNS, majority, proposals
from helpers.plans import Labeller, Labelling, SizeStudy, TaskPlan, Verification
from helpers.runs import Run, open_run, write_frame
from helpers.tasks import Task, load_task

CROWD = {"one": 0.8, "two": 0.6, "three": 0.5}  # name -> share of right answers


@cache
def _texts(name: str) -> pd.DataFrame:
    return load_embedded(load_task(name)).frame


def small_run(
    root: Path,
    name: str = "cap",
    *,
    train: int = 30,
    test: int = 10,
    labelling: dict[str, Any] | None = None,
    verification: dict[str, Any] | None = None,
    plan: dict[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """Return a run with the texts of one task and its crowd's labels saved, as by 01 and 02.

    One training text has no proposal, and another no majority: there all labellers failed.
    """
    run, task = open_run("demo", root=root, tasks=name), load_task(name)
    crowd = {"labellers": dict.fromkeys(CROWD, Labeller(kind="encoder", method="v4"))}
    crowd |= {"crowd": {name: list(CROWD)}, "splits": ["train", "test"]}
    tasks = {name: TaskPlan(**{"models": ["minilm-2l"], **(plan or {})})}
    changes = {
        "labelling": Labelling(**(crowd | (labelling or {}))),
        "verification": Verification(**{"audit": 8, **(verification or {})}),
        "finetuning": run.profile.finetuning.model_copy(update={"tasks": tasks}),
        **settings,
    }
    run = replace(run, profile=run.profile.model_copy(update=changes))
    texts = _texts(name).head(train + test)
    texts = texts.assign(split=["train"] * train + ["test"] * test)
    write_frame(run.path("data", name, "texts.parquet"), texts)
    save_crowd(run, task, texts)
    return run


def save_crowd(run: Run, task: Task, texts: pd.DataFrame) -> None:
    """Save what the crowd proposes; all fail at the first text."""
    labelled = pd.concat(
        [_labelled(task, texts, name, share) for name, share in CROWD.items()], ignore_index=True
    )
    train = labelled["id"].isin(texts.loc[texts["split"] == "train", "id"])
    tables = {
        "labelled": labelled,
        "proposals": proposals(task, labelled[train]),
        "majority": majority(task, labelled, list(CROWD)),
    }
    for name, table in tables.items():
        write_frame(run.path("labelling", task.name, f"{name}.parquet"), table)


def _labelled(task: Task, texts: pd.DataFrame, name: str, share: float) -> pd.DataFrame:
    rng, rows = np.random.default_rng([len(name), len(texts)]), []
    for row, (text_id, cell) in enumerate(zip(texts["id"], texts["labels"], strict=True)):
        gold, other = task.loads(cell), str(rng.choice(task.labels))
        wrong: Any = {"multi": [other], "single": other}.get(task.label_type)
        if task.label_type == "multi_intensity":
            wrong = {other: task.levels[1]}
        labels = task.check_labels(gold if rng.random() < share else wrong)
        status = "ok" if row else "unparsed"
        cell = task.dumps(labels if row else None)
        rows.append([text_id, name, status, cell, np.nan, 1, int(row > 0)])
    return pd.DataFrame(rows, columns=COLUMNS)


STUDY: dict[str, Any] = {
    "models": {"cap": ["minilm-2l"]},
    "smallest": 8,
    "sizes": 3,
    "seeds": 2,
    "simple_seeds": 2,
    "labels": {"cap": ["verified", "noise-20"]},
}


def study_run(root: Path, base: Path | None = None, **changed: Any) -> Run:
    """Return a run with 30 training and 20 test texts and a small study of training sizes.

    `base`: folder of base models of another such run, to save building them.
    """
    settings = {"epochs": 1, "learning_rate": 1e-3, "codebook_rows": False, "train_layers": 1}
    run = small_run(
        root,
        test=20,
        plan={"settings": settings},
        training_size=SizeStudy(**(STUDY | changed)),
        bootstrap=200,
        workers=1,
    )
    task = load_task("cap")
    texts = read_task(run, task)
    kept = texts[texts["split"] == "train"].iloc[2:]
    write_frame(run.path("verification", "cap", "verified.parquet"), kept[["id", "labels"]])
    if base is None:
        build_bases(run)
    elif not (run.root / "models" / "base").exists():
        shutil.copytree(base, run.root / "models" / "base")
    return run
