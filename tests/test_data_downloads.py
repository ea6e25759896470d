"""Downloads: verified, kept, restarted; tried against a small server on this machine."""

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pandas as pd
import pytest

from helpers.data import (
    UpstreamError,
    UpstreamFile,
    UpstreamMissing,
    downloads,
    fetch,
    fetch_upstream,
    git_blob_sha1,
    local_copy,
    read_manifest,
    upstream_file,
)

COMMIT = "c0ffee" * 6 + "c0ff"
CONTENT = {
    "one.csv": b"id,text\n1,a\n",
    "deep/two words.csv": b"x" * 400_000,
    "deep/three@c0ffee.csv": b"",
}


class Repository:
    """A made-up repository behind a local server; `answers` replaces what it sends, in turn."""

    def __init__(self):
        self.answers, self.asked = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = unquote(self.path).removeprefix(f"/{COMMIT}/")
                outer.asked.append(path)
                queue = outer.answers.get(path, [])
                answer = queue.pop(0) if queue else ("ok", CONTENT.get(path))
                outer.send(self, *answer)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @staticmethod
    def send(handler, kind, content):
        handler.send_response(404 if kind == "missing" or content is None else 200)
        handler.send_header("Content-Length", str(len(content or b"")))
        handler.end_headers()
        if kind == "truncated":
            handler.wfile.write(content[: len(content) // 2])
        elif kind == "slow":
            handler.wfile.write(content[: len(content) // 2])
            handler.wfile.flush()
            time.sleep(30)
        elif kind == "ok" and content:
            handler.wfile.write(content)


def blob_id(content, folder):
    path = folder / "blob"
    path.write_bytes(content)
    return git_blob_sha1(path)


@pytest.fixture
def repository(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # pooch waits before it tries again
    made = Repository()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def rows(tmp_path):
    return [
        UpstreamFile(
            name.replace("@c0ffee", "@local") if "@" in name else name,
            name,
            COMMIT,
            blob_id(content, tmp_path),
            len(content),
            "CC-BY-4.0",
            "key",
            ("cap",) if name == "one.csv" else ("published",),
        )
        for name, content in CONTENT.items()
    ]


def get(folder, rows, repository, **options):
    return fetch(folder, rows, base_url=repository.url, report=lambda line: None, **options)


def statuses(table):
    return dict(zip(table["local_path"], table["status"], strict=True))


def test_blob_ids_are_those_of_git(tmp_path):
    for content, expected in [
        (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
    ]:
        assert blob_id(content, tmp_path) == expected


def test_files_are_downloaded_once(tmp_path, rows, repository):
    folder = tmp_path / "up"
    first = get(folder, rows, repository)
    assert set(statuses(first).values()) == {"downloaded"}
    for row, content in zip(rows, CONTENT.values(), strict=True):
        assert (folder / row.local_path).read_bytes() == content
    assert first["bytes"].tolist() == [len(content) for content in CONTENT.values()]
    asked = len(repository.asked)
    assert set(statuses(get(folder, rows, repository)).values()) == {"kept"}
    assert len(repository.asked) == asked == 3


def test_a_wrong_file_is_named_set_aside_and_fetched_again(tmp_path, rows, repository):
    folder = tmp_path / "up"
    get(folder, rows, repository)
    (folder / "one.csv").write_bytes(b"changed")
    with pytest.raises(UpstreamError, match=r"one\.csv: git blob id"):
        upstream_file("one.csv", folder, rows)
    lines = []
    table = fetch(folder, rows, base_url=repository.url, report=lines.append)
    assert statuses(table)["one.csv"] == "replaced"
    assert any("one.csv was not the authors' pinned version" in line for line in lines)
    assert (folder / "one.csv").read_bytes() == CONTENT["one.csv"]
    assert (folder / "one.csv.wrong").read_bytes() == b"changed"


def test_a_change_that_keeps_the_size_is_noticed(tmp_path, rows, repository):
    folder = tmp_path / "up"
    get(folder, rows, repository)
    assert upstream_file("one.csv", folder, rows).read_bytes() == CONTENT["one.csv"]
    time_before = (folder / "one.csv").stat()
    (folder / "one.csv").write_bytes(CONTENT["one.csv"].replace(b"a", b"b"))
    os.utime(folder / "one.csv", ns=(time_before.st_atime_ns, time_before.st_mtime_ns + 1))
    with pytest.raises(UpstreamError, match="differ from the authors' pinned version"):
        upstream_file("one.csv", folder, rows)


@pytest.mark.parametrize("bad", [("truncated", b"y" * 1000), ("ok", b"not this")])
def test_a_bad_answer_is_never_used_and_asked_for_again(tmp_path, rows, repository, bad):
    repository.answers["one.csv"] = [bad]
    table = get(tmp_path / "up", rows, repository)
    assert statuses(table)["one.csv"] == "downloaded"
    assert (tmp_path / "up" / "one.csv").read_bytes() == CONTENT["one.csv"]
    assert repository.asked.count("one.csv") == 2


def test_a_failure_says_what_is_done_and_how_to_go_on(tmp_path, rows, repository):
    repository.answers["one.csv"] = [("ok", b"not this")] * 3
    repository.answers["deep/two words.csv"] = [("missing", None)]
    with pytest.raises(UpstreamError) as error:
        get(tmp_path / "up", rows, repository)
    message = str(error.value)
    assert "1 of 3 files are done and kept (deep/three@local.csv); 2 missing" in message
    assert "one.csv: the server sent a wrong content" in message
    assert "deep/two words.csv: the server answered 404" in message
    assert "make data" in message
    assert "UPSTREAM=" in message
    assert repository.asked.count("deep/two words.csv") == 1  # a 404 is not asked for again
    left = sorted(p.name for p in (tmp_path / "up").rglob("*") if p.is_file())
    assert left == [".lock", "three@local.csv"]
    assert statuses(get(tmp_path / "up", rows, repository))["deep/three@local.csv"] == "kept"


def test_without_network_it_stops_at_the_first_file(tmp_path, rows, repository):
    repository.server.shutdown()
    repository.server.server_close()
    with pytest.raises(UpstreamError) as error:
        get(tmp_path / "up", rows, repository)
    assert "one.csv: no connection" in str(error.value)
    assert "deep/two words.csv: not tried" in str(error.value)


def test_a_file_that_cannot_be_saved_is_reported(tmp_path, rows, repository, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads.os, "replace", full)
    with pytest.raises(UpstreamError, match="could not be saved: No space left on device"):
        get(tmp_path / "up", rows, repository)


KILLED = """
import sys
from pathlib import Path
from helpers.data import UpstreamFile, fetch
row = UpstreamFile("deep/two.csv", "deep/two words.csv", {commit!r}, {sha!r}, None, "", "", ())
fetch(Path({folder!r}), [row], base_url={url!r})
"""


def test_a_killed_download_leaves_no_file_and_starts_again(tmp_path, rows):
    repository = Repository()
    repository.answers["deep/two words.csv"] = [("slow", CONTENT["deep/two words.csv"])]
    folder, row = tmp_path / "up", rows[1]
    script = KILLED.format(
        commit=COMMIT, sha=row.git_blob_sha1, folder=str(folder), url=repository.url
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + 60
    while not any(p.is_file() and p.stat().st_size for p in folder.glob(".partial/**/*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    outside = [p for p in folder.rglob("*") if p.is_file() and ".partial" not in p.parts]
    assert [p.name for p in outside] == [".lock"]
    assert statuses(get(folder, rows, repository))[row.local_path] == "downloaded"
    assert (folder / row.local_path).read_bytes() == CONTENT["deep/two words.csv"]
    assert not (folder / ".partial").exists()


# --- a user's folder -----------------------------------------------------------------------------


def test_a_local_copy_is_verified_and_left_alone(tmp_path, rows, repository):
    folder = tmp_path / "up"
    get(folder, rows, repository)
    (folder / rows[1].local_path).unlink()
    table = local_copy(folder, rows, needed=["cap"])
    assert statuses(table) == {
        "one.csv": "verified",
        "deep/two words.csv": "absent",
        "deep/three@local.csv": "verified",
    }
    with pytest.raises(UpstreamMissing, match=r"lacks deep/two words\.csv"):
        local_copy(folder, rows, needed=["published"])
    for row in (rows[0], rows[2]):
        (folder / row.local_path).write_bytes(b"corrupt")
    with pytest.raises(UpstreamError) as error:
        local_copy(folder, rows)
    assert "one.csv" in str(error.value)
    assert "three@local.csv" in str(error.value)
    assert (folder / "one.csv").read_bytes() == b"corrupt"


def test_a_missing_file_or_folder_says_how_to_get_it(tmp_path, rows):
    with pytest.raises(UpstreamMissing, match=r"(?s)one\.csv.*make data.*UPSTREAM="):
        upstream_file("one.csv", tmp_path, rows)
    with pytest.raises(UpstreamMissing, match="no folder"):
        local_copy(tmp_path / "nowhere", rows)
    with pytest.raises(UpstreamError, match=r"not in data/upstream_manifest\.csv"):
        upstream_file("other.csv", tmp_path, rows)


# --- the committed manifest ----------------------------------------------------------------------


def test_the_manifest_pins_every_file():
    manifest = read_manifest()
    assert len(manifest) == 38
    assert len({row.local_path for row in manifest}) == 38
    for row in manifest:
        assert len(row.commit) == 40
        assert len(row.git_blob_sha1) == 40
        assert row.licence == "CC-BY-4.0"
        assert row.citation
        assert row.needed_for
        assert not row.local_path.startswith("/")
        assert ".." not in row.local_path
    old = next(row for row in manifest if "@" in row.local_path)
    assert old.url().endswith(
        "9d7ff688c20068f4f30b0e3b469d888abf1f381b/flourishing/classified-L2-7B-FT.csv"
    )


def test_make_data_verifies_a_given_folder(upstream_folder, capsys):
    assert fetch_upstream(str(upstream_folder)) == 0
    printed = capsys.readouterr().out
    table = local_copy(upstream_folder, needed=["cap", "flourishing"])
    assert f"{(table['status'] == 'verified').sum()} files verified" in printed
    assert isinstance(table, pd.DataFrame)
