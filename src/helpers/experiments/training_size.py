"""From a profile to the cells of its training-size study (chapter 06), and to their scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.data.prepared import read_task
from helpers.experiments.cells import Cell, CellKey, make_cell, read_cell
from helpers.experiments.embedded import Embedding, embed_one, embedding_work
from helpers.experiments.trainings import (
    fingerprint,
    job_of,
    train_texts,
)
from helpers.metrics import counts_from_frames
from helpers.metrics.counts import TextCounts
from helpers.parallel import side_by_side
from helpers.plans import HelpersError
from helpers.runs import RECORD, Run, file_sha256, versions
from helpers.study.grid import geometric_sizes, noise_share, order_of, subset, with_noise
from helpers.tasks import Task, load_task

BASELINES = Path(__file__).resolve().parents[1] / "baselines"


@dataclass(frozen=True)
class _Row:
    """One point of the grid before its seeds."""

    model: str
    labels: str
    n: int
    seeds: int


class _Grid:
    """The grid of one task; what many cells share is read once."""

    def __init__(self, run: Run, task: Task) -> None:
        self.run, self.task = run, task
        self.plan = run.profile.training_size
        columns = ["id", "text", "split", "labels"]
        texts = read_task(run, task)[columns]
        self.train = texts[texts["split"] == "train"]
        self.test = texts[texts["split"] == "test"].reset_index(drop=True)
        self.validation = texts[texts["split"] == "validation"]
        self._labelled: dict[tuple[str, int], pd.DataFrame] = {}

    def labelled(self, labels: str, seed: int) -> pd.DataFrame:
        """Return the training texts with labels of one kind; `seed` decides which are noisy.

        Raises
        ------
        HelpersError
            If the chapter that makes these labels has not been run, or the kind is unknown.
        """
        share = noise_share(labels)
        key = (labels, seed if share else 0)
        if key not in self._labelled:
            if share is not None:
                start = self.run.profile.seed + seed
                made = with_noise(self.train, share, start, self.task)
            elif labels in ("gold", "verified", "majority"):
                made = train_texts(self.run, self.task, labels)  # type: ignore[arg-type]
            else:
                raise HelpersError(
                    f"training_size.labels: '{labels}' is unknown: use verified, majority or "
                    "noise-10 (10% of wrong labels)"
                )
            self._labelled[key] = made[["id", "text", "labels"]]
        return self._labelled[key]

    @cached_property
    def sizes(self) -> list[int]:
        """Training sizes, up to all training texts."""
        return geometric_sizes(self.plan.smallest, len(self.train), self.plan.sizes)

    @cached_property
    def causal(self) -> list[str]:
        """Causal models that are fine-tuned for this task."""
        return self.plan.models.get(self.task.name, [])

    @cached_property
    def rows(self) -> list[_Row]:
        """All points."""
        found = []
        for labels in ["gold", *self.plan.labels.get(self.task.name, [])]:
            known = len(self.labelled(labels, 0))
            # Where fewer texts have such labels, all of them are the last point.
            grid = [*(n for n in self.sizes if n < known), known]
            for model in [*self.causal, *self.plan.simple]:
                if labels == "gold" or model in self.plan.label_models:
                    found += [_Row(model, labels, n, self._seeds(model, labels, n)) for n in grid]
        return found

    def _seeds(self, model: str, labels: str, n: int) -> int:
        plan, causal = self.plan, model in self.causal
        seeds = plan.seeds if labels == "gold" else plan.label_seeds
        if n == len(self.labelled(labels, 0)) and noise_share(labels) is None:
            return (plan.seeds_of_all or seeds) if causal else 1
        return seeds if causal else plan.simple_seeds

    def keys(self, row: _Row) -> list[CellKey]:
        """Return the cells of a point."""
        name = self.task.name
        return [CellKey(name, row.model, row.labels, row.n, seed) for seed in range(row.seeds)]

    def folder(self, key: CellKey) -> Path:
        """Return the folder of a cell."""
        return self.run.root / "study" / key.folder

    @cached_property
    def _orders(self) -> list[list[str]]:
        most = max(row.seeds for row in self.rows)
        return [order_of(self.train, self.run.profile.seed + seed) for seed in range(most)]

    @cached_property
    def _shared_inputs(self) -> dict[str, Any]:
        code = [file_sha256(path) for path in sorted(BASELINES.glob("*.py"))]
        return {"code": code, "fingerprint": fingerprint(self.task)}

    @cached_property
    def _embedding(self) -> Embedding:
        return embedding_work(self.run, self.task.name)

    @cached_property
    def _made_before(self) -> dict[str, Path]:
        """Trainings of chapter 04 whose answers chapter 05 saved: identity -> answers."""
        found = {}
        root, name = self.run.root, self.task.name
        for record in sorted((root / "models" / name).glob(f"*/{RECORD}")):
            answers = root / "predictions" / name / f"{record.parent.name}.parquet"
            if answers.is_file():
                inputs = json.loads(record.read_text(encoding="utf-8"))["inputs"]
                found[_identity(inputs)] = answers
        return found

    def cell(self, key: CellKey) -> Cell:
        """Return the work of one cell."""
        train = subset(self.labelled(key.labels, key.seed), self._orders[key.seed], key.n)
        make = partial(Cell, key, train, self.test, self.folder(key))
        characters = float(train["text"].str.len().sum())
        if key.model not in self.causal:
            embedding = self._embedding if key.model == "embeddings-lr" else None
            known = {"embedding": embedding and embedding.inputs}
            return make(self._shared_inputs | known, characters / 40, embedding=embedding)
        job = job_of(
            *(self.run, self.task.name, key.model, str(key), train, self.validation), seed=key.seed
        )
        inputs = {"fingerprint": job.fingerprint, "base": key.model, "revision": job.revision}
        return make(
            inputs | {"versions": versions()},
            (characters + 20_000) * job.settings.epochs,
            settings=job.settings,
            base=job.model,
            revision=job.revision,
            speed=self.run.profile.prediction,
            free=self.plan.free and key.seed == 0,
            copy_from=self._made_before.get(_identity(job.inputs())),
        )


def _identity(inputs: dict[str, Any]) -> str:
    return json.dumps(inputs, sort_keys=True)


def study_cells(run: Run) -> list[Cell]:
    """Return all cells that the profile asks for.

    They come three seeds at a time, gold labels and long trainings first, so that a grid that is
    stopped early has whole seeds.
    """
    grids = [_Grid(run, load_task(name)) for name in run.profile.tasks]
    cells = [grid.cell(key) for grid in grids for row in grid.rows for key in grid.keys(row)]
    return sorted(cells, key=lambda c: (c.key.seed // 3, c.key.labels != "gold", -c.cost))


def run_study(run: Run, progress: bool = True) -> pd.DataFrame:
    """Make all cells that are not there, side by side.

    Returns
    -------
    One row a task, model and kind of labels: task, model, labels, sizes, cells, made (now).
    """
    for name in run.profile.tasks:
        embed_one(embedding_work(run, name))
    cells = study_cells(run)
    work = {str(cell.key): cell for cell in cells}
    fresh = run.profile.device != "cpu"  # a GPU's memory is free when a process ends
    workers = run.profile.workers
    done = side_by_side(
        make_cell, work, workers=workers, title="cells", progress=progress, fresh=fresh
    )
    rows = pd.DataFrame([vars(cell.key) | {"made": done[str(cell.key)]} for cell in cells])
    grouped = rows.groupby(["task", "model", "labels"], as_index=False)
    return grouped.agg(
        sizes=("n", lambda n: ", ".join(map(str, sorted(set(n))))),
        cells=("n", "size"),
        made=("made", "sum"),
    )


@dataclass(frozen=True)
class Scored:
    """Answers to the test texts by one model at one size.

    Attributes
    ----------
    task, model, labels, n : which.
    by_seed : counts, one a seed.
    free : those of the first seed without constraints, if it was asked so.
    """

    task: str
    model: str
    labels: str
    n: int
    by_seed: list[TextCounts]
    free: TextCounts | None


def read_study(run: Run, task: Task) -> list[Scored]:
    """Read the finished cells of a task, in the order of the grid.

    Raises
    ------
    HelpersError
        If a cell is missing: run the study first.
    """
    grid = _Grid(run, task)
    found = []
    for row in grid.rows:
        folders = [grid.folder(key) for key in grid.keys(row)]
        if missing := [f for f in folders if not (f / "predictions.parquet").is_file()]:
            raise HelpersError(
                f"{len(missing)} cells of the study are missing (first: "
                f"{missing[0].relative_to(run.root)}): run it again, finished cells are kept"
            )
        counts = [counts_from_frames(task, read_cell(f, grid.test)) for f in folders]
        free = None
        if (folders[0] / "free.parquet").is_file():
            free = counts_from_frames(task, read_cell(folders[0], grid.test, "free"))
        found.append(Scored(task.name, row.model, row.labels, row.n, counts, free))
    return found


def study_performance(run: Run) -> pd.DataFrame:
    """Return time, memory and tokens of the trainings of causal models, one row a cell."""
    rows = []
    for path in sorted((run.root / "study").glob("*/*/*/*/performance.json")):
        config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        key = {name: config[name] for name in ("task", "model", "labels", "n", "seed")}
        rows.append(key | json.loads(path.read_text(encoding="utf-8")))
    return pd.DataFrame(rows)
