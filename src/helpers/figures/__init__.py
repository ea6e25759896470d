"""One function per exhibit; each takes finished numbers and returns a matplotlib figure."""

from helpers.figures.classes import class_rates
from helpers.figures.comparison import forest, size_axis
from helpers.figures.labellers import confusion_pairs, labeller_forest
from helpers.figures.labelling import accuracy_by_agreement, agreement_heatmap, crowd_bars
from helpers.figures.published import published_headline_panel, published_panel
from helpers.figures.style import FigureError, save_figure
from helpers.figures.texts import cooccurrence, label_frequencies, text_lengths
from helpers.figures.training import training_loss
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
    "class_rates",
    "confusion_pairs",
    "cooccurrence",
    "crowd_bars",
    "decision_pace",
    "forest",
    "label_frequencies",
    "label_sources",
    "labeller_forest",
    "pool_recall",
    "published_headline_panel",
    "published_panel",
    "save_figure",
    "size_axis",
    "text_lengths",
    "training_loss",
]
