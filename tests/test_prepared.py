"""What chapter 01 describes and saves, and what later chapters read."""

import pandas as pd
import pytest

from helpers.data import DataError, describe, prepared
from helpers.runs import open_run
from helpers.tasks import load_task

SUBJECTS = load_task("dataverse")
POSTS = load_task("flourishing")
CONFLICT = load_task("conflict")


@pytest.fixture
def run(tmp_path):
    return open_run("demo", root=tmp_path)


def texts_of(task, labels, text="a few words"):
    cells = [task.dumps(task.check_labels(item)) for item in labels]
    ids = [f"t{i}" for i in range(len(labels))]
    return pd.DataFrame({"id": ids, "text": text, "labels": cells, "split": "train"})


def test_saved_texts_come_back_as_they_were(run):
    frame = prepared.split_texts(run, SUBJECTS, prepared.load(run, SUBJECTS).frame).frame
    prepared.save_task(run, SUBJECTS, frame)
    pd.testing.assert_frame_equal(prepared.read_task(run, SUBJECTS), frame)
    assert not (run.root / "data" / "dataverse" / "folds.parquet").exists()


def test_numeric_tasks_get_repeated_and_group_folds(run):
    frame = prepared.split_texts(run, CONFLICT, prepared.load(run, CONFLICT).frame).frame
    prepared.save_task(run, CONFLICT, frame)
    folds = prepared.read_task(run, CONFLICT, "folds")
    assert {"stratified", "by_country"} <= set(folds["scheme"])
    assert folds[folds["scheme"] == "stratified"]["repeat"].nunique() == 5
    country = folds[folds["scheme"] == "by_country"].merge(frame[["id", "country"]], on="id")
    assert (country.groupby(["repeat", "country"])["fold"].nunique() == 1).all()


def test_reading_before_chapter_01_says_what_to_run(run):
    with pytest.raises(DataError, match="no texts of dataverse in this run: run chapter 01_data"):
        prepared.read_task(run, SUBJECTS)


def test_scored_texts_keep_all_held_out_texts_and_a_sample_of_training_texts(run):
    frame = prepared.split_texts(run, SUBJECTS, prepared.load(run, SUBJECTS).frame).frame
    prepared.save_task(run, SUBJECTS, frame)
    scored = prepared.scored_texts(run, SUBJECTS)
    counts, before = scored["split"].value_counts(), frame["split"].value_counts()
    assert counts["train"] == run.profile.train_scored < before["train"]
    assert counts["test"] == before["test"]
    assert scored["id"].tolist() == prepared.scored_texts(run, SUBJECTS)["id"].tolist()


def test_label_counts_by_hand():
    frame = texts_of(POSTS, [{"happiness": "low"}, {"happiness": "high", "anxiety": "high"}, {}])
    counts = describe.label_counts(POSTS, frame).set_index("label")
    assert counts.loc["happiness", ["n", "low", "medium", "high"]].tolist() == [2, 1, 0, 1]
    assert counts.loc["anxiety", "share"] == pytest.approx(1 / 3)
    assert counts["n"].sum() == 3


def test_cooccurrence_by_hand():
    frame = texts_of(SUBJECTS, [["Law", "Physics"], ["Law"], ["Law", "Physics", "Other"]])
    table = describe.cooccurrence(SUBJECTS, frame)
    assert table.loc["Law", "Physics"] == table.loc["Physics", "Law"] == 2
    assert table.loc["Law", "Law"] == 3
    assert table.loc["Chemistry"].sum() == 0


def test_split_balance_measures_the_largest_gap():
    frame = texts_of(SUBJECTS, [["Law"], ["Law"], ["Physics"], ["Physics"]])
    frame["split"] = ["train", "test", "train", "test"]
    balance = describe.split_balance(SUBJECTS, frame).set_index("split")
    assert balance.loc["train", "largest_gap"] == 0
    frame["split"] = ["train", "train", "test", "test"]
    balance = describe.split_balance(SUBJECTS, frame).set_index("split")
    assert balance.loc["train", "largest_gap"] == 0.5


def test_tables_are_stacked_with_the_task_first():
    empty = pd.DataFrame(columns=["reason", "count", "ids"])
    assert prepared.stack({"cap": empty}).columns.tolist() == ["task", "reason", "count", "ids"]
    one = pd.DataFrame({"reason": ["x"], "count": [1], "ids": [["a"]]})
    assert prepared.stack({"cap": empty, "law": one})["task"].tolist() == ["law"]


def test_texts_are_shown_where_the_task_allows_it(tmp_path):
    assert prepared.may_show(open_run("demo", root=tmp_path), POSTS)
    assert not prepared.may_show(open_run("demo-upstream", root=tmp_path), POSTS)
