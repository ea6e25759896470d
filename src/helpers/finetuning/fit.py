"""One training in memory: prepare the model, train it, return it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.finetuning import processes
from helpers.finetuning.arguments import training_arguments
from helpers.finetuning.base import Base, base_model, with_adapter
from helpers.finetuning.examples import codebook_frame, example_lengths, example_set
from helpers.finetuning.precision import chosen_autocast, chosen_kernels, without_autocast
from helpers.finetuning.processes import FinetuningError
from helpers.finetuning.settings import FinetuningSettings
from helpers.language_models import load_tokenizer, set_threads
from helpers.tasks import Task

EXAMPLES = "examples"  # folder of memory-mapped examples, while a training runs
HISTORY = ["epoch", "step", "loss", "eval_loss", "learning_rate"]


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
    untrained : loads the model as it was before the training, adapter included.
    """

    trainer: Any
    tokenizer: Any
    examples: int
    history: pd.DataFrame
    sizes: dict[str, int]
    lower: Any
    used: dict[str, Any]
    untrained: Callable[[], Any]

    def whole(self) -> Any:
        """Return the trained model in one piece; None in all but the main process under FSDP.

        Under FSDP all processes must call this: each holds a part of the weights.
        """
        if not self.trainer.is_fsdp_enabled:
            return self.trainer.model
        state = processes.whole_state(self.trainer)
        if not self.trainer.accelerator.is_main_process:
            return None
        model = self.untrained()
        model.load_state_dict(state)
        return model

    def merged(self, settings: FinetuningSettings, whole: Any = None) -> Any:
        """Return the language model, adapters merged; a 4-bit model keeps them on top.

        Parameters
        ----------
        settings : of the training.
        whole : what `whole` returned, if it was called before.
        """
        from helpers.finetuning.head_rows import fold

        model = whole if self.trainer.is_fsdp_enabled else without_autocast(self.trainer)
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
    callbacks: Sequence[Any] = (),
) -> Fitted:
    """Train a model.

    Parameters
    ----------
    task, train_frame, validation_frame, model, settings, revision : as in `train`.
    out : folder for checkpoints.
    resume : checkpoint to continue from.
    checkpoints : save them at all.
    callbacks : of transformers' trainer, beside ours.

    Raises
    ------
    FinetuningError
        If there is no training text, the settings do not suit the model or the launcher's
        configuration, or the loss is no number.
    """
    if train_frame.empty:
        raise FinetuningError(f"task {task.name}: there is no training text")
    if settings.head_rows == "answers" and settings.method == "qlora":
        raise FinetuningError(
            "head_rows: answers needs a model that is merged at the end, and method qlora keeps "
            "its adapter apart: set head_rows: all, or method: lora"
        )
    processes.prepare(settings)
    set_threads(settings.threads)
    tokenizer = load_tokenizer(model, revision)
    load = partial(base_model, task, model, settings, revision, tokenizer)
    frames = (train_frame, validation_frame)
    trainer, examples = _trainer(task, frames, load(), settings, out, tokenizer, checkpoints)
    for callback in callbacks:
        trainer.add_callback(callback)
    processes.check(trainer)
    sizes = _sizes(trainer.model)
    trainer.train(resume_from_checkpoint=processes.agreed(resume))
    history = pd.DataFrame(trainer.state.log_history).reindex(columns=HISTORY)
    last_loss = history["loss"].dropna()
    if last_loss.empty or not last_loss.map(lambda x: x == x and abs(x) < 1e6).all():
        raise FinetuningError(f"task {task.name}: the training loss diverged: lower learning_rate")
    shutil.rmtree(out / EXAMPLES, ignore_errors=True)
    return Fitted(
        trainer=trainer,
        tokenizer=tokenizer,
        examples=examples,
        history=_one_row_per_epoch(history),
        sizes=sizes,
        lower=trainer.data_collator.lower,
        used=_used(trainer, settings),
        untrained=lambda: with_adapter(load(), settings),
    )


def _trainer(
    task: Task,
    frames: tuple[pd.DataFrame, pd.DataFrame | None],
    base: Base,
    settings: FinetuningSettings,
    out: Path,
    tokenizer: Any,
    checkpoints: bool,
) -> tuple[Any, int]:
    """Return the trainer, with model and data sets, and the number of training examples."""
    from transformers import PrinterCallback

    from helpers.finetuning import frozen, preparation, trainer

    learnt, validation_frame = [frames[0][["text", "labels"]]], frames[1]
    if settings.codebook_rows and task.labels:
        learnt.append(codebook_frame(task))
    frame, here = pd.concat(learnt, ignore_index=True), processes.rank()
    examples = example_set(task, frame, tokenizer, settings, out / EXAMPLES / f"{here}.arrow")
    held_out = None
    if validation_frame is not None and len(validation_frame):
        file = out / EXAMPLES / f"{here}-validation.arrow"
        held_out = example_set(task, validation_frame, tokenizer, settings, file)
    lengths = example_lengths(examples)
    tokens = sum(lengths) + (0 if held_out is None else sum(example_lengths(held_out)))
    prefix = trainer.is_prefix_model(base.model)
    collator = trainer.Collator(tokenizer.pad_token_id, prefix)
    # FSDP cuts up the frozen layers as well: they cannot be run by themselves.
    if prefix and not processes.sharded() and frozen.worth_keeping(base.model, tokens, base.first):
        collator.lower = frozen.lower_states(base.model, base.first, base.name)
    evaluate = held_out is not None
    built = trainer.CompletionTrainer(
        model=base.model,
        args=training_arguments(settings, out, evaluate=evaluate, checkpoints=checkpoints),
        train_dataset=examples,
        eval_dataset=held_out,
        processing_class=tokenizer,
        data_collator=collator,
        peft_config=preparation.adapter_config(base.model, settings, base.first),
        callbacks=[trainer.MarkComplete()],
        lengths=lengths,
        group=settings.group_by_length,
        head_learning_rate=settings.head_learning_rate,
        whole_text=settings.loss_on == "all",
    )
    built.remove_callback(PrinterCallback)
    return built, len(examples)


def _used(trainer: Any, settings: FinetuningSettings) -> dict[str, Any]:
    """Return what settings and machine led to."""
    used = {
        "autocast": chosen_autocast(settings),
        "kernels": chosen_kernels(settings),
        "loss": trainer.loss_name,
        "optimiser": str(trainer.args.optim.value),
        "processes": trainer.accelerator.num_processes,
    }
    if used["processes"] > 1:
        at_once = settings.batch_size * used["processes"]
        used["global_batch"] = at_once * settings.gradient_accumulation
        used["weights"] = "cut up (FSDP)" if trainer.is_fsdp_enabled else "whole (DDP)"
    return used


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
