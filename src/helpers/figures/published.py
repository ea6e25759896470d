"""Figures of the published values: another background and title, none of our own results."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from helpers.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PUBLISHED_BACKGROUND,
    PURPLE,
    headline,
    horizontal_grid_only,
    panels,
    require,
    styled,
    vertical_grid_only,
)

TITLE = "Published values (Carammia, Iacus & Porro 2024)"
FAMILIES = {
    "Llama 2": (BLUE, "o"),
    "Llama 3": (ORANGE, "s"),
    "Llama 3.1": (GREEN, "^"),
    "Llama 3.2": (PURPLE, "D"),
    "ChatGPT-4": (BLACK, "*"),
}
STATISTICS = {"jac": "Jaccard", "ham": "Hamming loss", "accD": "Accuracy on dimensions"}
TICKS = {1: "1B", 7: "7B", 70: "70B", 405: "405B", 1760: "1760B*"}


@styled
def published_panel(values: pd.DataFrame, statistics: tuple[str, ...] = ("jac", "ham")) -> Figure:
    """Published statistics on the flourishing posts against the number of parameters.

    Parameters
    ----------
    values : DataFrame
        As `helpers.published.published_flourishing` returns it.
    statistics : tuple of {"jac", "ham", "accD"}
        One row of panels each; columns are the training and the test posts.
    """
    columns = ["split", "family", "parameters_billion", "fine_tuned", *statistics]
    require(values, columns, "published values")
    figure, grid = panels(
        len(statistics), 2, 1.5 + 2.5 * len(statistics), sharex=True, sharey="row"
    )
    figure.set_facecolor(PUBLISHED_BACKGROUND)
    for row, statistic in zip(grid, statistics, strict=True):
        for axes, split in zip(row, ("train", "test"), strict=True):
            part = values[values["split"] == split].sort_values("parameters_billion")
            _published_points(axes, part, statistic)
            note = (
                "training posts, in-sample for fine-tuned models"
                if split == "train"
                else "test posts"
            )
            axes.set_title(note)
        row[0].set_ylabel(STATISTICS[statistic])
    for axes in grid[-1]:
        axes.set_xscale("log")
        axes.set_xticks(list(TICKS), list(TICKS.values()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(0.75, 3000)
        axes.set_xlabel("Parameters (log scale)")
    figure.legend(
        handles=_legend(), loc="outside lower center", ncols=7, columnspacing=1.2, handletextpad=0.3
    )
    headline(figure, f"{TITLE}: flourishing posts", False)
    figure.text(0.99, 0.985, "* as the article draws it: a guess", ha="right", va="top", size=8.5)
    return figure


def _published_points(axes: Axes, part: pd.DataFrame, statistic: str) -> None:
    for (family, tuned), group in part.groupby(["family", "fine_tuned"], sort=True):
        colour, marker = FAMILIES[str(family)]
        axes.plot(
            group["parameters_billion"], group[statistic], "-" if tuned else ":", color=colour,
            marker=marker, ms=12 if marker == "*" else 7, lw=1.2,
            markerfacecolor=colour if tuned or marker == "*" else "white",
        )  # fmt: skip
    axes.set_facecolor(PUBLISHED_BACKGROUND)
    horizontal_grid_only(axes)
    axes.grid(color="#DDD5C0", axis="y")


def _legend() -> list[Line2D]:
    entries = [
        Line2D(
            [], [], color=colour, marker=marker, ls="", ms=10 if marker == "*" else 7, label=family
        )
        for family, (colour, marker) in FAMILIES.items()
    ]
    for label, face, line in (("fine-tuned", BLACK, "-"), ("base", "white", ":")):
        entries.append(
            Line2D([], [], color=BLACK, marker="o", markerfacecolor=face, ls=line, label=label)
        )
    return entries


@styled
def published_headline_panel(values: pd.DataFrame) -> Figure:
    """Published headline numbers for the CAP and Dataverse case studies, one panel a metric.

    Parameters
    ----------
    values : DataFrame
        As `helpers.published.published_headlines` returns it.
    """
    require(values, ["task", "model", "metric", "value", "precision", "fine_tuned"], "headlines")
    titles = {
        ("cap", "accuracy"): "CAP: accuracy",
        ("cap", "mean_balanced_accuracy"): "CAP: mean balanced accuracy",
        ("dataverse", "any_right"): "Dataverse: at least one subject right",
    }
    groups = [
        (titles[key], values[(values["task"] == key[0]) & (values["metric"] == key[1])])
        for key in titles
    ]
    ratios = [len(group) + 0.6 for _, group in groups]
    figure, grid = panels(
        len(groups), 1, 1.6 + 0.44 * sum(ratios), sharex=True, height_ratios=ratios
    )
    figure.set_facecolor(PUBLISHED_BACKGROUND)
    for axes, (name, group) in zip(grid[:, 0], groups, strict=True):
        group = group.sort_values("value")
        colours = [BLUE if tuned else BLACK for tuned in group["fine_tuned"]]
        axes.barh(range(len(group)), group["value"], color=colours, height=0.6)
        for place, row in enumerate(group.itertuples()):
            text = f"{row.value:g}%" if row.precision == "printed" else f"about {row.value:g}%"
            axes.annotate(text, (row.value, place), (4, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(group)), group["model"])
        axes.set(title=name, xlim=(0, 108), ylim=(-0.6, len(group) - 0.4))
        axes.set_facecolor(PUBLISHED_BACKGROUND)
        vertical_grid_only(axes)
        axes.grid(color="#DDD5C0", axis="x")
    grid[-1, 0].set_xlabel("Percent (fine-tuned models in blue)")
    headline(figure, f"{TITLE}: headline numbers", False)
    return figure
