"""The human coding behind the true labels: who accepted how much of what.

Coders saw proposals of two models and rejected what did not apply. Decisions on the proposals of
one post are not independent of each other, so all intervals resample posts. A decision counts as
often as the file has it (`helpers.audit.coding.overlap` says how many are repeated).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.metrics.reliability import bootstrap_shares
from helpers.published.panel import PublishedError

Floats = NDArray[np.float64]
ALL = "all"
GROUPINGS: tuple[tuple[str, ...], ...] = (
    (),
    ("coder",),
    ("llm",),
    ("coder", "llm"),
    ("dimension",),
    ("dimension", "llm"),
)
KEYS = ("coder", "llm", "dimension")
ACCEPTANCE_COLUMNS = (
    *("grouping", *KEYS, "n", "n_posts", "accepted", "share", "ci_low", "ci_high"),
)
STRICTNESS_COLUMNS = (
    *("coder", "adjusted_for", "n", "n_posts", "share", "ci_low", "ci_high"),
    *("difference", "difference_low", "difference_high", "p_equal"),
)
# What the acceptance of coders is compared at equal values of, from nothing to all that is known.
ADJUSTMENTS: tuple[tuple[str, ...], ...] = ((), ("llm",), ("llm", "dimension", "value"))
_Z = 1.959963984540054


def acceptance(codings: pd.DataFrame, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return which share of the proposals was accepted, by coder, model and dimension.

    Parameters
    ----------
    codings : of one split, see `helpers.published.archive.Archive`. Without a column llm there
        are no rows by model.
    n_resamples, seed : of the cluster bootstrap: whole posts are drawn, with all their decisions.

    Returns
    -------
    DataFrame, columns `ACCEPTANCE_COLUMNS`
        One row a group of each of `GROUPINGS`, the first being all decisions: the baseline.
        ``all`` where a key is pooled. n decisions on proposals for n_posts posts; 95% percentile
        interval, and Wilson's over posts where all or none were accepted. With a handful of posts
        the bootstrap is too narrow: read n_posts.

    Raises
    ------
    PublishedError
        If there are no decisions.
    """
    rows = _checked(codings)
    groupings = [names for names in GROUPINGS if "llm" in rows.columns or "llm" not in names]
    return _acceptance(rows, groupings, n_resamples, seed)


def _acceptance(
    rows: pd.DataFrame, groupings: Sequence[tuple[str, ...]], n_resamples: int, seed: int
) -> pd.DataFrame:
    posts, ids = pd.factorize(rows["id"])
    parts, wholes, tables = [], [], []
    for names in groupings:
        code, labels = _groups(rows, names)
        whole = np.zeros((len(ids), len(labels)))
        part = np.zeros_like(whole)
        np.add.at(whole, (posts, code), 1)
        np.add.at(part, (posts, code), rows["accepted"].to_numpy(float))
        parts.append(part)
        wholes.append(whole)
        tables.append(labels.assign(grouping=" x ".join(names) or ALL))
    part, whole = np.hstack(parts), np.hstack(wholes)
    value, low, high = bootstrap_shares(part, whole, n_resamples, seed)
    table = pd.concat(tables, ignore_index=True).assign(
        n=whole.sum(axis=0).astype(int),
        n_posts=(whole > 0).sum(axis=0),
        accepted=part.sum(axis=0).astype(int),
        share=value,
        ci_low=low,
        ci_high=high,
    )
    return table[list(ACCEPTANCE_COLUMNS)]


