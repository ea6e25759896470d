"""One cell of a training-size study: a method, trained on n labelled texts, asked about the test.

Each cell has a folder of its own with its configuration and its predictions. A finished cell is
never made again, so a grid can grow, or be killed and resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.finetuning.settings import FinetuningSettings
from helpers.plans import Speed
from helpers.runs import artifact, frame_sha256, write_frame, write_json
from helpers.tasks import load_task

COLUMNS = ["text", "labels"]


@dataclass(frozen=True)
class CellKey:
    """What a cell is: task, model or method, kind of labels, number of training texts, seed."""

    task: str
    model: str
    labels: str
    n: int
    seed: int

    @property
    def folder(self) -> Path:
        """Folder below ``study/`` of the run."""
        return Path(self.task) / self.model / self.labels / f"n{self.n:06d}-s{self.seed}"

    def __str__(self) -> str:
        return f"{self.task}/{self.model}/{self.labels}/{self.n}/{self.seed}"


@dataclass(frozen=True)
class Cell:
    """A cell to be made in a process of its own.

    Attributes
    ----------
    key : what it is.
    train : training texts with their labels (id, text, labels).
    asked : test texts (id, text, split, labels). Their labels are replaced before a method sees
        them: its frame has to have such a column.
    out : folder of the result.
    inputs : what decides the result besides texts (code, weights, versions).
    cost : rough work, to start with the longest.
    settings, base, revision, free, speed : of a causal model; `settings` None: a simple method.
    embedding : of the texts, for simple methods that need it.
    copy_from : predictions that an equal training of chapter 04 made already.
    """

    key: CellKey
    train: pd.DataFrame
    asked: pd.DataFrame
    out: Path
    inputs: Mapping[str, Any]
    cost: float
    settings: FinetuningSettings | None = None
    base: str | Path = ""
    revision: str | None = None
    free: bool = False
    speed: Speed = field(default_factory=Speed)
    embedding: Any = None
    copy_from: Path | None = field(default=None, compare=False)

    def all_inputs(self) -> dict[str, Any]:
        """Return all that decides the result: changed inputs mean a new cell."""
        return {
            **self.inputs,
            "key": vars(self.key),
            "train": frame_sha256(self.train[COLUMNS]),
            "asked": frame_sha256(self.asked[["id", "text"]]),
            "settings": self.settings.model_dump() if self.settings else None,
            "free": self.free,
            "speed": self.speed.model_dump(),
        }


def make_cell(cell: Cell) -> bool:
    """Train and answer, or find it done; return whether it was made now."""

    def build(folder: Path) -> None:
        if cell.settings is None:
            _simple(cell, folder)
        elif cell.copy_from is not None:
            _copy(cell, folder)
        else:
            _causal(cell, folder)
        config = {**vars(cell.key), "train_ids": sorted(cell.train["id"])}
        config["settings"] = cell.settings.model_dump() if cell.settings else {}
        write_json(folder / "config.json", config)

    return artifact(cell.out, cell.all_inputs(), build)[1]


def _causal(cell: Cell, folder: Path) -> None:
    from helpers.finetuning.cell import train_and_answer

    assert cell.settings is not None
    made = train_and_answer(
        load_task(cell.key.task),
        cell.train,
        cell.asked,
        cell.base,
        cell.settings,
        folder,
        revision=cell.revision,
        free=cell.free,
        speed=cell.speed,
    )
    write_frame(folder / "predictions.parquet", made.constrained)
    if made.free is not None:
        write_frame(folder / "free.parquet", made.free)
    write_frame(folder / "history.csv", made.history)
    write_json(folder / "sizes.json", made.sizes)
    write_json(folder / "performance.json", made.performance)


def _copy(cell: Cell, folder: Path) -> None:
    """Take the answers that the same training gave in chapter 05."""
    assert cell.copy_from is not None
    made = pd.read_parquet(cell.copy_from).set_index("id")
    rows = made.loc[cell.asked["id"]].reset_index()
    write_frame(folder / "predictions.parquet", rows)


def _simple(cell: Cell, folder: Path) -> None:
    from helpers.baselines import predict_baseline
    from helpers.experiments.embedded import kept

    task = load_task(cell.key.task)
    asked = cell.asked.assign(labels=cell.train["labels"].iloc[0])  # no test label comes near
    texts = pd.concat([cell.train.assign(split="train"), asked], ignore_index=True)
    columns = ["id", "split", "text", "labels"]
    embed = kept(cell.embedding) if cell.embedding is not None else None
    made = predict_baseline(cell.key.model, task, texts[columns], embed, seed=cell.key.seed)
    answers = made[made["split"] == "test"].reset_index(drop=True)
    write_frame(folder / "predictions.parquet", answers)


def read_cell(out: Path, truth: pd.DataFrame, what: str = "predictions") -> pd.DataFrame:
    """Return a cell's predictions with the column truth, in the order of `truth`.

    Parameters
    ----------
    out : folder of the cell.
    truth : columns id and labels.
    what : ``predictions`` or ``free``.
    """
    made = pd.read_parquet(out / f"{what}.parquet").set_index("id").loc[truth["id"]].reset_index()
    return made.assign(truth=np.asarray(truth["labels"], dtype=object))
