"""Figures of single labellers: their scores, and the labels that they confuse."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers.figures.comparison import interval_arms
from helpers.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    FigureError,
    headline,
    panels,
    require,
    shorten,
    styled,
    vertical_grid_only,
)
from helpers.metrics import METRIC_NAMES

Names = Mapping[str, str] | None

LABELLER_METRICS = METRIC_NAMES | {
    "micro_precision": "Micro precision",
    "micro_recall": "Micro recall",
}


@styled
def labeller_forest(
    scores: pd.DataFrame,
    title: str,
    *,
    metrics: Sequence[str] | None = None,
    names: Names = None,
    embedded: bool = False,
) -> Figure:
    """Scores of each labeller with 95% intervals, the best on the first score on top.

    Parameters
    ----------
    scores : DataFrame
        Columns labeller, metric, value, ci_low, ci_high, n, n_answered
        (`metrics.labeller_scores`).
    title : str
    metrics : sequence of str, optional
        One panel each; all in the table without it.
    names : mapping of labeller to readable name, optional
    embedded : bool
    """
    columns = ["labeller", "metric", "value", "ci_low", "ci_high", "n", "n_answered"]
    require(scores, columns, "scores of labellers")
    found = list(dict.fromkeys(scores["metric"]))
    chosen = found if metrics is None else list(metrics)
    if unknown := [metric for metric in chosen if metric not in found]:
        raise FigureError(f"the scores of labellers have no {', '.join(unknown)}")
    first = scores[scores["metric"] == chosen[0]].fillna({"value": -1})
    order = first.sort_values(["value", "labeller"], kind="stable")["labeller"].tolist()
    figure, grid = panels(1, len(chosen), 1.8 + 0.36 * len(order), sharex=True, sharey=True)
    for axes, metric in zip(grid[0], chosen, strict=True):
        rows = scores[scores["metric"] == metric].set_index("labeller").loc[order]
        height = np.arange(len(rows))
        axes.errorbar(
            rows["value"], height, xerr=interval_arms(rows), ls="", color=BLUE, marker="o",
            ms=6, elinewidth=1.6, capsize=3,
        )  # fmt: skip
        for place, row in zip(height, rows.itertuples(), strict=True):
            if not np.isnan(row.value):
                axes.annotate(
                    f"{row.value:.2f}", (row.value, place), (0, 6), ha="center", size=8,
                    textcoords="offset points",
                )  # fmt: skip
        # Narrow panels: a long name would run over its neighbour or off the page.
        words = textwrap.fill(LABELLER_METRICS.get(metric, metric), max(12, 90 // len(chosen)))
        axes.set_title(words, size=9.5)
        axes.margins(x=0.1)
        vertical_grid_only(axes)
    rows = first.set_index("labeller").loc[order]
    labels = [
        f"{shorten((names or {}).get(name, name), 34)}\n{row.n_answered:,} of {row.n:,} answered"
        for name, row in rows.iterrows()
    ]
    grid[0, 0].set_yticks(range(len(order)), labels, size=8.5)
    grid[0, 0].set_ylim(-0.6, len(order) - 0.3)
    figure.supxlabel("Lines: 95% intervals", size=9.5)
    headline(figure, title, embedded)
    return figure


@styled
def confusion_pairs(confusions: pd.DataFrame, title: str, *, embedded: bool = False) -> Figure:
    """The most frequent confusions: share of a gold label's answers that give another label.

    Parameters
    ----------
    confusions : DataFrame
        Columns gold_name, predicted_name, n, n_gold, share, ci_low, ci_high
        (`metrics.neighbour_confusion`); drawn in its order, the first on top.
    title : str
    embedded : bool
    """
    columns = ["gold_name", "predicted_name", "n", "n_gold", "share", "ci_low", "ci_high"]
    require(confusions, columns, "confusions")
    figure, grid = panels(1, 1, 1.3 + 0.42 * len(confusions))
    axes = grid[0, 0]
    height = np.arange(len(confusions))[::-1]
    arms = interval_arms(confusions.rename(columns={"share": "value"}))
    axes.barh(height, confusions["share"], 0.6, color=ORANGE)
    axes.errorbar(confusions["share"], height, xerr=arms, ls="", color=BLACK, capsize=3)
    for place, row in zip(height, confusions.itertuples(), strict=True):
        edge = np.nanmax([row.share, row.ci_high])
        axes.annotate(
            f"{row.n:,} of {row.n_gold:,}", (edge, place), (5, 0), textcoords="offset points",
            va="center", size=8.5,
        )  # fmt: skip
    pairs = zip(confusions["gold_name"], confusions["predicted_name"], strict=True)
    labels = [f"{shorten(gold, 46)}\n→ {shorten(given, 44)}" for gold, given in pairs]
    axes.set_yticks(height, labels, size=8)
    axes.set_xlabel("Answers that give the lower label to texts with the upper one, 95% interval")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(-0.6, len(confusions) - 0.4)
    axes.set_xlim(0, 1.18 * float(np.nanmax(confusions[["share", "ci_high"]].to_numpy())))
    vertical_grid_only(axes)
    headline(figure, title, embedded)
    return figure
