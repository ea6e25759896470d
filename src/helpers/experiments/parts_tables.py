"""Tables of chapter 07, read from the cells' predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers.data.prepared import read_task
from helpers.encoders.cells import DICTIONARIES
from helpers.experiments.what_to_finetune import group_column, part_schemes, parts_work
from helpers.metrics import (
    MetricsError,
    TextCounts,
    counts_from_frames,
    percentile_interval,
    scores,
)
from helpers.metrics.counts import Floats
from helpers.metrics.tidy import DECIMALS
from helpers.metrics.two_level import two_level, two_level_samples
from helpers.runs import Run
from helpers.tasks import load_task

METRICS = {"numeric": ("r2", "mse", "mae"), "single": ("accuracy", "macro_f1")}
UNDEFINED = 0.025
"""No interval for a ratio whose denominator is not positive in more of the resamples."""
SCORES = ["value", "ci_low", "ci_high", "sd_repeats"]
GAINS = ["gain", "gain_low", "gain_high", "difference", "difference_low", "difference_high"]
Frames = dict[tuple[str, str], list[pd.DataFrame]]


def _frames(run: Run, task: str) -> Frames:
    """Return (scheme, method) -> one frame a repeat: a row a text with truth, labels, status."""
    loaded = load_task(task)
    texts = read_task(run, loaded)
    truth = texts.set_index("id")["labels"]
    found: Frames = {}
    for work in parts_work(run, task):
        parts = []
        for cell in work.cells:
            path = cell.out / "predictions.parquet"
            if not path.is_file():
                raise MetricsError(
                    f"{task}: no predictions of {work.method} for {cell.name}: run "
                    "run_parts(run) first; it continues where it stopped"
                )
            parts.append(pd.read_parquet(path))
        frame = pd.concat(parts, ignore_index=True).sort_values("id", ignore_index=True)
        asked = sorted(work.texts["id"].iloc[[row for c in work.cells for row in c.test]])
        if frame["id"].tolist() != asked:
            raise MetricsError(
                f"{task}: the predictions of {work.method} ({work.cells[0].name} and its sisters) "
                "are not those of the texts of this run: run run_parts(run) again"
            )
        frame["truth"] = frame["id"].map(truth)
        found.setdefault((work.cells[0].scheme, work.method), []).append(frame)
    return found


def _counts(task: str, frames: Sequence[pd.DataFrame]) -> list[TextCounts]:
    return [counts_from_frames(load_task(task), frame) for frame in frames]


def _sizes(run: Run, task: str) -> dict[str, dict[str, Any]]:
    """Return method -> parameters, all and those that learn; empty for other methods."""
    sizes = {}
    for work in parts_work(run, task):
        path = work.cells[0].out / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        keys = ("trainable_parameters", "total_parameters")
        sizes[work.method] = {key: config[key] for key in keys if key in config}
    return sizes


def parts_scores(run: Run, task: str) -> pd.DataFrame:
    """Scores of every method, with 95% intervals over repeats and texts.

    The predictions for the texts left out, all folds of one draw together, count as one seed of
    `helpers.metrics.two_level`; R2 is relative to the mean of all texts scored.

    Returns
    -------
    One row a scheme, method and metric: task, scheme, method, metric, value, ci_low, ci_high,
    sd_repeats, repeats, trainable_share, trainable_parameters, total_parameters, n.
    """
    sizes, rows = _sizes(run, task), []
    for (scheme, method), frames in _frames(run, task).items():
        by_repeat = _counts(task, frames)
        found = two_level(by_repeat, run.profile.bootstrap, run.profile.seed)
        size = sizes[method]
        for metric in METRICS[by_repeat[0].label_type]:
            score = found[metric]
            row: dict[str, Any] = {"task": task, "scheme": scheme, "method": method}
            row |= {"metric": metric, "value": score.value, "ci_low": score.ci_low}
            row |= {"ci_high": score.ci_high, "sd_repeats": score.sd_seeds}
            row |= {"repeats": score.n_seeds, **size, "n": by_repeat[0].n}
            rows.append(row)
    frame = _rounded(pd.DataFrame(rows), SCORES)
    for name in ("trainable_parameters", "total_parameters"):
        frame[name] = (frame[name] if name in frame else pd.Series(pd.NA, frame.index)).astype(
            "Int64"
        )
    share = frame["trainable_parameters"].astype(float) / frame["total_parameters"].astype(float)
    frame["trainable_share"] = share.round(8)
    first = ["task", "scheme", "method", "metric", *SCORES, "repeats", "trainable_share"]
    return frame[[*first, "trainable_parameters", "total_parameters", "n"]]


def parts_gains(run: Run, task: str) -> pd.DataFrame:
    """Gains over the better dictionary, as Wang (2024) computes his, with paired intervals.

    gain = (method - dictionary) / dictionary, of each metric: +0.27 of R2 means 27% more, -0.46 of
    MSE 46% less. The better dictionary is the one with the higher R2 (or accuracy) on the very
    texts scored, which favours it. A ratio means nothing where the dictionary's R2 may be zero: no
    interval then; the plain difference beside it is always defined.

    Returns
    -------
    One row a scheme, method and metric: task, scheme, method, dictionary, metric, gain, gain_low,
    gain_high, difference, difference_low, difference_high. Empty without a dictionary.
    """
    frames, rows = _frames(run, task), []
    counts = {key: _counts(task, value) for key, value in frames.items()}
    for scheme in dict.fromkeys(scheme for scheme, _ in counts):
        here = {method: c for (s, method), c in counts.items() if s == scheme}
        points = {m: _mean_scores(c) for m, c in here.items()}
        metrics = METRICS[next(iter(here.values()))[0].label_type]
        known = [method for method in here if method in DICTIONARIES]
        if not known:
            continue
        best = max(known, key=lambda method: points[method][metrics[0]])
        bootstrap = (run.profile.bootstrap, run.profile.seed)
        reference = two_level_samples(here[best], *bootstrap)
        for method in here:
            if method in known:
                continue
            samples = two_level_samples(here[method], *bootstrap)
            for metric in metrics:
                row: dict[str, Any] = {"task": task, "scheme": scheme, "method": method}
                row |= {"dictionary": best, "metric": metric}
                pair = points[method][metric], points[best][metric]
                rows.append(row | _gain(*pair, samples[metric], reference[metric]))
    columns = ["task", "scheme", "method", "dictionary", "metric", *GAINS]
    return _rounded(pd.DataFrame(rows, columns=columns), GAINS)


def _mean_scores(by_repeat: Sequence[TextCounts]) -> dict[str, float]:
    every = [scores(counts) for counts in by_repeat]
    return {name: float(np.mean([row[name] for row in every])) for name in every[0]}


def _gain(value: float, base: float, samples: Floats, bases: Floats) -> dict[str, float]:
    """Return gain and difference with percentile intervals of the paired samples."""
    low, high = percentile_interval(samples - bases)
    found: dict[str, Any] = {"difference": value - base}
    found |= {"difference_low": low, "difference_high": high}
    found |= dict.fromkeys(GAINS[:3], np.nan)
    if base > 0:
        found["gain"] = (value - base) / base
        if np.mean(~(bases > 0)) <= UNDEFINED:
            ratios = np.divide(
                samples - bases, bases, out=np.full(bases.shape, np.nan), where=bases > 0
            )
            found["gain_low"], found["gain_high"] = percentile_interval(ratios)
    return {name: float(number) for name, number in found.items()}


def parts_by_group(run: Run, task: str) -> pd.DataFrame:
    """Errors for each group (country) that was left out as a whole; empty without groups.

    Returns
    -------
    One row a group, method and metric (R2 is left out: few texts a group, and their mean is not
    known to any method): task, group, method, metric, value, ci_low, ci_high, sd_repeats, n.
    """
    columns = ["task", "group", "method", "metric", *SCORES, "n"]
    column = group_column(run, task)
    if column is None or "group" not in part_schemes(run, task):
        return pd.DataFrame(columns=columns)
    group_of = read_task(run, load_task(task)).set_index("id")[column]
    rows = []
    for (scheme, method), frames in _frames(run, task).items():
        if scheme != "group":
            continue
        groups = frames[0]["id"].map(group_of)
        for group in sorted(groups.unique()):
            inside = (groups == group).to_numpy()
            by_repeat = _counts(task, [frame[inside] for frame in frames])
            found = two_level(by_repeat, run.profile.bootstrap, run.profile.seed)
            for metric in METRICS[by_repeat[0].label_type]:
                if metric != "r2":
                    score = found[metric]
                    values = [score.value, score.ci_low, score.ci_high, score.sd_seeds]
                    rows.append([task, group, method, metric, *values, int(inside.sum())])
    frame = pd.DataFrame(rows, columns=columns)
    return _rounded(frame.sort_values(["group", "method", "metric"], ignore_index=True), SCORES)


def parts_performance(run: Run, task: str) -> pd.DataFrame:
    """Time and memory of every method (for ``performance/``: not the same from run to run).

    Returns
    -------
    One row a scheme and method: task, scheme, method, cells, seconds (of all cells),
    seconds_a_cell (median: the first cell of a process also loads the encoder), peak_memory_mb.
    """
    rows = []
    for work in parts_work(run, task):
        for cell in work.cells:
            path = cell.out / "performance.json"
            row = {"task": task, "scheme": cell.scheme, "method": work.method}
            rows.append(row | json.loads(path.read_text(encoding="utf-8")))
    grouped = pd.DataFrame(rows).groupby(["task", "scheme", "method"], sort=False)
    return grouped.agg(
        cells=("seconds", "size"),
        seconds=("seconds", "sum"),
        seconds_a_cell=("seconds", "median"),
        peak_memory_mb=("peak_memory_mb", "max"),
    ).reset_index()


def _rounded(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    # Adding 0 turns -0.0, which prints differently, into 0.0.
    frame[list(columns)] = frame[list(columns)].astype(float).round(DECIMALS) + 0.0
    return frame
