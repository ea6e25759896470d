"""Scores of single-label, multi-label and numeric predictions.

Every score is a function of sums over texts (`helpers.metrics.counts`), so that a score, its
bootstrap interval and a paired difference all come from one definition: the sums are taken over
the texts as they are, or over resampled texts.

A rate without a denominator is NaN, and a NaN class is dropped from the unweighted mean; how many
classes a mean rests on is reported beside it (`n_classes_...`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from helpers.metrics.counts import Floats, Sums, TextCounts

CLASS_METRICS = ("sensitivity", "specificity", "precision", "f1", "balanced_accuracy")
LOWER_IS_BETTER = frozenset({"hamming_loss", "mse", "mae"})

METRIC_NAMES = {
    "accuracy": "Accuracy",
    "mean_sensitivity": "Mean sensitivity",
    "mean_specificity": "Mean specificity",
    "mean_precision": "Mean precision",
    "mean_f1": "Mean F1 (classes with F1 defined)",
    "mean_balanced_accuracy": "Mean balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "balanced_accuracy": "Balanced accuracy",
    "micro_f1": "Micro F1",
    "macro_f1": "Macro F1",
    "hamming_loss": "Hamming loss",
    "dimension_accuracy": "Accuracy on dimensions",
    "jaccard": "Jaccard",
    "any_right": "At least one label right",
    "exact_match": "Exact label set",
    "intensity_accuracy": "Intensity right, given the dimension",
    "r2": "R²",
    "mse": "Mean squared error",
    "mae": "Mean absolute error",
}


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient, NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)


def class_rates(sums: Sums) -> Sums:
    """Rates of each class from (resampled) sums; each result has shape (..., L).

    - sensitivity TP/(TP+FN), precision TP/(TP+FP), specificity TN/(TN+FP);
    - balanced accuracy (sensitivity + specificity)/2;
    - F1 = 2PR/(P+R), undefined where TP = 0, as in the published tables. `macro_f1` counts
      such a class as 0 instead.

    A class that is neither true nor predicted anywhere has no rate at all.
    """
    tp, true, pred, n = sums["tp"], sums["true"], sums["pred"], sums["n"]
    occurs = true + pred > 0
    sensitivity = _ratio(tp, true)
    tn = n - true - pred + tp
    specificity = np.where(occurs, _ratio(tn, n - true), np.nan)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "precision": _ratio(tp, pred),
        "f1": np.where(tp > 0, _ratio(2 * tp, true + pred), np.nan),
        "balanced_accuracy": (sensitivity + specificity) / 2,
    }


def _class_mean(rates: Floats) -> Floats:
    """Unweighted mean over the classes (last axis) whose rate is defined."""
    defined = ~np.isnan(rates)
    return _ratio(np.where(defined, rates, 0.0).sum(axis=-1), defined.sum(axis=-1))


def _per_text(name: str) -> Callable[[Sums], Floats]:
    return lambda sums: sums[name][..., 0] / sums["n"][..., 0]


def _mean_rate(name: str) -> Callable[[Sums], Floats]:
    return lambda sums: _class_mean(class_rates(sums)[name])


def _micro_f1(sums: Sums) -> Floats:
    """2TP/(2TP+FP+FN) with the counts pooled over classes."""
    return _ratio(2 * sums["tp"].sum(axis=-1), (sums["true"] + sums["pred"]).sum(axis=-1))


def _macro_f1(sums: Sums) -> Floats:
    """Unweighted mean of 2TP/(2TP+FP+FN) over the classes that are true or predicted somewhere."""
    return _class_mean(_ratio(2 * sums["tp"], sums["true"] + sums["pred"]))


def _hamming_loss(sums: Sums) -> Floats:
    """(FN+FP)/L per text, averaged over texts."""
    errors = (sums["true"] + sums["pred"] - 2 * sums["tp"]).sum(axis=-1)
    return errors / (sums["n"][..., 0] * sums["tp"].shape[-1])


def _intensity_accuracy(sums: Sums) -> Floats:
    """Share of the rightly predicted dimensions whose intensity is right too."""
    return _ratio(sums["level_right"][..., 0], sums["tp"].sum(axis=-1))


def _r2(sums: Sums) -> Floats:
    """1 - SSE/SST, SST about the mean of the (resampled) texts."""
    sst = sums["y_squared"] - sums["y"] ** 2 / sums["n"]
    # A resample of equal values has SST 0 up to rounding; R2 is then undefined.
    sst = np.where(sst > 1e-12 * np.maximum(sums["y_squared"], 1e-300), sst, 0.0)
    return (1 - _ratio(sums["squared_error"], sst))[..., 0]


_SINGLE: dict[str, Callable[[Sums], Floats]] = {
    "accuracy": _per_text("exact_match"),
    **{f"mean_{name}": _mean_rate(name) for name in CLASS_METRICS},
    "micro_f1": _micro_f1,
    "macro_f1": _macro_f1,
}
_MULTI: dict[str, Callable[[Sums], Floats]] = {
    "hamming_loss": _hamming_loss,
    "dimension_accuracy": lambda sums: 1 - _hamming_loss(sums),
    "jaccard": _per_text("jaccard"),
    "micro_f1": _micro_f1,
    "macro_f1": _macro_f1,
    "any_right": _per_text("any_right"),
    "exact_match": _per_text("exact_match"),
    "mean_balanced_accuracy": _mean_rate("balanced_accuracy"),
}
_FUNCTIONS: dict[str, dict[str, Callable[[Sums], Floats]]] = {
    "single": _SINGLE,
    "multi": _MULTI,
    "multi_intensity": _MULTI | {"intensity_accuracy": _intensity_accuracy},
    "numeric": {
        "r2": _r2,
        "mse": _per_text("squared_error"),
        "mae": _per_text("absolute_error"),
    },
}


def metric_names(label_type: str) -> list[str]:
    """Names of the scores of a label type, in table order."""
    return list(_FUNCTIONS[label_type])


def metrics_of(label_type: str, sums: Sums) -> dict[str, Floats]:
    """All scores from sums over texts; arrays of the sums' leading shape."""
    return {name: function(sums) for name, function in _FUNCTIONS[label_type].items()}


def scores(counts: TextCounts) -> dict[str, float]:
    """All scores of a set of predictions, without intervals."""
    return {k: float(v) for k, v in metrics_of(counts.label_type, counts.total()).items()}
