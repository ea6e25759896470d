"""The archived CAP answers: scored as the authors' ``summaryStat.R`` does, and done right.

As published: a confusion matrix of the codes that occur as truth, predicted codes as rows, true
codes as columns. A text whose predicted code never occurs as truth is in no cell, though it counts
in the accuracy. The rates of each code are rounded to one decimal of a percent first, then their
unweighted mean is taken over the codes where they are defined. Rates are those of R's caret, so F1
is undefined where a code is never rightly found: leaving such a code out flatters the mean.

Corrected: nothing is rounded, every text counts (an answer that is no code of the codebook is
wrong), a code without any hit has F1 0 (``macro_f1``) beside the mean without it (``mean_f1``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.data.manifest import UpstreamFile, file_status, read_manifest, upstream_file
from helpers.metrics import (
    CLASS_METRICS,
    Estimate,
    TextCounts,
    at_the_edge,
    class_rates,
    evaluate,
    single_label_counts,
)
from helpers.published.panel import PublishedError
from helpers.published.per_dimension import ratio
from helpers.tasks import Task

Floats = NDArray[np.float64]
Manifest = Sequence[UpstreamFile]
MODEL = "Llama 2 7B FT"
MAJORITY = "majority"
# Version of the authors' inference script -> file; versions that the manifest lacks are left out.
VERSIONS = {
    "v2": "cap/classification_{split}-L2-7B-cap-verified-v2.csv",
    "last-and-final": "cap/classification_{split}-L2-7B-cap-verified-last-and-final.csv",
}
COLUMNS = ("idCoding", "idOrig", "trueCat", "predicted", "isCorrect")
PUBLISHED_RATES = ("sensitivity", "specificity", "f1", "balanced_accuracy")
REMEDY = "take the file from the archive again, and read codes and ids as text"


class CapRun(NamedTuple):
    """Answers to one split: version of the script, split, file, and texts as in the file."""

    version: str
    split: str
    file: str
    texts: pd.DataFrame


def cap_runs(task: Task, folder: Path, manifest: Manifest | None = None) -> list[CapRun]:
    """Read the classification files that a folder of the authors' files has.

    Parameters
    ----------
    task : cap.
    folder : of the authors' files; it may lack any of them.
    manifest : of the authors' files; the package's without it.

    Raises
    ------
    UpstreamError
        If a file is not that of the pinned commit.
    PublishedError
        If its content is not what it should be; see `check_cap`.
    """
    rows = {row.local_path: row for row in manifest or read_manifest()}
    runs = []
    for version, pattern in VERSIONS.items():
        for split in ("train", "test"):
            file = pattern.format(split=split)
            if file in rows and file_status(folder, rows[file]) != "absent":
                path = upstream_file(file, folder, list(rows.values()))
                raw = pd.read_csv(path, dtype="str", keep_default_na=False)
                runs.append(CapRun(version, split, file, check_cap(task, raw, file)))
    return runs


def check_cap(task: Task, raw: pd.DataFrame, file: str) -> pd.DataFrame:
    """Check a classification file and return its columns `COLUMNS`, isCorrect as bool.

    Parameters
    ----------
    task : cap.
    raw : all columns as str.
    file : named in messages.

    Raises
    ------
    PublishedError
        If it has no text, a column is missing, or a row has an id that is no whole number or
        occurs twice, a true code that the codebook lacks, a predicted code that is no whole number,
        or an ``isCorrect`` that contradicts the codes. File, row and remedy are named.
    """
    if missing := [name for name in COLUMNS if name not in raw.columns]:
        raise PublishedError(f"{file} lacks column(s) {', '.join(missing)}; {REMEDY}")
    if raw.empty:
        raise PublishedError(f"{file} has no text; {REMEDY}")
    texts = raw[list(COLUMNS)].fillna("").astype("str")
    right = texts["trueCat"] == texts["predicted"]
    for problem, bad in {
        "idCoding {idCoding!r} is no whole number": ~texts["idCoding"].str.fullmatch(r"\d+"),
        "idCoding {idCoding!r} occurs twice": texts["idCoding"].duplicated(),
        "the true code {trueCat!r} is not in the codebook": ~texts["trueCat"].isin(task.labels),
        "the predicted code {predicted!r} is no whole number": ~texts["predicted"].str.fullmatch(
            r"\d+"
        ),
        "isCorrect is {isCorrect!r}, not True or False": ~texts["isCorrect"].isin(
            ["True", "False"]
        ),
        "isCorrect is {isCorrect} for truth {trueCat} and prediction {predicted}": right
        != (texts["isCorrect"] == "True"),
    }.items():
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            what = problem.format(**texts.iloc[row].to_dict())
            raise PublishedError(f"{file}, row {row + 1}: {what}; {REMEDY}")
    return texts.assign(isCorrect=right)


def published_rates(texts: pd.DataFrame) -> pd.DataFrame:
    """Compute the rates of each code by the definitions of the authors' script (and of caret).

    Parameters
    ----------
    texts : see `check_cap`.

    Returns
    -------
    DataFrame, index the codes that occur as truth in rising order, columns `PUBLISHED_RATES`:
    shares between 0 and 1, NaN where undefined.
    """
    codes = sorted(texts["trueCat"].unique(), key=int)
    inside = texts[texts["predicted"].isin(codes)]
    n = float(len(inside))

    def number(column: pd.Series) -> Floats:
        return column.value_counts().reindex(codes, fill_value=0).to_numpy(float)

    tp = number(inside.loc[inside["isCorrect"], "trueCat"])
    true, named = number(inside["trueCat"]), number(inside["predicted"])
    sensitivity, precision = ratio(tp, true), ratio(tp, named)
    specificity = ratio(n - true - named + tp, n - true)
    return pd.DataFrame(
        {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "f1": ratio(2 * precision * sensitivity, precision + sensitivity),
            "balanced_accuracy": (sensitivity + specificity) / 2,
        },
        index=pd.Index(codes, name="code"),
    )


def cap_published(runs: Sequence[CapRun]) -> pd.DataFrame:
    """Recompute the authors' summary of each file.

    Parameters
    ----------
    runs : see `cap_runs`.

    Returns
    -------
    DataFrame (version, split, metric, value, printed, n_classes, n, n_outside): `value` in percent
    before the last rounding (means are of rates that were rounded to one decimal), `printed` with
    one decimal, `n_classes` the codes that a mean rests on (0 for the accuracy), `n` texts,
    `n_outside` those in no cell of the matrix.
    """
    rows = []
    for run in runs:
        texts = run.texts
        rates = published_rates(texts)
        about = {"version": run.version, "split": run.split}
        size = {"n": len(texts), "n_outside": int((~texts["predicted"].isin(rates.index)).sum())}
        accuracy = 100 * float(texts["isCorrect"].mean())
        values = {"accuracy": (accuracy, 0)}
        for name in PUBLISHED_RATES:
            percent = (100 * rates[name]).round(1)
            values[f"mean_{name}"] = (float(percent.mean()), int(percent.notna().sum()))
        for metric, (value, classes) in values.items():
            row = {"metric": metric, "value": value, "printed": round(value, 1)}
            rows.append(about | row | {"n_classes": classes} | size)
    return pd.DataFrame(rows)


def cap_counts(task: Task, texts: pd.DataFrame, majority: bool = False) -> TextCounts:
    """Count right and wrong answers by code; an answer outside the codebook is no usable one.

    Parameters
    ----------
    task : cap.
    texts : see `check_cap`.
    majority : instead of the model, always answer the most frequent true code of these texts (of
        equally frequent ones the first of the codebook).
    """
    truth = task.encode(texts["trueCat"].tolist())
    if majority:
        guess = np.zeros_like(truth)
        guess[:, truth.sum(axis=0).argmax()] = 1
        return single_label_counts(truth, guess, np.ones(len(texts), dtype=bool))
    known = texts["predicted"].isin(task.labels)
    answers = [str(x) if ok else None for x, ok in zip(texts["predicted"], known, strict=True)]
    return single_label_counts(truth, task.encode(answers), known)


def cap_corrected(
    task: Task, runs: Sequence[CapRun], *, n_resamples: int = 2000, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score each file without the faults of the published summary, with a majority baseline.

    Parameters
    ----------
    task : cap.
    runs : see `cap_runs`.
    n_resamples, seed : of the bootstrap over texts (95% percentile intervals).

    Returns
    -------
    scores : DataFrame (task, version, split, model, in_sample, metric, value, ci_low, ci_high,
        n_classes, n, n_answered), shares between 0 and 1. ``mean_f1`` leaves out the codes without
        a hit, ``macro_f1`` counts them as 0; `n_classes` says how many codes are in a mean (0 where
        the score is none). The training split is the model's training texts.
    per_code : DataFrame (task, version, split, model, in_sample, label, name, metric, value,
        ci_low, ci_high, support, n, n_answered), one row a code and rate. F1 is NaN without a hit.
        Rates of 0 or 1: see `helpers.metrics.at_the_edge`.
    """
    scores: list[dict[str, object]] = []
    codes: list[dict[str, object]] = []
    for run in runs:
        for model in (MODEL, MAJORITY):
            counts = cap_counts(task, run.texts, model == MAJORITY)
            overall, by_class = evaluate(counts, n_resamples, seed)
            base: dict[str, object] = {"task": task.name, "version": run.version}
            # A constant answer learned nothing from any text.
            in_sample = run.split == "train" and model == MODEL
            base |= {"split": run.split, "model": model, "in_sample": in_sample}
            size = {"n": counts.n, "n_answered": counts.n_answered}
            classes = _class_numbers(counts)
            for metric, estimate in overall.items():
                row = {"metric": metric} | vars(estimate) | {"n_classes": classes.get(metric, 0)}
                scores.append(base | row | size)
            codes += [base | row | size for row in _code_rows(task, counts, by_class)]
    return pd.DataFrame(scores), pd.DataFrame(codes)


def _class_numbers(counts: TextCounts) -> dict[str, int]:
    sums = counts.total()
    numbers = {f"mean_{k}": int((~np.isnan(v)).sum()) for k, v in class_rates(sums).items()}
    return numbers | {"macro_f1": int((sums["true"] + sums["pred"] > 0).sum())}


def _code_rows(
    task: Task, counts: TextCounts, by_class: Mapping[str, Sequence[Estimate]]
) -> list[dict[str, object]]:
    sums, rows = counts.total(), []
    values = {rate: np.array([e.value for e in by_class[rate]]) for rate in CLASS_METRICS}
    limits = {
        rate: (
            np.array([e.ci_low for e in by_class[rate]]),
            np.array([e.ci_high for e in by_class[rate]]),
        )
        for rate in CLASS_METRICS
    }
    limits = at_the_edge(sums, values, limits)
    for rate in CLASS_METRICS:
        for i, label in enumerate(task.labels):
            row: dict[str, object] = {
                "label": label,
                "name": task.label_names[label],
                "metric": rate,
            }
            low, high = (float(limit[i]) for limit in limits[rate])
            row |= {"value": float(values[rate][i]), "ci_low": low, "ci_high": high}
            rows.append(row | {"support": int(sums["true"][i])})
    return rows
