"""The kept library for prediction-powered estimates, `ppi_py`, where it serves.

It gives the point estimates of means and of linear regressions with a predicted outcome. What it
does not give is computed in `helpers.estimates.methods`:

- intervals: `ppi_py` uses z, divides by n, takes the unlabelled rows as a second, independent
  sample, and treats normalised weights as if their sum were not known (no Hájek linearisation);
- predicted covariates, groups, finite populations.

lambda is handed over: it is the library's own for means; for regressions the library evaluates
the gradients of the predictions at the coefficients of the truth, which is not the least variance
of the estimate that it returns. (Left to itself it also compiles for ten seconds.)
"""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np

from helpers.estimates.core import Data, Floats


def library() -> ModuleType | None:
    """Import `ppi_py`; None where it is not installed."""
    # Importing it turns all warnings of the process off: the block turns them on again.
    with warnings.catch_warnings():
        try:
            import ppi_py
        except ModuleNotFoundError as error:
            if error.name != "ppi_py":
                raise
            return None
    return ppi_py


def library_estimate(data: Data, lam: Floats) -> Floats | None:
    """Return the estimates of `ppi_py` with all N rows as unlabelled ones, (k,), or None.

    Parameters
    ----------
    data : without leading axes; the outcome is what is predicted.
    lam : (k,) power-tuning parameter of each coefficient.

    Returns
    -------
    None where the library is not installed; the closed form of `methods.ppi` is the same number
    (tests/test_estimates_methods.py compares them).
    """
    module = library()
    if module is None:
        return None
    x, x_all, w = data.x, data.x_all, data.weight
    if x.shape[-1] == 1:
        mean = module.ppi_mean_pointestimate(data.y, data.y_hat, data.y_all, lam=lam[0], w=w)
        return np.atleast_1d(mean)
    transform = np.eye(len(lam)) if data.transform is None else data.transform
    found = []
    for j, one in enumerate(lam):
        theta = module.ppi_ols_pointestimate(
            x, data.y, data.y_hat, x_all, data.y_all, lam=float(one), w=w
        )
        found.append(transform[j] @ theta)
    return np.array(found)
