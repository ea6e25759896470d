"""Figures of chapter 07: what is gained by training more of an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from helpers.figures.comparison import interval_arms
from helpers.figures.sizes import draw_end_labels, level_label, value_limits
from helpers.figures.style import (
    BLUE,
    GREY,
    VERMILLION,
    FigureError,
    headline,
    horizontal_grid_only,
    panels,
    require,
    styled,
)
from helpers.metrics import LOWER_IS_BETTER, METRIC_NAMES

Names = Mapping[str, str] | None

PART_NAMES = {
    "mean": "mean or majority",
    "length": "number of words alone",
    "embeddings-ridge": "sentence embeddings",
    "dictionary-forest": "dictionary, forest",
    "dictionary-boosting": "dictionary, boosting",
    "frozen": "head only",
    "lora": "LoRA",
    "all": "all",
    "scratch": "from scratch",
}
_LEVEL_COLOURS = {"dictionary-forest": VERMILLION, "dictionary-boosting": "#9C5B00"}
_LEVEL_LINES = {"dictionary-forest": (0, (6, 2)), "dictionary-boosting": (0, (2, 1.5))}


def part_name(method: str, names: Names = None) -> str:
    """Return the readable name of a method of chapter 07, for tables and figures."""
    if method.startswith("top-") and method[4:].isdigit():
        default = "top layer" if method == "top-1" else f"top {method[4:]} layers"
    else:
        default = PART_NAMES.get(method, method)
    return (names or {}).get(method, default)


def readable_share(share: float) -> str:
    """Return a share in percent with two digits that count: 0.0036%, 5.4%, 33%."""
    percent = 100 * share
    return f"{percent:.0f}%" if percent >= 9.95 else f"{percent:.2g}%"


@styled
def trained_share(
    scores: pd.DataFrame,
    task: str,
    metrics: Sequence[str],
    title: str,
    *,
    scheme: str = "fold",
    names: Names = None,
    embedded: bool = False,
) -> Figure:
    """Scores against the share of an encoder's parameters that learn, one panel a metric.

    Methods stand side by side in the order of their share, evenly spaced: a head has a thousandth
    of a percent, and a third of the layers is not far from all of them. A model that starts from
    random weights has an open marker. What has no such share (dictionaries, baselines) is a
    horizontal line with its interval as a faint band.

    Parameters
    ----------
    scores : DataFrame
        task, scheme, method, metric, value, ci_low, ci_high, trainable_share (NaN: a line), n.
    task, metrics, scheme : which rows of it; metrics from top to bottom.
    title : str
    names : mapping of method to readable name, optional
    embedded : bool

    Raises
    ------
    FigureError
        If the table lacks a column, or has no encoder for this task and scheme.
    """
    rows = _rows(scores, task, scheme, metrics)
    sized = rows.dropna(subset=["trainable_share"])
    if sized.empty:
        raise FigureError(f"trained share of {task}, {scheme}: no method that trains an encoder")
    order = _by_share(sized)
    panel = 2.45
    figure, grid = panels(len(metrics), 1, 1.35 + panel * len(metrics), sharex=True)
    for axes, metric in zip(grid[:, 0], metrics, strict=True):
        part = rows[rows["metric"] == metric].set_index("method")
        axes.set_xlim(-0.5, len(order) - 0.5)
        # Before the marks: labels in the margin need the limits.
        value_limits(axes, [part])
        _draw_levels(axes, part[part["trainable_share"].isna()], names, panel)
        _draw_methods(axes, part.loc[[method for method in order if method in part.index]], order)
        axes.set(title=metric_title(metric))
        horizontal_grid_only(axes)
    shares = sized.drop_duplicates("method").set_index("method")["trainable_share"]
    ticks = [f"{part_name(m, names)}\n{readable_share(shares[m])}" for m in order]
    grid[-1, 0].set_xticks(range(len(order)), ticks)
    grid[-1, 0].set_xlabel("Part of the encoder that learns, and its share of all parameters")
    _explain(figure, rows, order)
    headline(figure, title, embedded)
    return figure


def _rows(scores: pd.DataFrame, task: str, scheme: str, metrics: Sequence[str]) -> pd.DataFrame:
    columns = ["task", "scheme", "method", "metric", "value", "ci_low", "ci_high"]
    what = f"trained share of {task}, {scheme}"
    require(scores, [*columns, "trainable_share", "n"], what)
    mine = scores[(scores["task"] == task) & (scores["scheme"] == scheme)]
    rows = mine[mine["metric"].isin(metrics)].dropna(subset=["value"]).copy()
    require(rows, [], what)
    if missing := [metric for metric in metrics if metric not in set(rows["metric"])]:
        raise FigureError(f"{what}: no scores {', '.join(missing)}")
    values = ["value", "ci_low", "ci_high", "trainable_share"]
    rows[values] = rows[values].astype(float)
    return rows


def _by_share(sized: pd.DataFrame) -> list[str]:
    """Methods by rising share; of equal ones the one from scratch comes last."""
    known = sized.drop_duplicates("method")
    keys = known.assign(scratch=known["method"] == "scratch")
    return list(keys.sort_values(["trainable_share", "scratch", "method"])["method"])


def metric_title(metric: str) -> str:
    """Return a metric's name and which way is up."""
    direction = "lower" if metric in LOWER_IS_BETTER else "higher"
    return f"{METRIC_NAMES.get(metric, metric)} ({direction} is better)"


