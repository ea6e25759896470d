"""Figures of chapter 07 that compare: gains beside the published ones, and errors by group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from helpers.figures.comparison import interval_arms
from helpers.figures.parts import Names, metric_title, part_name
from helpers.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PUBLISHED_BACKGROUND,
    PURPLE,
    SKY,
    VERMILLION,
    FigureError,
    headline,
    panels,
    require,
    shorten,
    styled,
    vertical_grid_only,
)
from helpers.metrics import LOWER_IS_BETTER, METRIC_NAMES

_METHOD_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
_MARKERS = "osD^vP*"


@styled
def relative_gains(
    gains: pd.DataFrame,
    published: pd.DataFrame | None,
    task: str,
    title: str,
    *,
    scheme: str = "fold",
    names: Names = None,
    embedded: bool = False,
) -> Figure:
    """Gains over the better dictionary in percent, ours beside the published ones.

    Parameters
    ----------
    gains : DataFrame
        task, scheme, method, metric, gain, gain_low, gain_high, as shares (0.27: 27% more).
    published : DataFrame or None
        metric, value (percent), source: drawn on a shaded ground, since the data are others.
    task, scheme : which rows of `gains`.
    title : str
    names : mapping of method to readable name, optional
    embedded : bool

    Raises
    ------
    FigureError
        If the table lacks a column, or no gain of this task and scheme is defined.
    """
    what = f"gains of {task}, {scheme}"
    columns = ["task", "scheme", "method", "metric", "gain", "gain_low", "gain_high"]
    require(gains, columns, what)
    rows = gains[(gains["task"] == task) & (gains["scheme"] == scheme) & gains["gain"].notna()]
    require(rows, [], what)
    methods = list(dict.fromkeys(rows["method"]))[::-1]
    metrics = [name for name in METRIC_NAMES if name in set(rows["metric"])][:2]
    known = published if published is not None else pd.DataFrame({"metric": []})
    extra = int(known["metric"].isin(metrics).any())
    figure, grid = panels(1, len(metrics), 1.5 + 0.36 * (len(methods) + extra), sharey=True)
    for axes, metric in zip(grid[0], metrics, strict=True):
        part = rows[rows["metric"] == metric].set_index("method").reindex(methods)
        _draw_gains(axes, part)
        if extra:
            _draw_published(axes, known[known["metric"] == metric], len(methods))
        axes.axvline(0, color=BLACK, lw=0.9, zorder=1)
        axes.set(title=metric_title(metric), xlabel="Change against the better dictionary")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _signed(x)))
        axes.margins(x=0.12)
        axes.set_ylim(-0.6, len(methods) + extra - 0.4)
        vertical_grid_only(axes)
    labels = [shorten(part_name(method, names), 30) for method in methods]
    places = list(range(len(methods)))
    source = [f"published: {known['source'].iloc[0]},\nother data"] if extra else []
    grid[0, 0].set_yticks(places + [len(methods)] * extra, labels + source)
    headline(figure, title, embedded)
    return figure


def _signed(share: float) -> str:
    rounded = round(100 * share)
    return f"{rounded:+d}%".replace("-", "−") if rounded else "0%"


def _draw_gains(axes: Axes, part: pd.DataFrame) -> None:
    for place, row in enumerate(part.itertuples()):
        if pd.isna(row.gain):
            continue
        bounds = pd.DataFrame(
            {"value": [row.gain], "ci_low": row.gain_low, "ci_high": row.gain_high}
        )
        axes.errorbar(
            row.gain, place, xerr=interval_arms(bounds), color=BLUE, marker="o", ms=6.5,
            mfc="white" if row.Index == "scratch" else BLUE, capsize=3, elinewidth=1.5,
        )  # fmt: skip
        _beside(axes, float(row.gain), place, BLUE)


def _draw_published(axes: Axes, rows: pd.DataFrame, place: int) -> None:
    axes.axhspan(place - 0.45, place + 0.6, color=PUBLISHED_BACKGROUND, lw=0, zorder=0)
    for row in rows.itertuples():
        share = float(row.value) / 100
        axes.plot(share, place, marker="D", ms=7, color=BLACK, ls="")
        _beside(axes, share, place, BLACK)


def _beside(axes: Axes, share: float, place: float, colour: str) -> None:
    axes.annotate(
        _signed(share),
        (share, place),
        (0, 6),
        textcoords="offset points",
        ha="center",
        size=8.5,
        color=colour,
        # Above the zero line, which would cross the number out.
        bbox={"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none", "alpha": 0.8},
    )


@styled
def by_group(
    errors: pd.DataFrame,
    task: str,
    metric: str,
    title: str,
    *,
    methods: Sequence[str] | None = None,
    names: Names = None,
    embedded: bool = False,
) -> Figure:
    """Scores for each group (country) whose texts were left out as a whole, one row a group.

    Parameters
    ----------
    errors : DataFrame
        task, group, method, metric, value, ci_low, ci_high, n.
    task, metric : which rows of it.
    title : str
    methods : these alone, at most seven (default: all); best group of the first on top.
    names : mapping of method to readable name, optional
    embedded : bool

    Raises
    ------
    FigureError
        If the table lacks a column or has no such rows, or there are too many methods.
    """
    what = f"{metric} of {task} by group"
    require(errors, ["task", "group", "method", "metric", "value", "ci_low", "ci_high", "n"], what)
    rows = errors[(errors["task"] == task) & (errors["metric"] == metric)]
    chosen = list(methods or dict.fromkeys(rows["method"]))
    rows = rows[rows["method"].isin(chosen)].dropna(subset=["value"])
    require(rows, [], what)
    if len(chosen) > len(_METHOD_COLOURS):
        raise FigureError(f"{what}: {len(chosen)} methods, at most {len(_METHOD_COLOURS)} fit")
    chosen = [method for method in chosen if method in set(rows["method"])]
    first = rows[rows["method"] == chosen[0]].set_index("group")["value"]
    # Places count from below: the best group comes last.
    groups = list(first.sort_values(ascending=metric not in LOWER_IS_BETTER, kind="stable").index)
    figure, grid = panels(1, 1, 1.5 + (0.13 + 0.085 * len(chosen)) * len(groups))
    axes = grid[0, 0]
    offsets = np.linspace(0.28, -0.28, len(chosen)) if len(chosen) > 1 else [0.0]
    for method, colour, marker, offset in zip(
        chosen, _METHOD_COLOURS, _MARKERS, offsets, strict=False
    ):
        part = rows[rows["method"] == method].set_index("group").reindex(groups)
        axes.errorbar(
            part["value"], np.arange(len(groups)) + offset, xerr=interval_arms(part), ls="",
            color=GREY if method == "mean" else colour, marker=marker, ms=5.5, elinewidth=1.1,
            label=part_name(method, names),
        )  # fmt: skip
    for place in range(0, len(groups), 2):
        axes.axhspan(place - 0.5, place + 0.5, color=GREY, alpha=0.07, lw=0, zorder=0)
    n = rows.drop_duplicates("group").set_index("group")["n"]
    axes.set_yticks(range(len(groups)), [f"{shorten(g, 26)} ({int(n[g])})" for g in groups])
    axes.set_ylim(-0.55, len(groups) - 0.45)
    axes.set(xlabel=f"{metric_title(metric)}; in brackets the group's number of texts")
    vertical_grid_only(axes)
    figure.legend(loc="outside lower center", ncols=min(4, len(chosen)))
    headline(figure, title, embedded)
    return figure
