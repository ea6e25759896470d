"""Intervals over seeds and texts: identities, pairing, and coverage where the truth is known."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from helpers.metrics import (
    TextCounts,
    bootstrap_metrics,
    multi_label_counts,
    numeric_counts,
    percentile_interval,
    scores,
    single_label_counts,
    two_level,
    two_level_samples,
)

SEED_SD, TEXT_SD, DIFFICULTY = 0.25, 1.0, 0.5


def right_or_wrong(right: np.ndarray) -> TextCounts:
    """Counts of a two-label task whose answers are right where `right` says so."""
    truth = np.tile([1, 0], (len(right), 1))
    guess = np.column_stack([right, ~right]).astype(int)
    return single_label_counts(truth, guess, np.ones(len(right), bool))


def simulate(rng: np.random.Generator, n_seeds: int, n_texts: int) -> list[TextCounts]:
    """Crossed design: latent skill = difficulty + seed effect + text effect + noise > 0."""
    seeds = rng.normal(0, SEED_SD, (n_seeds, 1))
    texts = rng.normal(0, TEXT_SD, (1, n_texts))
    latent = DIFFICULTY + seeds + texts + rng.normal(size=(n_seeds, n_texts))
    return [right_or_wrong(row) for row in latent > 0]


def true_accuracy() -> float:
    """Mean accuracy over all seeds and texts of `simulate`."""
    return float(norm.cdf(DIFFICULTY / np.sqrt(1 + SEED_SD**2 + TEXT_SD**2)))


def draw_seeds(rng: np.random.Generator, label_type: str, n_seeds: int) -> Sequence[TextCounts]:
    answered = np.ones(30, bool)
    if label_type == "numeric":
        y = rng.normal(size=30)
        return [numeric_counts(y, y + rng.normal(size=30), answered) for _ in range(n_seeds)]
    truth = rng.random((30, 4)) < 0.4
    guesses = [truth ^ (rng.random((30, 4)) < 0.2) for _ in range(n_seeds)]
    return [multi_label_counts(truth, guess, answered) for guess in guesses]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["multi", "numeric"]), st.integers(0, 10**6), st.integers(1, 40), st.booleans()
)
def test_one_seed_is_the_ordinary_bootstrap(label_type, seed, n_resamples, twice):
    by_seed = list(draw_seeds(np.random.default_rng(seed), label_type, 1)) * (1 + twice)
    found = two_level_samples(by_seed, n_resamples, seed)
    for name, samples in bootstrap_metrics(by_seed[0], n_resamples, seed).items():
        # A model that is listed twice varies no more than once.
        np.testing.assert_array_equal(found[name], samples)


def test_every_sample_is_a_mean_over_drawn_seeds_of_one_draw_of_texts():
    by_seed = draw_seeds(np.random.default_rng(1), "multi", 3)
    found = two_level_samples(by_seed, 200, 5)["jaccard"]
    per_seed = np.array([bootstrap_metrics(c, 200, 5)["jaccard"] for c in by_seed])
    # Two of three seeds, with replacement: six possible means, and all of them occur.
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    means = np.array([per_seed[[i, j]].mean(axis=0) for i, j in pairs])
    which = np.isclose(means, found)
    assert which.any(axis=0).all()
    assert which.any(axis=1).all()


def test_variance_between_seeds_is_unbiased():
    # Models that are right everywhere or nowhere: texts add nothing, seeds add s²/S.
    by_seed = [right_or_wrong(np.full(40, value)) for value in (True, True, False, True)]
    samples = two_level_samples(by_seed, 40_000, 0)["accuracy"]
    expected = np.var([1, 1, 0, 1], ddof=1) / 4
    assert samples.var() == pytest.approx(expected, rel=0.03)
    found = two_level(by_seed, 100, 0)["accuracy"]
    assert (found.value, found.n_seeds) == (0.75, 4)
    assert found.sd_seeds == pytest.approx(0.5)


def test_intervals_cover_where_seeds_vary_and_those_over_texts_alone_do_not():
    rng, repeats, truth = np.random.default_rng(3), 240, true_accuracy()
    both = texts_only = 0
    for seed in range(repeats):
        by_seed = simulate(rng, 5, 150)
        found = two_level(by_seed, 250, seed)["accuracy"]
        both += found.ci_low <= truth <= found.ci_high
        over_texts = [bootstrap_metrics(c, 250, seed)["accuracy"] for c in by_seed]
        low, high = percentile_interval(np.mean(over_texts, axis=0))
        texts_only += low <= truth <= high
    # 0.95 and 0.78 in long runs; Binomial(240, 0.95) leaves the first range less than once in 100.
    assert 0.91 <= both / repeats <= 0.99
    assert texts_only / repeats < 0.87


def test_the_same_model_does_not_differ_from_itself():
    by_seed = draw_seeds(np.random.default_rng(4), "multi", 4)
    first, again = two_level_samples(by_seed, 100, 9), two_level_samples(by_seed, 100, 9)
    other = two_level_samples(by_seed, 100, 10)
    for name, samples in first.items():
        np.testing.assert_array_equal(samples - again[name], 0)
    assert not np.array_equal(first["jaccard"], other["jaccard"])


def test_models_are_paired_by_text_and_by_seed():
    rng = np.random.default_rng(5)
    by_seed = simulate(rng, 4, 200)
    # A better twin of each seed: what it gets wrong, the first gets wrong too.
    better = [
        right_or_wrong((c.parts["exact_match"][:, 0] > 0) | (rng.random(200) < 0.1))
        for c in by_seed
    ]
    a = two_level_samples(better, 500, 0)["accuracy"]
    b = two_level_samples(by_seed, 500, 0)["accuracy"]
    assert ((a - b) >= 0).all()
    assert (a - b).std() < 0.5 * np.hypot(a.std(), b.std())


def test_undefined_scores_have_no_interval():
    # All true values are equal: R2 has no denominator, the squared error has a value.
    counts = numeric_counts(np.ones(20), np.linspace(0, 1, 20), np.ones(20, bool))
    found = two_level([counts, counts], 50, 0)
    assert np.isnan([found["r2"].value, found["r2"].ci_low, found["r2"].ci_high]).all()
    assert found["mse"].value == pytest.approx(scores(counts)["mse"])
    single = two_level([counts], 50, 0)["mse"]
    assert np.isnan(single.sd_seeds)
    assert single.ci_low < single.value < single.ci_high


def test_seeds_with_other_texts_are_refused():
    by_seed = simulate(np.random.default_rng(6), 2, 20)
    shorter = simulate(np.random.default_rng(6), 1, 19)
    with pytest.raises(ValueError, match="seed 3 of 3 has 19 single texts"):
        two_level_samples([*by_seed, *shorter], 10, 0)
    truth = by_seed[1].parts["true"][:, ::-1]
    swapped = dataclasses.replace(by_seed[1], parts=by_seed[1].parts | {"true": truth})
    with pytest.raises(ValueError, match="same texts in the same order"):
        two_level_samples([by_seed[0], swapped], 10, 0)
    with pytest.raises(ValueError, match="no seeds"):
        two_level_samples([], 10, 0)
