"""Every defensible analysis of the archived models: how their ranking depends on the choices made.

A specification is one combination of five choices: the metric, the posts that are evaluated, which
of several accepted levels is true, how the models' words are cleaned, and from which level on a
dimension counts. All combinations are computed (a multiverse analysis: Steegen, Tuerlinckx, Gelman
& Vanpaemel 2016, Perspectives on Psychological Science 11, 702-712), and read as a specification
curve (Simonsohn, Simmons & Nelson 2020, Nature Human Behaviour 4, 1208-1214).

What no choice can mend: fine-tuned models were trained on the training posts, so that their order
against ChatGPT-4 there is no comparison of quality; and the true labels come from proposals of
LLAMA-2 and ChatGPT-4 alone. The specifications are no random sample either: their shares describe
this set of analyses and have no sampling error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.audit.sensitivity.scores import METRICS, Floats, PostCounts, metric_values
from helpers.published.answers import all_archived_models
from helpers.published.archive import CLEANINGS, CONFLICTS, Archive, cleaned_levels, true_labels
from helpers.published.statistics import Levels, level_matrix

Mask = NDArray[np.bool_]
REFERENCE = "classified-chatgpt4"
NOTHING = "predict-nothing"
EVALUATIONS = {
    "published": "each model on the posts that it answered",
    "same": "all posts with a true label; unanswered: nothing predicted",
    "common": "the posts that all models answered",
}
THRESHOLDS = {"any": 1, "medium": 2, "high": 3}
# The first option of each is the published one.
CHOICES: dict[str, tuple[str, ...]] = {
    "metric": tuple(METRICS),
    "evaluation": tuple(EVALUATIONS),
    "conflict": tuple(CONFLICTS),
    "cleaning": tuple(CLEANINGS),
    "threshold": tuple(THRESHOLDS),
}
AS_PUBLISHED = {name: options[0] for name, options in CHOICES.items()}
SPECIFICATION_COLUMNS = (
    *("split", "group", "distinct", *CHOICES, "fname", "in_sample", "n", "value", "rank"),
    *("n_ranked", "nothing", "beats_nothing"),
)
DECIMALS = 12  # equal counts must tie, whatever the order of their sums


@dataclass(frozen=True)
class PreparedSplit:
    """True labels and answers of a split under every rule.

    Attributes
    ----------
    split : ``train`` or ``test``.
    truth : conflict rule -> (n, L) array of levels 0 to 3; a row of zeros has no true label.
    predicted : cleaning -> fname -> (n, L) array; a row of zeros is a post without usable answer.
    """

    split: str
    truth: Mapping[str, Levels]
    predicted: Mapping[str, Mapping[str, Levels]]

    @property
    def names(self) -> list[str]:
        """Models (fname), in the order of the archive."""
        return list(next(iter(self.predicted.values())))

    def chosen(self, conflict: str, cleaning: str) -> dict[str, Mask]:
        """Return which posts each evaluation set takes of each model.

        The posts are chosen before levels are cut: a threshold changes what is counted, not where.

        Returns
        -------
        evaluation -> (models + 1, n) array; the last row is the baseline's, which answers always.
        """
        inside = (self.truth[conflict] > 0).any(axis=1)
        answers = self.predicted[cleaning].values()
        answered = np.array([(p > 0).any(axis=1) for p in answers] + [np.ones_like(inside)])
        return {
            "published": answered & inside,
            "same": np.tile(inside, (len(answered), 1)),
            "common": np.tile(answered.all(axis=0) & inside, (len(answered), 1)),
        }


def prepare(archive: Archive) -> dict[str, PreparedSplit]:
    """Clean every model's answers once per cleaning, and make the true labels of every rule.

    Parameters
    ----------
    archive : see `helpers.published.archive.open_archive`; it may lack models and a split.

    Returns
    -------
    split -> PreparedSplit, for the splits whose true labels are there.
    """
    labels = {
        split: {rule: true_labels(codings, rule) for rule in CONFLICTS}
        for split, codings in archive.codings.items()
    }
    # The rule 'published' leaves no post out; posts of both splits are cleaned in one go.
    ids = {split: tuple(sorted(set(rules["published"]["id"]))) for split, rules in labels.items()}
    every = tuple(sorted(set().union(*ids.values())))
    place = {key: row for row, key in enumerate(every)}
    cleaned = {
        cleaning: {
            fname: cleaned_levels(archive.task, raw, every, cleaning, fname)[0]
            for fname, raw in archive.raw.items()
        }
        for cleaning in CLEANINGS
    }
    prepared = {}
    for split, rules in labels.items():
        rows = np.array([place[key] for key in ids[split]], dtype=int)
        prepared[split] = PreparedSplit(
            split,
            {rule: level_matrix(archive.task, frame, ids[split]) for rule, frame in rules.items()},
            {name: {f: m[rows] for f, m in models.items()} for name, models in cleaned.items()},
        )
    return prepared


def specifications(prepared: Mapping[str, PreparedSplit]) -> pd.DataFrame:
    """Compute every model's value and rank under all specifications.

    Parameters
    ----------
    prepared : see `prepare`.

    Returns
    -------
    DataFrame, columns `SPECIFICATION_COLUMNS`, one row a specification and model, the baseline
    `NOTHING` last. `n` counts the posts. `value` is NaN where it is undefined, e.g. where levels
    can't differ: intensity accuracy with the threshold ``high``. `rank` is 1 for the best of the
    models with a value (`n_ranked`), ties averaged; the baseline has none. `nothing` is the value
    of predicting nothing on that model's posts. Specifications of a split that give all models the
    very same values share a `group`; `distinct` tells the first of a group, if it has any value:
    the others are redundant. `in_sample` marks models trained on these posts.
    """
    if not prepared:
        return pd.DataFrame(columns=list(SPECIFICATION_COLUMNS))
    return pd.concat([_specifications(part) for part in prepared.values()], ignore_index=True)


def _specifications(part: PreparedSplit) -> pd.DataFrame:
    values, nothing, counts = _all_values(part)
    names = [*part.names, NOTHING]
    index = pd.MultiIndex.from_product(CHOICES.values(), names=list(CHOICES))
    models = pd.DataFrame(values.reshape(len(index), -1).round(DECIMALS), index, names)
    ranks = models.drop(columns=NOTHING).rank(axis=1, ascending=False)
    # Unanswered posts can't change the levels of dimensions found: numbers of posts may differ.
    group = models.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    first = ~pd.Series(group).duplicated().to_numpy() & models[part.names].notna().any(axis=1)
    each = len(names)
    frame = index.repeat(each).to_frame(index=False)
    tuned = {m.fname for m in all_archived_models().values() if m.in_sample}
    value, baseline = values.ravel(), nothing.ravel()
    defined = ~(np.isnan(value) | np.isnan(baseline))
    better = pd.Series(value.round(DECIMALS) > baseline.round(DECIMALS), dtype="boolean")
    frame = frame.assign(
        split=part.split,
        group=group.repeat(each),
        distinct=first.to_numpy().repeat(each),
        fname=names * len(index),
        n=counts.ravel(),
        value=value,
        rank=ranks.assign(**{NOTHING: np.nan}).to_numpy().ravel(),
        n_ranked=ranks.notna().sum(axis=1).to_numpy().repeat(each),
        nothing=baseline,
    )
    frame["in_sample"] = frame["fname"].isin(tuned) & (part.split == "train")
    frame["beats_nothing"] = better.mask(~defined | (frame["fname"] == NOTHING))
    return frame[list(SPECIFICATION_COLUMNS)]


def _all_values(part: PreparedSplit) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return values, those of predicting nothing on the same posts, and numbers of posts.

    Each has the shape (metric, evaluation, conflict, cleaning, threshold, models + 1).
    """
    shape = (*(len(options) for options in CHOICES.values()), len(part.names) + 1)
    values, nothing = np.empty(shape), np.empty(shape)
    counts = np.empty(shape, dtype=np.int64)
    rules = list(CHOICES.values())[2:]
    for place in np.ndindex(*shape[2:5]):
        conflict, cleaning, threshold = (rule[i] for rule, i in zip(rules, place, strict=True))
        truth = part.truth[conflict]
        chosen = np.stack(list(part.chosen(conflict, cleaning).values()))
        answers = [*part.predicted[cleaning].values(), np.zeros_like(truth)]
        pieces = [PostCounts.of(truth, answer, THRESHOLDS[threshold]) for answer in answers]
        sums = [piece.summed(chosen[:, i]) for i, piece in enumerate(pieces)]
        values[:, :, *place] = metric_values(
            np.stack([totals for totals, _ in sums], axis=1),
            np.stack([classes for _, classes in sums], axis=1),
        )
        nothing[:, :, *place] = metric_values(*pieces[-1].summed(chosen))
        counts[:, :, *place] = chosen.sum(axis=2)
    # With one level left, levels can't differ: no model's intensity says anything.
    for array in (values, nothing):
        array[list(METRICS).index("intensity_accuracy"), :, :, :, -1] = np.nan
    return values, nothing, counts
