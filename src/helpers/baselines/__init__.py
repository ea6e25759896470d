"""Simple methods that every fine-tuned model is held against.

Each baseline learns from the training split alone and predicts every split. What it has to choose
(regularisation, decision threshold) it chooses by cross-validation inside the training split, so
the validation and test splits stay untouched. Predictions for the training split are in-sample,
as those of the fine-tuned models are.

Embeddings come from outside: a function that takes n texts and returns an (n, d) array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from helpers.baselines.decisions import with_levels
from helpers.baselines.regression import BaselineError, Embed, fit_predict, inputs_of
from helpers.baselines.zero_shot import (
    Phrases,
    codebook_phrases,
    label_similarity,
    labels_from_similarity,
)
from helpers.tasks import Task

__all__ = [
    "BASELINES",
    "CROWD",
    "BaselineError",
    "applicable",
    "codebook_phrases",
    "label_similarity",
    "predict_baseline",
    "remembered",
    "title",
]

CROWD = "crowd-majority"  # the AI crowd's majority vote stands beside the baselines
BASELINES = ("majority", "predict-nothing", "tfidf-lr", "embeddings-lr", "zero-shot")


def applicable(name: str, task: Task) -> bool:
    """Whether a baseline makes sense for a task.

    'predict-nothing' needs a task in which a text may have no label, 'zero-shot' one with labels.
    """
    if name not in BASELINES:
        raise BaselineError(f"unknown baseline {name!r}: choose among {', '.join(BASELINES)}")
    if name == "predict-nothing":
        return task.label_type in ("multi", "multi_intensity")
    return name != "zero-shot" or task.label_type != "numeric"


def title(name: str, task: Task, *, short: bool = False) -> str:
    """Readable name of a baseline; numeric tasks use the mean and ridge regression.

    The short form, for narrow places, writes LR for logistic regression.
    """
    numeric = task.label_type == "numeric"
    method = "ridge" if numeric else "LR"
    if not short:
        method = "ridge regression" if numeric else "logistic regression"
    return {
        "majority": "Mean of the training texts" if numeric else "Most frequent label",
        "predict-nothing": "Predict nothing",
        "tfidf-lr": f"TF-IDF + {method}",
        "embeddings-lr": f"Sentence embeddings + {method}",
        "zero-shot": "Zero-shot encoder",
    }[name]


def remembered(embed: Embed) -> Embed:
    """Wrap an embedding function so that it embeds the same list of texts only once."""
    known: dict[tuple[str, ...], Any] = {}

    def embed_once(texts: list[str]) -> Any:
        key = tuple(texts)
        if key not in known:
            known[key] = embed(texts)
        return known[key]

    return embed_once


def predict_baseline(
    name: str,
    task: Task,
    texts: pd.DataFrame,
    embed: Embed | None = None,
    *,
    phrases: Phrases | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Predictions of one baseline for all splits.

    Parameters
    ----------
    name : {"majority", "predict-nothing", "tfidf-lr", "embeddings-lr", "zero-shot"}
    task : Task
    texts : DataFrame
        The texts frame of the task; split "train" is what the baseline learns from.
    embed : callable, optional
        Texts to an (n, d) array; needed by "embeddings-lr" and "zero-shot".
    phrases : mapping of label to phrases, optional
        What "zero-shot" compares a text with; by default `codebook_phrases`.
    seed : int
        Of the shuffle into folds.

    Returns
    -------
    DataFrame
        Columns id, split, status ("ok"), answer (the completion a model would have given) and
        labels (JSON), in the order of `texts`.

    Raises
    ------
    BaselineError
        If the baseline is unknown or does not apply, embeddings are missing, or there is no
        training text.
    """
    if not applicable(name, task):
        raise BaselineError(
            f"baseline {name!r} does not apply to the {task.label_type} task {task.name}"
        )
    if name in ("embeddings-lr", "zero-shot") and embed is None:
        raise BaselineError(f"baseline {name!r} needs a function that embeds texts")
    is_train = (texts["split"] == "train").to_numpy()
    if not is_train.any():
        raise BaselineError(f"task {task.name}: no text of split 'train' to learn from")
    truth = [task.loads(cell) for cell in texts["labels"]]
    train = [labels for labels, kept in zip(truth, is_train, strict=True) if kept]
    # One BLAS thread: results must not depend on how many cores the machine has.
    with threadpool_limits(limits=1):
        if name == "majority":
            labels = [_most_frequent(task, train)] * len(texts)
        elif name == "predict-nothing":
            labels = [task.empty] * len(texts)
        elif name == "zero-shot":
            assert embed is not None
            similarity = label_similarity(
                embed, texts["text"].tolist(), phrases or codebook_phrases(task), task.labels
            )
            labels = labels_from_similarity(task, similarity, train, is_train)
        else:
            inputs = inputs_of(name, texts["text"].tolist(), embed)
            labels = fit_predict(name, task, inputs, train, is_train, seed)
    return _frame(task, texts, labels)


def _frame(task: Task, texts: pd.DataFrame, labels: Sequence[Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": texts["id"].to_numpy(),
            "split": texts["split"].to_numpy(),
            "status": "ok",
            "answer": [task.completion(item).strip() for item in labels],
            "labels": [task.dumps(item) for item in labels],
        }
    )


def _most_frequent(task: Task, train: list[Any]) -> Any:
    """The commonest label, with its commonest level; ties go to the first in the codebook.

    In multi-label tasks this is one label for every text, not the commonest label SET: where most
    sets are rare that is the empty one, which 'predict-nothing' covers already.
    """
    if task.label_type == "numeric":
        return float(np.mean(train))
    levels = task.encode(train)
    guess = np.zeros((1, levels.shape[1]), dtype=bool)
    guess[0, (levels > 0).sum(axis=0).argmax()] = True
    return task.decode(with_levels(task, guess, levels))[0]
