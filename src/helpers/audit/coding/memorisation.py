"""Did the fine-tuned models learn the coders' errors by heart?

A label that one coder accepted and another rejected is a true label of the archive all the same:
the fine-tuned models were trained to name it. A model that only learnt what is right can't tell
such a label's one decision from the other; one that learnt its training texts by heart names it as
often as labels that both coders accepted.

The `follows` index of a model is (d - r)/(a - r): how often it names labels on which coders
disagree (d), on the scale from those that all rejected (0) to those that all accepted (1). Its size
alone proves nothing, since the proposers' own answers are near 1 whatever the coders said: compare
a fine-tuned model with its own base, which never saw the labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers.audit.coding.overlap import ALL, item_decisions, item_key, overlapping
from helpers.metrics.counts import Floats, Sums
from helpers.metrics.reliability import bootstrap
from helpers.metrics.scores import _ratio
from helpers.published.archive import Posts
from helpers.published.panel import PublishedError

QUANTITIES = ("all rejected", "disagree", "all accepted", "follows")
MEMORY_COLUMNS = ("fname", "llm", "quantity", "value", "ci_low", "ci_high", "n", "n_posts")


def named_by_agreement(
    codings: pd.DataFrame,
    posts: Posts,
    labels: Sequence[str],
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how often models name labels that coders agree and disagree on.

    Parameters
    ----------
    codings : of one split.
    posts : of the same split; a post that a model left unanswered has no label named.
    labels : the L dimensions, in the order of the columns of `posts`.
    n_resamples, seed : of the bootstrap over posts.

    Returns
    -------
    DataFrame, columns `MEMORY_COLUMNS`
        One row a model, proposer (llm; ``all`` first) and quantity: the share of the n overlapping
        items that the model names, where ``all rejected``, where coders ``disagree`` and where
        ``all accepted``; and the index ``follows``. The row ``truth`` is the baseline: who names
        the true labels of the archive, as one who learnt them by heart.

    Raises
    ------
    PublishedError
        If no two coders judged the same proposal.
    """
    items = item_decisions(codings)
    items = items[overlapping(items) & items["id"].isin(posts.ids)]
    if items.empty:
        raise PublishedError("no proposal was judged by two coders: nothing can be compared")
    grouped = items.groupby(item_key(items))["accepted"].agg(["min", "max"]).reset_index()
    kind = np.where(grouped["min"], 2, np.where(grouped["max"], 1, 0))
    row = pd.Index(posts.ids).get_indexer(grouped["id"])
    column = pd.Index(list(labels)).get_indexer(grouped["dimension"])
    text, ids = pd.factorize(grouped["id"])
    llm = grouped["llm"] if "llm" in grouped.columns else pd.Series(ALL, grouped.index)
    rows = []
    for fname, levels in {"truth": posts.truth, **posts.predicted}.items():
        named = (levels[row, column] > 0) & (column >= 0)
        for name in [ALL, *sorted(set(llm) - {ALL})]:
            used = ((llm == name) | (name == ALL)).to_numpy()
            judged, hits = np.zeros((2, len(ids), 3))
            np.add.at(judged, (text[used], kind[used]), 1)
            np.add.at(hits, (text[used], kind[used]), named[used])
            sums = {"judged": judged, "named": hits}
            found = np.array(bootstrap(sums, _follows, n_resamples, seed))
            sizes = [*judged.sum(axis=0).astype(int), int(used.sum())]
            n_posts = [*(judged > 0).sum(axis=0), len(np.unique(text[used]))]
            for k, quantity in enumerate(QUANTITIES):
                rows.append((fname, name, quantity, *found[:, k], sizes[k], n_posts[k]))
    return pd.DataFrame(rows, columns=list(MEMORY_COLUMNS))


def _follows(sums: Sums) -> Floats:
    share = _ratio(sums["named"], sums["judged"])
    rejected, between, accepted = (share[..., k] for k in range(3))
    index = _ratio(between - rejected, accepted - rejected)
    return np.stack([rejected, between, accepted, index], axis=-1)
