"""Cost against the number of texts: does twice as much take twice as long?

    python bench/scaling.py [--quick] [--rounds 1] [--column text]

Writes ``bench/results/scaling.csv``. Two-layer offline model, defaults of the package without
the codebook's names (a fixed cost), one epoch; titles (or whole texts) are drawn from the embedded
CAP questions with replacement and told apart by a number in front, so that nothing is computed once
for two of them. The slope of log time on log n is by least squares over all runs, with its 95% t
interval; time is that of the training, or of the predictions, without starting up.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import common
import material
import numpy as np
from common import Measured, row, save, take_turns

PACKAGES = ("torch", "transformers", "trl", "peft")
TRAINED = (500, 1000, 2000, 4000, 8000)
PREDICTED = (1000, 3000, 10_000, 30_000, 100_000)
LAYERS = 2


def train(number: int, column: str = "title") -> float:
    """Return the seconds of one epoch over so many texts."""
    from helpers.finetuning import FinetuningSettings
    from helpers.finetuning.fit import fit
    from helpers.tasks import load_task

    settings = FinetuningSettings(
        epochs=1, codebook_rows=False, answer_rows="as_is", threads=common.CORES
    )
    base = material.base("prefix", LAYERS)
    with tempfile.TemporaryDirectory() as out:
        fitted = fit(
            load_task("cap"),
            material.many(number, column),
            None,
            base,
            settings,
            Path(out),
            checkpoints=False,
        )
    return float(fitted.trainer.state.log_history[-1]["train_runtime"])


def predict(number: int, loaded: Any, tokenizer: Any, column: str = "title") -> float:
    """Return the seconds of so many predictions."""
    from helpers.prediction import answer
    from helpers.tasks import load_task

    frame = material.many(number, column)
    began = time.perf_counter()
    answer(load_task("cap"), frame, loaded, tokenizer)
    return time.perf_counter() - began


def slope(sizes: dict[int, list[float]]) -> tuple[float, float, float]:
    """Return the slope of log seconds on log n, and its 95% interval."""
    from scipy import stats

    points = [(np.log(n), np.log(s)) for n, seconds in sizes.items() for s in seconds]
    x, y = np.array(points).T
    line = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * line.stderr if len(x) > 2 else float("nan")
    return float(line.slope), float(line.slope - half), float(line.slope + half)


def rows_of(what: str, found: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Return lines of seconds by n, and the slope with its interval."""
    sizes = {int(name): values["seconds"] for name, values in found.items()}
    rows = [row(f"{what}, by n", f"n = {n:,}", seconds, "s") for n, seconds in sizes.items()]
    middle, low, high = slope(sizes)
    line = row(f"{what}: slope in log-log", "ours", [middle], "", "≤ 1.05", "range: 95% interval")
    return [*rows, line | {"min": low, "max": high, "rounds": sum(map(len, sizes.values()))}]


def main(argv: list[str] | None = None) -> None:
    parser = common.arguments(__doc__, rounds=1)
    parser.add_argument("--column", choices=("title", "text"), default="title")
    given = parser.parse_args(argv)
    trained, predicted, layers = TRAINED, PREDICTED, LAYERS
    if given.quick:
        trained, predicted, given.rounds = (8, 16, 32), (16, 32, 64), 1
    import torch

    from helpers.language_models import load_model, load_tokenizer

    torch.set_num_threads(common.CORES)
    print("warm-up", flush=True)
    train(8)

    def training(number: int) -> Any:
        return lambda _: Measured(seconds=train(number, given.column))

    found = take_turns({str(n): training(n) for n in trained}, given.rounds, warm_up=False)
    rows = rows_of("training", found)
    folder = material.base("prefix", layers)
    loaded, tokenizer = load_model(folder), load_tokenizer(folder)
    predict(64, loaded, tokenizer)

    def predicting(number: int) -> Any:
        return lambda _: Measured(seconds=predict(number, loaded, tokenizer, given.column))

    found = take_turns({str(n): predicting(n) for n in predicted}, given.rounds, warm_up=False)
    rows += rows_of("predictions", found)
    save(
        "scaling",
        rows,
        PACKAGES,
        given.out,
        quick=given.quick,
        threads=common.CORES,
        column=given.column,
    )


if __name__ == "__main__":
    main()
