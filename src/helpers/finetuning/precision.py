"""Which arithmetic and which kernels a training uses, and what the machine has."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from helpers.finetuning.settings import FinetuningSettings
from helpers.language_models import LanguageModelError

# What torch calls the units that multiply bfloat16: AVX512-BF16 and AMX (x86), BF16 (ARM).
BFLOAT16_UNITS = ("avx512_bf16", "amx_bf16", "bf16")
FLOAT32_ATTENTION = "sdpa_float32"


def has_bfloat16(device: str) -> bool:
    """Whether a device multiplies bfloat16 in hardware (elsewhere it is slower than float32)."""
    import torch

    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return any(found.get(unit, False) for unit in BFLOAT16_UNITS)


def chosen_autocast(settings: FinetuningSettings) -> str:
    """Return ``none`` or ``bfloat16``: what ``autocast`` means on this machine.

    Weights in bfloat16 (``dtype``) are always computed with in bfloat16.
    """
    if settings.dtype == "bfloat16":
        return "bfloat16"
    if settings.autocast == "auto":
        return "bfloat16" if has_bfloat16(settings.device) else "none"
    return settings.autocast


def chosen_kernels(settings: FinetuningSettings) -> str:
    """Return ``none`` or ``liger``: what ``kernels`` means on this machine.

    Raises
    ------
    LanguageModelError
        If Liger kernels are asked for and not to be had.
    """
    installed = find_spec("liger_kernel") is not None
    if settings.kernels == "auto":
        return "liger" if installed and settings.device == "cuda" else "none"
    if settings.kernels == "liger" and (settings.device != "cuda" or not installed):
        raise LanguageModelError(
            "kernels: liger needs CUDA and the package liger-kernel: "
            "python -m pip install liger-kernel, or set kernels: none"
        )
    return settings.kernels


def prepare_attention(model: Any) -> None:
    """Let attention on a CPU run in float32 within mixed precision.

    With torch 2.13 its backward pass is slower in bfloat16, also with AMX: 1.5 to 2.7 times alone
    (16 texts of 192 to 256 tokens, one thread), and 0.23 against 0.04 s a call within a training,
    more than bfloat16 saves elsewhere.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(FLOAT32_ATTENTION, _attention)
        AttentionMaskInterface.register(FLOAT32_ATTENTION, sdpa_mask)
        model.set_attn_implementation(FLOAT32_ATTENTION)


def _attention(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if mask is not None and mask.is_floating_point():
        mask = mask.float()
    with torch.autocast("cpu", enabled=False):
        whole = (part.float() for part in (query, key, value))
        output, weights = sdpa_attention_forward(module, *whole, mask, **options)
    return output.to(query.dtype), weights


def without_autocast(trainer: Any) -> Any:
    """Return a trained model as it was before mixed precision, which accelerate leaves on it."""
    from helpers.finetuning.losses import inner_model

    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if inner_model(model).config._attn_implementation == FLOAT32_ATTENTION:
        inner_model(model).set_attn_implementation("sdpa")
    return model
