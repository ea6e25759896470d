"""Describe texts and labels: the numbers behind the tables and figures of chapter 01."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.tasks import Task


def words(frame: pd.DataFrame) -> pd.Series:
    """Return the number of words (runs of non-blanks) of each text."""
    return frame["text"].str.split().str.len()


def overview(task: Task, frame: pd.DataFrame) -> dict[str, object]:
    """Return one row of the table of data sets: sizes, lengths, labels.

    ``labels_per_text`` and ``without_label`` are missing for numeric tasks.
    """
    length = words(frame)
    row: dict[str, object] = {
        "task": task.name,
        "label_type": task.label_type,
        "texts": len(frame),
        "words_median": float(length.median()),
        "words_95th_percentile": float(length.quantile(0.95)),
        "labels_in_codebook": len(task.labels),
    }
    if task.label_type != "numeric":
        matrix = task.encode([task.loads(cell) for cell in frame["labels"]]) > 0
        row["labels_that_occur"] = int(matrix.any(axis=0).sum())
        row["labels_per_text"] = round(float(matrix.sum(axis=1).mean()), 2)
        row["without_label"] = int((~matrix.any(axis=1)).sum())
    return row


def label_counts(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Count the texts that have each label.

    Returns
    -------
    One row a label, in codebook order: task, label, name, n, share (of all texts), and for tasks
    with intensities one column a level (number of texts that have the label at that level).
    """
    matrix = task.encode([task.loads(cell) for cell in frame["labels"]])
    counts = (matrix > 0).sum(axis=0)
    table = pd.DataFrame(
        {
            "task": task.name,
            "label": task.labels,
            "name": [task.label_names[label] for label in task.labels],
            "n": counts,
            "share": counts / max(len(frame), 1),
        }
    )
    for index, level in enumerate(task.levels):
        table[level] = (matrix == index + 1).sum(axis=0)
    return table


def cooccurrence(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Count the texts that have both of two labels.

    Returns
    -------
    (L, L) frame, index and columns the readable names in codebook order; the diagonal holds the
    number of texts that have the label.
    """
    matrix = (task.encode([task.loads(cell) for cell in frame["labels"]]) > 0).astype(np.int64)
    names = [task.label_names[label] for label in task.labels]
    return pd.DataFrame(matrix.T @ matrix, index=names, columns=names)


def split_balance(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Compare the splits: texts, words and (numeric tasks) the target, or labels, in each.

    ``largest_gap`` is the largest difference, over labels, between a label's share in the split
    and its share in all texts: small if the splits were drawn well.
    """
    rows = []
    everywhere = None if task.label_type == "numeric" else label_counts(task, frame)["share"]
    for split in ("train", "validation", "test"):
        part = frame[frame["split"] == split]
        row: dict[str, object] = {"task": task.name, "split": split, "texts": len(part)}
        row["words_median"] = float(words(part).median()) if len(part) else float("nan")
        if everywhere is None:
            target = pd.Series([task.loads(cell) for cell in part["labels"]], dtype=float)
            row["target_mean"] = float(target.mean())
        elif len(part):
            gap = (label_counts(task, part)["share"] - everywhere).abs().max()
            row["largest_gap"] = round(float(gap), 4)
        rows.append(row)
    return pd.DataFrame(rows)


def lengths(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per text: split, words."""
    return pd.DataFrame({"split": frame["split"], "words": words(frame)})
