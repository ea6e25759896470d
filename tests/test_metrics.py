"""Scores, intervals and paired tests: by hand, against scikit-learn, and by simulation."""

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats.contingency_tables import mcnemar

from helpers.metrics import (
    bootstrap_metrics,
    class_rates,
    evaluate,
    holm,
    mcnemar_exact,
    multi_label_counts,
    numeric_counts,
    paired_bootstrap,
    percentile_interval,
    resampled_sums,
    scores,
    single_label_counts,
)


def one_hot(codes, n_labels):
    """Rows with a 1 at the code; -1 gives a row of zeros."""
    codes = np.asarray(codes)
    matrix = np.zeros((len(codes), n_labels), dtype=np.uint8)
    rows = np.flatnonzero(codes >= 0)
    matrix[rows, codes[rows]] = 1
    return matrix


def all_answered(matrix):
    return np.ones(len(matrix), dtype=bool)


# --- by hand ---------------------------------------------------------------------------------


def test_single_label_by_hand():
    # Truth A A A B B C; predicted A A B B A B: class C is never predicted.
    truth, guess = one_hot([0, 0, 0, 1, 1, 2], 3), one_hot([0, 0, 1, 1, 0, 1], 3)
    counts = single_label_counts(truth, guess, all_answered(truth))
    rates, found = class_rates(counts.total()), scores(counts)
    assert found["accuracy"] == pytest.approx(3 / 6)
    np.testing.assert_allclose(rates["sensitivity"], [2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(rates["specificity"], [2 / 3, 2 / 4, 1])
    np.testing.assert_allclose(rates["precision"], [2 / 3, 1 / 3, np.nan])
    np.testing.assert_allclose(rates["f1"], [2 / 3, 2 / 5, np.nan])
    np.testing.assert_allclose(rates["balanced_accuracy"], [2 / 3, 1 / 2, 1 / 2])
    # The undefined F1 is dropped from the mean F1, but counts as 0 in macro F1.
    assert found["mean_f1"] == pytest.approx((2 / 3 + 2 / 5) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)
    assert found["mean_balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)


def test_class_that_never_occurs_has_no_rate():
    truth = one_hot([0, 1], 3)
    rates = class_rates(single_label_counts(truth, truth, all_answered(truth)).total())
    assert all(np.isnan(values[2]) for values in rates.values())
    assert all((values[:2] == 1).all() for values in rates.values())


def test_multi_label_by_hand():
    # Four texts, four dimensions, levels 1 to 3.
    truth = np.array([[1, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    guess = np.array([[1, 3, 1, 0], [0, 0, 0, 2], [0, 0, 0, 0], [1, 0, 0, 0]])
    found = scores(multi_label_counts(truth, guess, all_answered(truth), intensity=True))
    assert found["hamming_loss"] == pytest.approx((1 + 2 + 0 + 0) / 4 / 4)
    assert found["dimension_accuracy"] == pytest.approx(1 - 3 / 16)
    assert found["jaccard"] == pytest.approx((2 / 3 + 0 + 1 + 1) / 4)
    assert found["any_right"] == pytest.approx(3 / 4)
    assert found["exact_match"] == pytest.approx(2 / 4)
    assert found["intensity_accuracy"] == pytest.approx(2 / 3)
    assert found["micro_f1"] == pytest.approx(2 * 3 / (4 + 5))
    assert found["macro_f1"] == pytest.approx((1 + 1 + 0 + 0) / 4)


def test_unanswered_texts_are_wrong_and_stay_in_the_denominator():
    truth = one_hot([0, 1, 1, 0], 2)
    answered = np.array([True, True, False, False])
    counts = single_label_counts(truth, truth, answered)
    assert (counts.n, counts.n_answered) == (4, 2)
    assert scores(counts)["accuracy"] == 0.5
    empty = np.zeros((2, 3), dtype=int)
    found = scores(multi_label_counts(empty, empty, np.array([True, False])))
    # The first text rightly has no label; the second was not answered and earns nothing.
    assert found["jaccard"] == found["exact_match"] == found["any_right"] == 0.5


def test_numeric_by_hand():
    y_true, y_pred = np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 3.0, 3.0, 4.0])
    found = scores(numeric_counts(y_true, y_pred, np.ones(4, dtype=bool)))
    assert found["mse"] == pytest.approx((0 + 1 + 0 + 4) / 4)
    assert found["mae"] == pytest.approx(3 / 4)
    assert found["r2"] == pytest.approx(1 - 5 / 14)
    half = np.array([True, True, True, False])
    filled = numeric_counts(y_true, np.array([1.0, 3.0, 3.0, np.nan]), half, fallback=2.0)
    assert scores(filled)["mse"] == pytest.approx((0 + 1 + 0 + 16) / 4)
    assert filled.n_answered == 3


def test_r2_survives_a_large_mean_and_is_undefined_without_variation():
    y = 1e8 + np.arange(20.0)
    yes = np.ones(20, dtype=bool)
    assert scores(numeric_counts(y, y + 1, yes))["r2"] == pytest.approx(sk.r2_score(y, y + 1))
    assert np.isnan(scores(numeric_counts(np.full(20, 0.1), y, yes))["r2"])


def test_wrong_input_is_refused():
    rows = one_hot([0, 1], 2)
    with pytest.raises(ValueError, match="row 1"):
        single_label_counts(rows, np.array([[1, 0], [1, 1]]), all_answered(rows))
    with pytest.raises(ValueError, match="shapes differ"):
        multi_label_counts(rows, rows[:, :1], all_answered(rows))
    with pytest.raises(ValueError, match="no texts"):
        multi_label_counts(rows[:0], rows[:0], all_answered(rows[:0]))
    with pytest.raises(ValueError, match="not finite"):
        numeric_counts([1.0], [np.nan], [True])


# --- against scikit-learn --------------------------------------------------------------------

single_cases = st.integers(2, 6).flatmap(
    lambda labels: st.tuples(
        st.just(labels),
        st.lists(
            st.tuples(st.integers(0, labels - 1), st.integers(0, labels - 1)),
            min_size=1,
            max_size=40,
        ),
    )
)
multi_cases = st.tuples(st.integers(1, 30), st.integers(2, 6)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int8, shape, elements=st.integers(0, 3)),
        arrays(np.int8, shape, elements=st.integers(0, 3)),
    )
)


@settings(max_examples=80, deadline=None)
@given(single_cases)
def test_single_label_agrees_with_sklearn(case):
    n_labels, pairs = case
    y_true, y_pred = np.array(pairs).T
    truth = one_hot(y_true, n_labels)
    counts = single_label_counts(truth, one_hot(y_pred, n_labels), all_answered(truth))
    found, rates = scores(counts), class_rates(counts.total())
    labels = np.arange(n_labels)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y_true, y_pred))
    assert found["micro_f1"] == pytest.approx(sk.f1_score(y_true, y_pred, average="micro"))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(y_true, y_pred, average="macro"))
    recall = sk.recall_score(y_true, y_pred, labels=labels, average=None, zero_division=np.nan)
    precision = sk.precision_score(
        y_true, y_pred, labels=labels, average=None, zero_division=np.nan
    )
    np.testing.assert_allclose(rates["sensitivity"], recall)
    np.testing.assert_allclose(rates["precision"], precision)
    assert found["mean_sensitivity"] == pytest.approx(np.nanmean(recall))
    confusion = sk.multilabel_confusion_matrix(y_true, y_pred, labels=labels)
    tn, fp, fn, tp = confusion.reshape(-1, 4).T
    occurs = tp + fn + fp > 0
    negatives = (tn + fp)[occurs]
    specificity = np.divide(
        tn[occurs], negatives, np.full(len(negatives), np.nan), where=negatives > 0
    )
    np.testing.assert_allclose(rates["specificity"][occurs], specificity)


