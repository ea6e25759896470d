"""One coder scored against another, as if the first were a model: no assumption about errors.

On posts where two coders judged the same proposals, the labels that one accepted are scored
against those that the other accepted, in both directions. What a coder reaches a model could reach
too, so this is no ceiling but a yardstick below it. Above it is the best set of labels that does
not know which of the two coders will judge: no model, however good, can score more against these
two on average. It is chosen with both coders known, so it lies above the ceiling for coders in
general.

A *simulated coder* decides on each label apart, with the probability that another coder accepts
what the first accepted (rejected), by model. If that scores like the other coder, errors on the
labels of a post may be taken as independent, as `helpers.audit.coding.ceiling` does.

Only labels that some model proposed can be accepted; a model that is free to name others has it
harder than a coder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.audit.coding.ceiling import CEILING_METRICS
from helpers.audit.coding.overlap import item_decisions, item_key, overlapping
from helpers.metrics.counts import Floats, Sums, TextCounts, multi_label_counts
from helpers.metrics.intervals import percentile_interval, resampled_sums
from helpers.metrics.scores import metrics_of
from helpers.published.archive import Posts
from helpers.published.panel import PublishedError

Labels = NDArray[np.bool_]
_PAIR = ["id", "coder", "coder_other"]
OTHER_CODER, SIMULATED, BEST_SET = "other coder", "simulated coder", "best set for both"
REFERENCES = (OTHER_CODER, SIMULATED, BEST_SET, "all proposals", "nothing")
_DRAWS = 50
COMPARISON_COLUMNS = (
    *("reference", "metric", "value", "ci_low", "ci_high"),
    *("difference", "difference_low", "difference_high", "n_comparisons", "n_posts"),
)


def coder_as_model(
    codings: pd.DataFrame,
    labels: Sequence[str],
    posts: Posts | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score coders, simple rules and models against single coders on the same posts.

    Parameters
    ----------
    codings : of one split.
    labels : the codebook, in the order of the columns of `posts`.
    posts : of the same split, with the models' answers; without it no model is scored.
    n_resamples, seed : of the bootstrap over posts.

    Returns
    -------
    DataFrame, columns `COMPARISON_COLUMNS`
        reference: `REFERENCES` (the last two are baselines; the simulated coder is the mean of
        several draws), then the models. Each ordered pair of
        coders of a post is a comparison, if the coder who is the truth accepted anything: posts
        without a true label are not evaluated in the archive either. difference: value minus that
        of the other coder, its interval paired over posts.

    Raises
    ------
    PublishedError
        If no two coders judged the same proposal.
    """
    both = _judged_twice(codings, labels)
    pairs = both[_PAIR].drop_duplicates().reset_index(drop=True)
    row = both.groupby(_PAIR, sort=True).ngroup().to_numpy()
    column = pd.Index(list(labels)).get_indexer(both["dimension"])

    def matrix(accepted: Labels) -> Labels:
        chosen = np.zeros((len(pairs), len(labels)), dtype=bool)
        chosen[row[accepted], column[accepted]] = True
        return chosen

    truth, other = (matrix(both[name].to_numpy(bool)) for name in ("accepted", "accepted_other"))
    used, chance = truth.any(axis=1), _second_decision(both)
    rng = np.random.default_rng(seed)
    answers = {
        OTHER_CODER: [other],
        SIMULATED: [matrix(rng.random(len(both)) < chance) for _ in range(_DRAWS)],
        BEST_SET: [best_sets(truth, other)],
        "all proposals": [matrix(np.ones(len(both), dtype=bool))],
        "nothing": [np.zeros_like(truth)],
    }
    if posts is not None:
        place = pd.Index(posts.ids).get_indexer(pairs["id"])  # -1: no true label, not evaluated
        for fname, levels in posts.predicted.items():
            answers[fname] = [levels[place] > 0]
    post, ids = pd.factorize(pairs.loc[used, "id"])
    everything = {
        name: _metrics(
            truth[used], [draw[used] for draw in draws], post, len(ids), n_resamples, seed
        )
        for name, draws in answers.items()
    }
    coder_value, coder_samples = everything[OTHER_CODER]
    rows = []
    for name, (value, samples) in everything.items():
        low, high = percentile_interval(samples)
        apart = value - coder_value
        apart_low, apart_high = percentile_interval(samples - coder_samples)
        for k, metric in enumerate(CEILING_METRICS):
            numbers = (value[k], low[k], high[k], apart[k], apart_low[k], apart_high[k])
            rows.append((name, metric, *numbers, int(used.sum()), len(ids)))
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))


def _judged_twice(codings: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Return one row an item and ordered pair of its coders, sorted by post and pair."""
    items = item_decisions(codings)
    items = items[overlapping(items) & items["dimension"].isin(labels)]
    if items.empty:
        raise PublishedError("no proposal was judged by two coders: nothing can be compared")
    both = items.merge(items, on=item_key(items), suffixes=("", "_other"))
    return both[both["coder"] != both["coder_other"]].sort_values(_PAIR, kind="stable")


def _second_decision(both: pd.DataFrame) -> Floats:
    """Return the probability that another coder accepts, given one's decision and the model."""
    known = [name for name in ("llm", "accepted") if name in both.columns]
    return both.groupby(known)["accepted_other"].transform("mean").to_numpy(float)


def best_sets(truth: Labels, other: Labels) -> Labels:
    """Return for each row the set with the highest Jaccard index to both sets on average.

    It holds what both have, and some labels of either; which ones does not matter, only how many.
    Where the other set is empty, it is not evaluated: the set itself is best.
    """
    best = np.zeros_like(truth)
    for row, (one, two) in enumerate(zip(truth, other, strict=True)):
        if not (one.any() and two.any()):
            best[row] = one
            continue
        shared = one & two
        only = np.flatnonzero(one & ~two), np.flatnonzero(two & ~one)
        c, a, b = shared.sum(), *(len(part) for part in only)
        i, j = np.meshgrid(np.arange(a + 1), np.arange(b + 1), indexing="ij")
        total = (c + i) / (c + a + j) + (c + j) / (c + b + i)
        take = np.unravel_index(np.argmax(total), total.shape)
        best[row] = shared
        for part, number in zip(only, take, strict=True):
            best[row, part[:number]] = True
    return best


def _metrics(
    truth: Labels,
    answers: list[Labels],
    post: NDArray[np.intp],
    n_posts: int,
    n_resamples: int,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return `CEILING_METRICS` over comparisons, (k,), and over resampled posts, (B, k)."""
    draws = [multi_label_counts(truth, a, np.ones(len(truth), bool)).parts for a in answers]
    # All metrics are functions of sums, which may be averaged over draws.
    per_row = {name: np.mean([draw[name] for draw in draws], axis=0) for name in draws[0]}
    per_row["rows"] = np.ones((len(truth), 1))
    parts = {}
    for name, part in per_row.items():
        parts[name] = np.zeros((n_posts, part.shape[1]))
        np.add.at(parts[name], post, part)
    clusters = TextCounts("multi", parts, np.ones(n_posts, bool))

    def scored(sums: Sums) -> Floats:
        found = metrics_of("multi", sums | {"n": sums["rows"]})  # comparisons, not posts
        return np.stack([found[metric] for metric in CEILING_METRICS], axis=-1)

    return scored(clusters.total()), scored(resampled_sums(clusters, n_resamples, seed))
