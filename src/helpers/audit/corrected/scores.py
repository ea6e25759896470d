"""The article's exhibits on the posts done right: same posts for all, baselines, intervals.

Three things differ from what was published. Every model is scored on the same posts, all those
with a true label: a post without usable answer is an empty answer, which misses every dimension
and earns a Jaccard index of 0 (texts ``same``). The published selection, the posts that a model
answered, stands beside it (texts ``published``). The two dimensions that the published cleaning
takes away are restored. And predict-nothing and majority are scored like models.

``ci_low`` and ``ci_high`` are 95% percentile intervals over posts; ``ci_low_coders`` and
``ci_high_coders`` over posts and coders (`helpers.audit.corrected.coders`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.audit.corrected.coders import coder_intervals
from helpers.audit.corrected.counts import (
    BASELINES,
    METRICS,
    Resampled,
    answered,
    resample,
    score_values,
    with_baselines,
)
from helpers.metrics.counts import Floats
from helpers.metrics.intervals import percentile_interval
from helpers.metrics.paired import holm
from helpers.published.answers import all_archived_models
from helpers.published.archive import Archive, posts, true_labels
from helpers.published.panel import published_flourishing
from helpers.published.statistics import level_matrix

Scores = dict[str, Floats]
REFERENCE = "classified-chatgpt4"
PAIRED_METRICS = ("jaccard", "hamming_loss", "micro_f1", "macro_f1", "mcc")
MODEL_COLUMNS = ("fname", "model", "parameters_billion", "fine_tuned", "in_sample", "split")
SCORE_COLUMNS = (
    *MODEL_COLUMNS,
    *("texts", "metric", "value", "ci_low", "ci_high", "ci_low_coders", "ci_high_coders"),
    *("n", "n_answered", "n_coders"),
)
PAIRED_COLUMNS = (
    *MODEL_COLUMNS,
    *("reference", "metric", "difference", "ci_low", "ci_high", "p_value", "p_holm"),
    *("n", "n_answered", "status"),
)


class Corrected(NamedTuple):
    """The tables of one split; see `corrected_scores` and `corrected_paired`."""

    scores: pd.DataFrame
    paired: pd.DataFrame
    resampled: Resampled


def model_facts(split: str) -> pd.DataFrame:
    """Return `MODEL_COLUMNS` of all archived models and the baselines.

    `in_sample`: the split's posts were the model's training texts. A constant answer, though chosen
    by these posts, learned nothing from any of them.
    """
    names = published_flourishing().drop_duplicates("fname").set_index("fname")["model"]
    rows = [
        (m.fname, names[m.fname], m.parameters / 10**9, m.fine_tuned,
         m.in_sample and split == "train", split)
        for m in all_archived_models().values()
    ]  # fmt: skip
    rows += [(key, title, np.nan, False, False, split) for key, title in BASELINES.items()]
    return pd.DataFrame(rows, columns=list(MODEL_COLUMNS))


def corrected_scores(resampled: Resampled, coders: pd.DataFrame | None = None) -> pd.DataFrame:
    """Score every model and baseline by every metric on both selections of posts.

    Parameters
    ----------
    resampled : see `resample`.
    coders : intervals over coders, see `coder_intervals`; NaN without them.

    Returns
    -------
    DataFrame, columns `SCORE_COLUMNS`: shares between 0 and 1 (MCC between -1 and 1), NaN where
    undefined; `n` posts that the row rests on, `n_answered` of all posts with a usable answer (a
    baseline answers all), `n_coders` coders behind the true labels.
    """
    posts, rows = resampled.posts, []
    for fname, by_texts in resampled.total.items():
        n_answered = int(answered(posts, fname).sum())
        for texts, total in by_texts.items():
            values, spread = score_values(total), score_values(resampled.samples[fname][texts])
            for metric in METRICS:
                row = (fname, texts, metric, *_interval(values[metric], spread[metric]))
                rows.append((*row, int(total["ones"][0]), n_answered))
    names = ["fname", "texts", "metric", "value", "ci_low", "ci_high", "n", "n_answered"]
    table = model_facts(posts.split).merge(pd.DataFrame(rows, columns=names), on="fname")
    if coders is None:
        coders = pd.DataFrame(columns=["fname", "texts", "metric"])
    table = table.merge(coders, on=["fname", "texts", "metric"], how="left")
    return table.reindex(columns=list(SCORE_COLUMNS))


def corrected_paired(resampled: Resampled) -> pd.DataFrame:
    """Compare each model and baseline with ChatGPT-4 on the same posts.

    Returns
    -------
    DataFrame, columns `PAIRED_COLUMNS`: `difference` is model minus ChatGPT-4, with a 95%
    percentile interval over posts that are drawn for both together; `p_value` is two-sided, as in
    `helpers.metrics.paired_bootstrap`; `p_holm` is Holm's over all rows of the same metric and
    split. `status` is ``ok``, or says why nothing was computed; numbers are NaN then.
    """
    posts, rows = resampled.posts, []
    reference, status = _values(resampled, REFERENCE), "ok"
    if reference is None:
        status = f"not run: flourishing/{REFERENCE}.csv is absent"
    for fname in posts.predicted:
        if fname == REFERENCE:
            continue
        model = _values(resampled, fname)
        n_answered = int(answered(posts, fname).sum())
        for metric in PAIRED_METRICS:
            numbers = _difference(model, reference, metric)
            rows.append((fname, REFERENCE, metric, *numbers, len(posts.truth), n_answered, status))
    names = [name for name in PAIRED_COLUMNS if name not in (*MODEL_COLUMNS, "p_holm")]
    numbers = pd.DataFrame(rows, columns=["fname", *names])
    table = model_facts(posts.split).merge(numbers, on="fname")
    table["p_holm"] = table.groupby("metric")["p_value"].transform(holm)
    return table[list(PAIRED_COLUMNS)]


def _values(resampled: Resampled, fname: str) -> tuple[Scores, Scores] | None:
    if fname not in resampled.total:
        return None
    total, samples = (sums[fname]["same"] for sums in (resampled.total, resampled.samples))
    return score_values(total), score_values(samples)


def _difference(
    model: tuple[Scores, Scores] | None, reference: tuple[Scores, Scores] | None, metric: str
) -> tuple[float, float, float, float]:
    if model is None or reference is None:
        return (np.nan,) * 4
    spread = model[1][metric] - reference[1][metric]
    value, low, high = _interval(model[0][metric] - reference[0][metric], spread)
    if np.isnan(value):
        return (np.nan,) * 4
    defined = spread[~np.isnan(spread)]
    tail = min((defined <= 0).sum(), (defined >= 0).sum())
    return value, low, high, float(min(1.0, 2 * (1 + tail) / (1 + len(defined))))


def _interval(value: Floats, spread: Floats) -> tuple[float, float, float]:
    if np.isnan(value):
        return (np.nan,) * 3
    low, high = percentile_interval(spread)
    return float(value), float(low), float(high)


def corrected_tables(
    archive: Archive,
    split: str,
    *,
    conflict: str = "published",
    cleaning: str = "corrected",
    n_resamples: int = 2000,
    seed: int = 0,
) -> Corrected:
    """Make the corrected tables of a split from the archive.

    Raises
    ------
    UpstreamMissing
        If the file with the split's true labels is absent.
    """
    wanted = posts(archive, split, conflict=conflict, cleaning=cleaning)
    training = None
    if split == "train":
        training = wanted.truth
    elif "train" in archive.codings:
        labels = true_labels(archive.codings["train"], conflict)
        training = level_matrix(archive.task, labels, sorted(set(labels["id"])))
    drawn = resample(with_baselines(wanted, training), n_resamples, seed)
    coders = coder_intervals(archive, drawn, conflict=conflict, n_resamples=n_resamples, seed=seed)
    return Corrected(corrected_scores(drawn, coders), corrected_paired(drawn), drawn)
