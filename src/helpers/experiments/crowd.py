"""From a profile to the labels of its AI crowd; they lie under ``labelling/`` of the run.

Labellers on this machine are asked side by side in processes of their own, their labels are kept
and made again only if something changed. Endpoints are asked from here; their raw responses are
kept in the store under ``responses/``, which outlives ``make clean``.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.baselines import remembered
from helpers.baselines.regression import Embed
from helpers.data.prepared import read_task
from helpers.experiments.embedded import Embedding, embedding_work, kept
from helpers.experiments.endpoints import ask_endpoint, codebook_folder, open_store
from helpers.experiments.trainings import (
    Base,
    base_work,
    build_base,
    fingerprint,
    locate,
    settings_for,
)
from helpers.finetuning import Job, codebook_frame
from helpers.finetuning.jobs import run_job
from helpers.labelling.costs import Budget
from helpers.labelling.label import label_texts, majority, proposals
from helpers.labelling.serving import identity_of
from helpers.models import get_model
from helpers.parallel import side_by_side
from helpers.plans import Labeller
from helpers.runs import (
    REPO,
    Run,
    file_sha256,
    frame_artifact,
    frame_sha256,
    write_frame,
)
from helpers.tasks import Task, load_task

# --- what labellers need -----------------------------------------------------------------------


def codebook_jobs(run: Run) -> list[Job]:
    """Return the trainings on codebooks that the crowd needs: names of labels, no labelled text.

    The settings are those of the task's other trainings; nothing was chosen by how well these
    models label.
    """
    jobs: dict[str, Job] = {}
    for name in run.profile.tasks:
        for labeller in members(run, name).values():
            if not _reads_codebook(run, labeller):
                continue
            task, key = load_task(name), labeller.model
            model, revision = locate(run, key)
            settings = settings_for(run, name, get_model(key))
            jobs[f"{name}/{key}"] = Job(
                name=f"codebook {name}/{key}",
                task=name,
                train=codebook_frame(task),
                validation=codebook_frame(task).iloc[:0],
                model=model,
                revision=revision,
                settings=settings.model_copy(update={"codebook_rows": False}),
                out=codebook_folder(run, name, key),
                fingerprint=fingerprint(task),
            )
    return list(jobs.values())


def prepare_crowd(run: Run, progress: bool = True) -> pd.DataFrame:
    """Train the models of the crowd that only read the codebook; keep what is done.

    Returns
    -------
    One row a model: task, model, rows (of the codebook).
    """
    jobs = codebook_jobs(run)
    work = {
        job.name: (job, base_work(run, job.out.name))
        for job in sorted(jobs, key=lambda job: len(job.train), reverse=True)
    }
    side_by_side(
        _train_on_codebook,
        work,
        workers=run.profile.workers,
        title="codebook models",
        progress=progress,
    )
    rows = [{"task": j.task, "model": j.out.name, "rows": len(j.train)} for j in jobs]
    return pd.DataFrame(rows, columns=["task", "model", "rows"])


def _train_on_codebook(item: tuple[Job, Base]) -> Path:
    job, base = item
    build_base(base)
    return run_job(job).folder


def members(run: Run, task: str) -> dict[str, Labeller]:
    """Return the labellers of a task by name, in the profile's order."""
    plan = run.profile.labelling
    return {name: plan.labellers[name] for name in plan.crowd.get(task, [])}


def _reads_codebook(run: Run, labeller: Labeller) -> bool:
    if labeller.kind == "endpoint":
        return run.profile.labelling.endpoints[labeller.endpoint].serve == "codebook"
    return labeller.kind == "local" and get_model(labeller.model).source == "offline"


# --- labellers on this machine -------------------------------------------------------------------


@dataclass(frozen=True)
class _Member:
    """One labeller that needs no endpoint, and where its labels go."""

    name: str
    labeller: Labeller
    path: Path
    inputs: dict[str, Any]
    model: tuple[str | Path, str | None] | None


@dataclass(frozen=True)
class _Local:
    """The labellers of a task that need no endpoint; to be asked in a process of their own."""

    task: str
    texts: pd.DataFrame
    members: list[_Member]
    embedding: Embedding
    options: dict[str, Any]


def _ask_local(item: _Local) -> list[Path]:
    """Let the labellers label and save, or find it done; return the files."""
    task = load_task(item.task)
    embed = remembered(kept(item.embedding))
    for member in item.members:
        inputs = member.inputs | {"fingerprint": fingerprint(task)}
        frame_artifact(member.path, inputs, partial(_label_local, item, member, task, embed))
    return [member.path for member in item.members]


