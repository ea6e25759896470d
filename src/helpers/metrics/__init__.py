"""Scores, bootstrap intervals and paired tests.

Nothing here knows a model or reads an answer: the input is a pair of integer matrices
(truth and prediction, one row per text, one column per label) and a vector that says which
texts were answered at all.
"""

from helpers.metrics.agreement import coder_agreement, overall_agreement, pairwise_kappa
from helpers.metrics.counts import (
    TextCounts,
    count_texts,
    multi_label_counts,
    numeric_counts,
    single_label_counts,
)
from helpers.metrics.crowd import accuracy_given_agreement, crowd_shares
from helpers.metrics.edges import at_the_edge
from helpers.metrics.intervals import (
    Estimate,
    bootstrap_metrics,
    evaluate,
    percentile_interval,
    resampled_sums,
)
from helpers.metrics.labellers import labeller_scores, neighbour_confusion
from helpers.metrics.paired import (
    McNemar,
    PairedDifference,
    holm,
    mcnemar_exact,
    paired_bootstrap,
)
from helpers.metrics.prompts import prompt_groups, prompt_sensitivity
from helpers.metrics.reliability import wilson_interval
from helpers.metrics.scores import (
    CLASS_METRICS,
    LOWER_IS_BETTER,
    METRIC_NAMES,
    class_rates,
    metric_names,
    metrics_of,
    scores,
)
from helpers.metrics.tidy import (
    METRIC_COLUMNS,
    SPLITS,
    MetricsError,
    ModelInfo,
    counts_from_frames,
    per_class,
    read_predictions,
    split_counts,
    tidy,
)
from helpers.metrics.two_level import TwoLevel, two_level, two_level_samples

__all__ = [
    "CLASS_METRICS",
    "LOWER_IS_BETTER",
    "METRIC_COLUMNS",
    "METRIC_NAMES",
    "SPLITS",
    "Estimate",
    "McNemar",
    "MetricsError",
    "ModelInfo",
    "PairedDifference",
    "TextCounts",
    "TwoLevel",
    "accuracy_given_agreement",
    "at_the_edge",
    "bootstrap_metrics",
    "class_rates",
    "coder_agreement",
    "count_texts",
    "counts_from_frames",
    "crowd_shares",
    "evaluate",
    "holm",
    "labeller_scores",
    "mcnemar_exact",
    "metric_names",
    "metrics_of",
    "multi_label_counts",
    "neighbour_confusion",
    "numeric_counts",
    "overall_agreement",
    "paired_bootstrap",
    "pairwise_kappa",
    "per_class",
    "percentile_interval",
    "prompt_groups",
    "prompt_sensitivity",
    "read_predictions",
    "resampled_sums",
    "scores",
    "single_label_counts",
    "split_counts",
    "tidy",
    "two_level",
    "two_level_samples",
    "wilson_interval",
]
