"""Variants of fine-tuning a causal model (chapter 07): rank and place of adapters, all weights."""

from __future__ import annotations

import json

import pandas as pd

from helpers.comparison import HEADLINES
from helpers.data.prepared import read_task
from helpers.experiments.cells import Cell, CellKey, make_cell, read_cell
from helpers.experiments.trainings import build_bases, job_of, train_texts
from helpers.metrics import counts_from_frames, two_level
from helpers.metrics.tidy import DECIMALS
from helpers.parallel import side_by_side
from helpers.runs import Run, versions
from helpers.tasks import load_task

COLUMNS = [
    *("task", "variant", "settings", "metric", "value", "ci_low", "ci_high", "sd_seeds"),
    *("n_seeds", "trainable_share", "n"),
]


def causal_parts(run: Run, progress: bool = True) -> pd.DataFrame:
    """Train each variant on all gold labels and score it on the test texts.

    Finished trainings are kept under ``parts/<task>/causal/``.

    Returns
    -------
    One row a task and variant: task, variant, settings (what differs from the task's), metric,
    value (mean over seeds) with ci_low and ci_high (over seeds and texts), sd_seeds, n_seeds,
    trainable_share (of all parameters, adapters counted), n (test texts). Empty where the profile
    asks for none.
    """
    cells = _cells(run)
    if not cells:
        return pd.DataFrame(columns=COLUMNS)
    build_bases(run)
    work = {str(cell.key): cell for cell in sorted(cells, key=lambda cell: -cell.cost)}
    fresh = run.profile.device != "cpu"
    workers = run.profile.workers
    side_by_side(make_cell, work, workers=workers, title="variants", progress=progress, fresh=fresh)
    rows = [_row(run, name, variant, cells) for name, variant in _variants(run)]
    return pd.DataFrame(rows, columns=COLUMNS).round(DECIMALS)


def _variants(run: Run) -> list[tuple[str, str]]:
    plans = run.profile.what_to_finetune.causal
    names = [name for name in run.profile.tasks if name in plans]
    return [(name, variant) for name in names for variant in plans[name].variants]


def _cells(run: Run) -> list[Cell]:
    cells = []
    for name, variant in _variants(run):
        task, plan = load_task(name), run.profile.what_to_finetune.causal[name]
        texts = read_task(run, task)[["id", "text", "split", "labels"]]
        train = train_texts(run, task, "gold")[["id", "text", "labels"]]
        validation = texts[texts["split"] == "validation"]
        asked = texts[texts["split"] == "test"].reset_index(drop=True)
        changed = plan.variants[variant]
        for seed in range(plan.seeds):
            key = CellKey(name, f"{plan.model}~{variant}", "gold", len(train), seed)
            job = job_of(
                *(run, name, plan.model, str(key), train, validation), seed=seed, **changed
            )
            inputs = {"fingerprint": job.fingerprint, "base": plan.model, "versions": versions()}
            out = run.root / "parts" / name / "causal" / f"{variant}-s{seed}"
            cost = float(train["text"].str.len().sum() * job.settings.epochs)
            cells.append(
                Cell(
                    key,
                    train,
                    asked,
                    out,
                    inputs | {"revision": job.revision},
                    cost,
                    settings=job.settings,
                    base=job.model,
                    revision=job.revision,
                    speed=run.profile.prediction,
                )
            )
    return cells


def _row(run: Run, name: str, variant: str, cells: list[Cell]) -> dict[str, object]:
    task, plan = load_task(name), run.profile.what_to_finetune.causal[name]
    metric = HEADLINES[task.label_type]
    own = [c for c in cells if c.key.task == name and c.key.model == f"{plan.model}~{variant}"]
    counts = [counts_from_frames(task, read_cell(cell.out, cell.asked)) for cell in own]
    estimate = two_level(counts, run.profile.bootstrap, run.profile.seed)[metric]
    sizes = json.loads((own[0].out / "sizes.json").read_text(encoding="utf-8"))
    settings = ", ".join(f"{key} {value}" for key, value in plan.variants[variant].items())
    return {
        "task": name,
        "variant": variant,
        "settings": settings or "as in chapter 04",
        "metric": metric,
        **vars(estimate),
        "trainable_share": sizes["trainable_parameters"] / sizes["total_parameters"],
        "n": counts[0].n,
    }
