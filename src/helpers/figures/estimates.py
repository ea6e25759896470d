"""Figures of chapter 09: shares and coefficients with intervals by method, against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from helpers.figures.comparison import interval_arms
from helpers.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    FigureError,
    headline,
    panels,
    require,
    shorten,
    styled,
    vertical_grid_only,
)

METHODS = {
    "naive": ("predictions taken as truth (naive)", VERMILLION, "s"),
    "classical": ("coded texts alone (classical)", GREY, "D"),
    "ppi": ("both (PPI++)", BLUE, "o"),
    "dsl": ("both (DSL)", GREEN, "^"),
}
_COLUMNS = ["method", "estimate", "ci_low", "ci_high"]
_TRUTH = "truth (gold labels of all texts)"


def method_handles(methods: Sequence[str], truth: str | None = _TRUTH) -> list[Line2D]:
    """Return the legend of some methods, and of the mark of the truth."""
    looks = [METHODS[name] for name in METHODS if name in methods]
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=5.5, lw=1.4, label=label)
        for label, colour, marker in looks
    ]
    if truth:
        handles.append(Line2D([], [], color=BLACK, marker="|", ms=11, mew=2.4, ls="", label=truth))
    return handles


@styled
def share_intervals(
    shares: pd.DataFrame,
    title: str,
    *,
    names: Mapping[str, str] | None = None,
    embedded: bool = False,
) -> Figure:
    """Share of each label by method with 95% intervals, the largest true share on top.

    Parameters
    ----------
    shares : DataFrame
        label, method, estimate, ci_low, ci_high, truth (NaN: unknown); one predictor and group.
    title : str
    names : mapping of label to readable name, optional
    embedded : bool

    Raises
    ------
    FigureError
        If the table lacks a column or rows, or a label has two rows of one method.
    """
    require(shares, ["label", *_COLUMNS, "truth"], "shares")
    _once(shares, ["label", "method"], "shares")
    first = shares.drop_duplicates("label").set_index("label")
    by = first["truth"] if first["truth"].notna().any() else first["estimate"]
    order = list(by.sort_values(kind="stable").index)
    figure, grid = panels(1, 1, 1.75 + 0.36 * len(order))
    axes = grid[0, 0]
    _draw_rows(axes, shares, "label", order)
    axes.set_yticks(range(len(order)), [_named(label, names) for label in order])
    axes.set_xlabel("Share of texts")
    _percent(axes, 8)
    _legend(figure, shares)
    headline(figure, title, embedded)
    return figure


@styled
def group_shares(
    shares: pd.DataFrame,
    title: str,
    *,
    names: Mapping[str, str] | None = None,
    embedded: bool = False,
) -> Figure:
    """Shares of a few labels by groups of texts: a panel per label, a row per group.

    Parameters
    ----------
    shares : DataFrame
        group_by, group, label, method, estimate, ci_low, ci_high, truth, n_coded; one predictor.
    title, names, embedded : as in `share_intervals`.

    Raises
    ------
    FigureError
        As in `share_intervals`.
    """
    require(shares, ["group_by", "group", "label", *_COLUMNS, "truth", "n_coded"], "groups")
    _once(shares, ["group_by", "group", "label", "method"], "groups")
    labels = list(dict.fromkeys(shares["label"]))
    first = shares.drop_duplicates(["group_by", "group"]).iloc[::-1]
    groups = list(first["group"])
    columns = min(3, len(labels))
    rows = -(-len(labels) // columns)
    figure, grid = panels(
        rows, columns, 1.3 + rows * (0.8 + 0.42 * len(groups)), sharey=True, sharex=True
    )
    for axes, label in zip(grid.flat, labels, strict=False):
        _draw_rows(axes, shares[shares["label"] == label], "group", groups)
        axes.set_title(_named(label, names, 30))
        axes.set_xlabel("Share of texts")
        axes.tick_params(labelbottom=True)
        _percent(axes, 5)
    for axes in list(grid.flat)[len(labels) :]:
        axes.set_visible(False)
    ticks = [
        f"{row.group_by} {shorten(row.group, 20)}\n{row.n_coded} coded"
        for row in first.itertuples()
    ]
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(groups)), ticks)
    _legend(figure, shares)
    headline(figure, title, embedded)
    return figure


@styled
def coefficients(
    table: pd.DataFrame,
    title: str,
    *,
    names: Mapping[str, str] | None = None,
    known: Mapping[str, float] | None = None,
    embedded: bool = False,
) -> Figure:
    """Coefficients of a regression by method with 95% intervals: one panel per term.

    Parameters
    ----------
    table : DataFrame
        term, method, estimate, ci_low, ci_high, truth; one predictor and model.
    title : str
    names : mapping of term to readable name, optional
    known : mapping of term to the effect with which an outcome was made up, optional; dotted.
    embedded : bool

    Raises
    ------
    FigureError
        If the table lacks a column or rows, or a term has two rows of one method.
    """
    require(table, ["term", *_COLUMNS, "truth"], "coefficients")
    _once(table, ["term", "method"], "coefficients")
    terms = list(dict.fromkeys(table["term"]))
    methods = [name for name in METHODS if name in set(table["method"])]
    places = {name: len(methods) - 1 - i for i, name in enumerate(methods)}
    figure, grid = panels(1, len(terms), 1.75 + 0.34 * len(methods), sharey=True)
    for axes, term in zip(grid[0], terms, strict=True):
        part = table[table["term"] == term]
        axes.axvline(0, color=GREY, lw=0.9, zorder=1)
        for row in part.itertuples():
            _mark(axes, row, places[row.method])
        axes.axvline(part["truth"].iloc[0], color=BLACK, lw=2, zorder=1)
        if known and term in known:
            axes.axvline(known[term], color=BLACK, lw=1.4, ls=":", zorder=1)
        axes.set(title=_named(term, names, 34), ylim=(-0.6, len(methods) - 0.4))
        axes.set_xlabel("Coefficient, 95% interval")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.08)
        vertical_grid_only(axes)
    grid[0, 0].set_yticks(list(places.values()), [METHODS[name][0] for name in places])
    handles = [Line2D([], [], color=BLACK, lw=2, label="with gold labels of all texts")]
    if known:
        label = "effect with which the outcome was made up"
        handles.append(Line2D([], [], color=BLACK, lw=1.4, ls=":", label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    headline(figure, title, embedded)
    return figure


def _draw_rows(axes: Axes, shares: pd.DataFrame, column: str, order: Sequence[str]) -> None:
    """Draw all methods of each row, below one another, and the truth behind them."""
    height = {name: place for place, name in enumerate(order)}
    methods = [name for name in METHODS if name in set(shares["method"])]
    step = 0.72 / max(len(methods), 1)
    shift = {name: 0.36 - step / 2 - i * step for i, name in enumerate(methods)}
    for place in range(0, len(order), 2):
        axes.axhspan(place - 0.5, place + 0.5, color=GREY, alpha=0.08, lw=0, zorder=0)
    for row in shares.itertuples():
        _mark(axes, row, height[getattr(row, column)] + shift[row.method], size=4.5)
    truth = shares.drop_duplicates(column).dropna(subset=["truth"])
    y = np.array([height[name] for name in truth[column]])
    axes.vlines(truth["truth"], y - 0.42, y + 0.42, color=BLACK, lw=2.2, zorder=1)
    axes.set_ylim(-0.55, len(order) - 0.45)
    vertical_grid_only(axes)


def _percent(axes: Axes, ticks: int) -> None:
    """Write shares in whole per cent, at steps that are whole too."""
    steps = [1, 2, 5, 10]
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=steps, min_n_ticks=2))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _mark(axes: Axes, row: Any, y: float, size: float = 5.5) -> None:
    _, colour, marker = METHODS[row.method]
    bounds = pd.DataFrame({"value": [row.estimate], "ci_low": row.ci_low, "ci_high": row.ci_high})
    axes.errorbar(
        row.estimate, y, xerr=interval_arms(bounds), color=colour, marker=marker, ms=size,
        elinewidth=1.4, zorder=3,
    )  # fmt: skip


def _legend(figure: Figure, shares: pd.DataFrame) -> None:
    truth = _TRUTH if shares["truth"].notna().any() else None
    handles = method_handles(list(shares["method"]), truth)
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


def _named(key: str, names: Mapping[str, str] | None, width: int = 40) -> str:
    return shorten((names or {}).get(key, key), width)


def _once(table: pd.DataFrame, keys: list[str], what: str) -> None:
    if table.duplicated(keys).any():
        raise FigureError(f"{what}: two rows of one method; choose one predictor and one group")
    if unknown := sorted(set(table["method"]) - set(METHODS)):
        raise FigureError(f"{what}: unknown method {', '.join(unknown)}: use {', '.join(METHODS)}")
