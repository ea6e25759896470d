"""Find the trained model of a finished run, and make sure that its scores are its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.chapters import NOT_RESULTS
from helpers.experiments.trainings import tuned_name
from helpers.models import ModelSpec, get_model
from helpers.runs import RECORD, Run, file_sha256
from helpers.share.errors import ShareError
from helpers.tasks import Task, load_task

COMPARISON = "chapters/05_comparison.json"
METRICS, CLASSES = "tables/metrics.csv", "tables/per_class.csv"


@dataclass(frozen=True)
class Trained:
    """One finished training of a run.

    Attributes
    ----------
    run, task, spec : whose, of what, from which base model.
    name : in tables and folders, e.g. ``<model>-ft@gold``.
    labels : what it learnt from: ``verified``, ``gold``, ``majority``, ...
    folder : ``models/<task>/<name>`` of the run.
    manifest, performance : what the training wrote about itself.
    sums : SHA-256 of its files, by path below `folder`.
    """

    run: Run
    task: Task
    spec: ModelSpec
    name: str
    labels: str
    folder: Path
    manifest: dict[str, Any]
    performance: dict[str, Any]
    sums: dict[str, str]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the training."""
        return dict(self.manifest["settings"])

    def part(self, what: str) -> Path:
        """Return the folder of the ``adapter`` or the ``merged`` model; refuse one not there."""
        folder = self.folder / ("adapter" if what == "adapter" else "model")
        if not folder.is_dir():
            other = "adapter" if what == "merged" else "merged"
            method = self.settings["method"]
            raise ShareError(
                f"{self.name} ({method}) has no {what} model in this run: use --what {other}"
            )
        return folder


def find(
    run: Run,
    task: str,
    model: str | None = None,
    labels: str | None = None,
    seed: int | None = None,
) -> Trained:
    """Return the finished training that is asked for.

    Parameters
    ----------
    run : a finished run.
    task : one of its tasks.
    model : key of the base model (default: the last of the task's models).
    labels : what it learnt from (default: the profile's ``train_labels``).
    seed : of the training; refused where the run's is another one.

    Raises
    ------
    ShareError
        If there is no such training, it is not finished, its files were changed since, or the
        scores of chapter 05 are not those of these very files.
    """
    plan = run.profile.plan(task)
    key = model or plan.models[-1]
    given = labels or run.profile.train_labels
    name = tuned_name(key, None if given == run.profile.train_labels else given)  # type: ignore[arg-type]
    folder = run.root / "models" / task / name
    record = folder / RECORD
    if not record.is_file():
        known = sorted(p.parent.name for p in folder.parent.glob(f"*/{RECORD}"))
        have = ", ".join(known) if known else "none"
        raise ShareError(
            f"{task}/{name} is not a finished training of the run '{run.profile.name}' (finished: "
            f"{have}). Run 04_finetuning to its end, or choose another --model or --labels"
        )
    sums = json.loads(record.read_text(encoding="utf-8"))["files"]
    changed = [p for p, sha in sums.items() if not _is(folder / p, sha)]
    if changed:
        raise ShareError(
            f"{task}/{name}: {changed[0]} is not what the training wrote: run 04_finetuning again"
        )
    manifest, performance = (_read(folder / f"{n}.json") for n in ("manifest", "performance"))
    found = manifest["settings"]["seed"]
    if seed is not None and seed != found:
        raise ShareError(
            f"{task}/{name} was trained with seed {found}, not {seed}: leave --seed out, or run a "
            f"profile with seed: {seed}"
        )
    trained = Trained(
        run, load_task(task), get_model(key), name, given, folder, manifest, performance, sums
    )
    _check_scores(trained)
    return trained


def _is(path: Path, sha: str) -> bool:
    return path.is_file() and file_sha256(path) == sha


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _check_scores(trained: Trained) -> None:
    """Refuse scores that chapter 05 did not compute, or computed for other weights."""
    run, name = trained.run, f"{trained.task.name}/{trained.name}"
    stamp = run.root / COMPARISON
    if not stamp.is_file():
        raise ShareError(
            f"{name} has no scores: 05_comparison of the run '{run.profile.name}' is not finished. "
            "Run it first: a model is not shared without its scores"
        )
    done = _read(stamp)
    earlier, outputs = done["inputs"]["earlier"], done["outputs"]
    for path, sha in trained.sums.items():
        if path.endswith(NOT_RESULTS):
            continue
        if earlier.get(f"models/{name}/{path}") != sha:
            raise ShareError(
                f"{name}: chapter 05 scored other weights ({path} differs): run 05_comparison again"
            )
    for table in (METRICS, CLASSES):
        if not _is(run.root / table, outputs.get(table, "")):
            raise ShareError(f"{table} is not what 05_comparison wrote: run 05_comparison again")
