"""The article's figure by CAP topic, redrawn; and what a swapped confusion matrix did."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from helpers.figures.comparison import interval_arms
from helpers.figures.placing import Label, place_labels
from helpers.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    FigureError,
    headline,
    panels,
    require,
    styled,
    vertical_grid_only,
)

METRICS = {
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
MAJORITY = "majority"
TOPIC_COLUMNS = ("label", "name", "support", "split", "model", "metric", "value")
Pair = tuple[str, str, str]
PAIRS: tuple[Pair, ...] = (
    ("printed_prec", "precision", "Precision"),
    ("printed_balAcc", "balanced_accuracy", "Balanced accuracy"),
)
SWAP_NOTE = (
    "Printed: by the authors’ confusion matrix, with rows and columns swapped, on the posts that "
    "the model answered. Right: all posts, the two dimensions restored that the published cleaning "
    "takes away. Named: the largest differences."
)


@styled
def topics(per_code: pd.DataFrame, means: pd.DataFrame, *, split: str = "test") -> Figure:
    """Rates of each CAP topic with 95% intervals, the most frequent topic on top.

    A rate without a value is marked as undefined, not left out.

    Parameters
    ----------
    per_code : DataFrame
        label, name, support, split, model, metric, value, ci_low, ci_high, n: shares between 0
        and 1. One model, and the baseline `majority` if there.
    means : DataFrame
        As `helpers.published.published_headlines` returns it: mean rates in percent are drawn as
        vertical lines.
    split : which rows of `per_code`.

    Raises
    ------
    FigureError
        If a table lacks a column, or the split has not one model.
    """
    require(per_code, [*TOPIC_COLUMNS, "ci_low", "ci_high", "n"], "rates by topic")
    require(means, ["task", "split", "model", "metric", "value"], "published means")
    rows = per_code[(per_code["split"] == split) & per_code["metric"].isin(METRICS)]
    models = rows[rows["model"] != MAJORITY]
    if models["model"].nunique() != 1 or models.duplicated(["label", "metric"]).any():
        found = ", ".join(sorted(set(models["model"]))) or "none"
        raise FigureError(f"rates by topic: one model and version is drawn, {split} has {found}")
    order = models.drop_duplicates("label").sort_values(["support", "name"], kind="stable")
    figure, grid = panels(1, 4, 2.1 + 0.265 * len(order), sharey=True)
    figure.get_layout_engine().set(w_pad=0.06)  # type: ignore[union-attr, call-arg]
    known = means[(means["task"] == "cap") & (means["split"] == split)]
    known = known[known["metric"].isin([f"mean_{metric}" for metric in METRICS])]
    for axes, (metric, title) in zip(grid[0], METRICS.items(), strict=True):
        _rates(axes, models[models["metric"] == metric].set_index("label"), order["label"])
        base = rows[(rows["model"] == MAJORITY) & (rows["metric"] == metric)].set_index("label")
        _baseline_ticks(axes, base, order["label"])
        _means(axes, known[known["metric"] == f"mean_{metric}"])
        axes.set_title(title, weight="bold", size=9.5, pad=30 if len(known) else 16)
        _percent_axis(axes)
    _names(grid[0, 0], order)
    model, n = models["model"].iloc[0], int(models["n"].max())
    note = (
        f"n: texts with this topic, of {n:,}. Dots: recomputed from the archived answers; bars: "
        "95% intervals over texts. Small grey ticks: always the most frequent topic. "
        + ("Vertical lines: published means over topics. " if len(known) else "")
        + "ChatGPT-4’s values by topic are not in the archive."
    )
    figure.supxlabel("\n".join(textwrap.wrap(note, 150)), x=0.01, ha="left", size=8)
    sample = "training texts, in-sample" if split == "train" else "test texts"
    headline(figure, f"{model} by CAP topic: {sample}", False)
    return figure


def _names(axes: Axes, order: pd.DataFrame) -> None:
    """Name the rows, with the number of texts beside each name."""
    names = ["\n".join(textwrap.wrap(name, 30)) for name in order["name"]]
    axes.set_yticks(range(len(order)), names, size=8, linespacing=0.9)
    axes.tick_params(axis="y", pad=28)
    for place, support in enumerate(order["support"]):
        axes.annotate(
            str(support), (0, place), (-6, 0), xycoords=("axes fraction", "data"), size=8,
            textcoords="offset points", ha="right", va="center", annotation_clip=False,
        )  # fmt: skip
    axes.annotate(
        "n", (0, len(order) - 0.4), (-6, 2), xycoords=("axes fraction", "data"), size=8,
        textcoords="offset points", ha="right", va="bottom", annotation_clip=False, style="italic",
    )  # fmt: skip
    axes.set_ylim(-0.6, len(order) - 0.4)


def _rates(axes: Axes, rows: pd.DataFrame, labels: pd.Series) -> None:
    rows = rows.reindex(labels)
    places = np.arange(len(rows))
    for place in places[::2]:
        axes.axhspan(place - 0.5, place + 0.5, color=GREY, alpha=0.07, lw=0, zorder=0)
    defined = rows["value"].notna().to_numpy()
    axes.errorbar(
        rows["value"][defined], places[defined], xerr=interval_arms(rows[defined]), ls="",
        color=BLUE, marker="o", ms=5.5, elinewidth=1.5, capsize=2, label="rates", zorder=3,
    )  # fmt: skip
    for place in places[~defined]:
        axes.text(
            0.03, place, "undefined", va="center", size=8, style="italic", color="#505050",
            zorder=3,
        )  # fmt: skip


def _baseline_ticks(axes: Axes, rows: pd.DataFrame, labels: pd.Series) -> None:
    values = rows["value"].reindex(labels)
    axes.plot(
        values, np.arange(len(values)), ls="", marker="|", ms=7, mew=1.5, color="#8A8A8A",
        label=MAJORITY, zorder=2,
    )  # fmt: skip


def _means(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw published means as lines, the lower named to the left of its line, others right."""
    for place, row in enumerate(rows.sort_values("value").itertuples()):
        tuned = "FT" in row.model
        share = row.value / 100
        axes.axvline(
            share, color=BLUE if tuned else BLACK, lw=1.2, ls="-" if tuned else (0, (4, 2)),
            zorder=1, gid="published mean",
        )  # fmt: skip
        name = "fine-tuned" if tuned else row.model
        note = axes.annotate(
            f"{name}\n{row.value:g}", (share, 1), (-2 if place == 0 else 2, 3),
            xycoords=("data", "axes fraction"), textcoords="offset points", size=8,
            ha="right" if place == 0 else "left", va="bottom", linespacing=0.95,
            color=BLUE if tuned else BLACK, annotation_clip=False,
        )  # fmt: skip
        note.set_in_layout(False)


