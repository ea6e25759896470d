"""How predictions are computed, as opposed to what is asked: precision, batches, engine."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import PositiveInt

from helpers.profiles import Strict
from helpers.runs import HelpersError


class PredictionError(HelpersError):
    """A prediction cannot be made with these settings on this machine."""


class Speed(Strict):
    """Settings that change time and memory; the defaults repeat a run bit by bit.

    Attributes
    ----------
    engine : ``transformers``, or ``vllm`` where it is installed (`helpers.prediction.vllm`).
    autocast : ``bfloat16`` multiplies matrices with 8 bits of precision, several times faster on
        processors made for it (AVX512-BF16, AMX, GPUs); ``auto`` does so only there. Answers
        change a little: `helpers.prediction.precision.agreement` says how much.
    quantise : ``int8`` keeps linear layers in 8 bits (CPU; needs the extra ``[int8]``).
    share_prefix : run the tokens with which all prompts begin (instruction and codebook) once;
        ``auto`` where that is exact and pays, ``on`` refuses where it is not exact.
    batch_tokens : most tokens of a batch, padding counted, instead of a number of texts; ``auto``
        derives it from the free memory.
    """

    engine: Literal["transformers", "vllm"] = "transformers"
    autocast: Literal["none", "bfloat16", "auto"] = "none"
    quantise: Literal["none", "int8"] = "none"
    share_prefix: Literal["auto", "on", "off"] = "auto"
    batch_tokens: PositiveInt | Literal["auto"] | None = None


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
