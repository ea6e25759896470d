"""From a profile to the trainings that it asks for; results lie under ``models/`` of the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from helpers.data import DataError
from helpers.data.prepared import read_task
from helpers.data.splits import stratified_subset
from helpers.finetuning import FinetuningSettings, Job
from helpers.models import ModelSpec, get_model, pinned_revision
from helpers.parallel import side_by_side
from helpers.plans import LabelSource
from helpers.runs import REPO, ProfileError, Run, artifact, file_sha256, versions
from helpers.tasks import Task, load_task

# Cross-validation: this share of the training folds is held out for the validation loss.
VALIDATION_SHARE = 0.1
CODE = (
    *("finetuning", "prediction", "grammar.py", "prefix_lm.py", "offline_model.py"),
    "language_models.py",
)


def code_sha256() -> str:
    """Return one hash over the code that trains and predicts: a change means new results."""
    folder = REPO / "src" / "helpers"
    files = [p for name in CODE for p in sorted((folder / name).rglob("*.py")) or [folder / name]]
    return hashlib.sha256("".join(file_sha256(path) for path in files).encode()).hexdigest()


def settings_for(run: Run, task: str, spec: ModelSpec, **changed: Any) -> FinetuningSettings:
    """Return the settings of a training: defaults, the profile's, the task's, then `changed`.

    Raises
    ------
    ProfileError
        If a setting is misspelt or ill-typed: each is named.
    """
    profile = run.profile
    chosen = {"prompt_style": spec.prompt} | profile.finetuning.settings
    chosen |= profile.plan(task).settings
    fixed = {name: getattr(profile, name) for name in ("seed", "dtype", "device", "threads")}
    try:
        return FinetuningSettings(**(chosen | fixed | changed))
    except ValidationError as error:
        known = ", ".join(FinetuningSettings.model_fields)
        problems = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ProfileError(
            "\n".join([f"profile '{profile.name}', finetuning settings of {task}:", *problems])
            + f"\n  known settings: {known}"
        ) from error


@dataclass(frozen=True)
class Base:
    """An offline base model, to be built in a process of its own."""

    layers: int
    folder: Path


def base_folder(run: Run, key: str) -> Path:
    """Return the folder of an offline base model."""
    return run.root / "models" / "base" / key


def build_bases(run: Run) -> dict[str, Path]:
    """Build the offline base models of the profile that are not there; return their folders."""
    plans = [run.profile.plan(task) for task in run.profile.tasks]
    keys = dict.fromkeys(key for plan in plans for key in plan.models + plan.base_only)
    specs = [spec for spec in map(get_model, keys) if spec.source == "offline"]
    work = {spec.key: base_work(run, spec.key) for spec in specs}
    if not work:
        return {}
    # In another process: this one then needs no torch, and its memory.
    return side_by_side(build_base, work, workers=1, title="base models", progress=False)


def base_work(run: Run, key: str) -> Base:
    """Return what `build_base` needs to build an offline base model of the run."""
    return Base(get_model(key).layers or 0, base_folder(run, key))


def build_base(item: Base) -> Path:
    """Build an offline base model, or find it done; return its folder."""
    from helpers import offline_model
    from helpers.language_models import quiet

    quiet()
    inputs: dict[str, Any] = {"weights": offline_model.SHA256, "layers": item.layers}
    inputs |= {"code": code_sha256(), "versions": versions()}
    return artifact(item.folder, inputs, partial(offline_model.build, item.layers))[0]


def locate(run: Run, key: str) -> tuple[str | Path, str | None]:
    """Return what to load for a base model: folder or hub name, and the hub's commit."""
    spec = get_model(key)
    if spec.source == "offline":
        return base_folder(run, key), None
    return str(spec.repository), pinned_revision(spec)


def check_train_labels(run: Run) -> None:
    """Refuse labels that this run does not make, instead of training on others.

    Raises
    ------
    ProfileError
        If the profile asks for verified or majority labels of a task that no crowd labels.
    """
    profile = run.profile
    for task in profile.tasks:
        wanted = {profile.train_labels, *profile.plan(task).label_sources}
        if wanted - {"gold"} and not profile.labelling.crowd.get(task):
            raise ProfileError(
                f"profile '{profile.name}' trains {task} on {', '.join(sorted(wanted - {'gold'}))} "
                f"labels, but names no labellers for it: add labelling.crowd.{task}, or set "
                "train_labels: gold and no label_sources"
            )


def train_texts(run: Run, task: Task, source: LabelSource) -> pd.DataFrame:
    """Return the training texts with the labels of a source.

    Parameters
    ----------
    run, task : whose texts.
    source : ``gold``; ``verified`` (what the coders left, chapter 03); ``majority`` (the crowd's
        unreviewed majority, chapter 02); ``gold-same`` and ``majority-same``: the same for the
        verified texts alone, so that only the labels differ.

    Raises
    ------
    DataError
        If the chapter that makes these labels has not been run.
    """
    texts = read_task(run, task)
    train = texts[texts["split"] == "train"]
    if source == "gold":
        return train
    if source == "majority":
        return _with_labels(train, read_made(run, task, "labelling/{}/majority", "02_labelling"))
    verified = read_made(run, task, "verification/{}/verified", "03_verification")
    if source == "verified":
        return _with_labels(train, verified)
    same = train[train["id"].isin(verified["id"])]
    if source == "gold-same":
        return same
    return _with_labels(same, read_made(run, task, "labelling/{}/majority", "02_labelling"))


