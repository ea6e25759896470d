"""How right each labeller is, and which labels are confused.

A labeller without a usable answer for a text (missing, off the list, refused, ...) is wrong
about it. Only texts whose gold labels are known enter. Intervals are 95% percentile intervals
over resampled texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from helpers.metrics.counts import Floats, Sums, count_texts
from helpers.metrics.panel import Gold, read_panel, rounded
from helpers.metrics.reliability import bootstrap, bootstrap_shares
from helpers.metrics.scores import _ratio, metrics_of

if TYPE_CHECKING:
    from helpers.tasks import Task

_INTERVAL = ["value", "ci_low", "ci_high"]
LABELLER_COLUMNS = ["labeller", "metric", *_INTERVAL, "n", "n_answered"]
PAIR_NAMES = ["gold", "predicted", "gold_name", "predicted_name"]
CONFUSION_COLUMNS = [*PAIR_NAMES, "n", "n_gold", "share", "ci_low", "ci_high"]


def labeller_scores(
    task: Task,
    labelled: pd.DataFrame,
    gold: Gold,
    names: Sequence[str] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of each labeller against gold labels.

    Parameters
    ----------
    task, labelled, gold, names, n_resamples, seed
        As in `helpers.metrics.crowd_shares`.

    Returns
    -------
    DataFrame
        Columns `LABELLER_COLUMNS`. One label: accuracy and macro F1. Several labels: micro
        precision, recall and F1, Jaccard, and with intensities intensity accuracy.
    """
    panel, truth = read_panel(task, labelled, names).with_gold(task, gold)
    functions, rows = _labeller_metrics(task.label_type), []
    for place, name in enumerate(panel.names):
        answered = panel.answered[:, place]
        size = {"n": len(truth), "n_answered": int(answered.sum())}
        found = tuple(np.full((3, len(functions)), np.nan))
        if len(truth):
            counts = count_texts(task.label_type, truth, panel.levels[:, place], answered)
            found = bootstrap(
                # The number of texts is a sum too.
                counts.parts | {"n": np.ones((counts.n, 1))},
                lambda sums: np.stack([f(sums) for f in functions.values()], axis=-1),
                n_resamples,
                seed,
            )
        for metric, *numbers in zip(functions, *found, strict=True):
            row = {"labeller": name, "metric": metric}
            rows.append(row | dict(zip(_INTERVAL, numbers, strict=True)) | size)
    return rounded(rows, LABELLER_COLUMNS)


def _labeller_metrics(label_type: str) -> dict[str, Callable[[Sums], Floats]]:
    def score(name: str) -> Callable[[Sums], Floats]:
        return lambda sums: metrics_of(label_type, sums)[name]

    if label_type == "single":
        return {name: score(name) for name in ("accuracy", "macro_f1")}
    micro: dict[str, Callable[[Sums], Floats]] = {
        "micro_precision": lambda s: _ratio(s["tp"].sum(axis=-1), s["pred"].sum(axis=-1)),
        "micro_recall": lambda s: _ratio(s["tp"].sum(axis=-1), s["true"].sum(axis=-1)),
    }
    levels = ("intensity_accuracy",) if label_type == "multi_intensity" else ()
    return micro | {name: score(name) for name in ("micro_f1", "jaccard", *levels)}


def neighbour_confusion(
    task: Task,
    labelled: pd.DataFrame,
    gold: Gold,
    top: int = 10,
    names: Sequence[str] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Which wrong label is given most often instead of which gold label, over all labellers.

    With several labels per text: a gold label that an answer misses, with each wrong label of
    that answer. The pairs are chosen because they are frequent, so their shares lean upwards.

    Parameters
    ----------
    task, labelled, gold, names, n_resamples, seed
        As in `helpers.metrics.crowd_shares`.
    top : int
        Number of pairs at most.

    Returns
    -------
    DataFrame
        Columns `CONFUSION_COLUMNS`, most frequent first: n answers with this confusion, of n_gold
        usable answers to texts with this gold label.
    """
    panel, truth = read_panel(task, labelled, names).with_gold(task, gold)
    missed = (truth[:, None, :] > 0) & ~panel.present
    wrong = panel.present & (truth[:, None, :] == 0)
    answers = (-1, len(task.labels))
    table = missed.reshape(answers).T.astype(np.float64) @ wrong.reshape(answers)
    order = np.argsort(-table, axis=None, kind="stable")[:top]
    pairs = [(int(g), int(p)) for g, p in zip(*np.unravel_index(order, table.shape), strict=True)]
    pairs = [pair for pair in pairs if table[pair] > 0]
    if not pairs:
        return rounded([], CONFUSION_COLUMNS)
    g, p = np.array(pairs).T
    confused = (missed[:, :, g] & wrong[:, :, p]).sum(axis=1)
    asked = (truth[:, g] > 0) * panel.answered.sum(axis=1, keepdims=True)
    found = bootstrap_shares(confused, asked, n_resamples, seed)
    rows = []
    for place, pair in enumerate(pairs):
        labels = [task.labels[k] for k in pair]
        about = dict(zip(PAIR_NAMES, labels + [task.label_names[k] for k in labels], strict=True))
        n, n_gold = (int(part[:, place].sum()) for part in (confused, asked))
        numbers = [float(part[place]) for part in found]
        limits = dict(zip(["share", "ci_low", "ci_high"], numbers, strict=True))
        rows.append(about | {"n": n, "n_gold": n_gold} | limits)
    return rounded(rows, CONFUSION_COLUMNS)
