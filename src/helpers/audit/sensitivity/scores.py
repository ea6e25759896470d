"""The eight metrics of the sensitivity analysis, from sums over posts.

All are functions of a few sums, so that one matrix product serves every evaluation set, or every
bootstrap sample, at once. They agree with `helpers.metrics.scores` where both have a metric, save
that two empty sets agree (Jaccard 1) whether or not the post was answered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helpers.published.per_dimension import ratio
from helpers.published.statistics import Levels

Floats = NDArray[np.float64]
METRICS = {
    "dimension_accuracy": "dimensions rightly present or absent",
    "accuracy_with_intensity": "rightly absent, or present with the right level (accI)",
    "rescaled_accuracy": "what the article's Jaccard figure draws (jac2)",
    "jaccard": "mean |T∩P|/|T∪P|; 1 where both are empty",
    "micro_f1": "2TP/(2TP+FP+FN) of all cells",
    "macro_f1": "mean F1 of the dimensions that are true or predicted somewhere",
    "mcc": "Matthews correlation of all cells",
    "intensity_accuracy": "right levels among the dimensions rightly found",
}


@dataclass(frozen=True)
class PostCounts:
    """What each post adds to the sums that the metrics are made of.

    Attributes
    ----------
    totals : (n, 7) array: 1, TP, true, predicted, right levels, Jaccard, rescaled accuracy.
    classes : (n, 2L) array: TP of each dimension, then true + predicted of each.
    """

    totals: Floats
    classes: NDArray[np.float32]

    @classmethod
    def of(cls, truth: Levels, predicted: Levels, level: int = 1) -> PostCounts:
        """Count; a dimension is present from a level on (1 low, 2 medium, 3 high)."""
        # Counts are whole and far below 2^24: single precision is exact, and fast.
        t, p = ((matrix >= level).astype(np.float32) for matrix in (truth, predicted))
        shared = t * p
        tp, true, pred = (matrix.sum(axis=1).astype(float) for matrix in (shared, t, p))
        right = (shared * (truth == predicted)).sum(axis=1)
        union, errors, width = true + pred - tp, true + pred - 2 * tp, truth.shape[1]
        jaccard = np.divide(tp, union, out=np.ones(len(tp)), where=union > 0)
        rescaled = (width - errors) / (width + (errors > 0))
        totals = [np.ones(len(tp)), tp, true, pred, right, jaccard, rescaled]
        return cls(np.column_stack(totals), np.hstack([shared, t + p]))

    def summed(self, weights: NDArray[np.generic]) -> tuple[Floats, Floats]:
        """Add up the posts by weights (..., n): sums (..., 7) and (..., 2L)."""
        classes = (weights.astype(np.float32) @ self.classes).astype(float)
        return weights.astype(float) @ self.totals, classes


def metric_values(totals: Floats, classes: Floats) -> Floats:
    """Compute all metrics from sums over posts.

    Parameters
    ----------
    totals, classes : (..., 7) and (..., 2L) arrays, see `PostCounts`.

    Returns
    -------
    (metrics, ...) array in the order of `METRICS`; NaN where a denominator is 0.
    """
    posts, tp, true, pred, right, jaccard, rescaled = np.moveaxis(totals, -1, 0)
    cells = posts * classes.shape[-1] / 2
    fn, fp = true - tp, pred - tp
    tn = cells - tp - fn - fp
    class_tp, class_size = np.split(classes, 2, axis=-1)
    f1 = ratio(2 * class_tp, class_size)
    spread = np.sqrt(true * pred * (cells - true) * (cells - pred))
    return np.stack(
        [
            ratio(tp + tn, cells),
            ratio(right + tn, cells),
            ratio(rescaled, posts),
            ratio(jaccard, posts),
            ratio(2 * tp, true + pred),
            ratio(np.nansum(f1, axis=-1), (class_size > 0).sum(axis=-1).astype(float)),
            ratio(tp * tn - fp * fn, spread),
            ratio(right, tp),
        ]
    )
