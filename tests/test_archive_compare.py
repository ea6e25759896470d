"""Two runs side by side: identical, within tolerance, different; by row and column."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from helpers.archive.comparing import compare_runs
from helpers.archive.frames import compare_frames, load_tolerances
from helpers.runs import write_frame

LIMITS = load_tolerances()
METRICS = pd.DataFrame(
    {
        "task": "cap",
        "split": "test",
        "model": ["a", "b", "c"],
        "parameters": [10, 20, 30],
        "fine_tuned": [True, False, True],
        "metric": "accuracy",
        "value": [0.70, 0.60, 0.50],
        "ci_low": [0.65, 0.55, 0.45],
        "ci_high": [0.75, 0.65, 0.55],
        "n": [200, 200, 200],
        "n_answered": [200, 199, 200],
    }
)
PREDICTIONS = pd.DataFrame(
    {
        "id": [f"t{number:03}" for number in range(200)],
        "split": "test",
        "status": "ok",
        "answer": "1",
        "labels": '"1"',
    }
)


def save(folder, table=METRICS, predictions=PREDICTIONS):
    """A run with one table and one file of predictions."""
    for suffix in ("csv", "parquet"):
        write_frame(folder / "tables" / f"metrics.{suffix}", table)
    write_frame(folder / "predictions" / "cap" / "a.parquet", predictions)
    return folder


def changed(column, row, value):
    table = METRICS.copy()
    table.loc[row, column] = value
    return table


def problems(table, limits=LIMITS, name="metrics", of=METRICS):
    return [
        (row, column, what)
        for _, row, column, _, _, what in compare_frames(name, of, table, limits)
    ]


def test_equal_bytes_are_identical(tmp_path):
    one, other = save(tmp_path / "one"), save(tmp_path / "other")
    done = compare_runs(one, other, strict=True)
    assert done.equal
    assert done.summary().splitlines() == [
        "1 tables compared, 1 identical, 0 within tolerance, 0 different",
        "1 files of predictions compared, 1 identical, 0 within tolerance, 0 different",
    ]


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        ("value", 0.71, True),  # two of 200 texts
        ("value", 0.7151, False),  # three
        ("n_answered", 197, True),
        ("n_answered", 190, False),
        ("n", 199, False),
        ("ci_low", 0.66, True),
        ("ci_low", 0.61, False),
        ("fine_tuned", False, False),
        ("parameters", 11, False),
    ],
)
def test_each_kind_of_column_has_its_limit(tmp_path, column, value, allowed):
    one = save(tmp_path / "one")
    other = save(tmp_path / "other", changed(column, 0, value))
    done = compare_runs(one, other, strict=False)
    assert done.equal is allowed
    assert done.tables[0].verdict == ("within tolerance" if allowed else "different")
    if not allowed:
        row = done.differences().iloc[0]
        assert row["row"] == "task=cap, split=test, model=a, metric=accuracy"
        assert row["column"] == column and row["recomputed"] == str(value)
    # On the same type of processor nothing is allowed.
    strict = compare_runs(one, other, strict=True)
    assert not strict.equal and strict.differences()["column"].tolist() == [column]


def test_rows_are_matched_by_their_key_whatever_their_order(tmp_path):
    turned = METRICS.iloc[[2, 0, 1]]
    assert not problems(turned)
    one, other = save(tmp_path / "one"), save(tmp_path / "other", turned)
    assert compare_runs(one, other, strict=False).tables[0].verdict == "within tolerance"
    strict = compare_runs(one, other, strict=True).tables[0]
    assert strict.verdict == "different" and "order of rows" in strict.note


def test_rows_and_columns_that_only_one_table_has_are_named():
    key = "cap, test, b, accuracy"
    assert problems(METRICS.drop(index=1)) == [(key, "", "row only in the deposited table")]
    more = pd.concat([METRICS, METRICS.iloc[[1]].assign(model="d")])
    assert problems(more)[0][2] == "row only in the recomputed table"
    assert problems(METRICS.assign(extra=1)) == [
        ("", "extra", "column only in the recomputed table")
    ]
    found = problems(METRICS.drop(columns="ci_low"))
    assert found == [("", "ci_low", "column only in the deposited table")]


def test_value_that_becomes_missing_is_a_difference_and_two_missing_ones_are_none():
    gone = changed("value", 1, None)
    row = "task=cap, split=test, model=b, metric=accuracy"
    assert problems(gone) == [(row, "value", "score: allowed: absolute 1e-06, texts 2")]
    assert not problems(gone, of=gone)


def test_repeated_keys_are_compared_one_by_one():
    twice = pd.concat([METRICS.iloc[[0]], METRICS.iloc[[0]].assign(value=0.2)])
    assert not problems(twice, of=twice)
    assert len(problems(twice.assign(value=0.7), of=twice)) == 1


def test_measured_key_is_matched_by_its_place():
    table = pd.DataFrame(
        {
            "accuracy": [0.5048, 0.5048, 0.9],
            "correlation": [0.6, 0.6, 0.8],
            "method": ["ppi", "dsl", "ppi"],
            "n_coded": [50, 50, 50],
            "effective_n": [76.0, 75.0, 90.0],
        }
    )
    moved = table.assign(accuracy=[0.5061, 0.5061, 0.9])
    assert not problems(moved, name="estimates_worth", of=table)
    far = table.assign(accuracy=[0.55, 0.55, 0.9])
    assert [c for _, c, _ in problems(far, name="estimates_worth", of=table)] == ["accuracy"] * 2


def test_lists_of_the_most_frequent_may_differ_in_some_rows():
    rows = pd.DataFrame({"task": "cap", "gold": list("123456"), "predicted": "9", "n": 5})
    other = rows.assign(gold=list("123457"))
    assert len(compare_frames("labelling_confusions", rows, other, None)) == 2
    assert len(compare_frames("labelling_confusions", rows, other, LIMITS)) == 2
    many = pd.concat([rows.assign(task=str(i)) for i in range(2)])
    few = pd.concat([rows.assign(task="0"), other.assign(task="1")])
    assert not compare_frames("labelling_confusions", many, few, LIMITS)


@pytest.mark.parametrize(("texts", "equal"), [(4, True), (5, False)])
def test_predictions_may_differ_in_two_of_a_hundred_texts(tmp_path, texts, equal):
    other = PREDICTIONS.copy()
    other.loc[: texts - 1, "labels"] = '"2"'
    one, two = save(tmp_path / "one"), save(tmp_path / "two", predictions=other)
    done = compare_runs(one, two, strict=False)
    assert done.equal is equal
    assert done.predictions[0].note == f"{texts} of 200 predictions differ"
    if not equal:
        assert done.differences()["row"].tolist()[0] == "t000, test"
    assert not compare_runs(one, two, strict=True).equal


def test_trainings_of_the_study_are_compared_by_cell(tmp_path):
    one, other = save(tmp_path / "one"), save(tmp_path / "other")
    cell = other / "study" / "cap" / "m" / "n25-s0"
    write_frame(cell / "predictions.parquet", PREDICTIONS)
    gathered = PREDICTIONS.copy()
    gathered.insert(0, "cell", "cap/m/n25-s0")
    write_frame(one / "predictions" / "training_size.parquet", gathered)
    assert compare_runs(one, other, strict=True).equal
    write_frame(cell / "predictions.parquet", PREDICTIONS.assign(labels='"3"'))
    done = compare_runs(one, other, strict=True)
    assert not done.equal
    assert done.differences()["row"].tolist()[0] == "cap/m/n25-s0, t000, test"
    shutil.rmtree(other / "study")
    assert compare_runs(one, other, strict=True).predictions[1].verdict == "different"


def test_table_or_predictions_of_one_run_only_are_different(tmp_path):
    one, other = save(tmp_path / "one"), save(tmp_path / "other")
    for suffix in ("csv", "parquet"):
        write_frame(one / "tables" / f"more.{suffix}", METRICS)
    (other / "predictions" / "cap" / "a.parquet").unlink()
    done = compare_runs(one, other, strict=False)
    assert [item.verdict for item in done.tables] == ["identical", "different"]
    assert done.tables[1].note == done.predictions[0].note == "only in the deposited run"


def test_predictions_of_tasks_that_were_not_deposited_are_not_missed(tmp_path):
    one, other = save(tmp_path / "one"), save(tmp_path / "other")
    write_frame(other / "predictions" / "private" / "a.parquet", PREDICTIONS)
    assert compare_runs(one, other, strict=True).equal


def test_nothing_to_compare_is_no_success(tmp_path):
    assert not compare_runs(tmp_path, tmp_path, strict=False).equal
