"""The archive of the posts: the published statistics to the digit, other rules, bad input."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from helpers.data import UpstreamError, UpstreamMissing
from helpers.published import PublishedError, published_flourishing
from helpers.published.answers import VERSIONS, read_answers
from helpers.published.archive import (
    CLEANINGS,
    CONFLICTS,
    Archive,
    Posts,
    check_codings,
    cleaned_levels,
    excluded_codings,
    open_archive,
    posts,
    true_labels,
)
from helpers.published.panel import PUBLISHED
from helpers.published.per_dimension import STATISTICS, confusion, published_dimensions
from helpers.published.statistics import published_statistics, published_summary
from helpers.tasks import load_task

TASK = load_task("flourishing")
SHARES = ["accD", "accI", "FN", "FP", "jac", "jac2", "ham"]
RECOMPUTABLE = {  # fname -> posts that are evaluated on the training set
    "classified-L2-13B-FT": 2400,
    "classified-L2-70B-FT": 2403,
    "classified-L2-7B-FT": 2402,
    "classified-L3-70B-FT": 2397,
    "classified-L31-405B": 1849,
    "classified-L32-1B-FT": 1047,
    "classified-chatgpt4": 2288,
}
HAPPY, VITAL = TASK.labels.index("happiness"), TASK.labels.index("vitality")


def codings(*rows, file="x.csv"):
    """Rows (id, dimension, value, coder, accepted)."""
    names = ["id", "dimension", "value", "coder", "accepted"]
    return check_codings(TASK, pd.DataFrame(rows, columns=names, dtype="str"), file)


def answers(*rows):
    """Rows (id, dimension, value)."""
    return pd.DataFrame(rows, columns=["id", "dimension", "value"], dtype="str")


def truth_of(frame, conflict):
    rows = true_labels(frame, conflict)
    return {(r.id, r.dimension): r.value for r in rows.itertuples()}


# --- true labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conflict", "low_medium", "low_high", "medium_high"),
    [
        ("published", "medium", "high", "high"),
        ("unanimous", "medium", "high", "high"),
        ("comment", "low", "high", "high"),
        ("lowest", "low", "low", "medium"),
        ("first", "medium", "high", "high"),
    ],
)
def test_which_of_several_levels_counts(conflict, low_medium, low_high, medium_high):
    rows = []
    for key, pair in {
        "1": ("medium", "low"),
        "2": ("high", "low"),
        "3": ("high", "medium"),
    }.items():
        rows += [(key, "happiness", level, "1", "Y") for level in pair]
    found = truth_of(codings(*rows)[0], conflict)
    assert [found[key, "happiness"] for key in "123"] == [low_medium, low_high, medium_high]


def test_a_proposal_that_another_coder_rejects_is_not_unanimous():
    frame, _ = codings(
        ("1", "happiness", "high", "1", "Y"),
        ("1", "happiness", "high", "2", "N"),
        ("1", "happiness", "low", "1", "Y"),
        ("1", "vitality", "low", "2", "N"),
    )
    assert truth_of(frame, "published") == {("1", "happiness"): "high"}
    assert truth_of(frame, "unanimous") == {("1", "happiness"): "low"}


def test_both_ways_to_write_a_decision_and_the_excluded_coder():
    out = excluded_codings().iloc[0]
    frame, dropped = codings(
        ("1", "happiness", "high", "3", "1"),
        ("1", "vitality", "high", "3", "0"),
        (out["id"], "vitality", "high", out["coder"], "1"),
        (out["id"], "vitality", "low", "3", "1"),
    )
    assert frame["accepted"].tolist() == [True, False, True]
    assert dropped[["rows", "posts"]].to_numpy().tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("1.6e+18", "happiness", "high", "1", "Y"), r"x\.csv, row 2: id '1\.6e\+18'"),
        (("", "happiness", "high", "1", "Y"), r"row 2: id '' is no whole number"),
        (("2", "happiness", "high", "1", "maybe"), r"row 2: accepted is 'maybe'"),
        (("2", "bliss", "high", "1", "Y"), r"row 2: accepted dimension 'bliss'"),
        (("2", "happiness", "huge", "1", "Y"), r"row 2: accepted level 'huge'"),
    ],
)
def test_bad_codings_are_named_with_file_row_and_remedy(row, message):
    with pytest.raises(PublishedError, match=message) as error:
        codings(("1", "happiness", "high", "1", "Y"), row)
    assert "from the archive again" in str(error.value)


def test_a_renamed_column_is_named():
    raw = pd.DataFrame({"id": ["1"], "dim": ["happiness"], "value": ["low"], "coder": ["1"]})
    with pytest.raises(PublishedError, match=r"x\.csv lacks column\(s\) dimension, accepted"):
        check_codings(TASK, raw, "x.csv")


def test_a_rule_that_is_unknown():
    with pytest.raises(ValueError, match="choose one of published"):
        true_labels(codings(("1", "happiness", "high", "1", "Y"))[0], "loudest")
    with pytest.raises(ValueError, match="choose one of published"):
        cleaned_levels(TASK, answers(), ("1",), "none", "x")


# --- matrices -------------------------------------------------------------------------------------


def small():
    frame, dropped = codings(
        ("1", "happiness", "high", "1", "Y"),
        ("1", "happiness", "low", "2", "Y"),
        ("1", "vitality", "low", "1", "N"),
        ("2", "vitality", "medium", "1", "Y"),
    )
    raw = answers(
        ("1", "joyful", "High"),
        ("1", "happiness", "low"),
        ("1", " Vitality", "medium-ish"),
        ("2", "Suffering", "high"),
        ("2", "strange", "high"),
        ("2", "vitality", "unclear"),
        ("3", "happiness", "low"),
    )
    return Archive(TASK, PUBLISHED, {"train": frame}, {"m": raw}, dropped)


def test_matrices_by_hand():
    found = posts(small(), "train")
    assert found.ids == ("1", "2")
    assert found.truth[0, HAPPY] == 3 and found.truth[1, VITAL] == 2 and found.truth.sum() == 5
    assert found.predicted["m"][0, [HAPPY, VITAL]].tolist() == [3, 2]
    pain = TASK.labels.index("feeling pain")
    assert found.predicted["m"][1, pain] == 3
    assert found.published_selection("m").tolist() == [True, True]


def test_cleanings_differ_where_they_should():
    corrected = posts(small(), "train", cleaning="corrected").predicted["m"]
    assert corrected[1, TASK.labels.index("suffering")] == 3
    strict = posts(small(), "train", cleaning="strict").predicted["m"]
    # "joyful" is no word of the codebook; case and spaces around a word don't matter; levels
    # are not mapped either.
    assert strict[0, HAPPY] == 1 and strict[0, VITAL] == 0
    assert strict[1, TASK.labels.index("suffering")] == 3


def test_every_row_is_in_the_matrix_or_counted_by_reason():
    archive = small()
    found = posts(archive, "train")
    lost = found.dropped[found.dropped["file"] == "m"].set_index("reason")["rows"]
    assert lost.to_dict() == {
        "post without a true label in this split": 1,
        "dimension that the codebook lacks": 1,
        "level that can't be read": 1,
        "dimension that the answer names again": 1,
    }
    assert lost.sum() + (found.predicted["m"] > 0).sum() == len(archive.raw["m"])


def test_statistics_of_a_dimension_are_swapped_as_published():
    # Dimension 0: tp 1, fn 2, fp 1, tn 1; dimension 1: never named, one miss; 2: named in vain.
    truth = np.array([[1, 0, 0], [1, 1, 0], [2, 0, 0], [0, 0, 1], [0, 0, 1]], dtype=np.uint8)
    guess = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]], dtype=np.uint8)
    found = published_dimensions(Posts("train", tuple("abcde"), truth, {"m": guess}, None), "xyz")
    # The last post has no answer: four are evaluated.
    x, y, z = found.drop(columns=["fname", "split"]).set_index("dimension").loc[list("xyz")].values
    prec, named, negative = 1 / 3, 1 / 2, 0 / 2
    expected = [1 / 4, 2 / 5, prec, named, negative, named, (named + negative) / 2]
    assert x == pytest.approx(expected)
    assert y == pytest.approx([3 / 4, np.nan, 0, np.nan, 3 / 4, np.nan, np.nan], nan_ok=True)
    assert z == pytest.approx([1 / 4, np.nan, 0, 0, 1 / 2, 0, 1 / 4], nan_ok=True)
    counts = confusion(truth, guess)
    assert sum(counts.values()).tolist() == [5, 5, 5]


# --- the authors' files ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(upstream_folder):
    return open_archive(TASK, upstream_folder)


@pytest.fixture(scope="module")
def train(archive):
    return posts(archive, "train")


def test_the_published_training_rows_are_recomputed(train):
    recomputed = published_summary(train).set_index("fname")
    published = published_flourishing().query("split == 'train'").set_index("fname")
    assert set(recomputed.index) >= set(RECOMPUTABLE)
    published, recomputed = published.loc[list(RECOMPUTABLE)], recomputed.loc[list(RECOMPUTABLE)]
    assert (recomputed[["n", "ntext"]] == published[["n", "ntext"]]).all(axis=None)
    assert (recomputed[SHARES] - published[SHARES]).abs().max(axis=None) < 1e-13
    assert recomputed["ntext"].to_dict() == RECOMPUTABLE


def test_the_published_statistics_of_each_dimension_are_recomputed(train):
    published = pd.read_csv(PUBLISHED / "per_dimension_chatgpt4.csv").set_index("dimension")
    found = published_dimensions(train, TASK.labels, ["classified-chatgpt4"]).set_index("dimension")
    assert len(published) == 46
    for name in STATISTICS:
        printed, mine = published[name], found.loc[published.index, name]
        assert (printed.isna() == mine.isna()).all()
        assert (printed - mine).abs().max() < 1e-13


def test_the_last_version_of_one_file_is_not_the_published_one(upstream_folder, train):
    fname = "classified-L2-7B-FT"
    assert fname in VERSIONS
    raw = read_answers(upstream_folder, f"flourishing/{fname}.csv")
    head, _ = cleaned_levels(TASK, raw, train.ids, "published", fname)
    found = published_statistics(train.truth, head)
    published = published_statistics(train.truth, train.predicted[fname])
    assert found["ntext"] == published["ntext"] - 1
    assert found["accD"] - published["accD"] == pytest.approx(-0.001383, abs=1e-6)


def test_posts_that_the_published_version_lacks_come_from_the_last_one(archive, upstream_folder):
    """The earlier file has training posts only: else the model would answer no test post."""
    fname = "classified-L2-7B-FT"
    earlier = read_answers(upstream_folder, f"flourishing/{VERSIONS[fname]}.csv")
    last = read_answers(upstream_folder, f"flourishing/{fname}.csv")
    both = archive.raw[fname]
    assert set(both["id"]) == set(earlier["id"]) | set(last["id"]) > set(earlier["id"])
    same = both[both["id"].isin(earlier["id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, earlier)
    dropped = archive.dropped[archive.dropped["file"] == f"flourishing/{fname}.csv"]
    assert dropped["rows"].sum() + len(both) == len(earlier) + len(last)


def test_the_truth_of_the_training_posts(train):
    assert len(train.ids) == 2404
    assert (train.truth > 0).sum() == 8855


@pytest.mark.parametrize("cleaning", CLEANINGS)
@pytest.mark.parametrize("conflict", ["published", "unanimous"])
def test_no_row_of_the_archive_disappears_unseen(archive, cleaning, conflict):
    found = posts(archive, "train", conflict=conflict, cleaning=cleaning)
    lost = found.dropped.groupby("file")["rows"].sum()
    for fname, raw in archive.raw.items():
        assert lost[fname] + (found.predicted[fname] > 0).sum() == len(raw)
    file = "flourishing/all-llms-codings.csv"
    assert lost[file] + (found.truth > 0).sum() == len(archive.codings["train"])


def test_rules_change_levels_and_unanimity_changes_labels(archive):
    truth = {name: posts(archive, "train", conflict=name).truth for name in CONFLICTS}
    present = {name: (matrix > 0).sum() for name, matrix in truth.items()}
    assert len({present[name] for name in CONFLICTS if name != "unanimous"}) == 1
    assert present["unanimous"] < present["published"]
    assert truth["lowest"].sum() < truth["comment"].sum() < truth["published"].sum()


def test_truth_of_the_test_posts_is_read_where_it_is(archive):
    if "test" in archive.codings:
        assert len(posts(archive, "test").ids) > 2000
    else:
        with pytest.raises(UpstreamMissing, match=r"test posts are not here.*verified\.csv"):
            posts(archive, "test")


def test_a_folder_without_the_archive_and_one_with_another_version(tmp_path, upstream_folder):
    with pytest.raises(UpstreamMissing, match="nothing of the flourishing archive"):
        open_archive(TASK, tmp_path)
    (tmp_path / "flourishing").mkdir()
    source = upstream_folder / "flourishing" / "all-llms-codings.csv"
    whole = source.read_bytes()
    (tmp_path / "flourishing" / source.name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UpstreamError, match=r"all-llms-codings\.csv: git blob id .* expected"):
        open_archive(TASK, tmp_path)


def test_torch_is_not_needed():
    code = "import sys, helpers.published.archive; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
