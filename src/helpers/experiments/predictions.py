"""From a profile to its predictions; they lie under ``predictions/`` of the run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.data.prepared import read_task, scored_texts
from helpers.experiments.simple import Baselines, baseline_work, predict_baselines
from helpers.experiments.trainings import (
    base_folder,
    fingerprint,
    locate,
    settings_for,
    tuned_name,
)
from helpers.metrics import ModelInfo
from helpers.models import get_model
from helpers.parallel import side_by_side
from helpers.runs import Run, file_sha256, frame_artifact, frame_sha256
from helpers.tasks import Task, load_task


@dataclass(frozen=True)
class Prediction:
    """One model's answers to the texts of a task, to be made in a process of its own."""

    task: str
    texts: pd.DataFrame
    path: Path
    model: str | Path
    revision: str | None
    adapter: Path | None
    inputs: dict[str, Any]
    options: dict[str, Any]


def predict_one(item: Prediction) -> bool:
    """Predict and save, or find it done; return whether it was made now."""
    from helpers.prediction import predict

    task = load_task(item.task)
    texts = item.texts.drop(columns="labels")

    def build() -> pd.DataFrame:
        return predict(
            task,
            texts,
            item.model,
            revision=item.revision,
            adapter=item.adapter,
            **item.options,
        )

    return frame_artifact(item.path, item.inputs, build)[1]


def _prediction(
    run: Run, task: str, key: str, texts: pd.DataFrame, path: Path, trained: Path | None
) -> Prediction:
    settings = settings_for(run, task, get_model(key))
    model, revision = locate(run, key)
    quantised = settings.method == "qlora"
    adapter = None
    if trained is not None:
        if quantised:
            adapter = trained / "adapter"
        else:
            model, revision = trained / "model", None
    options = {
        "prompt_style": settings.prompt_style,
        "max_prompt_tokens": settings.max_prompt_tokens,
        "dtype": settings.dtype,
        "device": settings.device,
        "quantised": quantised,
        "threads": settings.threads,
        "speed": run.profile.prediction,
    }
    record = (trained or base_folder(run, key)) / "artifact.json" if _is_local(key, trained) else ""
    inputs = {
        "texts": frame_sha256(texts[["id", "text", "split"]]),
        "model": file_sha256(Path(record)) if record else [str(model), revision],
        "options": options | {"speed": run.profile.prediction.model_dump()},
        "fingerprint": fingerprint(load_task(task)),
    }
    return Prediction(task, texts, path, model, revision, adapter, inputs, options)


def _is_local(key: str, trained: Path | None) -> bool:
    return trained is not None or get_model(key).source == "offline"


def predictions(run: Run) -> dict[str, Prediction]:
    """Return all predictions of base and fine-tuned models that the profile asks for."""
    found: dict[str, Prediction] = {}
    for name in run.profile.tasks:
        plan = run.profile.plan(name)
        texts = scored_texts(run, load_task(name))
        folder = run.root / "predictions" / name
        for key in plan.models + plan.base_only:
            tuned = _trained(run, name, key)
            jobs = [(key, None), (f"{key}-ft", tuned)] if key in plan.models else [(key, None)]
            for model, trained in jobs:
                path = folder / f"{model}.parquet"
                # Nothing was chosen for an untuned model: its validation score says nothing.
                asked = texts if trained else texts[texts["split"] != "validation"]
                found[f"{name}/{model}"] = _prediction(run, name, key, asked, path, trained)
        test = texts[texts["split"] == "test"]
        for source in plan.label_sources:
            model = tuned_name(plan.models[-1], source)
            trained = run.root / "models" / name / model
            path = folder / f"{model}.parquet"
            found[f"{name}/{model}"] = _prediction(run, name, plan.models[-1], test, path, trained)
    return found


def _answer(item: Prediction | Baselines) -> bool | list[str]:
    return predict_baselines(item) if isinstance(item, Baselines) else predict_one(item)


