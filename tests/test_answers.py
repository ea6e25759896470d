"""Answers of the crowd among the predictions, and what labels of several sources are worth."""

import pandas as pd
import pytest
from run_example import small_run

from helpers import experiments
from helpers.data import DataError, prepared
from helpers.metrics import METRIC_COLUMNS
from helpers.runs import open_run
from helpers.tasks import load_task

COLUMNS = ["id", "split", "status", "answer", "labels"]
SOURCES = ["gold", "gold-same", "majority-same"]


def vote_of(run, task):
    return pd.read_parquet(run.root / "predictions" / task.name / "crowd-majority.parquet")


@pytest.mark.parametrize("name", ["cap", "dataverse", "flourishing"])
def test_the_crowds_vote_has_the_form_of_predictions(tmp_path, name):
    run, task = small_run(tmp_path, name), load_task(name)
    found = experiments.answers_of_others(run, progress=False)
    assert found == {name: {"crowd-majority": "AI crowd, majority vote"}}
    frame = vote_of(run, task)
    texts = prepared.read_task(run, task)
    assert frame.columns.tolist() == COLUMNS
    assert frame[["id", "split"]].equals(texts[["id", "split"]])
    voted = pd.read_parquet(run.root / "labelling" / name / "majority.parquet").set_index("id")
    right = frame[frame["status"] == "ok"]
    assert right["labels"].tolist() == voted.reindex(right["id"])["labels"].tolist()
    assert [task.parse(x).labels for x in right["answer"]] == right["labels"].map(
        task.loads
    ).tolist()
    # All labellers failed at the first text: no label is made of that.
    assert frame.iloc[0][["status", "labels"]].tolist() == ["unparsed", task.dumps(task.empty)]
    assert len(right) == len(texts) - 1


def test_the_vote_is_that_of_the_texts_that_models_answer_for(tmp_path):
    run = small_run(tmp_path, train_scored=12)
    experiments.answers_of_others(run, progress=False)
    counts = vote_of(run, load_task("cap"))["split"].value_counts().to_dict()
    assert counts == {"train": 12, "test": 10}


def test_a_crowd_that_labelled_training_texts_alone_is_not_compared(tmp_path):
    run = small_run(tmp_path)
    path = run.root / "labelling" / "cap" / "majority.parquet"
    pd.read_parquet(path).head(30).to_parquet(path, index=False)
    assert experiments.answers_of_others(run, progress=False) == {"cap": {}}


def test_a_task_without_a_crowd_has_no_answers_of_others(tmp_path):
    run = small_run(tmp_path, labelling={"crowd": {}})
    assert experiments.answers_of_others(run, progress=False) == {"cap": {}}
    assert not (run.root / "predictions").exists()


def test_a_crowd_that_has_not_labelled_names_the_chapter(tmp_path):
    run = small_run(tmp_path)
    (run.root / "labelling" / "cap" / "majority.parquet").unlink()
    with pytest.raises(DataError, match="run 02_labelling first"):
        experiments.answers_of_others(run, progress=False)


def test_archived_answers_of_the_authors_stand_beside_the_models(upstream_folder, tmp_path):
    run = open_run("demo-upstream", root=tmp_path, upstream=upstream_folder, tasks="flourishing")
    task = load_task("flourishing")
    frame = prepared.split_texts(run, task, prepared.load(run, task).frame).frame
    prepared.save_task(run, task, frame)
    plan = run.profile.labelling.model_copy(update={"crowd": {}})
    run.profile.__dict__["labelling"] = plan
    (found,) = experiments.answers_of_others(run, progress=False).values()
    assert found
    for key in found:
        answers = pd.read_parquet(run.root / "predictions" / "flourishing" / f"{key}.parquet")
        assert answers.columns.tolist() == COLUMNS
        assert set(answers["id"]) <= set(frame["id"])
        assert (answers["split"] == "test").any()


# --- what labels are worth ------------------------------------------------------------------------


def scores(models, task):
    """A made-up table of scores: 0.1, 0.2, ... in the order of the models."""
    rows = []
    for i, model in enumerate(models, start=1):
        for split, plus in (("test", 0.0), ("train", 0.5)):
            row = {"task": task, "split": split, "model": model, "metric": "accuracy"}
            row |= {"value": i / 10 + plus, "ci_low": i / 10 - 0.05, "ci_high": i / 10 + 0.05}
            rows.append({**dict.fromkeys(METRIC_COLUMNS), **row, "n": 10})
    return pd.DataFrame(rows)


def test_each_source_stands_with_its_model_texts_and_decisions(tmp_path):
    run, task = small_run(tmp_path, plan={"label_sources": SOURCES}), load_task("cap")
    done = experiments.review_task(run, task)
    models = ["minilm-2l-ft", *(f"minilm-2l-ft@{source}" for source in SOURCES)]
    table = experiments.label_sources(run, task, scores(models, "cap"), "accuracy")
    assert table["source"].tolist() == ["gold", "gold-same", "verified", "majority-same"]
    rows = table.set_index("source")
    assert rows.loc["verified", "model"] == "minilm-2l-ft"
    assert rows["value"].to_dict() == {
        "verified": 0.1, "gold": 0.2, "gold-same": 0.3, "majority-same": 0.4,
    }  # fmt: skip
    kept = int((done.verified["dropped"] == "").sum())
    assert rows["n_train"].to_dict() == {
        "gold": 30, "gold-same": kept, "verified": kept, "majority-same": kept,
    }  # fmt: skip
    # A choice a text, or a decision a proposal; the blind audit is no part of either.
    reviewed = sum(not d.blind for d in done.decisions)
    assert reviewed < len(done.decisions)
    assert rows["decisions"].to_dict() == {
        "gold": 30, "gold-same": kept, "verified": reviewed, "majority-same": 0,
    }  # fmt: skip


def test_full_coding_of_several_labels_is_a_decision_a_label(tmp_path):
    settings = {"plan": {"label_sources": ["gold"]}, "train_labels": "majority"}
    run, task = small_run(tmp_path, "dataverse", **settings), load_task("dataverse")
    models = ["minilm-2l-ft", "minilm-2l-ft@gold"]
    table = experiments.label_sources(run, task, scores(models, "dataverse"), "accuracy")
    rows = table.set_index("source")
    assert rows["decisions"].to_dict() == {"gold": 30 * len(task.labels), "majority": 0}
    assert rows["n_train"].to_dict() == {"gold": 30, "majority": 29}


def test_only_tasks_with_several_sources_are_compared(tmp_path):
    plain = small_run(tmp_path / "plain")
    several = small_run(tmp_path / "several", plan={"label_sources": ["gold"]})
    assert experiments.sources_compared(plain) == []
    assert [task.name for task in experiments.sources_compared(several)] == ["cap"]
