"""A 7-billion-weight model on one GPU: training by method and recipe, and label scoring.

    python bench/gpu.py [--only peak,throughput,recipes,scoring] [--rounds 3]
    python bench/gpu.py --toy        # the same steps at toy size, on a CPU, in seconds

Writes ``bench/results/gpu.csv``. LLAMA-2-7B's architecture with random weights, nothing is
downloaded. docs/gpu.md says what is expected and how the figures are to be read.

* peak: bfloat16 matrix products, the rate that MFU is a share of.
* throughput: LoRA on bfloat16 and on 4 bits (QLoRA) at 512 and 1,024 tokens, with and without
  gradient checkpointing; batches by doubling until memory is full. MFU counts 4N FLOP a token
  (forward, and backward to the activations; frozen weights get no gradient), recomputation not.
* recipes: the published settings (NF4, gradient checkpointing, batch 4, loss in float32 on the
  whole text, paged AdamW, no packing) against ours, on real lengths, in turn.
* scoring: labels by one forward pass behind the whole codebook, with and without its states kept.
"""

from __future__ import annotations

import argparse
import math
import warnings
from typing import Any

import common
import gpu_model
import gpu_scoring
import gpu_training as training

PARTS = ("peak", "throughput", "recipes", "scoring")
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "liger-kernel")
FLOP = 4  # a token and weight, LoRA with a frozen base
MOST = 256  # texts in a batch
MISSING = [math.nan]


def peak(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure bfloat16 matrix products."""
    rates = gpu_model.matmul_peak(given.device, 256 if given.toy else 8192)
    given.peak = max(rates)
    return [common.row("matrix product, bfloat16", given.device, rates, "TFLOP/s")]


def throughput(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure LoRA and QLoRA at full lengths, batches as large as memory allows."""
    rows: list[dict[str, Any]] = []
    for four_bit in (False, True):
        for checkpointing in (False, True):
            name = f"{'QLoRA' if four_bit else 'LoRA'}{', checkpointing' if checkpointing else ''}"
            recipe = training.Recipe(name, four_bit=four_bit, checkpointing=checkpointing)
            reason = gpu_model.missing() if four_bit else ""
            if reason:
                rows.append(common.row("training", name, MISSING, "tokens/s", note=reason))
                continue
            gpu_model.release(given.device)
            made = training.Training(recipe, given.shape, given.device)
            for length in given.lengths:
                rows += _at_length(made, length, given)
            del made
    return rows


def _at_length(
    made: training.Training, length: int, given: argparse.Namespace
) -> list[dict[str, Any]]:
    name, measure = made.recipe.name, f"training, {length} tokens"
    gpu_model.release(given.device)
    size = training.largest_batch(made, length, given.most)
    if not size:
        return [common.row(measure, name, MISSING, "tokens/s", note="no memory for one text")]
    gpu_model.release(given.device)
    batch = training.full(size, length, made.recipe.whole_text)
    steps = [batch] * max(2, given.tokens // (size * length))
    made.timed(steps[:2])
    rates = [made.timed(steps)["tokens/s"] for _ in range(given.rounds)]
    memory = gpu_model.peak_memory(given.device)
    note = f"batch {size}"
    return [
        common.row(measure, name, rates, "tokens/s", note=note),
        common.row(f"{measure}: MFU", name, _mfu(rates, given), "%", note=note),
        common.row(f"{measure}: peak memory", name, [memory], "MiB", note=note),
    ]


def _mfu(rates: list[float], given: argparse.Namespace) -> list[float]:
    """Return shares of the measured peak, in per cent."""
    flop = FLOP * gpu_model.parameters(given.shape)
    return [100 * flop * rate / (1e12 * given.peak) for rate in rates]


def recipes(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the published settings against ours, in turn, on texts of real lengths."""
    reason = gpu_model.missing()
    published = training.Recipe(
        "published settings",
        four_bit=not reason,
        checkpointing=True,
        whole_text=True,
        paged=not reason,
        dropout=0.1,
    )
    examples = gpu_scoring.examples(given.texts, given.lengths[-1])
    made = {
        recipe.name: training.Training(recipe, given.shape, given.device)
        for recipe in (published, training.Recipe("ours"))
    }
    longest = max(map(len, examples))
    # Half of what the search finds: batches of other shapes fragment the memory.
    size = max(1, training.largest_batch(made["ours"], longest, given.most) // 2)
    cut = {
        "published settings": training.batches(examples, 10**9, 4, True),
        "ours": training.batches(examples, size * longest, MOST, False),
    }
    sides = {name: (lambda _, name=name: made[name].timed(cut[name])) for name in made}
    found = common.take_turns(sides, given.rounds)
    note = f"without NF4: {reason}" if reason else "NF4"
    notes = {"published settings": f"{note}; batch 4", "ours": f"bfloat16; {size * longest} tokens"}
    rows = []
    for name, values in found.items():
        rates = values["tokens/s"]
        rows += [
            common.row("training, real lengths", name, rates, "tokens/s", note=notes[name]),
            common.row("training, real lengths", name, values["rows/s"], "texts/s"),
            common.row("training, real lengths: MFU", name, _mfu(rates, given), "%"),
        ]
    over, under = (found[name]["rows/s"] for name in ("ours", "published settings"))
    return [*rows, common.ratio("training, real lengths", "ours / published", over, under)]


def scoring(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure label scoring; see `gpu_scoring`."""
    return gpu_scoring.measure(given.shape, given.device, given.texts, given.rounds)


def device_name(device: str) -> str:
    """Return what the figures were measured on."""
    import torch

    return common.processor() if device == "cpu" else torch.cuda.get_device_name()


def arguments(given: list[str] | None) -> argparse.Namespace:
    """Read the command line and fill in what follows from it."""
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="toy size, on the CPU")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=256, help="texts of recipes and scoring")
    parser.add_argument("--out", default="", help="folder of the table (default: bench/results)")
    read = parser.parse_args(given)
    read.parts = read.only.split(",")
    if unknown := set(read.parts) - set(PARTS):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; use {', '.join(PARTS)}")
    if not read.toy and not torch.cuda.is_available():
        parser.error("torch sees no NVIDIA GPU; --toy runs the same steps on the CPU")
    read.device = "cpu" if read.toy else "cuda"
    read.shape = "toy" if read.toy else "llama-2-7b"
    read.lengths = (32, 64) if read.toy else (512, 1024)
    read.most = 4 if read.toy else MOST
    read.tokens = 256 if read.toy else 100_000  # a round, at full lengths
    if read.toy:
        read.rounds, read.texts = min(read.rounds, 2), min(read.texts, 8)
        read.out = read.out or str(common.SCRATCH)
    return read


def main(given: list[str] | None = None) -> None:
    read = arguments(given)
    # transformers 5.23 and PEFT still read a name that transformers has renamed.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)
    steps = {"throughput": throughput, "recipes": recipes, "scoring": scoring}
    rows = peak(read)  # always: MFU is a share of it
    for part in read.parts:
        if part in steps:
            print(part, flush=True)
            rows += steps[part](read)
            gpu_model.release(read.device)
    about = {"device": device_name(read.device), "shape": read.shape}
    common.save("gpu", rows, PACKAGES, read.out, **about)


if __name__ == "__main__":
    main()
