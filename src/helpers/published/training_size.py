"""How much of the published difference between 5,000 and 76,110 training texts is about texts.

The difference in accuracy is taken apart exactly. With the texts in disjoint groups g of n_g texts
each,

    A(large) - A(small) = sum over g of (n_g / n) * (A_g(large) - A_g(small)),

where A_g is the share of the group's texts with at least one right subject. The groups: an empty
answer of either model; no empty answer, but one that names no subject; both usable.

Every statistic is a function of the numbers of texts in the cells (group, true subjects, outcome of
either model); resampling texts with replacement is a multinomial draw of these numbers, so that
all intervals are paired and cost no loop over texts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.metrics import mcnemar_exact, percentile_interval
from helpers.published.dataverse import (
    DATAVERSE_MODELS,
    LARGE,
    SMALL,
    DataverseAnswers,
    in_scope,
)

Floats = NDArray[np.float64]
FEW = 100  # texts; smaller repositories are counted together
GROUPS = {
    "empty": "an answer is empty",
    "no_subject": "no answer is empty, one names no subject",
    "usable": "both name a subject",
}
ASSUMPTIONS = {
    "published": "an empty answer is wrong",
    "at_random": "empty answers are right as often as the model's others",
    "at_random_given_subjects": "as often as its others to texts with the same true subjects",
    "at_random_given_other": "as often as its others where the other model is as right or wrong",
    "all_right": "every empty answer is right",
    "for_small": "right for the small model, wrong for the large one",
    "for_large": "right for the large model, wrong for the small one",
}


def cells(answers: DataverseAnswers) -> pd.DataFrame:
    """Count the texts of each combination of what matters here.

    Returns
    -------
    DataFrame (subjects, answered_small, right_small, answered_large, right_large, group, count).
    """
    frame = answers.texts[["subjects"]].copy()
    for name, key in (("small", SMALL), ("large", LARGE)):
        frame[f"answered_{name}"] = answers.outcomes[key]["answered"].to_numpy()
        frame[f"right_{name}"] = answers.outcomes[key]["any"].to_numpy()
    both, usable = (in_scope(answers, scope, SMALL) for scope in ("both_answered", "both_usable"))
    frame["group"] = np.select([usable, both], ["usable", "no_subject"], "empty")
    return frame.value_counts(sort=False).rename("count").reset_index()


def dataverse_decomposition(
    answers: DataverseAnswers, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Take the published difference between the two models apart.

    Parameters
    ----------
    answers : see `read_dataverse`.
    n_resamples, seed : of the bootstrap over texts.

    Returns
    -------
    DataFrame (part, n, small, large, difference, difference_low, difference_high, contribution,
    contribution_low, contribution_high, share, share_low, share_high, only_small, only_large,
    p_value). Parts: ``all`` (the published difference), the three `GROUPS`, whose contributions add
    up to it, and ``answered`` (no answer is empty: the last two groups). `contribution` is the
    difference within the part times its share of the texts; `share` that of the whole difference.
    `only_small`, `only_large` and `p_value` belong to McNemar's exact test. Shares between 0 and 1.
    """
    table = cells(answers)
    counts = _draws(table, n_resamples, seed)
    n = counts.sum(axis=1)
    small, large = table["right_small"].to_numpy(), table["right_large"].to_numpy()
    group = table["group"].to_numpy()
    parts = {
        "all": np.ones(len(table), dtype=bool),
        "answered": group != "empty",
        **{name: group == name for name in GROUPS},
    }
    whole = (counts @ large - counts @ small) / n
    rows = []
    for name, inside in parts.items():
        size = counts @ inside
        gain = counts @ (large & inside) - counts @ (small & inside).astype(float)
        observed = counts[0].astype(int)
        pairs = [np.repeat(side[inside], observed[inside]) for side in (small, large)]
        test = mcnemar_exact(*pairs)
        rows.append(
            {
                "part": name,
                "n": int(size[0]),
                "small": float(np.mean(pairs[0])) if size[0] else np.nan,
                "large": float(np.mean(pairs[1])) if size[0] else np.nan,
                **_with_interval("difference", _ratio(gain, size)),
                **_with_interval("contribution", gain / n),
                **_with_interval("share", _ratio(gain / n, whole)),
                "only_small": test.only_a,
                "only_large": test.only_b,
                "p_value": test.p_value if size[0] else np.nan,
            }
        )
    return pd.DataFrame(rows)


