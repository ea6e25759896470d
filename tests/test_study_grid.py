"""The grid of a study: sizes, nested subsets, noise that is what it says."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.study.grid import (
    StudyError,
    geometric_sizes,
    noise_share,
    order_of,
    subset,
    with_noise,
)
from helpers.tasks import load_task

CAP, POSTS = load_task("cap"), load_task("flourishing")


def texts(n=400, labels=5):
    rng = np.random.default_rng(3)
    cells = [CAP.dumps(CAP.labels[i]) for i in rng.integers(0, labels, n)]
    return pd.DataFrame({"id": [f"t{i:04d}" for i in range(n)], "labels": cells, "text": "x"})


@given(st.integers(2, 60), st.integers(61, 100_000), st.integers(3, 9))
def test_sizes_rise_in_about_equal_ratios_from_smallest_to_all(smallest, largest, count):
    sizes = geometric_sizes(smallest, largest, count)
    assert sizes[0] == smallest and sizes[-1] == largest and sizes == sorted(set(sizes))
    if len(sizes) == count:
        exact = smallest * (largest / smallest) ** (np.arange(count) / (count - 1))
        assert np.abs(np.array(sizes) - exact).max() <= 0.5


@pytest.mark.parametrize(("smallest", "largest", "count"), [(25, 25, 5), (0, 9, 3), (30, 9, 3)])
def test_a_grid_that_cannot_be_is_refused(smallest, largest, count):
    with pytest.raises(StudyError, match=r"training_size\.smallest"):
        geometric_sizes(smallest, largest, count)


def test_subsets_are_nested_within_a_seed_and_differ_between_seeds():
    frame = texts()
    first, second = order_of(frame, 1), order_of(frame, 2)
    small, large = subset(frame, first, 25), subset(frame, first, 100)
    assert len(small) == 25 and set(small["id"]) < set(large["id"])
    assert small["id"].is_monotonic_increasing  # the order of the texts, not of the draw
    overlap = len(set(large["id"]) & set(subset(frame, second, 100)["id"]))
    assert 5 < overlap < 50  # independent draws share a quarter
    shuffled = frame.sample(frac=1, random_state=0)
    assert order_of(shuffled, 1) == first


def test_texts_without_labels_are_passed_over_in_the_same_order():
    frame = texts()
    order = order_of(frame, 1)
    some = frame[~frame["id"].isin(order[:10])]
    assert set(subset(some, order, 20)["id"]) == set(order[10:30])
    with pytest.raises(StudyError, match="391 training texts asked for, 390 have labels"):
        subset(some, order, 391)


def test_noise_has_the_share_it_says_is_nested_and_keeps_the_marginals():
    frame = texts(4000)
    ten, thirty = (with_noise(frame, share, 5, CAP)["labels"] for share in (0.1, 0.3))
    wrong_10, wrong_30 = ten != frame["labels"], thirty != frame["labels"]
    assert wrong_10.mean() == pytest.approx(0.1, abs=0.02)
    assert wrong_30.mean() == pytest.approx(0.3, abs=0.03)
    assert (wrong_30 | ~wrong_10).all() and (ten[wrong_10] == thirty[wrong_10]).all()
    before, after = (x.value_counts(normalize=True) for x in (frame["labels"], thirty))
    assert (after - before).abs().max() < 0.03
    assert set(thirty) <= set(frame["labels"])


def test_noise_depends_on_ids_and_seed_not_on_the_order_of_rows():
    frame = texts()
    mixed = frame.sample(frac=1, random_state=1)
    one = with_noise(frame, 0.2, 5, CAP).set_index("id")["labels"]
    other = with_noise(mixed, 0.2, 5, CAP).set_index("id")["labels"]
    assert one.equals(other[one.index])
    assert not one.equals(with_noise(frame, 0.2, 6, CAP).set_index("id")["labels"])


def test_noise_finds_other_labels_where_nearly_all_are_the_same():
    frame = texts(500).assign(labels=CAP.dumps("1"))
    frame.loc[7, "labels"] = CAP.dumps("2")
    noisy = with_noise(frame, 0.5, 1, CAP)["labels"]
    assert 0.4 < (noisy != frame["labels"]).mean() < 0.6
    same = frame.assign(labels=CAP.dumps("1"))
    with pytest.raises(StudyError, match="all training texts have the same labels"):
        with_noise(same, 0.5, 1, CAP)


@pytest.mark.parametrize("name", ["noise-", "noise-0", "noise-100", "noise-ten"])
def test_a_misspelt_share_of_noise_is_refused(name):
    with pytest.raises(StudyError, match="write noise-10"):
        noise_share(name)


def test_share_of_noise():
    assert noise_share("noise-10") == 0.1 and noise_share("gold") is None
