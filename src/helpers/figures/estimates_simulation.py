"""Figures of chapter 09's simulation: coverage, width, and what a model is worth in labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from helpers.figures.estimates import METHODS, method_handles
from helpers.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    FigureError,
    headline,
    horizontal_grid_only,
    panels,
    require,
    styled,
)

TARGET, LOW, HIGH = 0.95, 0.93, 0.97
WIDEST = 1.3  # of the widest usual interval: what is drawn of the others
_COLUMNS = ["method", "n_coded", "accuracy", "differential", "estimand"]
_RAMP = (SKY, BLUE, PURPLE, ORANGE, BLACK)
_MARKERS = "osD^v"


@styled
def coverage_and_width(
    simulated: pd.DataFrame,
    title: str,
    *,
    names: Mapping[float, str] | None = None,
    embedded: bool = False,
) -> Figure:
    """Coverage and mean width of 95% intervals against the number of coded texts.

    Parameters
    ----------
    simulated : DataFrame
        method, n_coded, accuracy, differential, estimand, coverage, mean_width; one estimand and
        accuracy. A column of panels per value of `differential`.
    title : str
    names : mapping of differential to the heading of its panels, optional
    embedded : bool

    Raises
    ------
    FigureError
        If the table lacks a column or rows, or has several estimands or accuracies.
    """
    require(simulated, [*_COLUMNS, "coverage", "mean_width"], "simulation")
    _one(simulated, ["estimand", "accuracy"])
    kinds = sorted(simulated["differential"].unique())
    methods = [name for name in METHODS if name in set(simulated["method"])]
    # Means of a few wild intervals would squeeze all others into a line.
    usual = simulated.loc[simulated["method"].isin(["classical", "ppi"]), "mean_width"]
    widest = WIDEST * float(usual.max() if len(usual) else simulated["mean_width"].max())
    figure, grid = panels(2, len(kinds), 6.0, sharex=True, sharey="row")
    for (top, bottom), kind in zip(grid.T, kinds, strict=True):
        part = simulated[simulated["differential"] == kind]
        top.axhspan(LOW, HIGH, color=GREY, alpha=0.18, lw=0, zorder=0)
        top.axhline(TARGET, color=BLACK, lw=0.9, ls=(0, (4, 3)), zorder=1)
        for method in methods:
            rows = part[part["method"] == method].sort_values("n_coded")
            _, colour, marker = METHODS[method]
            look = {"color": colour, "marker": marker, "ms": 5.5, "lw": 1.5}
            top.plot(rows["n_coded"], rows["coverage"], **look)
            bottom.plot(rows["n_coded"], rows["mean_width"].clip(upper=2 * widest), **look)
            _beyond(bottom, rows[rows["mean_width"] > widest], colour)
        top.set_title((names or {}).get(kind, f"differential error {kind:g}"))
        bottom.set_xlabel("Coded texts (log scale)")
        _sizes(bottom, simulated["n_coded"])
        for axes in (top, bottom):
            horizontal_grid_only(axes)
    grid[0, 0].set(ylim=(-0.03, 1.04), ylabel="Intervals that hold the truth")
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    grid[1, 0].set(ylim=(0, widest), ylabel="Mean width of the interval")
    handles = method_handles(methods, None)
    handles.append(
        Line2D([], [], color=BLACK, lw=0.9, ls=(0, (4, 3)), label="promised: 95% (grey: 93-97%)")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    headline(figure, title, embedded)
    return figure


@styled
def labels_worth(
    simulated: pd.DataFrame,
    title: str,
    *,
    methods: tuple[str, ...] = ("ppi", "dsl"),
    embedded: bool = False,
) -> Figure:
    """Effective sample size against the number of coded texts: a line per accuracy of the model.

    Parameters
    ----------
    simulated : DataFrame
        method, n_coded, accuracy, differential, estimand, effective_n; one estimand and one value
        of `differential`.
    title : str
    methods : a panel each.
    embedded : bool

    Raises
    ------
    FigureError
        As in `coverage_and_width`.
    """
    require(simulated, [*_COLUMNS, "effective_n"], "simulation")
    _one(simulated, ["estimand", "differential"])
    shown = [name for name in methods if name in set(simulated["method"])]
    require(simulated[simulated["method"].isin(shown)], [], "simulation")
    levels = sorted(simulated["accuracy"].unique())
    looks = dict(zip(levels, zip(_RAMP, _MARKERS, strict=True), strict=False))
    sizes = np.array(sorted(simulated["n_coded"].unique()), dtype=float)
    figure, grid = panels(1, len(shown), 4.4, sharex=True, sharey=True)
    for axes, method in zip(grid[0], shown, strict=True):
        axes.plot(sizes, sizes, color=GREY, lw=1.2, ls=(0, (4, 3)))
        for level, (colour, marker) in looks.items():
            rows = simulated[(simulated["method"] == method) & (simulated["accuracy"] == level)]
            rows = rows.sort_values("n_coded")
            look = {"color": colour, "marker": marker, "ms": 5.5, "lw": 1.5}
            axes.plot(rows["n_coded"], rows["effective_n"], **look)
        axes.set_yscale("log")
        _sizes(axes, simulated["n_coded"])
        axes.set(title=METHODS[method][0], xlabel="Coded texts (log scale)")
        horizontal_grid_only(axes)
    _plain(grid[0, 0], simulated["effective_n"])
    grid[0, 0].set_ylabel("Coded texts of the same worth (log scale)")
    handles = [
        Line2D([], [], color=colour, marker=marker, label=f"{level:.0%} of predictions right")
        for level, (colour, marker) in looks.items()
    ]
    handles.append(Line2D([], [], color=GREY, ls=(0, (4, 3)), label="coded texts alone"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    headline(figure, title, embedded)
    return figure


def _one(simulated: pd.DataFrame, columns: list[str]) -> None:
    for column in columns:
        if simulated[column].nunique() > 1:
            found = ", ".join(map(str, simulated[column].unique()))
            raise FigureError(f"simulation: choose one {column} of {found}")


def _beyond(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Write widths beside the upper edge that lie beyond it."""
    for row in rows.itertuples():
        axes.annotate(
            f"{row.mean_width:,.3g}", (row.n_coded, 1), (7, -4), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", size=8.5, color=colour,
        )  # fmt: skip


def _sizes(axes: Axes, sizes: pd.Series) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(sizes.unique())))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))


def _plain(axes: Axes, values: pd.Series) -> None:
    """Write numbers of labels as numbers, not as powers of ten."""
    low, high = values.dropna().min(), values.dropna().max()
    ticks = [t for t in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if low / 2 <= t <= 2 * high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
