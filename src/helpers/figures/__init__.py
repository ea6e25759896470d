"""One function per exhibit; each takes finished numbers and returns a matplotlib figure."""

from helpers.figures.claims import certificate_bars, claims_table
from helpers.figures.classes import class_rates
from helpers.figures.comparison import forest, size_axis
from helpers.figures.human_coding import coder_acceptance, dimension_acceptance
from helpers.figures.labellers import confusion_pairs, labeller_forest
from helpers.figures.labelling import accuracy_by_agreement, agreement_heatmap, crowd_bars
from helpers.figures.noise_ceiling import noise_ceiling
from helpers.figures.parts import part_name, trained_share
from helpers.figures.parts_compared import by_group, relative_gains
from helpers.figures.published import published_headline_panel, published_panel
from helpers.figures.published_sizes import published_and_recomputed
from helpers.figures.published_topics import per_dimension_swap, topics
from helpers.figures.specification import specification_curve
from helpers.figures.specification_ranks import specification_effects, specification_ranks
from helpers.figures.study import label_quality, learning_curves, valid_answers
from helpers.figures.style import FigureError, save_figure
from helpers.figures.texts import cooccurrence, label_frequencies, text_lengths
from helpers.figures.training import training_loss
from helpers.figures.training_size_published import training_size_published
from helpers.figures.verification import (
    acceptance_rates,
    decision_pace,
    label_sources,
    pool_recall,
)

__all__ = [
    "FigureError",
    "acceptance_rates",
    "accuracy_by_agreement",
    "agreement_heatmap",
    "by_group",
    "certificate_bars",
    "claims_table",
    "class_rates",
    "coder_acceptance",
    "confusion_pairs",
    "cooccurrence",
    "crowd_bars",
    "decision_pace",
    "dimension_acceptance",
    "forest",
    "label_frequencies",
    "label_quality",
    "label_sources",
    "labeller_forest",
    "learning_curves",
    "noise_ceiling",
    "part_name",
    "per_dimension_swap",
    "pool_recall",
    "published_and_recomputed",
    "published_headline_panel",
    "published_panel",
    "relative_gains",
    "save_figure",
    "size_axis",
    "specification_curve",
    "specification_effects",
    "specification_ranks",
    "text_lengths",
    "topics",
    "trained_share",
    "training_loss",
    "training_size_published",
    "valid_answers",
]
