"""Values that the authors published, and how they are shown; their archived answers."""

from helpers.published.answers import TASK as ARCHIVED_TASK
from helpers.published.answers import (
    ArchivedModel,
    all_archived_models,
    archived_answers,
    archived_models,
    cleaned_answers,
    read_answers,
)
from helpers.published.normalisation import Normalised, normalisation_rules, normalise
from helpers.published.panel import PublishedError, published_flourishing, published_headlines
from helpers.published.statistics import (
    level_matrix,
    published_statistics,
    recomputed_summary,
    training_truth,
)

__all__ = [
    "ARCHIVED_TASK",
    "ArchivedModel",
    "Normalised",
    "PublishedError",
    "all_archived_models",
    "archived_answers",
    "archived_models",
    "cleaned_answers",
    "level_matrix",
    "normalisation_rules",
    "normalise",
    "published_flourishing",
    "published_headlines",
    "published_statistics",
    "read_answers",
    "recomputed_summary",
    "training_truth",
]
