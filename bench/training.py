"""Training: the published recipe on stock TRL, variants of it, and this package's own way.

    python bench/training.py [--quick] [--texts 128] [--rounds 2]

Writes ``bench/results/training.csv``; how long it takes to be accurate is the matter of
``bench/accuracy.py``. Every side trains on the same CAP questions from the same
six-layer weights, with as many threads as there are cores, in a fresh process each (peak memory is
its own) that has done a step before the clock starts; the sides take turns. An epoch is one
over these texts alone, without the codebook's names that this package adds by default.

**Useful work.** 4 floating-point operations per parameter of the layers and token of the texts, as
LoRA needs, over the time and over the rate of square matrix products measured on the same machine.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import common
from common import ratio, row, save, take_turns
from training_sides import Spec, run

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")
THEIRS = ("published", "full-logits", "trl-cli")
OURS = ("published-same", "ours-same", "ours-same-fast", "ours", "ours-fast")
LAYER_PARAMETERS = 12 * 384**2  # of one layer of the encoder, without biases
TARGETS = {  # of the ratio over ours: with bfloat16 instructions, and without
    "published": ("≥ 12", "≥ 7"),
    "full-logits": ("≥ 6", ""),
}


def fresh(given: Namespace, side: str, **settings: Any) -> dict[str, Any]:
    """Run a side in a process of its own (``--quick``: in this one)."""
    from helpers.parallel import in_background

    known = {name: getattr(given, name) for name in ("texts", "layers", "quick", "column")}
    spec = Spec(side, **(known | settings))
    return run(spec) if given.quick else in_background(run, spec).result()


def speed(given: Namespace) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Time one epoch of every side in turn; return lines, and peak rates of matrix products."""
    last: dict[str, Any] = {}

    def side(name: str) -> Any:
        def once(_: int) -> dict[str, float]:
            last[name] = measured = fresh(given, name, names=False)
            return {key: measured[key] for key in ("seconds", "whole", "peak_memory")}

        return once

    names = [*THEIRS, *OURS]
    found = take_turns({name: side(name) for name in names}, given.rounds, warm_up=False)
    peaks = {dtype: peak(dtype, given.quick) for dtype in ("float32", "bfloat16")}
    rows = []
    for name in names:
        seconds, tokens = found[name]["seconds"], last[name]["tokens"]
        work = 4 * LAYER_PARAMETERS * given.layers * tokens / 1e9
        rows += [
            row("one epoch", name, seconds, "s"),
            row("one epoch, from disk to a trained model", name, found[name]["whole"], "s"),
            row("rate", name, [tokens / s for s in seconds], "tokens/s"),
            row("peak memory", name, found[name]["peak_memory"], "MiB"),
            row(
                "useful work over the bfloat16 peak",
                name,
                [100 * work / s / peaks["bfloat16"] for s in seconds],
                "%",
            ),
        ]
    fast = 0 if "bf16" in common.flags() else 1
    for ours in OURS:
        for name in THEIRS:
            target = TARGETS.get(name, ("", ""))[fast] if ours == OURS[-1] else ""
            over, under = found[name]["seconds"], found[ours]["seconds"]
            rows.append(ratio(f"one epoch: {name} over it", ours, over, under, target))
    return rows, peaks


def peak(dtype: str, quick: bool) -> float:
    """Measure the rate of matrix products in a process of its own."""
    from helpers.parallel import in_background

    if quick:
        return common.matmul_peak(dtype, size=256, seconds=0.1)
    return in_background(common.matmul_peak, dtype).result()


def main(argv: list[str] | None = None) -> None:
    parser = common.arguments(__doc__, rounds=2)
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--layers", type=int, default=6, choices=(2, 4, 6))
    given = parser.parse_args(argv)
    given.column = "text"
    if given.quick:
        given.texts, given.layers, given.rounds = 8, 2, 1
    rows, peaks = speed(given)
    about = {"texts": given.texts, "layers": given.layers, "threads": common.CORES}
    about |= {dtype: f"{rate:.0f} GFLOP/s" for dtype, rate in peaks.items()}
    save("training", rows, PACKAGES, given.out, quick=given.quick, **about)


if __name__ == "__main__":
    main()
