"""Specification curve: two archived models under every analytic choice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from helpers.figures.style import (
    BLACK,
    BLUE,
    GREY,
    PUBLISHED_BACKGROUND,
    VERMILLION,
    FigureError,
    headline,
    panels,
    require,
    styled,
)

SAND, GRID = "#E9DFC8", "#DDD5C0"
SPLITS = {"train": "training posts", "test": "test posts"}
CHOICE_NAMES = {
    "metric": "Metric",
    "evaluation": "Posts",
    "conflict": "Several levels accepted",
    "cleaning": "Cleaning of answers",
    "threshold": "Present from level",
}
OPTION_NAMES = {
    "metric": {
        "dimension_accuracy": "Accuracy",
        "accuracy_with_intensity": "Accuracy\nwith level",
        "rescaled_accuracy": "Rescaled\naccuracy",
        "jaccard": "Jaccard",
        "micro_f1": "Micro F1",
        "macro_f1": "Macro F1",
        "mcc": "MCC",
        "intensity_accuracy": "Level, if\nfound",
    },
    "evaluation": {
        "published": "it answered",
        "same": "all",
        "common": "all models answered",
    },
    "conflict": {
        "published": "highest",
        "comment": "low before high, medium",
        "lowest": "lowest",
        "first": "first row",
        "unanimous": "highest, nobody rejected",
    },
    "cleaning": {
        "published": "published rules",
        "corrected": "two classes restored",
        "strict": "codebook's words only",
    },
    "threshold": {"any": "low", "medium": "medium", "high": "high"},
}
WIN, LOSS = BLUE, VERMILLION
AHEAD = 0.0  # y of the row of percentages in the lower part


@styled
def specification_curve(
    differences: pd.DataFrame, shares: pd.DataFrame, split: str = "train"
) -> Figure:
    """Specification curve of one model against the reference, a column for each metric.

    The upper part shows the differences in ascending order, the lower part which options made
    each; an option that makes no difference to a specification is marked with its equals.

    Parameters
    ----------
    differences : DataFrame
        As `helpers.audit.sensitivity.tables.specification_differences` returns it.
    shares : DataFrame
        As `option_shares` returns it.
    split : {"train", "test"}
    """
    columns = ["split", *OPTION_NAMES, "model", "reference_model", "in_sample", "difference"]
    require(differences, [*columns, "place"], "specification differences")
    require(shares, ["split", "choice", "option", "n", "n_beats", "share"], "option shares")
    table = differences[differences["split"] == split]
    shares = shares[shares["split"] == split].set_index(["choice", "option"])
    if table.empty or shares.empty:
        raise FigureError(f"specification differences: no rows of the {SPLITS[split]}")
    metrics = [name for name in OPTION_NAMES["metric"] if name in set(table["metric"])]
    figure, grid = panels(
        2, len(metrics), 6.9, height_ratios=[2.3, 3.6], sharey="row", sharex="col"
    )
    figure.set_facecolor(PUBLISHED_BACKGROUND)
    figure.set_layout_engine("constrained", w_pad=0.04, wspace=0.0)
    rows = _dashboard_rows()
    for (top, bottom), metric in zip(grid.T, metrics, strict=True):
        part = table[table["metric"] == metric]
        _curve(top, part)
        top.set_title(OPTION_NAMES["metric"][metric], loc="center", linespacing=1.05)
        _dots(bottom, part, rows)
        won = shares.loc[("metric", metric), "share"]
        bottom.annotate(
            f"{won:.0%}",
            (0.5, AHEAD),
            xycoords=("axes fraction", "data"),
            ha="center",
            va="center",
            weight="bold",
        )
        bottom.set_xlim(0, part["place"].max() + 1)
    _label_curve(grid[0, 0], table)
    _label_dashboard(grid[1, 0], grid[1, -1], rows, shares)
    _label_posts(grid[1, 0], table, rows)
    _explain(figure, table, shares.loc[("all", "all")], split)
    return figure


def _dashboard_rows() -> dict[tuple[str, str], float]:
    """Return (choice, option) -> y, with a heading's space above each choice."""
    rows, y = {}, AHEAD + 0.9
    for choice, options in OPTION_NAMES.items():
        if choice == "metric":
            continue
        y += 1.2
        for option in options:
            rows[choice, option] = y
            y += 1.0
    return rows


def _colours(values: pd.Series) -> NDArray[np.str_]:
    return np.where(values > 0, WIN, np.where(values < 0, LOSS, GREY))


