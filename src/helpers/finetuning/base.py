"""The model that a training starts from: loaded, and prepared for what is to be learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from helpers.finetuning import processes
from helpers.finetuning.precision import chosen_autocast, prepare_attention
from helpers.finetuning.processes import FinetuningError
from helpers.finetuning.settings import FinetuningSettings
from helpers.language_models import load_model
from helpers.tasks import Task


class Base(NamedTuple):
    """A base model, prepared: its first layer that learns, and what its weights are known by."""

    model: Any
    first: int
    name: str


def base_model(
    task: Task,
    model: str | Path,
    settings: FinetuningSettings,
    revision: str | None,
    tokenizer: Any,
) -> Base:
    """Load a base model and prepare it: what is frozen, how its answers start.

    Raises
    ------
    FinetuningError
        If the offline model is to learn its prompts.
    LanguageModelError
        If the model cannot be loaded, or does not suit the settings.
    """
    from transformers import set_seed

    from helpers.finetuning import preparation, trainer

    set_seed(settings.seed)
    language_model = load_model(
        model,
        revision=revision,
        dtype=settings.dtype,
        # FSDP moves each process's part to its GPU; the whole might not fit there.
        device="cpu" if processes.sharded() else settings.device,
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
    return Base(language_model, first, name)


def with_adapter(base: Base, settings: FinetuningSettings) -> Any:
    """Return a base model with an untrained adapter on it, if the settings ask for one."""
    from peft import get_peft_model

    from helpers.finetuning import preparation

    adapter = preparation.adapter_config(base.model, settings, base.first)
    return base.model if adapter is None else get_peft_model(base.model, adapter)
