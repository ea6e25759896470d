"""A user's table becomes a task: labels guessed, rows checked, files written or nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import messy
import pandas as pd
import pytest
import yaml

from helpers.newtask import NewTaskError, Request, make_task, rows, writing
from helpers.newtask.__main__ import main, request_of
from helpers.newtask.codebooks import codebook, has_words
from helpers.newtask.labels import read_labels
from helpers.newtask.language import advice, language_of
from helpers.newtask.sampling import AT_LEAST, stratified_sample
from helpers.newtask.sizing import LIMIT, plan_for
from helpers.runs import REPO

WORDS = ["parks", "roads", "schools", "taxes", "rivers", "farms", "ports", "trains", "films"]


def column(*cells) -> pd.Series:
    return pd.Series(list(cells), index=range(2, 2 + len(cells)), dtype=object)


def read(*cells, **options):
    return read_labels(column(*cells), "label", **options)


# --- one label


def test_spaces_case_and_unicode_forms_are_one_label():
    found = read("Economy", "economy ", "ECONOMY", "Economy", "  Health  care", "Health care")
    assert found.label_type == "single"
    assert found.values.tolist() == ["Economy"] * 4 + ["Health care"] * 2
    assert found.merged == {
        "ECONOMY": "Economy",
        "economy": "Economy",
        "Health  care": "Health care",
    }
    assert "put together, which changes 3 row(s)" in found.notes[0]
    assert read("Caf\u00e9", "Cafe\u0301", "Bar").values.nunique() == 2


def test_one_as_number_text_and_decimal_is_one_label():
    found = read(1, "1", 1.0, "1.0", 2, "02", None)
    assert found.values.tolist() == ["1", "1", "1", "1", "2", "2", None]


def test_codes_with_points_stay_apart():
    assert read("1.1", "1.10", "2.0", "2").values.tolist() == ["1.1", "1.10", "2", "2"]


def test_near_spellings_are_reported_and_not_merged():
    found = read(*["Environment"] * 5, "Enviroment", "Economy")
    assert found.values.nunique() == 3
    assert "'Enviroment' (1) and 'Environment' (5)" in found.notes[0]
    assert read("Topic 1", "Topic 2", "Topic 12").notes == []


def test_missing_labels_in_many_spellings():
    found = read("a", "NA", "n/a", "", ".", "#REF!", float("nan"), "b")
    assert found.values.tolist() == ["a", None, None, None, None, None, None, "b"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["yes"] * 50, "one label only, 'yes'"),
        ([None, ""], "holds no labels"),
        ([f"id {i}" for i in range(100)], "free text or an identifier"),
        ([f"a rather long answer to question {i % 60} in words, and then more" for i in range(100)],
         "free text or an identifier"),
        ([f"code{i % 300}" for i in range(1200)], "300 labels; up to 200"),
    ],
)  # fmt: skip
def test_what_cannot_be_labels_is_refused(cells, message):
    with pytest.raises(NewTaskError, match=message):
        read(*cells)


def test_two_and_fifty_classes_are_fine():
    assert read("a", "b").values.nunique() == 2
    assert read(*(f"k{i % 50}" for i in range(500))).values.nunique() == 50


# --- several labels


@pytest.mark.parametrize("mark", [";", "|", ","])
def test_several_labels_are_seen_by_their_parts(mark):
    cells = ["Tax", f"Tax{mark} Debt", f"Debt{mark}Work", "Work", f"Work{mark} tax", "Debt"] * 3
    found = read(*cells)
    assert (found.label_type, found.separator) == ("multi", mark)
    assert found.values.iloc[4] == ["Work", "Tax"]


def test_a_label_with_a_comma_or_semicolon_inside_is_one_label():
    cells = ["Health; social affairs", "Law, crime", "Traffic", "Law, crime", "Traffic"] * 4
    found = read(*cells)
    assert found.label_type == "single" and set(found.values) == set(cells)


def test_lists_and_empty_sets():
    found = read('["a", "b"]', "['b']", "[]", None, '["a"]')
    assert found.label_type == "multi"
    assert found.values.tolist() == [["a", "b"], ["b"], [], None, ["a"]]
    found = read("a;b", "none", "b", "", "a", "b;a", label_type="multi", separator=";")
    assert found.values.tolist() == [["a", "b"], [], ["b"], None, ["a"], ["b", "a"]]


def test_a_type_that_is_given_is_kept():
    cells = ["a;b", "a", "b", "b;a"] * 3
    assert read(*cells).label_type == "multi"
    assert read(*cells, label_type="single").values.nunique() == 4
    with pytest.raises(NewTaskError, match="must be JSON mappings"):
        read(*cells, label_type="multi_intensity")


def test_mappings_are_labels_with_intensity():
    found = read('{"Joy": "High", "fear": "low"}', {"joy": "medium"}, "{}", None)
    assert (found.label_type, found.levels) == ("multi_intensity", ["low", "medium", "high"])
    assert found.values.tolist() == [
        {"joy": "high", "fear": "low"},
        {"joy": "medium"},
        {},
        None,
    ] or (found.values.tolist() == [{"Joy": "high", "fear": "low"}, {"Joy": "medium"}, {}, None])
    assert read({"a": 1}, {"b": 3}, {"a": 2}).values.tolist() == [
        {"a": "low"}, {"b": "high"}, {"a": "medium"}
    ]  # fmt: skip
    with pytest.raises(NewTaskError, match="no JSON mapping"):
        read({"a": "low"}, "high")
    with pytest.raises(NewTaskError, match="9 numeric intensities"):
        read(*({"a": i} for i in range(9)))


# --- numbers


def test_many_numbers_are_a_measure_and_few_are_classes():
    assert read(*(str(i) for i in range(60))).label_type == "numeric"
    assert read(*(f"{i},5" for i in range(30))).values.iloc[3] == 3.5
    assert read(*(i % 7 for i in range(60))).label_type == "single"


def test_text_among_numbers_is_named_by_row():
    with pytest.raises(NewTaskError, match=r"1 cell\(s\) do not, the first in row 5"):
        read(1, 2, 3, "many", label_type="numeric")


# --- rows


def test_ids_are_whole_unique_and_complete():
    frame = pd.DataFrame({"n": [1.0, 2.0, 2.0, None, "x"]}, dtype=object, index=range(2, 7))
    ids, notes = rows.ids_of(frame, "n")
    assert ids.tolist() == ["1", "2", "2-2", "row-5", "x"]
    assert "row 4" in notes[-1] and "3 id(s) were numbers with a decimal point" in notes[0]
    text = pd.DataFrame({"n": ["1.0", "2.0", "3.0"]}, dtype=object)
    assert rows.ids_of(text, "n")[0].tolist() == ["1", "2", "3"]
    kept = pd.DataFrame({"n": ["1.1", "1.10", "2.0"]}, dtype=object)
    assert rows.ids_of(kept, "n")[0].tolist() == ["1.1", "1.10", "2.0"]


def test_a_column_that_identifies_nothing_is_not_used():
    frame = pd.DataFrame({"n": ["same"] * 5}, dtype=object, index=range(2, 7))
    ids, notes = rows.ids_of(frame, "n")
    assert ids.tolist() == [f"row-{i}" for i in range(2, 7)] and "no identifier" in notes[0]


def test_an_id_that_is_made_does_not_meet_one_that_is_there():
    frame = pd.DataFrame({"n": ["a", "a", "a-2", "b"]}, dtype=object, index=range(2, 6))
    assert rows.ids_of(frame, "n")[0].is_unique


def test_the_same_text_with_different_labels():
    texts = ["Same text!", "same  TEXT", "same text", "Tie", "tie.", "other"]
    labels = ["a", "a", "b", "a", "b", "b"]
    frame = pd.DataFrame({"text": texts, "labels": labels}, index=range(2, 8))
    kept, notes, facts = rows.duplicates(frame)
    assert kept["text"].tolist() == ["Same text!", "other"]
    assert facts == {
        "exact_duplicates": 2, "contradicting_settled": 3, "contradicting_left_out": 2
    }  # fmt: skip
    assert "row 5, 6" in notes[2] and "row 2, 3, 4" in notes[1]


def test_texts_that_are_numbers_name_the_column_with_texts():
    frame = pd.DataFrame(
        {"n": ["1", "2", "3"], "said": ["a long enough sentence"] * 3}, dtype=object
    )
    with pytest.raises(NewTaskError, match="holds numbers, not texts: did you mean 'said'"):
        rows.texts_of(frame, ["n"])


def test_rare_labels_are_named_with_what_happens():
    frame = pd.DataFrame({"labels": ["a"] * 9 + ["b"] * 5 + ["c"]})
    kept, notes, facts = rows.rare(frame, read("a", "b", "c"), 4)
    assert (len(kept), facts["rare"]) == (14, {"c": 1}) and "c (1); their 1 text(s)" in notes[0]
    several = pd.DataFrame({"labels": [["a", "c"], ["c2"], *[["a"]] * 5, *[["b"]] * 5, []]})
    kept, notes, _ = rows.rare(several, read(["a"], ["b"]), 4)
    assert kept["labels"].tolist()[0] == ["a"] and len(kept) == 12 and [] in kept["labels"].tolist()
    with pytest.raises(NewTaskError, match="only 1 label"):
        rows.rare(pd.DataFrame({"labels": ["a"] * 9 + ["b"]}), read("a", "b"), 4)


# --- sample, language, sizes


def test_a_sample_keeps_shares_and_rare_labels_whatever_the_order():
    labels = ["a"] * 6000 + ["b"] * 3000 + ["c"] * 980 + ["d"] * 20
    frame = pd.DataFrame({"id": [f"i{i}" for i in range(10_000)], "labels": labels})
    found = stratified_sample(frame, 1000, seed=1)
    assert len(found) == 1000
    count = Counter(found["labels"])
    assert count["d"] == AT_LEAST and abs(count["a"] - 600) <= 12 and abs(count["c"] - 98) <= 2
    mixed = stratified_sample(frame.sample(frac=1, random_state=3), 1000, seed=1)
    assert set(mixed["id"]) == set(found["id"])
    assert set(stratified_sample(frame, 1000, seed=2)["id"]) != set(found["id"])


def test_a_sample_of_several_labels_and_of_numbers():
    several = pd.DataFrame(
        {"id": [str(i) for i in range(500)], "labels": [["a"], ["a", "b"]] * 250}
    )
    assert len(stratified_sample(several, 100, 1)) == 100
    numbers = several.assign(labels=[float(i) for i in range(500)])
    found = pd.Series(stratified_sample(numbers, 100, 1)["labels"].tolist())
    assert 8 <= (found < 50).sum() <= 12


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The road is closed and nobody knows for how long it will be.", "English"),
        ("Die Straße ist gesperrt und niemand weiß, wie lange es dauert.", "German"),
        ("La route est fermée et personne ne sait pour combien de temps.", "French"),
        ("La carretera está cerrada y no se sabe por cuánto tiempo.", "Spanish"),
        ("Дорога закрыта, и никто не знает, на сколько.", "a language in Cyrillic script"),
        ("道路は閉鎖されています", "Japanese"),
    ],
)
def test_languages(text, language):
    found, share = language_of([text] * 20)
    assert (found, share) == (language, 1.0)
    said = advice(found, share)[0]
    assert ("trained on ENGLISH" in said) == (language != "English")


def test_no_language_is_guessed_from_signs():
    assert language_of(["123", "!!"]) == (None, 0.0)


def test_larger_data_are_limited_and_smaller_ones_get_more_passes():
    small = plan_for(["a text of some words"] * 200, "single", 2)
    large = plan_for(["a text of some words " * 20] * 15_000, "single", 20)
    assert small.limit == {} and small.train == 130 and small.epochs > large.epochs
    assert large.limit == LIMIT and large.train == LIMIT["train"]
    assert small.minutes < large.minutes <= 30


# --- codebooks


def test_a_codebook_of_ones_own(tmp_path):
    path = tmp_path / "book.csv"
    path.write_text("Label;Name\n1.0;Economy\n2;Health\n9;unused\n", encoding="utf-8")
    table, notes = codebook(["1", "2"], path)
    assert table.to_dict("list") == {
        "label": ["1", "2"], "name": ["Economy", "Health"], "code": ["1", "2"]
    }  # fmt: skip
    assert "1 label(s) of the codebook have no text" in notes[1]
    with pytest.raises(NewTaskError, match=r"no row for 1 label.*'3'"):
        codebook(["1", "3"], path)


def test_subtopics_and_names(tmp_path):
    path = tmp_path / "book.csv"
    path.write_text("label,name,subtopic\nA,Alpha,x\nA,Alpha,y\nB,Beta,z\n", encoding="utf-8")
    table, _ = codebook(["A", "B"], path)
    assert table["subcode"].tolist() == ["1001", "1002", "2001"]
    assert has_words(["Economy", "Health"]) and not has_words(["1", "2", "x3"])


# --- the whole


def table(folder: Path, n: int = 90, **extra) -> Path:
    frame = pd.DataFrame(
        {
            "text": [
                f"about {WORDS[i % 9]} and number {i} of the {WORDS[i % 7]}" for i in range(n)
            ],
            "label": ["public" if i % 3 else "private" for i in range(n)],
            **extra,
        }
    )
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    return path


def ask(file: Path, **options) -> Request:
    return Request(**{"name": "mine", "file": file, "text": ["text"], "label": "label"} | options)


def test_a_task_is_written_as_the_chapters_read_it(tmp_path, monkeypatch):
    file = table(tmp_path, year=[1990 + i % 20 for i in range(90)])
    before = file.read_bytes()
    made = make_task(ask(file, keep=("year",), description="notes: by owner"), tmp_path)
    assert file.read_bytes() == before
    task = yaml.safe_load(made.files["tasks"].read_text(encoding="utf-8"))
    profile = yaml.safe_load(made.files["profiles"].read_text(encoding="utf-8"))
    assert task["title"] == "notes: by owner" and task["data"]["own"]["types"] == {
        "year": "integer"
    }
    assert "{codebook}" in task["prompts"]["full"]["head"]
    assert profile["tasks"] == ["mine"] and profile["data"] == "own"
    assert "08_published_results" not in profile["chapters"]
    assert profile["estimates"]["by"] == {"mine": ["period"]}
    assert profile["estimates"]["periods"] == [1996, 2002]
    first = json.loads(made.files["texts"].read_text(encoding="utf-8").splitlines()[0])
    assert first == {
        "id": "row-2", "text": "about parks and number 0 of the parks", "labels": "private",
        "year": 1990,
    }  # fmt: skip
    facts = json.loads((tmp_path / "data/own/mine/report.json").read_text(encoding="utf-8"))
    assert facts["usable"] == 90 and facts["sha256"] and str(tmp_path) not in json.dumps(facts)
    assert not list((tmp_path / "data/own").glob(".*"))


@pytest.mark.parametrize(
    ("make", "columns", "label_type"),
    [
        (messy.write_german, ("Aussage", "Thema", "Nr"), "single"),
        (messy.write_requests, ("request", "needs", "id"), "multi"),
    ],
)
def test_messy_files_become_tasks(tmp_path, make, columns, label_type):
    suffix = ".xlsx" if make is messy.write_requests else ".csv"
    file = make(tmp_path / f"file{suffix}")
    text, label, key = columns
    made = make_task(ask(file, text=[text], label=label, id=key), tmp_path)
    assert made.report.facts["label_type"] == label_type
    ids = [json.loads(line)["id"] for line in made.files["texts"].open(encoding="utf-8")]
    assert len(set(ids)) == len(ids) and not [i for i in ids if "." in i]


def test_fifty_labels_and_a_sample(tmp_path):
    file = messy.write_complaints(tmp_path / "file.csv", n=1500)
    made = make_task(ask(file, label="about", id="id", sample=1000), tmp_path)
    facts = made.report.facts
    assert facts["rare"] == {"statue of the founder": 1} and facts["exact_duplicates"] == 3
    assert facts["contradicting_left_out"] == 2 and facts["sample"] >= 990
    assert "FERRY" not in Path(made.files["codebook"]).read_text() or facts["merged"]


def test_years_must_be_complete_and_names_free(tmp_path):
    file = table(tmp_path, Year=[None if i == 5 else 1990 for i in range(90)], period="now")
    with pytest.raises(NewTaskError, match=r"'year' must hold a whole number.*1 row.*first is 7"):
        make_task(ask(file, keep=("Year",)), tmp_path)
    with pytest.raises(NewTaskError, match="may not be called 'period'"):
        make_task(ask(file, keep=("period",)), tmp_path)


def test_numbers_get_the_chapters_that_study_them(tmp_path):
    file = table(tmp_path, score=[i / 7 for i in range(90)])
    made = make_task(ask(file, label="score"), tmp_path)
    profile = yaml.safe_load(made.files["profiles"].read_text(encoding="utf-8"))
    assert profile["chapters"] == ["01_data", "07_what_to_finetune"]
    assert "only chapters 01 and 07" in made.report.text() and "codebook" not in made.files


def test_labels_that_are_numbers_ask_for_names(tmp_path):
    file = table(tmp_path, code=[i % 3 for i in range(90)])
    made = make_task(ask(file, label="code"), tmp_path)
    assert "give their names with CODEBOOK" in made.report.text().replace("\n    ", " ")
    profile = yaml.safe_load(made.files["profiles"].read_text(encoding="utf-8"))
    assert profile["verification"]["mode"] == "correct"


def test_a_task_is_never_replaced_unasked(tmp_path):
    request = ask(table(tmp_path))
    make_task(request, tmp_path)
    profile = tmp_path / "config/profiles/mine.yaml"
    profile.write_text("# my own settings\n", encoding="utf-8")
    with pytest.raises(NewTaskError, match="exists already"):
        make_task(request, tmp_path)
    assert profile.read_text(encoding="utf-8") == "# my own settings\n"
    make_task(ask(request.file, force=True), tmp_path)
    assert profile.with_name("mine.yaml.old").read_text(encoding="utf-8") == "# my own settings\n"


def test_names_of_the_package_are_taken():
    cases = {
        "cap": "comes with this package",
        "demo": "there is a profile 'demo'",
        "My Task": "no name for a task",
        "../x": "no name for a task",
    }
    for name, message in cases.items():
        with pytest.raises(NewTaskError, match=message):
            writing.check_name(name, REPO, force=True)


def test_a_kill_leaves_no_half_task(tmp_path, monkeypatch):
    request = ask(table(tmp_path))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "_exchange", killed)
    with pytest.raises(KeyboardInterrupt):
        make_task(request, tmp_path)
    assert not (tmp_path / "config").exists() and not (tmp_path / "data/own/mine").exists()
    monkeypatch.undo()
    monkeypatch.setattr(writing, "atomic_path", killed)  # texts are there, the task is not
    with pytest.raises(KeyboardInterrupt):
        make_task(request, tmp_path)
    monkeypatch.undo()
    assert make_task(request, tmp_path).files["tasks"].is_file()


def test_too_few_texts_are_refused(tmp_path):
    with pytest.raises(NewTaskError, match="30 of 30 rows can be used, at least 60"):
        make_task(ask(table(tmp_path, 30)), tmp_path)


def test_a_very_large_table_needs_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.newtask.make.MOST_TEXTS", 80)
    with pytest.raises(NewTaskError, match="SAMPLE=5000") as error:
        make_task(ask(table(tmp_path)), tmp_path)
    assert "90 of 90 rows can be used" in error.value.report and not (tmp_path / "config").exists()
    assert make_task(ask(table(tmp_path), sample=70), tmp_path).report.facts["sample"] == 70


def test_the_command_line(tmp_path, capsys):
    arguments = [
        "--name",
        "mine",
        "--file",
        str(table(tmp_path)),
        "--text",
        "txt",
        "--label",
        "label",
    ]
    assert main(arguments, tmp_path) == 1
    assert "no column 'txt'. Did you mean 'text'" in capsys.readouterr().err
    arguments[5] = "text"
    assert main([*arguments, "--sample", "", "--min-class", ""], tmp_path) == 0
    out = capsys.readouterr().out
    assert "make replicate TASKS=mine" in out and "SPLIT" not in out
    assert all(len(line) <= 98 for line in out.splitlines())
    assert main([*arguments, "--sample", "many"], tmp_path) == 1
    assert request_of([*arguments, "--text", "a, b", "--delimiter", "tab"]).text == ["a", "b"]
