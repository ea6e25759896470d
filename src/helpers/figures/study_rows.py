"""Rows of the training-size study that a figure draws, and how its lines look."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from helpers.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    FigureError,
    require,
)

LABEL_NAMES = {
    "gold": "gold labels",
    "verified": "crowd, verified by coders",
    "majority": "crowd majority, unreviewed",
}
_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Clean labels in the colours of sources; noise from light to dark as it grows.
_LABEL_LOOKS = {"gold": (BLUE, "o"), "verified": (GREEN, "s"), "majority": (ORANGE, "^")}
_NOISE_RAMP = ("#E8A58C", "#D55E00", "#8C3A00", "#4A1F00")
_NOISE_MARKERS = ("D", "v", "P", "X")
_COLUMNS = ("task", "model", "labels", "n_train", "metric", "value", "ci_low", "ci_high")


def matching(
    table: pd.DataFrame, task: str, metric: str | None = None, **equal: str
) -> pd.DataFrame:
    """Rows of a task (and a metric) with these values, by size."""
    wanted = {"task": task, **({} if metric is None else {"metric": metric}), **equal}
    require(table, [*wanted, "n_train", "value"], f"{metric or 'fitted curves'} of {task}")
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table.dropna(subset=["value"]).sort_values("n_train", kind="stable")


def select(scores: pd.DataFrame, task: str, metric: str, **equal: str) -> pd.DataFrame:
    """As `matching`, in the order of the table's models; refuse to draw nothing."""
    require(scores, _COLUMNS, f"{metric} of {task}")
    rows = matching(scores, task, metric, **equal)
    if rows.empty:
        what = ", ".join(f"{column} {value!r}" for column, value in equal.items())
        raise FigureError(f"the table of scores has no {metric!r} of task {task!r}, {what}")
    order = {model: place for place, model in enumerate(scores["model"].unique())}
    return rows.sort_values("model", key=lambda column: column.map(order), kind="stable")


def model_looks(scores: pd.DataFrame, rows: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Colour and marker by model: the same in the figures of all tasks, as far as they reach."""
    everywhere, here = list(scores["model"].unique()), list(rows["model"].unique())
    pool = everywhere if len(everywhere) <= len(_COLOURS) else here
    places = {model: pool.index(model) % len(_COLOURS) for model in here}
    return {str(model): (_COLOURS[i], _MARKERS[i]) for model, i in places.items()}


def kind_looks(kinds: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker by kind of labels: sources first, then noise as it grows."""
    noise = sorted((k for k in kinds if _noise_of(k) is not None), key=lambda k: _noise_of(k) or 0)
    known = [kind for kind in _LABEL_LOOKS if kind in kinds]
    others = sorted(set(kinds) - set(noise) - set(known))
    looks = {kind: _LABEL_LOOKS[kind] for kind in known}
    for place, kind in enumerate(others):
        looks[kind] = ((PURPLE, SKY, BLACK)[place % 3], _MARKERS[4 + place % 3])
    for place, kind in enumerate(noise):
        step = min(place, len(_NOISE_RAMP) - 1)
        looks[kind] = (_NOISE_RAMP[step], _NOISE_MARKERS[step])
    return looks


def _noise_of(kind: str) -> float | None:
    """Percentage of replaced labels: 10 of "noise-10"."""
    start, _, number = kind.partition("-")
    return float(number) if start == "noise" and number.isdigit() else None


def noise_name(kind: str) -> str:
    """Readable name of noisy labels; other kinds are called what they are called."""
    share = _noise_of(kind)
    return kind if share is None else f"gold, {share:.0f}% random"
