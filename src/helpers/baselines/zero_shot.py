"""A zero-shot labeller: which label of the codebook is nearest to the text?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.baselines.decisions import best_cutoff, micro_f1, with_levels
from helpers.baselines.regression import Embed
from helpers.tasks import Task

Phrases = Mapping[str, Sequence[str]]


def codebook_phrases(task: Task) -> dict[str, list[str]]:
    """Phrases that stand for each label: 'name: subtopic' pairs, or the name alone.

    Subtopics help: the name of a major topic is short, and its parts say what it covers.
    """
    phrases: dict[str, list[str]] = {label: [] for label in task.labels}
    for row in task.subtopics.itertuples():
        phrases[str(row.label)].append(f"{task.label_names[str(row.label)]}: {row.name}")
    return {label: found or [task.label_names[label]] for label, found in phrases.items()}


def label_similarity(
    embed: Embed, texts: list[str], phrases: Phrases, labels: list[str]
) -> NDArray[np.float64]:
    """Cosine similarity of each text to each label's nearest phrase, (n, L)."""
    vectors = _unit(np.asarray(embed(texts), dtype=np.float64))
    flat = [phrase for label in labels for phrase in phrases[label]]
    anchors = _unit(np.asarray(embed(flat), dtype=np.float64))
    starts = np.cumsum([0, *(len(phrases[label]) for label in labels)])[:-1]
    return np.maximum.reduceat(vectors @ anchors.T, starts, axis=1)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def labels_from_similarity(
    task: Task, similarity: NDArray[np.float64], train: list[Any], is_train: Any
) -> list[Any]:
    """Nearest label; in multi-label tasks the labels above a cutoff or the k nearest.

    Which of the two, the cutoff or k, and the levels are set on the training split. That is the
    only thing learnt: one number.
    """
    if task.label_type == "single":
        return [task.labels[i] for i in similarity.argmax(axis=1)]
    levels = task.encode(train)
    present, known = levels > 0, similarity[is_train]
    by_cutoff = best_cutoff(present, known)
    rank = (-similarity).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    by_count = max((micro_f1(present, rank[is_train] < k), -k) for k in range(1, 6))
    near, first = similarity >= by_cutoff[1], rank < -by_count[1]
    guess = near if by_cutoff[0] > by_count[0] else first
    return task.decode(with_levels(task, guess, levels))
