"""Prompt methods: what is asked, in which wave, and what becomes of every kind of answer."""

import json

import pandas as pd
import pytest

from helpers.labelling.label import (
    COLUMNS,
    LabelError,
    label_texts,
    majority,
    proposals,
    viewed,
)
from helpers.labelling.methods import MethodError, Proposal, method, worst
from helpers.labelling.questions import Answer, request_key
from helpers.plans import Labeller
from helpers.tasks import Task, TaskFile, load_task

CAP, DATAVERSE = load_task("cap"), load_task("dataverse")
FLOURISHING, CONFLICT = load_task("flourishing"), load_task("conflict")
NONE = Answer("ok")


def one(code, confidence=None):
    return Answer("ok", ((code, ""),), confidence)


class Scripted:
    """A backend that answers by a function of the question and the text, and counts waves."""

    def __init__(self, script):
        self.script, self.waves = script, []

    def answer(self, asked):
        self.waves.append(list(asked))
        return [self.script(item) for item in asked]


def propose(task, name, script, text="a text"):
    """Run a method on one text; returns the proposal and the waves of questions."""
    backend = Scripted(lambda item: script(item.question))
    frame = pd.DataFrame({"id": ["t"], "text": [text]})
    row = label_texts(task, frame, labeller(name), backend, name="x").iloc[0]
    labels = task.loads(row["labels"])
    confidence = None if pd.isna(row["confidence"]) else row["confidence"]
    found = Proposal(row["status"], labels, confidence, row["questions"], row["answered"])
    return found, [[item.question for item in wave] for wave in backend.waves]


def labeller(name, view="text"):
    return Labeller(kind="encoder", method=name, view=view)


def by_step(**answers):
    """Answer by the step's last word, ``none`` else."""
    return lambda question: answers.get("_" + question.step.split()[-1], NONE)


# --- what is asked ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_the_first_wave_asks_about_the_subtopics_of_each_topic(name):
    _, waves = propose(CAP, name, by_step(_6=one("601")))
    assert [q.step for q in waves[0]] == [f"subtopics of {label}" for label in CAP.labels]
    assert all(q.none and not q.many for q in waves[0])
    asked = [option.code for q in waves[0] for option in q.options]
    assert asked == CAP.subtopics["code"].tolist()


def test_v1_and_v2_share_the_first_wave_and_so_its_stored_answers():
    waves = [next(method(name, CAP)()) for name in ("v1", "v2")]
    assert [q.version for q in waves[0]] == [q.version for q in waves[1]]
    assert len({q.version for q in waves[0]}) == len(CAP.labels)


@pytest.mark.parametrize(
    ("name", "last", "names"),
    [
        ("v1", "majors found", ["Health", "Education"]),
        ("v2", "pairs found", ["Health: Waiting Lists", "Education: Higher Education"]),
    ],
)
def test_the_second_wave_asks_among_what_was_found(name, last, names):
    final = one("3" if name == "v1" else "327", 0.7)
    script = by_step(_6=one("601", 0.9), _3=one("327", 0.8), _found=final)
    found, waves = propose(CAP, name, script)
    (question,) = waves[1]
    assert question.step == last
    assert [option.name for option in question.options] == names
    assert not question.none
    assert found == Proposal("ok", "3", 0.7, 22, 22)


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_a_single_hit_needs_no_second_question(name):
    found, waves = propose(CAP, name, by_step(_6=one("601", 0.9)))
    assert found == Proposal("ok", "6", 0.9, 21, 21)
    assert len(waves) == 1


def test_v3_asks_among_all_subtopics_and_takes_the_topic():
    found, waves = propose(CAP, "v3", lambda q: one("398", 0.4))
    ((question,),) = waves
    names = [option.name for option in question.options]
    assert len(names) == len(set(names)) == 250
    assert "Health: Research and Development" in names
    assert found == Proposal("ok", "3", 0.4, 1, 1)


@pytest.mark.parametrize("style", ["short", "full"])
@pytest.mark.parametrize("task", [CAP, DATAVERSE, FLOURISHING], ids=lambda task: task.name)
def test_v4_and_direct_ask_exactly_what_models_are_trained_on(task, style):
    for name in ("v4", "direct"):
        (question,) = next(method(name, task, style=style)())
        assert question.prompt("Some text") == task.prompt("Some text", style)
        assert [option.code for option in question.options] == list(task.codes.values())
        assert question.many == question.none == (task is not CAP)
        assert question.levels == tuple(task.levels)


