"""LLAMA architectures with random weights, made on the device: speed needs no trained weights."""

from __future__ import annotations

import gc
from importlib.util import find_spec
from typing import Any

SEED = 20261121
SHAPES: dict[str, dict[str, Any]] = {
    "llama-2-7b": {
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 4096,
    },
    "toy": {
        "vocab_size": 30_522,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 4096,
    },
}


def random_llama(shape: str, device: str) -> Any:
    """Return a model in bfloat16, initialised on the device: no copy in the host's memory."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(SEED)
    special = {"bos_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    config = LlamaConfig(**SHAPES[shape], **special, tie_word_embeddings=False, use_cache=False)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return model.eval()


def missing() -> str:
    """Return why there can be no 4-bit weights, or an empty text."""
    if find_spec("bitsandbytes") is None:
        return "bitsandbytes is not installed: pip install -e '.[gpu]'"
    return ""


def to_four_bits(model: Any, device: str) -> Any:
    """Replace the linear layers, the head excepted, by NF4 with double quantisation, in place.

    `from_pretrained` does the same with weights that it reads; these are already on the device.
    """
    import bitsandbytes as bnb
    import torch

    head = model.get_output_embeddings()
    named = [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    for name, old in named:
        if old is head:
            continue
        new = bnb.nn.Linear4bit(
            old.in_features,
            old.out_features,
            bias=False,
            compute_dtype=torch.bfloat16,
            compress_statistics=True,
            quant_type="nf4",
            device="meta",
        )
        new.weight = bnb.nn.Params4bit(
            old.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True
        )
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, new.to(device))
    model.is_loaded_in_4bit = True  # what PEFT asks
    return model


def with_adapter(model: Any, *, checkpointing: bool, dropout: float) -> Any:
    """Add the published adapter (r 64, alpha 16, queries and values); the base is frozen."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=64,
        lora_alpha=16,
        lora_dropout=dropout,
        target_modules=["q_proj", "v_proj"],
        bias="none",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    if checkpointing:
        adapted.enable_input_require_grads()
        model.activation_checkpointing_enable({"use_reentrant": False})
    return adapted.train()


def optimiser(model: Any, *, paged: bool) -> Any:
    """Return AdamW over what learns: paged in 32 bits as published, or torch's fused one."""
    import torch

    learning = [p for p in model.parameters() if p.requires_grad]
    if paged:
        import bitsandbytes as bnb

        return bnb.optim.PagedAdamW32bit(learning, lr=2e-4, weight_decay=0.001)
    return torch.optim.AdamW(learning, lr=2e-4, weight_decay=0.001, fused=True)


def parameters(shape: str) -> int:
    """Return the number of weights: N in 4N FLOP a token."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    with torch.device("meta"):
        config = LlamaConfig(**SHAPES[shape], tie_word_embeddings=False)
        return sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())


def release(device: str) -> None:
    """Give memory that nothing refers to any more back to the device, and start its peak anew."""
    import torch

    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: str) -> float:
    """Return the peak memory since `release`, in MiB (CPU: of the process so far)."""
    import torch
    from common import peak_memory as resident

    return resident() if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20


def wait(device: str) -> None:
    """Wait until the device has done what it was asked."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize()


def matmul_peak(device: str, size: int, rounds: int = 5) -> list[float]:
    """Return the rates of square bfloat16 matrix products, in TFLOP/s."""
    import time

    import torch

    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    repeats = 20 if device != "cpu" else 2
    rates = []
    for number in range(rounds + 1):
        wait(device)
        began = time.perf_counter()
        for _ in range(repeats):
            one @ other
        wait(device)
        if number:
            rates.append(2 * size**3 * repeats / (time.perf_counter() - began) / 1e12)
    return rates
