"""Figure of the rates of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.figures.comparison import interval_arms
from helpers.figures.style import (
    BLUE,
    ORANGE,
    FigureError,
    headline,
    panels,
    require,
    shorten,
    styled,
)
from helpers.metrics import METRIC_NAMES


@styled
def class_rates(
    per_class: pd.DataFrame,
    task: str,
    models: Sequence[str],
    title: str,
    *,
    split: str = "test",
    rates: Sequence[str] = ("balanced_accuracy", "f1", "sensitivity", "specificity"),
    names: Mapping[str, str] | None = None,
    embedded: bool = False,
) -> Figure:
    """Rates of each class with 95% intervals, two models side by side.

    Classes are ordered by support, which stands beside their name. A rate that is undefined is
    marked with a cross at the left edge, so that it does not pass for a missing point.

    Parameters
    ----------
    per_class : DataFrame
        The table of rates per class.
    task : str
    models : sequence of one or two str
    title : str
    split : str
    rates : sequence of str
        One panel each.
    names : mapping of model to readable name, optional
    embedded : bool
    """
    require(per_class, ["task", "split", "model", "name", "metric", "value", "support"], "classes")
    part = per_class[(per_class["task"] == task) & (per_class["split"] == split)]
    if unknown := sorted(set(models) - set(part["model"])):
        raise FigureError(f"no rates per class of {', '.join(unknown)} ({task}, {split})")
    support = part[part["model"] == models[0]].drop_duplicates("label")
    support = support[support["support"] > 0].sort_values("support", kind="stable")
    figure, grid = panels(1, len(rates), 1.5 + 0.32 * len(support), sharey=True, sharex=True)
    figure.set_layout_engine("constrained", w_pad=0.1)
    looks = ((BLUE, "o"), (ORANGE, "s"))
    for axes, rate in zip(grid[0], rates, strict=True):
        for position, (model, look) in enumerate(zip(models, looks, strict=False)):
            rows = part[(part["model"] == model) & (part["metric"] == rate)].set_index("label")
            rows = rows.loc[support["label"]]
            offset = 0.17 * (1 if position == 0 else -1) if len(models) > 1 else 0.0
            _class_dots(axes, rows, offset, look, (names or {}).get(model, model))
        axes.set(title=METRIC_NAMES.get(rate, rate), xlim=(-0.06, 1.04))
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    labels = zip(support["name"], support["support"], strict=True)
    grid[0, 0].set_yticks(
        range(len(support)), [f"{shorten(k, 32)} ({n})" for k, n in labels], size=8.5
    )
    grid[0, 0].set_ylim(-0.6, len(support) - 0.4)
    handles, texts = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2)
    headline(figure, title, embedded)
    return figure


def _class_dots(
    axes: Axes, rows: pd.DataFrame, offset: float, look: tuple[str, str], label: str
) -> None:
    colour, marker = look
    height = np.arange(len(rows)) + offset
    defined = rows["value"].notna().to_numpy()
    kept = rows[defined]
    axes.errorbar(
        kept["value"],
        height[defined],
        xerr=interval_arms(kept),
        color=colour,
        marker=marker,
        ls="",
        ms=4.5,
        elinewidth=1,
        label=label,
    )
    axes.plot(np.full((~defined).sum(), -0.03), height[~defined], "x", color=colour, ms=4)