def dataverse_sensitivity(
    answers: DataverseAnswers, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Ask what the difference would be if the empty answers had been answers.

    Returns
    -------
    DataFrame (assumption, meaning, small, large, difference, ci_low, ci_high), one row for each of
    `ASSUMPTIONS`: accuracies of both models on all texts. ``for_small`` and ``for_large`` are the
    bounds: no rate of right answers among the empty ones leads outside them. Where no answered
    text is like an empty one, the model's rate among all answered texts is taken.
    """
    table = cells(answers)
    counts = _draws(table, n_resamples, seed)
    n = counts.sum(axis=1)
    rows = []
    for name, meaning in ASSUMPTIONS.items():
        values = {m: _accuracy(table, counts, m, name) / n for m in ("small", "large")}
        difference = _with_interval("difference", values["large"] - values["small"])
        rows.append(
            {
                "assumption": name,
                "meaning": meaning,
                "small": float(values["small"][0]),
                "large": float(values["large"][0]),
                "difference": difference["difference"],
                "ci_low": difference["difference_low"],
                "ci_high": difference["difference_high"],
            }
        )
    return pd.DataFrame(rows)


def dataverse_emptiness(answers: DataverseAnswers, level: float = 0.95) -> pd.DataFrame:
    """Describe which texts got an empty answer, by all that the archive knows of a text.

    Returns
    -------
    DataFrame (model, feature, value, n, n_empty, share_empty, ci_low, ci_high, of_empty,
    of_answered): features are the number of true subjects, each true subject, the repository (id
    prefix; those with few texts together) and the other model's answer. `of_empty` is the value's
    share among the empty answers, `of_answered` among the others. Wilson intervals of
    `share_empty`.
    """
    from scipy.stats import binomtest

    texts, rows = answers.texts, []
    sizes = texts["repository"].map(texts["repository"].value_counts())
    repository = texts["repository"].mask(sizes < FEW, f"others (under {FEW} texts)")
    number = texts["n_subjects"].clip(upper=4).map({1: "1", 2: "2", 3: "3", 4: "4 or more"})
    for key in DATAVERSE_MODELS:
        empty = ~answers.outcomes[key]["answered"].to_numpy()
        other = answers.outcomes[LARGE if key == SMALL else SMALL]["answered"].to_numpy()
        single = {
            "number of true subjects": number,
            "other model": pd.Series(np.where(other, "answered", "empty")),
            "repository": repository,
        }
        masks = [
            (feature, str(value), (values == value).to_numpy())
            for feature, values in single.items()
            for value in sorted(values.unique())
        ]
        subjects = texts["subjects"].str.get_dummies(" | ").astype(bool)
        masks += [("true subject", str(name), subjects[name].to_numpy()) for name in subjects]
        for feature, value, mask in masks:
            n, hits = int(mask.sum()), int((mask & empty).sum())
            low, high = binomtest(hits, n).proportion_ci(level, method="wilson")
            rows.append(
                {
                    "model": key,
                    "feature": feature,
                    "value": value,
                    "n": n,
                    "n_empty": hits,
                    "share_empty": hits / n,
                    "ci_low": float(low),
                    "ci_high": float(high),
                    "of_empty": hits / empty.sum() if empty.any() else np.nan,
                    "of_answered": (n - hits) / (~empty).sum() if (~empty).any() else np.nan,
                }
            )
    return pd.DataFrame(rows)


def _draws(table: pd.DataFrame, n_resamples: int, seed: int) -> Floats:
    """Return (1 + n_resamples, cells): the observed counts first, then bootstrap draws."""
    observed = table["count"].to_numpy()
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(observed.sum(), observed / observed.sum(), size=n_resamples)
    return np.vstack([observed, drawn]).astype(float)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole != 0)


def _with_interval(name: str, values: Floats) -> dict[str, float]:
    low, high = percentile_interval(values[1:])
    return {name: float(values[0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def _accuracy(table: pd.DataFrame, counts: Floats, model: str, assumption: str) -> Floats:
    """Return the number of right texts of each draw, (1 + n_resamples,)."""
    answered = table[f"answered_{model}"].to_numpy()
    right = counts @ (table[f"right_{model}"].to_numpy() & answered)
    empty = counts @ ~answered
    fixed: dict[str, Callable[[], Floats]] = {
        "published": lambda: right,
        "all_right": lambda: right + empty,
        "for_small": lambda: right + empty * (model == "small"),
        "for_large": lambda: right + empty * (model == "large"),
    }
    if assumption in fixed:
        return fixed[assumption]()
    overall = _ratio(right, counts @ answered)
    if assumption == "at_random":
        return right + empty * overall
    other = "large" if model == "small" else "small"
    like = (
        table["subjects"]
        if assumption == "at_random_given_subjects"
        else table[f"right_{other}"].astype(str) + table[f"answered_{other}"].astype(str)
    )
    codes, kinds = pd.factorize(like)
    to_kind = np.eye(len(kinds))[codes]
    hits = (counts * (table[f"right_{model}"].to_numpy() & answered)) @ to_kind
    size = (counts * answered) @ to_kind
    rate = np.divide(hits, size, out=np.repeat(overall[:, None], len(kinds), 1), where=size > 0)
    return right + ((counts * ~answered) @ to_kind * rate).sum(axis=1)
