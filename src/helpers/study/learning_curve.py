"""A learning curve: mean scores by number of training texts, bootstrap samples, fitted curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from helpers.metrics import (
    LOWER_IS_BETTER,
    TextCounts,
    metric_names,
    scores,
    two_level_samples,
)
from helpers.metrics.counts import Floats
from helpers.study.power_law import MIN_SIZES, CurveError, PowerLaws, fit_power_law


class Target(NamedTuple):
    """A score to reach, and bootstrap samples of it, (R,), where it was measured."""

    value: float
    samples: Floats | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean scores of a model by number of training texts, with bootstrap samples.

    Attributes
    ----------
    task, model, labels : names, as in the table of scores.
    n : numbers of training texts, ascending, (S,).
    points : mean scores over seeds, (S,).
    samples : two-level bootstrap samples of them, (R, S).
    upper : largest score there is.
    """

    task: str
    model: str
    labels: str
    n: Floats
    points: Floats
    samples: Floats
    upper: float = 1.0

    def __post_init__(self) -> None:
        if (np.diff(self.n) <= 0).any() or len(self.n) < MIN_SIZES:
            raise CurveError(
                f"{self.what}: {len(self.n)} training sizes; a curve needs at least {MIN_SIZES}, "
                "ascending: add sizes to the study"
            )
        if self.points.shape != self.n.shape or self.samples.shape[1:] != self.n.shape:
            raise CurveError(
                f"{self.what}: {len(self.n)} sizes, {len(self.points)} scores, samples "
                f"{self.samples.shape}"
            )

    @classmethod
    def from_counts(
        cls,
        task: str,
        model: str,
        labels: str,
        by_size: Mapping[int, Sequence[TextCounts]],
        metric: str,
        *,
        n_resamples: int,
        seed: int,
        upper: float = 1.0,
    ) -> Curve:
        """Curve of one score.

        Parameters
        ----------
        task, model, labels : str
        by_size : mapping of number of training texts to counts
            One set of counts per seed, on the same test texts. Sizes with equally many seeds, in
            the same order, are paired by seed.
        metric : str
            A score where higher is better.
        n_resamples, seed : int
            Of the bootstrap, as in `helpers.metrics.two_level_samples`.
        upper : float

        Raises
        ------
        CurveError
            For an unknown or a lower-is-better score, or fewer than three sizes.
        """
        sizes = sorted(by_size)
        names = metric_names(by_size[sizes[0]][0].label_type) if sizes else []
        if metric not in names or metric in LOWER_IS_BETTER:
            usable = [name for name in names if name not in LOWER_IS_BETTER]
            raise CurveError(
                f"{task}, {model}: no learning curve of {metric!r}; there is "
                f"{', '.join(usable) or 'no training size'}"
            )
        points = [np.mean([scores(counts)[metric] for counts in by_size[n]]) for n in sizes]
        samples = [two_level_samples(by_size[n], n_resamples, seed)[metric] for n in sizes]
        n = np.array(sizes, dtype=float)
        return cls(task, model, labels, n, np.array(points), np.column_stack(samples), upper)

    @property
    def what(self) -> str:
        """Name of the curve in messages."""
        return f"{self.task}, {self.model}, {self.labels}"

    @property
    def keys(self) -> dict[str, Any]:
        """The columns that identify the curve."""
        return {"task": self.task, "model": self.model, "labels": self.labels}

    @cached_property
    def weights(self) -> Floats:
        """Weights of the sizes in the fit, (S,): 1 for the smallest, 2 for the next, and so on.

        After Figueroa et al. (2012), whose predictions were better with more weight on larger
        sizes: small ones vary more between seeds, and the power law holds least there. Inverse
        variances, estimated from a few seeds, would add noise of their own.
        """
        return np.arange(1.0, len(self.n) + 1)

    @cached_property
    def fit(self) -> PowerLaws:
        """The curve through the mean scores."""
        return self._fitted(self.points, len(self.n))

    @cached_property
    def fits(self) -> PowerLaws:
        """The curve through every bootstrap sample."""
        return self._fitted(self.samples, len(self.n))

    def without_largest(self) -> tuple[PowerLaws, PowerLaws]:
        """`fit` and `fits` from all sizes but the largest."""
        last = len(self.n) - 1
        return self._fitted(self.points, last), self._fitted(self.samples, last)

    def _fitted(self, values: Floats, sizes: int) -> PowerLaws:
        kept = slice(0, sizes)
        return fit_power_law(self.n[kept], values[..., kept], self.upper, self.weights[kept])
