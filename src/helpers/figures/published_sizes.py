"""The article's figures by model size, redrawn: as published, and recomputed beside it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, NullLocator

from helpers.figures.placing import place_labels
from helpers.figures.published import FAMILIES
from helpers.figures.published_series import (
    ALIASES,
    BASELINES,
    LIMITS,
    STATISTICS,
    Drawn,
    Statistic,
    draw_baselines,
    draw_ghosts,
    draw_series,
)
from helpers.figures.style import (
    BLACK,
    PUBLISHED_BACKGROUND,
    FigureError,
    headline,
    horizontal_grid_only,
    panels,
    require,
    styled,
)
from helpers.published.answers import TASK
from helpers.published.archive import TRUTH_FILES

GRID = "#DDD5C0"
TICKS = {1: "1B", 3: "3B", 7: "7B", 13: "13B", 70: "70B", 405: "405B", 1760: "8×220B*"}
EMPTY = "#F4F4F4"
SPLITS = {"train": "training posts", "test": "test posts"}
NOT_RUN = "not run: archive absent"
NOTE = (
    "Filled, solid: fine-tuned (FT); hollow, dotted: base; pale grey: the authors’ value. 95% "
    "intervals over posts (thin: over posts and coders) can be narrower than a marker. * A guess, "
    "as in the article: ChatGPT-4’s size was never disclosed. True labels were chosen among "
    "proposals of Llama 2 and ChatGPT-4, which favours both."
)


@styled
def published_and_recomputed(
    published: pd.DataFrame, corrected: pd.DataFrame | None, statistic: str
) -> Figure:
    """A statistic of the flourishing posts against the number of parameters.

    Left as published, each model on the posts that it answered; right recomputed, all models on
    the same posts, with 95% intervals. Training posts above, test posts below, on one scale.

    Parameters
    ----------
    published : DataFrame
        As `helpers.published.published_flourishing` returns it.
    corrected : DataFrame or None
        fname, model, parameters_billion, fine_tuned, split, texts, metric, value, ci_low, ci_high,
        n; rows whose `texts` is "same" are drawn. None: the archive is absent.
    statistic : str
        "accD", "ham", "jac2" or "accI"; or the name of its recomputed metric.

    Raises
    ------
    FigureError
        If the statistic is unknown, or a table has no rows or lacks a column.
    """
    key = ALIASES.get(statistic, statistic)
    if key not in STATISTICS:
        raise FigureError(f"no figure of {statistic!r}: choose one of {', '.join(STATISTICS)}")
    which = STATISTICS[key]
    left = _published_rows(published, which.drawn)
    right = None if corrected is None else _same_posts(corrected)
    figure, grid = panels(2, 2, 8.9, sharex=True, sharey=True)
    panels_drawn = []
    for row, split in zip(grid, SPLITS, strict=True):
        panels_drawn.append(_published_panel(row[0], left, right, which, split))
        panels_drawn.append(_recomputed_panel(row[1], published, right, which, split))
        row[0].set_ylabel(which.drawn_name)
        row[1].set_ylabel(which.metric_name)
        row[1].tick_params(labelleft=True)
    _scales(grid)
    note = NOTE
    if right is not None and right.loc[right["metric"] == which.metric, "value"].isna().any():
        note += " A baseline without a line has no value: it finds no dimension."
    figure.supxlabel("\n".join(textwrap.wrap(note, 150)), x=0.01, ha="left", size=8)
    headline(figure, which.title, False)
    figure.draw_without_rendering()
    for axes, drawn in zip(grid.flat, panels_drawn, strict=True):
        place_labels(axes, drawn.labels, drawn.lines, drawn.markers)
    return figure


def _published_rows(published: pd.DataFrame, column: str) -> pd.DataFrame:
    needed = ["fname", "split", "family", "parameters_billion", "fine_tuned", "ntext", column]
    require(published, needed, "published values")
    if unknown := sorted(set(published["family"]) - set(FAMILIES)):
        raise FigureError(f"published values: unknown family {', '.join(unknown)}")
    return published.assign(value=published[column], ci_low=np.nan, ci_high=np.nan)


def _same_posts(corrected: pd.DataFrame) -> pd.DataFrame:
    columns = ["fname", "parameters_billion", "fine_tuned", "split", "texts", "metric", "value"]
    require(corrected, [*columns, "ci_low", "ci_high", "n"], "recomputed scores")
    rows = corrected[corrected["texts"] == "same"]
    require(rows, [], "recomputed scores on the same posts")
    return rows


def _published_panel(
    axes: Axes, values: pd.DataFrame, scores: pd.DataFrame | None, which: Statistic, split: str
) -> Drawn:
    axes.set_facecolor(PUBLISHED_BACKGROUND)
    rows = values[values["split"] == split]
    baselines = _select(scores, split, which.drawn_as, baselines=True)
    posts = f"{rows['ntext'].min():,} to {rows['ntext'].max():,} posts, by model"
    if baselines.empty:
        missing = "the archive" if scores is None else Path(TRUTH_FILES[split]).name
        posts += f"; baselines need {missing}"
    else:
        posts += f"; baselines recomputed on {int(baselines['n'].max()):,}"
    _titles(axes, "As published", split, posts)
    drawn = Drawn()
    draw_series(axes, rows, drawn)
    draw_baselines(axes, baselines, drawn)
    return drawn


def _recomputed_panel(
    axes: Axes, published: pd.DataFrame, scores: pd.DataFrame | None, which: Statistic, split: str
) -> Drawn:
    models = _select(scores, split, which.metric, baselines=False)
    baselines = _select(scores, split, which.metric, baselines=True)
    before = published[published["split"] == split]
    if models.empty and baselines.empty:
        missing = f"not recomputable here:\n{TRUTH_FILES[split]} is not in the folder"
        return _not_recomputed(axes, before, which, split, NOT_RUN if scores is None else missing)
    models = models.merge(before[["fname", "family"]], on="fname", how="left")
    if (unknown := models["family"].isna()).any():
        names = ", ".join(models.loc[unknown, "fname"])
        raise FigureError(f"recomputed scores: {names} not among the published models")
    count = int(pd.concat([models["n"], baselines["n"]]).max())
    some = f"{len(models)} of" if len(models) < len(before) else "all"
    posts = f"{some} {len(before)} models on the same {count:,} posts; 95% intervals"
    _titles(axes, "Recomputed", split, posts)
    drawn = Drawn()
    if which.archived:
        draw_ghosts(axes, models, before, which.archived, drawn)
    draw_series(axes, models, drawn)
    draw_baselines(axes, baselines, drawn)
    return drawn


def _not_recomputed(
    axes: Axes, before: pd.DataFrame, which: Statistic, split: str, why: str
) -> Drawn:
    """Say why nothing is recomputed; show the right statistic where the authors' table has it."""
    drawn = Drawn()
    if which.archived in (None, which.drawn):
        _titles(axes, "Recomputed", split, "")
        axes.text(
            0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color="#606060",
            size=10, linespacing=1.5,
        )  # fmt: skip
        axes.set_facecolor(EMPTY)
        return drawn
    axes.set_facecolor(PUBLISHED_BACKGROUND)
    _titles(axes, "Authors’ table", split, why.replace("\n", " ").replace(f"{TASK}/", ""))
    draw_series(
        axes, before.assign(value=before[which.archived], ci_low=np.nan, ci_high=np.nan), drawn
    )
    return drawn


