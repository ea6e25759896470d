"""Figure of the losses during fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.figures.style import BLUE, ORANGE, headline, panels, require, styled

CURVES = {"loss": ("train", BLUE, "o", "-"), "eval_loss": ("validation", ORANGE, "s", "--")}


@styled
def training_loss(
    history: pd.DataFrame,
    title: str,
    *,
    names: Mapping[str, str] | None = None,
    embedded: bool = False,
) -> Figure:
    """Training and validation loss by epoch, one panel per task and model.

    Parameters
    ----------
    history : DataFrame
        Columns task, model, epoch, loss (training) and eval_loss (validation, may be missing).
    title : str
    names : mapping of model to readable name, optional
    embedded : bool
    """
    require(history, ["task", "model", "epoch", "loss", "eval_loss"], "losses")
    groups = list(history.groupby(["task", "model"], sort=False))
    columns = min(3, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure, grid = panels(rows, columns, 0.8 + 2.5 * rows)
    for axes in grid.flat[len(groups) :]:
        axes.set_visible(False)
    several = history["task"].nunique() > 1
    for axes, ((task, model), part) in zip(grid.flat, groups, strict=False):
        for column, (label, colour, marker, line) in CURVES.items():
            curve = part.dropna(subset=[column]).sort_values("epoch")
            axes.plot(
                curve["epoch"], curve[column], line, color=colour, marker=marker, ms=4, label=label
            )
        name = (names or {}).get(model, model)
        axes.set(title=f"{task}: {name}" if several else name, xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        # Panels of one task share their scale; tasks differ too much to share one.
        top = history.loc[history["task"] == task, ["loss", "eval_loss"]].max(axis=None)
        axes.set(ylim=(0, 1.08 * top), xlim=(0.7, part["epoch"].max() + 0.3))
    for axes in grid[:, 0]:
        axes.set_ylabel("Loss per answer token")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    headline(figure, title, embedded)
    return figure