def _draw_levels(axes: Axes, levels: pd.DataFrame, names: Names, height: float) -> None:
    labels = []
    for method, row in levels.iterrows():
        colour = _LEVEL_COLOURS.get(str(method), GREY)
        line = _LEVEL_LINES.get(str(method), (0, (1, 1.5)))
        axes.axhline(row["value"], color=colour, lw=1.3, ls=line, zorder=1.5)
        if str(method) in _LEVEL_COLOURS and not np.isnan([row["ci_low"], row["ci_high"]]).any():
            axes.axhspan(row["ci_low"], row["ci_high"], color=colour, alpha=0.08, lw=0, zorder=1)
        label = level_label(part_name(str(method), names), float(row["value"]))
        labels.append(
            type(label)(label.text, None, label.y, colour if colour != GREY else "#505050")
        )
    draw_end_labels(axes, labels, height)


def _draw_methods(axes: Axes, rows: pd.DataFrame, order: Sequence[str]) -> None:
    places = {method: place for place, method in enumerate(order)}
    trained = rows[rows.index != "scratch"]
    x = [places[str(method)] for method in trained.index]
    axes.plot(x, trained["value"], color=BLUE, lw=1.2, alpha=0.5, zorder=2)
    for method, row in rows.iterrows():
        frame = row.to_frame().T
        axes.errorbar(
            places[str(method)],
            row["value"],
            interval_arms(frame),
            color=BLUE,
            marker="o",
            ms=7,
            mfc="white" if method == "scratch" else BLUE,
            capsize=3,
            elinewidth=1.5,
            zorder=3,
        )
        axes.annotate(
            f"{row['value']:.2f}".replace("-", "−"),
            (places[str(method)], row["value"]),
            (7, 4),
            textcoords="offset points",
            size=8.5,
            color=BLUE,
            zorder=4,
            bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
        )


def _explain(figure: Figure, rows: pd.DataFrame, order: Sequence[str]) -> None:
    n = f"{int(rows['n'].iloc[0]):,}"
    style: dict[str, Any] = {"color": BLUE, "marker": "o", "ms": 6, "ls": ""}
    handles: list[Any] = [Line2D([], [], label="starts from pretrained weights", **style)]
    if "scratch" in order:
        handles.append(Line2D([], [], mfc="white", label="from random weights", **style))
    handles.append(Line2D([], [], color=BLUE, lw=1.5, label=f"95% interval ({n} texts)"))
    if rows["method"].isin(list(_LEVEL_COLOURS)).any():
        label = "interval of the dictionaries"
        handles.append(Patch(color=VERMILLION, alpha=0.2, lw=0, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