@settings(max_examples=80, deadline=None)
@given(multi_cases)
def test_multi_label_agrees_with_sklearn(case):
    levels_true, levels_pred = case
    counts = multi_label_counts(levels_true, levels_pred, all_answered(levels_true), intensity=True)
    found, y_true, y_pred = scores(counts), levels_true > 0, levels_pred > 0
    assert found["hamming_loss"] == pytest.approx(sk.hamming_loss(y_true, y_pred))
    assert found["exact_match"] == pytest.approx(sk.accuracy_score(y_true, y_pred))
    assert found["jaccard"] == pytest.approx(
        sk.jaccard_score(y_true, y_pred, average="samples", zero_division=1)
    )
    if y_true.any() or y_pred.any():
        assert found["micro_f1"] == pytest.approx(sk.f1_score(y_true, y_pred, average="micro"))
        assert found["macro_f1"] == pytest.approx(
            sk.f1_score(y_true, y_pred, average="macro", zero_division=np.nan)
        )
    else:
        assert np.isnan(found["micro_f1"])
        assert np.isnan(found["macro_f1"])
    both = y_true & y_pred
    if both.any():
        right = (levels_true == levels_pred)[both].mean()
        assert found["intensity_accuracy"] == pytest.approx(right)
    assert found["any_right"] >= found["exact_match"]
    assert found["jaccard"] >= found["exact_match"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-100, 100, width=16), st.floats(-100, 100, width=16)),
        min_size=2,
        max_size=40,
    )
)
def test_numeric_agrees_with_sklearn(pairs):
    y_true, y_pred = np.array(pairs).T
    found = scores(numeric_counts(y_true, y_pred, np.ones(len(y_true), dtype=bool)))
    assert found["mse"] == pytest.approx(sk.mean_squared_error(y_true, y_pred))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y_true, y_pred))
    if np.ptp(y_true) > 1e-3:
        assert found["r2"] == pytest.approx(sk.r2_score(y_true, y_pred), rel=1e-6, abs=1e-9)


