"""Leakage between splits: texts that occur twice, or nearly so."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from helpers.data.splits import SPLITS
from helpers.data.validation import dropped_table

if TYPE_CHECKING:  # here and below: scipy and scikit-learn take a second to import
    from scipy import sparse

SHINGLE = 5
THRESHOLD = 0.7
ROWS_AT_ONCE = 1000
PAIR_COLUMNS = ["id_a", "split_a", "id_b", "split_b", "similarity", "kind"]


class Cleaned(NamedTuple):
    """What `drop_leaks` returns: the texts that stay, and a table of those that do not."""

    frame: pd.DataFrame
    dropped: pd.DataFrame


def normal_form(text: str) -> str:
    """Return a text without what does not make it another text.

    Unicode forms, case, links, @names, punctuation and white space are levelled. A text that has
    nothing else (only signs or emoji) stays as it is.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"\w+", re.sub(r"https?://\S+|@\w+", " ", plain))
    return " ".join(words) or " ".join(plain.split())


def shingles(text: str, n: int = SHINGLE) -> list[str]:
    """Return the runs of n words of a text in normal form (the whole text if it is shorter)."""
    words = text.split()
    return [" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1))]


def near_duplicates(
    frame: pd.DataFrame, threshold: float = THRESHOLD, across: bool = True
) -> pd.DataFrame:
    """Find pairs of texts that are the same or nearly the same.

    Parameters
    ----------
    frame : texts frame with a split column.
    threshold : smallest Jaccard similarity |A ∩ B| / |A ∪ B| of the sets of five-word runs.
    across : only pairs in different splits; else all pairs.

    Returns
    -------
    frame (id_a, split_a, id_b, split_b, similarity, kind), kind ``exact`` (equal in normal form)
    or ``near``; the text of the split that comes first (train, validation, test) is a.

    Notes
    -----
    Numbers of shared runs are a sparse matrix product, taken 1,000 rows at a time: 10,000 texts
    of parliamentary length take about ten seconds on one core.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    rank = frame["split"].map({split: i for i, split in enumerate(SPLITS)})
    texts = frame.assign(rank=rank).sort_values(["rank", "id"]).reset_index(drop=True)
    normal = texts["text"].map(normal_form)
    if len(texts) < 2:
        return pd.DataFrame(columns=PAIR_COLUMNS)
    counts = CountVectorizer(analyzer=shingles, binary=True, dtype=np.int32).fit_transform(normal)
    first, second, similarity = _similar_rows(counts.tocsr(), threshold)
    ranks = texts["rank"].to_numpy()
    if across:
        keep = ranks[first] != ranks[second]
        first, second, similarity = first[keep], second[keep], similarity[keep]
    ids, splits, forms = (column.to_numpy() for column in (texts["id"], texts["split"], normal))
    pairs = pd.DataFrame(
        {
            "id_a": ids[first],
            "split_a": splits[first],
            "id_b": ids[second],
            "split_b": splits[second],
            "similarity": similarity,
            "kind": np.where(forms[first] == forms[second], "exact", "near"),
        }
    )
    return pairs.sort_values(["id_a", "id_b"], kind="stable").reset_index(drop=True)


def _similar_rows(
    sets: sparse.csr_matrix, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows i < j and their Jaccard similarity, where it reaches the threshold."""
    sizes = np.asarray(sets.sum(axis=1)).ravel()
    transposed = sets.T.tocsc()
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, sets.shape[0], ROWS_AT_ONCE):
        shared = (sets[start : start + ROWS_AT_ONCE] @ transposed).tocoo()
        i, j = shared.row + start, shared.col
        jaccard = shared.data / (sizes[i] + sizes[j] - shared.data)
        keep = (i < j) & (jaccard >= threshold)
        found.append((i[keep], j[keep], jaccard[keep]))
    first, second, similarity = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second, similarity


def drop_leaks(frame: pd.DataFrame, pairs: pd.DataFrame | None = None) -> Cleaned:
    """Take texts out of training (or validation) that nearly repeat a text held out after it.

    The test split is never touched. Of a pair of validation and test, the validation text goes.

    Parameters
    ----------
    frame : texts frame with a split column.
    pairs : result of `near_duplicates` across splits (default: computed here).

    Returns
    -------
    Cleaned: the frame without these rows, and a table (reason, count, ids).
    """
    pairs = near_duplicates(frame) if pairs is None else pairs
    reasons: list[tuple[str, list[str]]] = []
    gone: set[str] = set()
    for split in SPLITS[:2]:
        ids = sorted(set(pairs.loc[pairs["split_a"] == split, "id_a"]) - gone)
        gone |= set(ids)
        if ids:
            reasons.append((f"{split} text that nearly repeats a held-out text", ids))
    return Cleaned(frame[~frame["id"].isin(gone)].reset_index(drop=True), dropped_table(reasons))