def predict_all(run: Run, progress: bool = True) -> pd.DataFrame:
    """Let all models and baselines of the profile answer for all texts; keep what is done.

    Returns
    -------
    One row a model or baseline and task: task, model, texts, answered (share of answers with
    status ``ok``), made (now).
    """
    models, simple = predictions(run), baseline_work(run)
    work: dict[str, Prediction | Baselines] = {f"{name}/baselines": b for name, b in simple.items()}
    done = side_by_side(
        _answer, work | models, workers=run.profile.workers, title="predictions", progress=progress
    )
    made = {name: bool(done[name]) for name in models}
    paths = {name: item.path for name, item in models.items()}
    for task, item in simple.items():
        now = done[f"{task}/baselines"]
        for name in item.names:
            made[f"{task}/{name}"] = isinstance(now, list) and name in now
            paths[f"{task}/{name}"] = item.folder / f"{name}.parquet"
    rows = []
    for name in sorted(paths):
        frame = pd.read_parquet(paths[name])
        row = dict(zip(("task", "model"), name.split("/"), strict=True))
        ok = float((frame["status"] == "ok").mean())
        rows.append(row | {"texts": len(frame), "answered": ok, "made": made[name]})
    return pd.DataFrame(rows)


def cross_validated(run: Run) -> dict[str, pd.DataFrame]:
    """Predict each text with the model that was not trained on its fold, where a profile asks.

    They are saved as ``predictions/<task>-folds/<model>-ft.parquet``.

    Returns
    -------
    task name -> its texts with split ``cross-validation``; empty if no task asks for it.
    """
    asked = [t for t in run.profile.tasks if run.profile.plan(t).cross_validation]
    return {name: _predict_folds(run, load_task(name)) for name in asked}


def _predict_folds(run: Run, task: Task) -> pd.DataFrame:
    plan = run.profile.plan(task.name)
    texts = read_task(run, task)
    fold = texts["id"].map(read_task(run, task, "folds").set_index("id")["fold"])
    folder = run.root / "predictions" / f"{task.name}-folds"
    work = {}
    for key in plan.models:
        for number in range(plan.cross_validation or 0):
            part = texts[fold == number].assign(split="cross-validation")
            trained = run.root / "models" / task.name / f"{key}-ft-fold{number}"
            path = folder / "parts" / f"{key}-ft-{number}.parquet"
            work[f"{key}-ft/{number}"] = _prediction(run, task.name, key, part, path, trained)
    side_by_side(predict_one, work, workers=run.profile.workers, title="folds")
    for key in plan.models:
        parts = [pd.read_parquet(i.path) for n, i in work.items() if n.startswith(f"{key}-ft/")]
        whole = pd.concat(parts).sort_values("id", ignore_index=True)
        inputs = {"parts": [frame_sha256(part) for part in parts]}
        frame_artifact(folder / f"{key}-ft.parquet", inputs, whole.copy)
    return texts.assign(split="cross-validation")


def model_info(run: Run) -> dict[str, ModelInfo]:
    """Return parameters and kind of every model of the profile, by its name in the tables."""
    keys = dict.fromkeys(
        key
        for plan in map(run.profile.plan, run.profile.tasks)
        for key in plan.models + plan.base_only
    )
    info = {}
    for key in keys:
        size = count_parameters(run, key)
        info[key] = ModelInfo(size, False)
        info[f"{key}-ft"] = ModelInfo(size, True)
    for plan in map(run.profile.plan, run.profile.tasks):
        for source in plan.label_sources:
            size = count_parameters(run, plan.models[-1])
            info[tuned_name(plan.models[-1], source)] = ModelInfo(size, True)
    return info


def count_parameters(run: Run, key: str) -> int | None:
    """Return a model's number of parameters: as published, or counted in its weights."""
    spec = get_model(key)
    if spec.source == "hub":
        return spec.parameters
    from safetensors import safe_open

    with safe_open(base_folder(run, key) / "model.safetensors", framework="numpy") as weights:
        names = list(weights.keys())
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in names)


def answers_before_and_after(run: Run, task: Task, key: str, texts: pd.DataFrame) -> pd.DataFrame:
    """Return what a base model and its fine-tuned version write, unconstrained, for some texts.

    Returns
    -------
    One row a text: id, text, truth, before, after (the answers as written).
    """
    from helpers.prediction import predict

    answers = {}
    for column, trained in (("before", None), ("after", _trained(run, task.name, key))):
        item = _prediction(run, task.name, key, texts, run.root, trained)
        options = item.options | {"constrained": False, "max_new_tokens": 12}
        frame = predict(
            task, texts, item.model, revision=item.revision, adapter=item.adapter, **options
        )
        answers[column] = frame["answer"].tolist()
    truth = [task.completion(task.loads(cell)).strip() for cell in texts["labels"]]
    shown = texts[["id", "text"]].assign(truth=truth, **answers)
    return shown.reset_index(drop=True)


def _trained(run: Run, task: str, key: str) -> Path:
    return run.root / "models" / task / f"{key}-ft"
