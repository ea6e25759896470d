"""One function per exhibit; each takes finished numbers and returns a matplotlib figure."""

from helpers.figures.classes import class_rates
from helpers.figures.comparison import forest, size_axis
from helpers.figures.published import published_headline_panel, published_panel
from helpers.figures.style import FigureError, save_figure
from helpers.figures.texts import cooccurrence, label_frequencies, text_lengths
from helpers.figures.training import training_loss

__all__ = [
    "FigureError",
    "class_rates",
    "cooccurrence",
    "forest",
    "label_frequencies",
    "published_headline_panel",
    "published_panel",
    "save_figure",
    "size_axis",
    "text_lengths",
    "training_loss",
]