def _percent_axis(axes: Axes) -> None:
    axes.set_xlim(-0.03, 1.03)
    axes.xaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f}"))
    axes.set_xlabel("Percent")
    vertical_grid_only(axes)


@styled
def per_dimension_swap(
    table: pd.DataFrame,
    models: Mapping[str, str],
    *,
    pairs: Sequence[Pair] = PAIRS,
    named: int = 4,
) -> Figure:
    """What is printed for each dimension against what its name means.

    Points on the diagonal would be right. Triangles point to where the print errs; the dimensions
    with the largest differences are named, and those with an undefined value are counted.

    Parameters
    ----------
    table : DataFrame
        fname, dimension, and the columns of `pairs`; shares between 0 and 1.
    models : fname -> readable name: one column of panels each.
    pairs : (printed column, right column, name) of each row of panels.
    named : how many dimensions a panel names.

    Raises
    ------
    FigureError
        If the table lacks a column or a model.
    """
    columns = [column for printed, right, _ in pairs for column in (printed, right)]
    require(table, ["fname", "dimension", *columns], "rates by dimension")
    if missing := sorted(set(models) - set(table["fname"])):
        raise FigureError(f"rates by dimension: no rows of {', '.join(missing)}")
    figure, grid = panels(len(pairs), len(models), 1.4 + 3.9 * len(pairs), sharex=True, sharey=True)
    labels = []
    for axes_row, (printed, right, name) in zip(grid, pairs, strict=True):
        for axes, (fname, model) in zip(axes_row, models.items(), strict=True):
            part = table[table["fname"] == fname].rename(columns={printed: "x", right: "y"})
            labels.append((axes, *_shifts(axes, part[["dimension", "x", "y"]], named)))
            sample = " (in-sample)" if _in_sample(table, fname) else ""
            axes.set_title(f"{name}: {model}{sample}", weight="bold", size=9.5, pad=20)
            axes.set(xlabel=f"Printed as {name.lower()}", ylabel=f"{name}, right")
            axes.tick_params(labelbottom=True, labelleft=True)
    grid[0, 0].set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    figure.supxlabel("\n".join(textwrap.wrap(SWAP_NOTE, 150)), x=0.01, ha="left", size=8)
    headline(figure, "What the authors’ table prints for each dimension, and what is right", False)
    figure.draw_without_rendering()
    for axes, written, points in labels:
        place_labels(axes, written, [[(0, 0), (1, 1)]], points)
    return figure


def _in_sample(table: pd.DataFrame, fname: str) -> bool:
    return "in_sample" in table and bool(table.loc[table["fname"] == fname, "in_sample"].all())


def _shifts(
    axes: Axes, part: pd.DataFrame, named: int
) -> tuple[list[Label], list[tuple[float, float]]]:
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, zorder=1, gid="diagonal")
    defined = part.dropna().copy()
    defined["shift"] = defined["x"] - defined["y"]
    for sign, marker, colour in ((1, ">", VERMILLION), (-1, "^", BLUE)):
        rows = defined[sign * defined["shift"] > 0]
        axes.plot(
            rows["x"], rows["y"], ls="", marker=marker, ms=6, color=colour, mec="white", mew=0.6,
            label="printed too high" if sign > 0 else "printed too low",
        )  # fmt: skip
    exact = defined[defined["shift"] == 0]
    axes.plot(exact["x"], exact["y"], ls="", marker="o", ms=5, color=ORANGE, label="right")
    counts = {
        "too high (▶)": (defined["shift"] > 0).sum(),
        "too low (▲)": (defined["shift"] < 0).sum(),
        "right (●)": len(exact),
        "undefined": len(part) - len(defined),
    }
    text = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    note = axes.annotate(
        f"of {len(part)} dimensions: {text}", (0, 1), (0, 5), size=8.5, color="#505050",
        xycoords="axes fraction", textcoords="offset points",
    )  # fmt: skip
    note.set_in_layout(False)
    far = defined.reindex(defined["shift"].abs().sort_values(ascending=False, kind="stable").index)
    labels = [
        Label(row.dimension, ((row.x, row.y),), BLACK, size=8)
        for row in far.head(named).itertuples()
    ]
    return labels, list(zip(defined["x"], defined["y"], strict=True))
