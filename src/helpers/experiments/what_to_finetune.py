"""From a profile to chapter 07: which part of an encoder is trained, and what it earns.

One folder per (task, method, scheme, repeat, fold) under ``parts/`` of the run; finished cells are
skipped, so that a grid can grow, or be killed and resumed. `parts_tables` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from helpers.data import DataError
from helpers.data.prepared import read_task
from helpers.data.sections import design_columns
from helpers.encoders.cells import BASELINES, DICTIONARIES, Cell, Work, run_work
from helpers.encoders.settings import (
    ENCODER_METHODS,
    EncoderSettings,
    is_encoder_method,
    method_settings,
)
from helpers.experiments.embedded import embedding_work
from helpers.parallel import side_by_side
from helpers.plans import PartsPlan
from helpers.runs import ProfileError, Run
from helpers.tasks import load_task

EXPLAINED = "all"
"""The method whose predictions are taken apart."""


def parts_plan(run: Run, task: str) -> PartsPlan:
    """Return the plan of a task; refuse a task that chapter 07 of the profile does not have."""
    plans = run.profile.what_to_finetune.tasks
    if task not in plans:
        raise ProfileError(
            f"profile '{run.profile.name}' has no what_to_finetune.tasks.{task}: add it, or use "
            f"{', '.join(plans) or 'another profile'}"
        )
    return plans[task]


def parts_methods(run: Run, task: str) -> list[str]:
    """Return the methods of a task: the baselines, then those of the plan in its order.

    Raises
    ------
    ProfileError
        If a method is unknown.
    """
    methods = parts_plan(run, task).methods
    for method in methods:
        if method not in (*BASELINES, *DICTIONARIES) and not is_encoder_method(method):
            known = ", ".join((*DICTIONARIES, *ENCODER_METHODS))
            raise ProfileError(
                f"what_to_finetune.tasks.{task}: no method '{method}'; choose among {known}"
            )
    return list(dict.fromkeys([*BASELINES, *methods]))


def settings_of(run: Run, task: str, method: str) -> EncoderSettings:
    """Return the settings of an encoder method: its defaults, then the plan's.

    Raises
    ------
    ProfileError
        If a setting is misspelt or ill-typed, or a hub encoder is asked for in an offline run.
    """
    profile, plan = run.profile, parts_plan(run, task)
    chosen: dict[str, Any] = {"layers": plan.layers} | plan.settings.get(method, {})
    fixed = {name: getattr(profile, name) for name in ("dtype", "device", "threads")}
    try:
        settings = method_settings(method, chosen | fixed)
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        known = f"  known settings: {', '.join(EncoderSettings.model_fields)}"
        where = f"profile '{profile.name}', what_to_finetune settings of {task}, {method}:"
        raise ProfileError("\n".join([where, *problems, known])) from error
    if settings.encoder and profile.offline:
        raise ProfileError(
            f"what_to_finetune.tasks.{task}: encoder '{settings.encoder}' comes from a hub, but "
            f"profile '{profile.name}' is offline: leave 'encoder' out, or set offline: false"
        )
    return settings


def part_schemes(run: Run, task: str) -> list[str]:
    """Return how a task is evaluated: ``fold`` or ``split``, and ``group``."""
    plan = parts_plan(run, task)
    schemes = ["fold" if plan.folds else "split"]
    if plan.groups and group_column(run, task):
        schemes.append("group")
    return schemes


def group_column(run: Run, task: str) -> str | None:
    """Return the column of the groups that are left out as a whole, e.g. ``country``."""
    loaded = load_task(task)
    return next(iter(design_columns(loaded, "groups", read_task(run, loaded))), None)


def _parts(run: Run, task: str, scheme: str, repeat: int) -> list[tuple[list[int], list[int]]]:
    """Return the row numbers of training and test texts, one pair a fold."""
    loaded = load_task(task)
    texts = read_task(run, loaded)
    if scheme == "split":
        split = texts["split"].to_numpy()
        found = [np.flatnonzero(split == name).tolist() for name in ("train", "test")]
        return [(found[0], found[1])]
    if not (run.root / "data" / task / "folds.parquet").is_file():
        raise DataError(
            f"no folds of {task} in this run: run chapter 01_data first; it draws folds for "
            f"numeric tasks alone, so set what_to_finetune.tasks.{task}.folds: false for others"
        )
    name = "stratified" if scheme == "fold" else f"by_{group_column(run, task)}"
    table = read_task(run, loaded, "folds")
    drawn = table[(table["scheme"] == name) & (table["repeat"] == repeat)]
    fold = texts["id"].map(drawn.set_index("id")["fold"]).to_numpy()
    if pd.isna(fold).any():
        raise DataError(
            f"{task}: draw {repeat} of the {name} folds is missing or lacks texts: lower "
            f"what_to_finetune.tasks.{task}.repeats, or run chapter 01_data again"
        )
    return [
        (np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist())
        for number in sorted(set(fold))
    ]


def parts_work(run: Run, task: str) -> list[Work]:
    """Return the work of a task: the cells of one method, scheme and repeat together."""
    plan, loaded = parts_plan(run, task), load_task(task)
    if loaded.label_type not in ("numeric", "single"):
        raise ProfileError(
            f"what_to_finetune.tasks.{task}: chapter 07 needs a number or one label a text, "
            f"{task} is {loaded.label_type}: leave it out"
        )
    texts = read_task(run, loaded)[["id", "text", "labels"]]
    work = []
    for number, scheme in enumerate(part_schemes(run, task)):
        for repeat in range(plan.repeats):
            parts = _parts(run, task, scheme, repeat)
            for method in parts_methods(run, task):
                last = method == EXPLAINED and number == 0 and repeat == 0
                amount = run.profile.what_to_finetune.explained if last else 0
                cells = _cells(run, task, method, scheme, repeat, parts, amount)
                settings = settings_of(run, task, method) if is_encoder_method(method) else None
                embedding = embedding_work(run, task) if method == "embeddings-ridge" else None
                work.append(Work(task, method, texts, cells, settings, embedding))
    return work


def _cells(
    run: Run,
    task: str,
    method: str,
    scheme: str,
    repeat: int,
    parts: Sequence[tuple[list[int], list[int]]],
    amount: int,
) -> list[Cell]:
    folder = run.root / "parts" / task / method
    cells = []
    for fold, (train, test) in enumerate(parts):
        # Methods share the seed: where they draw alike, they draw the same.
        seed = int(np.random.default_rng([run.profile.seed, repeat, fold]).integers(2**31))
        explain = amount if fold == len(parts) - 1 else 0
        out = folder / f"{scheme}-r{repeat}-f{fold}"
        cells.append(Cell(scheme, repeat, fold, tuple(train), tuple(test), seed, out, explain))
    return cells


def _cost(work: Work) -> float:
    """Return about how long work takes: passes through layers, forward and (twice) backward."""
    if work.settings is None:
        return 0.1 * len(work.cells)
    settings, layers = work.settings, work.settings.layers or 12
    learn = {"head": 0, "lora": layers}.get(settings.trainable, settings.top or layers + 0.5)
    texts = sum(len(cell.train) for cell in work.cells)
    return texts * (layers + 3 * learn * settings.epochs)


def run_parts(
    run: Run, tasks: Sequence[str] | None = None, *, progress: bool = True
) -> pd.DataFrame:
    """Run all cells of chapter 07 that are not there, side by side, the longest first.

    Parameters
    ----------
    tasks : only these (default: all of ``what_to_finetune.tasks``).

    Returns
    -------
    One row a task, method and scheme: task, method, scheme, cells, made (now).

    Raises
    ------
    WorkFailed
        If cells failed: names them and why. The others are kept.
    """
    names = list(tasks) if tasks is not None else list(run.profile.what_to_finetune.tasks)
    every = [work for name in names for work in parts_work(run, name)]
    every.sort(key=_cost, reverse=True)
    items = {f"{w.task}/{w.method}/{w.cells[0].scheme}-r{w.cells[0].repeat}": w for w in every}
    done = side_by_side(
        run_work, items, workers=run.profile.workers, title="what to fine-tune", progress=progress
    )
    rows = [
        {
            "task": work.task,
            "method": work.method,
            "scheme": work.cells[0].scheme,
            "cells": len(work.cells),
            "made": len(done[name]),
        }
        for name, work in items.items()
    ]
    columns = ["task", "method", "scheme", "cells", "made"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.groupby(columns[:3], as_index=False, sort=True)[["cells", "made"]].sum()


def explained(run: Run, task: str) -> pd.DataFrame:
    """Return what each word adds to the prediction of some held-out texts, by occlusion.

    The texts are spread over the range of the target; the model is that of method ``all`` in the
    last fold of the first draw, taken apart when it was trained (models are not kept).

    Returns
    -------
    One row a word: id, position, start, end, word, effect, prediction (`encoders.occlusion`).

    Raises
    ------
    DataError
        If method ``all`` is not in the plan, or has not been run.
    """
    found = [cell for w in parts_work(run, task) for cell in w.cells if cell.explained]
    if not found:
        raise DataError(
            f"{task}: texts are explained with method '{EXPLAINED}', which the plan lacks: add it "
            f"to what_to_finetune.tasks.{task}.methods"
        )
    path = found[0].out / "words.parquet"
    if not path.is_file():
        raise DataError(f"{task}: no explained texts in this run: run run_parts(run) first")
    return pd.read_parquet(path)
