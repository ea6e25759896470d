"""Do the data determine the coders' latent classes, and do these fit the data?

See `helpers.audit.coding.latent` for the model.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from helpers.audit.coding.latent import LatentCoders, Patterns, e_step, fit_latent, patterns
from helpers.metrics.counts import Floats


def identification(
    codings: pd.DataFrame, n_starts: int = 20, n_simulated: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Return whether the data determine the parameters, and whether the model fits.

    Returns
    -------
    DataFrame (quantity, value)
        ``parameters``; ``free shares``: what pairs and triples of coders have to tell, at least as
        many are needed; ``rank``: of the information matrix, full if locally identified;
        ``condition number`` of that matrix on the logit scale (large: nearly not identified);
        ``on the edge``: parameters estimated as 0 or 1; ``starts``; ``starts that reach it``:
        those within 0.01 of the best log-likelihood; ``spread over them``: largest difference of
        a parameter; ``deviance``; ``deviance p``: the share of data sets simulated from the model
        that fit worse, items taken as independent.
    """
    data, rng = patterns(codings), np.random.default_rng(seed)
    counts = data.per_post.sum(axis=0)
    fit = fit_latent(data, counts[None], n_iterations=2000)
    shape = (n_starts, len(data.coders))
    begin = LatentCoders(
        rng.uniform(0.55, 0.98, shape), rng.uniform(0.55, 0.98, shape),
        rng.uniform(0.1, 0.9, (n_starts, len(data.strata))), np.empty(0),
    )  # fmt: skip
    tries = fit_latent(data, np.tile(counts, (n_starts, 1)), begin, n_iterations=2000)
    best = tries.log_likelihood > tries.log_likelihood.max() - 0.01
    stacked = np.hstack([tries.sensitivity, tries.specificity, tries.prevalence])[best]
    eigenvalues = np.linalg.eigvalsh(_information(data, fit, counts))
    observed, simulated = _deviances(data, fit, counts, n_simulated, rng)
    values = {
        "parameters": stacked.shape[1],
        "free shares": len(data.values) - len(set(data.group)),
        "rank": int((eigenvalues > 1e-8 * eigenvalues.max()).sum()),
        "condition number": eigenvalues.max() / max(eigenvalues.min(), 1e-300),
        "on the edge": int(((stacked[0] < 1e-4) | (stacked[0] > 1 - 1e-4)).sum()),
        "starts": n_starts,
        "starts that reach it": int(best.sum()),
        "spread over them": float(np.ptp(stacked, axis=0).max()),
        "deviance": observed,
        "deviance p": (1 + (simulated >= observed).sum()) / (1 + n_simulated),
    }
    return pd.DataFrame({"quantity": list(values), "value": list(values.values())})


def _expected(data: Patterns, fit: LatentCoders, counts: Floats) -> Floats:
    """Return the expected number of each outcome, given how many items each group has; (B, P)."""
    log_p = e_step(fit.sensitivity, fit.specificity, fit.prevalence, data.values, data.stratum)[1]
    return np.asarray(np.exp(log_p) * np.bincount(data.group, counts)[data.group])


def _information(data: Patterns, fit: LatentCoders, counts: Floats) -> Floats:
    """Fisher information of the logits of all parameters, derivatives by central differences."""
    theta = logit(np.hstack([fit.sensitivity, fit.specificity, fit.prevalence])[0])
    step, n_coders = 1e-4, len(data.coders)

    def at(values: Floats) -> LatentCoders:
        se, sp, pi = np.split(expit(values), [n_coders, 2 * n_coders], axis=1)
        return LatentCoders(se, sp, pi, np.empty(0))

    shifts = step * np.eye(len(theta))
    up, down = (_expected(data, at(theta + sign * shifts), counts) for sign in (1, -1))
    slope = (up - down) / (2 * step)
    return np.asarray((slope / _expected(data, fit, counts)) @ slope.T)


def _deviances(
    data: Patterns,
    fit: LatentCoders,
    counts: Floats,
    n_simulated: int,
    rng: np.random.Generator,
) -> tuple[float, Floats]:
    """Return the deviance of the data, and of data sets simulated from the fitted model."""
    expected = _expected(data, fit, counts)[0]
    simulated = np.empty((n_simulated, len(counts)))
    for group in np.unique(data.group):
        used = data.group == group
        size = round(counts[used].sum())
        p = expected[used] / expected[used].sum()
        simulated[:, used] = rng.multinomial(size, p, size=n_simulated)

    def deviance(seen: Floats, model: LatentCoders) -> Floats:
        meant = _expected(data, model, counts)
        ratio = np.divide(seen, meant, out=np.ones_like(meant), where=seen > 0)
        return np.asarray(2 * (seen * np.log(ratio)).sum(axis=1))

    again = fit_latent(data, simulated, start=fit)
    return float(deviance(counts[None], fit)[0]), deviance(simulated, again)
