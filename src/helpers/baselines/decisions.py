"""From scores to label sets: cutoffs and intensity levels, set on the training split alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.tasks import Task

CUTOFFS = np.round(np.arange(0.025, 0.951, 0.025), 3)


def best_cutoff(
    present: NDArray[np.bool_], chance: NDArray[np.float64], cutoffs: Any = CUTOFFS
) -> tuple[float, float]:
    """Best micro F1 and the lowest cutoff that reaches it."""
    scores = [micro_f1(present, chance >= cutoff) for cutoff in cutoffs]
    at = int(np.argmax(scores))
    return scores[at], float(cutoffs[at])


def micro_f1(present: NDArray[np.bool_], guess: NDArray[np.bool_]) -> float:
    """2TP/(2TP+FP+FN) over all cells; 0 where nothing is true and nothing is predicted."""
    total = present.sum() + guess.sum()
    return float(2 * (present & guess).sum() / total) if total else 0.0


def with_levels(
    task: Task, guess: NDArray[np.bool_], train_levels: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Give each predicted dimension its commonest level in the training split.

    Text does not enter: the baseline predicts dimensions, not intensities. A dimension that no
    training text has gets the commonest level of all.
    """
    if not task.levels:
        return guess.astype(np.uint8)
    n_levels = len(task.levels)
    counts = np.stack([(train_levels == k + 1).sum(axis=0) for k in range(n_levels)])
    usual = np.where(counts.sum(axis=0) > 0, counts.argmax(axis=0), counts.sum(axis=1).argmax())
    return np.where(guess, usual + 1, 0).astype(np.uint8)