def read_made(run: Run, task: Task, where: str, chapter: str) -> pd.DataFrame:
    """Read a table that an earlier chapter made for a task; say which, if it is not there."""
    path = run.root / f"{where.format(task.name)}.parquet"
    if not path.is_file():
        raise DataError(f"{where.format(task.name)} is missing in this run: run {chapter} first")
    return pd.read_parquet(path)


def _with_labels(texts: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Replace the labels; texts that have none under this source are left out."""
    usable = labels[labels["status"] == "ok"] if "status" in labels else labels
    kept = texts[texts["id"].isin(usable["id"])]
    return kept.assign(labels=kept["id"].map(usable.set_index("id")["labels"]))


def training_jobs(run: Run) -> list[Job]:
    """Return all trainings that the profile asks for, the longest first."""
    check_train_labels(run)
    jobs = []
    for name in run.profile.tasks:
        task, plan = load_task(name), run.profile.plan(name)
        texts = read_task(run, task)
        validation = texts[texts["split"] == "validation"]
        train = train_texts(run, task, run.profile.train_labels)
        for key in plan.models:
            jobs.append(job_of(run, name, key, f"{key}-ft", train, validation))
            jobs += _fold_jobs(run, name, key, texts)
        for source in plan.label_sources:
            key, other = plan.models[-1], train_texts(run, task, source)
            jobs.append(job_of(run, name, key, tuned_name(key, source), other, validation))
    return sorted(jobs, key=_cost, reverse=True)


def tuned_name(key: str, source: LabelSource | None = None) -> str:
    """Return the name of a fine-tuned model; `source` if its labels are not the profile's."""
    return f"{key}-ft" if source is None else f"{key}-ft@{source}"


def _cost(job: Job) -> float:
    return float(job.train["text"].str.len().sum() * job.settings.epochs)


def _fold_jobs(run: Run, name: str, key: str, texts: pd.DataFrame) -> list[Job]:
    k = run.profile.plan(name).cross_validation
    if not k:
        return []
    task, jobs = load_task(name), []
    fold = texts["id"].map(read_task(run, task, "folds").set_index("id")["fold"])
    for number in range(k):
        pool = texts[fold != number]
        size = round(VALIDATION_SHARE * len(pool))
        validation = stratified_subset(pool, task, size, [run.profile.seed, number])
        train = pool[~pool["id"].isin(validation["id"])]
        jobs.append(job_of(run, name, key, f"{key}-ft-fold{number}", train, validation))
    return jobs


def job_of(
    run: Run,
    task: str,
    key: str,
    name: str,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    *,
    seed: int = 0,
    **changed: Any,
) -> Job:
    """Return one training of the run: a base model, labelled texts, and the task's settings.

    Parameters
    ----------
    run, task : whose settings.
    key : base model; `name`: of the result.
    train, validation : labelled texts.
    seed : added to the profile's.
    changed : settings that differ from the task's.
    """
    model, revision = locate(run, key)
    settings = settings_for(run, task, get_model(key), **changed)
    return Job(
        name=f"{task}/{name}",
        task=task,
        train=train,
        validation=validation,
        model=model,
        revision=revision,
        settings=settings.model_copy(update={"seed": settings.seed + seed}),
        out=run.root / "models" / task / name,
        fingerprint=fingerprint(load_task(task)),
    )


def fingerprint(task: Task) -> str:
    """Return a hash of what decides a result besides data and settings: code and prompts."""
    book = [(key, task.codes[key], task.label_names[key]) for key in task.labels]
    prompts = [task.prompt("", style) for style in ("short", "full")]
    text = json.dumps([code_sha256(), book, prompts, task.subtopics.to_csv()])
    return hashlib.sha256(text.encode()).hexdigest()


def training_summary(run: Run, jobs: Iterable[Job]) -> pd.DataFrame:
    """Return what was trained, one row a job: task, model, texts, settings and last losses."""
    rows = []
    for job in jobs:
        history = pd.read_csv(job.out / "history.csv")
        row: dict[str, Any] = {"task": job.task, "model": job.out.name, "texts": len(job.train)}
        row |= {"epochs": job.settings.epochs, "method": job.settings.method}
        row["learning_rate"] = job.settings.learning_rate
        for name, column in (("training_loss", "loss"), ("validation_loss", "eval_loss")):
            last = history[column].dropna()
            row[name] = round(float(last.iloc[-1]), 4) if len(last) else float("nan")
        rows.append(row)
    return pd.DataFrame(rows).sort_values(["task", "model"], ignore_index=True)


def training_history(jobs: Iterable[Job]) -> pd.DataFrame:
    """Return the loss by epoch of all jobs: task, model, epoch, loss, eval_loss."""
    parts = [
        pd.read_csv(job.out / "history.csv").assign(task=job.task, model=job.out.name)
        for job in jobs
    ]
    columns = ["task", "model", "epoch", "loss", "eval_loss"]
    whole = pd.concat(parts, ignore_index=True)[columns].round(4)
    return whole.sort_values(columns[:3], ignore_index=True)


def training_performance(jobs: Iterable[Job]) -> pd.DataFrame:
    """Return time, memory, tokens and parameters of all jobs, one row a job."""
    rows = []
    for job in jobs:
        content = json.loads((job.out / "performance.json").read_text(encoding="utf-8"))
        rows.append({"task": job.task, "model": job.out.name} | content)
    return pd.DataFrame(rows).sort_values(["task", "model"], ignore_index=True)