def coder_strictness(codings: pd.DataFrame, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return which share each coder would have accepted, had all seen the same mix of proposals.

    A logistic regression of acceptance on coder and the characteristics that are adjusted for;
    then every decision is predicted as if this coder had made it, and the predictions are averaged
    (marginal standardisation). The covariance is robust to dependence within posts, intervals are
    by the delta method on the logit scale. What the regression can't see, such as harder posts
    given to one coder, remains; the same proposals are compared in
    `helpers.audit.coding.overlap.coder_pairs`.

    Parameters
    ----------
    codings : of one split.
    n_resamples, seed : of the baseline's bootstrap over posts.

    Returns
    -------
    DataFrame, columns `STRICTNESS_COLUMNS`
        One row a coder and adjustment, and first the row ``all`` (baseline: the share of all
        decisions). difference is against that baseline, p_equal the Wald test that all coders are
        equal (the same in all rows of an adjustment; NaN with one coder).

    References
    ----------
    Williams (2012), The Stata Journal 12(2), 308-331, on predictive margins; Liang & Zeger (1986),
    Biometrika 73, 13-22, on the covariance.
    """
    rows = _checked(codings)
    # What does not vary in these decisions, or is not in the file, can't be adjusted for.
    known = {name for name in rows.columns if rows[name].nunique() > 1}
    sets = dict.fromkeys(tuple(n for n in names if n in known) for names in ADJUSTMENTS)
    baseline = _acceptance(rows, [()], n_resamples, seed)
    tables = [_standardised(rows, names, baseline) for names in sets]
    return pd.concat(tables, ignore_index=True)[list(STRICTNESS_COLUMNS)]


def _standardised(rows: pd.DataFrame, names: Sequence[str], baseline: pd.DataFrame) -> pd.DataFrame:
    """Fit one regression and standardise its predictions to all rows."""
    # Imported here because statsmodels takes a second to load.
    import statsmodels.api as sm

    coders = sorted(rows["coder"].unique())
    others = [pd.get_dummies(rows[name], drop_first=True, dtype=float) for name in names]
    who = pd.get_dummies(rows["coder"], dtype=float)[coders].to_numpy()
    what = np.hstack([np.zeros((len(rows), 0)), *(part.to_numpy() for part in others)])
    y, posts = rows["accepted"].to_numpy(float), pd.factorize(rows["id"])[0]
    design = np.hstack([who, what])
    fit = sm.GLM(y, design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": posts}
    )
    beta, covariance = np.asarray(fit.params), np.asarray(fit.cov_params())
    shift = what @ beta[len(coders) :]
    fitted = 1 / (1 + np.exp(-(design @ beta)))
    overall = (fitted * (1 - fitted)) @ design / len(rows)  # its mean is the share of all
    shares, gradients = [], []
    for place in range(len(coders)):
        p = 1 / (1 + np.exp(-(beta[place] + shift)))
        slope = p * (1 - p) / len(rows)
        gradient = np.concatenate([np.zeros(len(coders)), slope @ what])
        gradient[place] = slope.sum()
        shares.append(p.mean())
        gradients.append(gradient)
    value, jacobian = np.array(shares), np.array(gradients)
    error, apart = (_errors(part, covariance) for part in (jacobian, jacobian - overall))
    logit, width = np.log(value / (1 - value)), _Z * error / (value * (1 - value))
    difference = value - y.mean()
    table = pd.DataFrame(
        {
            "coder": coders,
            "share": value,
            "ci_low": 1 / (1 + np.exp(width - logit)),
            "ci_high": 1 / (1 + np.exp(-width - logit)),
            "difference": difference,
            "difference_low": difference - _Z * apart,
            "difference_high": difference + _Z * apart,
        }
    )
    sizes = rows.groupby("coder").agg(n=("id", "size"), n_posts=("id", "nunique"))
    table = table.merge(sizes, left_on="coder", right_index=True)
    table = pd.concat([baseline, table], ignore_index=True)
    equal = np.nan
    if len(coders) > 1:
        contrast = np.eye(len(beta))[1 : len(coders)] - np.eye(len(beta))[:1]
        equal = float(fit.wald_test(contrast, scalar=True).pvalue)
    return table.assign(adjusted_for=", ".join(names) or "nothing", p_equal=equal)


def _errors(gradients: Floats, covariance: Floats) -> Floats:
    return np.sqrt(np.einsum("ij,jk,ik->i", gradients, covariance, gradients))


def _checked(codings: pd.DataFrame) -> pd.DataFrame:
    if codings.empty:
        raise PublishedError("there are no decisions of coders: the file of codings is empty")
    return codings.reset_index(drop=True)


def _groups(rows: pd.DataFrame, names: Sequence[str]) -> tuple[NDArray[np.intp], pd.DataFrame]:
    """Number the groups of the rows; return each row's number, and the groups' keys."""
    if not names:
        code = np.zeros(len(rows), dtype=np.intp)
        labels = pd.DataFrame(index=[0])
    else:
        code = rows.groupby(list(names), sort=True).ngroup().to_numpy()
        labels = rows[list(names)].drop_duplicates().sort_values(list(names)).reset_index(drop=True)
    return code, labels.assign(**{name: ALL for name in KEYS if name not in names})
