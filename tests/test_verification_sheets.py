"""Review sheets and Label Studio: what goes out comes back, whatever programs do to it."""

import csv
import io
import json
import zipfile
from xml.etree import ElementTree

import pandas as pd
import pytest
from openpyxl import load_workbook

from helpers.tasks import load_task
from helpers.verification import label_studio, sheets
from helpers.verification.assignment import assign
from helpers.verification.decisions import DecisionLog
from helpers.verification.sheet_files import SheetFileError
from helpers.verification.sheets import SheetError, export_sheet, import_sheet, parse_labels

CAP, FLOURISHING = load_task("cap"), load_task("flourishing")
LONG = "1626400082496049152"
TEXTS = pd.DataFrame(
    {
        "id": [LONG, "007", "t3"],
        "text": ['=HYPERLINK("http://x")', "Über; 'quoted' \"text\"\nsecond\x0b line", "+1 @me"],
    }
)
PROPOSALS = pd.DataFrame(
    [(LONG, "6", "", 2), (LONG, "1", "", 1), ("007", "12", "", 1)],
    columns=["id", "label", "level", "votes"],
).assign(labellers="[]")
ASSIGNMENT = assign(TEXTS["id"], ["ann"], overlap=0, audit=2, seed=1)


@pytest.fixture
def log(tmp_path):
    return DecisionLog(tmp_path / "log" / "ann.jsonl")


def exported(tmp_path, mode="reject", suffix="csv", **more):
    path = tmp_path / f"{mode}.{suffix}"
    return export_sheet(path, CAP, TEXTS, PROPOSALS, ASSIGNMENT, "ann", mode=mode, **more)


def filled(path, fill, *, encoding="utf-8-sig", delimiter=",", change=None):
    """Fill a CSV as a coder would: `fill`: (id, label) -> cells."""
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    for row in rows:
        row |= fill.get((row["id"], row.get("label", "")), {})
    rows = change(rows) if change else rows
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, rows[0].keys(), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(out.getvalue().encode(encoding, errors="replace"))
    return path


def brought_in(path, log, mode="reject", **more):
    events = import_sheet(path, CAP, PROPOSALS, ASSIGNMENT, log, "ann", mode=mode, **more)
    return [(e.text_id, e.action, e.label) for e in events]


DECIDED = {
    (LONG, "6"): {"decision": "accept"},
    (LONG, "1"): {"decision": " R ", "comment": "-no"},
}
EXPECTED = {(LONG, "accept", "6"), (LONG, "reject", "1")}


def test_a_sheet_holds_what_the_coder_needs_and_a_warning(tmp_path):
    rows = list(csv.DictReader(io.StringIO(exported(tmp_path).read_text("utf-8-sig"), newline="")))
    assert len(rows) == 3
    assert {row["note"] for row in rows} == {"contains texts: do not publish"}
    by_label = {row["label"]: row for row in rows}
    assert by_label["6"]["name"] == "Education"
    assert by_label["6"]["id"] == LONG
    assert by_label["6"]["text"].startswith("'=")
    assert by_label["12"]["text"] == TEXTS["text"][1]
    assert set(rows[0]) == {"key", "id", "text", "label", "name", "decision", "comment", "note"}


def test_a_filled_in_sheet_becomes_decisions_once(tmp_path, log):
    path = filled(exported(tmp_path), DECIDED)
    assert set(brought_in(path, log)) == EXPECTED
    assert brought_in(path, log) == []
    assert {(d.label, d.comment, d.session) for d in log.effective()} == {
        ("6", "", "import"),
        ("1", "-no", "import"),
    }
    filled(path, {(LONG, "1"): {"decision": "accept"}})
    assert brought_in(path, log) == [(LONG, "accept", "1")]
    assert len(log.read()) == 3


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [("utf-8", ";"), ("cp1252", ";"), ("utf-16", "\t"), ("utf-8-sig", ",")],
)
def test_a_csv_is_read_as_excel_writes_it(tmp_path, log, encoding, delimiter):
    def mangle(rows):
        for row in rows:
            row["id"] = {LONG: "1,6264E+18", "007": "7"}[row["id"]]
        return rows

    path = exported(tmp_path, delimiter=";")
    text = path.read_text("utf-8-sig").replace('";"', '","')
    path.write_text(text, "utf-8")
    path = filled(path, DECIDED, encoding=encoding, delimiter=delimiter, change=mangle)
    assert set(brought_in(path, log)) == EXPECTED
    assert {d.text_id for d in log.read()} == {LONG}


