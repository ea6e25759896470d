"""How likely each accepted or rejected label is right, by three models of coders' errors.

``symmetric`` and ``graded`` see one decision per label (see `helpers.audit.coding.noise`),
``latent classes`` sees who decided (see `helpers.audit.coding.latent`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.audit.coding.agreement import second_view
from helpers.audit.coding.latent import (
    ONE_MODEL,
    LatentCoders,
    fit_latent,
    patterns,
    posterior,
)
from helpers.audit.coding.noise import decision_correlation, graded_right, symmetric_right
from helpers.audit.coding.overlap import item_decisions, item_ratings
from helpers.metrics.counts import Floats
from helpers.metrics.scores import _ratio

NOISE = {
    "symmetric": "coders err alike and independently about right and wrong labels",
    "graded": "labels differ in the share of coders who accept them; right is what most accept",
    "graded, lenient": "the same; named is what two in five coders accept, which suits Jaccard",
    "latent classes": "each coder has a sensitivity and a specificity of their own",
}
# Naming a label of probability p raises the expected Jaccard J where p > J/(1+J): about 0.4 here.
LENIENT = 0.4


@dataclass(frozen=True)
class Cells:
    """Labels that were proposed for a post, sorted by post.

    Attributes
    ----------
    n_posts : posts with any proposal.
    post, stratum : (n,) places in ids and strata; the stratum of a label is the model that
        proposed it, GPT4 where both did (the first by name).
    accepted : (n,) whether any coder accepted it: the true label.
    pattern : (n,) place in the next two, who decided what.
    group : (n_posts,) which models made the proposals for the post, e.g. ``GPT4`` alone.
    values, pattern_stratum : (P, C) 1 accepted, 0 rejected, -1 not judged; (P,).
    strata, coders, ids : names.
    """

    n_posts: int
    post: NDArray[np.int_]
    stratum: NDArray[np.int_]
    accepted: NDArray[np.bool_]
    pattern: NDArray[np.int_]
    values: NDArray[np.int_]
    pattern_stratum: NDArray[np.int_]
    strata: list[str]
    coders: list[str]
    ids: list[str]
    group: NDArray[np.str_]


def cells(codings: pd.DataFrame) -> Cells:
    """Pool the decisions on each (post, dimension), whatever level and model was proposed."""
    rows = codings.assign(llm=codings.get("llm", ONE_MODEL))
    strata, coders = sorted(rows["llm"].unique()), sorted(rows["coder"].unique())
    # The truth takes a label that anybody ever accepted, and so does a coder's decision here.
    wide = rows.pivot_table(
        index=["id", "dimension"], columns="coder", values="accepted", aggfunc="max", sort=True
    )
    values = wide[coders].astype(float).fillna(-1).to_numpy().astype(int)
    stratum = rows.groupby(["id", "dimension"], sort=True)["llm"].min().map(strata.index)
    both = np.column_stack([values, stratum.to_numpy()])
    found, pattern = np.unique(both, axis=0, return_inverse=True)
    post, ids = pd.factorize(wide.index.get_level_values("id"))
    group = rows.groupby("id")["llm"].agg(lambda names: ", ".join(sorted(set(names))))
    return Cells(
        len(ids), post, both[:, -1], (values == 1).any(axis=1), pattern.ravel(),
        found[:, :-1], found[:, -1], strata, coders, list(ids),
        group.loc[list(ids)].to_numpy(dtype=str),
    )  # fmt: skip


def right_probabilities(found: Cells, codings: pd.DataFrame, weights: Floats) -> dict[str, Floats]:
    """Return the probability that labels of each pattern are right, by model of the errors.

    Parameters
    ----------
    found : of `cells`.
    codings : the same decisions.
    weights : (B, n_posts), how often each post counts; the first row is the estimate.

    Returns
    -------
    key of `NOISE` -> (B, P); NaN in samples without any item that two coders judged.

    Raises
    ------
    PublishedError
        If no two coders judged the same proposal.
    """
    latent = _latent(found, codings, weights)  # raises if there is nothing to tell errors from
    return _by_decision(found, codings, weights) | {"latent classes": latent}


def _by_decision(found: Cells, codings: pd.DataFrame, weights: Floats) -> dict[str, Floats]:
    """Probability that a label is right, (B, P), from one decision and its model."""
    n_strata = len(found.strata)
    proposed, accepted = np.zeros((2, found.n_posts, n_strata))
    np.add.at(proposed, (found.post, found.stratum), 1)
    np.add.at(accepted, (found.post, found.stratum), found.accepted)
    share = _pooled(weights @ accepted, weights @ proposed)
    items, places = item_decisions(codings), pd.Index(found.ids)
    n, equal, yes = np.zeros((3, *share.shape))
    for place, name in enumerate(found.strata):
        part = items[items["llm"] == name] if "llm" in items.columns else items
        ratings, _, ids = item_ratings(part)
        sums = weights[:, places.get_indexer(ids)] @ second_view(ratings)["sums"]
        n[:, place], equal[:, place], yes[:, place] = sums.T
    agreement, shared = _pooled(equal, n), _pooled(yes, n)
    decision = (found.values == 1).any(axis=1).astype(int)
    # All alike, as in a small sample: undefined, and one decision tells as good as nothing.
    correlation = np.nan_to_num(decision_correlation(agreement, shared))
    share = np.where(np.isnan(agreement), np.nan, share)
    both = {
        "symmetric": symmetric_right(agreement, share),
        "graded": graded_right(correlation, share),
        "graded, lenient": graded_right(correlation, share, LENIENT),
    }
    return {name: p[:, found.pattern_stratum, decision] for name, p in both.items()}


def _latent(found: Cells, codings: pd.DataFrame, weights: Floats) -> Floats:
    """Probability that a label is right, (B, P), from who decided what and its model."""
    data = patterns(codings)
    counts = weights[:, pd.Index(found.ids).get_indexer(data.ids)] @ data.per_post
    fit = fit_latent(data, counts[:1], n_iterations=2000)
    fits = fit_latent(data, counts, start=fit, n_iterations=200)
    seen = pd.Index(data.coders).get_indexer(found.coders)
    judged = counts @ (data.values >= 0)

    def everyone(of_coders: Floats) -> Floats:
        """A coder without overlapping items is taken to be like the others on average."""
        total = judged.sum(axis=1, keepdims=True)
        average = np.nan_to_num(
            _ratio((of_coders * judged).sum(axis=1, keepdims=True), total), nan=0.5
        )
        return np.where(seen >= 0, of_coders[:, seen], average)

    se, sp = everyone(fits.sensitivity), everyone(fits.specificity)
    per_post = np.zeros((found.n_posts, len(found.values)))
    np.add.at(per_post, (found.post, found.pattern), 1)
    every, member = weights @ per_post, np.eye(len(found.strata))[found.pattern_stratum]
    prevalence = np.full((len(weights), len(found.strata)), 0.5)
    for _ in range(100):  # EM again, for the share of right labels among all that were proposed
        now = LatentCoders(se, sp, prevalence, np.empty(0))
        right = posterior(now, found.values, found.pattern_stratum)
        prevalence = np.clip(_pooled((every * right) @ member, every @ member), 1e-6, 1 - 1e-6)
    return np.where(counts.sum(axis=1, keepdims=True) > 0, right, np.nan)


def _pooled(part: Floats, whole: Floats) -> Floats:
    """Divide, (B, G); of a model without any item take the ratio of all."""
    total = _ratio(part.sum(axis=1, keepdims=True), whole.sum(axis=1, keepdims=True))
    return np.divide(part, whole, out=np.broadcast_to(total, part.shape).copy(), where=whole > 0)
