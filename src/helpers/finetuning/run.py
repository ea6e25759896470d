"""One training: from labelled texts to a folder with adapter, model, history and manifest."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.finetuning import processes
from helpers.finetuning.arguments import CHECKPOINTS
from helpers.finetuning.fit import Fitted, fit
from helpers.finetuning.settings import FinetuningSettings
from helpers.runs import frame_sha256, versions, write_frame, write_json
from helpers.tasks import Task


def train(
    task: Task,
    train_frame: pd.DataFrame,
    validation_frame: pd.DataFrame | None,
    model: str | Path,
    settings: FinetuningSettings,
    out: Path,
    *,
    revision: str | None = None,
    source: str | None = None,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Fine-tune a model; continue from the last checkpoint if `out` holds one.

    Where a launcher started several processes (`helpers.finetuning.processes`), all of them call
    this with the same arguments, and the main one writes.

    Parameters
    ----------
    task : what is learnt.
    train_frame, validation_frame : columns text and labels (JSON). Validation gives the
        validation loss of each epoch; None or empty: none.
    model : folder or hub name of the base model.
    settings : see `FinetuningSettings`.
    out : receives ``model/`` (the merged model with its tokenizer), ``adapter/`` (LoRA),
        ``history.csv``, ``manifest.json`` and ``performance.json``.
    revision : commit of a hub model.
    source : name of the base model for the manifest (default: the last part of `model`).
    callbacks : of transformers' trainer, beside ours.

    Raises
    ------
    FinetuningError
        If there is no training text, the settings do not suit the model or the launcher's
        configuration, or the loss is no number.
    """
    started = time.perf_counter()
    fitted = fit(
        task,
        train_frame,
        validation_frame,
        model,
        settings,
        out,
        revision=revision,
        resume=_last_checkpoint(out) if processes.rank() == 0 else None,
        callbacks=callbacks,
    )
    whole = fitted.whole()
    if not fitted.trainer.accelerator.is_main_process:
        return out
    _save(fitted, whole, settings, out)
    write_frame(out / "history.csv", fitted.history)
    data = {"train": frame_sha256(train_frame[["text", "labels"]]), "n_train": len(train_frame)}
    write_json(
        out / "manifest.json",
        {
            "task": task.name,
            "base_model": source or Path(model).name,
            "revision": revision,
            "settings": settings.model_dump(),
            "data": data,
            "n_examples": fitted.examples,
            "used": fitted.used,
            "versions": versions(),
        },
    )
    seconds = time.perf_counter() - started
    write_json(out / "performance.json", {**fitted.sizes, **performance(fitted, seconds)})
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return out


def _last_checkpoint(out: Path) -> str | None:
    """Return the newest complete checkpoint; remove those that a kill left incomplete."""
    from helpers.finetuning.trainer import COMPLETE

    complete = []
    for folder in (out / CHECKPOINTS).glob("checkpoint-*"):
        if (folder / COMPLETE).exists():
            complete.append(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)  # another process may be at it
    newest = max(complete, key=lambda folder: int(folder.name.split("-")[1]), default=None)
    return None if newest is None else str(newest)


def _save(fitted: Fitted, whole: Any, settings: FinetuningSettings, out: Path) -> None:
    """Save the adapter and the merged model; a 4-bit model is merged where it is loaded next."""
    from helpers.finetuning.head_rows import save_tokens

    if settings.method != "full":
        whole.save_pretrained(out / "adapter")
        save_tokens(whole.get_base_model(), out / "adapter")
        fitted.tokenizer.save_pretrained(out / "adapter")
    if settings.method == "qlora":
        return
    fitted.merged(settings, whole).save_pretrained(out / "model")
    fitted.tokenizer.save_pretrained(out / "model")


def performance(fitted: Fitted, seconds: float) -> dict[str, Any]:
    """Return time and memory, and what they rest on; peak memory is the process's so far."""
    trainer = fitted.trainer
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    train_seconds = trainer.state.log_history[-1].get("train_runtime", float("nan"))
    return {
        "seconds": round(seconds, 1),
        "train_seconds": round(train_seconds, 1),
        "tokens": int(trainer._total_train_tokens),
        "tokens_per_second": round(trainer._total_train_tokens / max(train_seconds, 1e-9), 1),
        "padding_share": round(trainer.padding_share(), 4),
        "peak_memory_mb": round(peak),
        **fitted.used,
    }