def _label_local(item: _Local, member: _Member, task: Task, embed: Embed) -> pd.DataFrame:
    from helpers.labelling.encoder import EncoderLabeller
    from helpers.labelling.local import LocalModelLabeller

    labeller, label = member.labeller, partial(label_texts, task, item.texts, name=member.name)
    if member.model is None:
        encoder = EncoderLabeller(task, embed, propose=labeller.propose, centre=labeller.centre)
        return label(labeller, encoder)
    model, revision = member.model
    backend = LocalModelLabeller(
        model, revision=revision, max_tokens=labeller.max_tokens, **item.options
    )
    return label(labeller, backend, style=get_model(labeller.model).prompt)


def _local_work(run: Run, task: str) -> _Local:
    texts, embedding, found = crowd_texts(run, task), embedding_work(run, task), []
    code = {p.name: file_sha256(p) for p in sorted((REPO / "src/helpers/labelling").glob("*.py"))}
    for name, labeller in members(run, task).items():
        if labeller.kind == "endpoint":
            continue
        model, weights = None, ""
        if labeller.kind == "local":
            model = _local_model(run, task, labeller)
            weights = identity_of(Path(model[0])) if model[1] is None else str(model)
        path = run.root / "labelling" / task / "labellers" / f"{name}.parquet"
        inputs = {
            "texts": frame_sha256(texts),
            "labeller": labeller.model_dump(),
            "embedding": embedding.inputs,
            "model": weights,
            "code": code,
        }
        found.append(_Member(name, labeller, path, inputs, model))
    options = {key: getattr(run.profile, key) for key in ("dtype", "device", "threads")}
    return _Local(task, texts, found, embedding, options)


def _local_model(run: Run, task: str, labeller: Labeller) -> tuple[str | Path, str | None]:
    if _reads_codebook(run, labeller):
        return codebook_folder(run, task, labeller.model) / "model", None
    return locate(run, labeller.model)


# --- the crowd -----------------------------------------------------------------------------------


def crowd_texts(run: Run, task: str) -> pd.DataFrame:
    """Return what the crowd labels: id and text, and no label."""
    texts = read_task(run, load_task(task))
    wanted = texts["split"].isin(run.profile.labelling.splits)
    return texts.loc[wanted, ["id", "text"]].reset_index(drop=True)


def label_crowd(run: Run, progress: bool = True) -> dict[str, pd.DataFrame]:
    """Let all labellers of the profile propose labels for all texts.

    Saves ``labelling/<task>/labelled.parquet`` (what each labeller proposed), ``proposals.parquet``
    (training texts: who proposes what) and ``majority.parquet`` (the crowd's vote).

    Returns
    -------
    task name -> rows of `label_texts`, labellers in the profile's order.

    Raises
    ------
    BudgetReached, EndpointError
        From an endpoint; what was answered is kept, and the next call goes on from there.
    """
    tasks = [name for name in run.profile.tasks if members(run, name)]
    work = {name: _local_work(run, name) for name in tasks}
    here = {name: item for name, item in work.items() if item.members}
    ask = partial(side_by_side, _ask_local, here, workers=run.profile.workers)
    # Endpoints are waited for, or have a server of their own: meanwhile the others can work.
    with ThreadPoolExecutor(1) as background, open_store(run) as store:
        local = background.submit(ask, title="labellers", progress=progress)
        budget = Budget(run.profile.labelling.budget_usd, store.spent())
        answered = {
            (name, member): ask_endpoint(
                run, load_task(name), member, crowd_texts(run, name), store, budget, progress
            )
            for name in tasks
            for member, labeller in members(run, name).items()
            if labeller.kind == "endpoint"
        }
        local.result()
    found: dict[str, pd.DataFrame] = {}
    for name in tasks:
        parts = {member.name: pd.read_parquet(member.path) for member in work[name].members}
        parts |= {member: frame for (task, member), frame in answered.items() if task == name}
        found[name] = _save(run, load_task(name), parts)
    return found


def _save(run: Run, task: Task, parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    names = list(members(run, task.name))
    labelled = pd.concat([parts[name] for name in names], ignore_index=True)
    texts = read_task(run, task)
    train = labelled["id"].isin(texts.loc[texts["split"] == "train", "id"])
    tables = {
        "labelled": labelled,
        "proposals": proposals(task, labelled[train]),
        "majority": majority(task, labelled, names),
    }
    for name, table in tables.items():
        write_frame(run.path("labelling", task.name, f"{name}.parquet"), table)
    return labelled
