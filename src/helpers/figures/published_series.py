"""What a panel of a score against model size shows: statistics, series, baselines."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

from helpers.figures.comparison import interval_arms
from helpers.figures.placing import Label
from helpers.figures.published import FAMILIES
from helpers.figures.style import GREY

Line = list[tuple[float, float]]
PALE = "#BDBDBD"
LIMITS = (0.6, 3600)  # billion parameters
BASELINES = {
    "predict-nothing": ("predict nothing", (0, (5, 2))),
    "majority": ("majority", (0, (1, 1))),
}


@dataclass(frozen=True)
class Statistic:
    """What stands on the left and on the right of a figure.

    Attributes
    ----------
    title : of the figure.
    drawn : column of the published table that the article's figure draws.
    drawn_as : our metric of the same definition, for baselines in the published panels.
    drawn_name : what the axis says.
    metric : of the recomputed scores.
    metric_name : what their axis says.
    archived : column of the published table with the same definition as `metric`, if any.
    """

    title: str
    drawn: str
    drawn_as: str
    drawn_name: str
    metric: str
    metric_name: str
    archived: str | None


STATISTICS = {
    "accD": Statistic(
        "Accuracy on dimensions by model size, published and recomputed",
        "accD", "dimension_accuracy", "Accuracy on dimensions",
        "dimension_accuracy", "Accuracy on dimensions", "accD",
    ),
    "ham": Statistic(
        "Hamming loss by model size (lower is better), published and recomputed",
        "ham", "hamming_loss", "Hamming loss",
        "hamming_loss", "Hamming loss", "ham",
    ),
    "jac2": Statistic(
        "Jaccard by model size: as the article draws it, and the Jaccard index",
        "jac2", "rescaled_accuracy",
        "“Jaccard” as drawn: a rescaled accuracy (jac2)", "jaccard", "Jaccard index", "jac",
    ),
    "accI": Statistic(
        "Accuracy on intensity by model size: as drawn, and given the dimension",
        "accI",
        "accuracy_with_intensity", "Accuracy with intensity, all cells (accI)",
        "intensity_accuracy", "Accuracy on intensity, given the dimension", None,
    ),
}  # fmt: skip
ALIASES = {statistic.metric: name for name, statistic in STATISTICS.items()} | {
    "dimension": "accD", "intensity": "accI", "jac": "jac2",
}  # fmt: skip


@dataclass
class Drawn:
    """What is in a panel: labels still to be written, and what they have to keep off."""

    labels: list[Label] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    markers: Line = field(default_factory=list)


def draw_series(axes: Axes, rows: pd.DataFrame, drawn: Drawn) -> None:
    """Draw a line a family, base and fine-tuned."""
    rows = rows.sort_values("parameters_billion")
    for (family, tuned), group in rows.groupby(["family", "fine_tuned"], sort=True):
        colour, marker = FAMILIES[str(family)]
        name = f"{family} FT" if tuned else str(family)
        axes.errorbar(
            group["parameters_billion"], group["value"], yerr=interval_arms(group), color=colour,
            ls="-" if tuned else ":", marker=marker, ms=12 if marker == "*" else 6.5, lw=1.4,
            mfc=colour if tuned else axes.get_facecolor(), mew=1.4, elinewidth=1.4, capsize=2.5,
            label=name,
        )  # fmt: skip
        if "ci_low_coders" in group:
            axes.vlines(
                group["parameters_billion"], group["ci_low_coders"], group["ci_high_coders"],
                color=colour, lw=0.7, zorder=2, gid="coders",
            )  # fmt: skip
            ends = group[["parameters_billion", "ci_low_coders", "ci_high_coders"]].to_numpy()
            drawn.lines.extend([(x, low), (x, high)] for x, low, high in ends)
        points = list(zip(group["parameters_billion"], group["value"], strict=True))
        drawn.labels.append(Label(name, (points[-1], points[0]), dark(colour)))
        drawn.lines.append(points)
        drawn.markers.extend(points)
        limits = group[["ci_low", "ci_high"]].to_numpy()
        drawn.lines.extend(
            [(x, low), (x, high)] for (x, _), (low, high) in zip(points, limits, strict=True)
        )


def dark(colour: str) -> str:
    """A colour for text: the palette's light ones can't be read on a pale ground."""
    return to_hex([0.72 * part for part in to_rgb(colour)])


def draw_ghosts(
    axes: Axes, models: pd.DataFrame, before: pd.DataFrame, column: str, drawn: Drawn
) -> None:
    """Mark the published value of every model in pale grey, and how far a recomputed one moved."""
    now = models.set_index("fname")["value"]
    for row in before.itertuples():
        x, old = float(row.parameters_billion), float(getattr(row, column))
        if row.fname in now.index:
            axes.plot([x, x], [old, now[row.fname]], color=PALE, lw=1.2, zorder=1.5)
            drawn.lines.append([(x, old), (x, float(now[row.fname]))])
        axes.plot(
            x,
            old,
            marker=FAMILIES[row.family][1],
            ms=5,
            mfc=PALE if row.fine_tuned else "white",
            mec=PALE,
            ls="",
            zorder=1.6,
            gid="ghost",
        )
        drawn.markers.append((x, old))


def draw_baselines(axes: Axes, rows: pd.DataFrame, drawn: Drawn) -> None:
    """Draw baselines as horizontal lines with their intervals."""
    spots = np.geomspace(LIMITS[0] * 1.3, LIMITS[1] / 1.3, 60)
    # Only the uppermost line is named above: names stand in the order of the lines.
    above = (90, 270)
    for row in rows.sort_values("value", ascending=False).itertuples():
        name, dashes = BASELINES[row.fname]
        value = float(row.value)
        axes.axhline(value, color="#505050", lw=1.1, ls=dashes, zorder=1.2, gid=row.fname)
        if np.isfinite(row.ci_low):
            axes.axhspan(row.ci_low, row.ci_high, color=GREY, alpha=0.18, lw=0, zorder=1)
        anchors = tuple((float(x), value) for x in spots)
        text = f"{name} {value:.3f}"
        drawn.labels.append(Label(text, anchors, "#404040", above, size=8, reach=9))
        above = (270, 270)
        drawn.lines.append([(LIMITS[0], value), (LIMITS[1], value)])
