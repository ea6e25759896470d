"""The published exhibits done right: same posts, baselines, intervals, paired tests."""

from helpers.audit.corrected.dimensions import corrected_per_dimension
from helpers.audit.corrected.scores import Corrected, corrected_tables

__all__ = ["Corrected", "corrected_per_dimension", "corrected_tables"]
