"""Proposals that several coders judged: what an item is, strictness on equal items, selection.

- What an item is decides the figure (`DEFINITIONS`); the published count and agreement are those
  of the same proposal of the same model, with a coder's first decision on it.
- Double-coded posts were not drawn at random, as far as the archive says (`overlap_selection`).

Coefficients of agreement are in `helpers.audit.coding.agreement`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from helpers.metrics.counts import Floats, Sums
from helpers.metrics.reliability import (
    Ratings,
    bootstrap,
    bootstrap_shares,
    unanimous_parts,
)
from helpers.metrics.scores import _ratio

ALL = "all"
DEFINITIONS = {
    "proposal": ("id", "dimension", "value", "llm"),
    "label and level": ("id", "dimension", "value"),
    "label": ("id", "dimension"),
}
# What counts where a coder decided on an item more than once.
RESOLUTIONS = {
    "first": "the first decision in the file",
    "last": "the last decision in the file",
    "accepted once": "accepted if the coder ever accepted it",
    "consistent": "only coders whose decisions on the item are all equal",
}
PUBLISHED_DEFINITION, PUBLISHED_RESOLUTION = "proposal", "first"
DEFINITION_COLUMNS = (
    *("definition", "repeated", "n", "n_posts", "n_repeated", "n_contradicted"),
    *("agreement", "ci_low", "ci_high"),
)
PAIR_COLUMNS = (
    *("a", "b", "llm", "n", "n_posts", "share_a", "share_b"),
    *("difference", "ci_low", "ci_high"),
)
SELECTION_COLUMNS = (
    *("coder", "llm", "n_overlap", "posts_overlap", "share_overlap", "n_single", "posts_single"),
    *("share_single", "difference", "ci_low", "ci_high", "of_overlap", "of_single"),
)
CONSISTENCY_COLUMNS = ("coder", "n", "n_posts", "consistent", "ci_low", "ci_high")


def item_key(codings: pd.DataFrame, definition: str = PUBLISHED_DEFINITION) -> list[str]:
    """Return the columns that make an item by a definition, as far as the codings have them."""
    return [name for name in DEFINITIONS[definition] if name in codings.columns]


def item_decisions(
    codings: pd.DataFrame,
    definition: str = PUBLISHED_DEFINITION,
    repeated: str = PUBLISHED_RESOLUTION,
) -> pd.DataFrame:
    """Return one row a coder and item: the key of the item, coder, accepted, rows, contradicted.

    Parameters
    ----------
    codings : of one split.
    definition : one of `DEFINITIONS`.
    repeated : one of `RESOLUTIONS`.
    """
    if repeated not in RESOLUTIONS:
        raise ValueError(f"unknown rule {repeated!r}: choose one of {', '.join(RESOLUTIONS)}")
    key = [*item_key(codings, definition), "coder"]
    found = (
        codings.groupby(key, sort=True)["accepted"]
        .agg(first="first", last="last", ever="max", always="min", rows="size")
        .reset_index()
    )
    contradicted = found["ever"] != found["always"]
    column = {"last": "last", "accepted once": "ever"}.get(repeated, "first")
    found = found.assign(accepted=found[column].astype(bool), contradicted=contradicted)
    if repeated == "consistent":
        found = found[~contradicted]
    return found[[*key, "accepted", "rows", "contradicted"]].reset_index(drop=True)


def overlapping(items: pd.DataFrame) -> pd.Series:
    """Whether another coder judged the same item, for each row of `item_decisions`."""
    return items.groupby(item_key(items))["coder"].transform("size") >= 2


def item_ratings(items: pd.DataFrame) -> tuple[Ratings, list[str], list[str]]:
    """Put the decisions on overlapping items into a matrix items x coders; 0 rejected, 1 accepted.

    Returns
    -------
    ratings, coders, ids : coders with a decision on any item, in the order of the columns; ids of
        the posts with overlapping items, in the order of `Ratings.text`.
    """
    coders = sorted(items["coder"].unique())
    items = items[overlapping(items)] if len(items) else items
    key = item_key(items)
    item = items.groupby(key, sort=True).ngroup().to_numpy()
    text, ids = pd.factorize(items["id"])
    n = int(item.max(initial=-1)) + 1
    values, text_of = np.full((n, len(coders)), -1), np.zeros(n, dtype=int)
    values[item, pd.Index(coders).get_indexer(items["coder"])] = items["accepted"].astype(int)
    text_of[item] = text
    return Ratings(values, text_of, len(ids), 2), coders, list(ids)


def agreement_by_definition(
    codings: pd.DataFrame, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Return on how many items several coders decided, and agreed, by what an item is.

    Returns
    -------
    DataFrame, columns `DEFINITION_COLUMNS`
        agreement: share of the n overlapping items whose coders all agree, 95% interval over
        posts. n_repeated: pairs of coder and item with more than one decision, n_contradicted:
        those of them with both decisions; of all items, overlapping or not.
    """
    rows = []
    for definition in DEFINITIONS:
        if definition == "proposal" and "llm" not in codings.columns:
            continue
        for repeated in RESOLUTIONS:
            items = item_decisions(codings, definition, repeated)
            every = item_decisions(codings, definition)
            ratings, _, _ = item_ratings(items)
            value, low, high = unanimity(ratings, n_resamples, seed)
            n_repeated = int((every["rows"] > 1).sum())
            size = (len(ratings.values), ratings.n_texts, n_repeated, every["contradicted"].sum())
            rows.append((definition, repeated, *size, value, low, high))
    return pd.DataFrame(rows, columns=list(DEFINITION_COLUMNS))


