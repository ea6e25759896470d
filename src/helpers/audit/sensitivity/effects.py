"""What a single analytic choice does to the ranking of the models, all others held."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.audit.sensitivity.scores import METRICS, Floats, PostCounts, metric_values
from helpers.audit.sensitivity.specifications import (
    AS_PUBLISHED,
    CHOICES,
    DECIMALS,
    NOTHING,
    REFERENCE,
    THRESHOLDS,
    PreparedSplit,
)
from helpers.audit.sensitivity.tables import by_model, mean_of, model_rows
from helpers.metrics import TextCounts, percentile_interval, resampled_sums
from helpers.published.per_dimension import ratio

ALL = "all others"
EFFECT_COLUMNS = (
    *("split", "choice", "option", "n_pairs", "n_undefined", "share_changed"),
    *("mean_rank_change", "largest_rank_change", "mean_tau", "smallest_tau", "share_flips"),
    *("published_rank_change", "published_tau"),
)


def choice_effects(specs: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Ask how much a single choice moves the ranks while all others are held.

    Every specification with the published option is compared with the one that differs in this
    choice alone; a choice that can't change a metric counts as no change.

    Returns
    -------
    DataFrame, columns `EFFECT_COLUMNS`, one row an option that is not the published one, and one
    for all options of a choice together (`ALL`). `n_pairs` counts the pairs in which all models
    have a value, `n_undefined` the others. Over the pairs: `share_changed` with another ranking;
    mean and largest absolute change of a model's rank; mean and smallest Kendall's tau-b of the two
    rankings; `share_flips`, the share of models whose order against `reference` is another. The
    last two columns hold the other choices as published.
    """
    rows = []
    for split, part in model_rows(specs):
        ranks = by_model(part, "rank").reindex(pd.MultiIndex.from_product(CHOICES.values()))
        cube = ranks.to_numpy().reshape(*(len(options) for options in CHOICES.values()), -1)
        column = list(ranks).index(reference) if reference in ranks else None
        for axis, (choice, options) in enumerate(CHOICES.items()):
            order = np.moveaxis(cube, axis, 0)
            before = np.broadcast_to(order[:1], order[1:].shape)
            pairs = [(before[i], order[i + 1]) for i in range(len(options) - 1)]
            for option, (a, b) in zip(
                (*options[1:], ALL), [*pairs, (before, order[1:])], strict=True
            ):
                about = {"split": split, "choice": choice, "option": option}
                rows.append(about | _compared(a, b, column, alone=option != ALL))
    return pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))


def _compared(a: Floats, b: Floats, column: int | None, *, alone: bool) -> dict[str, object]:
    """Compare rankings pair by pair; the first pair holds the other choices as published."""
    a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    change, tau = np.abs(a - b), kendall_tau(a, b)
    whole = ~np.isnan(change).any(axis=1)
    kept, taus = change[whole], tau[whole & ~np.isnan(tau)]
    flips: list[bool] = []
    if column is not None:
        others = np.arange(a.shape[1]) != column
        sides = [np.sign(x[whole] - x[whole][:, [column]])[:, others] for x in (a, b)]
        flips = list((sides[0] != sides[1]).ravel())
    return {
        "n_pairs": len(kept),
        "n_undefined": len(change) - len(kept),
        "share_changed": mean_of((kept > 0).any(axis=1)),
        "mean_rank_change": mean_of(kept),
        "largest_rank_change": kept.max() if kept.size else np.nan,
        "mean_tau": mean_of(taus),
        "smallest_tau": taus.min() if taus.size else np.nan,
        "share_flips": mean_of(flips),
        "published_rank_change": change[0].mean() if alone else np.nan,
        "published_tau": tau[0] if alone else np.nan,
    }


def kendall_tau(a: Floats, b: Floats) -> Floats:
    """Kendall's tau-b of rankings, row by row.

    The cosine of the signs of all pairwise differences; the same as `scipy.stats.kendalltau`, which
    takes one pair of rankings a call.

    Parameters
    ----------
    a, b : (n, models) arrays.

    Returns
    -------
    (n,) array; NaN where a ranking is undefined or all tied.
    """
    signs = [np.sign(x[:, :, None] - x[:, None, :]).reshape(len(x), -1) for x in (a, b)]
    x, y = signs
    return ratio((x * y).sum(axis=1), np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)))


