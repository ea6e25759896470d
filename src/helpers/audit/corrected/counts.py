"""Models and baselines on the same posts: what each post adds to the scores, resampled together.

Every score is a function of sums over posts, so that the value, its bootstrap interval and a paired
difference come from one definition. One set of bootstrap samples serves all models and both
selections of posts: differences are paired. Of the posts that a model answered a bootstrap sample
holds more or fewer, as another sample of posts would.

References
----------
Gorodkin (2004), Computational Biology and Chemistry 28, 367-374 (MCC of more than two classes; of
pooled cells it is the phi coefficient).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from helpers.metrics.counts import Floats, Sums, TextCounts, multi_label_counts
from helpers.metrics.intervals import resampled_sums
from helpers.metrics.scores import metrics_of
from helpers.published.archive import Posts
from helpers.published.panel import PublishedError
from helpers.published.per_dimension import ratio
from helpers.published.statistics import Levels

NOTHING, MAJORITY = "predict-nothing", "majority"
BASELINES = {NOTHING: "Predict nothing", MAJORITY: "Majority of the training posts"}
METRICS = (
    *("dimension_accuracy", "hamming_loss", "jaccard", "rescaled_accuracy", "intensity_accuracy"),
    *("accuracy_with_intensity", "micro_f1", "macro_f1", "mcc", "exact_match"),
)
TEXTS = ("same", "published")
# Sums that differ between the selections; those of unanswered posts are 0 anyway in the others.
_MASKED = ("true", "rescaled", "ones")


@dataclass(frozen=True)
class Resampled:
    """Sums over the posts, as they are and in bootstrap samples, for every model and baseline.

    Attributes
    ----------
    posts : with the baselines among the models.
    total, samples : fname -> texts (`TEXTS`) -> sums, each (width,) or (n_resamples, width); see
        `helpers.metrics.counts`.
    """

    posts: Posts
    total: Mapping[str, Mapping[str, Sums]]
    samples: Mapping[str, Mapping[str, Sums]]


def majority_levels(training_truth: Levels) -> Levels:
    """Return what the majority baseline predicts for every post, (L,).

    The dimensions that more than half of the training posts have; if there is none, the single most
    frequent one (the first of the codebook among equals). Each with its most frequent level, the
    lower among equals.
    """
    counts = np.stack([(training_truth == level).sum(axis=0) for level in (1, 2, 3)])
    frequency = counts.sum(axis=0)
    chosen = 2 * frequency > len(training_truth)
    if not chosen.any():
        chosen[int(frequency.argmax())] = True
    return np.where(chosen, counts.argmax(axis=0) + 1, 0).astype(np.uint8)


def with_baselines(posts: Posts, training_truth: Levels | None) -> Posts:
    """Add the baselines to the models.

    Parameters
    ----------
    posts : of either split.
    training_truth : (n_train, L) levels of the training posts, also where the test posts are
        scored: no baseline sees the labels that it is scored on. None: without majority.
    """
    predicted = {**posts.predicted, NOTHING: np.zeros_like(posts.truth)}
    if training_truth is not None:
        levels = majority_levels(training_truth).astype(posts.truth.dtype)
        predicted[MAJORITY] = np.tile(levels, (len(posts.truth), 1))
    return replace(posts, predicted=predicted)


def answered(posts: Posts, fname: str) -> NDArray[np.bool_]:
    """Whether each post has a usable answer; the baselines answer every post."""
    if fname in BASELINES:
        return np.ones(len(posts.truth), dtype=bool)
    return posts.published_selection(fname)


def score_counts(truth: Levels, predicted: Levels, mask: NDArray[np.bool_]) -> TextCounts:
    """Count what each post adds to the sums that the scores are made of.

    The parts of `helpers.metrics.multi_label_counts`, and (n, 1) each: ``rescaled``,
    (L-e)/(L+1[e>0]) with e wrong dimensions (jac2 of the archive), and ``ones``.
    """
    counts = multi_label_counts(truth, predicted, mask, intensity=True)
    parts, width = counts.parts, truth.shape[1]
    errors = (parts["true"] + parts["pred"] - 2 * parts["tp"]).sum(axis=1, keepdims=True)
    extra = {"rescaled": (width - errors) / (width + (errors > 0)), "ones": np.ones_like(errors)}
    return TextCounts(counts.label_type, {**parts, **extra}, mask)


def score_values(sums: Sums) -> dict[str, Floats]:
    """Compute all `METRICS` from sums; arrays of the sums' leading shape, NaN where undefined.

    - ``intensity_accuracy``: right levels among the dimensions rightly found (conditional);
    - ``accuracy_with_intensity``: cells rightly absent, or present with the right level (accI);
    - ``macro_f1``: mean of 2TP/(2TP+FP+FN) over the dimensions that are true or predicted;
    - ``mcc``: (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)), cells of all dimensions pooled;
    - ``exact_match``: posts with exactly the true dimensions.
    """
    tp, true, pred = (sums[name].sum(axis=-1) for name in ("tp", "true", "pred"))
    n, width = sums["ones"][..., 0], sums["tp"].shape[-1]
    cells = n * width
    tn = cells - true - pred + tp
    scale = np.sqrt(true * pred) * np.sqrt((cells - true) * (cells - pred))
    # A bootstrap sample may hold no post that the model answered: it has no score, and is left out.
    with np.errstate(invalid="ignore"):
        common = metrics_of("multi_intensity", {**sums, "n": sums["ones"]})
    return common | {
        "rescaled_accuracy": ratio(sums["rescaled"][..., 0], n),
        "accuracy_with_intensity": ratio(tn + sums["level_right"][..., 0], cells),
        "mcc": ratio(tp * tn - (pred - tp) * (true - tp), scale),
    }


def stacked_counts(posts: Posts) -> TextCounts:
    """Put the counts of all models side by side, so that one set of draws serves them all."""
    parts: dict[str, Floats] = {}
    for fname, predicted in posts.predicted.items():
        mask = answered(posts, fname)
        counts = score_counts(posts.truth, predicted, mask)
        parts |= {f"{fname}/{name}": part for name, part in counts.parts.items()}
        parts |= {f"{fname}/{name}/published": counts.parts[name] * mask[:, None]
                  for name in _MASKED}  # fmt: skip
        # Common to all models: kept once.
        parts["true"], parts["ones"] = parts.pop(f"{fname}/true"), parts.pop(f"{fname}/ones")
    return TextCounts("multi_intensity", parts, np.ones(len(posts.truth), dtype=bool))


def sums_by_model(posts: Posts, sums: Sums) -> dict[str, dict[str, Sums]]:
    """Take the sums of `stacked_counts` apart: fname -> texts (`TEXTS`) -> sums."""
    names = ("tp", "pred", "any_right", "exact_match", "jaccard", "level_right", "rescaled")
    result = {}
    for fname in posts.predicted:
        same = {name: sums[f"{fname}/{name}"] for name in names}
        same |= {"true": sums["true"], "ones": sums["ones"]}
        masked = {name: sums[f"{fname}/{name}/published"] for name in _MASKED}
        result[fname] = {"same": same, "published": {**same, **masked}}
    return result


def resample(posts: Posts, n_resamples: int = 2000, seed: int = 0) -> Resampled:
    """Draw the bootstrap samples of the posts, once for all models and both selections."""
    if len(posts.truth) < 2:
        raise PublishedError(f"{len(posts.truth)} {posts.split} post(s): too few for an interval")
    counts = stacked_counts(posts)
    samples = resampled_sums(counts, n_resamples, seed)
    return Resampled(posts, sums_by_model(posts, counts.total()), sums_by_model(posts, samples))
