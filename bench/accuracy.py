"""Training until a stated accuracy: the published recipe, tuned, against this package's own way.

    python bench/accuracy.py [--quick] [--texts 944] [--epochs 6] [--tune]

Writes ``bench/results/accuracy.csv`` and, with ``--tune``, ``accuracy_tuning.csv``. All train on
the titles of the same CAP questions, from the same six-layer weights, and are asked about titles
that nobody trained on, under the same constraint: only labels can be answered. The stated accuracy
is the best that the published recipe reaches on stock TRL within `epochs`, with its learning rate
from the grid; where the loss on the whole text learns nothing in that time, it is that of the same
recipe with the loss on the answer; where that does not learn either (it stays near the accuracy of
the commonest label), there is no ratio, and ours is shown after one epoch. Otherwise ours is
trained for 1, 2, ... epochs until it is as accurate.
Seconds are from a base model on disk to a trained one in memory, without the time of asking.

The grid is computed by this package's trainer: the same loss and steps as on stock TRL (a test
compares them), in less time.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import common
import pandas as pd
from common import RESULTS, ratio, row, save
from training import PACKAGES, fresh

GRID = (1e-3, 2e-3, 4e-3)
RECIPES = {"published": "published-same", "published-answers": "ours-same"}
OURS = ("ours", "ours-fast")
BEYOND = 0.05  # accuracy above the commonest label's from which a recipe has learnt something


def tune(given: Namespace) -> pd.DataFrame:
    """Try both recipes with each learning rate; return the accuracies, and save them."""
    lines = []
    for side, computed in RECIPES.items():
        for rate in given.grid:
            done = fresh(given, computed, epochs=given.epochs, learning_rate=rate, score=True)
            line = {"side": side, "learning_rate": rate, "accuracy": done["accuracies"][0]}
            print("  " + ", ".join(f"{key} {value}" for key, value in line.items()), flush=True)
            lines.append(line)
    about = {"epochs": given.epochs, "texts": given.texts, "layers": given.layers}
    table = pd.DataFrame(lines).assign(**about, **common.machine(*PACKAGES))
    folder = Path(given.out) if given.out else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "accuracy_tuning.csv", index=False, lineterminator="\n")
    return table


def tuned(table: pd.DataFrame, most_frequent: float) -> tuple[str, float, str]:
    """Return the recipe to be timed, its learning rate, and what the grid says about the other.

    Parameters
    ----------
    table : columns side, learning_rate, accuracy.
    most_frequent : accuracy of the commonest label.
    """
    best = table.loc[table.groupby("side")["accuracy"].idxmax()].set_index("side")
    first = best.loc["published"]
    if first["accuracy"] > most_frequent + BEYOND:
        return "published", float(first["learning_rate"]), ""
    note = (
        f"loss on the whole text: at most {first['accuracy']:.3f} with any learning rate of the "
        f"grid, the commonest label {most_frequent:.3f}"
    )
    return "published-answers", float(best.loc["published-answers"]["learning_rate"]), note


def most_frequent(given: Namespace) -> float:
    """Return the held-out accuracy of the label that is commonest in training."""
    import material

    common_label = material.training_texts(given.texts)["labels"].mode()[0]
    return float((material.held_out()["labels"] == common_label).mean())


def to_accuracy(
    given: Namespace, side: str, rate: float, note: str, base_rate: float
) -> list[dict[str, Any]]:
    """Time a recipe's best accuracy on stock TRL, then ours until it is as accurate.

    `base_rate`: the accuracy of the commonest label, which is not worth timing.
    """
    print(f"  {side}: {given.epochs} epochs at {rate:g}", flush=True)
    theirs = fresh(given, side, epochs=given.epochs, learning_rate=rate, score=True)
    stated = max(theirs["accuracies"])
    epoch = theirs["accuracies"].index(stated)
    slow, learnt = theirs["clocks"][epoch], stated > base_rate + BEYOND
    measure = f"to accuracy {stated:.3f}" if learnt else "time (accuracies: see notes)"
    if not learnt:
        note = f"accuracy {stated:.3f}, no better than the commonest label; {note}"
    said = f"learning rate {rate:g}, epoch {epoch + 1} of {given.epochs}"
    rows = [row(measure, side, [slow], "s", note="; ".join(filter(None, [said, note])))]
    for name in OURS:
        for epochs in range(1, given.epochs + 1):
            ours = fresh(given, name, epochs=epochs, score=True)
            reached, seconds = ours["accuracies"][0], ours["whole"]
            print(f"  {name}, {epochs} epoch(s): {reached:.3f} in {seconds:.1f} s", flush=True)
            if reached >= stated:
                break
        said = f"{epochs} epoch(s), accuracy {reached:.3f}"
        said += ": NOT reached" if learnt and reached < stated else ""
        rows.append(row(measure, name, [seconds], "s", note=said))
        if learnt and reached >= stated:
            rows.append(ratio(f"{side} over it", name, [slow], [seconds]))
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = common.arguments(__doc__, rounds=1)
    parser.add_argument("--texts", type=int, default=944)
    parser.add_argument("--layers", type=int, default=6, choices=(2, 4, 6))
    parser.add_argument("--epochs", type=int, default=6, help="most epochs")
    parser.add_argument("--tune", action="store_true", help="try the grid of learning rates first")
    given = parser.parse_args(argv)
    given.column, given.grid = "title", GRID
    if given.quick:
        given.texts, given.layers, given.epochs, given.grid, given.tune = 8, 2, 1, GRID[:1], True
    known = (Path(given.out) if given.out else RESULTS) / "accuracy_tuning.csv"
    if given.tune or not known.is_file():
        tune(given)
    chosen = tuned(pd.read_csv(known), most_frequent(given))
    about = {"texts": given.texts, "layers": given.layers, "threads": common.CORES}
    rows = to_accuracy(given, *chosen, most_frequent(given))
    save("accuracy", rows, PACKAGES, given.out, quick=given.quick, **about)


if __name__ == "__main__":
    main()
