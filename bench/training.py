"""Training: the published recipe on stock TRL, variants of it, and this package's own way.

    python bench/training.py [--quick] [--texts 128] [--rounds 2] [--tune]

Writes ``bench/results/training.csv``. Every side trains on the same CAP questions from the same
six-layer weights, with as many threads as there are cores, in a fresh process each (peak memory is
its own) that has done a step before the clock starts; the sides take turns. An epoch is one
over these texts alone; in time to accuracy this package also trains on the codebook's names, as is
its default.

**Time to accuracy.** The stated accuracy is what the published recipe reaches on held-out texts
with its learning rate tuned (``--tune`` tries a grid first, which takes half an hour, and writes
``bench/results/training_tuning.csv``). Both ways are asked under the same constraint: only labels
can be answered. The clock stops while a model is asked.

**Useful work.** 4 floating-point operations per parameter of the layers and token of the texts, as
LoRA needs, over the time and over the rate of square matrix products measured on the same machine.
"""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

import common
import material
import pandas as pd
from common import RESULTS, ratio, row, save, take_turns
from training_sides import Spec, run

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")
THEIRS = ("published", "full-logits", "trl-cli")
OURS = ("ours-same", "ours-same-fast", "ours", "ours-fast")
GRID = (2e-4, 1e-3, 2e-3, 4e-3)
TUNED = 2e-3  # where no grid was run here
LAYER_PARAMETERS = 12 * 384**2  # of one layer of the encoder, without biases
TARGETS = {  # of the ratio over ours: with bfloat16 instructions, and without
    "published": ("≥ 12", "≥ 7"),
    "full-logits": ("≥ 6", ""),
}


def fresh(given: Namespace, side: str, **settings: Any) -> dict[str, Any]:
    """Run a side in a process of its own (``--quick``: in this one)."""
    from helpers.parallel import in_background

    known = {"texts": given.texts, "layers": given.layers, "quick": given.quick}
    spec = Spec(side, **(known | settings), asked=given.asked)
    return run(spec) if given.quick else in_background(run, spec).result()


def speed(given: Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Time one epoch of every side in turn; return lines and what was measured."""
    last: dict[str, Any] = {}

    def side(name: str) -> Any:
        def once(_: int) -> dict[str, float]:
            last[name] = measured = fresh(given, name, names=False)
            return {key: measured[key] for key in ("seconds", "whole", "peak_memory")}

        return once

    names = [*THEIRS, *OURS]
    found = take_turns({name: side(name) for name in names}, given.rounds, warm_up=False)
    peaks = {dtype: peak(dtype, given.quick) for dtype in ("float32", "bfloat16")}
    rows = [
        row(f"matrix products, {dtype}", "machine", [rate], "GFLOP/s")
        for dtype, rate in peaks.items()
    ]
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
            rows.append(ratio(f"one epoch: {name} over {ours}", ours, over, under, target))
    return rows, found


def peak(dtype: str, quick: bool) -> float:
    """Measure the rate of matrix products in a process of its own."""
    from helpers.parallel import in_background

    if quick:
        return common.matmul_peak(dtype, size=256, seconds=0.1)
    return in_background(common.matmul_peak, dtype).result()


def tune(given: Namespace) -> pd.DataFrame:
    """Try the published recipe with other learning rates; return accuracy after each epoch."""
    lines = []
    for rate in given.grid:
        print(f"  learning rate {rate:g}", flush=True)
        done = fresh(given, "published-tuned", epochs=given.epochs, learning_rate=rate, score=True)
        for epoch, (score, clock) in enumerate(
            zip(done["accuracies"], done["clocks"], strict=True), start=1
        ):
            line = {"learning_rate": rate, "epoch": epoch, "accuracy": score, "seconds": clock}
            lines.append(line | {"texts": given.texts, "layers": given.layers})
    table = pd.DataFrame(lines).assign(**common.machine(*PACKAGES))
    table.to_csv(tuning_file(given), index=False)
    return table


def tuning_file(given: Namespace) -> Any:
    folder = common.Path(given.out) if given.out else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "training_tuning.csv"


def tuned(given: Namespace) -> tuple[float, str]:
    """Return the learning rate that did best on held-out texts, and where that is known from."""
    path = tuning_file(given)
    if not path.is_file():
        return TUNED, "learning rate not tuned on this machine"
    table = pd.read_csv(path)
    best = table.loc[table["accuracy"].idxmax()]
    return float(best["learning_rate"]), f"learning rate {best['learning_rate']:g}, from a grid"


def to_accuracy(given: Namespace) -> list[dict[str, Any]]:
    """Time each way until it is as accurate as the tuned recipe gets."""
    rate, known = tuned(given)
    print(f"  published-tuned: {given.epochs} epochs at {rate:g}", flush=True)
    theirs = fresh(given, "published-tuned", epochs=given.epochs, learning_rate=rate, score=True)
    stated = max(theirs["accuracies"])
    slow = theirs["clocks"][theirs["accuracies"].index(stated)]
    note = f"{known}; epoch {theirs['accuracies'].index(stated) + 1} of {given.epochs}"
    measure = f"to accuracy {stated:.3f} on held-out texts"
    rows = [row(measure, "published-tuned", [slow], "s", note=note)]
    for name in ("ours", "ours-fast"):
        for epochs in range(1, given.epochs + 1):
            ours = fresh(given, name, epochs=epochs, score=True)
            reached, seconds = ours["accuracies"][0], ours["whole"]
            print(f"  {name}, {epochs} epoch(s): {reached:.3f} in {seconds:.1f} s", flush=True)
            if reached >= stated:
                break
        enough = reached >= stated
        said = f"{epochs} epoch(s), accuracy {reached:.3f}" + ("" if enough else ": NOT reached")
        rows.append(row(measure, name, [seconds], "s", note=said))
        if enough:
            rows.append(ratio(f"{measure}: published-tuned over {name}", name, [slow], [seconds]))
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = common.arguments(__doc__, rounds=2)
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--layers", type=int, default=6, choices=(2, 4, 6))
    parser.add_argument("--epochs", type=int, default=3, help="most epochs in time to accuracy")
    parser.add_argument("--tune", action="store_true", help="try the grid of learning rates first")
    parser.add_argument("--no-accuracy", action="store_true", help="leave time to accuracy out")
    given = parser.parse_args(argv)
    given.grid, given.asked = GRID, material.HELD_OUT
    if given.quick:
        given.texts, given.layers, given.rounds, given.epochs, given.asked = 8, 2, 1, 1, 12
        given.grid = GRID[1:2]
    rows, found = speed(given)
    if given.tune:
        tune(given)
    if not given.no_accuracy:
        rows += to_accuracy(given)
    about = {"texts": given.texts, "layers": given.layers, "threads": common.CORES}
    save("training", rows, PACKAGES, given.out, quick=given.quick, **about)
    print(json.dumps({name: values["seconds"] for name, values in found.items()}))


if __name__ == "__main__":
    main()
