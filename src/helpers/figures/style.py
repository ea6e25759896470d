"""The look that all figures share, and the one function that saves them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.runs import HelpersError, atomic_path

# Okabe & Ito's palette, which stays distinguishable with colour-blind vision.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#222222", "#767676"
PUBLISHED_BACKGROUND = "#F6F0E2"
WIDTH = 9.0  # inches: 900 pixels at 100 dpi, where the smallest text is 10 pixels high

KIND_COLOURS = {"fine-tuned": BLUE, "base": VERMILLION, "baseline": GREY, "endpoint": GREEN}
KIND_MARKERS = {"fine-tuned": "o", "base": "s", "baseline": "D", "endpoint": "^"}
KIND_NAMES = {"endpoint": "crowd, endpoint or archive"}

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": BLACK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#E4E4E4",
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "rethinking-scale",
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}

Parameters = ParamSpec("Parameters")


class FigureError(HelpersError):
    """A figure was asked for numbers that its table does not have."""


def styled(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Draw in the house style, whatever style the caller has set."""

    @wraps(draw)
    def in_style(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with mpl.rc_context({**mpl.rcParamsDefault, "backend": mpl.get_backend(), **STYLE}):
            figure = draw(*args, **kwargs)
            # Off pyplot's list: a notebook shows the returned figure once, and frees it.
            plt.close(figure)
            return figure

    return in_style


def panels(
    rows: int, columns: int, height: float, **options: Any
) -> tuple[Figure, np.ndarray[Any, np.dtype[Any]]]:
    """Figure of the house width and an array of (rows, columns) axes."""
    return plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False, **options)


def headline(figure: Figure, title: str, embedded: bool, **options: Any) -> None:
    """Set the title, left-aligned; figures of the embedded texts say so."""
    text = f"{title} (embedded texts)" if embedded else title
    wrapped = "\n".join(textwrap.wrap(text, 88))
    figure.suptitle(wrapped, x=0.01, horizontalalignment="left", **options)


def require(frame: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise FigureError unless the frame has rows and these columns."""
    if missing := [name for name in columns if name not in frame.columns]:
        raise FigureError(f"{what}: the table lacks column(s) {', '.join(missing)}")
    if frame.empty:
        raise FigureError(f"{what}: no rows to draw")


def shorten(name: str, width: int = 34) -> str:
    """Cut a long label at a word boundary, with an ellipsis."""
    return textwrap.shorten(name, width, placeholder=" …")


def horizontal_grid_only(axes: Axes) -> None:
    """Keep the lines along which values are read."""
    axes.grid(False, axis="x")


def vertical_grid_only(axes: Axes) -> None:
    """Keep the lines along which values are read."""
    axes.grid(False, axis="y")


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move label positions apart until neighbours are at least `gap` from each other.

    Labels keep their order and stay within [low, high], as close to their own place as they can;
    where the range is too short for all of them, they share it evenly.
    """
    count = len(positions)
    if count == 0:
        return []
    order = np.argsort(positions, kind="stable")
    gap = min(gap, (high - low) / max(count - 1, 1))
    # Without the steps the constraint is plain monotony: pool neighbours that overlap.
    targets = np.asarray(positions, dtype=float)[order] - gap * np.arange(count)
    blocks: list[list[float]] = []
    for target in targets:
        blocks.append([target, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2], blocks[-1]
            blocks[-2:] = [[(a * n + b * m) / (n + m), n + m]]
    flat = np.repeat([block[0] for block in blocks], [int(block[1]) for block in blocks])
    placed = np.clip(flat, low, high - gap * (count - 1)) + gap * np.arange(count)
    result = np.empty(count)
    result[order] = placed
    return [float(value) for value in result]


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write ``<name>.png`` (200 dpi) and ``<name>.svg``; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
    folder : Path
        Created if it is not there.
    name : str
        File name without suffix.

    Returns
    -------
    list of Path
        The two files.

    Raises
    ------
    HelpersError
        If the disk is full.
    """
    # No date and no version of the program: both would change without the figure changing.
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    paths = []
    with mpl.rc_context(STYLE):
        for suffix, entries in metadata.items():
            path = Path(folder) / f"{name}.{suffix}"
            with atomic_path(path) as temporary:
                figure.savefig(temporary, dpi=200, metadata=entries)
            paths.append(path)
    return paths