def coder_pairs(codings: pd.DataFrame, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return what two coders accepted of the very same proposals.

    Returns
    -------
    DataFrame, columns `PAIR_COLUMNS`
        One row a pair with items in common, for all models and each; difference = share_a -
        share_b with its 95% interval over posts. A coder's strictness is here compared on equal
        items: nothing needs to be adjusted for.
    """
    items = item_decisions(codings)
    found = {ALL: items}
    if "llm" in items.columns:
        found |= {str(name): part for name, part in items.groupby("llm")}
    rows = []
    for llm, part in found.items():
        ratings, coders, _ = item_ratings(part)
        for i, j in combinations(range(len(coders)), 2):
            both = ratings.both(i, j)
            if not len(both.values):
                continue
            units = np.ones((len(both.values), 1))
            sums = {"judged": both.per_text(units), "yes": both.per_text(both.values)}
            value, low, high = bootstrap(sums, _difference, n_resamples, seed)
            shares = both.values.mean(axis=0)
            size = (len(both.values), both.n_texts)
            rows.append((coders[i], coders[j], llm, *size, *shares, value[0], low[0], high[0]))
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def self_consistency(codings: pd.DataFrame, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return how often a coder who decided twice on a proposal decided alike.

    Some repeated rows may be copies rather than second judgements: read it as an upper bound.

    Returns
    -------
    DataFrame, columns `CONSISTENCY_COLUMNS`; coder ``all`` first.
    """
    items = item_decisions(codings)
    items = items[items["rows"] > 1]
    text, ids = pd.factorize(items["id"])
    names = [ALL, *sorted(codings["coder"].unique())]
    member = np.column_stack(
        [np.ones(len(items), bool), *(items["coder"] == name for name in names[1:])]
    )
    whole, part = np.zeros((2, len(ids), len(names)))
    np.add.at(whole, text, member)
    np.add.at(part, text, member & ~items["contradicted"].to_numpy()[:, None])
    found = (
        bootstrap_shares(part, whole, n_resamples, seed)
        if len(ids)
        else np.full((3, len(names)), np.nan)
    )
    counts = [whole.sum(axis=0).astype(int), (whole > 0).sum(axis=0)]
    return pd.DataFrame(dict(zip(CONSISTENCY_COLUMNS, [names, *counts, *found], strict=True)))


def overlap_selection(
    codings: pd.DataFrame, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compare items that several coders judged with those that one judged.

    Returns
    -------
    DataFrame, columns `SELECTION_COLUMNS`
        One row a coder and model, with ``all`` for pooled ones (first row: baseline): decisions on
        and acceptance of overlapping and single items, the difference of the shares with its
        interval over posts, and which part of the overlapping (single) decisions the row has.
    """
    items = item_decisions(codings)
    items = items.assign(double=overlapping(items), llm=items.get("llm", ALL))
    text, ids = pd.factorize(items["id"])
    margins = _margins(items)
    member = np.column_stack(
        [
            ((items["coder"] == coder) | (coder == ALL)) & ((items["llm"] == llm) | (llm == ALL))
            for coder, llm in margins
        ]
    )
    double, accepted = (items[name].to_numpy()[:, None] for name in ("double", "accepted"))
    sums = {name: np.zeros((len(ids), 2, len(margins))) for name in ("judged", "yes")}
    for place, kind in enumerate((member & double, member & ~double)):
        np.add.at(sums["judged"][:, place], text, kind)
        np.add.at(sums["yes"][:, place], text, kind & accepted)

    def difference(flat: Sums) -> Floats:
        share = _ratio(flat["yes"], flat["judged"])
        return share[..., : len(margins)] - share[..., len(margins) :]

    flat = {name: part.reshape(len(ids), -1) for name, part in sums.items()}
    value, low, high = bootstrap(flat, difference, n_resamples, seed)
    n, n_posts = sums["judged"].sum(axis=0).astype(int), (sums["judged"] > 0).sum(axis=0)
    share = _ratio(sums["yes"].sum(axis=0), sums["judged"].sum(axis=0))
    of = _ratio(sums["judged"].sum(axis=0), sums["judged"].sum(axis=0)[:, :1])
    columns = [
        *zip(*margins, strict=True), n[0], n_posts[0], share[0], n[1], n_posts[1], share[1],
        value, low, high, *of,
    ]  # fmt: skip
    return pd.DataFrame(dict(zip(SELECTION_COLUMNS, columns, strict=True)))


def _margins(items: pd.DataFrame) -> list[tuple[str, str]]:
    coders, llms = sorted(items["coder"].unique()), sorted(set(items["llm"]) - {ALL})
    pooled = [(ALL, ALL), *((ALL, llm) for llm in llms), *((coder, ALL) for coder in coders)]
    return [*pooled, *((coder, llm) for coder in coders for llm in llms)]


def _difference(sums: Sums) -> Floats:
    share = _ratio(sums["yes"], sums["judged"])
    return share[..., :1] - share[..., 1:]


def unanimity(ratings: Ratings, n_resamples: int, seed: int) -> tuple[float, float, float]:
    """Return the share of items whose coders all agree, with its interval; NaN without items."""
    if not len(ratings.values):
        return np.nan, np.nan, np.nan
    parts = unanimous_parts(ratings)
    found = bootstrap_shares(parts["equal"], parts["units"], n_resamples, seed)
    return float(found[0][0]), float(found[1][0]), float(found[2][0])
