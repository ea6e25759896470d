"""The three tables of a comparison: scores, rates per class, paired tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from helpers.metrics import (
    SPLITS,
    McNemar,
    ModelInfo,
    PairedDifference,
    TextCounts,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    split_counts,
    tidy,
)
from helpers.runs import HelpersError, Run, write_table
from helpers.tasks import Task

# Accuracy is a property of each text: McNemar's exact test. The others are compared by bootstrap.
MCNEMAR = {"accuracy", "exact_match"}
COMPARED = {
    "single": ("accuracy", "macro_f1"),
    "multi": ("exact_match", "jaccard", "hamming_loss", "micro_f1", "macro_f1"),
    "multi_intensity": ("exact_match", "jaccard", "hamming_loss", "micro_f1", "macro_f1"),
    "numeric": ("r2", "mse"),
}
# Split name of predictions made for each text by a model that was not trained on its fold.
CROSS_VALIDATION = "cross-validation"
PAIRED_COLUMNS = [
    *("task", "split", "metric", "model", "reference", "test", "difference", "ci_low", "ci_high"),
    *("p_value", "p_holm", "only_model", "only_reference", "n"),
]


class ComparisonError(HelpersError):
    """Models that cannot be compared."""


@dataclass(frozen=True)
class Comparison:
    """The three tables of a comparison."""

    metrics: pd.DataFrame
    per_class: pd.DataFrame
    paired_tests: pd.DataFrame


def compare(
    run: Run,
    tasks: Iterable[Task],
    models: Mapping[str, ModelInfo],
    folds: Mapping[str, pd.DataFrame] | None = None,
    *,
    references: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare all models of a run and save the tables.

    Writes ``tables/metrics``, ``tables/per_class`` and ``tables/paired_tests`` (CSV and Parquet).

    Parameters
    ----------
    run : Run
        Bootstrap size and seed are those of its profile.
    tasks : iterable of Task
    models : mapping of str to ModelInfo
        Number of parameters and whether fine-tuned, by model name; baselines may be left out.
    folds : mapping of task name to DataFrame, optional
        Tasks with cross-validation: their texts frame with split "cross-validation". Predictions
        are then read from ``predictions/<task>-folds`` too, and get rows with that split.
    references : mapping of task name to model name, optional
        What the other models are tested against; by default the largest fine-tuned model.

    Raises
    ------
    ComparisonError
        If the texts of a task are missing, or its reference has no predictions.
    MetricsError
        If predictions are missing, damaged, or do not cover the same texts.
    """
    parts = []
    for task in tasks:
        path = run.root / "data" / task.name / "texts.parquet"
        if not path.is_file():
            raise ComparisonError(f"data/{task.name}/texts.parquet is missing: run 01_data first")
        one = partial(
            compare_task,
            task,
            models=models,
            reference=(references or {}).get(task.name),
            n_resamples=run.profile.bootstrap,
            seed=run.profile.seed,
        )
        predictions = run.root / "predictions"
        parts.append(one(pd.read_parquet(path), predictions / task.name))
        if folds and task.name in folds:
            parts.append(one(folds[task.name], predictions / f"{task.name}-folds"))
    if not parts:
        raise ComparisonError("no task to compare")
    tables = {name: _stack([vars(part)[name] for part in parts]) for name in vars(parts[0])}
    return Comparison(**{name: write_table(run, name, table) for name, table in tables.items()})


def compare_task(
    task: Task,
    texts: pd.DataFrame,
    folder: Path,
    models: Mapping[str, ModelInfo],
    *,
    reference: str | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare all models of one task, without saving; see `compare`.

    Paired tests are made on the texts that no model was trained on: split "test" or
    "cross-validation".
    """
    splits = (*SPLITS, CROSS_VALIDATION)
    metrics, per_class = tidy(
        task, texts, folder, models, n_resamples=n_resamples, seed=seed, splits=splits
    )
    paired = [
        _paired_tests(task, split, by_model, models, reference, n_resamples, seed)
        for split, by_model in split_counts(task, texts, folder, splits=("test", CROSS_VALIDATION))
    ]
    return Comparison(metrics, per_class, _stack(paired or [pd.DataFrame(columns=PAIRED_COLUMNS)]))


def default_reference(models: Mapping[str, ModelInfo], available: Iterable[str]) -> str:
    """Name of the fine-tuned model with the most parameters; ties go to the first by name."""
    tuned = sorted(n for n in available if n in models and models[n].fine_tuned)
    if not tuned:
        raise ComparisonError("no fine-tuned model has predictions: name a reference model")
    return max(tuned, key=lambda name: models[name].parameters or 0)


def _paired_tests(
    task: Task,
    split: str,
    by_model: Mapping[str, TextCounts],
    models: Mapping[str, ModelInfo],
    reference: str | None,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Every model against the reference; Holm over the models, within each metric."""
    chosen = reference or default_reference(models, by_model)
    if chosen not in by_model:
        raise ComparisonError(
            f"reference model {chosen!r} has no {split} predictions of task {task.name}; "
            f"there are: {', '.join(sorted(by_model))}"
        )
    base, rows = by_model[chosen], []
    for name, counts in by_model.items():
        if name == chosen:
            continue
        found = paired_bootstrap(counts, base, n_resamples, seed)
        for metric in COMPARED[task.label_type]:
            key = {"task": task.name, "split": split, "metric": metric}
            exact = _mcnemar(counts, base) if metric in MCNEMAR else None
            row = _test_row(found[metric], exact)
            rows.append(key | {"model": name, "reference": chosen, "n": counts.n} | row)
    frame = pd.DataFrame(rows, columns=PAIRED_COLUMNS)
    for _, family in frame.groupby("metric"):
        frame.loc[family.index, "p_holm"] = holm(family["p_value"].tolist())
    return _round(frame)


def _mcnemar(a: TextCounts, b: TextCounts) -> McNemar:
    return mcnemar_exact(a.parts["exact_match"][:, 0] > 0, b.parts["exact_match"][:, 0] > 0)


def _test_row(found: PairedDifference, exact: McNemar | None) -> dict[str, object]:
    row: dict[str, object] = {"test": "paired bootstrap"} | vars(found)
    if exact is not None:
        row |= {"test": "McNemar exact", "p_value": exact.p_value}
        row |= {"only_model": exact.only_a, "only_reference": exact.only_b}
    return row


def _round(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = ["difference", "ci_low", "ci_high"]
    frame[numbers] = frame[numbers].astype(float).round(6) + 0.0
    for name in ("p_value", "p_holm"):
        # Significant digits, not decimals: a p-value of 1e-9 must not become 0.
        frame[name] = [float(f"{value:.4g}") for value in frame[name].astype(float)]
    counts = ["only_model", "only_reference"]
    frame[counts] = frame[counts].astype("Int64")
    return frame.sort_values(["metric", "model"], kind="stable", ignore_index=True)


def _stack(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate, leaving out empty frames so that the column types stay as they are."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