def test_a_line_that_names_the_separator_is_skipped(tmp_path, log):
    path = filled(exported(tmp_path), DECIDED, encoding="utf-8", delimiter=";")
    path.write_bytes(b"sep=;\r\n" + path.read_bytes())
    assert set(brought_in(path, log)) == EXPECTED


def changed(field, value, place=0):
    def change(rows):
        rows[place][field] = value
        return rows

    return change


WRONG = {
    "unknown row": (changed("key", "row-0"), "not in the sheet of this coder"),
    "no decision": (changed("decision", "perhaps"), "'perhaps' is no decision"),
    "changed proposal": (changed("label", "23"), "label was changed from"),
    "changed id": (changed("id", "t9"), "id was changed from"),
    "twice": (lambda rows: [*rows, rows[0]], "the same as row 2"),
    "labels": (lambda rows: [row | {"labels": "6"} for row in rows], "reject mode"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_row_is_named_and_nothing_is_imported(tmp_path, log, change, message):
    path = filled(exported(tmp_path), DECIDED, change=change)
    with pytest.raises(SheetError, match=r"reject\.csv: nothing was imported") as error:
        brought_in(path, log)
    assert message in str(error.value)
    assert "row " in str(error.value)
    assert log.read() == []


def test_a_file_that_is_no_sheet_is_refused(tmp_path, log):
    for name, content, message in [
        ("a.csv", b"a,b\n1,2\n", "header"),
        ("b.csv", b"", "header"),
        ("c.csv", b'key,id\n"open', "check the quotes"),
        ("d.csv", b"key,id\nx,y,z\n", "row 2: has 3 cells"),
        ("e.xlsx", b"no", "no Excel file"),
        ("f.ods", b"", "a .csv or an .xlsx"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SheetFileError, match=message):
            brought_in(tmp_path / name, log)
    with pytest.raises(SheetFileError, match="missing"):
        brought_in(tmp_path / "g.csv", log)


def test_a_sheet_is_never_overwritten_and_never_empty(tmp_path):
    path = exported(tmp_path)
    with pytest.raises(SheetError, match="exists already"):
        exported(tmp_path)
    with pytest.raises(SheetError, match="bob has no texts"):
        export_sheet(tmp_path / "b.csv", CAP, TEXTS, PROPOSALS, ASSIGNMENT, "bob")
    with pytest.raises(SheetError, match="not among the texts"):
        export_sheet(tmp_path / "c.csv", CAP, TEXTS[:1], PROPOSALS, ASSIGNMENT, "ann")
    assert path.exists()


# --- Excel ----------------------------------------------------------------------------------------


def test_an_excel_sheet_holds_text_only_and_lists_to_choose_from(tmp_path):
    path = exported(tmp_path, "correct", "xlsx")
    with zipfile.ZipFile(path) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")
    book = load_workbook(path)
    assert book.sheetnames == ["review", "instructions", "codebook", "lists"]
    sheet = book["review"]
    cells = {cell.value: cell for row in sheet.iter_rows() for cell in row if cell.value}
    formula = cells[TEXTS["text"][0]]
    assert (formula.data_type, formula.quotePrefix) == ("s", True)
    assert (cells[LONG].data_type, cells[LONG].number_format) == ("s", "@")
    rules = {str(rule.sqref): rule.formula1 for rule in sheet.data_validations.dataValidation}
    assert rules == {"F2:F7": "lists!$A$2:$A$3", "G2:G7": "lists!$B$2:$B$23"}
    assert book["lists"]["B7"].value == "6: Education"
    assert "do not publish" in book["instructions"]["A2"].value
    assert book["codebook"].max_row == 22


def test_an_excel_sheet_comes_back(tmp_path, log):
    path = exported(tmp_path, "correct", "xlsx")
    book = load_workbook(path)
    sheet = book["review"]
    column = {cell.value: cell.column for cell in sheet[1]}
    for row in range(2, sheet.max_row + 1):
        label = sheet.cell(row, column["label"]).value
        text = sheet.cell(row, column["id"]).value
        if label:
            sheet.cell(row, column["decision"]).value = "reject"
            sheet.cell(row, column["label"]).value = int(label)
        elif text == LONG:
            sheet.cell(row, column["labels"]).value = "7: Environment"
        elif text == "t3":
            sheet.cell(row, column["labels"]).value = 23
    book.save(path)
    assert set(brought_in(path, log, "correct")) == {
        (LONG, "reject", "6"),
        (LONG, "reject", "1"),
        (LONG, "correct", "7"),
        ("007", "reject", "12"),
        ("t3", "correct", "23"),
    }
    assert brought_in(path, log, "correct") == []


def test_a_text_longer_than_a_cell_is_cut_and_says_so(tmp_path):
    texts = TEXTS.assign(text="x" * 40_000)
    path = export_sheet(tmp_path / "a.xlsx", CAP, texts, PROPOSALS, ASSIGNMENT, "ann")
    assert load_workbook(path)["review"]["C2"].value.endswith(
        "[cut here: longer than a cell can be]"
    )


# --- labels that coders write ---------------------------------------------------------------------


def test_labels_may_be_given_by_code_key_or_name():
    for cell in ("6", "6.0", "education", "6: Education", " EDUCATION "):
        assert parse_labels(CAP, cell) == [("6", "")]
    assert parse_labels(CAP, "None") == [("", "")]
    assert parse_labels(FLOURISHING, "happiness: HIGH; 2:low;") == [
        ("happiness", "high"),
        ("life satisfaction", "low"),
    ]


@pytest.mark.parametrize("cell", ["99", "happiness", "happiness: huge", "1: low; happiness: high"])
def test_labels_that_cannot_be_read_are_refused(cell):
    with pytest.raises(SheetError):
        parse_labels(FLOURISHING, cell)


def test_blind_coding_is_replaced_when_the_sheet_changes(tmp_path, log):
    path = exported(tmp_path, "blind")
    ids = [row["id"] for row in csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))]
    assert set(ids) == set(ASSIGNMENT.loc[ASSIGNMENT["blind"], "id"])
    filled(path, {(ids[0], ""): {"labels": "6"}, (ids[1], ""): {"comment": "unclear"}})
    assert brought_in(path, log, "blind") == [(ids[0], "code", "6"), (ids[1], "note", "")]
    filled(path, {(ids[0], ""): {"labels": "7"}})
    assert [event[1] for event in brought_in(path, log, "blind")] == ["undo", "code"]
    assert [(d.label, d.blind) for d in log.effective() if d.action == "code"] == [("7", True)]
    filled(path, {(ids[0], ""): {"labels": "6"}})
    brought_in(path, log, "blind")
    assert brought_in(path, log, "blind") == []
    assert [d.label for d in log.effective() if d.action == "code"] == ["6"]


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        ({(LONG, "6"): {"decision": "y"}, (LONG, ""): {"labels": "7"}}, "2 labels, but it has one"),
        ({(LONG, "6"): {"decision": "y"}, (LONG, ""): {"labels": "none"}}, "'none' beside a label"),
        ({(LONG, "6"): {"decision": "n"}, (LONG, ""): {"labels": "6"}}, "is a proposal and given"),
        ({(LONG, ""): {"decision": "y"}}, "in a row without a proposal"),
        ({(LONG, ""): {"labels": "Schooling"}}, "'Schooling' is not in the codebook"),
    ],
)
def test_labels_that_contradict_each_other_are_refused(tmp_path, log, fill, message):
    path = filled(exported(tmp_path, "correct"), fill)
    with pytest.raises(SheetError, match=message):
        brought_in(path, log, "correct")


