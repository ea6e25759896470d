"""Labels beside what they name, kept off each other and off what is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from numpy.typing import NDArray

Array = NDArray[np.float64]
Points = Sequence[tuple[float, float]]
ROUND = tuple(range(0, 360, 15))  # degrees, 0 is to the right of the anchor
GAPS = (2.0, 7, 9, 12, 18, 26, 36, 48)  # points between anchor and label
MARKER = 4.5  # points: half the width of a marker
LEADER_FROM = 12.0  # points: from here on a thin line leads back to the anchor
STEP = 2.0  # points between two samples of a line
AIR = 1.2  # points of air round a label
SWEEPS = 4


@dataclass(frozen=True)
class Label:
    """A text and where it may stand.

    Attributes
    ----------
    text : may have line breaks.
    anchors : (x, y) in data units, the preferred one first.
    colour : of text and leader.
    angles : degrees in which the text may lie from its anchor.
    size : of the font, in points.
    reach : how far from its anchor the text may lie, in points; from `LEADER_FROM` on a thin line
        ties it to the anchor.
    """

    text: str
    anchors: tuple[tuple[float, float], ...]
    colour: str
    angles: tuple[int, ...] = ROUND
    size: float = 8.5
    reach: float = 48


def place_labels(
    axes: Axes,
    labels: Sequence[Label],
    lines: Iterable[Points] = (),
    markers: Points = (),
) -> list[Annotation]:
    """Write labels next to their anchors where they cover neither each other nor what is drawn.

    Deterministic: each label in turn takes its cheapest place given the others, a few times over.
    The layout of the figure must be final: call `Figure.draw_without_rendering` before.

    Parameters
    ----------
    axes : their data units count.
    labels : what to write.
    lines : polylines (x, y) in data units to be kept clear.
    markers : points (x, y) in data units to be kept clear.

    Returns
    -------
    list of Annotation, in the order of the labels.
    """
    scale = 72 / axes.figure.dpi
    drawn = np.concatenate([_lines(axes, lines, scale), _markers(axes, markers, scale)])
    placed = [_written(axes, label) for label in labels]
    options = []
    for label, note in zip(labels, placed, strict=True):
        box = note.get_window_extent()
        size = np.array([box.width, box.height]) * scale
        options.append(_options(axes, label, size, drawn, scale))
    chosen = _choose([boxes for boxes, *_ in options], [costs for _, costs, *_ in options])
    for note, label, (boxes, _, anchors, gaps), pick in zip(
        placed, labels, options, chosen, strict=True
    ):
        middle = (boxes[pick, :2] + boxes[pick, 2:]) / 2
        anchor = anchors[pick]
        note.xy = tuple(axes.transData.inverted().transform(anchor / scale))
        note.set_position(tuple(middle - anchor))
        if gaps[pick] >= LEADER_FROM:
            _lead(axes, note, label.colour)
    return placed


def _written(axes: Axes, label: Label) -> Annotation:
    """Write a label at its first anchor: its size has to be known before its place.

    Its ground hides leaders: its own ends where the text begins, others pass behind.
    """
    note = axes.annotate(
        label.text, label.anchors[0], (0, 0), textcoords="offset points", ha="center",
        va="center", size=label.size, color=label.colour, linespacing=1.0, annotation_clip=False,
        zorder=6, bbox={"boxstyle": "square,pad=0.05", "fc": axes.get_facecolor(), "ec": "none"},
    )  # fmt: skip
    note.set_in_layout(False)
    return note


def _lead(axes: Axes, note: Annotation, colour: str) -> None:
    line = axes.annotate(
        "", note.xy, note.get_position(), textcoords="offset points", annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 0, "shrinkB": 3,
                    "patchA": None, "alpha": 0.8}, zorder=2,
    )  # fmt: skip
    line.set_in_layout(False)


def _on_page(axes: Axes, points: Points, scale: float) -> Array:
    """Points on the page (n, 2) of points in data units; those without a place are left out."""
    places = axes.transData.transform(np.asarray(points, dtype=float).reshape(-1, 2)) * scale
    return places[np.isfinite(places).all(axis=1)]


def _lines(axes: Axes, lines: Iterable[Points], scale: float) -> Array:
    """Points along polylines: (n, 2)."""
    parts = [np.empty((0, 2))]
    for line in lines:
        corners = _on_page(axes, line, scale)
        for start, end in pairwise(corners):
            count = int(np.hypot(*(end - start)) / STEP) + 1
            parts.append(start + (end - start) * np.linspace(0, 1, count)[:, None])
    return np.concatenate(parts)


def _markers(axes: Axes, markers: Points, scale: float) -> Array:
    """Nine points in the square of each marker: (n, 2)."""
    step = np.array([-MARKER, 0, MARKER])
    square = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2)
    return (_on_page(axes, markers, scale)[:, None] + square).reshape(-1, 2)


def _options(
    axes: Axes, label: Label, size: Array, drawn: Array, scale: float
) -> tuple[Array, Array, Array, Array]:
    """Possible boxes (k, 4), their costs without other labels, anchors (k, 2) and gaps (k,)."""
    reachable = [gap for gap in GAPS if gap <= label.reach]
    anchors = axes.transData.transform(np.array(label.anchors, dtype=float)) * scale
    which, turn, gaps = (
        grid.ravel()
        for grid in np.meshgrid(
            np.arange(len(anchors)), np.deg2rad(label.angles), reachable, indexing="ij"
        )
    )
    towards = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    middles = anchors[which] + towards * (size / 2 + gaps[:, None])
    boxes = np.concatenate([middles - size / 2, middles + size / 2], axis=1)
    low, high = boxes[:, None, :2] - AIR, boxes[:, None, 2:] + AIR
    covered = ((drawn > low) & (drawn < high)).all(axis=2).sum(axis=1)
    frame = axes.get_window_extent()
    inside = np.array([frame.x0, frame.y0, -frame.x1, -frame.y1]) * scale
    signs = np.array([1, 1, -1, -1])
    outside = np.clip(inside + 1 - boxes * signs, 0, None).sum(axis=1)
    # Beside is better than above or below, the first anchor better than the others.
    costs = 12 * covered + 40 * outside + gaps + 3 * np.abs(np.sin(turn)) + 4 * np.minimum(which, 3)
    return boxes, costs, anchors[which], gaps


def _choose(boxes: Sequence[Array], costs: Sequence[Array]) -> list[int]:
    chosen: list[Any] = [None] * len(boxes)
    for _ in range(SWEEPS):
        before = list(chosen)
        for place, (mine, cost) in enumerate(zip(boxes, costs, strict=True)):
            total = cost.copy()
            for other, pick in enumerate(chosen):
                if other != place and pick is not None:
                    total += _clash(mine, boxes[other][pick])
            chosen[place] = int(np.argmin(total))
        if chosen == before:
            break
    return chosen


def _clash(boxes: Array, other: Array) -> Array:
    """Price of covering another label: more the larger the common area."""
    width = np.minimum(boxes[:, 2], other[2]) - np.maximum(boxes[:, 0], other[0]) + AIR
    height = np.minimum(boxes[:, 3], other[3]) - np.maximum(boxes[:, 1], other[1]) + AIR
    area = np.clip(width, 0, None) * np.clip(height, 0, None)
    return np.where(area > 0, 500 + area, 0.0)
