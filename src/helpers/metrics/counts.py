"""What each text adds to the sums that the scores are made of.

Conventions
-----------
A text without a usable answer is a wrong answer: it has no predicted label, and it earns 0 in the
scores that are given text by text (accuracy, Jaccard, exact match, any right), even where its
true label set is empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Sums = dict[str, Floats]


@dataclass(frozen=True)
class TextCounts:
    """What each text adds to the sums that the scores are made of.

    Attributes
    ----------
    label_type : {"single", "multi", "multi_intensity", "numeric"}
    parts : dict of ndarray, each (n, width)
        Labels: ``tp``, ``true``, ``pred`` (width L), ``any_right``, ``exact_match``, ``jaccard``,
        ``level_right`` (width 1). Numeric: ``y``, ``y_squared``, ``squared_error``,
        ``absolute_error`` (width 1).
    answered : ndarray of bool, (n,)
    """

    label_type: str
    parts: dict[str, Floats]
    answered: NDArray[np.bool_]

    @property
    def n(self) -> int:
        """Number of texts."""
        return len(self.answered)

    @property
    def n_answered(self) -> int:
        """Number of texts with a usable answer."""
        return int(self.answered.sum())

    def total(self) -> Sums:
        """Sums over all texts: each part (width,), and ``n`` (1,)."""
        sums = {name: part.sum(axis=0) for name, part in self.parts.items()}
        return sums | {"n": np.array([float(self.n)])}


def single_label_counts(y_true: ArrayLike, y_pred: ArrayLike, answered: ArrayLike) -> TextCounts:
    """Counts of a task with exactly one label per text.

    Parameters
    ----------
    y_true, y_pred : array_like of int, (n, L)
        One-hot rows; a row of zeros in `y_pred` is a text without prediction.
    answered : array_like of bool, (n,)

    Raises
    ------
    ValueError
        If the shapes differ, or a row has not exactly one true and at most one predicted label.
    """
    counts = _label_counts("single", y_true, y_pred, answered)
    n_true, n_pred = counts.parts["true"].sum(axis=1), counts.parts["pred"].sum(axis=1)
    if (n_true != 1).any() or (n_pred > 1).any():
        bad = int(np.flatnonzero((n_true != 1) | (n_pred > 1))[0])
        raise ValueError(
            f"row {bad}: a single-label task needs one true and at most one predicted label, "
            f"got {int(n_true[bad])} and {int(n_pred[bad])}"
        )
    return counts


def multi_label_counts(
    y_true: ArrayLike, y_pred: ArrayLike, answered: ArrayLike, *, intensity: bool = False
) -> TextCounts:
    """Counts of a task with any number of labels per text.

    Parameters
    ----------
    y_true, y_pred : array_like of int, (n, L)
        0 where the label is absent; any positive level where it is present.
    answered : array_like of bool, (n,)
    intensity : bool
        Whether the positive levels are intensities (low 1, medium 2, high 3).
    """
    return _label_counts("multi_intensity" if intensity else "multi", y_true, y_pred, answered)


def numeric_counts(
    y_true: ArrayLike, y_pred: ArrayLike, answered: ArrayLike, *, fallback: float | None = None
) -> TextCounts:
    """Counts of a task with a number per text.

    Parameters
    ----------
    y_true, y_pred : array_like of float, (n,)
    answered : array_like of bool, (n,)
    fallback : float, optional
        What stands in for the prediction of an unanswered text: the mean of the training texts.
        Without it the mean of `y_true`; an unanswered text then knows nothing about the target.

    Raises
    ------
    ValueError
        If the shapes differ or a value that counts is not finite.
    """
    truth, guess = np.asarray(y_true, dtype=float), np.asarray(y_pred, dtype=float)
    mask = np.asarray(answered, dtype=bool)
    if truth.ndim != 1 or truth.shape != guess.shape or truth.shape != mask.shape:
        raise ValueError(f"shapes differ: {truth.shape}, {guess.shape}, {mask.shape}")
    if truth.size == 0:
        raise ValueError("no texts to score")
    centre = truth.mean()
    guess = np.where(mask, guess, centre if fallback is None else fallback)
    if not (np.isfinite(truth).all() and np.isfinite(guess).all()):
        raise ValueError("a true value, or the prediction of an answered text, is not finite")
    # Centring leaves R2 as it is and keeps the sum of squares from cancelling.
    y, error = truth - centre, guess - truth
    parts = {"y": y, "y_squared": y**2, "squared_error": error**2, "absolute_error": abs(error)}
    return TextCounts("numeric", {name: part[:, None] for name, part in parts.items()}, mask)


def count_texts(
    label_type: str,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    answered: ArrayLike,
    *,
    fallback: float | None = None,
) -> TextCounts:
    """Counts for any label type; see the three functions above."""
    if label_type == "numeric":
        return numeric_counts(y_true, y_pred, answered, fallback=fallback)
    if label_type == "single":
        return single_label_counts(y_true, y_pred, answered)
    if label_type not in ("multi", "multi_intensity"):
        raise ValueError(f"unknown label type {label_type!r}")
    return multi_label_counts(y_true, y_pred, answered, intensity=label_type == "multi_intensity")


def _label_counts(
    label_type: str, y_true: ArrayLike, y_pred: ArrayLike, answered: ArrayLike
) -> TextCounts:
    truth, guess = np.asarray(y_true), np.asarray(y_pred)
    mask = np.asarray(answered, dtype=bool)
    if truth.ndim != 2 or truth.shape != guess.shape or truth.shape[:1] != mask.shape:
        raise ValueError(f"shapes differ: {truth.shape}, {guess.shape}, {mask.shape}")
    if truth.size == 0:
        raise ValueError("no texts to score")
    guess = np.where(mask[:, None], guess, 0)
    t, p = truth > 0, guess > 0
    both, union = (t & p).sum(axis=1), (t | p).sum(axis=1)
    # Two empty sets agree: Jaccard 1. An unanswered text earns nothing, whatever its truth.
    jaccard = np.divide(both, union, out=np.ones(len(mask)), where=union > 0)
    per_text = {
        "any_right": np.where(t.any(axis=1), both > 0, union == 0) & mask,
        "exact_match": (t == p).all(axis=1) & mask,
        "jaccard": np.where(mask, jaccard, 0.0),
        "level_right": (t & p & (truth == guess)).sum(axis=1),
    }
    parts = {"tp": t & p, "true": t, "pred": p}
    parts |= {name: values[:, None] for name, values in per_text.items()}
    return TextCounts(label_type, {k: v.astype(np.float64) for k, v in parts.items()}, mask)
