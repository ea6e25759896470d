"""From a profile to the work that it asks for: which trainings, which predictions.

All of it is kept in the run's folder and skipped if it is there and its inputs are the same.
"""

from helpers.experiments.predictions import (
    answers_before_and_after,
    count_parameters,
    cross_validated,
    model_info,
    predict_all,
    predictions,
)
from helpers.experiments.trainings import (
    base_folder,
    build_bases,
    check_train_labels,
    locate,
    settings_for,
    training_history,
    training_jobs,
    training_performance,
    training_summary,
)

__all__ = [
    "answers_before_and_after",
    "base_folder",
    "build_bases",
    "check_train_labels",
    "count_parameters",
    "cross_validated",
    "locate",
    "model_info",
    "predict_all",
    "predictions",
    "settings_for",
    "training_history",
    "training_jobs",
    "training_performance",
    "training_summary",
]
