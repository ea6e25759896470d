"""Several trainings side by side, each in a process of its own and kept once it is done."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from helpers.finetuning.settings import FinetuningSettings
from helpers.runs import HelpersError, artifact, frame_sha256, versions

# Large thresholds keep glibc from giving memory back to the system after each step: about 10%.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}


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


class TrainingsFailed(HelpersError):
    """Some trainings failed; the others are finished and kept."""


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
    TrainingsFailed
        If any training failed: names each and its error. The others have finished.
    """
    from tqdm.auto import tqdm

    os.environ.update({k: v for k, v in MALLOC.items() if k not in os.environ})
    done: dict[str, JobResult] = {}
    failed: dict[str, str] = {}
    with ProcessPoolExecutor(
        max_workers=workers, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        futures = {pool.submit(run_job, job): job.name for job in jobs}
        bar = tqdm(total=len(jobs), desc="trainings", disable=not progress)
        for future in as_completed(futures):
            name = futures[future]
            error = future.exception()
            if error is None:
                done[name] = future.result()
            else:
                failed[name] = f"{type(error).__name__}: {error}"
            bar.set_postfix_str(name)
            bar.update()
        bar.close()
    if failed:
        lines = [f"{len(failed)} of {len(jobs)} trainings failed (the others are kept):"]
        raise TrainingsFailed("\n".join([*lines, *(f"  {k}: {v}" for k, v in failed.items())]))
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
