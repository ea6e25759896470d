"""A domain dictionary: a score for each word, learned from the training texts alone.

In the spirit of Häffner, Hofer, Nagl and Walterskirchen (2023, Political Analysis 31, 481-499), who
take the scores from a neural network's sensitivity; here they are the coefficients of a ridge
regression on TF-IDF, which needs scikit-learn alone. `dictionary` predicts with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import Ridge, RidgeCV

from helpers.runs import HelpersError

Floats = NDArray[np.float64]

ALPHAS = np.logspace(-2, 3, 16)
MOST_COMMON = 0.5
"""Words in a larger share of the texts have no score: articles and the like, which stand for a
text's length. Predictions are as good without them, and the dictionary can be read."""
MOST_TUNED = 2000
"""The penalty is chosen on so many texts at most. It stands for the ratio of noise to signal,
which does not depend on their number."""

FEATURES = (
    *("positive_sum", "negative_sum", "total", "positive_mean", "negative_mean", "scaled_total"),
    *("highest", "lowest", "positive_words", "negative_words", "share", "words"),
)


class DictionaryError(HelpersError):
    """A dictionary cannot be learned from these texts."""


@dataclass(frozen=True)
class Dictionary:
    """Words and their scores.

    Attributes
    ----------
    words : lower case, without repetition, from the weightiest to the least.
    scores : (k,) what one occurrence adds; above 0: the target is higher where the word stands.
    ngrams : 1: single words; 2: also pairs of neighbours.
    """

    words: tuple[str, ...]
    scores: Floats
    ngrams: int = 1

    def first(self, size: int | None) -> Dictionary:
        """Return the dictionary of the `size` weightiest words (None: all)."""
        return Dictionary(self.words[:size], self.scores[:size], self.ngrams)

    def counts(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """How often each word stands in each text, (n, k)."""
        if not self.words:
            return sparse.csr_matrix((len(texts), 0))
        vectoriser = CountVectorizer(ngram_range=(1, self.ngrams), vocabulary=list(self.words))
        return sparse.csr_matrix(vectoriser.transform(texts), dtype=np.float64)

    def table(self) -> pd.DataFrame:
        """Columns word and score, from the highest score to the lowest."""
        frame = pd.DataFrame({"word": self.words, "score": self.scores})
        return frame.sort_values(["score", "word"], ascending=[False, True], ignore_index=True)


def learn_dictionary(
    texts: Sequence[str], y: ArrayLike, *, size: int | None = None, seed: int = 0, ngrams: int = 1
) -> Dictionary:
    """Learn a score for each word.

    A ridge regression of the target on TF-IDF, penalty with the least leave-one-out error, of words
    that stand in two or more texts, but not in more than half of them. The score of a word is its
    coefficient times its inverse document frequency: what one more occurrence adds, before the row
    is scaled to length 1.

    Parameters
    ----------
    texts : n training texts.
    y : (n,) target, or (n,) 1 and 0 for a class.
    size : keep so many words, those with the largest absolute coefficients (None: all).
    seed : draws the texts on which the penalty is chosen, where there are more than `MOST_TUNED`.
    ngrams : 2: pairs of neighbouring words have scores too.

    Raises
    ------
    DictionaryError
        If there are fewer than two texts, or lengths differ.
    """
    target = checked(texts, y)[:, None]
    return learn(*count_words(texts, ngrams), target, seed, ngrams)[0].first(size)


def features(dictionary: Dictionary, texts: Sequence[str]) -> Floats:
    """What the scored words of each text sum up to.

    Returns
    -------
    (n, 12), columns as in `FEATURES`: sums of the positive and of the negative scores of all
    occurrences and of both; means over the occurrences; the sum of both over the square root of the
    number of words; highest and lowest score of a word in the text (0 if none is above or below);
    occurrences of positive and of negative words; share of the text's words that are in the
    dictionary; number of the text's words. Words that are not in the dictionary count in the last
    two alone; a text without words is a row of zeros.
    """
    return features_of(dictionary, dictionary.counts(texts), lengths_of(texts))


def checked(texts: Sequence[str], y: ArrayLike) -> Floats:
    """Return the target as (n,) floats; refuse one that does not fit the texts."""
    target = np.asarray(y, dtype=np.float64)
    if len(texts) < 2 or target.shape != (len(texts),) or not np.isfinite(target).all():
        raise DictionaryError(
            f"{len(texts)} texts and a target of shape {target.shape}: a dictionary needs two or "
            "more training texts, and one finite number for each"
        )
    return target


def lengths_of(texts: Sequence[str]) -> Floats:
    """Return the number of words of each text, (n,)."""
    return np.array([len(text.split()) for text in texts], dtype=np.float64)


def count_words(texts: Sequence[str], ngrams: int) -> tuple[sparse.csr_matrix, NDArray[Any]]:
    """Occurrences of all words, (n, words), and the words; none may be there."""
    vectoriser = CountVectorizer(ngram_range=(1, ngrams))
    if not any(map(vectoriser.build_analyzer(), texts)):
        return sparse.csr_matrix((len(texts), 0)), np.array([], dtype=object)
    counts = sparse.csr_matrix(vectoriser.fit_transform(texts), dtype=np.float64)
    return counts, vectoriser.get_feature_names_out()


def learn(
    counts: sparse.csr_matrix, words: NDArray[Any], targets: Floats, seed: int, ngrams: int
) -> list[Dictionary]:
    """One dictionary for each column of `targets`, of all words that have a score."""
    stands_in = np.asarray((counts > 0).sum(axis=0)).ravel()
    most = max(2.0, MOST_COMMON * counts.shape[0])
    kept = np.flatnonzero((stands_in >= 2) & (stands_in <= most))
    if len(kept) == 0:
        return [Dictionary((), np.zeros(0), ngrams)] * targets.shape[1]
    tfidf = TfidfTransformer()
    rows = tfidf.fit_transform(counts[:, kept])
    coefficients = np.atleast_2d(_ridge(rows, targets, seed))
    found = []
    for coefficient in coefficients:
        # Stable, with words in alphabetical order: ties do not depend on the machine.
        order = np.argsort(-np.abs(coefficient), kind="stable")
        scores = (coefficient * tfidf.idf_)[order]
        found.append(Dictionary(tuple(words[kept][order]), scores, ngrams))
    return found


def _ridge(rows: Any, targets: Floats, seed: int) -> Floats:
    chosen = np.arange(rows.shape[0])
    if len(chosen) > MOST_TUNED:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MOST_TUNED, replace=False))
    tuned = RidgeCV(ALPHAS).fit(rows[chosen], targets[chosen])
    if len(chosen) == rows.shape[0]:
        return np.asarray(tuned.coef_)
    return np.asarray(Ridge(alpha=tuned.alpha_).fit(rows, targets).coef_)


