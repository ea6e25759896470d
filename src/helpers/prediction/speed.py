"""How predictions are computed, as opposed to what is asked: precision, batches, engine."""

from __future__ import annotations

from typing import Any

from helpers.plans import HelpersError, Speed

__all__ = ["PredictionError", "Speed", "autocast", "has_bfloat16"]


class PredictionError(HelpersError):
    """A prediction cannot be made with these settings on this machine."""


def has_bfloat16(device: str) -> bool:
    """Whether a device multiplies bfloat16 matrices in hardware."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch has no public question for this; the methods are those that its own back ends ask.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(choice: str, device: str) -> Any:
    """Return the context in which a model runs; see `Speed.autocast`."""
    import torch

    on = choice == "bfloat16" or (choice == "auto" and has_bfloat16(device))
    return torch.autocast(device, torch.bfloat16, enabled=on)
