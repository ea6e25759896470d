"""What the agreement of coders implies: error rates, and what any model can score against one.

The truth of most posts is one coder's. Let a be the agreement of two coders on the same item.

- *Symmetric errors* (`error_rate`): both err about a latent right answer with probability e,
  independently of each other and alike on both kinds of items. Then a = (1-e)^2 + e^2, and the
  right answers agree with a single coder on 1 - e of the items.
- *Exchangeable coders* (`best_possible`): no latent right answer; an item is accepted by a share p
  of the coders that could have judged it. The best answer for one that does not know the coder is
  right with probability max(p, 1-p) = (1 + |2p-1|)/2, while a = E[p^2 + (1-p)^2] =
  (1 + E[(2p-1)^2])/2. As |x| >= x^2 on [-1, 1], and by Jensen's inequality, the best possible
  agreement lies between a and (1 + sqrt(2a-1))/2 (and above that of accepting, or rejecting,
  all). Its upper end is that of symmetric errors: no assumption about kinds of items raises it.
- *These two coders* (`pair_bound`): whoever must give one answer to both is wrong about one of
  them wherever they disagree. That gives at most 1 - (1-a)/2 on average, whether or not
  coders' errors depend on each other; at least half of the disagreement are errors of a coder.

Items that no model proposed were judged by nobody: errors there are in none of these figures, so
they are upper bounds for a model that names labels freely.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import beta

from helpers.audit.coding.agreement import second_view
from helpers.audit.coding.overlap import ALL, item_decisions, item_ratings
from helpers.metrics.counts import Floats, Sums
from helpers.metrics.reliability import bootstrap
from helpers.metrics.scores import _ratio

# "Human coders disagree in 15-20% of cases": the article on its human coding.
PUBLISHED_DISAGREEMENT = (0.15, 0.20)
BOUND_COLUMNS = ("items", "quantity", "value", "ci_low", "ci_high", "n", "n_posts")
CLAIM_COLUMNS = (
    *("items", "disagreement", "ci_low", "ci_high", "claimed_low", "claimed_high"),
    *("verdict", "n", "n_posts"),
)


def error_rate(agreement: ArrayLike) -> Floats:
    """Return e of symmetric, independent errors from the agreement of two coders.

    NaN where the agreement is below a half, which no such error rate gives.
    """
    a = np.asarray(agreement, dtype=float)
    return np.asarray((1 - np.sqrt(np.where(a >= 0.5, 2 * a - 1, np.nan))) / 2)


def best_possible(agreement: ArrayLike, majority: ArrayLike = 0.5) -> tuple[Floats, Floats]:
    """Return the lower and upper bound of the best possible agreement with one coder.

    Parameters
    ----------
    agreement : of two coders; NaN below a half, where coders are not exchangeable.
    majority : agreement with one coder of accepting all, or rejecting all.
    """
    a = np.asarray(agreement, dtype=float)
    return np.where(a >= 0.5, np.maximum(a, majority), np.nan), 1 - error_rate(a)


def pair_bound(agreement: ArrayLike) -> Floats:
    """Return the most that one answer can agree with two coders on average."""
    return (1 + np.asarray(agreement, dtype=float)) / 2


def noise_bounds(codings: pd.DataFrame, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return what the agreement implies for decisions on proposals.

    Returns
    -------
    DataFrame, columns `BOUND_COLUMNS`
        items: ``all`` and each model's; quantity: ``agreement`` (share of agreeing pairs of
        decisions), ``majority`` (the baseline: the better of accepting all and rejecting all),
        ``symmetric error``, ``best possible, at least`` and ``at most``, ``pair bound``. Intervals
        over posts; all others are functions of agreement and majority.
    """
    items = item_decisions(codings)
    found = {ALL: items}
    if "llm" in items.columns:
        found |= {str(name): part for name, part in items.groupby("llm")}
    rows = []
    for name, part in found.items():
        ratings, _, _ = item_ratings(part)
        size = (len(ratings.values), ratings.n_texts)
        limits = np.full((3, 3), np.nan)
        if size[0]:
            limits = np.array(bootstrap(second_view(ratings), _pair_agreement, n_resamples, seed))
        a = limits[:, 0]
        _, high = best_possible(a)
        quantities = {
            "agreement": a,
            "majority": limits[:, 1],
            "symmetric error": error_rate(a)[[0, 2, 1]],
            "best possible, at least": limits[:, 2],
            "best possible, at most": high,
            "pair bound": pair_bound(a),
        }
        rows += [(name, quantity, *values, *size) for quantity, values in quantities.items()]
    return pd.DataFrame(rows, columns=list(BOUND_COLUMNS))


