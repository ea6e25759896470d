"""Several trainings side by side, each in a process of its own and kept once it is done."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers.finetuning.settings import FinetuningSettings
from helpers.parallel import side_by_side
from helpers.runs import artifact, frame_sha256, versions


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes
    ----------
    name : for progress and error messages, e.g. ``cap/minilm-6l``.
    task : name of the task.
    train, validation : texts with the columns text and labels.
    model : folder or hub name of the base model; `revision`: commit of a hub model.
    settings : see `FinetuningSettings`.
    out : folder of the result.
    fingerprint : what identifies the base model's weights, if `model` is a folder (a hash).
    """

    name: str
    task: str
    train: pd.DataFrame
    validation: pd.DataFrame
    model: str | Path
    settings: FinetuningSettings
    out: Path
    revision: str | None = None
    fingerprint: str | None = None

    def inputs(self) -> dict[str, object]:
        """Return all that decides the result: changed inputs mean a new training."""
        columns = ["text", "labels"]
        return {
            "task": self.task,
            "train": frame_sha256(self.train[columns]),
            "validation": frame_sha256(self.validation[columns]),
            "model": Path(self.model).name,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "settings": self.settings.model_dump(),
            "versions": versions(),
        }


@dataclass(frozen=True)
class JobResult:
    """Where a training's result lies, and whether it was made now (False: kept from before)."""

    name: str
    folder: Path
    made: bool


def finetune_all(jobs: list[Job], *, workers: int = 1, progress: bool = True) -> list[JobResult]:
    """Run trainings side by side; those that are done already are skipped.

    Parameters
    ----------
    jobs : the trainings; put the longest first. Each uses ``settings.threads`` threads.
    workers : processes at a time.
    progress : show a progress bar.

    Returns
    -------
    One result a job, in the order of `jobs`.

    Raises
    ------
    WorkFailed
        If any training failed: names each and its error. The others have finished.
    """
    items = {job.name: job for job in jobs}
    # A GPU's memory is free for the next training only when the process ends; on a CPU a worker
    # goes on, with its libraries loaded and the states of frozen layers kept.
    fresh = any(job.settings.device != "cpu" for job in jobs)
    done = side_by_side(
        run_job, items, workers=workers, title="trainings", progress=progress, fresh=fresh
    )
    return [done[job.name] for job in jobs]


def run_job(job: Job) -> JobResult:
    """Run one training, or find it done."""
    from helpers.tasks import load_task

    os.environ["OMP_NUM_THREADS"] = str(job.settings.threads)

    def build(folder: Path) -> None:
        from helpers.finetuning.run import train

        train(
            load_task(job.task),
            job.train,
            job.validation,
            job.model,
            job.settings,
            folder,
            revision=job.revision,
        )

    folder, made = artifact(job.out, job.inputs(), build)
    return JobResult(job.name, folder, made)