def test_v4_labels_of_every_kind():
    assert propose(CAP, "v4", lambda q: one("6", 0.5))[0] == Proposal("ok", "6", 0.5, 1, 1)
    two = Answer("ok", (("3", ""), ("7", "")))
    labels = propose(DATAVERSE, "direct", lambda q: two)[0].labels
    assert labels == ["Astronomy and Astrophysics", "Earth and Environmental Sciences"]
    levels = Answer("ok", (("4", "high"), ("12", "low")))
    found = propose(FLOURISHING, "v4", lambda q: levels)[0]
    assert found.labels == {"expressing optimism": "high", "mastery (ability, capability)": "low"}
    assert propose(FLOURISHING, "v4", lambda q: NONE)[0] == Proposal("ok", {}, None, 1, 1)


def test_groups_ask_once_a_group_and_join_the_answers():
    script = by_step(
        **{"_well-being": Answer("ok", (("1", "low"),), 0.5), "_conditions": NONE},
        _distress=Answer("ok", (("16", "high"), ("18", "low")), 0.5),
    )
    found, waves = propose(FLOURISHING, "groups", script)
    ((*questions,),) = waves
    assert [q.step.removeprefix("group ") for q in questions] == list(
        dict.fromkeys(FLOURISHING.groups.values())
    )
    assert all(q.many and q.none and q.levels == ("low", "medium", "high") for q in questions)
    assert sum(len(q.options) for q in questions) == 46
    assert found.labels == {"happiness": "low", "suffering": "high", "depression": "low"}
    assert (found.confidence, found.questions, found.answered) == (None, 7, 7)
    sure = propose(FLOURISHING, "groups", lambda q: Answer("ok", (), 0.5))[0]
    assert sure == Proposal("ok", {}, 0.5**7, 7, 7)


def test_prompts_put_the_text_last_and_list_every_option():
    for name, task in [("v1", CAP), ("v2", CAP), ("v3", CAP), ("groups", FLOURISHING)]:
        for question in next(method(name, task)()):
            for option in question.options:
                assert f"\n{option.code}: {option.name}\n" in question.head
            assert ("'none'" in question.head) == question.none
            assert all(level in question.head for level in question.levels)
            assert len(question.tail) < 20


def test_texts_with_the_same_hits_share_a_question():
    def script(item):
        return by_step(_6=one("601"), _3=one("327"), _found=one("3"))(item.question)

    backend = Scripted(script)
    frame = pd.DataFrame({"id": ["a", "b"], "text": ["x", "y"]})
    label_texts(CAP, frame, labeller("v1"), backend, name="x")
    assert backend.waves[1][0].question is backend.waves[1][1].question


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("v1", DATAVERSE, ["v1", "dataverse", "cap", "direct"]),
        ("v3", FLOURISHING, ["flourishing", "cap"]),
        ("groups", CAP, ["groups", "cap", "flourishing"]),
        ("v4", CONFLICT, ["conflict", "codebook"]),
    ],
)
def test_a_method_that_does_not_fit_says_which_tasks_do(name, task, words):
    with pytest.raises(MethodError) as error:
        method(name, task)
    assert all(word in str(error.value) for word in words)


def test_short_prompts_have_no_list_and_are_refused_where_one_is_needed():
    with pytest.raises(MethodError, match="v4 or direct"):
        method("v1", CAP, style="short")


# --- what becomes of unusable answers -----------------------------------------------------------


@pytest.mark.parametrize("name", ["v1", "v2", "v3", "v4", "direct", "groups"])
@pytest.mark.parametrize("status", ["error", "refused", "truncated", "unparsed", "off_list"])
def test_no_failure_ever_becomes_a_label(name, status):
    task = FLOURISHING if name == "groups" else CAP
    found, waves = propose(task, name, lambda q: Answer(status))
    assert (found.status, found.labels, found.answered) == (status, None, 0)
    assert len(waves) == 1


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_one_error_in_the_first_wave_makes_the_text_an_error(name):
    found, waves = propose(CAP, name, by_step(_6=one("601"), _3=one("327"), _1=Answer("error")))
    assert found == Proposal("error", None, None, 21, 20)
    assert len(waves) == 1  # the second question would be about an incomplete list


def test_other_failures_count_as_no_hit_and_are_counted():
    script = by_step(_6=one("601"), _3=Answer("unparsed"), _4=Answer("refused"))
    found, _ = propose(CAP, "v1", script)
    assert found == Proposal("ok", "6", None, 21, 19)


def test_nothing_found_is_off_list_only_if_every_question_was_answered():
    assert propose(CAP, "v1", lambda q: NONE)[0] == Proposal("off_list", None, None, 21, 21)
    script = by_step(_3=Answer("unparsed"), _4=Answer("refused"), _5=Answer("refused"))
    assert propose(CAP, "v2", script)[0] == Proposal("refused", None, None, 21, 18)
    lost = propose(FLOURISHING, "groups", by_step(_health=Answer("truncated")))[0]
    assert lost == Proposal("truncated", None, None, 7, 6)


