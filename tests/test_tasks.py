"""Tasks: labels, matrices, completions and answers go round without loss."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.tasks import TaskError, load_task, task_names

CAP, SUBJECTS, FLOURISHING, CONFLICT = (
    load_task(name) for name in ("cap", "dataverse", "flourishing", "conflict")
)

LABELS = {
    "cap": st.sampled_from(CAP.labels),
    "dataverse": st.lists(st.sampled_from(SUBJECTS.labels), unique=True, max_size=3),
    "flourishing": st.dictionaries(
        st.sampled_from(FLOURISHING.labels), st.sampled_from(FLOURISHING.levels), max_size=6
    ),
}


def test_the_codebooks_have_the_published_sizes():
    assert [len(t.labels) for t in (CAP, SUBJECTS, FLOURISHING)] == [21, 14, 46]
    assert "11" not in CAP.labels and "22" not in CAP.labels and CAP.labels[-1] == "23"
    assert len(CAP.subtopics) == 250


@pytest.mark.parametrize("name", list(LABELS))
@given(data=st.data())
def test_completion_and_matrix_round_trip(name, data):
    task = load_task(name)
    labels = task.check_labels(data.draw(LABELS[name]))
    assert task.parse(task.completion(labels)) == ("ok", labels)
    assert task.decode(task.encode([labels])) == [labels]
    assert task.loads(task.dumps(labels)) == labels


def test_matrix_values():
    matrix = FLOURISHING.encode([{"happiness": "low", "anxiety": "high"}, {}])
    assert matrix.shape == (2, 46)
    assert matrix[0, FLOURISHING.labels.index("happiness")] == 1
    assert matrix[0, FLOURISHING.labels.index("anxiety")] == 3
    assert matrix[1].sum() == 0
    assert CAP.encode(["23", None]).sum(axis=1).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("task", "answer", "status", "labels"),
    [
        (CAP, " 6", "ok", "6"),
        (CAP, "11", "off_list", None),
        (CAP, "6 7", "unparsed", None),
        (CAP, "health", "unparsed", None),
        (CAP, "", "unparsed", None),
        (CAP, "none", "unparsed", None),
        (SUBJECTS, "7 3", "ok", ["Astronomy and Astrophysics", "Earth and Environmental Sciences"]),
        (SUBJECTS, "none", "ok", []),
        (SUBJECTS, "15", "off_list", None),
        (FLOURISHING, "1 low 1 high", "ok", {"happiness": "low"}),
        (FLOURISHING, "1 loud", "unparsed", None),
        (FLOURISHING, "1 low 2", "unparsed", None),
        (CONFLICT, " 3.2", "ok", 3.2),
        (CONFLICT, "many", "unparsed", None),
    ],
)
def test_parse(task, answer, status, labels):
    assert task.parse(answer) == (status, labels)


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        (CAP, "11", "unknown label '11'"),
        (SUBJECTS, "Law", "no list of labels"),
        (SUBJECTS, ["Alchemy"], "unknown label 'Alchemy'"),
        (FLOURISHING, {"happiness": "loud"}, "unknown level 'loud' of 'happiness'"),
        (FLOURISHING, ["happiness"], "no mapping"),
        (CONFLICT, "12", "no number"),
        (CONFLICT, True, "no number"),
    ],
)
def test_wrong_labels_are_refused(task, labels, message):
    with pytest.raises(TaskError, match=message):
        task.check_labels(labels)


def test_a_prompt_keeps_instruction_and_codebook_before_the_text():
    prompt = CAP.prompt("Why?", "full")
    assert str(prompt).index("23: ") < str(prompt).index("Why?")
    assert "{codebook}" not in str(prompt)
    assert str(CAP.prompt("Why?", "short")) == "Why? topic :"


def test_numeric_tasks_have_no_matrix():
    with pytest.raises(TaskError, match="numeric"):
        CONFLICT.encode([1.0])


def test_an_unknown_task_lists_the_known_ones():
    with pytest.raises(TaskError, match=", ".join(task_names())):
        load_task("weather")


def test_subtopic_codes_belong_to_their_major_topic():
    book = CAP.subtopics
    assert set(book["label"]) == set(CAP.labels)
    assert (book["code"].astype(int) // 100).astype(str).eq(book["label"]).mean() > 0.99


def test_dumps_is_json():
    assert json.loads(SUBJECTS.dumps([])) == []
    assert np.array_equal(SUBJECTS.encode([[]]), np.zeros((1, 14)))
