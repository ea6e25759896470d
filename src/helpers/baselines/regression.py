"""TF-IDF or sentence embeddings with logistic or ridge regression."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from helpers.baselines.decisions import best_cutoff, with_levels
from helpers.runs import HelpersError
from helpers.tasks import Task

Embed = Callable[[list[str]], NDArray[Any]]

# Tried in this order; the first of equally good values is kept, that is, the simplest model.
# TF-IDF rows have length 1 and embeddings are standardised, hence the two scales.
C_VALUES = {"tfidf-lr": (1.0, 10.0, 100.0), "embeddings-lr": (0.01, 0.1, 1.0)}
ALPHAS = (100.0, 10.0, 1.0, 0.1)
FOLDS = 5


class BaselineError(HelpersError):
    """A baseline that cannot be computed for this task or from these texts."""


def inputs_of(name: str, texts: list[str], embed: Embed | None) -> NDArray[Any]:
    """What the regression sees of n texts: the texts themselves (TF-IDF) or an (n, d) array."""
    if name == "tfidf-lr":
        return np.array(texts, dtype=object)
    assert embed is not None
    return np.asarray(embed(texts), dtype=np.float64)


def fit_predict(
    name: str, task: Task, inputs: NDArray[Any], train: list[Any], is_train: Any, seed: int
) -> list[Any]:
    """Tune and fit on the training rows of `inputs`, and predict all rows.

    Parameters
    ----------
    name : {"tfidf-lr", "embeddings-lr"}
    task : Task
    inputs : ndarray
        As `inputs_of` returns them.
    train : list
        Labels of the training rows, in their order.
    is_train : ndarray of bool, (n,)
    seed : int
        Of the shuffle into folds.

    Returns
    -------
    list
        Labels of all n rows, as the task writes them.
    """
    n_folds = min(FOLDS, len(train))
    if n_folds < 2:
        raise BaselineError(f"task {task.name}: {name} needs at least two training texts")
    folds = KFold(n_folds, shuffle=True, random_state=seed)
    if task.label_type == "numeric":
        return _ridge(name, inputs, np.asarray(train), is_train, folds)
    if task.label_type == "single":
        return _multinomial(name, inputs, np.asarray(train), is_train, folds)
    return _one_vs_rest(name, task, inputs, train, is_train, folds)


class _Words(TfidfVectorizer):
    """TF-IDF of words in at least two texts; of all words where no word is in two."""

    def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:
        """Learn the words of some texts and return their weights."""
        try:
            return super().fit_transform(raw_documents, y)
        except ValueError as error:
            if "no terms remain" not in str(error):
                raise
            self.min_df = 1  # a few short texts: each pipeline has a vectoriser of its own
            return super().fit_transform(raw_documents, y)


def _steps(name: str) -> list[tuple[str, Any]]:
    if name == "tfidf-lr":
        # Fitted inside each fold: document frequencies of held-out texts stay out.
        return [("tfidf", _Words(ngram_range=(1, 2), sublinear_tf=True, min_df=2))]
    return [("scale", StandardScaler())]


def _ridge(
    name: str, inputs: NDArray[Any], y: NDArray[Any], is_train: Any, folds: KFold
) -> list[float]:
    """Ridge regression; penalty with the least out-of-fold squared error."""
    errors = {}
    for alpha in ALPHAS:
        model = Pipeline([*_steps(name), ("ridge", Ridge(alpha=alpha))])
        guess = cross_val_predict(model, inputs[is_train], y, cv=folds)
        errors[alpha] = float(((guess - y) ** 2).mean())
    best = min(ALPHAS, key=lambda alpha: errors[alpha])
    model = Pipeline([*_steps(name), ("ridge", Ridge(alpha=best))]).fit(inputs[is_train], y)
    return [float(value) for value in model.predict(inputs)]


def _multinomial(
    name: str, inputs: NDArray[Any], y: NDArray[Any], is_train: Any, folds: KFold
) -> list[str]:
    """Multinomial logistic regression; C with the best out-of-fold accuracy."""
    if len(set(y)) == 1:
        return [str(y[0])] * len(inputs)
    right = {}
    with warnings.catch_warnings():
        # With few texts a codebook may well have more labels than half of their number.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        for c in C_VALUES[name]:
            guess = _out_of_fold(_logistic(name, c), inputs[is_train], y, folds)
            right[c] = float((guess == y).mean())
        model = _logistic(name, max(right, key=lambda c: right[c])).fit(inputs[is_train], y)
    return [str(label) for label in model.predict(inputs)]


def _out_of_fold(model: Pipeline, inputs: NDArray[Any], y: NDArray[Any], folds: KFold) -> Any:
    """Predict each row by a model that has not seen it; rows of one class alone predict it."""
    if all(len(set(y[rest])) > 1 for rest, _ in folds.split(inputs)):
        return cross_val_predict(model, inputs, y, cv=folds)
    guess = y.copy()
    for rest, held in folds.split(inputs):
        one = len(set(y[rest])) == 1
        fitted = None if one else clone(model).fit(inputs[rest], y[rest])
        guess[held] = y[rest][0] if fitted is None else fitted.predict(inputs[held])
    return guess


def _logistic(name: str, c: float, *, one_vs_rest: bool = False) -> Pipeline:
    lr = LogisticRegression(C=c, max_iter=1000)
    return Pipeline([*_steps(name), ("lr", OneVsRestClassifier(lr) if one_vs_rest else lr)])


def _one_vs_rest(
    name: str, task: Task, inputs: NDArray[Any], train: list[Any], is_train: Any, folds: KFold
) -> list[Any]:
    """One logistic regression per label; C and one cutoff with the best out-of-fold micro F1."""
    levels = task.encode(train)
    present = levels > 0
    used = present.any(axis=0)
    if not used.any():
        return [task.empty] * len(inputs)
    best: tuple[float, float, float] | None = None
    for c in C_VALUES[name]:
        model = _logistic(name, c, one_vs_rest=True)
        chance = np.zeros(present.shape)
        for rest, held in folds.split(inputs[is_train]):
            chance[held] = _chances(model, inputs[is_train], present, rest, held)
        score, cutoff = best_cutoff(present, chance)
        if best is None or score > best[0]:
            best = (score, c, cutoff)
    assert best is not None
    rows = np.flatnonzero(is_train)
    whole = np.zeros((len(inputs), present.shape[1]), dtype=bool)
    whole[rows] = present
    model = _logistic(name, best[1], one_vs_rest=True)
    chance = _chances(model, inputs, whole, rows, np.arange(len(inputs)))
    return task.decode(with_levels(task, chance >= best[2], levels))


def _chances(
    model: Pipeline, inputs: NDArray[Any], present: NDArray[np.bool_], fit_rows: Any, rows: Any
) -> NDArray[np.float64]:
    """Probability of each label in `rows`; 0 for labels that do not occur in `fit_rows`."""
    used = present[fit_rows].any(axis=0)
    chance = np.zeros((len(rows), present.shape[1]))
    if used.any():
        with warnings.catch_warnings():
            # A label that all texts of a fold carry is rightly given probability 1.
            warnings.filterwarnings("ignore", message="Label .* is present in all training")
            fitted = clone(model).fit(inputs[fit_rows], present[fit_rows][:, used].astype(int))
        found = fitted.predict_proba(inputs[rows])
        # With a single label the classifier is an ordinary binary one: two columns, no / yes.
        chance[:, used] = found[:, -1:] if used.sum() == 1 else found
    return chance
