"""From a profile to the work that it asks for: which trainings, which predictions.

All of it is kept in the run's folder and skipped if it is there and its inputs are the same.
"""

from helpers.experiments.answers import (
    answers_of_others,
    endpoint_title,
    kinds,
    label_sources,
    sources_compared,
)
from helpers.experiments.costs import actual_cost, archive_responses, confirm_cost, crowd_cost
from helpers.experiments.crowd import crowd_texts, label_crowd, members, prepare_crowd
from helpers.experiments.crowd_tables import (
    crowd_members,
    first_questions,
    gold_labels,
    prompt_sensitivity,
    status_counts,
    training_rows,
)
from helpers.experiments.predictions import (
    answers_before_and_after,
    count_parameters,
    cross_validated,
    model_info,
    predict_all,
    predictions,
)
from helpers.experiments.review import (
    Review,
    crowd_proposals,
    label_quality,
    review_session,
    review_task,
    reviewed_tasks,
    true_recall,
)
from helpers.experiments.trainings import (
    base_folder,
    build_bases,
    check_train_labels,
    locate,
    read_made,
    settings_for,
    train_texts,
    training_history,
    training_jobs,
    training_performance,
    training_summary,
)

__all__ = [
    "Review",
    "actual_cost",
    "answers_before_and_after",
    "answers_of_others",
    "archive_responses",
    "base_folder",
    "build_bases",
    "check_train_labels",
    "confirm_cost",
    "count_parameters",
    "cross_validated",
    "crowd_cost",
    "crowd_members",
    "crowd_proposals",
    "crowd_texts",
    "endpoint_title",
    "first_questions",
    "gold_labels",
    "kinds",
    "label_crowd",
    "label_quality",
    "label_sources",
    "locate",
    "members",
    "model_info",
    "predict_all",
    "predictions",
    "prepare_crowd",
    "prompt_sensitivity",
    "read_made",
    "review_session",
    "review_task",
    "reviewed_tasks",
    "settings_for",
    "sources_compared",
    "status_counts",
    "train_texts",
    "training_history",
    "training_jobs",
    "training_performance",
    "training_rows",
    "training_summary",
    "true_recall",
]
