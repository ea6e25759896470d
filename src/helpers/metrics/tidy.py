"""From saved predictions to one tidy table of scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from helpers.metrics.counts import TextCounts, count_texts
from helpers.metrics.intervals import evaluate
from helpers.metrics.scores import class_rates
from helpers.runs import HelpersError

if TYPE_CHECKING:
    from helpers.tasks import Task

SPLITS = ("train", "validation", "test")
_KEY, _RESULT = ["task", "split", "model"], ["metric", "value", "ci_low", "ci_high"]
METRIC_COLUMNS = [*_KEY, "parameters", "fine_tuned", *_RESULT, "n", "n_answered"]
CLASS_COLUMNS = [*_KEY, "label", "name", *_RESULT, "support", "n", "n_answered"]
PREDICTION_COLUMNS = ["id", "split", "status", "answer", "labels"]
# Six decimals: more than a bootstrap interval can mean, fewer than rounding errors can reach.
DECIMALS = 6


class MetricsError(HelpersError):
    """Predictions that cannot be scored."""


@dataclass(frozen=True)
class ModelInfo:
    """What a table says about a model besides its name.

    Attributes
    ----------
    parameters : int, optional
        Number of parameters; None for baselines without a size.
    fine_tuned : bool
    """

    parameters: int | None = None
    fine_tuned: bool = False


def read_predictions(path: Path, texts: pd.DataFrame) -> pd.DataFrame:
    """Read ``predictions/<task>/<model>.parquet`` and check it against the texts.

    Parameters
    ----------
    path : Path
    texts : DataFrame
        The texts frame of the task.

    Returns
    -------
    DataFrame
        Columns of the file and ``truth`` (the text's labels), in the order of `texts`.

    Raises
    ------
    MetricsError
        If a column is missing, an id occurs twice or is unknown, or a split disagrees.
    """
    frame = pd.read_parquet(path)
    where, remedy = f"{path.parent.name}/{path.name}", "delete the file and predict again"
    if missing := [name for name in PREDICTION_COLUMNS if name not in frame.columns]:
        raise MetricsError(f"{where}: column(s) {', '.join(missing)} missing; {remedy}")
    problems = {
        "occurs twice": frame["id"].duplicated(),
        "is not among the texts of the task": ~frame["id"].isin(texts["id"]),
        "has another split in texts.parquet": frame["split"]
        != frame["id"].map(texts.set_index("id")["split"]),
    }
    for problem, mask in problems.items():
        if mask.any():
            row = int(np.flatnonzero(mask)[0])
            raise MetricsError(
                f"{where}, row {row}: id {frame['id'].iloc[row]!r} {problem}; {remedy}"
            )
    truth = texts[["id", "labels"]].rename(columns={"labels": "truth"})
    return truth.merge(frame, on="id", how="inner", validate="one_to_one")


def counts_from_frames(
    task: Task, predictions: pd.DataFrame, *, fallback: float | None = None
) -> TextCounts:
    """Counts of a frame with JSON columns ``truth`` and ``labels`` and a column ``status``.

    Parameters
    ----------
    task : Task
    predictions : DataFrame
        As `read_predictions` returns it.
    fallback : float, optional
        Numeric tasks: what stands in for a missing answer (see `numeric_counts`).
    """
    answered = (predictions["status"] == "ok").to_numpy()
    truth = [task.loads(cell) for cell in predictions["truth"]]
    pairs = zip(predictions["labels"], answered, strict=True)
    guess = [task.loads(cell) if ok else None for cell, ok in pairs]
    if task.label_type == "numeric":
        numbers = [np.nan if value is None else value for value in guess]
        return count_texts("numeric", truth, numbers, answered, fallback=fallback)
    return count_texts(task.label_type, task.encode(truth), task.encode(guess), answered)


def train_mean(task: Task, texts: pd.DataFrame) -> float | None:
    """Mean target of the training texts of a numeric task; None for other tasks."""
    if task.label_type != "numeric":
        return None
    train = texts.loc[texts["split"] == "train", "labels"]
    return float(np.mean([task.loads(cell) for cell in train])) if len(train) else None


def split_counts(
    task: Task, texts: pd.DataFrame, folder: Path, splits: Iterable[str] = SPLITS
) -> Iterator[tuple[str, dict[str, TextCounts]]]:
    """Counts of every model of a predictions folder, split by split.

    Models are compared on the same texts or not at all: within a split every model that predicted
    any text must have predicted the same ones. A model without predictions in a split is left out.

    Raises
    ------
    MetricsError
        If the folder has no predictions, or two models cover different texts of a split.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise MetricsError(f"no predictions in {folder.name}/: run the chapters that predict first")
    frames = {path.stem: read_predictions(path, texts) for path in files}
    fallback = train_mean(task, texts)
    for split in splits:
        parts = {name: f[f["split"] == split] for name, f in frames.items()}
        parts = {name: part for name, part in parts.items() if len(part)}
        _same_texts(folder, split, parts)
        counts = {n: counts_from_frames(task, p, fallback=fallback) for n, p in parts.items()}
        if counts:
            yield split, counts


def _same_texts(folder: Path, split: str, parts: Mapping[str, pd.DataFrame]) -> None:
    everything = set().union(*(set(part["id"]) for part in parts.values()))
    for name, part in parts.items():
        if missing := sorted(everything - set(part["id"])):
            raise MetricsError(
                f"{folder.name}/{name}.parquet: {len(missing)} of {len(everything)} {split} texts "
                f"that another model predicted are missing (first: {missing[0]!r}); models are "
                "compared on the same texts, so predict them too, or delete the file"
            )


def tidy(
    task: Task,
    texts: pd.DataFrame,
    folder: Path,
    models: Mapping[str, ModelInfo] | None = None,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
    splits: Iterable[str] = SPLITS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every model in a predictions folder, with bootstrap 95% intervals.

    Parameters
    ----------
    task : Task
    texts : DataFrame
        The texts frame of the task.
    folder : Path
        ``predictions/<task>``.
    models : mapping of str to ModelInfo, optional
        Parameters and fine-tuning by model name; a model that is not named has no size.
    n_resamples, seed : int
        Of the bootstrap; see `resampled_sums`.
    splits : iterable of str

    Returns
    -------
    metrics, per_class : DataFrame
        One row per score, columns `METRIC_COLUMNS`; ``n_classes_<mean>`` rows say how many classes
        a mean rests on. One row per class and rate, columns `CLASS_COLUMNS`; support is the
        number of texts that truly have the label.
    """
    known = models or {}
    metrics: list[dict[str, object]] = []
    classes: list[dict[str, object]] = []
    for split, by_model in split_counts(task, texts, folder, splits):
        for name, counts in by_model.items():
            overall, by_class = evaluate(counts, n_resamples, seed)
            info = known.get(name, ModelInfo())
            base = {"task": task.name, "split": split, "model": name}
            size = {"n": counts.n, "n_answered": counts.n_answered}
            about = {"parameters": info.parameters, "fine_tuned": info.fine_tuned}
            values = {key: vars(estimate) for key, estimate in overall.items()}
            values |= {key: {"value": count} for key, count in _class_numbers(counts).items()}
            metrics += [base | about | {"metric": k} | v | size for k, v in values.items()]
            support = counts.total().get("true", np.array([]))
            for rate, estimates in by_class.items():
                for label, estimate, n_true in zip(task.labels, estimates, support, strict=True):
                    about_label = {"label": label, "name": task.label_names[label], "metric": rate}
                    extra = {"support": int(n_true)} | size
                    classes.append(base | about_label | vars(estimate) | extra)
    return _table(metrics, METRIC_COLUMNS), _table(classes, CLASS_COLUMNS)


def per_class(
    task: Task, texts: pd.DataFrame, folder: Path, *, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Rates of each class alone: the second table of `tidy`."""
    return tidy(task, texts, folder, n_resamples=n_resamples, seed=seed)[1]


def _class_numbers(counts: TextCounts) -> dict[str, int]:
    """How many classes the unweighted means are taken over."""
    if counts.label_type == "numeric":
        return {}
    sums = counts.total()
    wanted = {"balanced_accuracy"} if counts.label_type != "single" else set(class_rates(sums))
    rates = {k: v for k, v in class_rates(sums).items() if k in wanted}
    numbers = {f"n_classes_mean_{k}": int((~np.isnan(v)).sum()) for k, v in rates.items()}
    return numbers | {"n_classes_macro_f1": int((sums["true"] + sums["pred"] > 0).sum())}


def _table(rows: list[dict[str, object]], columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns)
    numbers = ["value", "ci_low", "ci_high"]
    # Adding 0 turns -0.0, which prints differently, into 0.0.
    frame[numbers] = frame[numbers].astype(float).round(DECIMALS) + 0.0
    if "parameters" in frame:
        frame["parameters"] = frame["parameters"].astype("Int64")
    return frame
