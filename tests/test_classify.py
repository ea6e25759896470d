"""Classification of a corpus: shards, bad rows, resuming, refusing; without Ray."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from classify_example import Instant, corpus, rows_of, run, settings, write
from filelock import FileLock

from helpers.classify import (
    ClassifyError,
    Engine,
    classify,
    engines,
    planning,
    reading,
    sizing,
    verify,
    worker,
)
from helpers.classify.command import main
from helpers.classify.files import find_files, fingerprint
from helpers.classify.planning import plan
from helpers.classify.reading import read_rows
from helpers.profiles import REPO


@pytest.fixture
def asked(tmp_path):
    return settings(tmp_path / "model")


def inputs(tmp_path, number=50, name="corpus.parquet"):
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    write(corpus(number), folder / name)
    return folder / name


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_every_row_is_read_from_any_shard(suffix, tmp_path, asked, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 4)
    path = inputs(tmp_path, 50, f"corpus.{suffix}")
    shards, broken = plan(find_files([str(path)]), asked, tmp_path)
    assert not broken and [shard.rows for shard in shards] == [7] * 7 + [1]
    rows = [row for shard in reversed(shards) for row in reversed(read_rows(shard, "id", "text"))]
    expected = corpus(50)
    assert [row.id for row in reversed(rows)] == expected["id"].tolist()
    assert [row.text for row in reversed(rows)] == expected["text"].tolist()


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_output_holds_every_row_once_with_its_answer(suffix, tmp_path, asked):
    path = inputs(tmp_path, 50, f"corpus.{suffix}")
    result = run(path, tmp_path / "out", asked)
    assert (result.rows, result.labelled, result.bad, result.done_now) == (50, 50, 0, 50)
    found = rows_of(tmp_path / "out")
    assert found["row"].tolist() == list(range(50)) and set(found["file"]) == {path.name}
    expected = Instant().answer(corpus(50).assign(split=""))
    for column in ("id", "status", "answer", "labels"):
        assert found[column].tolist() == expected[column].tolist()


def test_manifest_names_every_shard_and_what_decides_answers(tmp_path, asked):
    path = inputs(tmp_path)
    run(path, tmp_path / "out", asked)
    table = pd.read_csv(tmp_path / "out" / "manifest.csv")
    assert table["rows"].sum() == 50 and (table["file"] == path.name).all()
    assert table["start"].tolist() == [0, 7, 14, 21, 28, 35, 42, 49]
    about = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert about["inputs"] == [[path.name, path.stat().st_size]]
    assert about["settings"]["task"] == "cap" and len(about["code"]) == 64
    assert about["rows"] == {"rows": 50, "labelled": 50, "bad": 0}
    assert str(tmp_path) not in json.dumps(about)
    assert verify(tmp_path / "out") == []
    changed = next((tmp_path / "out" / "labels").glob("*.parquet"))
    changed.write_bytes(changed.read_bytes() + b" ")
    (tmp_path / "out" / "labels" / "00007-000000.parquet").write_bytes(b"foreign")
    assert len(verify(tmp_path / "out")) == 2


BAD_LINES = [
    ('{"id": "a", "text": "fine"}', None),
    ('{"id": "b", "text": ""}', "empty text"),
    ('{"id": "c", "text": " \\n "}', "empty text"),
    ('{"id": "d"}', "missing text"),
    ('{"id": "e", "text": null}', "missing text"),
    ('{"id": "f", "text": 12}', "text is not a string (int)"),
    ('{"text": "no id"}', "missing id"),
    ('{"id": "", "text": "no id"}', "missing id"),
    ('{"id": ["g"], "text": "a list"}', "missing id"),
    ('{"id": "a", "text": "again"}', "duplicate id: an earlier row of the file has it"),
    ('{"id": "h", "text": "half \\ud83d"}', "text is not valid UTF-8"),
    ('{"id": "i", "te', "not valid JSON"),
    ('["j"]', "not a JSON object (list)"),
    ('{"id": 3, "text": "a number is an id"}', None),
    ('{"id": "3", "text": "the same id"}', "duplicate id: an earlier row of the file has it"),
]


@pytest.mark.parametrize("batch_rows", [4, 1000])
def test_bad_rows_stand_in_a_table_of_their_own(tmp_path, batch_rows):
    path = tmp_path / "posts.jsonl"
    lines = [line.encode() for line, _ in BAD_LINES] + [b'{"id": "k", "text": "\xff"}']
    reasons = [reason for _, reason in BAD_LINES] + ["the line is not valid UTF-8"]
    path.write_bytes(b"\xef\xbb\xbf" + b"\n\n".join(lines))  # a mark at the start, blank lines
    result = run(path, tmp_path / "out", settings(tmp_path / "model", batch_rows=batch_rows))
    assert (result.rows, result.labelled, result.bad) == (16, 2, 14)
    bad = rows_of(tmp_path / "out", "bad_rows")
    expected = {i: reason for i, reason in enumerate(reasons) if reason}
    found = dict(zip(bad["row"], bad["reason"], strict=True))
    assert found.keys() == expected.keys()
    assert all(found[i].startswith(expected[i]) for i in expected)
    assert bad.set_index("row")["id"][9] == "a" and bad["id"].isna().sum() == 6
    assert rows_of(tmp_path / "out")["row"].tolist() == [0, 13]


def test_bad_rows_of_csv_and_parquet(tmp_path, asked):
    text = 'id,text\n1,"two\nlines"\n2,one,too many\n3,"open" quote\n\n4,\n5,fine\n,no id\n'
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode() + b"6,\xe4\n7,last")
    frame = pd.DataFrame({"id": [1, 2, 2, None], "text": ["x", None, "y", "z"]})
    write(frame, tmp_path / "b.parquet")
    result = run(tmp_path / "[ab].*", tmp_path / "out", asked)
    bad = rows_of(tmp_path / "out", "bad_rows")
    assert [(file[0], row) for file, row in zip(bad["file"], bad["row"], strict=True)] == [
        *(("a", 1), ("a", 2), ("a", 3), ("a", 5), ("a", 6)),
        *(("b", 1), ("b", 2), ("b", 3)),
    ]
    starts = ["3 fields instead of 2", "not valid CSV", "empty text", "missing id", "text is not v"]
    starts += ["missing text", "duplicate id", "missing id"]
    assert all(a.startswith(b) for a, b in zip(bad["reason"], starts, strict=True))
    assert (result.rows, result.labelled) == (12, 4)
    assert rows_of(tmp_path / "out")["id"].tolist() == ["1", "5", "7", "1.0"]


def test_repeated_ids_are_found_by_the_ids_and_not_by_their_hashes(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(planning, "IDS", 4)
    monkeypatch.setattr(planning, "_hashes", lambda ids: np.ones(len(ids), dtype=np.uint64))
    frame = corpus(30)
    frame.loc[[9, 21, 22], "id"] = frame["id"][2]
    write(frame, tmp_path / "c.parquet")
    run(tmp_path / "c.parquet", tmp_path / "out", asked)
    assert rows_of(tmp_path / "out", "bad_rows")["row"].tolist() == [9, 21, 22]


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path, asked):
    path = inputs(tmp_path, 20)
    (path.parent / "broken.parquet").write_bytes(b"no parquet at all")
    (path.parent / "other.csv").write_text("name,text\n1,x\n", encoding="utf-8")
    result = run(path.parent, tmp_path / "out", asked)
    assert (result.rows, result.labelled) == (20, 20)
    assert set(result.unreadable) == {"broken.parquet", "other.csv"}
    assert result.unreadable["other.csv"] == "unreadable: no column id; it has name, text"
    bad = rows_of(tmp_path / "out", "bad_rows")
    assert set(bad["file"]) == {"broken.parquet", "other.csv"} and bad["row"].isna().all()


def test_rows_that_cannot_be_read_are_tried_again_by_the_next_run(tmp_path, asked, monkeypatch):
    path, output = inputs(tmp_path), tmp_path / "out"
    monkeypatch.setattr(worker, "PAUSE", 0.0)
    tried = []

    def out_of_reach(shard, *columns):
        tried.append(shard.start)
        if shard.start == 14:
            raise OSError("the store does not answer")
        if shard.start == 21 and tried.count(21) < worker.READS:
            raise OSError("only now and then")
        return read_rows(shard, *columns)

    monkeypatch.setattr(worker, "read_rows", out_of_reach)
    result = run(path, output, asked)
    assert (result.rows, result.labelled, result.bad) == (50, 43, 7)
    reason = "unreadable: the store does not answer"
    assert result.unreadable == {"corpus.parquet, rows 14 to 20": reason}
    assert rows_of(output, "bad_rows")["row"].tolist() == list(range(14, 21))
    monkeypatch.undo()
    again = run(path, output, asked)
    assert (again.labelled, again.bad, again.done_now, again.unreadable) == (50, 0, 7, {})
    assert not list((output / "bad_rows").iterdir()) and verify(output) == []


def content(output):
    """Bytes of all results."""
    paths = [p for kind in ("labels", "bad_rows") for p in (output / kind).iterdir()]
    paths += [output / "manifest.csv", output / "manifest.json"]
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in sorted(paths)}


def test_a_failed_shard_is_done_by_the_next_run(tmp_path, asked):
    path = inputs(tmp_path)
    with pytest.raises(
        ClassifyError, match=r"corpus\.parquet, rows 14 to 20: RuntimeError: the ma"
    ):
        run(path, tmp_path / "out", asked, Instant(fails_at=[3]))
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 7  # the others are done
    model = Instant()
    assert run(path, tmp_path / "out", asked, model).done_now == 7 and model.asked == 1
    run(path, tmp_path / "whole", asked)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    model = Instant()
    assert run(path, tmp_path / "out", asked, model).done_now == 0 and model.asked == 0


def test_a_run_in_which_all_fails_stops(tmp_path, asked):
    model = Instant(fails_at=range(100))
    with pytest.raises(ClassifyError, match=r"5 shard\(s\) failed"):
        run(inputs(tmp_path), tmp_path / "out", asked, model)
    assert model.asked == 5

    def no_model(*_):
        raise ClassifyError("no such model")

    with pytest.raises(ClassifyError, match="the model cannot be asked: no such model"):
        classify([str(tmp_path / "in")], tmp_path / "out", asked, Engine(ray=False), no_model)


@pytest.mark.parametrize("after", [0, 3])
def test_a_killed_run_goes_on_where_it_stopped(tmp_path, asked, after):
    path, output = inputs(tmp_path), tmp_path / "out"
    script = Path(__file__).with_name("classify_example.py")
    environment = os.environ | {"PYTHONPATH": str(REPO / "src")}
    command = [sys.executable, str(script), str(path), str(output), str(after)]
    assert subprocess.run(command, env=environment).returncode == -9
    assert len(list((output / "labels").glob("*.parquet"))) == after
    (output / "labels" / ".00000-000006.0123.tmp.parquet").write_bytes(b"half written")
    model = Instant()
    assert run(path, output, asked, model).done_now == 50 - 7 * after
    assert rows_of(output)["row"].tolist() == list(range(50)) and verify(output) == []
    assert not [*output.rglob("*.tmp*"), *(output / "attempts").iterdir()]


def test_lost_or_cut_output_files_are_made_again(tmp_path, asked):
    path, output = inputs(tmp_path), tmp_path / "out"
    run(path, output, asked)
    before = content(output)
    (output / "labels" / "00000-000002.parquet").unlink()
    (output / "labels" / "00000-000004.parquet").write_bytes(b"cut")
    assert run(path, output, asked).done_now == 14
    assert content(output) == before


def test_a_shard_over_which_workers_die_is_given_up(tmp_path, asked):
    """Ray starts a lost worker and its shard again, without end: the tally ends it."""
    path, output = inputs(tmp_path), tmp_path / "out"
    run(path, output, asked)
    (output / "records" / "00000-000001.json").unlink()
    (output / "attempts" / "00000-000001").write_text("..." * worker.ATTEMPTS, encoding="utf-8")
    shards, _ = plan(find_files([str(path)]), asked, output)
    model = Instant()
    done = worker.Worker(asked, output, 1, lambda *_: model)
    assert done.do(shards[0]).error == "" and model.asked == 0  # it is done already
    assert "3 worker processes died over it" in done.do(shards[1]).error and model.asked == 0
    assert run(path, output, asked).done_now == 7  # the next run tries again


CHANGES = {
    "text was text, now more": {"text": "more"},
    "batch_rows was 7, now 8": {"batch_rows": 8},
    "dtype was float32, now bfloat16": {"dtype": "bfloat16"},
    "task was cap, now flourishing": {"task": "flourishing"},
}


@pytest.mark.parametrize("line", CHANGES)
def test_a_folder_of_other_settings_is_refused(line, tmp_path, asked):
    path, output = inputs(tmp_path), tmp_path / "out"
    run(path, output, asked)
    with pytest.raises(ClassifyError, match=rf"belongs to another run:[\s\S]*{line}[\s\S]*take an"):
        run(path, output, asked.model_copy(update=CHANGES[line]))


def test_a_folder_of_another_model_or_other_inputs_is_refused(tmp_path, asked):
    path, output = inputs(tmp_path), tmp_path / "out"
    run(path, output, asked)
    (tmp_path / "model").rename(tmp_path / "moved")
    run(path, output, settings(tmp_path / "moved"))
    (tmp_path / "moved" / "config.json").write_text('{"other": 1}', encoding="utf-8")
    with pytest.raises(ClassifyError, match=r"model was m\w+ \(\w{12}\), now moved"):
        run(path, output, settings(tmp_path / "moved"))
    write(corpus(8), path.parent / "new.csv")
    with pytest.raises(ClassifyError, match=r"files were 1, now 2; new, gone or changed: new\.csv"):
        run(path.parent, output, asked.model_copy(update={"model": str(tmp_path / "moved")}))


def test_input_that_changed_in_place_is_refused(tmp_path, asked):
    path, output = inputs(tmp_path, name="corpus.csv"), tmp_path / "out"
    run(path, output, asked)
    path.write_bytes(path.read_bytes().replace(b"Text 3,", b"Text 9,"))
    with pytest.raises(ClassifyError, match=r"corpus\.csv has changed since"):
        run(path, output, asked)


def test_a_folder_in_use_or_with_other_files_is_refused(tmp_path, asked):
    path, output = inputs(tmp_path), tmp_path / "out"
    output.mkdir()
    with FileLock(output / ".lock"), pytest.raises(ClassifyError, match="another run is at work"):
        run(path, output, asked)
    (output / "thesis.docx").touch()
    with pytest.raises(ClassifyError, match="holds other files"):
        run(path, output, asked)


def test_inputs_that_make_no_sense_are_refused(tmp_path, asked):
    with pytest.raises(ClassifyError, match="no file matches"):
        run(tmp_path / "*.parquet", tmp_path / "out", asked)
    (tmp_path / "x.csv.gz").touch()
    with pytest.raises(ClassifyError, match=r"x\.csv\.gz: cannot read this kind of file"):
        run(tmp_path / "x.csv.gz", tmp_path / "out", asked)
    write(corpus(3), tmp_path / "x.jsonl")
    with pytest.raises(ClassifyError, match="none of its first 3 rows has a field tweet"):
        run(tmp_path / "x.jsonl", tmp_path / "out", asked.model_copy(update={"text": "tweet"}))
    assert run(tmp_path / "x.jsonl", tmp_path / "out", asked).rows == 3  # nothing was done before
    with pytest.raises(ClassifyError, match="output lies within the input"):
        run(tmp_path, tmp_path / "out", asked)
    with pytest.raises(ClassifyError, match="cannot read from nowhere://x"):
        run("nowhere://x/*.csv", tmp_path / "out", asked)


def test_a_limit_takes_the_first_rows_of_all_files(tmp_path, asked):
    for name in ("a.csv", "b.parquet", "c.jsonl"):
        inputs(tmp_path, 20, name)
    asked = asked.model_copy(update={"limit": 25})
    assert run(tmp_path / "in", tmp_path / "out", asked).rows == 25
    found = rows_of(tmp_path / "out")
    assert found.groupby("file")["row"].agg(["count", "max"]).to_numpy().tolist() == [
        [20, 19],
        [5, 4],
    ]
    assert len(list((tmp_path / "out" / "plan").glob("*.json"))) == 2


def test_a_limit_ends_elsewhere_once_a_file_can_be_read(tmp_path, asked, monkeypatch):
    for name in ("a.csv", "b.parquet"):
        inputs(tmp_path, 20, name)
    asked = asked.model_copy(update={"limit": 25})

    def out_of_reach(file):
        if file.name == "a.csv":
            raise OSError("the store does not answer")
        return fingerprint(file)

    monkeypatch.setattr(planning, "fingerprint", out_of_reach)
    result = run(tmp_path / "in", tmp_path / "out", asked)
    assert (result.rows, list(result.unreadable)) == (20, ["a.csv"])
    monkeypatch.undo()
    assert run(tmp_path / "in", tmp_path / "out", asked).rows == 25
    run(tmp_path / "in", tmp_path / "whole", asked)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_files_are_read_through_fsspec(tmp_path, asked):
    import fsspec

    memory = fsspec.filesystem("memory")
    frame = corpus(16)
    memory.pipe("/posts/2020/a.csv", frame[:9].to_csv(index=False).encode())
    memory.pipe("/posts/2021/b.parquet", frame[9:].to_parquet())
    result = run("memory://posts/*/*", tmp_path / "out", asked)
    found = rows_of(tmp_path / "out")
    assert result.rows == 16 and found["id"].tolist() == frame["id"].tolist()
    assert found["file"].unique().tolist() == ["2020/a.csv", "2021/b.parquet"]


def test_ray_is_asked_for_where_it_is_missing(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    with pytest.raises(ClassifyError, match=r'pip install -e "\.\[scale\]"; or add --no-ray'):
        classify([str(inputs(tmp_path))], tmp_path / "out", asked)


def test_hours_and_money_follow_the_formula():
    table = sizing(500.0, 3.0, rows=[10**6], workers=[1, 8], start=360.0, efficiency=0.5)
    assert np.allclose(table["hours"], [0.1 + 1 / 0.9, 0.1 + 1 / 7.2])
    assert np.allclose(table["cost"], table["hours"] * [1, 8] * 3)
    assert "cost" not in sizing(500.0).columns
    with pytest.raises(ClassifyError, match="a rate is above 0"):
        sizing(0.0)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    fixed = ["--input", str(inputs(tmp_path)), "--output", str(tmp_path / "out")]
    fixed += ["--model", str(tmp_path / "none"), "--no-ray"]
    assert main([*fixed, "--task", "no-such-task"]) == 1
    assert main([*fixed, "--task", "cap", "--workers", "0"]) == 1
    assert main([*fixed, "--task", "cap", "--batch-rows", "0"]) == 1
    told = capsys.readouterr().err
    assert "no task 'no-such-task'" in told and "--workers 0: give a number" in told
    assert "--batch-rows: Input should be greater than 0" in told


def test_the_table_of_the_documentation_is_that_of_the_formula():
    page = (REPO / "docs" / "scale.md").read_text(encoding="utf-8")
    cells = [line.strip("| ").split(" | ") for line in page.splitlines()]
    names = {"1 M": 10**6, "100 M": 10**8, "2.6 B": 26 * 10**8}
    shown = [line for line in cells if line[0] in names]
    assert len(shown) == 9
    for size, rate, *figures in shown:
        table = sizing(float(rate.replace(",", "")), 2.5, rows=[names[size]])
        for cell, exact in zip(figures, [*table["hours"], table["cost"][0]], strict=True):
            number = float(cell.removeprefix("< ").replace(",", ""))
            assert exact < number if "<" in cell else abs(exact - number) <= max(5e-3, exact / 30)
