"""Figures that compare models: by size, and all of them in one forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from helpers.figures.style import (
    GREY,
    KIND_COLOURS,
    KIND_MARKERS,
    KIND_NAMES,
    FigureError,
    headline,
    horizontal_grid_only,
    panels,
    require,
    shorten,
    spread,
    styled,
    vertical_grid_only,
)
from helpers.metrics import LOWER_IS_BETTER, METRIC_NAMES

Names = Mapping[str, str] | None


def kind_of(parameters: Any, fine_tuned: bool) -> str:
    """Return "fine-tuned", "base" or, for what has no number of parameters, "baseline"."""
    if fine_tuned:
        return "fine-tuned"
    return "baseline" if pd.isna(parameters) else "base"


def _select(metrics: pd.DataFrame, task: str, metric: str) -> pd.DataFrame:
    columns = ["task", "split", "model", "parameters", "fine_tuned", "metric", "value"]
    require(metrics, [*columns, "ci_low", "ci_high", "n"], f"{metric} of {task}")
    rows = metrics[(metrics["task"] == task) & (metrics["metric"] == metric)]
    rows = rows.dropna(subset=["value"]).copy()
    if rows.empty:
        raise FigureError(f"the table of metrics has no {metric!r} of task {task!r}")
    pairs = zip(rows["parameters"], rows["fine_tuned"], strict=True)
    rows["kind"] = [kind_of(parameters, bool(tuned)) for parameters, tuned in pairs]
    return rows


def interval_arms(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Lengths of the two arms of each interval, (2, rows); 0 where there is no interval."""
    arms = [rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]]
    return np.clip(np.nan_to_num(np.array(arms, dtype=float)), 0, None)


@styled
def size_axis(
    metrics: pd.DataFrame,
    task: str,
    metric: str,
    title: str,
    *,
    names: Names = None,
    splits: Sequence[str] = ("train", "test"),
    embedded: bool = False,
) -> Figure:
    """A score against the number of parameters, base and fine-tuned, with 95% intervals.

    Baselines have no size: they are horizontal lines, named at their right end.

    Parameters
    ----------
    metrics : DataFrame
        The tidy table of metrics.
    task, metric : str
        Which rows of it.
    title : str
    names : mapping of model to readable name, optional
    splits : sequence of str
        One panel each.
    embedded : bool
    """
    rows = _select(metrics, task, metric)
    rows = rows[rows["split"].isin(splits)]
    figure, grid = panels(1, len(splits), 4.6, sharey=True)
    low, high = _range(rows)
    grid[0, 0].set_ylim(low, high)
    for axes, split in zip(grid[0], splits, strict=True):
        part = rows[rows["split"] == split]
        n = f" ({int(part['n'].iloc[0]):,} texts)" if len(part) else ""
        axes.set(title=f"{split}{n}", xlabel="Parameters (log scale)")
        sized = part[part["kind"] != "baseline"].sort_values("parameters")
        for kind, group in sized.groupby("kind"):
            axes.errorbar(
                group["parameters"].astype(float),
                group["value"],
                yerr=interval_arms(group),
                color=KIND_COLOURS[str(kind)],
                marker=KIND_MARKERS[str(kind)],
                capsize=3,
                lw=1.6,
                ms=6,
                label=kind,
            )
        _log_axis(axes, sized["parameters"].dropna().astype(float).unique())
        _baseline_lines(axes, part[part["kind"] == "baseline"], names, (low, high))
        horizontal_grid_only(axes)
    grid[0, 0].set_ylabel(METRIC_NAMES.get(metric, metric))
    found = {
        k: h for axes in grid[0] for h, k in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=2)
    headline(figure, title, embedded)
    return figure


