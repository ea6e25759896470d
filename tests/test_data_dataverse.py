"""Texts from a Dataverse deposit; tried against a small server that answers as the API does."""

import hashlib
import io
import json
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from helpers.data import DataError, deposits, load_texts, texts_allowed
from helpers.data.dataverse import dataverse_section, load_dataverse
from helpers.data.deposits import Deposit, DepositError, fetch_file, list_files
from helpers.data.sections import design_columns
from helpers.tasks import Task, TaskFile, load_task

DOI = "10.1/ABC"
ROWS = [
    ("AFG", "2003-08", 2003, 8, 'Clashes, in the "north";\nmany dead.', "2.5"),
    ("AFG", "2003-09", 2003, 9, "Talks resumed.", "0"),
    ("MLI", "2003-08", 2003, 8, "Ambush é.", "1.25"),
]
COLUMNS = ["iso3", "yearmon", "year", "month", "report", "lnFatalities"]


def table(rows=ROWS, **options):
    return pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, **options).encode()


def zipped(**members):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return memory.getvalue()


class Dataverse:
    """A made-up server with one deposit; `queue` replaces its next answers to a path."""

    def __init__(self):
        self.files, self.queue, self.asked = {}, {}, []
        self.add("README.md", b"# Replication")
        self.add("reports.csv", table(), folder="data")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                url = urlsplit(self.path)
                outer.asked.append(self.path)
                queue = outer.queue.get(url.path, [])
                kind, content = queue.pop(0) if queue else outer.answer(url)
                self.send_response({"ok": 200, "truncated": 200}.get(kind) or int(kind))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if kind == "truncated" else content)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def add(self, name, content, folder=None, original=None, **entry):
        number = 100 + len(self.files)
        data = {"id": number, "filename": name, "filesize": len(content)}
        data["md5"] = hashlib.md5(content).hexdigest()
        data["checksum"] = {"type": "MD5", "value": data["md5"]}
        if original:
            data |= {"originalFileName": original, "originalFileFormat": "text/csv"}
        entry = {"label": name, "restricted": False, "dataFile": data} | entry
        self.files[number] = (entry | ({"directoryLabel": folder} if folder else {}), content)

    def answer(self, url):
        query = parse_qs(url.query)
        if url.path == "/api/datasets/:persistentId/versions/1.0/files":
            if query["persistentId"] != [f"doi:{DOI}"]:
                return "404", b'{"status":"ERROR"}'
            listed = [entry for entry, _ in self.files.values()]
            return "ok", json.dumps({"status": "OK", "data": listed}).encode()
        if url.path.startswith("/api/access/datafile/"):
            entry, content = self.files[int(url.path.rsplit("/", 1)[-1])]
            converted = "originalFileName" in entry["dataFile"] and "format" not in query
            return "ok", b"converted" if converted else content
        return "404", b"not found"

    def downloads(self):
        return [path for path in self.asked if "/access/" in path]


FILE = "/api/access/datafile/101"
LISTING = "/api/datasets/:persistentId/versions/1.0/files"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # nothing waits before a retry
    made = Dataverse()
    yield made
    made.server.shutdown()
    made.server.server_close()


def task(server, **changes):
    section = {
        "server": server.url,
        "doi": DOI,
        "version": "1.0",
        "file": "data/reports.csv",
        "id": ["iso3", "yearmon"],
        "text": "report",
        "labels": "lnFatalities",
        "extras": {"country": "iso3", "year": "year"},
        "groups": "country",
    }
    content = {
        "name": "reports",
        "title": "t",
        "question": "q",
        "label_type": "numeric",
        "prompts": {},
        "data": {"dataverse": section | changes},
    }
    return Task(TaskFile.model_validate(content))


def deposit(server, **changes):
    return Deposit(**({"server": server.url, "doi": DOI, "version": "1.0"} | changes))


def get(server, folder, wanted="reports.csv", **options):
    return fetch_file(deposit(server), wanted, folder, report=lambda line: None, **options)