def _curve(axes: Axes, part: pd.DataFrame) -> None:
    points = 100 * part["difference"]
    axes.set_yscale("function", functions=(_signed_root, _signed_square))
    axes.axhline(0, color=BLACK, lw=0.9)
    axes.scatter(part["place"], points, s=5, color=_colours(points), linewidths=0, zorder=2)
    published = part[(part[list(OPTION_NAMES)] == _published()).drop(columns="metric").all(axis=1)]
    axes.plot(
        published["place"], 100 * published["difference"], "D", ms=6, mfc="white", color=BLACK,
        zorder=3, clip_on=False,
    )  # fmt: skip
    axes.set_facecolor(PUBLISHED_BACKGROUND)
    axes.grid(color=GRID, axis="y")
    axes.grid(False, axis="x")
    axes.tick_params(labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_color(GRID)


def _published() -> pd.Series:
    """Return the published option of each choice: its first."""
    return pd.Series({choice: next(iter(options)) for choice, options in OPTION_NAMES.items()})


def _signed_root(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    return np.sign(array) * np.sqrt(np.abs(array))


def _signed_square(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    return np.sign(array) * array**2


def _dots(axes: Axes, part: pd.DataFrame, rows: Mapping[tuple[str, str], float]) -> None:
    marks = [
        part[["place", "difference"]].assign(choice=choice, option=part[choice])
        for choice in OPTION_NAMES
        if choice != "metric"
    ]
    table = pd.concat(marks).drop_duplicates()
    y = np.array([rows[key] for key in zip(table["choice"], table["option"], strict=True)])
    for place in rows.values():
        axes.axhspan(place - 0.4, place + 0.4, color=SAND, lw=0, zorder=0)
    axes.vlines(table["place"], y - 0.4, y + 0.4, colors=_colours(table["difference"]), lw=0.75)
    axes.set_ylim(max(rows.values()) + 0.6, AHEAD - 0.6)
    axes.set_facecolor(PUBLISHED_BACKGROUND)
    axes.grid(False)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)


def _label_curve(axes: Axes, table: pd.DataFrame) -> None:
    points = 100 * table["difference"]
    ticks = [sign * size for size in (0.5, 2, 5, 10, 20, 40, 70) for sign in (-1, 1)]
    inside = [t for t in ticks if points.min() * 1.4 <= t <= points.max() * 1.4] + [0]
    axes.yaxis.set_major_locator(FixedLocator(sorted(inside)))
    axes.yaxis.set_major_formatter(FuncFormatter(_signed))
    axes.yaxis.set_minor_locator(NullLocator())
    edge = 1.3 * np.array([min(points.min(), -0.3), max(points.max(), 0.3)])
    axes.set_ylim(*edge)
    axes.set_ylabel("Difference, points\n(root scale)")


def _signed(value: float, _: int | None = None) -> str:
    return f"{value:+g}".replace("-", "\N{MINUS SIGN}") if value else "0"


def _label_dashboard(
    left: Axes, right: Axes, rows: Mapping[tuple[str, str], float], shares: pd.DataFrame
) -> None:
    left.set_yticks(list(rows.values()), [OPTION_NAMES[choice][option] for choice, option in rows])
    heads = {"ahead in": AHEAD}
    for (choice, _), y in rows.items():
        heads.setdefault(CHOICE_NAMES[choice], y - 1.05)
    for head, y in heads.items():
        left.annotate(
            head, (0, y), (-4, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="center", weight="bold",
            annotation_clip=False,
        )  # fmt: skip
    for key, y in [(("all", "all"), AHEAD), *rows.items()]:
        share = shares["share"].get(key, np.nan)
        right.annotate(
            "–" if np.isnan(share) else f"{share:.0%}", (1, y), (32, 0), ha="right", va="center",
            xycoords=("axes fraction", "data"), textcoords="offset points", annotation_clip=False,
            weight="bold" if key[0] == "all" else "normal",
        )  # fmt: skip


def _label_posts(axes: Axes, table: pd.DataFrame, rows: Mapping[tuple[str, str], float]) -> None:
    """Add to the names of the sets of posts how many there are."""
    labels = [text.get_text() for text in axes.get_yticklabels()]
    for i, (choice, option) in enumerate(rows):
        if choice == "evaluation":
            sizes = table.loc[table["evaluation"] == option, "n"]
            few, many = (f"{size:,}" for size in (sizes.min(), sizes.max()))
            labels[i] += f" ({few})" if few == many else f" ({few}–{many})"
    axes.set_yticks(list(rows.values()), labels)


def _explain(figure: Figure, table: pd.DataFrame, total: pd.Series, split: str) -> None:
    first = table.iloc[0]
    model, other = first["model"], first["reference_model"]
    headline(
        figure,
        f"{model} against {other}, {SPLITS[split]}: ahead in {int(total['n_beats']):,} of "
        f"{int(total['n']):,} specifications",
        False,
    )
    note = f"\n{model} was trained on these posts: being ahead is no sign of quality."
    handles = [
        Line2D([], [], color=WIN, marker="o", ls="", ms=5, label=f"{model} ahead"),
        Line2D([], [], color=LOSS, marker="o", ls="", ms=5, label=f"{other} ahead"),
        Line2D([], [], color=BLACK, marker="D", ls="", ms=6, mfc="white",
               label="other choices as published"),
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside lower left", ncols=3, columnspacing=1.5,
        title=f"Percentages: share of the specifications in which {model} is ahead."
        + (note if first["in_sample"] else ""),
        alignment="left",
    )  # fmt: skip
