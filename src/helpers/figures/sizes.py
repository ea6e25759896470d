"""One panel of scores against training size: lines with intervals, levels, names at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from helpers.figures.comparison import interval_arms
from helpers.figures.style import GREY, shorten, spread

FURTHEST = 2.0  # fitted curves are drawn up to so many times the largest size
LABEL_HEIGHT = 0.155  # inches, of a line of 8 points
_LABEL_POINTS = 8.0
_TICK_WIDTH = 0.45  # inches that a number of five digits takes
_DARK_GREY = "#505050"
# Of the width of the size axis: between the seeds of two lines, and all of them together.
_DODGE, _DODGE_ALL = 0.012, 0.06


@dataclass(frozen=True)
class Series:
    """One line of a panel: its rows by size, its look and its name; maybe seeds and a fit."""

    rows: pd.DataFrame
    colour: str
    marker: str
    name: str
    line: str = "-"
    seeds: pd.DataFrame | None = None
    fit: pd.DataFrame | None = None


@dataclass(frozen=True)
class EndLabel:
    """A name for the right margin, and the place (data) that it names; x None: the edge."""

    text: str
    x: float | None
    y: float
    colour: str


def size_axis_of(axes: Axes, series: Sequence[Series], width: float) -> None:
    """Log axis with the sizes as ticks, wide enough for fits up to `FURTHEST` x the largest.

    `width`: of the panel, in inches.
    """
    sizes = np.unique(np.concatenate([line.rows["n_train"].to_numpy(float) for line in series]))
    fitted = [float(line.fit["n_train"].max()) for line in series if _has(line.fit)]
    furthest = min(max([sizes[-1], *fitted]), FURTHEST * sizes[-1])
    ratio = max((furthest / sizes[0]) ** 0.04, 1.04) if furthest > sizes[0] else 1.6
    right = furthest if furthest > sizes[-1] else sizes[-1] * ratio
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / ratio, right)
    shown = [*sizes, furthest] if furthest > sizes[-1] else list(sizes)
    ticks = _readable_ticks(shown, axes, width)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{size:,.0f}" for size in ticks])
    if furthest > sizes[-1]:
        axes.axvspan(sizes[-1], right, color=GREY, alpha=0.07, lw=0, zorder=0)
        axes.text(
            np.sqrt(sizes[-1] * right),
            0.985,
            "extrapolated",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            size=_LABEL_POINTS,
            color=_DARK_GREY,
        )


def _readable_ticks(sizes: Sequence[float], axes: Axes, width: float) -> list[float]:
    """The sizes, from the largest down, less those whose number would touch its neighbour's."""
    low, high = np.log(axes.get_xlim())
    kept: list[float] = []
    for size in sorted(sizes, reverse=True):
        if not kept or np.log(kept[-1] / size) / (high - low) * width > _TICK_WIDTH:
            kept.append(float(size))
    return kept[::-1]


def side_by_side(axes: Axes, series: Sequence[Series]) -> list[Series]:
    """Move lines apart that have but one size, and the same: else they hide each other."""
    sizes = {size for line in series for size in line.rows["n_train"]}
    if len(sizes) > 1 or len(series) == 1:
        return list(series)
    low, high = np.log(axes.get_xlim())
    moved = []
    for line, shift in zip(series, np.linspace(-0.3, 0.3, len(series)), strict=True):
        n = min(sizes) * np.exp(shift * (high - low))
        seeds = line.seeds.assign(n_train=n) if _has(line.seeds) else None
        moved.append(replace(line, rows=line.rows.assign(n_train=n), seeds=seeds))
    return moved


def draw_series(axes: Axes, series: Sequence[Series]) -> None:
    """Means with intervals, seeds side by side, dotted fits."""
    low, high = np.log(axes.get_xlim())
    # Seeds stand beside the means, not behind them: no line gets the middle.
    half = len(series) // 2
    slots = [*range(-half, 0), *range(1, len(series) - half + 1)]
    step = min(_DODGE, _DODGE_ALL / len(series)) * (high - low)
    for slot, line in zip(slots, series, strict=True):
        rows = line.rows
        n, known = rows["n_train"].to_numpy(float), rows["ci_low"].notna().to_numpy()
        if known.sum() > 1:
            band = rows[known]
            axes.fill_between(
                band["n_train"].astype(float),
                band["ci_low"].astype(float),
                band["ci_high"].astype(float),
                color=line.colour,
                alpha=0.13 if len(series) < 5 else 0.07,
                lw=0,
            )
        elif known.any():
            arms = interval_arms(rows)
            axes.errorbar(n, rows["value"], arms, color=line.colour, capsize=3, ls="")
        axes.plot(
            n, rows["value"], line.line, color=line.colour, marker=line.marker, lw=1.6, ms=5.5
        )
        if _has(line.seeds):
            places = line.seeds["n_train"].astype(float) * np.exp(slot * step)
            axes.scatter(places, line.seeds["value"], s=11, color=line.colour, alpha=0.4, lw=0)
        if _has(line.fit):
            inside = line.fit[line.fit["n_train"] <= 1.0001 * np.exp(high)]
            axes.plot(inside["n_train"], inside["value"], ":", color=line.colour, lw=1.5)


