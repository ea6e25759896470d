"""Figures of the AI crowd: how far it agrees, and how right it is together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers.figures.comparison import interval_arms
from helpers.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    SKY,
    WIDTH,
    headline,
    horizontal_grid_only,
    panels,
    plt,
    require,
    shorten,
    styled,
    vertical_grid_only,
)

Names = Mapping[str, str] | None

RULES = {
    "any": ("Any labeller", SKY),
    "majority": ("Majority (more than half)", BLUE),
    "all": ("All labellers", GREEN),
}
STATISTICS = {
    "right": "Share of texts where the label is right",
    "recall": "Gold labels that are proposed",
    "precision": "Proposed labels that are right",
    "complete": "Texts with every gold label proposed",
}


@styled
def agreement_heatmap(
    pairs: pd.DataFrame,
    title: str,
    *,
    names: Names = None,
    embedded: bool = False,
) -> Figure:
    """Cohen's kappa of each pair of labellers with its interval, as a lower triangle.

    Parameters
    ----------
    pairs : DataFrame
        Columns a, b, n, kappa, ci_low, ci_high; one row per pair (`metrics.pairwise_kappa`).
    title : str
    names : mapping of labeller to readable name, optional
    embedded : bool
        Whether the texts are the embedded ones, which the title then says.
    """
    require(pairs, ["a", "b", "n", "kappa", "ci_low", "ci_high"], "agreement of labellers")
    order = list(dict.fromkeys([*pairs["a"], *pairs["b"]]))
    place = {name: number for number, name in enumerate(order)}
    count = len(order) - 1
    values = np.full((count, count), np.nan)
    figure, axes = plt.subplots(figsize=(WIDTH, 2.2 + 0.62 * count))
    for row in pairs.itertuples():
        first, second = sorted((place[row.a], place[row.b]))
        values[second - 1, first] = row.kappa
        _kappa_cell(axes, second - 1, first, row)
    low = min(0.0, float(np.nanmin(values, initial=0)))
    image = axes.imshow(values, cmap="viridis_r", vmin=low, vmax=1, aspect="auto")
    readable = [shorten((names or {}).get(name, name), 34) for name in order]
    axes.set_xticks(range(count), readable[:-1], rotation=30, ha="right", va="top")
    for label in axes.get_xticklabels():
        label.set_rotation_mode("anchor")
    axes.set_yticks(range(count), readable[1:])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=25, pad=0.01)
    bar.set_label("Cohen's kappa")
    bar.outline.set_visible(False)
    shared = [int(pairs["n"].min()), int(pairs["n"].max())]
    span = f"{shared[0]:,}" if shared[0] == shared[1] else f"{shared[0]:,} to {shared[1]:,}"
    axes.set_title(f"Cohen's kappa, below it the 95% interval; {span} texts in common", size=9)
    headline(figure, title, embedded)
    return figure


def _kappa_cell(axes: Axes, y: int, x: int, row: tuple) -> None:  # type: ignore[type-arg]
    kappa, low, high = (getattr(row, name) for name in ("kappa", "ci_low", "ci_high"))
    # Half of viridis, from about 0.55 on, is too dark for black letters.
    colour = "white" if kappa > 0.55 else "black"
    words = "–" if np.isnan(kappa) else f"{kappa:.2f}"
    axes.text(x, y - 0.12, words, ha="center", va="center", size=9.5, color=colour)
    if not np.isnan(low):
        interval = f"{low:.2f} to {high:.2f}"
        axes.text(x, y + 0.25, interval, ha="center", va="center", size=7, color=colour)


@styled
def crowd_bars(shares: pd.DataFrame, title: str, *, embedded: bool = False) -> Figure:
    """How often any labeller, the majority and all labellers are right, with 95% intervals.

    Parameters
    ----------
    shares : DataFrame
        Columns rule, statistic, value, ci_low, ci_high, n, n_labellers
        (`metrics.crowd_shares`); one panel per statistic.
    title : str
    embedded : bool
    """
    columns = ["rule", "statistic", "value", "ci_low", "ci_high", "n", "n_labellers"]
    require(shares, columns, "shares of the crowd")
    statistics = list(dict.fromkeys(shares["statistic"]))
    figure, grid = panels(1, len(statistics), 2.7, sharey=True)
    for axes, statistic in zip(grid[0], statistics, strict=True):
        part = shares[shares["statistic"] == statistic].set_index("rule").reindex(RULES)
        colours = [colour for _, colour in RULES.values()]
        height = np.arange(len(part))[::-1]
        axes.barh(height, part["value"].fillna(0), 0.62, color=colours)
        axes.errorbar(
            part["value"], height, xerr=interval_arms(part), ls="", color=BLACK, capsize=3
        )
        for place, row in zip(height, part.itertuples(), strict=True):
            edge = np.nanmax([row.value, row.ci_high, 0])
            words = "undefined" if np.isnan(row.value) else f"{row.value:.1%}"
            axes.annotate(
                words, (edge, place), (5, 0), textcoords="offset points", va="center", size=8.5
            )
        axes.set_title(STATISTICS.get(statistic, statistic), size=9.5, wrap=True)
        # Room for the numbers beside the bars.
        axes.set(
            xlim=(0, 1.1 if len(statistics) == 1 else 1.28),
            xlabel=f"of {int(part['n'].max()):,} texts",
        )
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        vertical_grid_only(axes)
    labels = [label for label, _ in RULES.values()]
    grid[0, 0].set_yticks(range(len(RULES))[::-1], labels)
    count = int(shares["n_labellers"].max())
    figure.supxlabel(f"{count} labellers; lines: 95% intervals", size=9.5)
    headline(figure, title, embedded)
    return figure


@styled
def accuracy_by_agreement(given: pd.DataFrame, title: str, *, embedded: bool = False) -> Figure:
    """Accuracy against the number of labellers that agree, over the share of texts.

    Parameters
    ----------
    given : DataFrame
        Columns agreeing, unit, n, share, accuracy, ci_low, ci_high
        (`metrics.accuracy_given_agreement`).
    title : str
    embedded : bool
    """
    columns = ["agreeing", "unit", "n", "share", "accuracy", "ci_low", "ci_high"]
    require(given, columns, "accuracy given agreement")
    texts = given["unit"].iloc[0] == "texts"
    figure, grid = panels(2, 1, 5.2, sharex=True, height_ratios=[2, 1])
    top, bottom = grid[:, 0]
    rows = given.dropna(subset=["accuracy"])
    arms = interval_arms(rows.rename(columns={"accuracy": "value"}))
    top.errorbar(
        rows["agreeing"], rows["accuracy"], yerr=arms, color=BLUE, marker="o", capsize=4, lw=1.6
    )
    for row in rows.itertuples():
        top.annotate(
            f"{row.accuracy:.0%}", (row.agreeing, row.accuracy), (9, -4),
            textcoords="offset points", va="top", size=8.5,
        )  # fmt: skip
    top.set(ylim=(-0.12, 1.06), ylabel="Accuracy" if texts else "Precision")
    what = "their label is right" if texts else "the proposed label is right"
    top.set_title(f"How often {what}, with 95% intervals", size=9.5)
    bottom.bar(given["agreeing"], given["share"].fillna(0), 0.62, color=SKY)
    for row in given.itertuples():
        share = 0 if np.isnan(row.share) else row.share
        bottom.annotate(
            f"{share:.0%} ({row.n:,})", (row.agreeing, share), (0, 3),
            textcoords="offset points", ha="center", size=8.5,
        )  # fmt: skip
    unit = "texts" if texts else "proposals"
    bottom.set(ylabel=f"Share of {unit}", xticks=given["agreeing"])
    bottom.set_xlabel(
        "Labellers in the largest group that agrees" if texts else "Labellers that propose it"
    )
    bottom.margins(y=0.22)
    for axes in (top, bottom):
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        horizontal_grid_only(axes)
    headline(figure, title, embedded)
    return figure
