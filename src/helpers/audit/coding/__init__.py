"""The human coding: acceptance, agreement, and the ceiling that it sets for any model."""

from helpers.audit.coding.acceptance import acceptance, coder_strictness
from helpers.audit.coding.agreement import agreement_table
from helpers.audit.coding.ceiling import beside_ceiling, ceiling_table, scores_by_posts
from helpers.audit.coding.coder_as_model import coder_as_model
from helpers.audit.coding.identification import identification
from helpers.audit.coding.latent import latent_table
from helpers.audit.coding.memorisation import named_by_agreement
from helpers.audit.coding.noise import noise_bounds, published_disagreement
from helpers.audit.coding.overlap import (
    agreement_by_definition,
    coder_pairs,
    overlap_selection,
    self_consistency,
)

__all__ = [
    "acceptance",
    "agreement_by_definition",
    "agreement_table",
    "beside_ceiling",
    "ceiling_table",
    "coder_as_model",
    "coder_pairs",
    "coder_strictness",
    "identification",
    "latent_table",
    "named_by_agreement",
    "noise_bounds",
    "overlap_selection",
    "published_disagreement",
    "scores_by_posts",
    "self_consistency",
]
