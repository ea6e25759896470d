"""Ranks of the archived models over all specifications, and which choice moves them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from helpers.figures.specification import CHOICE_NAMES, OPTION_NAMES, SAND, SPLITS
from helpers.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    PUBLISHED_BACKGROUND,
    FigureError,
    headline,
    panels,
    require,
    styled,
)

EFFECTS = {
    "mean_rank_change": "Mean change of\na model's rank",
    "share_changed": "Rankings that\nchange at all",
    "share_flips": "Models that change\nsides with ChatGPT-4",
}


@styled
def specification_ranks(shares: pd.DataFrame, ranges: pd.DataFrame) -> Figure:
    """How often each model takes each rank, one row a model.

    Parameters
    ----------
    shares : DataFrame
        As `helpers.audit.sensitivity.tables.rank_shares` returns it.
    ranges : DataFrame
        As `rank_ranges` returns it: the same splits and models; its order is that of the rows.
    """
    require(shares, ["split", "fname", "rank", "share"], "rank shares")
    columns = ["split", "fname", "model", "in_sample", "published_rank", "printed_test_rank", "n"]
    columns += ["median", "share_beats_reference", "share_beats_nothing"]
    require(ranges, columns, "rank ranges")
    splits = [split for split in SPLITS if split in set(ranges["split"])]
    sizes = [len(ranges[ranges["split"] == split]) for split in splits]
    step = 0.36 if max(sizes) <= 10 else 0.27
    height = 1.75 + sum(step * size + 0.75 for size in sizes)
    figure, grid = panels(len(splits), 1, height, height_ratios=[size + 1 for size in sizes])
    figure.set_facecolor(PUBLISHED_BACKGROUND)
    for axes, split in zip(grid[:, 0], splits, strict=True):
        rows = ranges[ranges["split"] == split].reset_index(drop=True)
        _rank_strip(axes, shares[shares["split"] == split], rows)
        most = int(rows["n"].max())
        axes.set_title(f"{SPLITS[split].capitalize()}: {most:,} specifications", pad=12)
    grid[-1, 0].set_xlabel("Rank among the models present (1 is best)", loc="left")
    handles = [
        Patch(facecolor=_shade(0.6, False), label="share of specifications"),
        Patch(facecolor=_shade(0.6, True), label="the same, trained on these posts (†)"),
        Patch(facecolor="none", edgecolor=BLACK, linewidth=2, label="as published"),
        Line2D([], [], color=BLACK, marker="D", ls="", ms=6, mfc="white",
               label="printed accuracy, test posts"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower left", ncols=4, columnspacing=1.2)
    headline(figure, "The ranking of the archived models under every analytic choice", False)
    return figure


def _rank_strip(axes: Axes, shares: pd.DataFrame, rows: pd.DataFrame) -> None:
    count = len(rows)
    table = shares.pivot(index="fname", columns="rank", values="share")
    if missing := set(rows["fname"]) - set(table.index):
        raise FigureError(f"rank shares: no row of {', '.join(sorted(missing))}")
    for y, row in enumerate(rows.itertuples(index=False)):
        for rank in range(1, count + 1):
            share = float(table.loc[row.fname, rank])
            _cell(axes, rank, y, share, bool(row.in_sample), text=count <= 10)
        if not np.isnan(row.published_rank):
            corner = (row.published_rank - 0.5, y - 0.46)
            axes.add_patch(Rectangle(corner, 1, 0.92, fill=False, ec=BLACK, lw=2, zorder=3))
        if not np.isnan(row.printed_test_rank):
            place = (row.printed_test_rank - (0.36 if count <= 10 else 0.0), y)
            axes.plot(*place, "D", color=BLACK, ms=5.5, mfc="white", zorder=4)
    labels = [f"{row.model}{' †' if row.in_sample else ''}" for row in rows.itertuples()]
    axes.set_yticks(range(count), labels)
    axes.set_xticks(range(1, count + 1))
    axes.set(xlim=(0.45, count * 1.62), ylim=(count - 0.45, -0.55))
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_facecolor(PUBLISHED_BACKGROUND)
    columns = {
        "median": ("median\nrank", "{:g}"),
        "share_beats_reference": ("above\nChatGPT-4", "{:.0%}"),
        "share_beats_nothing": ("above predict-\nnothing", "{:.0%}"),
    }
    for number, (column, (head, form)) in enumerate(columns.items()):
        x = count * (1.13 + 0.19 * number)
        axes.annotate(
            head, (x, -0.6), ha="center", va="bottom", annotation_clip=False, linespacing=1.1
        )
        for y, value in enumerate(rows[column]):
            text = "–" if np.isnan(value) else form.format(value)
            axes.annotate(text, (x, y), ha="center", va="center")


def _shade(share: float, in_sample: bool) -> tuple[float, float, float, float]:
    """Return the colour of a share: the deeper, the more specifications."""
    ends = [SAND, ORANGE if in_sample else BLUE]
    # Small shares must differ from none.
    return LinearSegmentedColormap.from_list("", ends)(0.15 + 0.85 * share if share else 0.0)


def _cell(axes: Axes, x: int, y: int, share: float, in_sample: bool, *, text: bool) -> None:
    share = 0.0 if np.isnan(share) else share
    colour = _shade(share, in_sample)
    axes.add_patch(
        Rectangle((x - 0.5, y - 0.46), 1, 0.92, fc=colour, ec=PUBLISHED_BACKGROUND, lw=1.5)
    )
    if share and text:
        shown = "<1%" if share < 0.005 else f"{share:.0%}"
        ink = "white" if share > 0.5 and not in_sample else BLACK
        axes.annotate(shown, (x + 0.05, y), ha="center", va="center", color=ink)


@styled
def specification_effects(effects: pd.DataFrame, split: str = "train") -> Figure:
    """What a single choice does to the ranking while all others are held.

    Parameters
    ----------
    effects : DataFrame
        As `helpers.audit.sensitivity.effects.choice_effects` returns it.
    split : {"train", "test"}
    """
    require(effects, ["split", "choice", "option", "n_pairs", *EFFECTS], "effects of choices")
    table = effects[effects["split"] == split].set_index(["choice", "option"])
    if table.empty:
        raise FigureError(f"effects of choices: no rows of the {SPLITS[split]}")
    figure, grid = panels(1, len(EFFECTS), 5.9, sharey=True)
    figure.set_facecolor(PUBLISHED_BACKGROUND)
    rows, y = {}, 0.0
    for choice, options in OPTION_NAMES.items():
        for option in list(options)[1:]:
            rows[choice, option] = y
            y += 1.0
        y += 1.3
    for axes, (column, title) in zip(grid[0], EFFECTS.items(), strict=True):
        _effect_bars(axes, table[column], rows)
        axes.set_title(title, loc="left")
    first = grid[0, 0]
    labels = []
    for choice, option in rows:
        name = OPTION_NAMES[choice][option].replace("\n", " ")
        labels.append(f"{name} ({int(table.loc[(choice, option), 'n_pairs']):,})")
    first.set_yticks(list(rows.values()), labels)
    heads: dict[str, float] = {}
    for (choice, _), place in rows.items():
        heads.setdefault(choice, place)
    for choice, place in heads.items():
        first.annotate(
            CHOICE_NAMES[choice], (0, place - 1), (-4, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="center", weight="bold",
            annotation_clip=False,
        )  # fmt: skip
    first.set_ylim(max(rows.values()) + 0.6, -1.6)
    headline(
        figure,
        f"What changing one published choice does to the ranking of models, {SPLITS[split]}",
        False,
    )
    note = "Means over all settings of the other choices; their number in brackets."
    if split == "train":
        note += " Fine-tuned models were trained on these posts."
    figure.supxlabel(note, x=0.01, ha="left", size=9.5)
    return figure


def _effect_bars(axes: Axes, values: pd.Series, rows: dict[tuple[str, str], float]) -> None:
    shown = {key: float(values[key]) for key in rows}
    widest = max([value for value in shown.values() if not np.isnan(value)], default=0.0) or 1.0
    for key, value in shown.items():
        form = "{:.2f}" if values.name == "mean_rank_change" else "{:.0%}"
        text = "–" if np.isnan(value) else form.format(value)
        axes.barh(rows[key], value, color=BLUE, height=0.7)
        axes.annotate(
            text, (0.0 if np.isnan(value) else value, rows[key]), (3, 0), va="center",
            textcoords="offset points",
        )  # fmt: skip
    axes.set_xlim(0, widest * 1.25)
    axes.tick_params(labelbottom=False)  # every bar has its value
    axes.set_facecolor(PUBLISHED_BACKGROUND)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
