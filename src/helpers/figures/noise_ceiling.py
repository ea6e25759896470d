"""Figure of the noise ceiling: what coders' noise leaves for any model to reach."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from helpers.figures.human_coding import ALL, LLM_NAMES, add_note, draw_marks
from helpers.figures.style import (
    BLUE,
    GREEN,
    GREY,
    SKY,
    VERMILLION,
    headline,
    panels,
    require,
    styled,
    vertical_grid_only,
)

Names = Mapping[str, str] | None
_NOISE_LOOKS = {
    "symmetric": (0, (1, 1.2)),
    "graded": (0, (5, 2)),
    "graded, lenient": (0, (5, 1.5, 1, 1.5)),
    "latent classes": "solid",
}
_YARDSTICKS = {
    "best set for both": ("Best set for both coders", GREEN, "^"),
    "other coder": ("The other coder", GREEN, "D"),
    "simulated coder": ("Simulated coder", GREEN, "d"),
    "all proposals": ("All proposals", GREY, "D"),
    "nothing": ("Nothing", GREY, "D"),
}


@styled
def noise_ceiling(
    ceiling: pd.DataFrame,
    scores: pd.DataFrame,
    overlap: pd.DataFrame,
    title: str,
    *,
    metric: str = "jaccard",
    names: Names = None,
    in_sample: Collection[str] = (),
) -> Figure:
    """Models' scores beside the noise ceiling, and beside a second coder where there is one.

    Parameters
    ----------
    ceiling : DataFrame
        noise, posts, metric, value, ci_low, ci_high, n (`helpers.audit.coding.ceiling_table`).
    scores : DataFrame
        fname, posts, metric, value, ci_low, ci_high (`scores_by_posts`).
    overlap : DataFrame
        reference, metric, value, ci_low, ci_high, n_posts
        (`helpers.audit.coding.coder_as_model.coder_as_model`).
    title : str
    metric : one of `helpers.audit.coding.ceiling.CEILING_METRICS`; where more is better.
    names : fname -> readable name.
    in_sample : fname of models that were trained on these posts: marked, and filled.

    Raises
    ------
    FigureError
        If a table lacks a column, or rows of this metric.
    """
    interval = ["metric", "value", "ci_low", "ci_high"]
    tables = [
        (ceiling, ["noise", "posts", "n", *interval], "noise ceiling"),
        (scores, ["fname", "posts", *interval], "models' scores"),
        (overlap, ["reference", "n_posts", *interval], "posts of two coders"),
    ]
    parts = []
    for table, columns, what in tables:
        require(table, columns, what)
        parts.append(table[table["metric"] == metric])
        require(parts[-1], [], f"{what}, {metric}")
    limits, models, pairs = parts
    every = models[models["posts"] == ALL].sort_values("value", kind="stable")
    order = ["nothing", "all proposals", *every["fname"]]
    readable = {key: name for key, (name, _, _) in _YARDSTICKS.items()} | dict(names or {})
    groups = [name for name in (ALL, *LLM_NAMES) if (limits["posts"] == name).any()]
    n_panels = len(groups) + 1
    rows = (n_panels + 1) // 2
    figure, grid = panels(
        rows, 2, 1.6 + rows * (1.0 + 0.24 * (len(order) + 2)), sharex=True, sharey=False
    )
    flat = list(grid.flat)
    _overlap_panel(flat[1], pairs, order, readable, in_sample)
    for axes, group in zip([flat[0], *flat[2:]], groups, strict=False):
        _ceiling_panel(axes, limits[limits["posts"] == group], models, group, order, in_sample)
        _rows_named(axes, order, readable, in_sample)
    for axes in flat[:n_panels]:
        axes.set_xlim(-0.02, 1.0)
        axes.tick_params(labelbottom=True)
        vertical_grid_only(axes)
    for axes in flat[n_panels:]:
        axes.set_visible(False)
    figure.legend(handles=_ceiling_legend(), loc="outside lower center", ncols=4, fontsize=8.5)
    add_note(
        figure,
        "95% intervals over posts. The ceiling is what the right answers would score against one "
        "coder's decisions, under four models of coders' errors: band from the lowest to the "
        "highest limit. It binds models that did not see these labels; those with * were trained "
        "on them. Posts without an answer count as empty.",
        legend_rows=2,
    )
    headline(figure, title, False)
    return figure


def _ceiling_panel(
    axes: Axes,
    limits: pd.DataFrame,
    models: pd.DataFrame,
    group: str,
    order: list[str],
    in_sample: Collection[str],
) -> None:
    noise = limits[limits["noise"].isin(_NOISE_LOOKS)]
    axes.axvspan(noise["ci_low"].min(), noise["ci_high"].max(), color=SKY, alpha=0.25, lw=0)
    for row in noise.itertuples():
        axes.axvline(row.value, color=BLUE, lw=1.2, ls=_NOISE_LOOKS[row.noise], zorder=1.5)
    rows = models[models["posts"] == group]
    rules = limits[~limits["noise"].isin(_NOISE_LOOKS)].rename(columns={"noise": "fname"})
    _model_marks(axes, pd.concat([rules, rows]), order, in_sample)
    about = "All posts" if group == ALL else f"Only {LLM_NAMES[group]} proposed"
    axes.set_title(f"{about}, n = {int(limits['n'].iloc[0]):,}")


def _overlap_panel(
    axes: Axes,
    pairs: pd.DataFrame,
    order: list[str],
    names: dict[str, str],
    in_sample: Collection[str],
) -> None:
    coders = ("simulated coder", "other coder", "best set for both")
    rows = pairs.rename(columns={"reference": "fname"})
    extended = [*order, *(key for key in coders if (rows["fname"] == key).any())]
    yardsticks = rows.set_index("fname")["value"].reindex(["other coder", "best set for both"])
    axes.axvspan(*yardsticks, color=GREEN, alpha=0.13, lw=0)
    _model_marks(axes, rows, extended, in_sample)
    axes.set_title(f"Two coders, one as truth, n = {int(pairs['n_posts'].max()):,}")
    _rows_named(axes, extended, names, in_sample)


def _model_marks(
    axes: Axes, rows: pd.DataFrame, order: list[str], in_sample: Collection[str]
) -> None:
    for row in rows[rows["fname"].isin(order)].to_dict("records"):
        name = row["fname"]
        _, colour, marker = _YARDSTICKS.get(
            name, ("", BLUE, "o") if name in in_sample else ("", VERMILLION, "s")
        )
        draw_marks(axes, pd.DataFrame([row]), np.array([order.index(name)]), colour, marker)


def _rows_named(
    axes: Axes, order: list[str], names: dict[str, str], in_sample: Collection[str]
) -> None:
    labels = [names.get(key, key) + ("*" if key in in_sample else "") for key in order]
    axes.set_yticks(range(len(order)), labels, size=8.5)
    axes.set_ylim(-0.6, len(order) - 0.4)


def _ceiling_legend() -> list[Artist]:
    lines: list[Artist] = [
        Line2D([], [], color=BLUE, lw=1.4, ls=dash, label=f"ceiling: {name}")
        for name, dash in _NOISE_LOOKS.items()
    ]
    marks: list[Artist] = [
        Line2D([], [], ls="", color=BLUE, marker="o", label="trained on these posts*"),
        Line2D([], [], ls="", color=VERMILLION, marker="s", label="not trained on them"),
        Patch(color=GREEN, alpha=0.2, label="a coder to the best set for two"),
        Line2D([], [], ls="", color=GREY, marker="D", label="baseline"),
    ]
    return [*lines, *marks]