def published_disagreement(definitions: pd.DataFrame) -> pd.DataFrame:
    """Compare the disagreement with the article's 15-20%.

    Parameters
    ----------
    definitions : of `helpers.audit.coding.overlap.agreement_by_definition`.

    Returns
    -------
    DataFrame, columns `CLAIM_COLUMNS`
        verdict: ``above``, ``below`` or ``within`` where the interval lies so, ``overlaps`` where
        it has a limit in common, ``unknown`` without items.
    """
    low, high = PUBLISHED_DISAGREEMENT
    table = pd.DataFrame(
        {
            "items": definitions["definition"] + ", " + definitions["repeated"],
            "disagreement": 1 - definitions["agreement"],
            "ci_low": 1 - definitions["ci_high"],
            "ci_high": 1 - definitions["ci_low"],
            "claimed_low": low,
            "claimed_high": high,
        }
    )
    cases = {
        "unknown": table["disagreement"].isna(),
        "above": table["ci_low"] > high,
        "below": table["ci_high"] < low,
        "within": (table["ci_low"] >= low) & (table["ci_high"] <= high),
    }
    table["verdict"] = np.select(list(cases.values()), list(cases), default="overlaps")
    return table.assign(n=definitions["n"], n_posts=definitions["n_posts"])[list(CLAIM_COLUMNS)]


def _pair_agreement(sums: Sums) -> Floats:
    n, equal, yes = (sums["sums"][..., i] for i in range(3))
    accepted = _ratio(yes, n)
    agreement, majority = _ratio(equal, n), np.maximum(accepted, 1 - accepted)
    return np.stack([agreement, majority, best_possible(agreement, majority)[0]], axis=-1)


def symmetric_right(agreement: ArrayLike, accepted: ArrayLike) -> Floats:
    """Return the probability that an item is right, given one coder's decision.

    Parameters
    ----------
    agreement, accepted : array_like, (...)
        Agreement of two coders, at least a half, and share of accepted items.

    Returns
    -------
    ndarray, (..., 2)
        Of a rejected and an accepted item: Bayes' rule with the share of right items that gives
        this share of accepted ones, (accepted - e)/(1 - 2e), cut at 0 and 1.
    """
    # Where coders agree by chance alone a decision tells nothing; the cut avoids 0/0.
    e = error_rate(np.maximum(np.asarray(agreement, dtype=float), 0.5 + 1e-6))
    q = np.asarray(accepted, dtype=float)
    right = np.clip((q - e) / (1 - 2 * e), 0, 1)
    rejected = _ratio(right * e, right * e + (1 - right) * (1 - e))
    taken = _ratio(right * (1 - e), right * (1 - e) + (1 - right) * e)
    return np.stack([rejected, taken], axis=-1)


def decision_correlation(agreement: ArrayLike, accepted: ArrayLike) -> Floats:
    """Return the correlation of two coders' decisions on an item, 1 - (1-a)/(2q(1-q)).

    Scott's pi of the two: Krippendorff's alpha but for its correction for small samples.
    """
    a, q = np.asarray(agreement, dtype=float), np.asarray(accepted, dtype=float)
    return 1 - _ratio(1 - a, 2 * q * (1 - q))


def graded_right(correlation: ArrayLike, accepted: ArrayLike, level: float = 0.5) -> Floats:
    """Return the probability that most coders would accept an item, given one's decision.

    Items differ in the share p of coders that accept them, p ~ Beta(qM, (1-q)M) with q the share of
    accepted items; the decisions of two coders then have the correlation 1/(M+1).

    Parameters
    ----------
    correlation : array_like, (...), see `decision_correlation`.
    accepted : array_like, (...), share of accepted items.
    level : more than this share of the coders, a half being most.

    Returns
    -------
    ndarray, (..., 2): of a rejected and an accepted item.
    """
    q = np.clip(np.asarray(accepted, dtype=float), 1e-3, 1 - 1e-3)
    # At correlation 0 all items are alike; at 1 coders never disagree.
    size = 1 / np.clip(np.asarray(correlation, dtype=float), 1e-3, 1 - 1e-3) - 1
    both = [
        beta.sf(level, q * size + decision, (1 - q) * size + 1 - decision) for decision in (0, 1)
    ]
    return np.stack(both, axis=-1)
