"""What the cells of a training-size study say: scores, curves, targets, forms of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers.comparison import HEADLINES, names
from helpers.data.prepared import read_task
from helpers.experiments.answers import CROWD
from helpers.experiments.training_size import Scored
from helpers.metrics import (
    TextCounts,
    counts_from_frames,
    read_predictions,
    scores,
    two_level,
    two_level_samples,
    wilson_interval,
)
from helpers.metrics.tidy import DECIMALS
from helpers.runs import Run
from helpers.study.curves import Curve, Target, labels_needed
from helpers.study.power_law import MIN_SIZES
from helpers.tasks import Task

KEYS = ["task", "model", "labels", "n_train"]
NAMES = {
    CROWD: "AI crowd, majority vote",
    "archived-chatgpt4": "ChatGPT-4, archived",
}
# What a curve is held against, as far as chapter 05 has it.
LEVELS = ("zero-shot", CROWD, "archived-chatgpt4", "majority", "predict-nothing")


def study_names(run: Run, task: Task) -> dict[str, str]:
    """Return readable names of the models of a study."""
    causal = run.profile.training_size.models.get(task.name, [])
    return names({}, task) | {key: f"{key}, fine-tuned" for key in causal}


def models_with_other_labels(run: Run, task: Task) -> list[str]:
    """Return the models that learn from several kinds of labels, causal ones first."""
    plan = run.profile.training_size
    if not plan.labels.get(task.name):
        return []
    every = [*plan.models.get(task.name, []), *plan.simple]
    return [model for model in every if model in plan.label_models]


def study_scores(run: Run, scored: Sequence[Scored]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores of a study by training size.

    Returns
    -------
    scores : one row a model, kind of labels, size and metric: task, model, labels, n_train, metric,
        value (mean over seeds), ci_low, ci_high (over seeds and texts), sd_seeds, n_seeds, n (test
        texts), answered (share of test texts with a valid answer).
    points : one row a seed: task, model, labels, n_train, seed, metric, value.
    """
    rows, points = [], []
    for item in scored:
        key = dict(zip(KEYS, (item.task, item.model, item.labels, item.n), strict=True))
        first = item.by_seed[0]
        answered = float(np.mean([c.n_answered / c.n for c in item.by_seed]))
        found = two_level(item.by_seed, run.profile.bootstrap, run.profile.seed)
        for metric, estimate in found.items():
            row = key | {"metric": metric} | vars(estimate)
            rows.append(row | {"n": first.n, "answered": answered})
        for seed, counts in enumerate(item.by_seed):
            values = scores(counts)
            points += [key | {"seed": seed, "metric": m, "value": v} for m, v in values.items()]
    return pd.DataFrame(rows).round(DECIMALS), pd.DataFrame(points).round(DECIMALS)


def study_curves(run: Run, scored: Sequence[Scored], metric: str) -> list[Curve]:
    """Return the learning curve of each model and kind of labels that has enough sizes."""
    groups: dict[tuple[str, str, str], dict[int, list[TextCounts]]] = {}
    for item in scored:
        groups.setdefault((item.task, item.model, item.labels), {})[item.n] = item.by_seed
    return [
        Curve.from_counts(
            *key, by_size, metric, n_resamples=run.profile.bootstrap, seed=run.profile.seed
        )
        for key, by_size in groups.items()
        if len(by_size) >= MIN_SIZES
    ]


