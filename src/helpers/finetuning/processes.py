"""Several processes that train one model together, as accelerate or torchrun starts them.

The launcher tells each process its place in environment variables; this module reads them, refuses
what does not work, and moves values between processes. With one process everything here does
nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from helpers.finetuning.settings import FinetuningSettings
from helpers.runs import HelpersError


class FinetuningError(HelpersError):
    """A training that cannot be started or did not work."""


def launched() -> bool:
    """Whether a launcher started this process, maybe as one of several."""
    return "RANK" in os.environ


def rank() -> int:
    """Return which of the processes this is; 0 is the main one, which writes and prints."""
    return int(os.environ.get("RANK", 0))


def count() -> int:
    """Return how many processes train together, on all machines."""
    return int(os.environ.get("WORLD_SIZE", 1))


def sharded() -> bool:
    """Whether the launcher's configuration asks for FSDP."""
    return launched() and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def prepare(settings: FinetuningSettings) -> None:
    """Choose this process's GPU, and refuse what cannot work before a model is loaded.

    Raises
    ------
    FinetuningError
        If there are more processes than GPUs on this machine, or FSDP is asked for with 4-bit
        weights or in its first version.
    """
    if sharded() and settings.method == "qlora":
        raise FinetuningError(
            "method qlora does not go with FSDP: accelerate 1.15 leaves 4-bit weights whole on "
            "every GPU, so nothing would be saved. Use config/accelerate/ddp.yaml with qlora, or "
            "fsdp.yaml with method: lora and dtype: bfloat16"
        )
    version = os.environ.get("FSDP_VERSION", "1")
    if sharded() and version != "2":
        raise FinetuningError(
            f"the launcher's configuration has FSDP in version {version}: set fsdp_version: 2, as "
            "config/accelerate/fsdp.yaml does"
        )
    if settings.device == "cuda" and launched():
        _choose_gpu()


def _choose_gpu() -> None:
    import torch

    here, wanted = int(os.environ["LOCAL_RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    found = torch.cuda.device_count()
    if wanted > found:
        raise FinetuningError(
            f"{wanted} processes were started on this machine, and torch sees {found} GPU(s): each "
            "needs one of its own. Pass --num_processes (on all machines together) to accelerate "
            "launch, or set device: cpu"
        )
    torch.cuda.set_device(here)


def check(trainer: Any) -> None:
    """Refuse a training that silently left out what its launcher asked for.

    Raises
    ------
    FinetuningError
        If FSDP was asked for and accelerate did not switch it on.
    """
    if sharded() and not trainer.is_fsdp_enabled:
        raise FinetuningError(
            "the launcher's configuration asks for FSDP, and accelerate 1.15 has it for GPUs only; "
            "on a CPU it would train without, and say nothing. Use config/accelerate/cpu-2.yaml, "
            "or set device: cuda"
        )


def agreed(checkpoint: str | None) -> str | None:
    """Return the main process's choice of a checkpoint in all processes.

    Raises
    ------
    FinetuningError
        If this process does not see it.
    """
    if count() == 1:
        return checkpoint
    from accelerate.utils import broadcast_object_list

    chosen: str | None = broadcast_object_list([checkpoint])[0]
    if chosen is not None and not Path(chosen).is_dir():
        raise FinetuningError(
            f"process {rank()} does not see {Path(chosen).name}, which the main process would "
            "continue from: put --out on a file system that all machines share"
        )
    return chosen


def whole_state(trainer: Any) -> dict[str, Any]:
    """Gather the weights of a model that FSDP has cut up; all processes take part.

    Returns
    -------
    All weights in the main process's memory; an empty dict in the others.
    """
    state: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model)
    return state


def finish() -> None:
    """Leave the group of processes, if there is one."""
    if not launched():
        return
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def with_global_batch(
    settings: FinetuningSettings, texts: int | None, processes: int
) -> FinetuningSettings:
    """Return settings whose optimiser steps learn from `texts` texts on so many processes.

    Parameters
    ----------
    settings : its `batch_size`, the texts of one process at a time, is kept.
    texts : of an optimiser step, all processes together; None: settings as they are.
    processes : how many.

    Raises
    ------
    FinetuningError
        If `texts` is no multiple of what the processes read at a time; says what would do.
    """
    if texts is None:
        return settings
    at_once = settings.batch_size * processes
    if texts > 0 and texts % at_once == 0:
        return settings.model_copy(update={"gradient_accumulation": texts // at_once})
    message = (
        f"a global batch of {texts} cannot be split: {processes} process(es) with a batch size of "
        f"{settings.batch_size} read {at_once} texts at a time, and {texts} is no multiple of that"
    )
    each, rest = divmod(texts, processes)
    if each > 0 and rest == 0:
        largest = min(each, settings.batch_size)
        size = next(size for size in range(largest, 0, -1) if each % size == 0)
        times = each // size
        message += f". Use --batch-size {size}: {size} × {times} time(s) × {processes} = {texts}"
    else:
        below = max(texts // at_once, 1) * at_once
        message += f". Use --global-batch {below} or {below + at_once}"
    raise FinetuningError(message)
