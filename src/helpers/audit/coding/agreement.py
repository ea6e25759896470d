"""Agreement of the human coders on the same proposals, corrected for chance in several ways.

Chance-corrected coefficients depend on how common acceptance is: where nearly everything is
accepted, kappa and alpha are low though coders seldom disagree (the "kappa paradox"). Gwet's AC1
and the bias-adjusted kappa (PABAK, 2p - 1) are beside them as a second view.

References
----------
Feinstein & Cicchetti (1990), Journal of Clinical Epidemiology 43, 543-549 (paradox). Gwet (2008),
British Journal of Mathematical and Statistical Psychology 61, 29-48 (AC1). Byrt, Bishop & Carlin
(1993), Journal of Clinical Epidemiology 46, 423-429 (PABAK).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from helpers.audit.coding.overlap import ALL, item_decisions, item_ratings, unanimity
from helpers.metrics.counts import Floats, Sums
from helpers.metrics.reliability import (
    Ratings,
    alpha_with_interval,
    bootstrap,
    kappa_of,
    pair_parts,
)
from helpers.metrics.scores import _ratio

AGREEMENT_COLUMNS = ("group", "name", "statistic", "value", "ci_low", "ci_high", "n", "n_posts")
SECOND_VIEW = ("chance", "ac1", "pabak", "accepted")


def agreement_table(
    codings: pd.DataFrame, min_items: int = 20, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Return the agreement of coders on the same proposals: all, by model, pair and dimension.

    Parameters
    ----------
    codings : of one split.
    min_items : with fewer overlapping items a row has its n, and no coefficients.
    n_resamples, seed : of the bootstrap over posts.

    Returns
    -------
    DataFrame, columns `AGREEMENT_COLUMNS`
        group ``all``, ``llm``, ``pair`` (name ``a, b``) or ``dimension``; statistic:

        - ``agreement``: share of the n items whose coders all agree;
        - ``alpha``: Krippendorff's, nominal; for pairs ``kappa``, Cohen's;
        - ``accepted``: share of accepted items, an item that splits its coders counting in part;
        - ``chance``: agreement of two decisions that are accepted with that probability, whatever
          the item: the baseline;
        - ``ac1``: Gwet's; ``pabak``: twice the agreeing pairs' share less one.

        95% percentile intervals; NaN where undefined.
    """
    items = item_decisions(codings)
    ratings, coders, _ = item_ratings(items)
    found = [_coefficients(ratings, ALL, ALL, 0, n_resamples, seed)]
    found += _by_group(items, "llm", min_items, n_resamples, seed)
    for i, j in combinations(range(len(coders)), 2):
        name = f"{coders[i]}, {coders[j]}"
        both = ratings.both(i, j)
        found.append(_coefficients(both, "pair", name, min_items, n_resamples, seed))
    found += _by_group(items, "dimension", min_items, n_resamples, seed)
    return pd.concat(found, ignore_index=True)


def _by_group(
    items: pd.DataFrame, group: str, least: int, n_resamples: int, seed: int
) -> list[pd.DataFrame]:
    if group not in items.columns:
        return []
    return [
        _coefficients(item_ratings(part)[0], group, str(name), least, n_resamples, seed)
        for name, part in items.groupby(group)
    ]


def _coefficients(
    ratings: Ratings, group: str, name: str, least: int, n_resamples: int, seed: int
) -> pd.DataFrame:
    n = len(ratings.values)
    corrected = "kappa" if group == "pair" else "alpha"
    if n == 0 or n < least:
        names = ["agreement", corrected, *SECOND_VIEW]
        rows = [(group, name, statistic, *[np.nan] * 3, n, ratings.n_texts) for statistic in names]
        return pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS))
    if group == "pair":
        beyond = bootstrap(pair_parts(ratings), kappa_of, n_resamples, seed)
    else:
        beyond = alpha_with_interval(ratings, n_resamples, seed)
    second = np.array(bootstrap(second_view(ratings), second_view_of, n_resamples, seed))
    values = {
        "agreement": unanimity(ratings, n_resamples, seed),
        corrected: tuple(float(part[0]) for part in beyond),
        **{statistic: second[:, place] for place, statistic in enumerate(SECOND_VIEW)},
    }
    rows = [
        (group, name, statistic, *value, n, ratings.n_texts) for statistic, value in values.items()
    ]
    return pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS))


def second_view(ratings: Ratings) -> dict[str, Floats]:
    """Per text: items with two or more decisions, their agreeing pairs, their accepted share."""
    m, yes = (ratings.values >= 0).sum(axis=1), (ratings.values == 1).sum(axis=1)
    two = m >= 2
    equal = (yes * (yes - 1) + (m - yes) * (m - yes - 1)) / np.maximum(m * (m - 1), 1)
    per_item = np.column_stack([two, two * equal, two * yes / np.maximum(m, 1)])
    return {"sums": ratings.per_text(per_item)}


def second_view_of(sums: Sums) -> Floats:
    """Return the statistics `SECOND_VIEW` from sums of `second_view`, (..., 4)."""
    n, equal, yes = (sums["sums"][..., i] for i in range(3))
    agreement, accepted = _ratio(equal, n), _ratio(yes, n)
    other = 2 * accepted * (1 - accepted)
    ac1 = _ratio(agreement - other, 1 - other)
    return np.stack([1 - other, ac1, 2 * agreement - 1, accepted], axis=-1)
