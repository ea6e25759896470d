"""Data files: the embedded corpora load, and each kind of error is named with its line."""

import json
import math

import pandas as pd
import pytest

from helpers.data import DataError, check_texts, load_embedded, load_hub, load_texts, texts_allowed
from helpers.data.hub import cut_text, resolve_revision
from helpers.data.sections import hub_section
from helpers.data.validation import SHOWN_PROBLEMS
from helpers.runs import REPO
from helpers.tasks import Task, TaskFile, load_task, task_names

SIZES = {"cap": 1259, "dataverse": 560, "flourishing": 600, "conflict": 410}


def rows_of(name):
    lines = (REPO / "data" / "embedded" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def write(path, rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SIZES)
def test_embedded_texts_load_completely(name):
    task = load_task(name)
    frame, dropped, _ = load_embedded(task)
    assert len(frame) == SIZES[name]
    assert dropped.empty
    assert list(frame.columns[:3]) == ["id", "text", "labels"]
    for cell in frame["labels"]:
        assert task.check_labels(task.loads(cell)) == task.loads(cell)


def test_texts_and_labels_are_those_of_the_file():
    cap, row = load_embedded(load_task("cap")).frame.iloc[0], rows_of("cap")[0]
    assert cap["text"] == row["subject"] + "\n" + row["text"]
    assert json.loads(cap["labels"]) == str(row["major"])
    conflict, row = load_embedded(load_task("conflict")).frame.iloc[0], rows_of("conflict")[0]
    assert json.loads(conflict["labels"]) == pytest.approx(math.log(1 + row["fatalities"]))
    assert conflict["fatalities"] == row["fatalities"]
    assert conflict["country"] == row["country"]


def test_each_minor_code_of_the_questions_belongs_to_its_major():
    task = load_task("cap")
    major_of = dict(zip(task.subtopics["code"], task.subtopics["label"], strict=True))
    for row in rows_of("cap"):
        assert major_of[str(row["minor"])] == str(row["major"])


def test_missing_values_among_whole_numbers_stay_whole():
    near = load_embedded(load_task("cap")).frame["near"]
    assert str(near.dtype) == "Int64"
    assert near.isna().any()


GOOD = {"id": "a", "country": "X", "year": 2000, "month": 1, "text": "quiet", "fatalities": 0}
BROKEN = {
    '{"id": "b" "text": "x"}': "is no valid JSON",
    '{"id": "b", "id": "c"}': "gives id more than once",
    '["b"]': "is no JSON object but list",
    '{"id": "b", "fatalities": NaN}': "holds NaN",
}
CHANGES = [
    ({"text": None}, "'text' is missing or empty"),
    ({"text": "  "}, "'text' is \"  \""),
    ({"text": 7}, "'text' is 7: it must be text"),
    ({"id": "a"}, "'id' is \"a\": this id was used on an earlier line"),
    ({"id": 1.5}, "'id' is 1.5: an id must be text or a whole number"),
    ({"fatalities": -3}, "'fatalities' is -3: it must be 0 or more"),
    ({"fatalities": "many"}, "'fatalities' is \"many\": it must be of type integer"),
    ({"fatalities": True}, "'fatalities' is true: it must be of type integer"),
    ({"fatalities": None}, "'fatalities' is missing"),
    ({"year": "2001"}, "'year' is \"2001\": it must be of type integer"),
    ({"country": None}, "'country' is missing"),
]


@pytest.mark.parametrize(("line", "message"), BROKEN.items())
def test_a_broken_line_is_named(tmp_path, line, message):
    path = write(tmp_path / "own.jsonl", [GOOD, "", line])
    with pytest.raises(DataError) as error:
        load_embedded(load_task("conflict"), file=path)
    assert "own.jsonl" in str(error.value)
    assert f"line 3: {message}" in str(error.value)


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_wrong_value_is_named_with_its_line(tmp_path, change, message):
    path = write(tmp_path / "own.jsonl", [GOOD, {**GOOD, "id": "b", **change}])
    with pytest.raises(DataError) as error:
        load_embedded(load_task("conflict"), file=path)
    assert "1 problem(s)" in str(error.value)
    assert f"line 2: {message}" in str(error.value)


LABEL_CHANGES = [
    ("cap", {"major": 11}, "'major' is 11: unknown label '11'"),
    ("cap", {"minor": "x"}, "'minor' is \"x\""),
    ("dataverse", {"subjects": ["Alchemy"]}, "unknown label 'Alchemy'"),
    ("dataverse", {"subjects": "Physics"}, "is no list of labels"),
    ("flourishing", {"labels": {"glee": "high"}}, "unknown label 'glee'"),
    ("flourishing", {"labels": {"happiness": "huge"}}, "unknown level 'huge'"),
    ("flourishing", {"labels": ["happiness"]}, "is no mapping of label to level"),
]


@pytest.mark.parametrize(("name", "change", "message"), LABEL_CHANGES)
def test_unknown_labels_and_levels_are_named(tmp_path, name, change, message):
    rows = rows_of(name)[:3]
    rows[1].update(change)
    with pytest.raises(DataError) as error:
        load_embedded(load_task(name), file=write(tmp_path / "own.jsonl", rows))
    assert "line 2: " in str(error.value)
    assert message in str(error.value)


def test_all_problems_are_counted_and_the_first_are_listed(tmp_path):
    rows = [{**GOOD, "id": f"x{i}", "fatalities": -1} for i in range(50)]
    with pytest.raises(DataError) as error:
        load_embedded(load_task("conflict"), file=write(tmp_path / "own.jsonl", rows))
    message = str(error.value)
    assert "50 problem(s)" in message
    assert "... and 30 more" in message
    assert message.count("  line ") == SHOWN_PROBLEMS
    assert "line 1:" in message


def test_a_field_that_no_row_has_is_one_problem(tmp_path):
    rows = [{key: GOOD[key] for key in GOOD if key != "country"} for _ in range(1)]
    with pytest.raises(DataError, match="no row has the field 'country'; fields found: id, year"):
        load_embedded(load_task("conflict"), file=write(tmp_path / "own.jsonl", rows))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    task = load_task("conflict")
    with pytest.raises(DataError, match=r"own\.jsonl is missing"):
        load_embedded(task, file=tmp_path / "own.jsonl")
    with pytest.raises(DataError, match="is empty"):
        load_embedded(task, file=write(tmp_path / "own.jsonl", []))
    with pytest.raises(DataError, match=r"only \.jsonl and \.csv"):
        load_embedded(task, file=write(tmp_path / "own.txt", [GOOD]))
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(json.dumps(GOOD).encode() + b'\n{"id": "caf\xe9"}\n')
    with pytest.raises(DataError, match="line 2: is no UTF-8"):
        load_embedded(task, file=latin)


def test_line_separators_inside_a_text_do_not_shift_line_numbers(tmp_path):
    odd = json.dumps({**GOOD, "text": "one\u2028two\x85three"}, ensure_ascii=False)
    path = write(tmp_path / "own.jsonl", [odd, {**GOOD, "id": "b", "fatalities": -1}])
    with pytest.raises(DataError, match="line 2: 'fatalities' is -1"):
        load_embedded(load_task("conflict"), file=path)


def test_a_number_and_its_digits_are_the_same_id(tmp_path):
    path = write(tmp_path / "own.jsonl", [{**GOOD, "id": 7}, {**GOOD, "id": "7"}])
    with pytest.raises(DataError, match="line 2: 'id' is \"7\": this id was used"):
        load_embedded(load_task("conflict"), file=path)


def test_large_ids_are_not_rounded(tmp_path):
    path = write(tmp_path / "own.jsonl", [{**GOOD, "id": 2**53 + 1}])
    assert load_embedded(load_task("conflict"), file=path).frame["id"][0] == str(2**53 + 1)


# --- CSV, and a task of one's own ---------------------------------------------------------------


def own_task(label_type, **section):
    book = {"cap": "single", "dataverse": "multi", "flourishing": "multi_intensity"}
    like = next((name for name, kind in book.items() if kind == label_type), "conflict")
    task = load_task(like)
    content = {
        "name": "own",
        "title": "own",
        "question": "?",
        "label_type": label_type,
        "prompts": {"short": {"head": "", "tail": " :"}},
        "data": {"embedded": {"id": "id", "text": ["title?", "body"], "labels": "y", **section}},
    }
    made = Task(TaskFile.model_validate(content))
    made.labels, made.levels, made._index = task.labels, task.levels, task._index
    return made


CSV_CELLS = [
    ("single", "4", "4"),
    ("multi", "Physics; Law", ["Law", "Physics"]),
    ("multi", '"[""Medicine, Health and Life Sciences""]"', ["Medicine, Health and Life Sciences"]),
    ("multi_intensity", '"{""happiness"": ""low""}"', {"happiness": "low"}),
    ("numeric", "2.5", 2.5),
]


@pytest.mark.parametrize(("label_type", "cell", "labels"), CSV_CELLS)
def test_csv_cells_stand_for_labels(tmp_path, label_type, cell, labels):
    path = tmp_path / "own.csv"
    path.write_text(f'\ufeffid,title,body,y,n,b\r\n007,,"two\r\nlines",{cell},3,true\r\n')
    section = {"extras": ["n", "b"], "types": {"n": "integer", "b": "boolean"}}
    task = own_task(label_type, file=str(path), **section)
    row = load_embedded(task).frame.iloc[0]
    assert row["id"] == "007"
    assert row["text"] == "two\r\nlines"
    assert task.loads(row["labels"]) == labels
    assert row["n"] == 3
    assert bool(row["b"]) is True


def test_csv_problems_are_named_with_the_line_a_row_starts_on(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text('id,title,body,y\na,,"x\ny",1\nb,,,2\nc,,z\nd,,q,99\n')
    with pytest.raises(DataError) as error:
        load_embedded(own_task("single", file=str(path)))
    message = str(error.value)
    assert "line 4: 'body' is missing" in message
    assert "line 5: has 3 fields, the header 4" in message
    assert "line 6: 'y' is \"99\": unknown label '99'" in message


def test_a_misspelt_key_of_the_section_is_refused(tmp_path):
    with pytest.raises(DataError, match="lables"):
        load_embedded(own_task("single", file="x.csv", lables="y"))
    with pytest.raises(DataError, match="must be one of the extras"):
        load_embedded(own_task("single", file="x.csv", groups="country"))
    with pytest.raises(DataError, match="unknown \\['whole'\\]"):
        load_embedded(own_task("single", file="x.csv", types={"n": "whole"}))


def test_every_task_says_whether_texts_may_be_shown():
    for task in map(load_task, task_names()):
        assert "own" in task.data or texts_allowed(task, "embedded")
        assert not texts_allowed(task, "upstream")
        assert not texts_allowed(task, "hub")


def test_finished_texts_are_checked_without_quoting_them():
    frame = pd.DataFrame({"id": ["a", "a"], "text": ["secret", " "], "labels": ['"1"', '"1"']})
    with pytest.raises(DataError) as error:
        check_texts(frame, "own data")
    assert "secret" not in str(error.value)
    assert "id: field_uniqueness, 2 row(s)" in str(error.value)
    assert "text:" in str(error.value)


# --- hub ----------------------------------------------------------------------------------------


def hub_frames(**columns):
    # The same shape as on the hub: the question stands in a prompt that ends with the answer.
    prompt = 'Use a number.:"Is rail dear?" Analyze carefully the text. Answer = [10].'
    base = {"idCoding": [1, 2, 3], "idOrig": ["x", "y", "z"], "text": [prompt] * 3}
    part = pd.DataFrame({**base, "macroCode": [10, 10, 4], **columns})
    return {"train": part, "test": part.iloc[:1].assign(idCoding=9)}


@pytest.fixture
def small_hub(monkeypatch):
    task = load_task("cap")
    hub = {**task.data["hub"], "rows": {"train": 3, "test": 1}}
    monkeypatch.setattr(task, "data", {**task.data, "hub": hub})
    return task


def test_hub_texts_are_cut_out_of_the_prompt_with_its_answer(small_hub):
    frame, dropped, notes = load_hub(small_hub, lambda section: hub_frames())
    assert set(frame["text"]) == {"Is rail dear?"}
    assert dropped.empty
    assert frame["id"].tolist() == ["1", "2", "3", "9"]
    assert frame["paper_split"].tolist() == ["train"] * 3 + ["test"]
    assert [json.loads(cell) for cell in frame["labels"]] == ["10", "10", "4", "10"]
    assert notes["rows"] == 4


def test_hub_problems_are_named(small_hub):
    renamed = {k: f.rename(columns={"macroCode": "code"}) for k, f in hub_frames().items()}
    with pytest.raises(DataError, match=r"no column macroCode; columns found: idCoding.*code"):
        load_hub(small_hub, lambda section: renamed)
    with pytest.raises(DataError, match="has 2 rows, expected 3"):
        load_hub(small_hub, lambda section: {"train": hub_frames()["train"].iloc[:2]})
    with pytest.raises(DataError, match="no text is left"):
        load_hub(small_hub, lambda section: hub_frames(text=["bare"] * 3))
    with pytest.raises(DataError, match=r"conflict\.yaml, data\.hub"):
        hub_section(load_task("conflict"))


def test_hub_rows_that_are_left_out_are_reported(small_hub):
    frames = hub_frames(idCoding=[1, 1, 3])
    frames["train"].loc[2, "text"] = "no markers"
    frame, dropped, _ = load_hub(small_hub, lambda section: frames)
    assert frame["id"].tolist() == ["1", "9"]
    assert dict(zip(dropped["reason"], dropped["ids"], strict=True)) == {
        "no text between the markers": "3",
        "id used before: first row kept": "1",
    }


def test_cut_text_takes_the_outermost_markers():
    assert cut_text("a[x]y]b", ("[", "]")) == "x]y"
    assert cut_text("a]b[c", ("[", "]")) == ""
    assert cut_text(None, None) == ""


def test_a_short_or_dated_revision_is_resolved_to_one_commit():
    class Commit:
        def __init__(self, commit_id, day):
            self.commit_id, self.created_at = commit_id, pd.Timestamp(day)

    commits = [Commit("b" * 40, "2025-02-01"), Commit("a" * 40, "2024-11-18")]
    assert resolve_revision("d", "aaaaaaa", commits) == "a" * 40
    assert resolve_revision("d", "2024-12-31", commits) == "a" * 40
    assert resolve_revision("d", "2025-12-31", commits) == "b" * 40
    assert resolve_revision("d", "c" * 40) == "c" * 40
    with pytest.raises(DataError, match="fits 0 commits"):
        resolve_revision("d", "ccccccc", commits)


def test_a_source_without_texts_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="holds no texts for the task dataverse"):
        load_texts(load_task("dataverse"), "upstream", tmp_path)
    with pytest.raises(DataError, match=r"no data file under data\.own"):
        load_texts(load_task("cap"), "own")


def test_a_hub_that_cannot_be_reached_is_one_clear_error(monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def unreachable(*args, **kwargs):
        raise huggingface_hub.errors.OfflineModeIsEnabled("offline")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_commits", unreachable)
    with pytest.raises(DataError, match=r"could not download siacus/cap_pe_verified.*network"):
        load_hub(load_task("cap"))
