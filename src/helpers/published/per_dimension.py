"""Statistics of each dimension, as the authors printed them and as their names mean.

The published confusion matrix has rows and columns swapped: truth stands where the prediction is
due. So what is printed as precision is the recall TP/(TP+FN), what is printed as sensitivity and
recall is the precision TP/(TP+FP), ``spec`` is the negative predictive value TN/(TN+FN), and
``balAcc`` the mean of precision and negative predictive value. Accuracy and F1 are the same either
way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.published.archive import Posts
from helpers.published.statistics import Levels

Floats = NDArray[np.float64]
STATISTICS = ("acc", "f1", "prec", "recall", "spec", "sens", "balAcc")
PER_DIMENSION_COLUMNS = ("fname", "split", "dimension", *STATISTICS)


def confusion(truth: Levels, predicted: Levels) -> dict[str, Floats]:
    """Count the posts of each dimension.

    Parameters
    ----------
    truth, predicted : (n, L) arrays; any positive level counts as present.

    Returns
    -------
    ``tp``, ``fp``, ``fn``, ``tn``: arrays (L,).
    """
    t, p = truth > 0, predicted > 0
    cells = {"tp": t & p, "fp": ~t & p, "fn": t & ~p, "tn": ~t & ~p}
    return {name: cell.sum(axis=0).astype(float) for name, cell in cells.items()}


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide; NaN where the denominator is 0: undefined values stay undefined."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0)


def published_dimensions(
    posts: Posts, dimensions: Sequence[str], names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Recompute the statistics of each dimension as published, swapped meanings included.

    Parameters
    ----------
    posts : see `helpers.published.archive.posts`; of each model the posts that it answered.
    dimensions : the L names, in the order of the columns.
    names : of the models (fname); all without it.

    Returns
    -------
    DataFrame, columns `PER_DIMENSION_COLUMNS`, one row a model and dimension. Shares between 0 and
    1; NaN where the published value is ``NA``: F1 where no post is rightly found, recall and
    sensitivity where the model never names the dimension, and what is made of them.
    """
    parts = []
    for fname in names or posts.predicted:
        used = posts.published_selection(fname)
        counts = confusion(posts.truth[used], posts.predicted[fname][used])
        tp, fp, fn, tn = (counts[name] for name in ("tp", "fp", "fn", "tn"))
        found, named = ratio(tp, tp + fn), ratio(tp, tp + fp)
        negative = ratio(tn, tn + fn)
        parts.append(
            pd.DataFrame(
                {
                    "fname": fname,
                    "split": posts.split,
                    "dimension": list(dimensions),
                    "acc": ratio(tp + tn, tp + fp + fn + tn),
                    "f1": np.where(tp > 0, ratio(2 * tp, 2 * tp + fp + fn), np.nan),
                    "prec": found,
                    "recall": named,
                    "spec": negative,
                    "sens": named,
                    "balAcc": (named + negative) / 2,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
