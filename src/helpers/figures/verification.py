"""Figures of the human review: acceptance, what the crowd missed, what the labels are worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from helpers.figures.comparison import interval_arms
from helpers.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    FigureError,
    headline,
    horizontal_grid_only,
    panels,
    require,
    shorten,
    styled,
    vertical_grid_only,
)
from helpers.metrics import METRIC_NAMES

Names = Mapping[str, str] | None

ALL = "all"
CODER_LOOKS = (
    *((BLUE, "o"), (VERMILLION, "s"), (GREEN, "D"), (PURPLE, "^")),
    *((ORANGE, "v"), (SKY, "P"), (GREY, "X")),
)


def _title(figure: Figure, title: str, simulated: bool, embedded: bool) -> None:
    """Set the title; decisions of simulated coders say so."""
    headline(figure, f"{title}, simulated coders" if simulated else title, embedded)


def _looks(coders: list[str]) -> dict[str, tuple[str, str]]:
    single = [coder for coder in coders if coder != ALL]
    if len(single) > len(CODER_LOOKS):
        raise FigureError(
            f"{len(single)} coders are too many for one figure: show {len(CODER_LOOKS)} at most"
        )
    looks = dict(zip(single, CODER_LOOKS, strict=False))
    return {coder: looks.get(coder, (BLACK, "h")) for coder in coders}


@styled
def acceptance_rates(
    rates: pd.DataFrame,
    title: str,
    *,
    names: Names = None,
    simulated: bool = False,
    embedded: bool = False,
) -> Figure:
    """Share of each labeller's proposals that a coder accepts, with 95% intervals.

    Parameters
    ----------
    rates : DataFrame
        Columns labeller, coder, rate, ci_low, ci_high, judged (number of proposals), as
        `helpers.verification.summary.acceptance_rates` returns them; ``all`` stands for all
        labellers or coders. Labellers from top to bottom in the order of the table.
    title : str
    names : mapping of labeller to readable name, optional
    simulated : bool
        Whether the coders are simulated, which the title then says.
    embedded : bool
    """
    columns = ["labeller", "coder", "rate", "ci_low", "ci_high", "judged"]
    require(rates, columns, "acceptance rates")
    rates = rates.rename(columns={"rate": "value"})
    labellers = list(dict.fromkeys(rates["labeller"]))
    looks = _looks(list(dict.fromkeys(rates["coder"])))
    step = 0.7 / max(len(looks), 2)
    row_height = max(0.42, 0.17 * len(looks))
    figure, grid = panels(1, 1, 1.6 + row_height * len(labellers))
    axes = grid[0, 0]
    top = {name: len(labellers) - 1 - place for place, name in enumerate(labellers)}
    for number, (coder, (colour, marker)) in enumerate(looks.items()):
        rows = rates[rates["coder"] == coder]
        shift = ((len(looks) - 1) / 2 - number) * step
        height = np.array([top[name] + shift for name in rows["labeller"]])
        axes.errorbar(
            rows["value"], height, xerr=interval_arms(rows), ls="", color=colour, marker=marker,
            ms=5.5, elinewidth=1.5, capsize=2.5,
            label="all coders" if coder == ALL else coder,
        )  # fmt: skip
        for place, row in zip(height, rows.itertuples(), strict=True):
            words = f"{row.value:.0%} of {row.judged:,}" if row.judged else "none judged"
            axes.annotate(
                words, (1.01, place), xycoords=("axes fraction", "data"), va="center",
                size=8, color=colour, annotation_clip=False,
            )  # fmt: skip
    known = {ALL: "all labellers", **(names or {})}
    readable = [shorten(known.get(name, name), 40) for name in labellers]
    axes.set_yticks([top[name] for name in labellers], readable)
    axes.set(
        xlabel="Accepted proposals, 95% interval",
        xlim=(-0.02, 1.02),
        ylim=(-0.6, len(labellers) - 0.4),
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    vertical_grid_only(axes)
    figure.legend(loc="outside lower center", ncols=min(len(looks), 5))
    _title(figure, title, simulated, embedded)
    return figure


@styled
def pool_recall(
    audit: pd.DataFrame,
    title: str,
    *,
    names: Names = None,
    simulated: bool = False,
    embedded: bool = False,
) -> Figure:
    """Share of all labels that the crowd proposed, estimated from the blind audit, per task.

    Parameters
    ----------
    audit : DataFrame
        Columns task, estimate, ci_low, ci_high and texts (audited), one row per task: the rows
        ``labels found`` of `helpers.verification.audit.pool_recall`. A column gold, the recall
        in all texts where gold labels are known, is drawn as crosses.
    title : str
    names : mapping of task to readable name, optional
    simulated, embedded : bool
    """
    require(audit, ["task", "estimate", "ci_low", "ci_high", "texts"], "recall of the pool")
    audit = audit.rename(columns={"estimate": "value"})
    figure, grid = panels(1, 1, 1.7 + 0.5 * len(audit))
    axes = grid[0, 0]
    height = np.arange(len(audit))[::-1]
    axes.errorbar(
        audit["value"], height, xerr=interval_arms(audit), ls="", color=BLUE, marker="o", ms=7,
        elinewidth=1.8, capsize=4, label="blind audit, 95% interval",
    )  # fmt: skip
    if "gold" in audit and audit["gold"].notna().any():
        axes.plot(
            audit["gold"],
            height,
            "x",
            color=VERMILLION,
            ms=8,
            mew=2,
            label="gold labels, all texts",
        )
    for place, row in zip(height, audit.itertuples(), strict=True):
        words = "undefined" if np.isnan(row.value) else f"{row.value:.1%}"
        axes.annotate(
            f"{words}, {row.texts:,} texts", (1.01, place), xycoords=("axes fraction", "data"),
            va="center", size=8.5, annotation_clip=False,
        )  # fmt: skip
    tasks = [shorten((names or {}).get(task, task), 40) for task in audit["task"]]
    axes.set_yticks(height, tasks)
    axes.set(xlabel="Share of the labels that apply which the crowd proposed", xlim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(-0.6, len(audit) - 0.4)
    vertical_grid_only(axes)
    figure.legend(loc="outside lower center", ncols=2)
    _title(figure, title, simulated, embedded)
    return figure


@styled
def label_sources(
    sources: pd.DataFrame,
    title: str,
    *,
    metric: str = "accuracy",
    baseline: tuple[str, float] | None = None,
    names: Names = None,
    simulated: bool = False,
    embedded: bool = False,
) -> Figure:
    """Score of one model trained on labels from several sources, beside what the labels cost.

    Parameters
    ----------
    sources : DataFrame
        Columns source, value, ci_low, ci_high, n (test texts), n_train (training texts) and
        weighed (labels that coders had to weigh); from top to bottom as in the table.
    title : str
    metric : str
        What `value` is.
    baseline : (name, value), optional
        Drawn as a vertical line.
    names : mapping of source to readable name, optional
    simulated, embedded : bool
    """
    columns = ["source", "value", "ci_low", "ci_high", "n", "n_train", "weighed"]
    require(sources, columns, "label sources")
    figure, grid = panels(1, 2, 1.7 + 0.5 * len(sources), sharey=True, width_ratios=[1.5, 1])
    left, right = grid[0]
    height = np.arange(len(sources))[::-1]
    left.errorbar(
        sources["value"], height, xerr=interval_arms(sources), ls="", color=BLUE, marker="o",
        ms=7, elinewidth=1.8, capsize=4,
    )  # fmt: skip
    for place, row in zip(height, sources.itertuples(), strict=True):
        left.annotate(
            f"{row.value:.3f}", (row.value, place), (0, 8), textcoords="offset points",
            ha="center", size=8.5,
        )  # fmt: skip
    if baseline is not None:
        name, value = baseline
        left.axvline(value, color=GREY, lw=1.2, ls=(0, (4, 2)), label=f"{name} ({value:.3f})")
        figure.legend(loc="outside lower center")
    left.margins(x=0.12)
    n = int(sources["n"].iloc[0])
    left.set(xlabel=f"{METRIC_NAMES.get(metric, metric)} (test, {n:,} texts), 95% interval")
    labels = [
        f"{shorten((names or {}).get(row.source, row.source), 34)}\n{row.n_train:,} training texts"
        for row in sources.itertuples()
    ]
    left.set_yticks(height, labels)
    left.set_ylim(-0.6, len(sources) - 0.3)
    _effort_bars(right, sources["weighed"], height)
    vertical_grid_only(left)
    _title(figure, title, simulated, embedded)
    return figure


def _effort_bars(axes: Axes, weighed: pd.Series, height: np.ndarray) -> None:  # type: ignore[type-arg]
    axes.barh(height, weighed, 0.5, color=ORANGE)
    for place, count in zip(height, weighed, strict=True):
        axes.annotate(
            f"{count:,}", (count, place), (4, 0), textcoords="offset points", va="center", size=8.5
        )
    axes.set(xlabel="Labels that coders had to weigh")
    axes.set_xlim(0, 1.25 * max(1, int(weighed.max())))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    vertical_grid_only(axes)


@styled
def decision_pace(
    pace: pd.DataFrame,
    title: str,
    *,
    simulated: bool = False,
    embedded: bool = False,
) -> Figure:
    """Decisions made against minutes of work, one line per coder.

    Parameters
    ----------
    pace : DataFrame
        Columns coder, minutes and decisions, both counted from the coder's start.
    title : str
    simulated, embedded : bool
    """
    require(pace, ["coder", "minutes", "decisions"], "pace of decisions")
    looks = _looks(list(dict.fromkeys(pace["coder"])))
    figure, grid = panels(1, 1, 3.6)
    axes = grid[0, 0]
    for coder, (colour, marker) in looks.items():
        rows = pace[pace["coder"] == coder].sort_values(["minutes", "decisions"])
        axes.step(rows["minutes"], rows["decisions"], where="post", color=colour, lw=1.6)
        axes.plot(
            rows["minutes"].iloc[-1:], rows["decisions"].iloc[-1:], marker, color=colour,
            label=f"{coder}: {int(rows['decisions'].iloc[-1]):,} decisions in "
            f"{rows['minutes'].iloc[-1]:,.0f} minutes",
        )  # fmt: skip
    axes.set(xlabel="Minutes of work", ylabel="Decisions", xlim=(0, None), ylim=(0, None))
    horizontal_grid_only(axes)
    axes.legend(loc="upper left")
    _title(figure, title, simulated, embedded)
    return figure