# --- Label Studio ---------------------------------------------------------------------------------

IDS = (CAP, TEXTS, PROPOSALS, ASSIGNMENT, "ann")


def annotate(path, ticks, **more):
    """Turn exported tasks into Label Studio's JSON export: `ticks`: text id -> values."""
    tasks = json.loads(path.read_text())
    for number, task in enumerate(tasks, start=1):
        task["id"] = number
        values = ticks.get(task["data"]["text_id"])
        if values is None:
            task["annotations"] = []
            continue
        result = {"from_name": "labels", "to_name": "text", "type": "choices", "origin": "manual"}
        results = [result | {"id": "x", "value": {"choices": values}}] if values else []
        annotation = {"id": number, "completed_by": 1, "was_cancelled": False, "lead_time": 4.288}
        task["annotations"] = [annotation | {"result": results} | more]
    path.write_text(json.dumps(tasks))
    return path


def from_label_studio(path, log, mode="reject"):
    events = label_studio.import_annotations(path, *IDS[:1], *IDS[2:4], log, "ann", mode=mode)
    return {(e.text_id, e.action, e.label) for e in events}


def test_label_studio_tasks_fit_their_configuration(tmp_path):
    path = label_studio.export_tasks(tmp_path / "tasks.json", *IDS)
    tasks = {task["data"]["text_id"]: task for task in json.loads(path.read_text())}
    assert set(tasks) == {LONG, "007"}
    assert tasks[LONG]["data"]["note"] == sheets.NOTE
    (prediction,) = tasks[LONG]["predictions"]
    (result,) = prediction["result"]
    view = ElementTree.fromstring(label_studio.labelling_config(CAP))
    choices, text = view.find("Choices"), view.find("Text")
    assert (result["from_name"], result["to_name"]) == (choices.get("name"), text.get("name"))
    assert text.get("value") == "$text"
    assert choices.get("toName") == text.get("name")
    assert choices.get("choice") == "multiple"
    offered = [choice.get("value") for choice in choices]
    assert result["value"]["choices"] == ["6: Education", "1: Macroeconomics"]
    assert set(result["value"]["choices"]) < set(offered)
    assert len(set(offered)) == 21
    flourishing = label_studio.labelling_config(FLOURISHING, "blind")
    assert len(ElementTree.fromstring(flourishing).findall(".//Choice")) == 3 * 46
    single = ElementTree.fromstring(label_studio.labelling_config(CAP, "correct"))
    assert single.find("Choices").get("choice") == "single"


