"""Coders' sensitivity and specificity about an unseen right answer: a latent class model.

Each proposal is right or wrong; a coder accepts a right one with probability `sensitivity`, rejects
a wrong one with probability `specificity`, and coders err independently of each other given the
right answer. The share of right proposals differs by model. Two populations (models) with the same
coders identify the parameters from pairs of coders alone (Hui & Walter 1980); with more coders
than two there are data left over, against which `helpers.audit.coding.identification` tests it.

Conditional independence is the weak point: proposals that are hard for all coders violate it, and
then the coders look better than they are. Nothing in the archive can tell.

References
----------
Dawid & Skene (1979), Applied Statistics 28(1), 20-28 (EM algorithm). Hui & Walter (1980),
Biometrics 36, 167-171 (identification). Vacek (1985), Biometrics 41, 959-968 (dependent errors).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.audit.coding.overlap import item_decisions, item_ratings, overlapping
from helpers.metrics.counts import TextCounts
from helpers.metrics.intervals import percentile_interval, resampled_sums
from helpers.published.panel import PublishedError

Floats = NDArray[np.float64]
ONE_MODEL = "all"
PARAMETER_COLUMNS = ("parameter", "name", "value", "ci_low", "ci_high", "n", "n_posts")
_EDGE = 1e-6  # keeps logarithms finite where a coder never errs


@dataclass(frozen=True)
class Patterns:
    """Overlapping items, counted by who decided what: enough for the likelihood.

    Attributes
    ----------
    coders, strata : names; a stratum is the model that made the proposal.
    values : (P, C) array: 1 accepted, 0 rejected, -1 not judged; all outcomes of each group.
    stratum : (P,) place in `strata`.
    group : (P,) a group is a stratum and the set of coders who judged.
    per_post : (n_posts, P) numbers of items.
    ids : of the posts.
    """

    coders: list[str]
    strata: list[str]
    values: NDArray[np.int_]
    stratum: NDArray[np.int_]
    group: NDArray[np.int_]
    per_post: Floats
    ids: list[str]


@dataclass(frozen=True)
class LatentCoders:
    """Parameters of the model, one row a data set (the first, or only, is the estimate).

    Attributes
    ----------
    sensitivity, specificity : (B, C).
    prevalence : (B, G), share of right proposals by stratum.
    log_likelihood : (B,).
    """

    sensitivity: Floats
    specificity: Floats
    prevalence: Floats
    log_likelihood: Floats


def patterns(codings: pd.DataFrame) -> Patterns:
    """Count the overlapping items of one split by pattern of decisions.

    Raises
    ------
    PublishedError
        If no two coders judged the same proposal.
    """
    items = item_decisions(codings)
    items = items[overlapping(items)]
    if items.empty:
        raise PublishedError("no proposal was judged by two coders: nothing tells their errors")
    names = items["llm"] if "llm" in items.columns else pd.Series(ONE_MODEL, items.index)
    strata, posts = sorted(names.unique()), pd.Index(items["id"].unique())
    coders, blocks = sorted(items["coder"].unique()), []
    for place, name in enumerate(strata):
        part = items[names == name]
        ratings, seen, ids = item_ratings(part)
        block = np.full((len(ratings.values), len(coders) + 2), -1)
        block[:, pd.Index(coders).get_indexer(seen)] = ratings.values
        block[:, -2] = place
        block[:, -1] = posts.get_indexer(ids)[ratings.text]
        blocks.append(block)
    rows = np.vstack(blocks)
    values, stratum, group = _outcomes(rows[:, :-1])
    place_of = {tuple(key): n for n, key in enumerate(np.column_stack([values, stratum]).tolist())}
    per_post = np.zeros((len(posts), len(values)))
    column = np.array([place_of[tuple(row)] for row in rows[:, :-1].tolist()])
    np.add.at(per_post, (rows[:, -1], column), 1)
    return Patterns(coders, strata, values, stratum, group, per_post, list(posts))


def _outcomes(rows: NDArray[np.int_]) -> tuple[NDArray[np.int_], ...]:
    """List all outcomes of the groups that occur, those without an item too."""
    seen = np.unique(np.column_stack([rows[:, :-1] >= 0, rows[:, -1]]).astype(int), axis=0)
    found = []
    for number, row in enumerate(seen):
        who = np.flatnonzero(row[:-1])
        for outcome in np.ndindex(*[2] * len(who)):
            value = np.full(rows.shape[1] - 1, -1)
            value[who] = outcome
            found.append((*value, row[-1], number))
    table = np.array(found)
    return table[:, :-2], table[:, -2], table[:, -1]


def posterior(fit: LatentCoders, values: NDArray[np.int_], stratum: NDArray[np.int_]) -> Floats:
    """Return the probability that items with these decisions are right, (B, P)."""
    return e_step(fit.sensitivity, fit.specificity, fit.prevalence, values, stratum)[0]


def e_step(
    se: Floats, sp: Floats, pi: Floats, values: NDArray[np.int_], stratum: NDArray[np.int_]
) -> tuple[Floats, Floats]:
    """Return the posterior and the log-probability of each pattern, both (B, P)."""
    yes, no = (values == 1).T.astype(float), (values == 0).T.astype(float)
    right = np.log(pi)[:, stratum] + np.log(se) @ yes + np.log1p(-se) @ no
    wrong = np.log1p(-pi)[:, stratum] + np.log1p(-sp) @ yes + np.log(sp) @ no
    total = np.logaddexp(right, wrong)
    return np.exp(right - total), total


def fit_latent(
    data: Patterns, counts: Floats, start: LatentCoders | None = None, n_iterations: int = 400
) -> LatentCoders:
    """Fit the model by the EM algorithm, to several data sets at once.

    Parameters
    ----------
    data : the patterns.
    counts : (B, P), how often each data set has them.
    start : one row, or B; without it coders who are right in 0.8 of both kinds, which settles
        which class is called right: the one that coders accept more often.
    n_iterations : EM steps.
    """
    size, (n_coders, n_strata) = len(counts), (data.values.shape[1], len(data.strata))
    shape = [(size, n_coders), (size, n_coders), (size, n_strata)]
    if start is None:
        begin = [np.full(shape[0], 0.8), np.full(shape[1], 0.8), np.full(shape[2], 0.5)]
    else:
        given = (start.sensitivity, start.specificity, start.prevalence)
        begin = [np.broadcast_to(part, to) for part, to in zip(given, shape, strict=True)]
    se, sp, pi = begin
    yes, no = (data.values == 1).astype(float), (data.values == 0).astype(float)
    member = np.eye(n_strata)[data.stratum]
    for _ in range(n_iterations):
        right = counts * e_step(se, sp, pi, data.values, data.stratum)[0]
        wrong = counts - right
        se = _share(right @ yes, right @ no)
        sp = _share(wrong @ no, wrong @ yes)
        pi = _share(right @ member, wrong @ member)
    log_likelihood = (counts * e_step(se, sp, pi, data.values, data.stratum)[1]).sum(axis=1)
    return LatentCoders(se, sp, pi, log_likelihood)


def _share(part: Floats, rest: Floats) -> Floats:
    """Divide; a half where there is nothing, as in a resample without this coder."""
    whole = part + rest
    share = np.divide(part, whole, out=np.full(whole.shape, 0.5), where=whole > 0)
    return np.clip(share, _EDGE, 1 - _EDGE)


def resampled_fits(
    data: Patterns, n_resamples: int, seed: int
) -> tuple[LatentCoders, LatentCoders]:
    """Fit the model to all posts, and to bootstrap samples of the posts."""
    fit = fit_latent(data, data.per_post.sum(axis=0)[None], n_iterations=2000)
    counts = TextCounts("patterns", {"items": data.per_post}, np.ones(len(data.per_post), bool))
    samples = resampled_sums(counts, n_resamples, seed)["items"]
    return fit, fit_latent(data, samples, start=fit)


def latent_table(codings: pd.DataFrame, n_resamples: int = 500, seed: int = 0) -> pd.DataFrame:
    """Return the parameters with their intervals over posts.

    Returns
    -------
    DataFrame, columns `PARAMETER_COLUMNS`
        parameter ``sensitivity`` or ``specificity`` (name: coder), ``accuracy`` (coder; the share
        of right decisions on the mix of overlapping items) and ``prevalence`` (name: model). n
        items that the row rests on.
    """
    data = patterns(codings)
    fit, samples = resampled_fits(data, n_resamples, seed)
    total = data.per_post.sum(axis=0)
    mix = np.array([total[data.stratum == place].sum() for place in range(len(data.strata))])
    rows = []
    for parameter in ("sensitivity", "specificity", "accuracy", "prevalence"):
        value, spread = (_parameter(part, parameter, mix) for part in (fit, samples))
        low, high = percentile_interval(spread)
        names = data.strata if parameter == "prevalence" else data.coders
        for place, name in enumerate(names):
            if parameter == "prevalence":
                used = data.stratum == place
            else:
                used = data.values[:, place] >= 0
            size = (int(total[used].sum()), int((data.per_post[:, used] > 0).any(axis=1).sum()))
            rows.append((parameter, name, value[0, place], low[place], high[place], *size))
    return pd.DataFrame(rows, columns=list(PARAMETER_COLUMNS))


def _parameter(fit: LatentCoders, parameter: str, mix: Floats) -> Floats:
    if parameter != "accuracy":
        return np.asarray(getattr(fit, parameter))
    right = (fit.prevalence @ mix / mix.sum())[:, None]
    return right * fit.sensitivity + (1 - right) * fit.specificity
