"""One training in memory: prepare the model, train it, return it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.finetuning.examples import codebook_frame, example_lengths, example_set
from helpers.finetuning.precision import (
    chosen_autocast,
    chosen_kernels,
    prepare_attention,
    without_autocast,
)
from helpers.finetuning.settings import FinetuningSettings
from helpers.language_models import load_model, load_tokenizer, set_threads
from helpers.runs import HelpersError
from helpers.tasks import Task

CHECKPOINTS = "checkpoints"
EXAMPLES = "examples"  # folder of memory-mapped examples, while a training runs
HISTORY = ["epoch", "step", "loss", "eval_loss", "learning_rate"]


class FinetuningError(HelpersError):
    """A training that cannot be started or did not work."""


@dataclass(frozen=True)
class Fitted:
    """A finished training, still in memory.

    Attributes
    ----------
    trainer : TRL's trainer with the model (a PEFT model, unless all weights were trained).
    tokenizer : of the base model.
    examples : number of training examples, the codebook's names included.
    history : losses by epoch, columns `HISTORY`.
    sizes : total_parameters and trainable_parameters.
    lower : kept states of the frozen layers (`helpers.finetuning.frozen`), or None.
    used : what the machine decided: autocast, kernels, loss, optimiser, processes.
    """

    trainer: Any
    tokenizer: Any
    examples: int
    history: pd.DataFrame
    sizes: dict[str, int]
    lower: Any
    used: dict[str, Any]

    def merged(self, settings: FinetuningSettings) -> Any:
        """Return the language model, adapters merged; a 4-bit model keeps them on top."""
        from helpers.finetuning.head_rows import fold

        model = without_autocast(self.trainer)
        if settings.method == "qlora":
            return model
        return fold(model.merge_and_unload() if settings.method == "lora" else model)


def fit(
    task: Task,
    train_frame: pd.DataFrame,
    validation_frame: pd.DataFrame | None,
    model: str | Path,
    settings: FinetuningSettings,
    out: Path,
    *,
    revision: str | None = None,
    resume: str | None = None,
    checkpoints: bool = True,
) -> Fitted:
    """Train a model.

    Parameters
    ----------
    task, train_frame, validation_frame, model, settings, revision : as in `train`.
    out : folder for checkpoints.
    resume : checkpoint to continue from.
    checkpoints : save them at all.

    Raises
    ------
    FinetuningError
        If there is no training text, the settings do not suit the model, or the loss is no
        number.
    """
    if train_frame.empty:
        raise FinetuningError(f"task {task.name}: there is no training text")
    if settings.head_rows == "answers" and settings.method == "qlora":
        raise FinetuningError(
            "head_rows: answers needs a model that is merged at the end, and method qlora keeps "
            "its adapter apart: set head_rows: all, or method: lora"
        )
    set_threads(settings.threads)
    tokenizer = load_tokenizer(model, revision)
    trainer, examples = _prepare(
        task, train_frame, validation_frame, model, settings, out, revision, tokenizer, checkpoints
    )
    sizes = _sizes(trainer.model)
    trainer.train(resume_from_checkpoint=resume)
    history = pd.DataFrame(trainer.state.log_history).reindex(columns=HISTORY)
    last_loss = history["loss"].dropna()
    if last_loss.empty or not last_loss.map(lambda x: x == x and abs(x) < 1e6).all():
        raise FinetuningError(f"task {task.name}: the training loss diverged: lower learning_rate")
    shutil.rmtree(out / EXAMPLES, ignore_errors=True)
    lower = trainer.data_collator.lower
    used = _used(trainer, settings)
    return Fitted(trainer, tokenizer, examples, _one_row_per_epoch(history), sizes, lower, used)


def _prepare(
    task: Task,
    train_frame: pd.DataFrame,
    validation_frame: pd.DataFrame | None,
    model: str | Path,
    settings: FinetuningSettings,
    out: Path,
    revision: str | None,
    tokenizer: Any,
    checkpoints: bool,
) -> tuple[Any, int]:
    """Return the trainer, with model and data sets, and the number of training examples."""
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
    name = f"{model}@{revision}:{settings.dtype}"
    if settings.dtype == "float32" and chosen_autocast(settings) == "bfloat16":
        prepare_attention(language_model)
    first = preparation.prepare(language_model, tokenizer, task, settings, name, prefix)
    frames = [train_frame[["text", "labels"]]]
    if settings.codebook_rows and task.labels:
        frames.append(codebook_frame(task))
    frame = pd.concat(frames, ignore_index=True)
    examples = example_set(task, frame, tokenizer, settings, out / EXAMPLES / f"{_rank()}.arrow")
    held_out = None
    if validation_frame is not None and len(validation_frame):
        file = out / EXAMPLES / f"{_rank()}-validation.arrow"
        held_out = example_set(task, validation_frame, tokenizer, settings, file)
    lengths = example_lengths(examples)
    tokens = sum(lengths) + (0 if held_out is None else sum(example_lengths(held_out)))
    collator = trainer.Collator(tokenizer.pad_token_id, prefix)
    if prefix and frozen.worth_keeping(language_model, tokens, first):
        collator.lower = frozen.lower_states(language_model, first, name)
    built = trainer.CompletionTrainer(
        model=language_model,
        args=_arguments(settings, out, evaluate=held_out is not None, checkpoints=checkpoints),
        train_dataset=examples,
        eval_dataset=held_out,
        processing_class=tokenizer,
        data_collator=collator,
        peft_config=preparation.adapter_config(language_model, settings, first),
        callbacks=[trainer.MarkComplete()],
        lengths=lengths,
        group=settings.group_by_length,
        head_learning_rate=settings.head_learning_rate,
        whole_text=settings.loss_on == "all",
    )
    built.remove_callback(PrinterCallback)
    return built, len(examples)


def _rank() -> int:
    """Return which process this is, if several train together (torchrun)."""
    return int(os.environ.get("RANK", 0))


def _used(trainer: Any, settings: FinetuningSettings) -> dict[str, Any]:
    """Return what settings and machine led to."""
    return {
        "autocast": chosen_autocast(settings),
        "kernels": chosen_kernels(settings),
        "loss": trainer.loss_name,
        "optimiser": str(trainer.args.optim.value),
        "processes": trainer.accelerator.num_processes,
    }


def _arguments(
    settings: FinetuningSettings, out: Path, *, evaluate: bool, checkpoints: bool
) -> Any:
    from trl import SFTConfig

    every = "epoch" if settings.save_every is None else "steps"

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
        bf16=chosen_autocast(settings) == "bfloat16",  # TRL's default: True on every machine
        use_liger_kernel=chosen_kernels(settings) == "liger",
        gradient_checkpointing=settings.gradient_checkpointing,  # likewise
        use_cpu=settings.device == "cpu",
        ddp_backend="gloo" if settings.device == "cpu" and "RANK" in os.environ else None,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        logging_strategy="epoch",
        eval_strategy="epoch" if evaluate else "no",
        save_strategy=every if checkpoints else "no",
        save_steps=settings.save_every or 500,
        save_total_limit=2,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )


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
