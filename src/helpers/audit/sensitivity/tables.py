"""What the specifications say about the ranking of the models.

Shares of specifications have no interval: the specifications are all there are, not a sample. What
does have one is a difference between two models on a sample of posts; see `one_at_a_time`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers.audit.sensitivity.specifications import (
    AS_PUBLISHED,
    CHOICES,
    DECIMALS,
    NOTHING,
    REFERENCE,
)
from helpers.published.answers import ArchivedModel, all_archived_models
from helpers.published.panel import PublishedError, published_flourishing

RANGE_COLUMNS = (
    *("split", "fname", "model", "in_sample", "models", "printed_rank", "printed_test_rank"),
    *("published_rank", "n", "n_undefined", "best", "median", "worst", "share_first"),
    *("n_against_reference", "share_beats_reference"),
    *("n_against_nothing", "share_beats_nothing"),
)
AS_PUBLISHED_KEY = tuple(AS_PUBLISHED.values())
CHOICE_NAMES = list(CHOICES)


def specification_counts(specs: pd.DataFrame) -> pd.DataFrame:
    """Count the specifications of each split.

    Parameters
    ----------
    specs : see `helpers.audit.sensitivity.specifications.specifications`; so in all functions here.

    Returns
    -------
    DataFrame (split, models, combinations, undefined, redundant, distinct, partly_undefined,
    rankings). `undefined`: no model has a value; `redundant`: all models have the values of an
    earlier specification; `distinct`: the rest, of which `partly_undefined` lack the value of some
    model; `rankings`: different rankings among the distinct ones.
    """
    rows = []
    for split, part in model_rows(specs):
        ranks, first = by_model(part, "rank"), by_model(part, "distinct").all(axis=1)
        undefined = int(ranks.isna().all(axis=1).sum())
        distinct = ranks[first]
        rows.append(
            {
                "split": split,
                "models": ranks.shape[1],
                "combinations": len(ranks),
                "undefined": undefined,
                "redundant": len(ranks) - undefined - len(distinct),
                "distinct": len(distinct),
                "partly_undefined": int(distinct.isna().any(axis=1).sum()),
                "rankings": len(distinct.drop_duplicates()),
            }
        )
    names = ["split", "models", "combinations", "undefined", "redundant", "distinct"]
    return pd.DataFrame(rows, columns=[*names, "partly_undefined", "rankings"])


def rank_ranges(specs: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Summarise each model's ranks over the distinct specifications.

    Returns
    -------
    DataFrame, columns `RANGE_COLUMNS`, one row a model, best published rank first.
    `published_rank` is that of the published specification; `printed_rank` that of the accuracy
    which the authors printed for the split, among the same models, and `printed_test_rank` for the
    test posts. `n` counts the distinct specifications in which the model has a value. Where a model
    is `in_sample`, beating `reference` is no sign of quality.
    """
    rows = []
    for split, part in model_rows(specs[specs["distinct"].astype(bool)]):
        values, ranks = by_model(part, "value").round(DECIMALS), by_model(part, "rank")
        better = by_model(part, "beats_nothing")
        published = ranks.reindex([AS_PUBLISHED_KEY]).iloc[0]
        printed = {name: _printed_ranks(name, list(ranks)) for name in (split, "test")}
        tuned = part.groupby("fname")["in_sample"].first()
        for fname in ranks:
            mine, nothing = ranks[fname].dropna(), better[fname].dropna()
            against = pd.Series(dtype=float)
            if reference in values and fname != reference:
                against = (values[fname] - values[reference]).dropna()
            rows.append(
                {
                    "split": split,
                    "fname": fname,
                    "model": model_name(fname),
                    "in_sample": bool(tuned[fname]),
                    "models": ranks.shape[1],
                    "printed_rank": printed[split][fname],
                    "printed_test_rank": printed["test"][fname],
                    "published_rank": published[fname],
                    "n": len(mine),
                    "n_undefined": len(ranks) - len(mine),
                    "best": mine.min(),
                    "median": mine.median(),
                    "worst": mine.max(),
                    "share_first": mean_of(mine == 1),
                    "n_against_reference": len(against),
                    "share_beats_reference": mean_of(against > 0),
                    "n_against_nothing": len(nothing),
                    "share_beats_nothing": mean_of(nothing),
                }
            )
    table = pd.DataFrame(rows, columns=list(RANGE_COLUMNS))
    order = table["split"].map({"train": 0, "test": 1}).rename("order")
    table = table.assign(order=order).sort_values(["order", "published_rank", "median"])
    return table.drop(columns="order").reset_index(drop=True)