def left(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


# --- the deposit ---------------------------------------------------------------------------------


def test_files_are_listed_for_the_pinned_version(server):
    listed = list_files(deposit(server))
    assert [file.path for file in listed] == ["README.md", "data/reports.csv"]
    assert listed[1].checksum == f"md5:{hashlib.md5(table()).hexdigest()}"
    assert listed[1].size == len(table())
    assert server.asked == [f"{LISTING}?persistentId=doi:{DOI}"]


def test_a_file_is_downloaded_once_and_needs_no_server_then(server, tmp_path):
    path = get(server, tmp_path)
    assert path.read_bytes() == table()
    assert left(tmp_path) == ["deposit.json", "reports.csv"]
    asked = len(server.asked)
    for wanted in ("reports.csv", "data/reports.csv"):
        assert get(server, tmp_path, wanted, offline=True) == path
    assert len(server.asked) == asked == 2


@pytest.mark.parametrize("bad", [("truncated", table()), ("ok", b"not this"), ("503", b"busy")])
def test_a_bad_download_is_tried_again_and_never_used(server, tmp_path, bad):
    server.queue[FILE] = [bad]
    assert get(server, tmp_path).read_bytes() == table()
    assert len(server.downloads()) == 2


@pytest.mark.parametrize(
    ("bad", "message", "asked"),
    [
        (("truncated", table()), "was not downloaded", 3),
        (("ok", b"not this"), "its content does not match md5:", 3),
        (("404", b""), "the server answered 404", 1),
        (("403", b""), "the server answered 403", 1),
    ],
)
def test_a_download_that_fails_leaves_nothing(server, tmp_path, bad, message, asked):
    server.queue[FILE] = [bad] * 3
    with pytest.raises(DepositError, match=message):
        get(server, tmp_path)
    assert left(tmp_path) == []
    assert len(server.downloads()) == asked
    server.queue.clear()
    assert get(server, tmp_path).read_bytes() == table()


def test_a_changed_file_is_set_aside_and_fetched_again(server, tmp_path):
    path = get(server, tmp_path)
    path.write_bytes(b"changed")
    with pytest.raises(DepositError, match="not there, or not verified"):
        get(server, tmp_path, offline=True)
    assert get(server, tmp_path).read_bytes() == table()
    assert (tmp_path / "reports.csv.wrong").read_bytes() == b"changed"


def test_a_record_of_another_version_or_a_damaged_one_does_not_count(server, tmp_path):
    get(server, tmp_path)
    other = deposit(server, version="2.0")
    with pytest.raises(DepositError, match="offline: true"):
        fetch_file(other, "reports.csv", tmp_path, offline=True)
    for content in ("{", "[]"):
        (tmp_path / "deposit.json").write_text(content)
        with pytest.raises(DepositError, match="offline: true"):
            get(server, tmp_path, offline=True)
    get(server, tmp_path)
    assert len(server.downloads()) == 1  # the file itself was right: only listed again


def test_a_missing_file_is_reported_with_those_that_are_there(server, tmp_path):
    with pytest.raises(DepositError) as error:
        get(server, tmp_path, "corpus.csv")
    message = str(error.value)
    assert f"doi:{DOI}, version 1.0: no file(s) 'corpus.csv'" in message
    assert f"data/reports.csv ({len(table()):,} bytes)" in message
    assert "Set `file` of data.dataverse" in message
    with pytest.raises(DepositError, match=r"no file chosen(.|\n)*README\.md"):
        get(server, tmp_path, None)
    server.add("reports.csv", b"other", folder="old")
    with pytest.raises(DepositError, match=r"2 file\(s\) 'reports\.csv'"):
        get(server, tmp_path)
    assert get(server, tmp_path, "data/reports.csv").read_bytes() == table()
    assert server.downloads() == [FILE]


def test_a_restricted_file_says_where_to_ask(server, tmp_path):
    server.add("secret.csv", b"x", restricted=True)
    with pytest.raises(
        DepositError, match=rf"restricted: ask for access at https://doi\.org/{DOI}"
    ):
        get(server, tmp_path, "secret.csv")
    assert server.downloads() == []


def test_of_converted_tables_the_original_is_taken(server, tmp_path):
    server.add("scores.tab", table(), original="scores.csv")
    assert get(server, tmp_path, "scores.csv").read_bytes() == table()
    assert server.downloads() == ["/api/access/datafile/102?format=original"]


def test_the_server_may_be_busy_wrong_or_away(server, tmp_path):
    server.queue[LISTING] = [("503", b""), ("500", b"")]
    assert len(list_files(deposit(server))) == 2
    server.queue[LISTING] = [("503", b"")] * 3
    with pytest.raises(DepositError, match="it answered 503"):
        list_files(deposit(server))
    with pytest.raises(DepositError, match=r"answered 404\. Check doi and version"):
        list_files(deposit(server, version="9.0"))
    for content in (b"<html>", b'{"data": [{"label": "a"}]}', b"[]"):
        server.queue[LISTING] = [("ok", content)]
        with pytest.raises(DepositError, match="is no list of files"):
            list_files(deposit(server))
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(DepositError, match="no connection"):
        get(server, tmp_path)


def test_offline_nothing_is_asked(server, tmp_path):
    with pytest.raises(DepositError, match="the profile says offline: true") as error:
        get(server, tmp_path, offline=True)
    assert f"https://doi.org/{DOI}" in str(error.value)
    (tmp_path / "reports.csv").write_bytes(table())  # put there by hand, checksum in the YAML
    md5 = hashlib.md5(table()).hexdigest()
    assert get(server, tmp_path, offline=True, md5=md5.upper()).name == "reports.csv"
    assert server.asked == []


def test_a_deposit_that_changed_is_noticed(server, tmp_path):
    with pytest.raises(DepositError, match=r"the task's YAML expects md5:0{32}"):
        get(server, tmp_path, md5="0" * 32)
    assert server.downloads() == []


def test_a_full_disk_is_reported(server, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(deposits.os, "replace", full)
    with pytest.raises(DepositError, match="could not be saved: No space left on device"):
        get(server, tmp_path)


# --- the texts -----------------------------------------------------------------------------------


def test_texts_come_with_labels_and_extras(server, tmp_path):
    reports = task(server)
    loaded = load_dataverse(reports, tmp_path)
    frame = loaded.frame
    assert frame["id"].tolist() == ["AFG-2003-08", "AFG-2003-09", "MLI-2003-08"]
    assert frame["text"].tolist() == [row[4] for row in ROWS]
    assert [reports.loads(cell) for cell in frame["labels"]] == [2.5, 0.0, 1.25]
    assert frame["country"].tolist() == ["AFG", "AFG", "MLI"]
    assert frame["year"].tolist() == [2003] * 3
    assert loaded.notes == {"doi": DOI, "version": "1.0", "rows": 3}
    assert loaded.dropped.empty
    assert design_columns(reports, "groups", frame) == ["country"]
    assert not texts_allowed(reports, "dataverse")


def test_rows_that_cannot_be_used_are_dropped_and_reported(server, tmp_path):
    rows = [
        *ROWS,
        ("SDN", "2004-01", 2004, 1, "  ", "1"),
        ("SDN", "2004-02", 2004, 2, "Quiet.", "NA"),
        ("SDN", "2004-03", 2004, 3, "Quiet.", "inf"),
        ("AFG", "2003-08", 2003, 8, "Again.", "1"),
    ]
    server.add("more.csv", table(rows))
    loaded = load_dataverse(task(server, file="more.csv"), tmp_path)
    assert len(loaded.frame) == 3
    assert dict(zip(loaded.dropped["reason"], loaded.dropped["ids"], strict=True)) == {
        "no text": "SDN-2004-01",
        "no number in 'lnFatalities'": "SDN-2004-02 SDN-2004-03",
        "id used before: first row kept": "AFG-2003-08",
    }
    with pytest.raises(DataError, match="3 texts of 7 rows, expected at least 4"):
        load_dataverse(task(server, file="more.csv", at_least=4), tmp_path)


def test_counts_can_be_turned_into_logs(server, tmp_path):
    reports = task(server, transform="log1p", labels="month")
    labels = load_dataverse(reports, tmp_path).frame["labels"]
    assert reports.loads(labels[0]) == pytest.approx(2.1972245773)
    server.add("negative.csv", table([(*ROWS[0][:5], "-1")]))
    with pytest.raises(DataError, match="has negative numbers"):
        load_dataverse(task(server, file="negative.csv", transform="log1p"), tmp_path)


def test_missing_columns_are_named_with_their_key_and_those_found(server, tmp_path):
    changes = {"text": None, "labels": "deaths", "extras": {"country": "iso"}, "id": ["iso3", "nr"]}
    with pytest.raises(DataError) as error:
        load_dataverse(task(server, **changes), tmp_path)
    message = str(error.value)
    assert "reports.yaml, data.dataverse: not set: text" in message
    assert "labels: 'deaths', id (nr): 'nr', extras.country: 'iso'" in message
    assert f"which has: {', '.join(COLUMNS)}" in message
    assert "Clashes" not in message


def test_tables_of_other_kinds(server, tmp_path):
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    frame.to_excel(tmp_path / "made.xlsx", index=False)
    server.add("reports.xlsx", (tmp_path / "made.xlsx").read_bytes())
    server.add("reports.tab", table(sep="\t"))
    server.add("one.zip", zipped(code__run="pass", **{"data__reports.csv": table()}))
    server.add("two.zip", zipped(**{"a.csv": b"x", "data__reports.tsv": table(sep="\t")}))
    server.add("latin.csv", table().decode().encode("latin-1"))
    expected = load_dataverse(task(server), tmp_path / "a").frame
    for changes in (
        {"file": "reports.xlsx"},
        {"file": "reports.tab"},
        {"file": "one.zip"},
        {"file": "two.zip", "member": "data/reports.tsv"},
        {"file": "latin.csv", "encoding": "latin-1"},
    ):
        frame = load_dataverse(task(server, **changes), tmp_path / "a").frame
        pd.testing.assert_frame_equal(frame, expected)
    with pytest.raises(DataError, match=r"holds 2 tables: set `member`(.|\n)*data/reports\.tsv"):
        load_dataverse(task(server, file="two.zip"), tmp_path / "a")
    with pytest.raises(DataError, match="is not in utf-8: set `encoding`"):
        load_dataverse(task(server, file="latin.csv"), tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.pkl", b"cos\nsystem\n", "model.pkl cannot be read: choose a file of kind"),
        ("broken.zip", b"PK no archive", "is no readable table"),
        ("empty.csv", b"", "is no readable table"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "is no readable table"),
    ],
)
def test_files_that_are_no_tables_are_refused(server, tmp_path, name, content, message):
    server.add(name, content)
    with pytest.raises(DataError, match=message):
        load_dataverse(task(server, file=name), tmp_path)


def test_wrong_sections_are_refused(server):
    for changes, message in (
        ({"files": "x"}, "files"),
        ({"md5": "abc"}, "md5"),
        ({"transform": "log"}, "transform: use"),
        ({"groups": "region"}, "'region' must be one of the extras"),
    ):
        with pytest.raises(DataError, match=message):
            dataverse_section(task(server, **changes))
    with pytest.raises(DataError, match="task cap has no texts on a Dataverse server"):
        load_texts(load_task("cap"), "dataverse")


def test_the_conflict_task_is_ready_but_names_no_file(tmp_path):
    conflict = load_task("conflict")
    section = dataverse_section(conflict)
    assert (section.doi, section.version) == ("10.7910/DVN/Y5INRM", "1.0")
    assert not section.show_texts
    with pytest.raises(DepositError, match="offline: true"):
        load_dataverse(conflict, tmp_path, offline=True)
