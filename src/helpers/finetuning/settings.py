"""What decides a training: every key of ``finetuning.settings`` in a profile."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from helpers.profiles import Strict


class FinetuningSettings(Strict):
    """Settings of one training; the defaults suit the offline model.

    Attributes
    ----------
    method : adapters (lora), all weights (full), or adapters on a 4-bit model (qlora, CUDA).
    train_layers : only the last n layers learn (the pooling layer of the offline model counts);
        what lies below is frozen and needs no backward pass. ``null``: all.
    head_learning_rate : of the head, if it is to differ from `learning_rate`.
    target_modules, modules_to_save : as in PEFT's LoraConfig.
    answer_rows : ``codebook`` starts the head's rows for the answers from the model's own
        representation of the codebook's names (no labelled text is used); ``as_is`` does not.
    codebook_rows : also train on the names of labels and subtopics, as very short texts.
    loss_on : learn the answer only (completion), or prompt and answer (all).
    prompt_style, max_prompt_tokens : form of the prompt, and where a text is cut.
    head_rows : which rows of the head learn: ``all``, or those of the tokens that an answer may
        contain (``answers``; the others are constants of the softmax). Not with qlora.
    autocast : mixed precision with weights in float32: ``bfloat16``, ``none``, or ``auto``:
        bfloat16 where the processor multiplies it in hardware (AVX512-BF16, AMX, ARM's BF16, or
        a GPU that has it), else none. Results then depend on the machine.
    kernels : ``liger`` takes Liger's layers (CUDA, package liger-kernel), ``auto`` does where they
        are installed.
    save_every : optimiser steps between checkpoints; ``null``: one an epoch.
    """

    method: Literal["lora", "full", "qlora"] = "lora"
    epochs: PositiveInt = 2
    learning_rate: PositiveFloat = 1.5e-3
    head_learning_rate: PositiveFloat | None = None
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup_ratio: float = Field(default=0.06, ge=0, lt=1)
    batch_size: PositiveInt = 16
    gradient_accumulation: PositiveInt = 1
    max_grad_norm: PositiveFloat = 1.0
    weight_decay: NonNegativeFloat = 0.01
    train_layers: PositiveInt | None = 3
    lora_r: PositiveInt = 16
    lora_alpha: PositiveInt = 32
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: list[str] = ["query", "key", "value", "dense"]
    modules_to_save: list[str] = ["lm_head"]
    head_rows: Literal["all", "answers"] = "all"
    answer_rows: Literal["codebook", "as_is"] = "codebook"
    codebook_rows: bool = True
    loss_on: Literal["completion", "all"] = "completion"
    prompt_style: Literal["short", "full"] = "short"
    max_prompt_tokens: PositiveInt = 256
    group_by_length: bool = True
    gradient_checkpointing: bool = False
    save_every: PositiveInt | None = None
    seed: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    autocast: Literal["none", "bfloat16", "auto"] = "none"
    kernels: Literal["none", "liger", "auto"] = "none"
    device: Literal["cpu", "cuda"] = "cpu"
    threads: PositiveInt = 1
