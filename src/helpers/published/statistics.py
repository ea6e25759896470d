"""The statistics that the authors published for the flourishing posts, by their definitions.

They are recomputed as published, to be compared with what was published; what is wrong with them
is said in ``data/published/README.md``. The truth of the training posts comes from the proposals of
LLAMA-2 and ChatGPT-4 alone: coders could reject, not add. That favours both models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.tasks import Task

if TYPE_CHECKING:
    from helpers.published.archive import Posts

SUMMARY_COLUMNS = (
    *("fname", "split", "n", "ntext", "accD", "accI", "FN", "FP", "jac", "jac2", "ham"),
)
Levels = NDArray[np.uint8]


def level_matrix(task: Task, rows: pd.DataFrame, ids: Sequence[str]) -> Levels:
    """Put cleaned answers into a matrix.

    Parameters
    ----------
    task : gives the L dimensions and the levels.
    rows : columns id, dimension, value; the first row of a dimension of a post counts.
    ids : of the n posts wanted; rows of other posts are left out.

    Returns
    -------
    (n, L) array: 0 absent, 1 low, 2 medium, 3 high.
    """
    place = {key: i for i, key in enumerate(ids)}
    column = {label: i for i, label in enumerate(task.labels)}
    level = {name: i for i, name in enumerate(task.levels, 1)}
    first = rows[rows["id"].isin(place)].drop_duplicates(["id", "dimension"])
    matrix = np.zeros((len(ids), len(task.labels)), dtype=np.uint8)
    row, place_of = first["id"].map(place), first["dimension"].map(column)
    # An empty selection maps to objects, which can't be indices.
    matrix[row.to_numpy(int), place_of.to_numpy(int)] = first["value"].map(level).to_numpy(int)
    return matrix


def published_statistics(truth: Levels, predicted: Levels) -> dict[str, float]:
    """Compute the published statistics for the posts that have both truth and prediction.

    Parameters
    ----------
    truth, predicted : (n, L) arrays of `level_matrix`. A post with an empty row in either is left
        out, as published: models are scored on different posts.

    Returns
    -------
    n (posts x L), ntext (posts), and shares between 0 and 1: accD = (TP+TN)/n; accI the same with
    TP only where the level agrees; FN, FP; jac = mean |T∩P|/|T∪P|; jac2 = mean (L-e)/(L+1[e>0])
    with e = FN+FP of the post; ham = mean e/L. Without any post the shares are NaN.
    """
    both = (truth > 0).any(axis=1) & (predicted > 0).any(axis=1)
    truth, predicted = truth[both], predicted[both]
    n_texts, n_labels = truth.shape
    n = truth.size
    if n == 0:
        return {"n": 0, "ntext": 0} | dict.fromkeys(SUMMARY_COLUMNS[4:], np.nan)
    missed, added = (truth > 0) & (predicted == 0), (truth == 0) & (predicted > 0)
    errors = (missed | added).sum(axis=1)
    shared = ((truth > 0) & (predicted > 0)).sum(axis=1)
    return {
        "n": n,
        "ntext": n_texts,
        "accD": (n - errors.sum()) / n,
        "accI": (truth == predicted).sum() / n,
        "FN": missed.sum() / n,
        "FP": added.sum() / n,
        "jac": float(np.mean(shared / (shared + errors))),
        "jac2": float(np.mean((n_labels - errors) / (n_labels + (errors > 0)))),
        "ham": float(np.mean(errors / n_labels)),
    }


def published_summary(posts: Posts) -> pd.DataFrame:
    """Recompute the published statistics of all models on the posts of one split.

    Parameters
    ----------
    posts : see `helpers.published.archive.posts`, which says by which rules they are read.

    Returns
    -------
    DataFrame with columns `SUMMARY_COLUMNS`, one row a model.
    """
    rows = [
        {"fname": fname, "split": posts.split} | published_statistics(posts.truth, predicted)
        for fname, predicted in posts.predicted.items()
    ]
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
