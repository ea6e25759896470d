"""The blind audit: what the crowd's proposals miss.

A review can only reject what was proposed. What nobody proposed shows in texts that were drawn at
random, with known inclusion probability, and coded without proposals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from helpers.plans import HelpersError
from helpers.tasks import Task
from helpers.verification.aggregate import Item
from helpers.verification.events import Decision

Floats = NDArray[np.float64]
COLUMNS = ["quantity", "estimate", "ci_low", "ci_high", "numerator", "denominator", "texts"]


class AuditError(HelpersError):
    """The audit cannot be evaluated."""


def blind_labels(
    decisions: Sequence[Decision], coder_of: dict[str, str] | None = None
) -> dict[str, set[Item]]:
    """Return the labels coded blind: text -> (label, level) pairs, empty where none applies.

    Parameters
    ----------
    coder_of : text -> coder whose blind coding counts (default: all blind coding).
    """
    labels: dict[str, set[Item]] = {}
    for decision in decisions:
        if not decision.blind or decision.action != "code":
            continue
        if coder_of is not None and coder_of.get(decision.text_id) != decision.coder:
            continue
        found = labels.setdefault(decision.text_id, set())
        if decision.label:
            found.add((decision.label, decision.level))
    return labels


def pool_recall(
    task: Task,
    proposals: pd.DataFrame,
    decisions: Sequence[Decision],
    assignment: pd.DataFrame,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate what share of the true labels the crowd's proposals contain.

    Parameters
    ----------
    proposals : frame (id, label, level); of the whole pool.
    decisions : the coders' decisions; the blind ones count.
    assignment : see `helpers.verification.assignment.assign`; its blind rows are the sample.

    Returns
    -------
    frame (quantity, estimate, ci_low, ci_high, numerator, denominator, texts):

    - ``labels found``: share of the true labels that were proposed;
    - ``labels found with their level`` (tasks with levels): the same, the level must be right;
    - ``texts without a right proposal``: share of the texts with a true label for which no true
      label was proposed;
    - ``texts without a label``: share of texts to which no label applies.

    `numerator` and `denominator` are counts in the sample, `texts` the size of the sample.

    Notes
    -----
    Ratio of two Horvitz-Thompson totals (Särndal, Swensson, Wretman 1992, ch. 5): each text
    weighs 1 / its inclusion probability. Where each text has at most one true label and all
    weights are equal, the interval is Wilson's, else a percentile bootstrap over texts, or
    Wilson's where the bootstrap has nothing to vary (all or none found). The pool is finite: the
    limits are drawn to the estimate by sqrt(1 - n / N), with n / N the mean inclusion
    probability.

    "True" is what the blind coder says. A blind coder who errs gives labels that nobody should
    have proposed, so that recall comes out too low by about the coder's rate of false labels.

    Raises
    ------
    AuditError
        If there is no audit, or audit texts are not coded yet.
    """
    sample = assignment[assignment["blind"]]
    if sample.empty:
        raise AuditError("the assignment has no blind audit: set `audit` and assign again")
    coded = blind_labels(decisions, dict(zip(sample["id"], sample["coder"], strict=True)))
    if lost := [i for i in sample["id"] if i not in coded]:
        raise AuditError(
            f"{len(lost)} of {len(sample)} audit texts are not coded yet, first {lost[0]}: leaving "
            "them out would bias the estimate; finish the blind coding"
        )
    proposed = items_by_text(proposals)
    counts = [_counts(coded[i], proposed.get(i, set())) for i in sample["id"]]
    n_true, found, exact, lone, labelled = np.array(counts, dtype=float).T
    one = np.ones(len(sample))
    quantities = [("labels found", found, n_true)]
    if task.levels:
        quantities.append(("labels found with their level", exact, n_true))
    quantities += [
        ("texts without a right proposal", lone, labelled),
        ("texts without a label", one - labelled, one),
    ]
    chances = sample["probability"].to_numpy(dtype=float)
    rows = []
    for name, numerator, denominator in quantities:
        estimate, low, high = ratio_interval(
            numerator,
            denominator,
            1 / chances,
            confidence=confidence,
            n_resamples=n_resamples,
            seed=seed,
            shrink=float(np.sqrt(1 - chances.mean())),
        )
        size = (int(numerator.sum()), int(denominator.sum()), len(sample))
        rows.append((name, estimate, low, high, *size))
    return pd.DataFrame(rows, columns=COLUMNS).round({"estimate": 6, "ci_low": 6, "ci_high": 6})


def items_by_text(proposals: pd.DataFrame) -> dict[str, set[Item]]:
    """Return text -> proposed (label, level) pairs."""
    found: dict[str, set[Item]] = {}
    for i, label, level in proposals[["id", "label", "level"]].itertuples(index=False):
        found.setdefault(i, set()).add((label, level))
    return found


def _counts(true: set[Item], proposed: set[Item]) -> tuple[int, int, int, int, int]:
    names = {label for label, _ in proposed}
    found = sum(label in names for label, _ in true)
    return len(true), found, len(true & proposed), int(bool(true) and not found), int(bool(true))


def ratio_interval(
    numerator: Floats,
    denominator: Floats,
    weights: Floats | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    shrink: float = 1.0,
) -> tuple[float, float, float]:
    """Estimate a ratio of two totals over texts, with an interval.

    Parameters
    ----------
    numerator, denominator : (n,) contribution of each text.
    weights : (n,) 1 / inclusion probability (default: equal).
    shrink : finite-population factor by which the limits are drawn to the estimate.

    Returns
    -------
    estimate, lower and upper limit; NaN where the denominator is 0. Wilson's interval if the
    ratio is a share of texts with equal weights, else a percentile bootstrap over texts.
    """
    weights = np.ones(len(numerator)) if weights is None else weights
    top, bottom = weights * numerator, weights * denominator
    if bottom.sum() == 0:
        return np.nan, np.nan, np.nan
    estimate = top.sum() / bottom.sum()
    is_share = np.isin(denominator, (0, 1)).all() and np.ptp(weights) == 0
    # At 0 and 1 every resample is the same: a bootstrap interval would have no width.
    if is_share or estimate in (0, 1):
        texts = np.count_nonzero(denominator)
        low, high = proportion_confint(
            estimate * texts, texts, alpha=1 - confidence, method="wilson"
        )
    else:
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(len(top), np.full(len(top), 1 / len(top)), size=n_resamples)
        with np.errstate(invalid="ignore"):
            ratios = (draws @ top) / (draws @ bottom)
        tail = 50 * (1 - confidence)
        low, high = np.nanpercentile(ratios, [tail, 100 - tail])
    return (
        float(estimate),
        float(estimate + shrink * (low - estimate)),
        float(estimate + shrink * (high - estimate)),
    )
