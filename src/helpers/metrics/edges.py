"""Intervals of class rates at 0 and 1, where a bootstrap over texts has nothing to vary."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from helpers.metrics.counts import Floats, Sums
from helpers.metrics.reliability import wilson_interval

Limits = tuple[Floats, Floats]


def at_the_edge(
    sums: Sums, values: Mapping[str, Floats], limits: Mapping[str, Limits]
) -> dict[str, Limits]:
    """Replace intervals of rates of 0 or 1, which leave bootstrap samples nothing to vary.

    There: Wilson's, F1 by way of TP/(TP+FP+FN), a share of which it is a monotone function.
    Balanced accuracy: from the intervals of sensitivity and specificity, where either is 0 or 1.

    Parameters
    ----------
    sums : ``tp``, ``true``, ``pred`` (L,), ``n`` (1,).
    values : sensitivity, specificity, precision, f1 and balanced_accuracy, each (L,).
    limits : lower and upper limits of the same.

    References
    ----------
    Wilson (1927), JASA 22(158), 209-212; Zou & Donner (2008), Statistics in Medicine 27,
    1693-1702 (intervals of a sum from those of its terms).
    """
    tp, true, pred, n = sums["tp"], sums["true"], sums["pred"], sums["n"]
    shares = {
        "sensitivity": (tp, true),
        "specificity": (n - true - pred + tp, n - true),
        "precision": (tp, pred),
        "f1": (tp, true + pred - tp),
    }
    result, edges = dict(limits), {}
    for name, (part, whole) in shares.items():
        wilson = np.array(wilson_interval(part, whole))
        wilson = 2 * wilson / (1 + wilson) if name == "f1" else wilson
        edges[name] = (values[name] == 0) | (values[name] == 1)
        low, high = np.where(edges[name], wilson, limits[name])
        result[name] = (low, high)
    edge = edges["sensitivity"] | edges["specificity"]
    away = [
        np.hypot(*(values[name] - result[name][end] for name in ("sensitivity", "specificity"))) / 2
        for end in (0, 1)
    ]
    centre, old = values["balanced_accuracy"], limits["balanced_accuracy"]
    low, high = np.where(edge, [centre - away[0], centre + away[1]], old)
    result["balanced_accuracy"] = (low, high)
    return result