def test_label_studio_annotations_become_decisions_once(tmp_path, log):
    path = label_studio.export_tasks(tmp_path / "tasks.json", *IDS)
    annotate(path, {LONG: ["6: Education"], "007": []})
    expected = {*EXPECTED, ("007", "reject", "12")}
    assert from_label_studio(path, log) == expected
    assert from_label_studio(path, log) == set()
    assert {d.seconds for d in log.read()} == {4.288}


def test_label_studio_corrections_and_blind_codes(tmp_path, log):
    path = label_studio.export_tasks(tmp_path / "tasks.json", *IDS, mode="correct")
    (first, *_) = [t for t in json.loads(path.read_text()) if t["data"]["text_id"] == LONG]
    assert first["predictions"][0]["result"][0]["value"]["choices"] == ["6: Education"]
    annotate(path, {LONG: ["7: Environment"], "t3": []})
    assert from_label_studio(path, log, "correct") == {
        (LONG, "correct", "7"),
        (LONG, "reject", "6"),
        (LONG, "reject", "1"),
        ("t3", "correct", ""),
    }
    path = label_studio.export_tasks(tmp_path / "blind.json", *IDS, mode="blind")
    tasks = json.loads(path.read_text())
    assert all("predictions" not in task for task in tasks)
    some = tasks[0]["data"]["text_id"]
    annotate(path, {some: ["6: Education"]})
    assert from_label_studio(path, log, "blind") == {(some, "code", "6")}


def test_label_studio_annotations_that_do_not_fit_are_refused(tmp_path, log):
    cases = [
        (["7: Environment"], {}, "was not proposed"),
        (["Schooling"], {}, "not in the codebook"),
    ]
    for place, (values, more, message) in enumerate(cases):
        path = label_studio.export_tasks(tmp_path / f"{place}.json", *IDS)
        annotate(path, {LONG: values}, **more)
        with pytest.raises(label_studio.LabelStudioError, match=message):
            from_label_studio(path, log)
    tasks = json.loads(path.read_text())
    path.write_text(json.dumps([*tasks, tasks[0]]))
    with pytest.raises(label_studio.LabelStudioError, match="comes twice"):
        from_label_studio(path, log)
    with pytest.raises(label_studio.LabelStudioError, match="choose the coder and mode"):
        from_label_studio(path, log, "correct")
    path.write_text("{}")
    with pytest.raises(label_studio.LabelStudioError, match="no list of tasks"):
        from_label_studio(path, log)
    assert log.read() == []


def test_skipped_label_studio_tasks_stay_open(tmp_path, log):
    path = label_studio.export_tasks(tmp_path / "tasks.json", *IDS)
    annotate(path, {LONG: ["6: Education"]}, was_cancelled=True)
    assert from_label_studio(path, log) == set()
