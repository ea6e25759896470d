"""Predict with a domain dictionary: a forest or boosting on what a text's words add up to.

In the spirit of Häffner, Hofer, Nagl and Walterskirchen (2023, Political Analysis 31, 481-499), who
use XGBoost for boosting. Settings were chosen on training texts; docs/tuning.md has what was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from helpers.encoders.dictionary_words import (
    ALPHAS,
    FEATURES,
    Dictionary,
    DictionaryError,
    Floats,
    checked,
    count_words,
    features,
    features_of,
    learn,
    learn_dictionary,
    lengths_of,
)

__all__ = [
    "Dictionary",
    "DictionaryError",
    "features",
    "fit_predict_dictionary",
    "fit_predict_dictionary_classes",
    "fit_predict_length",
    "learn_dictionary",
]

Kind = Literal["forest", "boosting"]

SIZES = (100, 300, 1000, 3000)
"""Numbers of words that are tried, beside all of them."""
FOLDS, CLASS_FOLDS = 10, 5
CLASS_FEATURES = ("total", "scaled_total", "highest", "positive_words")


def fit_predict_dictionary(
    train_texts: Sequence[str],
    y: ArrayLike,
    test_texts: Sequence[str],
    kind: Kind,
    seed: int,
    *,
    ngrams: int = 1,
) -> Floats:
    """Learn a dictionary from the training texts and predict with a forest or boosting.

    The features of a training text come from a dictionary that was learned without it (10 folds):
    its own target would otherwise be in its features. Those of the test texts come from the
    dictionary of all training texts. The number of words is chosen by the leave-one-out error of a
    ridge regression on the cross-fitted features.

    Parameters
    ----------
    train_texts, y : n texts and their numbers.
    test_texts : m texts.
    kind : ``forest`` (RandomForestRegressor) or ``boosting`` (GradientBoostingRegressor).
    seed : of folds and trees.

    Returns
    -------
    (m,) predictions.
    """
    target = checked(train_texts, y)
    known, unseen = _tables(train_texts, target[:, None], test_texts, FEATURES, FOLDS, seed, ngrams)
    size = min(known, key=lambda size: _leave_one_out(known[size], target))
    model = _regressor(kind, seed).fit(known[size], target)
    return np.asarray(model.predict(unseen(size)), dtype=np.float64)


def fit_predict_dictionary_classes(
    train_texts: Sequence[str],
    labels: Sequence[str],
    test_texts: Sequence[str],
    kind: Kind,
    seed: int,
    *,
    ngrams: int = 1,
) -> list[str]:
    """Learn a dictionary for each class (this class against the rest), and predict classes.

    As `fit_predict_dictionary`, with five folds; the features of a text are those of
    `CLASS_FEATURES` for each class.

    Returns
    -------
    m labels.
    """
    classes, codes = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
    checked(train_texts, codes)
    if len(classes) == 1:
        return [str(classes[0])] * len(test_texts)
    indicators = np.eye(len(classes))[codes]
    known, unseen = _tables(
        train_texts, indicators, test_texts, CLASS_FEATURES, CLASS_FOLDS, seed, ngrams
    )
    size = min(known, key=lambda size: _leave_one_out(known[size], indicators))
    model = _classifier(kind, seed).fit(known[size], codes)
    return [str(label) for label in classes[model.predict(unseen(size))]]


def fit_predict_length(
    train_texts: Sequence[str], y: ArrayLike, test_texts: Sequence[str]
) -> Floats:
    """Predict from the number of words alone, by a straight line in its logarithm.

    A baseline: longer reports may simply report more. A dictionary's sums know a text's length, the
    mean over an encoder's tokens hardly does.
    """
    target = checked(train_texts, y)
    line = Ridge(alpha=1e-6).fit(np.log1p(lengths_of(train_texts))[:, None], target)
    return np.asarray(line.predict(np.log1p(lengths_of(test_texts))[:, None]), dtype=np.float64)


def _tables(
    train_texts: Sequence[str],
    targets: Floats,
    test_texts: Sequence[str],
    kept: Sequence[str],
    n_folds: int,
    seed: int,
    ngrams: int,
) -> tuple[dict[int, Floats], Callable[[int], Floats]]:
    """Cross-fitted features of the training texts by size, and a function for the test texts'."""
    counts, words = count_words(train_texts, ngrams)
    lengths, columns = lengths_of(train_texts), [FEATURES.index(name) for name in kept]
    place = {word: column for column, word in enumerate(words)}
    final = learn(counts, words, targets, seed, ngrams)
    whole = max(1, len(final[0].words))
    sizes = [size for size in SIZES if size < whole] + [whole]
    known = {size: np.zeros((len(train_texts), len(kept) * len(final))) for size in sizes}
    folds = KFold(min(n_folds, len(train_texts)), shuffle=True, random_state=seed)
    for rest, held in folds.split(lengths):
        learned = learn(counts[rest], words, targets[rest], seed, ngrams)
        # What the held-out texts have of the words, in each dictionary's own order.
        theirs = [counts[held][:, [place[word] for word in d.words]] for d in learned]
        for size in sizes:
            pairs = [(d.first(size), own[:, :size]) for d, own in zip(learned, theirs, strict=True)]
            parts = [features_of(d, own, lengths[held])[:, columns] for d, own in pairs]
            known[size][held] = np.hstack(parts)

    def unseen(size: int) -> Floats:
        return np.hstack([features(d.first(size), test_texts)[:, columns] for d in final])

    return known, unseen


def _leave_one_out(known: Floats, targets: Floats) -> float:
    """Mean squared leave-one-out error of a ridge regression on the features."""
    scaled = StandardScaler().fit_transform(known)
    # Scores are negative errors, of the best penalty.
    return -float(np.mean(RidgeCV(ALPHAS).fit(scaled, targets).best_score_))


def _regressor(kind: Kind, seed: int) -> Any:
    if kind == "forest":
        return RandomForestRegressor(
            300, min_samples_leaf=5, max_features=0.33, n_jobs=1, random_state=seed
        )
    if kind == "boosting":
        return GradientBoostingRegressor(
            n_estimators=150,
            learning_rate=0.03,
            max_depth=2,
            subsample=0.7,
            max_features=0.5,
            min_samples_leaf=5,
            random_state=seed,
        )
    raise DictionaryError(f"kind is {kind!r}: it must be 'forest' or 'boosting'")


def _classifier(kind: Kind, seed: int) -> Any:
    if kind == "forest":
        return RandomForestClassifier(300, min_samples_leaf=2, n_jobs=1, random_state=seed)
    if kind == "boosting":
        return HistGradientBoostingClassifier(
            max_iter=80,
            learning_rate=0.05,
            max_depth=2,
            max_features=0.3,
            min_samples_leaf=5,
            random_state=seed,
        )
    raise DictionaryError(f"kind is {kind!r}: it must be 'forest' or 'boosting'")
