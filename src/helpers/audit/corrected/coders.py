"""Intervals of the corrected scores over posts AND coders: the true labels are uncertain too.

The true labels are decisions of a handful of coders; most posts were judged by one, and others
would have decided otherwise. Here posts and coders are both drawn (the pigeonhole bootstrap for
crossed factors). A unit is a post with the labels that ONE of its coders accepted. It counts as
often as its post was drawn times its coder was, and of a post with m coders each unit counts 1/m.
Of k coders k-1 are drawn, with replacement: with k the variance would be too small by (k-1)/k. The
interval is shifted by the difference between the score against the merged labels and the mean
score against single coders, so that it belongs to the former.

How far to trust it: with five coders, two of whom made most decisions, it is rough, and rather too
short than too long. Coders judged different posts, so that what differs between their posts is in
it as well. It says nothing about labels that no model proposed.

References
----------
Owen (2007), Annals of Applied Statistics 1(2), 386-411 (crossed factors).
Rao & Wu (1988), Journal of the American Statistical Association 83, 231-241 (k-1 of k).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.audit.corrected.counts import (
    METRICS,
    Resampled,
    score_values,
    stacked_counts,
    sums_by_model,
)
from helpers.metrics.counts import Floats, Sums
from helpers.metrics.intervals import percentile_interval
from helpers.published.archive import Archive, Posts, true_labels
from helpers.published.statistics import level_matrix

CODER_COLUMNS = ("fname", "texts", "metric", "ci_low_coders", "ci_high_coders", "n_coders")
_STREAM = 0xC0DE  # keeps these draws apart from those of the posts alone


def coder_units(
    archive: Archive, posts: Posts, conflict: str = "published"
) -> tuple[Posts, NDArray[np.int_], NDArray[np.int_]]:
    """Return one row for each coder of each post, with the labels that this coder accepted.

    Returns
    -------
    units : posts as rows of (post, coder) pairs that have a label; predictions repeated.
    post, coder : (units,) places of the unit's post in `posts` and of its coder.
    """
    codings, place = archive.codings[posts.split], pd.Index(posts.ids)
    truth, post, coder = [], [], []
    for number, (_, rows) in enumerate(codings.groupby("coder", sort=True)):
        matrix = level_matrix(archive.task, true_labels(rows, conflict), posts.ids)
        found = np.flatnonzero((matrix > 0).any(axis=1))
        truth.append(matrix[found])
        post.append(found)
        coder.append(np.full(len(found), number))
    where = np.concatenate(post)
    ids = tuple(str(key) for key in place[where])
    predicted = {fname: matrix[where] for fname, matrix in posts.predicted.items()}
    units = replace(posts, ids=ids, truth=np.vstack(truth), predicted=predicted)
    return units, where, np.concatenate(coder)


def coder_intervals(
    archive: Archive,
    resampled: Resampled,
    *,
    conflict: str = "published",
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute intervals over posts and coders; how, and how far to trust them: see above.

    Returns
    -------
    DataFrame, columns `CODER_COLUMNS`; no rows where fewer than two coders have labels.
    """
    posts = resampled.posts
    units, post, coder = coder_units(archive, posts, conflict)
    present, coder = np.unique(coder, return_inverse=True)
    rows: list[tuple[object, ...]] = []
    if len(present) > 1:
        weights = unit_weights(post, coder, n_resamples, seed)
        stacked = stacked_counts(units).parts
        edges = np.cumsum([part.shape[1] for part in stacked.values()])[:-1]
        columns = np.split(weights @ np.hstack(list(stacked.values())), edges, axis=1)
        sums = sums_by_model(posts, dict(zip(stacked, columns, strict=True)))
        for fname, by_texts in sums.items():
            for texts, own in by_texts.items():
                merged = score_values(resampled.total[fname][texts])
                for metric, limits in _limits(own, merged).items():
                    rows.append((fname, texts, metric, *limits, len(present)))
    return pd.DataFrame(rows, columns=list(CODER_COLUMNS))


def unit_weights(
    post: NDArray[np.int_], coder: NDArray[np.int_], n_resamples: int, seed: int
) -> Floats:
    """Return how much each unit counts, (1 + n_resamples, units): as it is, then when drawn.

    Parameters
    ----------
    post, coder : (units,) whole numbers from 0, each of which occurs.
    n_resamples, seed : int
    """
    n, k = post.max() + 1, coder.max() + 1
    rng = np.random.default_rng([seed, _STREAM])
    posts_drawn = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples)
    coders_drawn = rng.multinomial(k - 1, np.full(k, 1 / k), size=n_resamples)
    share = 1 / np.bincount(post)[post]
    return np.vstack([share, posts_drawn[:, post] * coders_drawn[:, coder] * share])


def _limits(own: Sums, merged: Mapping[str, Floats]) -> dict[str, Floats]:
    values, result = score_values(own), {}
    for metric in METRICS:
        shift = merged[metric] - values[metric][0]
        limits = np.array(percentile_interval(values[metric][1:])) + shift
        result[metric] = np.clip(limits, -1.0 if metric == "mcc" else 0.0, 1.0)
    return result
