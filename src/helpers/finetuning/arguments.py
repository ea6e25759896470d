"""From our settings to the trainer's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.finetuning import processes
from helpers.finetuning.precision import chosen_autocast, chosen_kernels
from helpers.finetuning.settings import FinetuningSettings

CHECKPOINTS = "checkpoints"


def training_arguments(
    settings: FinetuningSettings, out: Path, *, evaluate: bool, checkpoints: bool
) -> Any:
    """Return TRL's configuration of a training.

    Parameters
    ----------
    settings : of the training.
    out : its folder.
    evaluate : there are validation texts.
    checkpoints : save them.
    """
    from trl import SFTConfig

    every = "epoch" if settings.save_every is None else "steps"
    on_cpu = settings.device == "cpu"

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
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and processes.launched() else None,
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
