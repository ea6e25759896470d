"""Figures that describe texts and labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from helpers.figures.style import (
    BLUE,
    ORANGE,
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

LEVEL_COLOURS = (SKY, BLUE, "#003B66")
SPLIT_COLOURS = {"train": BLUE, "validation": ORANGE, "test": "#009E73"}


@styled
def label_frequencies(
    counts: pd.DataFrame, title: str, *, levels: tuple[str, ...] = (), embedded: bool = False
) -> Figure:
    """Number of texts with each label, as horizontal bars from common to rare.

    Parameters
    ----------
    counts : DataFrame
        Columns name and n, one row per label; with `levels` one column per level too.
    title : str
    levels : tuple of str
        Intensities in rising order; the bars are then divided.
    embedded : bool
        Whether the texts are the embedded ones, which the title then says.
    """
    require(counts, ["name", "n", *levels], "label frequencies")
    ordered = counts.sort_values(["n", "name"], ascending=[True, False], kind="stable")
    figure, grid = panels(1, 1, 1.2 + 0.2 * len(ordered))
    axes = grid[0, 0]
    rows, left = np.arange(len(ordered)), np.zeros(len(ordered))
    for level, colour in zip(levels or ("n",), LEVEL_COLOURS if levels else (BLUE,), strict=False):
        axes.barh(rows, ordered[level], left=left, height=0.75, color=colour, label=level)
        left = left + ordered[level].to_numpy()
    for row, n in zip(rows, ordered["n"], strict=True):
        axes.annotate(f"{n}", (n, row), (4, 0), textcoords="offset points", va="center", size=8)
    axes.set_yticks(rows, [shorten(name, 54) for name in ordered["name"]], size=8.5)
    axes.set(xlabel="Number of texts", ylim=(-0.7, len(ordered) - 0.3))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.08)
    vertical_grid_only(axes)
    if levels:
        axes.legend(title="Intensity", loc="lower right")
    headline(figure, title, embedded)
    return figure


@styled
def text_lengths(lengths: pd.DataFrame, title: str, *, embedded: bool = False) -> Figure:
    """Length of the texts in words, one histogram per split on common bins.

    Parameters
    ----------
    lengths : DataFrame
        Columns split and words, one row per text.
    title : str
    embedded : bool
    """
    require(lengths, ["split", "words"], "text lengths")
    names = [name for name in SPLIT_COLOURS if (lengths["split"] == name).any()]
    figure, grid = panels(1, len(names), 2.9, sharex=True, sharey=True)
    bins = np.histogram_bin_edges(lengths["words"], bins=25)
    for axes, name in zip(grid[0], names, strict=True):
        words = lengths.loc[lengths["split"] == name, "words"]
        weights = np.full(len(words), 1 / len(words))
        axes.hist(words, bins=bins, weights=weights, color=SPLIT_COLOURS[name], edgecolor="white")
        axes.set(title=f"{name} ({len(words):,} texts)", xlabel="Words per text")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        horizontal_grid_only(axes)
    grid[0, 0].set_ylabel("Share of texts")
    headline(figure, title, embedded)
    return figure


@styled
def cooccurrence(table: pd.DataFrame, title: str, *, embedded: bool = False) -> Figure:
    """Number of texts with both of two labels, as the lower triangle of a heat map.

    Parameters
    ----------
    table : DataFrame, (L, L)
        Index and columns are readable names; the diagonal is not drawn.
    title : str
    embedded : bool
    """
    require(table, [], "co-occurrence")
    values = np.ma.masked_where(
        np.triu(np.ones(table.shape, dtype=bool)) | (table.to_numpy() == 0), table.to_numpy()
    )[1:, :-1]
    count = len(table) - 1
    size, width = (6.6, 30) if count > 25 else (8.5, 32)
    figure, axes = plt.subplots(figsize=(WIDTH, 2.4 + min(7.4, 0.34 * count)))
    top = max(1, int(values.max() or 0)) if values.count() else 1
    image = axes.imshow(values, cmap="viridis_r", vmin=0, vmax=top, aspect="auto")
    names = [shorten(str(name), width) for name in table.index]
    if count > 25:
        axes.set_xticks(range(count), names[:-1], rotation=90, size=size)
    else:
        axes.set_xticks(range(count), names[:-1], rotation=55, ha="right", va="top", size=size)
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
    axes.tick_params(axis="x", pad=1)
    axes.set_yticks(range(count), names[1:], size=size)
    if count <= 20:
        for i, j in zip(*np.nonzero(~np.ma.getmaskarray(values)), strict=True):
            colour = "white" if values[i, j] > 0.55 * top else "black"
            axes.text(j, i, f"{values[i, j]}", ha="center", va="center", size=8, color=colour)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=25, pad=0.01)
    bar.set_label("Texts with both labels")
    bar.locator = MaxNLocator(integer=True, nbins=6)
    bar.update_ticks()
    bar.outline.set_visible(False)
    headline(figure, title, embedded)
    return figure