# --- intervals -------------------------------------------------------------------------------


def draw_single(rng, n, accuracy, n_labels=4):
    codes = rng.integers(0, n_labels, n)
    wrong = (codes + rng.integers(1, n_labels, n)) % n_labels
    guess = np.where(rng.random(n) < accuracy, codes, wrong)
    return one_hot(codes, n_labels), one_hot(guess, n_labels)


def draw_multi(rng, n, n_labels=5):
    truth = rng.random((n, n_labels)) < 0.3
    guess = truth ^ (rng.random((n, n_labels)) < 0.2)
    return truth.astype(int), guess.astype(int)


def test_resampled_sums_equal_a_loop_over_drawn_texts():
    rng = np.random.default_rng(3)
    truth, guess = draw_multi(rng, 30)
    counts = multi_label_counts(truth, guess, all_answered(truth))
    sums = resampled_sums(counts, 7, seed=11)
    draws = np.random.default_rng(11).integers(0, 30, size=(7, 30))
    for b, rows in enumerate(draws):
        again = multi_label_counts(truth[rows], guess[rows], all_answered(truth)).total()
        for name, value in again.items():
            np.testing.assert_allclose(sums[name][b], value)


def test_blocks_do_not_overlap_or_repeat(monkeypatch):
    rng = np.random.default_rng(4)
    truth, guess = draw_multi(rng, 50)
    counts = multi_label_counts(truth, guess, all_answered(truth))
    monkeypatch.setattr("helpers.metrics.intervals._BLOCK", 150)
    sums = resampled_sums(counts, 10, seed=0)
    assert sums["tp"].shape == (10, 5)
    assert len(np.unique(sums["tp"], axis=0)) == 10


def test_percentile_interval_leaves_out_undefined_samples():
    samples = np.column_stack([np.arange(101.0), np.full(101, np.nan)])
    samples[0, 0] = np.nan
    low, high = percentile_interval(samples)
    assert low[0] == pytest.approx(np.quantile(np.arange(1, 101), 0.025))
    assert high[0] == pytest.approx(np.quantile(np.arange(1, 101), 0.975))
    assert np.isnan(low[1])
    assert np.isnan(high[1])


def coverage(draw, build, targets, repeats=200):
    """Share of the simulated samples whose interval holds the true value, by score."""
    hits = dict.fromkeys(targets, 0)
    for seed in range(repeats):
        truth, guess = draw()
        samples = bootstrap_metrics(build(truth, guess, all_answered(truth)), 300, seed)
        for name, value in targets.items():
            low, high = percentile_interval(samples[name])
            hits[name] += int(low <= value <= high)
    return {name: hit / repeats for name, hit in hits.items()}


def test_single_label_intervals_cover():
    # Wrong answers spread evenly over the other 3 of 4 labels: specificity 1 - 0.3/3 = 0.9.
    rng = np.random.default_rng(5)
    targets = {"accuracy": 0.7, "mean_sensitivity": 0.7, "mean_balanced_accuracy": 0.8}
    found = coverage(lambda: draw_single(rng, 150, 0.7), single_label_counts, targets)
    # Binomial(200, 0.95) leaves this range less than once in 1,000.
    assert all(0.89 <= share <= 0.99 for share in found.values()), found


def test_multi_label_intervals_cover():
    rng = np.random.default_rng(6)
    truth, guess = draw_multi(rng, 400_000)
    population = scores(multi_label_counts(truth, guess, all_answered(truth)))
    names = ("jaccard", "hamming_loss", "micro_f1", "macro_f1", "exact_match", "any_right")
    targets = {name: population[name] for name in names}
    found = coverage(lambda: draw_multi(rng, 150), multi_label_counts, targets)
    assert all(0.89 <= share <= 0.99 for share in found.values()), found


def test_a_wrong_target_is_not_covered():
    rng = np.random.default_rng(10)
    draw = lambda: draw_single(rng, 150, 0.7)  # noqa: E731
    assert coverage(draw, single_label_counts, {"accuracy": 0.85}, 50)["accuracy"] < 0.1


