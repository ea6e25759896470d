"""Agreement between labellers, and between human coders.

Chance-corrected agreement says how far labellers agree beyond what their label frequencies alone
would bring; it says nothing about whether they are right (`helpers.metrics.crowd`). Without
variation (one label only, no text in common) it is undefined: NaN, with the n that it rests on.

All intervals are 95% percentile intervals over resampled texts; a share of 0 or 1 has Wilson's.
In tasks with several labels per text the units are the (text, label) cells, absent or present;
the cells of a text stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from helpers.metrics.counts import Floats
from helpers.metrics.panel import read_panel, rounded
from helpers.metrics.reliability import (
    Ratings,
    all_pairs_parts,
    alpha_with_interval,
    bootstrap,
    bootstrap_shares,
    fleiss_of,
    fleiss_parts,
    kappa_of,
    mean_agreement,
    pair_parts,
    unanimous_parts,
)
from helpers.metrics.scores import _ratio
from helpers.metrics.tidy import MetricsError

if TYPE_CHECKING:
    from helpers.tasks import Task

_INTERVAL = ["value", "ci_low", "ci_high"]
PAIR_COLUMNS = ["a", "b", "n", "agreement", "kappa", "ci_low", "ci_high"]
OVERALL_COLUMNS = ["statistic", *_INTERVAL, "n", "n_texts", "n_labellers", "n_missing"]
CODER_COLUMNS = ["a", "b", "statistic", *_INTERVAL, "n", "n_texts"]


def pairwise_kappa(
    task: Task,
    labelled: pd.DataFrame,
    names: Sequence[str] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Cohen's kappa of each pair of labellers, on the texts that both answered.

    Parameters
    ----------
    task : Task
        Not numeric.
    labelled : DataFrame
        Columns id, labeller, status, labels (JSON).
    names : sequence of str, optional
        Labellers and their order; all without it.
    n_resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        Columns `PAIR_COLUMNS`: n texts in common, share of equal labels (of equal cells), kappa
        and its interval.

    References
    ----------
    Cohen (1960), Educational and Psychological Measurement 20(1), 37-46.
    """
    panel = read_panel(task, labelled, names)
    ratings, rows = panel.ratings(), []
    for i, j in combinations(range(len(panel.names)), 2):
        shared = ratings.both(i, j)
        parts = pair_parts(shared)
        value, low, high = bootstrap(parts, kappa_of, n_resamples, seed)
        equal = float(_ratio(parts["equal"].sum(), parts["units"].sum()))
        numbers = [shared.n_texts, equal, value[0], low[0], high[0]]
        pair = [panel.names[i], panel.names[j]]
        rows.append(dict(zip(PAIR_COLUMNS, [*pair, *numbers], strict=True)))
    return rounded(rows, PAIR_COLUMNS)