def study_levels(run: Run, task: Task, metric: str) -> tuple[pd.DataFrame, dict[str, Target]]:
    """Return what does not depend on the number of labels: crowd, baselines, archived ChatGPT-4.

    Returns
    -------
    bands : name, value, ci_low, ci_high on the test texts.
    targets : the same by name, with bootstrap samples that pair with those of the curves, for
        `helpers.study.curves.labels_needed`; and the profile's target, if it has one.
    """
    texts = read_task(run, task)
    rows: list[dict[str, Any]] = []
    targets: dict[str, Target] = {}
    readable = names({}, task) | NAMES
    for key in LEVELS:
        path = run.root / "predictions" / task.name / f"{key}.parquet"
        if not path.is_file():
            continue
        made = read_predictions(path, texts)
        counts = [counts_from_frames(task, made[made["split"] == "test"])]
        if not counts[0].n:
            continue
        about = (counts, run.profile.bootstrap, run.profile.seed)
        estimate = two_level(*about)[metric]
        value = {"value": estimate.value, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
        rows.append({"name": readable[key], **value})
        if key not in ("majority", "predict-nothing"):
            targets[readable[key]] = Target(estimate.value, two_level_samples(*about)[metric])
    asked = run.profile.training_size.target.get(task.name)
    if asked is not None:
        targets[f"{metric} {asked:g}"] = Target(asked)
    columns = ["name", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns).round(DECIMALS), targets


def answer_forms(run: Run, task: Task, scored: Sequence[Scored]) -> pd.DataFrame:
    """Separate what a model has learned from the form of its answers.

    Causal models of the first seed also answered without constraints. ``valid`` is the share of
    answers that have the task's form (Wilson interval). The headline score counts an invalid
    answer as wrong; ``<metric>_given_valid`` is the score among valid answers alone (NaN where
    there are none).

    Returns
    -------
    Rows as those of `study_scores`; empty if no model was asked.
    """
    metric = HEADLINES[task.label_type]
    resamples = (run.profile.bootstrap, run.profile.seed)
    rows = []
    for item in (s for s in scored if s.free is not None):
        assert item.free is not None
        key = dict(zip(KEYS, (item.task, item.model, item.labels, item.n), strict=True))
        n, valid = item.free.n, item.free.n_answered
        about = {"n_seeds": 1, "n": n, "answered": valid / n}
        low, high = wilson_interval(valid, n)
        share = {"value": valid / n, "ci_low": low, "ci_high": high}
        rows.append(key | {"metric": "valid"} | share | about)
        every = vars(two_level([item.free], *resamples)[metric])
        rows.append(key | {"metric": metric} | every | about)
        given = {"value": np.nan, "ci_low": np.nan, "ci_high": np.nan}
        if valid:
            given = vars(two_level([_answered(item.free)], *resamples)[metric])
        rows.append(key | {"metric": f"{metric}_given_valid"} | given | about)
    return pd.DataFrame(rows).round(DECIMALS)


def _answered(counts: TextCounts) -> TextCounts:
    """Return the texts with a valid answer alone."""
    kept = counts.answered
    parts = {name: part[kept] for name, part in counts.parts.items()}
    return TextCounts(counts.label_type, parts, kept[kept])


def worth_in_gold(curves: Sequence[Curve]) -> pd.DataFrame:
    """Express worse labels in gold ones: how many gold labels give the same score?

    The question behind it: does more noisy data beat less clean data?

    Returns
    -------
    One row a model, kind of labels other than gold, and size: task, model, labels, n_train, value
    (score), gold_needed with ci_low and ci_high (inf: more than the gold curve can tell), in_words,
    exchange (n_train / gold_needed: labels of this kind for one gold label).
    """
    gold = {(c.task, c.model): c for c in curves if c.labels == "gold"}
    parts = []
    for curve in (c for c in curves if c.labels != "gold" and (c.task, c.model) in gold):
        targets = {
            str(int(n)): Target(float(point), samples)
            for n, point, samples in zip(curve.n, curve.points, curve.samples.T, strict=True)
        }
        needed = labels_needed([gold[curve.task, curve.model]], targets)
        needed = needed.assign(labels=curve.labels, n_train=needed["target"].astype(int))
        parts.append(needed.rename(columns={"needed": "gold_needed"}))
    columns = [*KEYS, "value", "gold_needed", "ci_low", "ci_high", "in_words"]
    if not parts:
        return pd.DataFrame(columns=[*columns, "exchange"])
    whole = pd.concat(parts, ignore_index=True)[columns]
    return whole.assign(exchange=(whole["n_train"] / whole["gold_needed"]).round(DECIMALS))