@pytest.mark.parametrize("status", ["error", "refused", "truncated", "unparsed", "off_list"])
def test_a_failed_last_question_decides(status):
    script = by_step(_6=one("601"), _3=one("327"), _found=Answer(status))
    found, _ = propose(CAP, "v2", script)
    assert found == Proposal(status, None, None, 22, 21)


def test_worst_status():
    assert worst(["ok", "unparsed", "refused", "unparsed"]) == "unparsed"
    assert worst(["off_list", "refused"]) == "refused"
    assert worst(["unparsed", "unparsed", "error"]) == "error"


# --- the crowd ----------------------------------------------------------------------------------


def test_labelling_asks_wave_by_wave_and_keeps_the_order_of_the_texts():
    def script(item):
        step, text = item.question.step, item.text
        if step == "majors found":
            return one("3", 0.25)
        hits = {"two": ("3", "6"), "one": ("6",), "no": (), "bad": ("6",)}[text]
        if text == "bad" and step.endswith(" 1"):
            return Answer("error")
        major = step.split()[-1]
        return one(item.question.options[0].code) if major in hits else NONE

    frame = pd.DataFrame({"id": ["d", "a", "c", "b"], "text": ["two", "no", "one", "bad"]})
    backend = Scripted(script)
    done = label_texts(CAP, frame, labeller("v1"), backend, name="crowd-v1")
    assert [len(wave) for wave in backend.waves] == [4 * 21, 1]
    assert [item.text_id for item in backend.waves[0][::21]] == ["d", "a", "c", "b"]
    assert list(done.columns) == COLUMNS
    assert done["id"].tolist() == ["d", "a", "c", "b"]
    assert done["status"].tolist() == ["ok", "off_list", "ok", "error"]
    assert done["labels"].tolist() == ['"3"', "null", '"6"', "null"]
    assert done["questions"].tolist() == [22, 21, 21, 21]
    assert done["answered"].tolist() == [22, 21, 21, 20]
    assert done["confidence"][0] == 0.25
    assert done["confidence"][1:].isna().all()
    assert set(done["labeller"]) == {"crowd-v1"}


def test_the_same_question_has_the_same_key_in_v1_and_v2():
    keys = {}
    for name in ("v1", "v2"):
        backend = Scripted(lambda item: NONE)
        frame = pd.DataFrame({"id": ["a"], "text": ["x"]})
        label_texts(CAP, frame, labeller(name), backend, name=name)
        keys[name] = [
            request_key(item, endpoint="e", model="m", sampling={}, schema="")
            for item in backend.waves[0]
        ]
    assert keys["v1"] == keys["v2"]


def test_no_texts_no_questions():
    backend = Scripted(lambda item: NONE)
    empty = pd.DataFrame({"id": [], "text": []})
    assert len(label_texts(CAP, empty, labeller("v1"), backend, name="x")) == 0
    assert backend.waves == []


def test_a_backend_that_loses_answers_is_found_out():
    class Forgetful:
        def answer(self, asked):
            return [NONE] * (len(asked) - 1)

    frame = pd.DataFrame({"id": ["a"], "text": ["x"]})
    with pytest.raises(LabelError, match="21 questions got 20 answers"):
        label_texts(CAP, frame, labeller("v1"), Forgetful(), name="x")


def test_repeated_ids_are_refused():
    frame = pd.DataFrame({"id": ["a", "a"], "text": ["x", "y"]})
    with pytest.raises(LabelError, match="'a' occurs twice"):
        label_texts(CAP, frame, labeller("v4"), Scripted(lambda item: one("6")), name="x")


def test_the_subject_is_the_first_line():
    frame = pd.DataFrame({"id": ["a", "b"], "text": ["Subject A\nbody", "Subject B\nbody\nmore"]})
    assert viewed(frame, "subject") == ["Subject A", "Subject B"]
    backend = Scripted(lambda item: one("6"))
    label_texts(CAP, frame, labeller("v4", "subject"), backend, name="x")
    assert [item.text for item in backend.waves[0]] == ["Subject A", "Subject B"]


def test_texts_without_a_subject_are_refused():
    frame = pd.DataFrame({"id": ["a", "b"], "text": ["Subject\nbody", "just one line"]})
    with pytest.raises(LabelError, match="1 of 2 texts have no subject line, first 'b'"):
        viewed(frame, "subject")


def test_the_embedded_texts_have_the_subjects_of_their_file():
    from helpers.data.embedded import load_embedded
    from helpers.runs import REPO

    lines = (REPO / "data" / "embedded" / "cap.jsonl").read_text(encoding="utf-8").splitlines()
    subjects = [json.loads(line)["subject"].strip() for line in lines]
    assert viewed(load_embedded(CAP).frame, "subject") == subjects


