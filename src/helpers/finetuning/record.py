"""What a folder was begun with, so that it is continued with the same and nothing else."""

from __future__ import annotations

import json
from typing import Any

from helpers.finetuning import processes
from helpers.finetuning.jobs import Job
from helpers.finetuning.processes import FinetuningError

RECORD = "job.json"
FINISHED = "performance.json"  # the last file that a training writes
EXAMPLES = "examples"  # another process may have made it already
SPLITS = ("batch_size", "gradient_accumulation", "threads")  # may differ when a run continues


def record_of(job: Job) -> dict[str, Any]:
    """Return what decides a result, without how its steps are split over processes."""
    record = json.loads(json.dumps(job.inputs()))
    settings = record.pop("settings")
    record |= {f"settings.{key}": settings[key] for key in settings if key not in SPLITS}
    at_once = job.settings.batch_size * processes.count()
    record["global_batch"] = at_once * job.settings.gradient_accumulation
    record["fsdp"] = processes.sharded()
    return dict(record)


def check_folder(job: Job, record: dict[str, Any]) -> bool:
    """Tell whether the job's folder holds the finished training; refuse one of another training.

    Raises
    ------
    FinetuningError
        Names what differs from the training that the folder was begun with.
    """
    path = job.out / RECORD
    if not path.is_file():
        if processes.rank() == 0 and job.out.is_dir():
            others = [item.name for item in job.out.iterdir() if item.name != EXAMPLES]
            if others:
                raise FinetuningError(
                    f"{job.out.name} holds other files ({min(others)}): choose an empty --out"
                )
        return False
    before = json.loads(path.read_text(encoding="utf-8"))
    if before != record:
        pairs = [(key, before.get(key), record.get(key)) for key in sorted({*before, *record})]
        differ = [f"  {key}: {old} then, {new} now" for key, old, new in pairs if old != new]
        raise FinetuningError(
            f"{job.out.name} was begun with another training: choose another --out, or delete it\n"
            + "\n".join(differ)
        )
    return (job.out / FINISHED).is_file()
