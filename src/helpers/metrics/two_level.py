"""Intervals over seeds AND test texts: another seed, other texts, what would the score be?

A method that was trained with several seeds (other subsets of the training texts, other random
weights) has a score per seed. Resampling the texts alone asks how these very models would do on
other texts; it says nothing about the next training. Here both are resampled: the crossed
"multi-bootstrap" of seeds and texts.

References
----------
Sellam et al. (2022), The MultiBERTs, arXiv:2106.16163, section 3.
Owen (2007), The pigeonhole bootstrap, Annals of Applied Statistics 1(2), 386-411: for crossed
factors the estimated variance is at worst too large, by up to twice the part of the interaction.
Rao & Wu (1988), Journal of the American Statistical Association 83, 231-241: the size of the
resample of seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.metrics.counts import Floats, TextCounts
from helpers.metrics.intervals import bootstrap_metrics, percentile_interval
from helpers.metrics.scores import metric_names, scores

# Keeps the stream of the seed draws apart from that of the text draws.
_SEED_STREAM = 0x5EED


@dataclass(frozen=True)
class TwoLevel:
    """Mean score over seeds, its 95% interval, and how much the seeds differ.

    Attributes
    ----------
    value : mean of the scores of the seeds.
    ci_low, ci_high : percentile interval over resampled seeds and texts; NaN without a value.
    sd_seeds : standard deviation of the scores of the seeds (n - 1); NaN with one seed.
    n_seeds : number of seeds.
    """

    value: float
    ci_low: float
    ci_high: float
    sd_seeds: float
    n_seeds: int


def two_level_samples(
    by_seed: Sequence[TextCounts], n_resamples: int, seed: int
) -> dict[str, Floats]:
    """Bootstrap samples of the mean score, over resampled seeds and texts.

    One draw of texts per resample serves all seeds (crossed, since all models answered the same
    texts). The draws of texts are those of `resampled_sums`: they depend on (n_texts,
    n_resamples, seed) alone; the draws of seeds depend on (n_seeds, n_resamples, seed) alone. So
    the samples of two models or two training sizes are paired, and the difference of samples is a
    sample of the difference.

    Of S > 1 seeds S - 1 are drawn, with replacement: the variance between resamples is then
    s²/S, the unbiased estimate (Rao & Wu 1988). Drawing S of them would understate the variance
    between seeds by 1/S, a third with three seeds. With one seed nothing is known about other
    seeds, and the samples are those of the ordinary bootstrap over texts.

    Parameters
    ----------
    by_seed : sequence of TextCounts
        One per seed: the same texts in the same order.
    n_resamples : int
        At least 1.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of ndarray, (n_resamples,)
        By name of the score; NaN where it is undefined for a drawn seed.

    Raises
    ------
    ValueError
        If there is no seed, or the seeds differ in label type, number of texts or true labels.
    """
    _check(by_seed)
    by_model = [bootstrap_metrics(counts, n_resamples, seed) for counts in by_seed]
    drawn = _seed_draws(len(by_seed), n_resamples, seed)
    rows = np.arange(n_resamples)[:, None]
    return {
        name: np.column_stack([samples[name] for samples in by_model])[rows, drawn].mean(axis=1)
        for name in metric_names(by_seed[0].label_type)
    }


def two_level(by_seed: Sequence[TextCounts], n_resamples: int, seed: int) -> dict[str, TwoLevel]:
    """Mean score over seeds with an interval over seeds and texts; see `two_level_samples`."""
    samples = two_level_samples(by_seed, n_resamples, seed)
    points = [scores(counts) for counts in by_seed]
    result = {}
    for name, sample in samples.items():
        values = np.array([point[name] for point in points])
        low, high = percentile_interval(sample)
        value = float(values.mean())
        if np.isnan(value):
            low, high = np.array(np.nan), np.array(np.nan)
        sd = float(values.std(ddof=1)) if len(values) > 1 else np.nan
        result[name] = TwoLevel(value, float(low), float(high), sd, len(values))
    return result


def _seed_draws(
    n_seeds: int, n_resamples: int, seed: int
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Which seeds each resample holds, (n_resamples, max(1, n_seeds - 1))."""
    rng = np.random.default_rng([_SEED_STREAM, seed])
    return rng.integers(0, n_seeds, size=(n_resamples, max(1, n_seeds - 1)))


def _check(by_seed: Sequence[TextCounts]) -> None:
    if not by_seed:
        raise ValueError("no seeds: at least one set of predictions is needed")
    first = by_seed[0]
    truth = "y" if first.label_type == "numeric" else "true"
    for number, counts in enumerate(by_seed[1:], start=2):
        if counts.label_type != first.label_type or counts.n != first.n:
            raise ValueError(
                f"seed {number} of {len(by_seed)} has {counts.n} {counts.label_type} texts, "
                f"the first has {first.n} {first.label_type} texts"
            )
        if not np.array_equal(counts.parts[truth], first.parts[truth]):
            raise ValueError(
                f"seed {number} of {len(by_seed)} has other true values than the first: "
                "all seeds must have answered the same texts in the same order"
            )
