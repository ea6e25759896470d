"""Figures of the human coding: who accepted how much of what."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from helpers.figures.comparison import interval_arms
from helpers.figures.style import (
    BLACK,
    BLUE,
    VERMILLION,
    FigureError,
    headline,
    panels,
    require,
    styled,
    vertical_grid_only,
)

ALL = "all"
LLM_NAMES = {"GPT4": "GPT-4", "LLAMA2": "LLAMA-2"}
LLM_LOOKS = {"GPT4": (BLUE, "o"), "LLAMA2": (VERMILLION, "s")}
_LOOKS = {**LLM_LOOKS, ALL: (BLACK, "o")}
FEW = 10  # posts: below, an interval over posts is too narrow
_SHARE = ["n", "n_posts", "share", "ci_low", "ci_high"]


@styled
def coder_acceptance(acceptance: pd.DataFrame, strictness: pd.DataFrame, title: str) -> Figure:
    """Share of proposals that each coder accepts, by model; and of one and the same mix.

    Parameters
    ----------
    acceptance : DataFrame
        grouping, coder, llm, n, n_posts, share, ci_low, ci_high, as
        `helpers.audit.coding.acceptance.acceptance` returns it.
    strictness : DataFrame
        coder, adjusted_for, share, ci_low, ci_high, n, as `coder_strictness` returns it; the last
        adjustment is drawn.
    title : str

    Raises
    ------
    FigureError
        If a table lacks a column or rows, or the proposals have other than known models.
    """
    require(acceptance, ["grouping", "coder", "llm", *_SHARE], "acceptance")
    require(strictness, ["coder", "adjusted_for", *_SHARE], "strictness of coders")
    coders = [*sorted(acceptance.loc[acceptance["grouping"] == "coder", "coder"]), ALL]
    height = {coder: len(coders) - 1 - place for place, coder in enumerate(coders)}
    figure, grid = panels(
        1, 2, 1.9 + 0.52 * len(coders), sharey=True, gridspec_kw={"width_ratios": [1.55, 1]}
    )
    left, right = grid[0]
    known = _known(acceptance)
    for llm, shift in _shifts(known, 0.17):
        grouping = ["coder", ALL] if llm == ALL else ["coder x llm", "llm"]
        rows = acceptance[acceptance["grouping"].isin(grouping) & (acceptance["llm"] == llm)]
        rows = rows.rename(columns={"share": "value"})
        y = np.array([height[coder] for coder in rows["coder"]]) + shift
        draw_marks(left, rows, y, *_LOOKS[llm])
        overall = rows.loc[rows["coder"] == ALL, "value"].iloc[0]
        left.axvline(overall, color=_LOOKS[llm][0], lw=1, ls=(0, (2, 2)), zorder=1)
        _counts(left, rows, y, _LOOKS[llm][0], "{:.0%} of {:,}")
    last = strictness["adjusted_for"].iloc[-1]
    rows = strictness[strictness["adjusted_for"] == last].rename(columns={"share": "value"})
    y = np.array([height[coder] for coder in rows["coder"]], dtype=float)
    draw_marks(right, rows, y, BLACK, "o")
    overall = rows.loc[rows["coder"] == ALL, "value"].iloc[0]
    right.axvline(overall, color=BLACK, lw=1, ls=(0, (2, 2)), zorder=1)
    _counts(right, rows, y, BLACK, "{:.0%}")
    named = [f"coder {coder}" if coder != ALL else "all coders" for coder in coders]
    left.set_yticks([height[coder] for coder in coders], named)
    left.set_ylim(-0.6, len(coders) - 0.4)
    left.set_title("As proposed to them")
    right.set_title("The same mix of proposals")
    for axes in (left, right):
        _percent(axes)
    given = last.replace("llm", "model").replace("value", "level")
    _llm_legend(figure, known)
    add_note(
        figure,
        f"95% intervals over posts. Right: regression adjusted for {given}. Dashed: all coders.",
    )
    headline(figure, title, False)
    return figure


@styled
def dimension_acceptance(acceptance: pd.DataFrame, title: str) -> Figure:
    """Share of accepted proposals of each dimension, by model, sorted by the share of both.

    Parameters
    ----------
    acceptance : as in `coder_acceptance`.
    title : str

    Raises
    ------
    FigureError
        If the table lacks a column, or has no rows by dimension.
    """
    require(acceptance, ["grouping", "dimension", "llm", *_SHARE], "acceptance")
    pooled = acceptance[acceptance["grouping"] == "dimension"].sort_values(
        ["share", "dimension"], kind="stable"
    )
    require(pooled, [], "acceptance by dimension")
    height = {name: place for place, name in enumerate(pooled["dimension"])}
    figure, grid = panels(1, 1, 1.6 + 0.235 * len(height))
    axes = grid[0, 0]
    axes.hlines(list(height.values()), 0, 1, color="#EEEEEE", lw=0.8, zorder=0)
    y = np.array([height[name] for name in pooled["dimension"]], dtype=float)
    axes.plot(pooled["share"], y, ls="", marker="|", ms=9, mew=2, color=BLACK, zorder=2)
    known = _known(acceptance)
    for place, (llm, shift) in enumerate(_shifts(known, 0.16)):
        grouping = "dimension" if llm == ALL else "dimension x llm"
        rows = acceptance[(acceptance["grouping"] == grouping) & (acceptance["llm"] == llm)]
        rows = rows.rename(columns={"share": "value"})
        y = np.array([height[name] for name in rows["dimension"]]) + shift
        few = (rows["n_posts"] < FEW).to_numpy()
        colour, marker = _LOOKS[llm]
        draw_marks(axes, rows[~few], y[~few], colour, marker, size=4.5)
        axes.plot(
            rows.loc[few, "value"], y[few], ls="", marker=marker, ms=4.5, mfc="white", mec=colour
        )
        x = 1.06 + 0.1 * place
        axes.text(
            x, len(height) - 0.2, f"n\n{LLM_NAMES.get(llm, llm)}", ha="right", va="bottom",
            transform=axes.get_yaxis_transform(), size=7.5, color=colour,
        )  # fmt: skip
        for name, n in zip(rows["dimension"], rows["n"], strict=True):
            axes.text(
                x, height[name], f"{n:,}", transform=axes.get_yaxis_transform(), ha="right",
                va="center", size=7.5, color=colour,
            )  # fmt: skip
    axes.set_yticks(list(height.values()), list(height), size=8.5)
    axes.set_ylim(-0.7, len(height) - 0.3)
    _percent(axes)
    _llm_legend(figure, known, Line2D([], [], ls="", marker="|", ms=9, mew=2, color=BLACK))
    add_note(
        figure,
        f"95% intervals over posts. Hollow, without interval: under {FEW} posts. n: decisions.",
    )
    headline(figure, title, False)
    return figure


def _known(acceptance: pd.DataFrame) -> list[str]:
    found = sorted(set(acceptance["llm"]) - {ALL})
    if unknown := [name for name in found if name not in LLM_LOOKS]:
        raise FigureError(f"acceptance: no look for proposals of {', '.join(unknown)}")
    return found


def _shifts(llms: list[str], step: float) -> list[tuple[str, float]]:
    """Return each model and how far above its row it stands; all in one where none is named."""
    if not llms:
        return [(ALL, 0.0)]
    return [(llm, step * (len(llms) - 1 - 2 * place)) for place, llm in enumerate(llms)]


def draw_marks(
    axes: Axes,
    rows: pd.DataFrame,
    y: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    colour: str,
    marker: str,
    size: float = 6,
) -> None:
    """Draw the column value with its interval (ci_low, ci_high) at the heights y."""
    axes.errorbar(
        rows["value"], y, xerr=interval_arms(rows), ls="", color=colour, marker=marker, ms=size,
        elinewidth=1.4, capsize=2,
    )  # fmt: skip


def _counts(
    axes: Axes,
    rows: pd.DataFrame,
    y: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    colour: str,
    words: str,
) -> None:
    for place, row in zip(y, rows.itertuples(), strict=True):
        axes.annotate(
            words.format(row.value, row.n), (1.01, place), xycoords=("axes fraction", "data"),
            va="center", size=8, color=colour, annotation_clip=False,
        )  # fmt: skip


def _percent(axes: Axes) -> None:
    axes.set(xlabel="Accepted proposals", xlim=(-0.02, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    vertical_grid_only(axes)


def _llm_legend(figure: Figure, llms: list[str], both: Line2D | None = None) -> None:
    handles = [
        Line2D([], [], ls="", color=LLM_LOOKS[llm][0], marker=LLM_LOOKS[llm][1]) for llm in llms
    ]
    labels = [f"proposed by {LLM_NAMES[llm]}" for llm in llms]
    if both is not None:
        handles, labels = [*handles, both], [*labels, "both models"]
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3)


def add_note(figure: Figure, text: str, legend_rows: int = 1) -> None:
    """Write a note above the legend: both go to the lower edge, so empty lines keep them apart."""
    lines = [*textwrap.wrap(text, 140), *[""] * (2 * legend_rows)]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", size=8)
