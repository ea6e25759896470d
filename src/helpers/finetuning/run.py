"""One training: from labelled texts to a folder with adapter, model, history and manifest."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.finetuning.examples import build_examples, codebook_frame
from helpers.finetuning.settings import FinetuningSettings
from helpers.language_models import load_model, load_tokenizer, set_threads
from helpers.runs import HelpersError, frame_sha256, versions, write_frame, write_json
from helpers.tasks import Task

CHECKPOINTS = "checkpoints"
HISTORY = ["epoch", "step", "loss", "eval_loss", "learning_rate"]


class FinetuningError(HelpersError):
    """A training that cannot be started or did not work."""


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
) -> Path:
    """Fine-tune a model; continue from the last checkpoint if `out` holds one.

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

    Raises
    ------
    FinetuningError
        If there is no training text, the settings do not suit the model, or the loss is no
        number.
    """
    if train_frame.empty:
        raise FinetuningError(f"task {task.name}: there is no training text")
    started = time.perf_counter()
    set_threads(settings.threads)
    tokenizer = load_tokenizer(model, revision)
    trainer, examples = _prepare(
        task, train_frame, validation_frame, model, settings, out, revision, tokenizer
    )
    sizes = _sizes(trainer.model)
    trainer.train(resume_from_checkpoint=_last_checkpoint(out))
    history = pd.DataFrame(trainer.state.log_history).reindex(columns=HISTORY)
    last_loss = history["loss"].dropna()
    if last_loss.empty or not last_loss.map(lambda x: x == x and abs(x) < 1e6).all():
        raise FinetuningError(f"task {task.name}: the training loss diverged: lower learning_rate")
    _save(trainer, tokenizer, settings, out)
    write_frame(out / "history.csv", _one_row_per_epoch(history))
    data = {"train": frame_sha256(train_frame[["text", "labels"]]), "n_train": len(train_frame)}
    write_json(
        out / "manifest.json",
        {
            "task": task.name,
            "base_model": source or Path(model).name,
            "revision": revision,
            "settings": settings.model_dump(),
            "data": data,
            "n_examples": len(examples),
            "versions": versions(),
        },
    )
    seconds = time.perf_counter() - started
    write_json(out / "performance.json", {**sizes, **_performance(trainer, seconds)})
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return out


def _prepare(
    task: Task,
    train_frame: pd.DataFrame,
    validation_frame: pd.DataFrame | None,
    model: str | Path,
    settings: FinetuningSettings,
    out: Path,
    revision: str | None,
    tokenizer: Any,
) -> tuple[Any, list[dict[str, Any]]]:
    """Return the trainer, with model and data sets, and the training examples."""
    from datasets import Dataset
    from transformers import PrinterCallback, set_seed

    from helpers.finetuning import frozen, preparation, trainer

    set_seed(settings.seed)
    language_model = load_model(
        model,
        revision=revision,
        dtype=settings.dtype,
        device=settings.device,
        quantised=settings.method == "qlora",
    )
    prefix = trainer.is_prefix_model(language_model)
    if prefix and settings.loss_on == "all":
        raise FinetuningError(
            "loss_on: all needs a model that reads from left to right; the offline model reads its "
            "prompt in both directions: set loss_on: completion"
        )
    if settings.answer_rows == "codebook" and task.labels:
        preparation.start_answers_from_codebook(language_model, tokenizer, task, settings)
    elif prefix:
        language_model.untie()
    first = preparation.freeze_below(language_model, settings.train_layers)
    frames = [train_frame[["text", "labels"]]]
    if settings.codebook_rows and task.labels:
        frames.append(codebook_frame(task))
    examples = build_examples(task, pd.concat(frames, ignore_index=True), tokenizer, settings)
    held_out = []
    if validation_frame is not None and len(validation_frame):
        held_out = build_examples(task, validation_frame, tokenizer, settings)
    collator = trainer.Collator(tokenizer.pad_token_id, prefix)
    every = examples + held_out
    if prefix and frozen.worth_keeping(language_model, every, first):
        collator.lower = frozen.LowerStates(language_model, every, first, collator)
    built = trainer.CompletionTrainer(
        model=language_model,
        args=_arguments(settings, out, evaluate=bool(held_out)),
        train_dataset=Dataset.from_list(examples),
        eval_dataset=Dataset.from_list(held_out) if held_out else None,
        processing_class=tokenizer,
        data_collator=collator,
        peft_config=preparation.adapter_config(language_model, settings, first),
        callbacks=[trainer.MarkComplete()],
        group=settings.group_by_length,
        head_learning_rate=settings.head_learning_rate,
    )
    built.remove_callback(PrinterCallback)
    return built, examples


def _arguments(settings: FinetuningSettings, out: Path, *, evaluate: bool) -> Any:
    from trl import SFTConfig

    return SFTConfig(
        output_dir=str(out / CHECKPOINTS),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=settings.warmup_ratio,  # below 1: a share of all steps
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=16,
        gradient_accumulation_steps=settings.gradient_accumulation,
        max_grad_norm=settings.max_grad_norm,
        weight_decay=settings.weight_decay,
        optim="paged_adamw_32bit" if settings.method == "qlora" else "adamw_torch_fused",
        seed=settings.seed,
        bf16=settings.dtype == "bfloat16",  # TRL's default is True, whatever the machine
        gradient_checkpointing=settings.gradient_checkpointing,  # likewise
        use_cpu=settings.device == "cpu",
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        logging_strategy="epoch",
        eval_strategy="epoch" if evaluate else "no",
        save_strategy="epoch" if settings.save_every is None else "steps",
        save_steps=settings.save_every or 500,
        save_total_limit=2,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )


def _last_checkpoint(out: Path) -> str | None:
    """Return the newest complete checkpoint; remove those that a kill left incomplete."""
    from helpers.finetuning.trainer import COMPLETE

    complete = []
    for folder in (out / CHECKPOINTS).glob("checkpoint-*"):
        if (folder / COMPLETE).exists():
            complete.append(folder)
        else:
            shutil.rmtree(folder)
    newest = max(complete, key=lambda folder: int(folder.name.split("-")[1]), default=None)
    return None if newest is None else str(newest)


def _save(trainer: Any, tokenizer: Any, settings: FinetuningSettings, out: Path) -> None:
    """Save the adapter and the merged model; a 4-bit model is merged where it is loaded next."""
    model = trainer.model
    if settings.method != "full":
        model.save_pretrained(out / "adapter")
        tokenizer.save_pretrained(out / "adapter")
    if settings.method == "qlora":
        return
    merged = model.merge_and_unload() if settings.method == "lora" else model
    merged.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")


def _one_row_per_epoch(history: pd.DataFrame) -> pd.DataFrame:
    """Merge the log's separate rows for training and validation loss."""
    rows = history.dropna(subset=["loss", "eval_loss"], how="all")
    return rows.groupby(["epoch", "step"], as_index=False).first()[HISTORY]


def _sizes(model: Any) -> dict[str, int]:
    """Count parameters; the head's own copy of the embeddings counts, adapters count."""
    every = list(model.parameters())
    return {
        "total_parameters": sum(p.numel() for p in every),
        "trainable_parameters": sum(p.numel() for p in every if p.requires_grad),
    }


def _performance(trainer: Any, seconds: float) -> dict[str, Any]:
    """Return time and memory; peak memory is that of the process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    train_seconds = trainer.state.log_history[-1].get("train_runtime", float("nan"))
    return {
        "seconds": round(seconds, 1),
        "train_seconds": round(train_seconds, 1),
        "tokens": int(trainer._total_train_tokens),
        "tokens_per_second": round(trainer._total_train_tokens / max(train_seconds, 1e-9), 1),
        "peak_memory_mb": round(peak),
    }
