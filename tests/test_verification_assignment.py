"""Assignment: balanced, stable, and a blind audit with known inclusion probability."""

from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.verification.assignment import AssignmentError, assign

TEXTS = [f"t{i}" for i in range(100)]


def sets(frame, blind):
    part = frame[frame["blind"] == blind]
    return part.groupby("id")["coder"].agg(list).to_dict()


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60),
    k=st.integers(1, 6),
    overlap=st.floats(0, 0.5),
    audit=st.integers(0, 30),
    seed=st.integers(0, 9),
)
def test_every_text_has_its_reviewers_and_the_audit_another_coder(n, k, overlap, audit, seed):
    texts, coders = TEXTS[:n], [f"c{i}" for i in range(k)]
    if k > n or audit > n or (k == 2 and round(overlap * n) > n - audit):
        with pytest.raises(AssignmentError):
            assign(texts, coders, overlap=overlap, audit=audit, seed=seed)
        return
    overlap = 0 if k == 1 else overlap
    frame = assign(texts, coders, overlap=overlap, audit=audit, seed=seed)
    reviewed, blind = sets(frame, False), sets(frame, True)
    assert set(reviewed) == set(texts)
    assert sum(len(set(who)) == 2 for who in reviewed.values()) == round(overlap * n)
    assert len(blind) == audit
    assert all(len(who) == 1 for who in blind.values())
    if k > 1:
        assert not [text for text, (who,) in blind.items() if who in reviewed[text]]
    assert (frame.loc[frame["blind"], "probability"] == audit / n).all()
    assert frame.loc[~frame["blind"], "probability"].isna().all()
    for _, own in frame.groupby("coder"):
        assert own["position"].tolist() == list(range(len(own)))
        assert own["blind"].is_monotonic_decreasing


def test_shares_and_pairs_are_balanced():
    frame = assign(TEXTS, ["a", "b", "c"], overlap=0.24, audit=30, seed=1)
    reviewed = sets(frame, False)
    pairs = Counter(tuple(sorted(who)) for who in reviewed.values() if len(who) == 2)
    assert pairs == dict.fromkeys(combinations("abc", 2), 8)
    loads = frame.groupby(["blind", "coder"]).size().unstack()
    assert (loads.max(axis=1) - loads.min(axis=1)).max() <= 1


def test_the_same_seed_gives_the_same_frame_whatever_the_order():
    first = assign(TEXTS, ["a", "b"], overlap=0.2, audit=20, seed=1)
    pd.testing.assert_frame_equal(
        first, assign(TEXTS[::-1], ["a", "b"], overlap=0.2, audit=20, seed=1)
    )
    other = assign(TEXTS, ["a", "b"], overlap=0.2, audit=20, seed=2)
    assert set(sets(first, True)) != set(sets(other, True))


def test_a_larger_audit_contains_a_smaller_one():
    small, large = (
        set(sets(assign(TEXTS, ["a", "b"], overlap=0, audit=n, seed=3), True)) for n in (10, 40)
    )
    assert small < large


def test_each_text_comes_into_audit_and_overlap_equally_often():
    audit, overlap = Counter(), Counter()
    for seed in range(150):
        frame = assign(TEXTS[:20], ["a", "b"], overlap=0.25, audit=5, seed=seed)
        audit.update(frame.loc[frame["blind"], "id"])
        reviews = frame.loc[~frame["blind"], "id"]
        overlap.update(reviews[reviews.duplicated()])
    # 150 draws with probability 1/4: mean 37.5, standard deviation 5.3.
    for counts in (audit, overlap):
        assert len(counts) == 20
        assert max(abs(np.array(list(counts.values())) - 37.5)) < 4 * 5.3


def test_one_coder_codes_blind_first():
    frame = assign(TEXTS[:10], ["a"], overlap=0, audit=4, seed=1)
    assert frame["blind"].tolist() == [True] * 4 + [False] * 10
    assert set(frame["coder"]) == {"a"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": ["t1", "t1"]}, "text 't1' is given twice"),
        ({"coders": ["a", "a"]}, "coder 'a' is given twice"),
        ({"coders": []}, "at least one coder"),
        ({"texts": ["t1"]}, "1 texts for 2 coders"),
        ({"coders": ["a"]}, "set `overlap: 0` for one"),
        ({"overlap": 1.5}, "between 0 and 1"),
        ({"audit": 101}, "set `audit` to at most 100"),
        ({"audit": 90}, "name a third coder"),
    ],
)
def test_what_cannot_be_assigned_is_refused(arguments, message):
    given = {"texts": TEXTS, "coders": ["a", "b"], "overlap": 0.2, "audit": 10} | arguments
    texts, coders = given.pop("texts"), given.pop("coders")
    with pytest.raises(AssignmentError, match=message):
        assign(texts, coders, **given, seed=1)
