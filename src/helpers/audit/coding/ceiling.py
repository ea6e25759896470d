"""The noise ceiling: what the right answers would score against the true labels of the archive.

The true labels are mostly one coder's decisions. With a model of how coders err, the right answers
can be drawn given these decisions, and scored against them as if they were a model's answers. That
is the ceiling of a model that knows what is right, and not how the coder of a post erred.

There are several models of the errors (`NOISE`), because the data can't choose between them.

Assumptions of all: errors on different labels of a post are independent; the overlapping
items are like the others of the same model; a label that no model proposed is wrong. The last one
makes the ceiling an upper bound for models that name labels freely. It is no bound for a model that
was trained on these very labels: it may have learnt the errors by heart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.audit.coding.right_labels import NOISE, Cells, cells, right_probabilities
from helpers.metrics.counts import Floats
from helpers.metrics.intervals import percentile_interval
from helpers.metrics.scores import LOWER_IS_BETTER, _ratio
from helpers.published.archive import Posts
from helpers.published.panel import PublishedError

ALL = "all"
CEILING_METRICS = ("jaccard", "micro_f1", "hamming_loss", "dimension_accuracy", "exact_match")
CEILING_COLUMNS = ("noise", "posts", "metric", "value", "ci_low", "ci_high", "n", "empty")
BESIDE_COLUMNS = (
    *("fname", "posts", "metric", "value", "noise", "ceiling", "ceiling_low", "ceiling_high"),
    *("difference", "ci_low", "ci_high", "verdict"),
)


def ceiling_table(
    codings: pd.DataFrame,
    n_labels: int,
    n_resamples: int = 400,
    n_draws: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the scores of the right answers against the true labels, by model of the errors.

    Parameters
    ----------
    codings : of one split.
    n_labels : of the codebook (46).
    n_resamples : bootstrap samples of the posts. Each estimates the errors anew and draws right
        answers once: the interval holds what is unknown about the errors, the posts and the
        answers, given that the model of the errors is right.
    n_draws : of right answers, whose mean score is the value.
    seed : of both.

    Returns
    -------
    DataFrame, columns `CEILING_COLUMNS`
        noise: one of `NOISE`; before them ``nothing`` and ``all proposals``, what one scores who
        names no label or all that were proposed (baselines). posts: ``all``, then those by the
        models that made the proposals. metric: one of `CEILING_METRICS`. n
        posts with a true label, as the archive evaluates; empty: share of them without any right
        label, where every answer scores 0 in Jaccard.

    Raises
    ------
    PublishedError
        If no two coders judged the same proposal.
    """
    found, rng = cells(codings), np.random.default_rng(seed)
    equal = np.full(found.n_posts, 1 / found.n_posts)
    weights = rng.multinomial(found.n_posts, equal, size=n_resamples).astype(float)
    weights = np.vstack([np.ones(found.n_posts), weights])  # the posts as they are come first
    groups = {ALL: np.ones(found.n_posts)}
    if len(names := np.unique(found.group)) > 1:
        groups |= {str(name): (found.group == name).astype(float) for name in names}
    tables: list[tuple[Any, ...]] = []

    def add(noise: str, draws: list[Floats], resampled: list[Floats]) -> None:
        points, spread = np.array(draws), np.array(resampled)
        for place, group in enumerate(groups):
            value = points[:, place].mean(axis=0)
            low, high = percentile_interval(spread[:, place])
            n = len(np.unique(found.post[found.accepted & (groups[group] > 0)[found.post]]))
            numbers = zip(CEILING_METRICS, value, low, high, strict=False)
            tables.extend((noise, group, *row, n, value[-1]) for row in numbers)

    def drawn(p: Floats, weight: Floats) -> Floats:
        found_right = scored(rng.random(len(p)) < p, weight)
        return np.full_like(found_right, np.nan) if np.isnan(p).any() else found_right

    def scored(named: NDArray[np.bool_], weight: Floats) -> Floats:
        counts = _post_counts(found, named, n_labels)
        return np.array([_scores(counts, weight * member) for member in groups.values()])

    for noise, value in (("nothing", False), ("all proposals", True)):
        named = np.full(len(found.post), value)
        add(noise, [scored(named, weights[0])], [scored(named, weight) for weight in weights[1:]])
    for noise, probability in right_probabilities(found, codings, weights).items():
        p = probability[:, found.pattern]
        add(
            noise,
            [drawn(p[0], weights[0]) for _ in range(n_draws)],
            [drawn(row, weight) for row, weight in zip(p[1:], weights[1:], strict=True)],
        )
    return pd.DataFrame(tables, columns=list(CEILING_COLUMNS))


def _post_counts(found: Cells, drawn: NDArray[np.bool_], n_labels: int) -> Floats:
    """Return what each post adds, (n_posts, 7), if the drawn labels are named."""

    def per_post(member: NDArray[np.bool_]) -> Floats:
        return np.bincount(found.post[member], minlength=found.n_posts).astype(float)

    true, named, both = (
        per_post(member) for member in (found.accepted, drawn, drawn & found.accepted)
    )
    return _sums(true, named, both, n_labels)