def _range(rows: pd.DataFrame) -> tuple[float, float]:
    """Limits of the value axis: all intervals with some air, no further than [0, 1] needs."""
    values = rows[["value", "ci_low", "ci_high"]].to_numpy(dtype=float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.06 * (high - low or 1)
    return low - pad, high + pad


def _log_axis(axes: Axes, sizes: np.ndarray[Any, Any]) -> None:
    axes.set_xscale("log")
    if len(sizes) == 0:
        axes.xaxis.set_major_locator(NullLocator())
        return
    sizes = np.sort(sizes)
    # A tick per model says more than powers of ten, until there are too many to read.
    ticks = sizes if len(sizes) <= 5 else sizes[np.linspace(0, len(sizes) - 1, 5).astype(int)]
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [readable_size(size) for size in ticks])
    ratio = max((sizes[-1] / sizes[0]) ** 0.12, 1.08)
    axes.set_xlim(sizes[0] / ratio, sizes[-1] * ratio)


def readable_size(parameters: float) -> str:
    """Number of parameters in words: 22.6M, 7B."""
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if parameters >= unit:
            return f"{parameters / unit:.3g}{letter}"
    return f"{parameters:.0f}"


def _baseline_lines(
    axes: Axes, rows: pd.DataFrame, names: Names, limits: tuple[float, float]
) -> None:
    values = rows["value"].astype(float).tolist()
    places = spread(values, 0.052 * (limits[1] - limits[0]), *limits)
    for model, value, place in zip(rows["model"], values, places, strict=True):
        axes.axhline(value, color=GREY, lw=1, ls=(0, (4, 2)), zorder=1)
        axes.annotate(
            f"{shorten((names or {}).get(model, model), 26)} {value:.2f}",
            xy=(1, value),
            xytext=(1.05, place),
            xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"),
            va="center",
            size=8,
            color="#505050",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 0},
        )


@styled
def forest(
    metrics: pd.DataFrame,
    task: str,
    metric: str,
    title: str,
    *,
    split: str = "test",
    names: Names = None,
    kinds: Mapping[str, str] | None = None,
    embedded: bool = False,
) -> Figure:
    """All models and baselines with their 95% intervals, the best on top.

    Parameters
    ----------
    metrics : DataFrame
        The tidy table of metrics.
    task, metric : str
    title : str
    split : str
    names : mapping of model to readable name, optional
    kinds : mapping of model to "endpoint", optional
        Models that are neither ours nor baselines.
    embedded : bool
    """
    rows = _select(metrics, task, metric)
    rows = rows[rows["split"] == split]
    require(rows, [], f"{metric} of {task}, {split}")
    rows["kind"] = [
        (kinds or {}).get(m, k) for m, k in zip(rows["model"], rows["kind"], strict=True)
    ]
    rows = rows.sort_values(
        ["value", "model"], ascending=metric not in LOWER_IS_BETTER, kind="stable"
    )
    figure, grid = panels(1, 1, 1.6 + 0.33 * len(rows))
    axes = grid[0, 0]
    height = np.arange(len(rows))
    for kind, colour in KIND_COLOURS.items():
        mask = (rows["kind"] == kind).to_numpy()
        if mask.any():
            axes.errorbar(
                rows["value"][mask],
                height[mask],
                xerr=interval_arms(rows[mask]),
                color=colour,
                marker=KIND_MARKERS[kind],
                ls="",
                ms=6.5,
                elinewidth=1.6,
                capsize=3,
                label=KIND_NAMES.get(kind, kind),
            )
    for place, row in zip(height, rows.itertuples(), strict=True):
        interval = "" if pd.isna(row.ci_low) else f"  [{row.ci_low:.3f}, {row.ci_high:.3f}]"
        axes.annotate(
            f"{row.value:.3f}{interval}", (1.01, place), xycoords=("axes fraction", "data"),
            va="center", size=8.5, annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(height, [shorten((names or {}).get(m, m), 44) for m in rows["model"]])
    n = int(rows["n"].iloc[0])
    axes.set(xlabel=f"{METRIC_NAMES.get(metric, metric)} ({split}, {n:,} texts)")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    vertical_grid_only(axes)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    headline(figure, title, embedded)
    return figure
