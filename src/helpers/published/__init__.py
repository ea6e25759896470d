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
from helpers.published.archive import Archive, Posts, open_archive, posts
from helpers.published.cap import cap_corrected, cap_published, cap_runs
from helpers.published.certificate import certificate, certificate_counts, check_published
from helpers.published.dataverse import (
    DATAVERSE_MODELS,
    DataverseAnswers,
    dataverse_answers,
    dataverse_models,
    has_dataverse,
    published_cleaning,
    read_dataverse,
)
from helpers.published.normalisation import Normalised, normalisation_rules, normalise
from helpers.published.panel import PublishedError, published_flourishing, published_headlines
from helpers.published.per_dimension import published_dimensions
from helpers.published.statistics import (
    level_matrix,
    published_statistics,
    published_summary,
)
from helpers.published.subjects import subject_answers, subject_counts, subject_scores
from helpers.published.training_size import (
    dataverse_decomposition,
    dataverse_emptiness,
    dataverse_sensitivity,
)

__all__ = [
    "ARCHIVED_TASK",
    "DATAVERSE_MODELS",
    "Archive",
    "ArchivedModel",
    "DataverseAnswers",
    "Normalised",
    "Posts",
    "PublishedError",
    "all_archived_models",
    "archived_answers",
    "archived_models",
    "cap_corrected",
    "cap_published",
    "cap_runs",
    "certificate",
    "certificate_counts",
    "check_published",
    "cleaned_answers",
    "dataverse_answers",
    "dataverse_decomposition",
    "dataverse_emptiness",
    "dataverse_models",
    "dataverse_sensitivity",
    "has_dataverse",
    "level_matrix",
    "normalisation_rules",
    "normalise",
    "open_archive",
    "posts",
    "published_cleaning",
    "published_dimensions",
    "published_flourishing",
    "published_headlines",
    "published_statistics",
    "published_summary",
    "read_answers",
    "read_dataverse",
    "subject_answers",
    "subject_counts",
    "subject_scores",
]
