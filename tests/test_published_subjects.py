"""Dataverse answers of any of the five models: shares, table of numbers, baseline, faults."""

import dataclasses

import pandas as pd
import pytest

from helpers.data import UpstreamError
from helpers.data.manifest import git_blob_sha1, read_manifest
from helpers.published.dataverse import dataverse_models, read_dataverse
from helpers.published.panel import PublishedError
from helpers.published.subjects import (
    SUBJECT_MODELS,
    published_exact,
    score_subjects,
    subject_answers,
    subject_counts,
    subject_scores,
)

SMALL, LARGE = (model.title for model in SUBJECT_MODELS[-2:])
ROWS = [  # true, predicted, isCorrect
    (["Law"], "['Law']", True),
    (["Law"], "['Law', 'Physics']", True),
    (["Law"], "[]", False),  # becomes N/A: one subject, as many as there are
    (["Physics", "Law"], "['Physics', 'Chemistry']", True),
    (["Chemistry"], "['Physics, Chemistry']", False),  # right once it is cleaned
    (["Physics"], "['Magic']", False),
    (["Physics"], '"[]"', False),  # cells that only the base models have
    (["N/A"], "[", False),
]


def raw(rows=ROWS):
    frame = pd.DataFrame(rows, columns=["trueSubject", "predicted", "isCorrect"]).astype("str")
    return frame.assign(id=[f"doi:10.1/{i}" for i in range(len(frame))])


def pick(table, column="value", **where):
    rows = table
    for name, wanted in where.items():
        rows = rows[rows[name] == wanted]
    assert len(rows) == 1
    return rows[column].iloc[0]


def test_made_up_answers_by_every_definition():
    answers = {LARGE: score_subjects(raw(), "made up")}
    table = subject_scores(answers)
    expected = {"any_right": 3, "any_cleaned": 5, "exact": 2, "equal_number": 6}
    for definition, right in expected.items():
        assert pick(table, "n_right", model=LARGE, definition=definition) == right
        assert pick(table, model=LARGE, definition=definition) == right / 8
    row = {"model": LARGE, "definition": "equal_number"}
    assert pick(table, "ci_low", **row) == pytest.approx(0.4093, abs=1e-4)
    assert pick(table, "ci_high", **row) == pytest.approx(0.9285, abs=1e-4)
    assert pick(table, "n_answered", **row) == 5
    assert pick(table, "n_train", **row) == 76_110
    # Law is true in four texts, in three of them alone; so is no other subject.
    baseline = {"any_right": 4, "any_cleaned": 4, "exact": 3, "equal_number": 7}
    for definition, right in baseline.items():
        assert pick(table, "n_right", model="majority", definition=definition) == right


def test_the_published_table_and_its_exact_categories():
    counts = subject_counts({LARGE: score_subjects(raw(), "made up")})
    assert pick(counts, "texts", n_true=1, n_predicted=1) == 5
    assert pick(counts, "percent", n_true=1, n_predicted=1) == 62.5
    assert pick(counts, "texts", n_true=2, n_predicted=1) == 0
    assert counts["texts"].sum() == 8
    assert published_exact(counts).to_dict() == {LARGE: 75.0}  # 62.5 + 12.5
    # 1 and 2 of 3 texts: rounding each cell first loses a tenth.
    three = [(["Law"], "['Law']", True), (["Law", "Physics"], "['Law', 'Physics']", True)]
    three.append((["Physics"], "['Law', 'Physics']", True))
    counts = subject_counts({LARGE: score_subjects(raw(three), "made up")})
    assert published_exact(counts)[LARGE] == pytest.approx(66.6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trueSubject": "Law"}, "row 2: trueSubject 'Law' is no list"),
        ({"trueSubject": "[]"}, r"row 2: trueSubject '\[\]' is no list"),
        ({"isCorrect": "1"}, "row 2: isCorrect is '1', not True or False"),
        ({"id": "doi:10.1/0"}, "row 2: id 'doi:10.1/0' occurs twice"),
        ({"predicted": "['Physics']"}, r"row 2: isCorrect is True for \['Law'\] and \['Physics'\]"),
    ],
)
def test_a_wrong_cell_is_named_with_its_row(change, message):
    frame = raw()
    for column, cell in change.items():
        frame.loc[1, column] = cell
    with pytest.raises(PublishedError, match=r"some\.csv, " + message + ".*; take the file"):
        score_subjects(frame, "some.csv")


def test_a_renamed_column_and_an_empty_file_are_named():
    with pytest.raises(PublishedError, match=r"some\.csv lacks column\(s\) predicted"):
        score_subjects(raw().rename(columns={"predicted": "answer"}), "some.csv")
    with pytest.raises(PublishedError, match=r"some\.csv has no text"):
        score_subjects(raw().head(0), "some.csv")


def test_a_base_model_is_scored_when_its_file_is_there(tmp_path):
    base = SUBJECT_MODELS[2]
    assert subject_answers(tmp_path) == {}
    assert subject_scores({}).empty
    assert subject_counts({}).empty
    path = tmp_path / base.file
    path.parent.mkdir()
    raw().to_csv(path, index=False)
    with pytest.raises(UpstreamError, match=r"70B-NO-FT\.csv: git blob id"):
        subject_answers(tmp_path)  # not the authors' file
    row = next(row for row in read_manifest() if row.local_path == base.file)
    known = dataclasses.replace(row, git_blob_sha1=git_blob_sha1(path))
    answers = subject_answers(tmp_path, [known])
    assert list(answers) == ["Llama 2 70B"]
    assert subject_scores(answers)["model"].unique().tolist() == ["Llama 2 70B", "majority"]


# --- the archive ---------------------------------------------------------------------------------


def test_the_figures_of_the_archive_to_the_printed_digit(upstream_folder):
    answers = subject_answers(upstream_folder)
    table = subject_scores(answers)

    def percent(model, definition, digits):
        return round(100 * pick(table, model=model, definition=definition), digits)

    assert percent(LARGE, "any_right", 2) == 94.56
    assert percent(LARGE, "any_cleaned", 2) == 94.70
    assert percent(SMALL, "any_right", 2) == 84.75
    assert percent(SMALL, "any_cleaned", 2) == 84.84
    assert percent(LARGE, "exact", 1) == 85.5
    counts = subject_counts(answers)
    assert published_exact(counts)[LARGE] == 90.3
    assert percent(LARGE, "equal_number", 1) == 90.4  # what rounding the sum would give
    assert counts.groupby("model")["texts"].sum().to_dict() == {SMALL: 32_619, LARGE: 32_619}


def test_both_readings_of_the_archive_agree(upstream_folder):
    ours = subject_scores(subject_answers(upstream_folder))
    theirs = dataverse_models(read_dataverse(upstream_folder)).query("scope == 'all'")
    names = {"any": "any_right"}
    for row in theirs[~theirs["definition"].isin(["answered", "usable"])].itertuples():
        about = {"model": LARGE if row.n_train == 76_110 else SMALL}
        about["definition"] = names.get(row.definition, row.definition)
        assert pick(ours, "n_right", **about) == row.n_right
        assert pick(ours, "n_answered", **about) == row.n_answered
        assert pick(ours, "ci_low", **about) == pytest.approx(row.ci_low)
