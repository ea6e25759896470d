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
from helpers.experiments.causal_parts import causal_parts
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
from helpers.experiments.parts_tables import (
    parts_by_group,
    parts_gains,
    parts_performance,
    parts_scores,
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
from helpers.experiments.study_tables import (
    answer_forms,
    models_with_other_labels,
    study_curves,
    study_levels,
    study_names,
    study_scores,
    worth_in_gold,
)
from helpers.experiments.training_size import read_study, run_study, study_cells, study_performance
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
from helpers.experiments.what_to_finetune import explained, run_parts

__all__ = [
    "Review",
    "actual_cost",
    "answer_forms",
    "answers_before_and_after",
    "answers_of_others",
    "archive_responses",
    "base_folder",
    "build_bases",
    "causal_parts",
    "check_train_labels",
    "confirm_cost",
    "count_parameters",
    "cross_validated",
    "crowd_cost",
    "crowd_members",
    "crowd_proposals",
    "crowd_texts",
    "endpoint_title",
    "explained",
    "first_questions",
    "gold_labels",
    "kinds",
    "label_crowd",
    "label_quality",
    "label_sources",
    "locate",
    "members",
    "model_info",
    "models_with_other_labels",
    "parts_by_group",
    "parts_gains",
    "parts_performance",
    "parts_scores",
    "predict_all",
    "predictions",
    "prepare_crowd",
    "prompt_sensitivity",
    "read_made",
    "read_study",
    "review_session",
    "review_task",
    "reviewed_tasks",
    "run_parts",
    "run_study",
    "settings_for",
    "sources_compared",
    "status_counts",
    "study_cells",
    "study_curves",
    "study_levels",
    "study_names",
    "study_performance",
    "study_scores",
    "train_texts",
    "training_history",
    "training_jobs",
    "training_performance",
    "training_rows",
    "training_summary",
    "true_recall",
    "worth_in_gold",
]