def test_paired_intervals_cover_and_are_narrower_than_unpaired_ones():
    rng, repeats, hits, narrower = np.random.default_rng(7), 150, 0, 0
    for seed in range(repeats):
        truth, guess = draw_multi(rng, 150)
        # The second model makes the first one's errors and some more: true difference 0.8 * 0.05
        # minus 0.2 * 0.05 of the cells, since a second flip puts an error right again.
        other = guess ^ (rng.random(guess.shape) < 0.05)
        a = multi_label_counts(truth, other, all_answered(truth))
        b = multi_label_counts(truth, guess, all_answered(truth))
        found = paired_bootstrap(a, b, 300, seed)["hamming_loss"]
        hits += found.ci_low <= 0.03 <= found.ci_high
        one = evaluate(a, 300, seed)[0]["hamming_loss"]
        narrower += found.ci_high - found.ci_low < one.ci_high - one.ci_low
    assert 0.88 <= hits / repeats <= 0.99
    assert narrower == repeats


def test_bootstrap_is_fast_and_repeatable():
    rng = np.random.default_rng(8)
    truth = (rng.random((2000, 46)) < 0.08) * rng.integers(1, 4, (2000, 46))
    guess = (rng.random((2000, 46)) < 0.08) * rng.integers(1, 4, (2000, 46))
    counts = multi_label_counts(truth, guess, all_answered(truth), intensity=True)
    began = time.process_time()
    first = evaluate(counts, 2000, seed=1)
    # 0.15 to 0.4 s of processor time on two cores; the bound allows for slow machines.
    assert time.process_time() - began < 10
    assert first == evaluate(counts, 2000, seed=1)
    assert first[0]["jaccard"] != evaluate(counts, 2000, seed=2)[0]["jaccard"]


# --- paired tests ----------------------------------------------------------------------------


def test_identical_models_do_not_differ():
    rng = np.random.default_rng(9)
    truth, guess = draw_multi(rng, 60)
    counts = multi_label_counts(truth, guess, all_answered(truth))
    for found in paired_bootstrap(counts, counts, 200, 0).values():
        assert (found.difference, found.ci_low, found.ci_high, found.p_value) == (0, 0, 0, 1)


def test_clear_difference_has_the_smallest_p_value():
    truth = one_hot([0, 1] * 50, 2)
    good = single_label_counts(truth, truth, all_answered(truth))
    bad = single_label_counts(truth, truth[:, ::-1], all_answered(truth))
    found = paired_bootstrap(good, bad, 999, 0)["accuracy"]
    assert found.difference == 1
    assert found.p_value == pytest.approx(2 / 1000)


def test_models_on_different_texts_are_not_paired():
    truth = one_hot([0, 1, 1], 2)
    a = single_label_counts(truth, truth, all_answered(truth))
    b = single_label_counts(truth[:2], truth[:2], all_answered(truth[:2]))
    with pytest.raises(ValueError, match="cannot pair"):
        paired_bootstrap(a, b, 10, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_agrees_with_statsmodels(pairs):
    a, b = np.array(pairs).T
    found = mcnemar_exact(a, b)
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    assert (found.only_a, found.only_b) == (table[0][1], table[1][0])
    assert found.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)


def test_mcnemar_by_hand():
    # 8 texts only the first gets right, 1 only the second: 2 * (9 + 1) / 2**9.
    a = np.array([True] * 8 + [False] + [True] * 5)
    b = np.array([False] * 8 + [True] + [True] * 5)
    assert mcnemar_exact(a, b).p_value == pytest.approx(20 / 512)


def test_holm_by_hand():
    found = holm([0.01, 0.04, np.nan, 0.03])
    np.testing.assert_allclose(found, [0.03, 0.06, np.nan, 0.06])
    assert np.isnan(holm([np.nan])[0])


# --- the published results, and what may be imported -----------------------------------------


def test_reproduces_the_recomputed_cap_results(upstream_folder):
    path = upstream_folder / "cap" / "classification_test-L2-7B-cap-verified-v2.csv"
    frame = pd.read_csv(path)
    truth, guess = frame["trueCat"], frame["predicted"]
    codes = sorted(set(truth))
    where = {code: i for i, code in enumerate(codes)}
    y_true = one_hot([where[c] for c in truth], len(codes))
    y_pred = one_hot([where.get(c, -1) for c in guess], len(codes))
    counts = single_label_counts(y_true, y_pred, all_answered(y_true))
    found = {name: round(100 * value, 2) for name, value in scores(counts).items()}
    assert (counts.n, len(codes)) == (424, 20)
    assert found["accuracy"] == 74.76
    assert round(found["mean_sensitivity"], 1) == 74.1
    assert round(found["mean_specificity"], 1) == 98.7
    assert round(found["mean_f1"], 1) == 73.0
    assert round(found["mean_balanced_accuracy"], 1) == 86.4


def test_metrics_load_no_model_library():
    code = "import sys, helpers.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