def overall_agreement(
    task: Task,
    labelled: pd.DataFrame,
    names: Sequence[str] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Agreement of all labellers at once.

    - ``krippendorff_alpha`` (nominal) takes texts with two or more answers, missing ones or not;
    - ``fleiss_kappa`` takes the texts that every labeller answered;
    - ``mean_pairwise_agreement`` is the share of equal labels (cells) of a pair, averaged over
      pairs; not corrected for chance.

    Parameters
    ----------
    task, labelled, names, n_resamples, seed
        As in `pairwise_kappa`.

    Returns
    -------
    DataFrame
        Columns `OVERALL_COLUMNS`: n texts that the statistic rests on, of n_texts; n_missing
        is the number of answers that are missing or unusable, of n_texts x n_labellers.

    References
    ----------
    Krippendorff (2019), Content Analysis, 4th ed., chapter 12. Fleiss (1971), Psychological
    Bulletin 76(5), 378-382.
    """
    panel = read_panel(task, labelled, names)
    ratings, per_text = panel.ratings(), panel.answered.sum(axis=1)
    count = len(panel.names)
    two, everyone = int((per_text >= 2).sum()), int((per_text == count).sum())
    pairs = list(combinations(range(count), 2))
    found = {
        "krippendorff_alpha": (alpha_with_interval(ratings, n_resamples, seed), two),
        "fleiss_kappa": (
            bootstrap(fleiss_parts(ratings), fleiss_of, n_resamples, seed),
            everyone if count > 1 else 0,
        ),
        "mean_pairwise_agreement": (
            bootstrap(all_pairs_parts(ratings, pairs), mean_agreement, n_resamples, seed),
            two,
        ),
    }
    size = {"n_texts": len(panel.ids), "n_labellers": count}
    size["n_missing"] = int((~panel.answered).sum())
    rows = [
        {"statistic": name, **_row(estimate), "n": n, **size}
        for name, (estimate, n) in found.items()
    ]
    return rounded(rows, OVERALL_COLUMNS)


def coder_agreement(
    decisions: pd.DataFrame, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Agreement of human coders on the items that two or more of them judged.

    Parameters
    ----------
    decisions : DataFrame
        Columns id, label, level, coder, accepted (bool); one row per coder and item, an item
        being a proposed (id, label, level).
    n_resamples, seed : int
        Of the bootstrap over texts.

    Returns
    -------
    DataFrame
        Columns `CODER_COLUMNS`. For each pair of coders ``agreement`` and ``kappa`` (Cohen); for
        a = b = ``all``: ``agreement`` (share of items whose coders all agree) and ``alpha``
        (Krippendorff, nominal). n items of n_texts texts; pairs without common item have n = 0.

    Raises
    ------
    MetricsError
        If a column is missing, or a coder judged an item twice.
    """
    ratings, coders = _coder_ratings(decisions)
    size = {"n": len(ratings.values), "n_texts": ratings.n_texts}
    parts = unanimous_parts(ratings)
    agree = bootstrap_shares(parts["equal"], parts["units"], n_resamples, seed)
    alpha = alpha_with_interval(ratings, n_resamples, seed)
    rows = [
        {"a": "all", "b": "all", "statistic": name, **_row(estimate), **size}
        for name, estimate in (("agreement", agree), ("alpha", alpha))
    ]
    for i, j in combinations(range(len(coders)), 2):
        shared = ratings.both(i, j)
        parts = pair_parts(shared)
        agree = bootstrap_shares(parts["equal"], parts["units"], n_resamples, seed)
        kappa = bootstrap(parts, kappa_of, n_resamples, seed)
        size = {"n": len(shared.values), "n_texts": shared.n_texts}
        for name, estimate in (("agreement", agree), ("kappa", kappa)):
            pair = {"a": coders[i], "b": coders[j], "statistic": name}
            rows.append({**pair, **_row(estimate), **size})
    return rounded(rows, CODER_COLUMNS)


def _coder_ratings(decisions: pd.DataFrame) -> tuple[Ratings, list[str]]:
    key = ["id", "label", "level"]
    if missing := [k for k in (*key, "coder", "accepted") if k not in decisions.columns]:
        raise MetricsError(f"decisions: column(s) {', '.join(missing)} missing")
    if not (clear := decisions["accepted"].isin([True, False])).all():
        row = decisions[~clear].iloc[0]
        raise MetricsError(
            f"decisions: {row['coder']} on {row['label']!r} of text {row['id']!r} is "
            f"{row['accepted']!r}; it must be True or False"
        )
    if (twice := decisions.duplicated([*key, "coder"])).any():
        row = decisions[twice].iloc[0]
        raise MetricsError(
            f"decisions: {row['coder']} judges {row['label']!r} of text {row['id']!r} twice; "
            "keep the decision that counts"
        )
    coders = sorted(set(decisions["coder"]))
    ordered = decisions.sort_values([*key, "coder"])
    # Which items are judged twice is a matter of design: only their texts are resampled.
    judges = ordered.groupby(key, dropna=False)["coder"].transform("size")
    ordered = ordered[judges >= 2]
    item = ordered.groupby(key, sort=True, dropna=False).ngroup().to_numpy()
    text, ids = pd.factorize(ordered["id"])
    n_items = int(item.max(initial=-1)) + 1
    values = np.full((n_items, len(coders)), -1)
    values[item, pd.Index(coders).get_indexer(ordered["coder"])] = ordered["accepted"].astype(int)
    text_of = np.zeros(n_items, dtype=int)
    text_of[item] = text
    return Ratings(values, text_of, len(ids), 2), coders


def _row(estimate: tuple[Floats, Floats, Floats]) -> dict[str, float]:
    return {k: float(part[0]) for k, part in zip(_INTERVAL, estimate, strict=True)}
