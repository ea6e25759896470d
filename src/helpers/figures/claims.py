"""The audit's two summaries: what became of the claims, and of the published values."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    WIDTH,
    FigureError,
    headline,
    panels,
    require,
    spread,
    styled,
    vertical_grid_only,
)


@dataclass(frozen=True)
class Look:
    """How a verdict is shown: never by colour alone."""

    symbol: str
    fill: str
    ink: str


CLAIM_LOOKS = {
    "holds": Look("✔", GREEN, "white"),
    "holds with a caveat": Look("!", ORANGE, BLACK),
    "does not hold": Look("✘", VERMILLION, "white"),
    "can't be judged from the archive": Look("?", GREY, "white"),
}
VALUE_LOOKS = {
    "exact": Look("✔", BLUE, "white"),
    "within rounding": Look("≈", SKY, BLACK),
    "differs": Look("✘", VERMILLION, "white"),
    "not recomputable": Look("?", "#D0D0D0", BLACK),
    "not run: archive absent": Look("–", "#E8E8E8", BLACK),
}
LINE = 0.165  # inches
PER_LETTER = 1.4  # percent of a bar that a letter takes
# Left edges in inches and widths in characters of the columns: verdict, claim, deciding figure.
EDGES, WIDTHS = (0.1, 1.75, 4.75), (16, 43, 61)


@styled
def claims_table(
    claims: pd.DataFrame,
    *,
    claim: str = "claim",
    verdict: str = "verdict",
    figure: str = "figure",
    needs: str = "needs",
    title: str = "The article’s claims, and what the archive says",
) -> Figure:
    """Each claim with its verdict and the figure that decides it, as a table to be read.

    Parameters
    ----------
    claims : DataFrame
        One row a claim, in the order wanted.
    claim, verdict, figure, needs : columns: the claim in words; one of `CLAIM_LOOKS`; the figure
        that decides, may be empty; what a better verdict would need, may be empty.
    title : str

    Raises
    ------
    FigureError
        If the table lacks a column, has no row, or has another verdict.
    """
    require(claims, [claim, verdict, figure, needs], "claims")
    _known(claims[verdict], CLAIM_LOOKS, "claims")
    wrap = partial(textwrap.wrap, break_on_hyphens=False)  # file names and ranges stay whole
    rows = [
        (
            CLAIM_LOOKS[row[verdict]],
            wrap(str(row[verdict]), WIDTHS[0]),
            wrap(_text(row[claim]), WIDTHS[1]),
            wrap(_text(row[figure]), WIDTHS[2]),
            wrap(f"needs {_text(row[needs])}", WIDTHS[2]) if _text(row[needs]) else [],
        )
        for _, row in claims.iterrows()
    ]
    heights = [LINE * max(len(a), len(b), len(c) + len(d), 2) + 0.14 for _, a, b, c, d in rows]
    drawn, grid = panels(1, 1, 0.85 + sum(heights))
    axes = grid[0, 0]
    axes.set(xlim=(0, WIDTH - 0.2), ylim=(sum(heights), -0.32))
    axes.axis("off")
    for edge, name in zip(EDGES, ("Verdict", "Claim", "What decides it"), strict=True):
        axes.text(edge, -0.16, name, weight="bold", va="center", size=9)
    top = 0.0
    for (look, said, claimed, decides, lacking), height in zip(rows, heights, strict=True):
        axes.axhline(top, color="#CFCFCF", lw=0.8)
        first = top + 0.07
        _badge(axes, look, EDGES[0], first + LINE * len(said) / 2)
        _lines(axes, EDGES[0] + 0.38, first, said, weight="bold", color=BLACK)
        _lines(axes, EDGES[1], first, claimed, color=BLACK)
        _lines(axes, EDGES[2], first, decides, color="#333333")
        below = first + LINE * len(decides)
        _lines(axes, EDGES[2], below, lacking, color="#606060", style="italic")
        top += height
    headline(drawn, title, False)
    return drawn


def _text(value: object) -> str:
    """A cell as text; empty where there is none."""
    return "" if pd.isna(value) else str(value).strip()  # type: ignore[call-overload]


def _known(verdicts: pd.Series, looks: dict[str, Look], what: str) -> None:
    if unknown := sorted(set(verdicts.astype("str")) - set(looks)):
        raise FigureError(
            f"{what}: unknown verdict {', '.join(unknown)}: it must be one of {', '.join(looks)}"
        )


def _badge(axes: Axes, look: Look, x: float, y: float) -> None:
    axes.text(
        x + 0.12, y, look.symbol, color=look.ink, size=10, weight="bold", ha="center", va="center",
        bbox={"boxstyle": "circle,pad=0.25", "fc": look.fill, "ec": "none"},
    )  # fmt: skip


def _lines(axes: Axes, x: float, top: float, lines: list[str], **font: str) -> None:
    for place, line in enumerate(lines):
        axes.text(x, top + LINE * (place + 0.5), line, size=8.5, va="center", **font)  # type: ignore[arg-type]


@styled
def certificate_bars(
    counts: pd.DataFrame, *, title: str = "Published values, recomputed from the archive"
) -> Figure:
    """How many values of each exhibit are exact, within rounding, different, not recomputable.

    Every bar has the same length, since exhibits have from a handful to thousands of values; the
    numbers are written in the bars, or above where a part is too narrow.

    Parameters
    ----------
    counts : DataFrame
        As `helpers.published.certificate.certificate_counts` returns it: exhibit, values, and a
        column of counts for each verdict of `VALUE_LOOKS`.
    title : str

    Raises
    ------
    FigureError
        If the table lacks a column, has no value at all, or has an exhibit twice.
    """
    require(counts, ["exhibit", *VALUE_LOOKS], "certificate")
    if counts["exhibit"].duplicated().any():
        raise FigureError("certificate: an exhibit stands in the table twice")
    wide = counts.set_index("exhibit")[list(VALUE_LOOKS)].fillna(0).astype(int)[::-1]
    wide = wide.loc[wide.sum(axis=1) > 0, wide.sum() > 0]
    require(wide, [], "certificate: no value at all")
    figure, grid = panels(1, 1, 1.35 + 0.5 * len(wide))
    axes = grid[0, 0]
    _stacked(axes, wide)
    labels = [
        f"{textwrap.fill(str(name), 36)} ({total:,})" for name, total in wide.sum(axis=1).items()
    ]
    axes.set_yticks(range(len(wide)), labels)
    axes.set(xlim=(0, 100), ylim=(-0.55, len(wide) - 0.3), xlabel="Percent of the exhibit’s values")
    vertical_grid_only(axes)
    handles, keys = axes.get_legend_handles_labels()
    figure.legend(handles, keys, loc="outside lower center", ncols=len(keys), columnspacing=1.4)
    headline(figure, title, False)
    return figure


def _stacked(axes: Axes, wide: pd.DataFrame) -> None:
    shares = 100 * wide.div(wide.sum(axis=1), axis=0)
    starts = shares.cumsum(axis=1) - shares
    for verdict in wide:
        look = VALUE_LOOKS[str(verdict)]
        axes.barh(
            range(len(wide)), shares[verdict], left=starts[verdict], color=look.fill, height=0.56,
            edgecolor="white", lw=0.8, label=f"{look.symbol} {verdict}",
        )  # fmt: skip
    for place in range(len(wide)):
        narrow: list[tuple[float, str]] = []
        for verdict in wide:
            look, number = VALUE_LOOKS[str(verdict)], int(wide[verdict].iloc[place])
            width = shares[verdict].iloc[place]
            middle = starts[verdict].iloc[place] + width / 2
            text = f"{look.symbol} {number:,}"
            if number and width >= PER_LETTER * len(text):
                axes.text(middle, place, text, ha="center", va="center", size=8.5, color=look.ink)
            elif number:
                narrow.append((middle, text))
        gap = PER_LETTER * max((len(text) for _, text in narrow), default=0)
        # As far from the edges as half a text is wide.
        free = spread([middle for middle, _ in narrow], gap, gap / 2, 100 - gap / 2)
        for x, (_, text) in zip(free, narrow, strict=True):
            axes.text(x, place + 0.28, text, ha="center", va="bottom", size=8, color=BLACK)
