"""Statistics of each dimension with the right orientation, on the same posts, beside the printed.

The published table calls recall precision, and precision sensitivity (`per_dimension` says why).
Here the names mean what they say: sensitivity TP/(TP+FN), specificity TN/(TN+FP), precision
TP/(TP+FP), F1 2TP/(2TP+FP+FN), balanced accuracy (sensitivity + specificity)/2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers.audit.corrected.counts import Resampled, answered
from helpers.audit.corrected.scores import MODEL_COLUMNS, model_facts
from helpers.metrics.counts import Floats, Sums
from helpers.metrics.edges import at_the_edge
from helpers.metrics.intervals import percentile_interval
from helpers.metrics.scores import CLASS_METRICS, class_rates
from helpers.published.archive import Posts
from helpers.published.per_dimension import published_dimensions, ratio

PRINTED = ("prec", "sens", "spec", "balAcc")
DIMENSION_COLUMNS = (
    *MODEL_COLUMNS,
    *("dimension", "n", "n_answered", "support", "named"),
    *(name + end for name in CLASS_METRICS for end in ("", "_low", "_high")),
    *("named_published", *(f"printed_{name}" for name in PRINTED)),
)


def dimension_rates(sums: Sums) -> dict[str, Floats]:
    """Compute `CLASS_METRICS` of each dimension from (resampled) sums, each (..., L).

    F1 is 0, not undefined, where a dimension occurs or is named and no post is rightly found: a
    model that never finds it has failed. A rate without a denominator is NaN.
    """
    f1 = ratio(2 * sums["tp"], sums["true"] + sums["pred"])
    return class_rates({**sums, "n": sums["ones"]}) | {"f1": f1}


def corrected_per_dimension(
    resampled: Resampled, dimensions: Sequence[str], published: Posts | None = None
) -> pd.DataFrame:
    """Score every model and baseline on each dimension, all on the same posts.

    Parameters
    ----------
    resampled : see `helpers.audit.corrected.scores.resample`.
    dimensions : the L names, in the order of the columns.
    published : the same split under the published rules (`posts` with its defaults), for what the
        authors' script prints.

    Returns
    -------
    DataFrame, columns `DIMENSION_COLUMNS`: `support` posts that have the dimension, `named` posts
    to which the model gave it; rates between 0 and 1 with 95% percentile intervals over posts
    (rates of 0 or 1: see `helpers.metrics.at_the_edge`), NaN where undefined. `printed_...` is
    what the published table prints (swapped), recomputed from the posts that the model answered,
    and `named_published` how many posts it gave the dimension under the published cleaning; NaN for
    baselines and without `published`.
    """
    posts, parts = resampled.posts, []
    printed = _printed(published, dimensions)
    for fname, by_texts in resampled.total.items():
        sums = by_texts["same"]
        values = dimension_rates(sums)
        spread = dimension_rates(resampled.samples[fname]["same"])
        part = pd.DataFrame(
            {
                "fname": fname,
                "dimension": list(dimensions),
                "n": len(posts.truth),
                "n_answered": int(answered(posts, fname).sum()),
                "support": sums["true"].astype(int),
                "named": sums["pred"].astype(int),
            }
        )
        limits = {name: percentile_interval(samples) for name, samples in spread.items()}
        limits = at_the_edge({**sums, "n": np.asarray(sums["ones"])}, values, limits)
        for name, value in values.items():
            part[name] = value
            # No value, no interval: a rate may be defined in some bootstrap samples only.
            for end, limit in zip(("low", "high"), limits[name], strict=True):
                part[f"{name}_{end}"] = np.where(np.isnan(value), np.nan, limit)
        parts.append(part)
    table = model_facts(posts.split).merge(pd.concat(parts), on="fname")
    table = table.merge(printed, on=["fname", "dimension"], how="left")
    return table.reindex(columns=list(DIMENSION_COLUMNS))


def _printed(published: Posts | None, dimensions: Sequence[str]) -> pd.DataFrame:
    if published is None or not published.predicted:
        return pd.DataFrame(columns=["fname", "dimension"])
    table = published_dimensions(published, dimensions)
    names = {name: f"printed_{name}" for name in PRINTED}
    table = table[["fname", "dimension", *PRINTED]].rename(columns=names)
    named = [(matrix > 0).sum(axis=0) for matrix in published.predicted.values()]
    return table.assign(named_published=np.concatenate(named))