def rank_shares(specs: pd.DataFrame) -> pd.DataFrame:
    """Return how often each model takes each rank, over the distinct specifications.

    Returns
    -------
    DataFrame (split, fname, rank, n, share): rank 1, 2, ... up to the number of models; `n` is the
    number of specifications in which the model has a value. Tied models share their places evenly.
    """
    rows = []
    for split, part in model_rows(specs[specs["distinct"].astype(bool)]):
        ranks, values = by_model(part, "rank"), by_model(part, "value").round(DECIMALS)
        low = values.rank(axis=1, ascending=False, method="min")
        high = values.rank(axis=1, ascending=False, method="max")
        for fname in ranks:
            n = int(ranks[fname].notna().sum())
            for place in range(1, ranks.shape[1] + 1):
                inside = (low[fname] <= place) & (place <= high[fname])
                weight = (inside / (high[fname] - low[fname] + 1)).sum()
                rows.append((split, fname, place, n, weight / n if n else np.nan))
    return pd.DataFrame(rows, columns=["split", "fname", "rank", "n", "share"])


def specification_differences(
    specs: pd.DataFrame, fname: str, reference: str = REFERENCE
) -> pd.DataFrame:
    """Sort the specifications by the difference between two models: a specification curve.

    Returns
    -------
    DataFrame (split, group, the five choices, fname, model, reference, reference_model, in_sample,
    n, value, reference_value, difference, beats_nothing, place): all specifications in which both
    have a value. `place` numbers the specifications of a metric from the smallest difference on;
    redundant ones share a place. Differences compare only within a metric.

    Raises
    ------
    PublishedError
        If one of the models is not in the table.
    """
    if absent := [name for name in (fname, reference) if name not in set(specs["fname"])]:
        raise PublishedError(
            f"no specification of {', '.join(absent)}: its answers are not in the archive's folder"
        )
    keys = ["split", "group", *CHOICES]
    other = specs.loc[specs["fname"] == reference, [*keys, "value"]]
    mine = specs.loc[specs["fname"] == fname].drop(columns=["rank", "n_ranked", "nothing"])
    table = mine.merge(other.rename(columns={"value": "reference_value"}), on=keys)
    table["difference"] = (table["value"] - table["reference_value"]).round(DECIMALS)
    table = table.dropna(subset="difference")
    table = table.assign(
        model=model_name(fname), reference=reference, reference_model=model_name(reference)
    )
    order = table.drop_duplicates(["split", "metric", "group"])
    order = order.sort_values(["split", "metric", "difference"], kind="stable")
    order["place"] = order.groupby(["split", "metric"]).cumcount() + 1
    table = table.merge(order[["split", "metric", "group", "place"]])
    columns = [*keys, "fname", "model", "reference", "reference_model", "in_sample", "n", "value"]
    return table[[*columns, "reference_value", "difference", "beats_nothing", "place"]]


def option_shares(differences: pd.DataFrame) -> pd.DataFrame:
    """Say with which options a model beats the reference.

    Parameters
    ----------
    differences : see `specification_differences`.

    Returns
    -------
    DataFrame (split, choice, option, n, n_beats, share); choice and option are ``all`` for all
    distinct specifications. `n` counts the distinct specifications with the option.
    """
    rows = []
    for split, part in differences.groupby("split", sort=False):
        first = part.drop_duplicates("group")
        rows.append((split, "all", "all", len(first), int((first["difference"] > 0).sum())))
        for choice, options in CHOICES.items():
            for option in options:
                first = part[part[choice] == option].drop_duplicates("group")
                beats = int((first["difference"] > 0).sum())
                rows.append((split, choice, option, len(first), beats))
    table = pd.DataFrame(rows, columns=["split", "choice", "option", "n", "n_beats"])
    return table.assign(share=table["n_beats"] / table["n"].where(table["n"] > 0))


def model_name(fname: str) -> str:
    """Return a model's readable name."""
    named = {m.fname: m.title.removesuffix(" (archived answers)") for m in _models()}
    return named.get(fname, fname)


def _models() -> list[ArchivedModel]:
    return list(all_archived_models().values())


def model_rows(specs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the splits' rows of models, without the baseline."""
    models = specs[specs["fname"] != NOTHING]
    return [(str(split), part) for split, part in models.groupby("split", sort=False)]


def by_model(part: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return specifications x models, both in the order of the table."""
    names, places = part["fname"].unique(), part[CHOICE_NAMES].drop_duplicates()
    wide = part.pivot(index=CHOICE_NAMES, columns="fname", values=column)
    return wide.loc[pd.MultiIndex.from_frame(places), names]


def _printed_ranks(split: str, names: Sequence[str]) -> pd.Series:
    """Rank the accuracy that the authors printed among some models."""
    printed = published_flourishing().query("split == @split").set_index("fname")["accD"]
    return printed.reindex(names).rank(ascending=False)


def mean_of(values: ArrayLike) -> float:
    """Mean; NaN of nothing."""
    array = np.asarray(values, dtype=float)
    return float(array.mean()) if array.size else np.nan
