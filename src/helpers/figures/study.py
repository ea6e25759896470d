"""Figures of the training-size study: scores against the number of training texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from helpers.figures.sizes import (
    LABEL_HEIGHT,
    Series,
    draw_end_labels,
    draw_levels,
    draw_series,
    end_label,
    level_label,
    side_by_side,
    size_axis_of,
    value_limits,
    what_is_drawn,
)
from helpers.figures.study_rows import (
    LABEL_NAMES,
    kind_looks,
    matching,
    model_looks,
    noise_name,
    select,
)
from helpers.figures.style import (
    GREY,
    WIDTH,
    headline,
    horizontal_grid_only,
    panels,
    require,
    shorten,
    styled,
)
from helpers.metrics import METRIC_NAMES

Names = Mapping[str, str] | None

_MARGINS = 1.55  # inches of a figure that are not panel: title, axis labels, legend


@styled
def learning_curves(
    scores: pd.DataFrame,
    points: pd.DataFrame | None,
    task: str,
    metric: str,
    title: str,
    *,
    names: Names = None,
    bands: pd.DataFrame | None = None,
    fits: pd.DataFrame | None = None,
    labels: str = "gold",
    embedded: bool = False,
) -> Figure:
    """A score against the number of training texts, one line per model, with 95% intervals.

    Parameters
    ----------
    scores : DataFrame
        task, model, labels, n_train, metric, value, ci_low, ci_high (NaN: no interval); n_seeds
        and n (test texts), if there, are named in the panel's title.
    points : DataFrame or None
        Scores of single seeds: task, model, labels, n_train, metric, value.
    task, metric : str
        Which rows of them.
    title : str
    names : mapping of model to readable name, optional
    bands : DataFrame, optional
        What does not depend on the training size: name, value, ci_low, ci_high; horizontal lines.
    fits : DataFrame, optional
        Fitted curves (`helpers.study.curves.curve_lines`): task, model, labels, n_train, value;
        dotted, up to twice the largest size.
    labels : str
        What the models learned from.
    embedded : bool

    Raises
    ------
    FigureError
        If the tables lack a column or have no such rows.
    """
    rows = select(scores, task, metric, labels=labels)
    looks = model_looks(scores, rows)
    readable = {model: (names or {}).get(model, model) for model in looks}
    dots = _optional(points, task, metric, labels=labels)
    lines = _optional(fits, task, labels=labels)
    series = _series(rows, "model", looks, readable, dots, lines)
    return _one_panel(series, bands, metric, title, embedded)


@styled
def label_quality(
    scores: pd.DataFrame,
    task: str,
    metric: str,
    title: str,
    *,
    model: str,
    points: pd.DataFrame | None = None,
    names: Names = None,
    bands: pd.DataFrame | None = None,
    fits: pd.DataFrame | None = None,
    embedded: bool = False,
) -> Figure:
    """A score of one model against the number of training texts, one line per kind of labels.

    Parameters
    ----------
    scores, task, metric, title, points, bands, fits, embedded
        As in `learning_curves`.
    model : str
    names : mapping of kind of labels to readable name, optional
        For what `LABEL_NAMES` does not name, or names otherwise.
    """
    rows = select(scores, task, metric, model=model)
    looks = kind_looks(list(rows["labels"].unique()))
    readable = {
        kind: {**LABEL_NAMES, **(names or {})}.get(kind, noise_name(kind)) for kind in looks
    }
    dots = _optional(points, task, metric, model=model)
    lines = _optional(fits, task, model=model)
    series = _series(rows, "labels", looks, readable, dots, lines)
    return _one_panel(series, bands, metric, title, embedded)


@styled
def valid_answers(
    scores: pd.DataFrame,
    task: str,
    metric: str,
    title: str,
    *,
    share: str = "valid",
    given: str | None = None,
    names: Names = None,
    labels: str = "gold",
    embedded: bool = False,
) -> Figure:
    """Share of valid answers by training size, beside the score given a valid answer.

    Parameters
    ----------
    scores : DataFrame
        As in `learning_curves`; rows of three metrics.
    task, metric : str
        `metric` counts an invalid answer as wrong (dashed).
    title : str
    share : str
        Metric of the left panel; without such rows the column ``answered`` is drawn instead, which
        has no intervals.
    given : str, optional
        Metric of the valid answers alone (solid); default ``<metric>_given_valid``.
    names, labels, embedded
        As in `learning_curves`.
    """
    overall = select(scores, task, metric, labels=labels)
    within = select(scores, task, given or f"{metric}_given_valid", labels=labels)
    valid = matching(scores, task, share, labels=labels)
    if valid.empty:
        require(scores, ["answered"], f"share of valid answers, {task}")
        valid = overall.assign(value=overall["answered"], ci_low=np.nan, ci_high=np.nan)
    looks = model_looks(scores, overall)
    left, right = [], []
    for model, part in overall.groupby("model", sort=False):
        name, look = (names or {}).get(str(model), str(model)), looks[str(model)]
        left.append(Series(valid[valid["model"] == model], *look, name))
        right.append(Series(within[within["model"] == model], *look, "valid"))
        right.append(Series(part, *look, "all", "--"))
    height = 4.0
    figure, grid = panels(1, 2, height)
    headings = ("Share of valid answers", METRIC_NAMES.get(metric, metric))
    for axes, series, heading in zip(grid[0], (left, right), headings, strict=True):
        size_axis_of(axes, series, 0.35 * WIDTH)
        draw_series(axes, series)
        value_limits(axes, [line.rows for line in series])
        axes.set(title=heading, xlabel="Training texts (log scale)")
        horizontal_grid_only(axes)
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if denominators := _denominators(right):
        grid[0, 0].set_title(f"Share of valid answers\n{denominators}")
    ends = [end_label(line, np.inf) for line in right if len(line.rows)]
    draw_end_labels(grid[0, 1], ends, height - _MARGINS)
    handles = [
        Line2D([], [], color=s.colour, marker=s.marker, label=shorten(s.name, 40))
        for s in left
        if len(left) > 1
    ]
    handles.append(Line2D([], [], color=GREY, label="valid answers alone"))
    handles.append(Line2D([], [], color=GREY, ls="--", label="invalid answers counted as wrong"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    headline(figure, title, embedded)
    return figure


def _optional(
    table: pd.DataFrame | None, task: str, metric: str | None = None, **equal: str
) -> pd.DataFrame | None:
    """Rows of a table that may be missing or empty."""
    return None if table is None or table.empty else matching(table, task, metric, **equal)


def _one_panel(
    series: Sequence[Series],
    bands: pd.DataFrame | None,
    metric: str,
    title: str,
    embedded: bool,
) -> Figure:
    levels = pd.DataFrame() if bands is None else bands.dropna(subset=["value"])
    if len(levels):
        require(levels, ["name", "value", "ci_low", "ci_high"], "horizontal lines")
    count = len(series) + len(levels)
    height = max(4.8, _MARGINS + 1.25 * LABEL_HEIGHT * count)
    figure, grid = panels(1, 1, height)
    axes = grid[0, 0]
    size_axis_of(axes, series, 0.7 * WIDTH)
    series = side_by_side(axes, series)
    draw_levels(axes, levels)
    draw_series(axes, series)
    tables = [table for s in series for table in (s.rows, s.seeds) if table is not None]
    ends = [end_label(line, axes.get_xlim()[1]) for line in series]
    reached = pd.DataFrame({"value": [end.y for end in ends]})
    value_limits(axes, [*tables, reached, *([levels] if len(levels) else [])])
    ends += [level_label(row.name, row.value) for row in levels.itertuples(index=False)]
    draw_end_labels(axes, ends, height - _MARGINS)
    axes.set(xlabel="Training texts (log scale)", ylabel=METRIC_NAMES.get(metric, metric))
    axes.set_title(_denominators(series))
    horizontal_grid_only(axes)
    handles = what_is_drawn(series, len(levels) > 0)
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    headline(figure, title, embedded)
    return figure


def _denominators(series: Sequence[Series]) -> str:
    """Number of test texts and of seeds per size, as far as the table has them."""
    rows = pd.concat([line.rows for line in series])
    parts = []
    for column, what in (("n", "test texts"), ("n_seeds", "seeds per size")):
        if column in rows and rows[column].notna().any():
            low, high = int(rows[column].min()), int(rows[column].max())
            what = what.replace("seeds", "seed") if high == 1 else what
            parts.append(f"{low:,} {what}" if low == high else f"{low:,} to {high:,} {what}")
    return ", ".join(parts)


def _series(
    rows: pd.DataFrame,
    by: str,
    looks: Mapping[str, tuple[str, str]],
    readable: Mapping[str, str],
    seeds: pd.DataFrame | None,
    fits: pd.DataFrame | None,
) -> list[Series]:
    """One line per entry of `looks`, which are values of the column `by`."""
    return [
        Series(
            rows[rows[by] == key],
            *look,
            readable[key],
            seeds=None if seeds is None else seeds[seeds[by] == key],
            fit=None if fits is None else fits[fits[by] == key],
        )
        for key, look in looks.items()
    ]