def _select(
    scores: pd.DataFrame | None, split: str, metric: str, *, baselines: bool
) -> pd.DataFrame:
    if scores is None:
        return pd.DataFrame(columns=["fname", "value", "ci_low", "ci_high", "n"])
    rows = scores[(scores["split"] == split) & (scores["metric"] == metric)]
    return rows[rows["fname"].isin(BASELINES) == baselines].dropna(subset=["value"])


def _titles(axes: Axes, who: str, split: str, posts: str) -> None:
    sample = " (in-sample for FT)" if split == "train" else ""
    axes.set_title(f"{who}: {SPLITS[split]}{sample}", weight="bold", size=9.5, pad=20)
    note = axes.annotate(
        posts, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", size=8.5,
        color="#505050",
    )  # fmt: skip
    note.set_in_layout(False)


def _scales(grid: np.ndarray[Any, Any]) -> None:
    for axes in grid.flat:
        axes.set_xscale("log")
        axes.set_xticks(list(TICKS), list(TICKS.values()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(MultipleLocator(0.1))
        horizontal_grid_only(axes)
        if not axes.lines:
            axes.grid(False)
        elif axes.get_facecolor() != (1, 1, 1, 1):
            axes.grid(color=GRID, axis="y")
    for axes in grid[-1]:
        axes.set_xlabel("Parameters (log scale)", color=BLACK)
    grid[0, 0].set_xlim(*LIMITS)