def _sums(true: Floats, named: Floats, both: Floats, n_labels: int) -> Floats:
    """Put what each post adds side by side, from its numbers of labels; 0 without a true one."""
    used = true > 0
    wrong = true + named - 2 * both
    jaccard = np.divide(both, true + named - both, out=np.zeros_like(both), where=used)
    sums = [used, jaccard, both, true + named, wrong / n_labels, wrong == 0, named == 0]
    return np.column_stack(sums) * used[:, None]


def _scores(counts: Floats, weight: Floats) -> Floats:
    """Return `CEILING_METRICS` and the share of posts where nothing is named, (..., 6)."""
    n, jaccard, both, named, wrong, exact, empty = np.moveaxis(weight @ counts, -1, 0)
    hamming = _ratio(wrong, n)
    return np.stack(
        [_ratio(jaccard, n), _ratio(2 * both, named), hamming, 1 - hamming, _ratio(exact, n),
         _ratio(empty, n)],
        axis=-1,
    )  # fmt: skip


def beside_ceiling(ceiling: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Put models' scores beside the ceiling.

    Parameters
    ----------
    ceiling : of `ceiling_table`.
    scores : columns fname, metric, value; with ci_low and ci_high their uncertainty counts too;
        with posts (as in the ceiling) by group, else all posts.

    Returns
    -------
    DataFrame, columns `BESIDE_COLUMNS`
        One row a model, metric of `CEILING_METRICS` and model of the errors. difference is value -
        ceiling; its interval combines both intervals as if they were independent (they rest on
        the same posts, so it is rather too wide). verdict, of whoever has the better score:
        ``below``, ``above`` or ``not distinguishable``; ``unknown`` without a score.

    References
    ----------
    Zou & Donner (2008), Statistics in Medicine 27(10), 1693-1702, equation for a difference.
    """
    if missing := [name for name in ("fname", "metric", "value") if name not in scores.columns]:
        raise PublishedError(f"scores lack column(s) {', '.join(missing)}")
    limits = ceiling[ceiling["noise"].isin(NOISE)].rename(
        columns={"value": "ceiling", "ci_low": "ceiling_low", "ci_high": "ceiling_high"}
    )
    if "posts" not in scores.columns:
        scores = scores.assign(posts=ALL)
    own = [name for name in ("ci_low", "ci_high") if name in scores.columns]
    table = scores[["fname", "posts", "metric", "value", *own]].merge(
        limits[["noise", "posts", "metric", "ceiling", "ceiling_low", "ceiling_high"]],
        on=["posts", "metric"],
    )
    value, level = table["value"], table["ceiling"]
    low, high = (table[name] if name in own else value for name in ("ci_low", "ci_high"))
    table["difference"] = value - level
    down = np.hypot(value - low, table["ceiling_high"] - level)
    up = np.hypot(high - value, level - table["ceiling_low"])
    table["ci_low"], table["ci_high"] = table["difference"] - down, table["difference"] + up
    sign = np.where(table["metric"].isin(LOWER_IS_BETTER), -1, 1)
    worst = np.minimum(sign * table["ci_low"], sign * table["ci_high"])
    best = np.maximum(sign * table["ci_low"], sign * table["ci_high"])
    cases = {"unknown": value.isna(), "above": worst > 0, "below": best < 0}
    table["verdict"] = np.select(list(cases.values()), list(cases), default="not distinguishable")
    return table[list(BESIDE_COLUMNS)]


def scores_by_posts(
    codings: pd.DataFrame, posts: Posts, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Score the models on the posts of each group of the ceiling, unanswered ones being empty.

    Parameters
    ----------
    codings, posts : of the same split.
    n_resamples, seed : of the bootstrap over posts.

    Returns
    -------
    DataFrame (fname, posts, metric, value, ci_low, ci_high, n), for `beside_ceiling`.
    """
    found = cells(codings)
    group = pd.Series(found.group, index=found.ids).loc[list(posts.ids)].to_numpy()
    rows = []
    for name in [ALL, *(sorted(set(group)) if len(set(group)) > 1 else [])]:
        used = (group == name) | (name == ALL)
        n = int(used.sum())
        drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
        for fname, levels in posts.predicted.items():
            truth, named = posts.truth[used] > 0, levels[used] > 0
            counts = _sums(
                truth.sum(axis=1).astype(float),
                named.sum(axis=1).astype(float),
                (truth & named).sum(axis=1).astype(float),
                truth.shape[1],
            )
            value = _scores(counts, np.ones(n))
            low, high = percentile_interval(_scores(counts, drawn.astype(float)))
            for k, metric in enumerate(CEILING_METRICS):
                rows.append((fname, name, metric, value[k], low[k], high[k], n))
    return pd.DataFrame(
        rows, columns=["fname", "posts", "metric", "value", "ci_low", "ci_high", "n"]
    )