def labelled(task, rows):
    """Rows of (id, labeller, labels); a status instead of labels is a failure."""
    table = []
    for key, name, labels in rows:
        failed = labels in ("error", "refused", "unparsed", "off_list")
        cell = "null" if failed else task.dumps(labels)
        table.append([key, name, labels if failed else "ok", cell, None, 1, 1])
    return pd.DataFrame(table, columns=COLUMNS)


def test_proposals_list_who_proposes_what():
    rows = [("b", "x", "7"), ("a", "x", "9"), ("b", "y", "3"), ("a", "y", "9"), ("a", "z", "2")]
    rows += [("b", "z", "refused"), ("c", "x", "error")]
    found = proposals(CAP, labelled(CAP, rows))
    assert found.to_numpy().tolist() == [
        ["b", "3", "", '["y"]', 1],
        ["b", "7", "", '["x"]', 1],
        ["a", "9", "", '["x", "y"]', 2],
        ["a", "2", "", '["z"]', 1],
    ]
    assert list(found.columns) == ["id", "label", "level", "labellers", "votes"]


def test_proposals_of_levels_stand_apart():
    rows = [("a", "x", {"happiness": "high"}), ("a", "y", {"happiness": "low", "vitality": "low"})]
    rows += [("a", "z", {"vitality": "low"}), ("b", "x", {})]
    assert proposals(FLOURISHING, labelled(FLOURISHING, rows)).to_numpy().tolist() == [
        ["a", "vitality", "low", '["y", "z"]', 2],
        ["a", "happiness", "low", '["y"]', 1],
        ["a", "happiness", "high", '["x"]', 1],
    ]


def test_majority_of_single_labels():
    rows = [("a", "x", "7"), ("a", "y", "9"), ("a", "z", "9"), ("b", "z", "7"), ("b", "y", "9")]
    rows += [("b", "x", "unparsed"), ("c", "x", "off_list"), ("c", "y", "error")]
    found = majority(CAP, labelled(CAP, rows), ["x", "y", "z"])
    assert found["id"].tolist() == ["a", "b", "c"]
    assert found["labels"].tolist() == ['"9"', '"9"', "null"]  # b: a tie, y stands before z
    assert found["status"].tolist() == ["ok", "ok", "error"]
    assert found["votes"].tolist() == [2, 1, 0]
    assert found["share"].round(3).tolist()[:2] == [0.667, 0.5]
    assert pd.isna(found["share"][2])
    other = majority(CAP, labelled(CAP, rows), ["z", "y", "x"])
    assert other["labels"].tolist() == ['"9"', '"7"', "null"]


def test_majority_of_several_labels_needs_more_than_half_of_those_who_answered():
    rows = [("a", "x", ["Law", "Physics"]), ("a", "y", ["Law"]), ("a", "z", "refused")]
    rows += [("b", "x", ["Law"]), ("b", "y", ["Physics"]), ("b", "z", [])]
    found = majority(DATAVERSE, labelled(DATAVERSE, rows), ["x", "y", "z"])
    assert found["labels"].tolist() == ['["Law"]', "[]"]
    assert found["votes"].tolist() == [1, 1]
    assert found["share"].round(3).tolist() == [0.5, 0.333]


def test_majority_of_levels_takes_the_level_of_most_proposers():
    levels = {"x": "low", "y": "high", "z": "high"}
    rows = [("a", name, {"happiness": level}) for name, level in levels.items()]
    rows += [("b", "x", {"vitality": "high"}), ("b", "y", {"vitality": "low"}), ("b", "z", {})]
    found = majority(FLOURISHING, labelled(FLOURISHING, rows), ["x", "y", "z"])
    assert found["labels"].tolist() == ['{"happiness": "high"}', '{"vitality": "high"}']


def test_majority_without_answers_of_a_named_labeller_is_refused():
    with pytest.raises(LabelError, match="no answers of labeller w"):
        majority(CAP, labelled(CAP, [("a", "x", "7")]), ["x", "w"])


def test_a_new_task_with_its_own_subtopics_needs_no_code(tmp_path, monkeypatch):
    book = tmp_path / "book.csv"
    book.write_text(
        "t,name,s,part\n1,Sea,11,Ships\n1,Sea,12,Other\n2,Air,21,Planes\n2,Air,22,Other\n"
    )
    columns = {"key": "t", "name": "name", "code": "t", "sub_key": "s", "sub_name": "part"}
    prompt = {"head": "Codes:\n{codebook}\n", "tail": "\nCode:"}
    task = Task(
        TaskFile(
            name="travel", title="Travel", question="?", label_type="single",
            codebook={"file": str(book), **columns}, data={},
            prompts={"short": prompt, "full": prompt},
        )
    )  # fmt: skip
    found, waves = propose(task, "v2", by_step(_1=one("12"), _2=one("21"), _found=one("21")))
    assert [option.name for option in waves[1][0].options] == ["Sea: Other", "Air: Planes"]
    assert found.labels == "2"
