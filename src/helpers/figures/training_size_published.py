"""Figure of the re-analysis of the two archived Dataverse models."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from helpers.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PUBLISHED_BACKGROUND,
    SKY,
    VERMILLION,
    FigureError,
    headline,
    panels,
    require,
    styled,
    vertical_grid_only,
)

TITLE = "Archived answers of Carammia, Iacus & Porro 2024: training size or empty answers?"
GRID, SAND = "#DDD5C0", "#B3AA91"
COLOURS = (ORANGE, BLUE)  # fewer, more training texts
VALID = [("all", "answered", "not empty"), ("all", "usable", "names a subject of the list")]
RIGHT = [
    ("all", "any", "all texts, as published"),
    ("answered", "any", "texts that the model answered"),
    ("both_answered", "any", "texts that both answered"),
    ("both_usable", "any", "texts where both named a subject"),
]
PARTS = [
    ("empty", "an answer is empty", VERMILLION),
    ("no_subject", "an answer names\nno subject", SKY),
    ("usable", "both name a subject", SAND),
]


@styled
def training_size_published(models: pd.DataFrame, decomposition: pd.DataFrame) -> Figure:
    """Valid answers and accuracy of both models, and what their difference is made of.

    Parameters
    ----------
    models : DataFrame
        As `helpers.published.dataverse_models` returns it: two models.
    decomposition : DataFrame
        As `helpers.published.dataverse_decomposition` returns it.
    """
    columns = ["model", "n_train", "scope", "definition", "n", "value", "ci_low", "ci_high"]
    require(models, columns, "archived models")
    require(decomposition, ["part", "n", "contribution", "contribution_low"], "decomposition")
    sizes = sorted(models["n_train"].unique())
    if len(sizes) != 2:
        raise FigureError(f"archived models: two are compared, the table has {len(sizes)}")
    figure, grid = panels(3, 1, 6.6, height_ratios=[2.7, 4.4, 2.0])
    figure.set_facecolor(PUBLISHED_BACKGROUND)
    valid, right, parts = grid[:, 0]
    right.sharex(valid)
    _pairs(valid, models, VALID, sizes)
    _pairs(right, models, RIGHT, sizes)
    shown = models[models["definition"].isin(["any", "answered", "usable"])]
    shown = shown[shown["scope"].isin([scope for scope, *_ in RIGHT])]
    valid.set(title="Valid answers", xlim=(shown["value"].min() - 0.045, 1.02))
    right.set(title="At least one subject right")
    valid.set_ylim(-0.55, len(VALID) - 0.1)
    valid.tick_params(labelbottom=False)
    right.xaxis.set_major_locator(MultipleLocator(0.05))
    right.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _names(valid, models, sizes)
    _contributions(parts, decomposition)
    for axes in (valid, right, parts):
        axes.set_facecolor(PUBLISHED_BACKGROUND)
        vertical_grid_only(axes)
        axes.grid(color=GRID, axis="x")
    headline(figure, TITLE, False)
    return figure


def _row(models: pd.DataFrame, scope: str, definition: str, size: int) -> pd.Series:
    rows = models[
        (models["scope"] == scope)
        & (models["definition"] == definition)
        & (models["n_train"] == size)
    ]
    if len(rows) != 1:
        raise FigureError(f"archived models: no row of {definition}, {scope}, {size:,} texts")
    return rows.iloc[0]


def _pairs(
    axes: Axes, models: pd.DataFrame, wanted: list[tuple[str, str, str]], sizes: list[int]
) -> None:
    labels = []
    for place, (scope, definition, name) in enumerate(reversed(wanted)):
        fewer, more = (_row(models, scope, definition, size) for size in sizes)
        axes.plot([fewer["value"], more["value"]], [place, place], color=GREY, lw=1.2, zorder=1)
        low, high = sorted([(fewer, COLOURS[0]), (more, COLOURS[1])], key=lambda x: x[0]["value"])
        for (row, colour), side in ((low, "right"), (high, "left")):
            arms = [[row["value"] - row["ci_low"]], [row["ci_high"] - row["value"]]]
            axes.errorbar(
                row["value"], place, xerr=arms, color=colour, marker="o", ms=6.5, capsize=3
            )
            shift = 11 if side == "left" else -11
            axes.annotate(
                f"{row['value']:.1%}", (row["value"], place), (shift, 0), color=BLACK,
                textcoords="offset points", ha=side, va="center",
            )  # fmt: skip
        gap = 100 * (more["value"] - fewer["value"])
        middle = (more["value"] + fewer["value"]) / 2
        axes.annotate(
            f"{gap:.1f} points", (middle, place), (0, 4), size=8.5, color=BLACK,
            textcoords="offset points", ha="center", va="bottom",
        )  # fmt: skip
        counted = [f"{int(n):,}" for n in dict.fromkeys([fewer["n"], more["n"]])]
        labels.append(f"{name}\n({' and '.join(counted)})")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(-0.55, len(labels) - 0.4)


def _names(axes: Axes, models: pd.DataFrame, sizes: list[int]) -> None:
    """Name the two colours beside the points of the first row."""
    top = len(VALID) - 1
    for size, colour in zip(sizes, COLOURS, strict=True):
        row = _row(models, *VALID[0][:2], size)
        axes.annotate(
            f"trained on {size:,} texts", (row["value"], top), (0, 19), color=colour, weight="bold",
            textcoords="offset points", ha="right", va="bottom", annotation_clip=False,
        )  # fmt: skip


def _contributions(axes: Axes, decomposition: pd.DataFrame) -> None:
    table = decomposition.set_index("part")
    left = 0.0
    for part, name, colour in PARTS:
        row = 100 * table.loc[part, ["contribution", "contribution_low", "contribution_high"]]
        width = row["contribution"]
        axes.barh(0, width, left=left, color=colour, height=0.5, edgecolor=PUBLISHED_BACKGROUND)
        middle = (left + width / 2, 0)
        axes.annotate(
            f"{width:.2f}", middle, ha="center", va="center", color=BLACK, weight="bold"
        )  # fmt: skip
        text = f"{name}\n[{row['contribution_low']:.2f}, {row['contribution_high']:.2f}]"
        axes.annotate(
            text, (middle[0], -0.32), ha="center", va="top", size=8.5, annotation_clip=False
        )
        left += width
    axes.set(
        title=f"What the published difference of {left:.2f} points is made of [95% intervals]",
        xlim=(0, left * 1.04), ylim=(-1.05, 0.4), yticks=[], xlabel="Percentage points",
    )  # fmt: skip