def one_at_a_time(
    prepared: Mapping[str, PreparedSplit],
    specs: pd.DataFrame,
    *,
    reference: str = REFERENCE,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Change the published specification in one choice at a time.

    Posts with a true label are resampled, for all models together, with 95% percentile intervals;
    in a resample each model keeps to the posts that its evaluation set takes.

    Parameters
    ----------
    prepared, specs : see `helpers.audit.sensitivity.specifications`; `specs` made from `prepared`.
    reference : model that the others are compared with; without its answers no difference is given.
    n_resamples, seed : of the bootstrap.

    Returns
    -------
    DataFrame (choice, option, then the columns of `specs` without group and distinct, and
    published_rank, reference_value, difference, ci_low, ci_high), one row a specification and
    model; choice and option are ``none`` and ``as published`` for the published one. `difference`
    is the model's value minus the reference's.
    """
    wanted = [("none", "as published", AS_PUBLISHED)] + [
        (choice, option, AS_PUBLISHED | {choice: option})
        for choice, options in CHOICES.items()
        for option in options[1:]
    ]
    about = pd.DataFrame([{"choice": c, "option": o, **spec} for c, o, spec in wanted])
    table = about.merge(specs.drop(columns=["group", "distinct"]), on=list(CHOICES), how="inner")
    published = table.loc[table["choice"] == "none", ["split", "fname", "rank"]]
    other = table.loc[table["fname"] == reference, ["split", "choice", "option", "value"]]
    table = table.merge(published.rename(columns={"rank": "published_rank"}), how="left")
    table = table.merge(other.rename(columns={"value": "reference_value"}), how="left")
    table["difference"] = (table["value"] - table["reference_value"]).round(DECIMALS)
    limits = [
        {"split": split, "choice": choice, "option": option, "fname": fname} | interval
        for split, part in prepared.items()
        if reference in part.names
        for choice, option, spec in wanted
        for fname, interval in _intervals(part, spec, reference, n_resamples, seed).items()
    ]
    columns = ["split", "choice", "option", "fname", "ci_low", "ci_high"]
    table = table.merge(pd.DataFrame(limits, columns=columns), how="left")
    table.loc[table["difference"].isna(), ["ci_low", "ci_high"]] = np.nan
    return table


def _intervals(
    part: PreparedSplit, spec: Mapping[str, str], reference: str, n_resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """Return the limits of each model's difference to the reference."""
    truth = part.truth[spec["conflict"]]
    chosen = part.chosen(spec["conflict"], spec["cleaning"])[spec["evaluation"]]
    inside = (truth > 0).any(axis=1)
    pieces = {}
    answers = [*part.predicted[spec["cleaning"]].values(), np.zeros_like(truth)]
    for name, mask, answer in zip([*part.names, NOTHING], chosen, answers, strict=True):
        counts = PostCounts.of(truth, answer, THRESHOLDS[spec["threshold"]])
        # Sums of single dimensions are wide, and only one metric needs them.
        wide = counts.classes if spec["metric"] == "macro_f1" else counts.classes[:, :0]
        both = np.hstack([counts.totals, wide]) * mask[:, None]
        pieces[name] = both[inside]
    texts = TextCounts("multi_intensity", pieces, np.ones(int(inside.sum()), dtype=bool))
    sums = resampled_sums(texts, n_resamples, seed)
    row, width = list(METRICS).index(spec["metric"]), 2 * truth.shape[1]
    values = {}
    for name in pieces:
        totals, classes = sums[name][:, :7], sums[name][:, 7:]
        if not classes.size:
            classes = np.zeros((n_resamples, width))
        values[name] = metric_values(totals, classes)[row]
    limits = {
        name: percentile_interval(value - values[reference])
        for name, value in values.items()
        if name != reference
    }
    return {name: {"ci_low": float(a), "ci_high": float(b)} for name, (a, b) in limits.items()}
