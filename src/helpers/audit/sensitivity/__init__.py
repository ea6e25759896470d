"""How the ranking of the models changes with each analytic choice."""

from helpers.audit.sensitivity.effects import choice_effects, one_at_a_time
from helpers.audit.sensitivity.specifications import prepare, specifications
from helpers.audit.sensitivity.tables import (
    option_shares,
    rank_ranges,
    rank_shares,
    specification_counts,
    specification_differences,
)

__all__ = [
    "choice_effects",
    "one_at_a_time",
    "option_shares",
    "prepare",
    "rank_ranges",
    "rank_shares",
    "specification_counts",
    "specification_differences",
    "specifications",
]