def features_of(dictionary: Dictionary, counts: sparse.csr_matrix, lengths: Floats) -> Floats:
    """Return `features` from counts of the dictionary's words and the texts' numbers of words."""
    scores = dictionary.scores
    high, low = np.clip(scores, 0, None), np.clip(scores, None, 0)
    positive, negative = counts @ high, counts @ low
    n_positive, n_negative = counts @ (high > 0), counts @ (low < 0)
    present = (counts > 0).multiply(scores).tocsr() if len(scores) else None
    none = np.zeros(len(lengths))
    columns = {
        "positive_sum": positive,
        "negative_sum": negative,
        "total": positive + negative,
        "positive_mean": positive / np.maximum(n_positive, 1),
        "negative_mean": negative / np.maximum(n_negative, 1),
        "scaled_total": (positive + negative) / np.sqrt(np.maximum(lengths, 1)),
        "highest": none if present is None else np.maximum(present.max(axis=1).toarray()[:, 0], 0),
        "lowest": none if present is None else np.minimum(present.min(axis=1).toarray()[:, 0], 0),
        "positive_words": n_positive,
        "negative_words": n_negative,
        "share": np.asarray(counts.sum(axis=1)).ravel() / np.maximum(lengths, 1),
        "words": lengths,
    }
    return np.column_stack([columns[name] for name in FEATURES])
