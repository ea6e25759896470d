"""Splits, folds, subsets and leakage: shares, seeds, order, and what cannot be stratified."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data import (
    DataError,
    drop_leaks,
    folds,
    limit,
    load_embedded,
    make_split,
    near_duplicates,
    stratified_subset,
)
from helpers.data.leakage import normal_form, shingles
from helpers.tasks import load_task

NAMES = ("cap", "dataverse", "flourishing", "conflict")
FRACTIONS = {"train": 0.65, "validation": 0.10, "test": 0.25}


def texts_of(name):
    return load_embedded(load_task(name)).frame


def present(task, frame):
    return task.encode([task.loads(cell) for cell in frame["labels"]]) > 0


def single(labels):
    ids = [f"t{i:03d}" for i in range(len(labels))]
    cells = [f'"{label}"' for label in labels]
    return pd.DataFrame({"id": ids, "text": ids, "labels": cells})


@pytest.mark.parametrize("name", NAMES)
def test_every_text_is_in_one_split_of_the_right_size(name):
    texts = texts_of(name)
    frame = make_split(texts, load_task(name), seed=1).frame
    assert sorted(frame["id"]) == sorted(texts["id"])
    for split, share in FRACTIONS.items():
        assert (frame["split"] == split).mean() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("name", "texts_off"), [("cap", 1), ("dataverse", 1), ("flourishing", 6)])
def test_each_label_has_its_share_of_each_split(name, texts_off):
    task = load_task(name)
    frame = make_split(texts_of(name), task, seed=1).frame
    matrix = present(task, frame)
    for split, share in FRACTIONS.items():
        inside = matrix[(frame["split"] == split).to_numpy()].sum(axis=0)
        assert np.abs(inside - share * matrix.sum(axis=0)).max() <= texts_off


def test_hard_questions_and_conflict_severity_are_spread_evenly():
    frame = make_split(texts_of("cap"), load_task("cap"), seed=1).frame
    shares = frame.groupby("split")["hard"].mean()
    assert np.ptp(shares) < 0.02  # 0.04 if only the topic is stratified
    task = load_task("conflict")
    frame = make_split(texts_of("conflict"), task, seed=1).frame
    means = frame["labels"].map(task.loads).astype(float).groupby(frame["split"]).mean()
    assert np.ptp(means) < 0.3


@pytest.mark.parametrize("name", NAMES)
def test_a_split_depends_on_the_seed_and_not_on_the_order(name):
    task, texts = load_task(name), texts_of(name)
    first = make_split(texts, task, seed=1).frame
    pd.testing.assert_frame_equal(
        make_split(texts.sample(frac=1, random_state=3), task, seed=1).frame, first
    )
    assert not make_split(texts, task, seed=2).frame.equals(first)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["1", "2", "3", "4"]), min_size=3, max_size=60))
def test_rare_classes_are_reported_and_never_crash(labels):
    frame, rare = make_split(single(labels), load_task("cap"), seed=0)
    counts = pd.Series(labels).value_counts()
    assert dict(zip(rare["label"], rare["n"], strict=True)) == counts[counts < 4].to_dict()
    assert (rare[["train", "validation", "test"]].sum(axis=1) == rare["n"]).all()
    assert set(frame["split"]) <= set(FRACTIONS)


def test_a_single_text_of_a_class_goes_to_training():
    rare = make_split(single(["1"] * 40 + ["2"]), load_task("cap"), seed=0).rare
    assert rare.to_dict("records") == [
        {"label": "2", "n": 1, "train": 1, "validation": 0, "test": 0}
    ]


def test_a_published_split_is_kept():
    frame = single(["1", "2"] * 50)
    frame["paper_split"] = ["test"] * 30 + ["train"] * 70
    made = make_split(frame, load_task("cap"), seed=0).frame
    assert ((made["split"] == "test") == (made["paper_split"] == "test")).all()
    assert (made["split"] == "validation").sum() == pytest.approx(70 * 0.10 / 0.75, abs=2)
    frame.loc[0, "paper_split"] = "dev"
    with pytest.raises(DataError, match="not \\['dev'\\]"):
        make_split(frame, load_task("cap"), seed=0)


def test_what_cannot_be_split_is_refused():
    task = load_task("cap")
    with pytest.raises(DataError, match="sum to 1"):
        make_split(single(["1"] * 9), task, 0, fractions=(0.5, 0.1, 0.1))
    with pytest.raises(DataError, match="2 text"):
        make_split(single(["1"] * 2), task, 0)
    twice = single(["1"] * 9).assign(id="same")
    with pytest.raises(DataError, match="'same' occurs more than once"):
        make_split(twice, task, 0)


# --- folds and subsets --------------------------------------------------------------------------


def test_folds_cover_each_text_once_a_repeat():
    task, texts = load_task("conflict"), texts_of("conflict")
    table = folds(texts, task, k=5, repeats=3, seed=1)
    sizes = table.groupby(["scheme", "repeat"])["id"].agg(["size", "nunique"])
    assert (sizes == len(texts)).all(axis=None)
    assert table.groupby("scheme")["repeat"].nunique().to_dict() == {
        "stratified": 3,
        "by_country": 3,
        "leave_one_country_out": 1,
    }
    pd.testing.assert_frame_equal(folds(texts.iloc[::-1], task, k=5, repeats=3, seed=1), table)
    wide = table.pivot(index="id", columns=["scheme", "repeat"], values="fold")
    for scheme in ("stratified", "by_country"):
        assert not (wide[scheme, 0] == wide[scheme, 1]).all()


def test_group_folds_never_share_a_country():
    texts = texts_of("conflict")
    table = folds(texts, load_task("conflict"), k=5, repeats=2, seed=1).merge(texts, on="id")
    for scheme, number in (("by_country", 5), ("leave_one_country_out", 12)):
        part = table[table["scheme"] == scheme]
        assert (part.groupby(["repeat", "country"])["fold"].nunique() == 1).all()
        assert (part.groupby("repeat")["fold"].nunique() == number).all()


def test_stratified_folds_have_their_share_of_each_class():
    task, texts = load_task("cap"), texts_of("cap")
    table = folds(texts, task, k=5, seed=1)
    assert set(table["scheme"]) == {"stratified"}
    joined = table.merge(texts, on="id")
    counts = joined.groupby(["labels", "fold"]).size().unstack(fill_value=0)
    assert (counts.sub(counts.mean(axis=1), axis=0).abs() <= 1.5).all(axis=None)


def test_too_few_texts_or_groups_for_the_folds_are_refused():
    with pytest.raises(DataError, match="4 text"):
        folds(single(["1"] * 4), load_task("cap"), k=5)
    texts = texts_of("conflict")
    few = texts[texts["country"].isin(["Jazarin", "Lazuria"])]
    with pytest.raises(DataError, match="2 values of country"):
        folds(few, load_task("conflict"), k=5)


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_is_met_exactly_and_keeps_the_splits(name):
    task = load_task(name)
    frame = make_split(texts_of(name), task, seed=1).frame
    limits = {"train": 40, "validation": None, "test": 10_000}
    small = limit(frame, task, limits, seed=1)
    counts, before = small["split"].value_counts(), frame["split"].value_counts()
    assert counts["train"] == 40
    assert counts[["validation", "test"]].equals(before[["validation", "test"]])
    assert small.merge(frame, on=["id", "split"]).shape[0] == len(small)
    shuffled = limit(frame.sample(frac=1, random_state=2), task, limits, seed=1)
    pd.testing.assert_frame_equal(shuffled, small)


def test_a_subset_is_stratified():
    texts = single(["1"] * 60 + ["2"] * 30 + ["3"] * 10)
    subset = stratified_subset(texts, load_task("cap"), 20, seed=0)
    assert subset["labels"].value_counts().to_dict() == {'"1"': 12, '"2"': 6, '"3"': 2}


# --- leakage ------------------------------------------------------------------------------------

LONG = (
    "the council asked whether the ferry line to the outer islands would keep its winter timetable"
)


def leaky(**texts):
    rows = [(key, *value) for key, value in texts.items()]
    return pd.DataFrame(rows, columns=["id", "split", "text"])


def test_normal_form_levels_what_does_not_matter():
    assert normal_form("See  HTTPS://x.y/z — “Ferry”, @ann!") == normal_form("see ferry")
    assert normal_form("ﬁne") == "fine"
    assert normal_form("😀") != normal_form("🎉")  # signs alone are not all the same text


def test_shingles_of_a_short_text_are_the_text():
    assert shingles("a b") == ["a b"]
    assert shingles("a b c d e f") == ["a b c d e", "b c d e f"]


def test_exact_and_near_duplicates_across_splits_are_found():
    frame = leaky(
        a=("train", LONG),
        b=("test", LONG.upper() + "!"),
        c=("validation", LONG.replace("timetable", "plan")),
        d=("train", LONG),
        e=("test", "something else altogether, about bees and their keepers"),
    )
    pairs = near_duplicates(frame)
    found = {tuple(row) for row in pairs[["id_a", "id_b", "kind"]].to_numpy()}
    assert found == {
        ("a", "b", "exact"),
        ("d", "b", "exact"),
        ("a", "c", "near"),
        ("d", "c", "near"),
        ("c", "b", "near"),
    }
    everywhere = near_duplicates(frame, across=False)
    assert ("a", "d") in set(zip(everywhere["id_a"], everywhere["id_b"], strict=True))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=5, max_size=15), st.data())
def test_similarity_is_the_jaccard_index_of_the_shingles(words, data):
    changed = list(words)
    changed[data.draw(st.integers(0, len(words) - 1))] = "z"
    frame = leaky(a=("train", " ".join(words)), b=("test", " ".join(changed)))
    a, b = set(shingles(" ".join(words))), set(shingles(" ".join(changed)))
    expected = len(a & b) / len(a | b)
    pairs = near_duplicates(frame, threshold=1e-9)
    assert pairs["similarity"].tolist() == ([pytest.approx(expected)] if expected else [])


def test_leaks_leave_training_and_never_the_test_set():
    frame = leaky(
        a=("train", LONG), b=("test", LONG), c=("validation", LONG), d=("train", "other words")
    )
    kept, dropped = drop_leaks(frame)
    assert kept["id"].tolist() == ["b", "d"]
    assert dict(zip(dropped["ids"], dropped["count"], strict=True)) == {"a": 1, "c": 1}
    again = drop_leaks(kept)
    assert again.dropped.empty
    assert again.frame.equals(kept)


@pytest.mark.parametrize("name", NAMES)
def test_the_embedded_texts_have_no_near_duplicates(name):
    frame = make_split(texts_of(name), load_task(name), seed=1).frame
    assert near_duplicates(frame, across=False).empty