def draw_levels(axes: Axes, levels: pd.DataFrame) -> None:
    """Horizontal lines, with their intervals as faint bands."""
    # Intervals that lie upon each other must not add up to black.
    alpha = min(0.1, 0.25 / max(len(levels), 1))
    for row in levels.itertuples():
        axes.axhline(row.value, color=GREY, lw=1, ls=(0, (4, 2)), zorder=1.5)
        if not (pd.isna(row.ci_low) or pd.isna(row.ci_high)):
            axes.axhspan(row.ci_low, row.ci_high, color=GREY, alpha=alpha, lw=0, zorder=1)


def value_limits(axes: Axes, tables: Sequence[pd.DataFrame]) -> None:
    """Set the limits of the value axis: all values and limits of intervals, with some air."""
    found = [
        table[[c for c in ("value", "ci_low", "ci_high") if c in table]].to_numpy(float).ravel()
        for table in tables
    ]
    values = np.concatenate(found)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.06 * (high - low) or 0.05
    # Room above for what is written there.
    axes.set_ylim(low - pad, high + (1.6 * pad if axes.texts else pad))


def two_decimals(value: float) -> str:
    """Write a number with a true minus sign, and no minus before zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def end_label(line: Series, right: float) -> EndLabel:
    """Name of a line where it ends: at its fit's end, else with its value at its largest size."""
    if _has(line.fit):
        inside = line.fit[line.fit["n_train"] <= 1.0001 * right]
        end = inside.loc[inside["n_train"].idxmax()]
        return EndLabel(shorten(line.name, 30), float(end["n_train"]), end["value"], line.colour)
    end = line.rows.loc[line.rows["n_train"].idxmax()]
    text = f"{shorten(line.name, 27)} {two_decimals(end['value'])}"
    return EndLabel(text, float(end["n_train"]), float(end["value"]), line.colour)


def level_label(name: str, value: float) -> EndLabel:
    """Name of a horizontal line, with its value."""
    return EndLabel(f"{shorten(name, 27)} {two_decimals(value)}", None, value, _DARK_GREY)


def draw_end_labels(axes: Axes, labels: Sequence[EndLabel], height: float) -> None:
    """Names in the right margin, none upon another, each with a line to what it names.

    `height`: of the panel, in inches.
    """
    low, high = axes.get_ylim()
    edge = axes.get_xlim()[1]
    gap = LABEL_HEIGHT / height * (high - low)
    places = spread([label.y for label in labels], gap, low + gap / 2, high - gap / 2)
    for label, place in zip(labels, places, strict=True):
        axes.annotate(
            label.text,
            xy=(label.x or edge, label.y),
            xytext=(1.04, place),
            textcoords=("axes fraction", "data"),
            va="center",
            size=_LABEL_POINTS,
            color=label.colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "relpos": (0, 0.5),  # to the start of the name, not through it
                "color": label.colour,
                "lw": 0.6,
                "alpha": 0.7,
                "shrinkA": 0,
                "shrinkB": 0 if label.x is None else 3,
            },
        )


def what_is_drawn(series: Sequence[Series], levels: bool) -> list[Any]:
    """Legend handles that say what lines, points and bands are."""
    handles: list[Any] = [Line2D([], [], color=GREY, marker="o", ms=5.5, label="mean over seeds")]
    if any(_has(line.seeds) for line in series):
        dot = Line2D([], [], color=GREY, marker="o", ms=3.3, alpha=0.5, ls="", label="one seed")
        handles.append(dot)
    if any(line.rows["ci_low"].notna().any() for line in series):
        label = "95% interval over seeds and test texts"
        handles.append(Patch(color=GREY, alpha=0.25, lw=0, label=label))
    if any(_has(line.fit) for line in series):
        handles.append(Line2D([], [], color=GREY, ls=":", lw=1.5, label="fitted power law"))
    if levels:
        label = "does not depend on training size"
        handles.append(Line2D([], [], color=GREY, lw=1, ls=(0, (4, 2)), label=label))
    return handles


def _has(table: pd.DataFrame | None) -> TypeGuard[pd.DataFrame]:
    return table is not None and len(table) > 0
