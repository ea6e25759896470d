"""Runs: work is done once, appears whole or not at all, and survives a kill and a full disk."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import pandas as pd
import pytest

from helpers.runs import (
    HelpersError,
    artifact,
    atomic_path,
    frame_artifact,
    open_run,
    start,
    write_table,
)


def builder(calls: list, text: str = "result"):
    def build(folder):
        calls.append(folder)
        (folder / "out.txt").write_text(text)

    return build


def test_an_artifact_is_made_once(tmp_path):
    calls = []
    assert artifact(tmp_path / "a", {"x": 1}, builder(calls)) == (tmp_path / "a", True)
    assert artifact(tmp_path / "a", {"x": 1}, builder(calls)) == (tmp_path / "a", False)
    assert len(calls) == 1
    assert json.loads((tmp_path / "a" / "artifact.json").read_text())["inputs"] == {"x": 1}


def test_an_artifact_is_made_again_when_its_inputs_change(tmp_path):
    calls = []
    artifact(tmp_path / "a", {"x": 1}, builder(calls))
    assert artifact(tmp_path / "a", {"x": 2}, builder(calls, "new"))[1]
    assert (tmp_path / "a" / "out.txt").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a.lock", "a"]


@pytest.mark.parametrize("harm", ["change", "delete", "add"])
def test_an_artifact_that_was_tampered_with_is_made_again(tmp_path, harm):
    calls = []
    artifact(tmp_path / "a", {}, builder(calls))
    if harm == "delete":
        (tmp_path / "a" / "out.txt").unlink()
    else:
        name = "out.txt" if harm == "change" else "other.txt"
        (tmp_path / "a" / name).write_text("tampered")
    artifact(tmp_path / "a", {}, builder(calls))
    assert len(calls) == 2
    assert (tmp_path / "a" / "out.txt").read_text() == "result"


def test_a_failed_build_leaves_the_old_result_and_its_own_half_done_work(tmp_path):
    artifact(tmp_path / "a", {"x": 1}, builder([]))

    def fails(folder):
        (folder / "checkpoint").write_text("half")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        artifact(tmp_path / "a", {"x": 2}, fails)
    assert (tmp_path / "a" / "out.txt").read_text() == "result"

    def resumes(folder):
        assert (folder / "checkpoint").read_text() == "half"
        (folder / "out.txt").write_text("done")

    artifact(tmp_path / "a", {"x": 2}, resumes)
    assert (tmp_path / "a" / "out.txt").read_text() == "done"


def test_a_table_is_made_once_and_again_when_inputs_or_file_change(tmp_path):
    calls = []

    def build():
        calls.append(1)
        return pd.DataFrame({"x": [len(calls)]})

    path = tmp_path / "t.parquet"
    assert frame_artifact(path, {"a": 1}, build)[1] is True
    frame, made = frame_artifact(path, {"a": 1}, build)
    assert (frame["x"].tolist(), made) == ([1], False)
    assert frame_artifact(path, {"a": 2}, build)[0]["x"].tolist() == [2]
    path.write_bytes(b"broken")
    assert frame_artifact(path, {"a": 2}, build)[0]["x"].tolist() == [3]


KILLED = """
import os, signal, sys
from pathlib import Path
from helpers.runs import artifact

def build(folder):
    steps = folder / "steps.txt"
    done = int(steps.read_text()) if steps.exists() else 0
    for step in range(done, 6):
        steps.write_text(str(step + 1))
        if step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
    (folder / "log.txt").write_text(f"continued at {done}")

artifact(Path(sys.argv[1]), {"x": 1}, build)
"""


@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_killed_build_is_continued(tmp_path, at):
    def run(step):
        return subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a"), str(step)])

    assert run(at).returncode == -signal.SIGKILL
    assert not (tmp_path / "a").exists()
    assert run(99).returncode == 0
    assert (tmp_path / "a" / "log.txt").read_text() == f"continued at {at + 1}"


def test_a_full_disk_keeps_the_old_file_and_says_what_to_do(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    message = r"disk is full: could not save table.csv.*Free some"
    with pytest.raises(HelpersError, match=message), atomic_path(path) as temporary:
        temporary.write_text("part of the n")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_truly_full_device_gives_the_same_message(tmp_path):
    with (
        pytest.raises(HelpersError, match="disk is full"),
        atomic_path(tmp_path / "x.txt"),
        open("/dev/full", "w") as full,
    ):
        full.write("x")
        full.flush()
    assert not (tmp_path / "x.txt").exists()


def test_a_full_disk_during_a_build_is_explained(tmp_path):
    def build(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(HelpersError, match="disk is full: could not save model"):
        artifact(tmp_path / "model", {}, build)
    assert not (tmp_path / "model").exists()


def test_other_os_errors_are_not_disguised(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")


def test_tables_are_written_twice_with_the_same_bytes(tmp_path):
    run = open_run("demo", root=tmp_path)
    frame = pd.DataFrame({"id": ["0012345678901234567"], "value": [1 / 3]})
    write_table(run, "t", frame)
    first = [(run.root / "tables" / f"t.{x}").read_bytes() for x in ("csv", "parquet")]
    write_table(run, "t", frame)
    assert [(run.root / "tables" / f"t.{x}").read_bytes() for x in ("csv", "parquet")] == first
    assert b"0012345678901234567,0.3333333333" in first[0]


def test_start_prints_versions_seed_and_device(tmp_path, capsys):
    start("demo", root=tmp_path, tasks="cap")
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("torch 2.13.0", "seed 20241101", "device cpu"))


def test_tasks_are_a_list_or_comma_separated(tmp_path):
    assert open_run("demo", root=tmp_path, tasks="cap, dataverse").profile.tasks == [
        "cap",
        "dataverse",
    ]


@pytest.mark.parametrize("module", ["helpers.runs", "helpers.tasks", "helpers.cli"])
def test_light_modules_do_not_import_torch(module):
    code = f"""
        import sys, {module}
        heavy = {{"torch", "transformers", "trl", "ray"}} & set(sys.modules)
        sys.exit(str(heavy) if heavy else 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
