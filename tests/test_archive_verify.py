"""`make verify-archive`: unpack, check, run anew, compare; and what stops it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile

import pandas as pd
import pytest
import yaml
from archive_example import small_archive, small_repo, small_run

from helpers.archive import verifying
from helpers.archive.command import main
from helpers.archive.errors import ArchiveError
from helpers.archive.record import FORMAT
from helpers.archive.verifying import prepare, verify_archive
from helpers.archive.zipping import unpack, write_zip
from helpers.profiles import REPO
from helpers.runs import file_sha256, write_json

# What `make setup` of the small repository installs as Python: repeats the run by copying it.
REPEATS = """#!/bin/sh
echo "$@" >> ../../calls
mkdir -p runs/smoke && cp -r ../results/. runs/smoke/
"""


@pytest.fixture(scope="module")
def deposited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deposited")
    repo, run = small_repo(folder / "repo"), small_run(folder / "elsewhere" / "runs")
    return small_archive(run, repo, folder / "out").file


@pytest.fixture
def file(deposited, tmp_path):
    return shutil.copy(deposited, tmp_path / "a.zip")


@pytest.fixture(autouse=True)
def _repeats(monkeypatch):
    monkeypatch.setenv("SCRIPT", REPEATS)
    # As inside an outer `make verify-archive`.
    monkeypatch.setenv("MAKEFLAGS", "w -- PROFILE=other")
    monkeypatch.setenv("MAKELEVEL", "1")


def test_archive_that_repeats_is_verified_and_reported(file, tmp_path, capsys):
    assert main(["verify", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "1 tables compared, 1 identical, 0 within tolerance, 0 different" in printed
    report = (tmp_path / "a.verification.md").read_text(encoding="utf-8")
    assert (
        "The archive yields its results." in report and "`data_label_counts` | identical" in report
    )
    content = json.loads((tmp_path / "a.verification.json").read_text())
    assert content["equal"] and not content["differences"]
    calls = (tmp_path / "a-verification" / "calls").read_text()
    assert calls == "-m helpers replicate --profile smoke 01_data\n"


def test_difference_is_listed_and_gives_status_1(file, tmp_path, capsys, monkeypatch):
    table = "runs/smoke/tables/data_label_counts"
    monkeypatch.setenv("SCRIPT", REPEATS + f"sed -i s/3/4/ {table}.csv; rm {table}.parquet\n")
    assert main(["verify", str(file)]) == 1
    assert (
        "1 tables compared, 0 identical, 0 within tolerance, 1 different" in capsys.readouterr().out
    )
    row = json.loads((tmp_path / "a.verification.json").read_text())["differences"][0]
    assert row["table"] == "data_label_counts" and row["row"] == "task=cap, label=1"
    assert (row["column"], row["deposited"], row["recomputed"]) == ("n", "3", "4")
    assert "**Results differ.**" in (tmp_path / "a.verification.md").read_text(encoding="utf-8")


def test_same_command_goes_on_after_a_failure(file, tmp_path, monkeypatch):
    failing = (
        "#!/bin/sh\nfor i in $(seq 50); do echo line $i; done\necho chapter 04 failed >&2; exit 3\n"
    )
    monkeypatch.setenv("SCRIPT", failing)
    with pytest.raises(ArchiveError, match=r"step 'replicate' failed \(exit status 3\)") as caught:
        verify_archive(file)
    assert "chapter 04 failed" in str(caught.value) and "line 50" in str(caught.value)
    assert "line 10\n" not in str(caught.value)
    folder = next(path for path in (tmp_path / "a-verification").iterdir() if path.is_dir())
    (folder / "code" / "kept").write_text("work that is done")
    monkeypatch.setenv("SCRIPT", REPEATS)
    assert verify_archive(file).comparison.equal
    assert (folder / "code" / "kept").is_file()  # not unpacked again


def test_failing_setup_shows_the_end_of_its_log(file, monkeypatch):
    monkeypatch.setenv("SETUP_FAILS", "1")
    with pytest.raises(ArchiveError, match=r"step 'setup' failed(.|\n)*no package index here"):
        verify_archive(file)


# Stands for the package in the archive: repeats the run as REPEATS does.
MODULE = """
import pathlib, shutil, sys
shutil.copytree("../results", "runs/smoke", dirs_exist_ok=True)
pathlib.Path("called").write_text(" ".join(sys.argv[1:]))
"""


def test_no_setup_uses_this_environment_with_the_archive_s_code(file, tmp_path):
    with pytest.raises(ArchiveError, match="this archive has no code to run"):
        verify_archive(file, setup=False)
    package = next((tmp_path / "a-verification").glob("*/code")) / "src" / "helpers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(MODULE)
    assert verify_archive(file, setup=False).comparison.equal
    called = (package.parents[1] / "called").read_text()
    assert called == "replicate --profile smoke 01_data"
    assert not (tmp_path / "a-verification" / "setup.log").exists()


def repacked(file, tmp_path, change):
    """Change something in an archive, and pack it again."""
    folder = unpack(file, tmp_path / "changed")
    change(folder)
    return write_zip(folder, tmp_path / "b.zip")


def test_changed_missing_and_extra_files_are_named_before_anything_runs(file, tmp_path):
    def change(folder):
        table = folder / "results" / "tables" / "data_label_counts.csv"
        table.write_text(table.read_text().replace("5", "6"))
        (folder / "LICENSE").unlink()
        (folder / "code" / "more.py").write_text("")

    with pytest.raises(ArchiveError) as caught:
        verify_archive(repacked(file, tmp_path, change))
    for line in (
        "changed: results/tables/data_label_counts.csv",
        "missing: LICENSE",
        "extra: code/more.py",
    ):
        assert line in str(caught.value)
    assert not list(tmp_path.rglob("setup.log"))


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:/evil", "a\\..\\..\\evil"])
def test_entry_that_points_outside_is_refused_before_anything_is_written(tmp_path, name):
    path = tmp_path / "zips" / "bad.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a/good", "x")
        packed.writestr(name, "x")
    with pytest.raises(ArchiveError, match="points out of the archive's folder"):
        unpack(path, tmp_path / "into")
    assert not list(tmp_path.rglob("*evil*")) and not (tmp_path / "into").exists()


def test_link_in_a_zip_is_refused(tmp_path):
    entry = zipfile.ZipInfo("a/link")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as packed:
        packed.writestr(entry, "/etc/passwd")
    with pytest.raises(ArchiveError, match="points out"):
        unpack(tmp_path / "bad.zip", tmp_path / "into")


def test_damaged_zip_is_named(file, tmp_path):
    content = file.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(ArchiveError, match="cut short"):
        verify_archive(tmp_path / "cut.zip")
    with pytest.raises(ArchiveError, match="no file"):
        verify_archive(tmp_path / "none.zip")
    at = len(content) // 3
    (tmp_path / "bent.zip").write_bytes(content[:at] + b"\xff" * 64 + content[at + 64 :])
    with pytest.raises(ArchiveError, match=r"damaged|not as its SHA256SUMS"):
        verify_archive(tmp_path / "bent.zip")


def test_archive_of_another_format_is_refused(file, tmp_path):
    def change(folder):
        path = folder / "archive.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT + 1}))

    folder = unpack(repacked(file, tmp_path, change), tmp_path / "c")
    with pytest.raises(ArchiveError, match=r"format 2, this version reads 1"):
        prepare(folder)


def test_another_type_of_processor_is_met_with_tolerances(file, tmp_path, monkeypatch):
    other = verifying.machine() | {"processor": "another"}
    monkeypatch.setattr(verifying, "machine", lambda: other)
    done = verify_archive(file)
    assert not done.comparison.strict and done.comparison.equal
    assert "recomputed on another" in done.report.read_text(encoding="utf-8")


def test_online_profile_is_prepared_to_replay_what_was_deposited(file, tmp_path):
    folder = unpack(file, tmp_path / "c")
    record = json.loads((folder / "archive.json").read_text())
    write_json(folder / "archive.json", record | {"offline": False})
    decisions = folder / "results" / "decisions" / "cap"
    decisions.mkdir(parents=True)
    (decisions / "ann.jsonl").write_text("{}\n")
    assert len(prepare(folder)) == 2
    content = yaml.safe_load((folder / "code" / "config" / "profiles" / "smoke.yaml").read_text())
    assert content["labelling"] == {"responses": "replay", "archive": "../results/responses"}
    assert (folder / "code" / "runs" / "smoke" / "decisions" / "cap" / "ann.jsonl").is_file()
    assert len(prepare(folder)) == 1  # the profile is set already


def test_compare_command_reads_an_unpacked_archive(file, tmp_path, capsys):
    folder = unpack(file, tmp_path / "c")
    run = tmp_path / "run"
    shutil.copytree(folder / "results", run)
    assert main(["compare", str(folder), str(run)]) == 0
    table = run / "tables" / "data_label_counts.parquet"
    pd.read_parquet(table).assign(n=[3, 7]).to_parquet(table)
    assert main(["compare", str(folder), str(run), "--tolerant"]) == 1
    printed = capsys.readouterr().out
    assert "compared within tolerances" in printed and "label=2" in printed


def test_makefile_of_the_archive_forwards_to_the_code(file, tmp_path):
    folder = unpack(file, tmp_path / "c")
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(["make"], cwd=folder, env=env, capture_output=True, text=True, check=True)
    assert "help of the code" in done.stdout
    subprocess.run(["make", "setup"], cwd=folder, env=env, check=True)
    assert (folder / "code" / "setup-calls").is_file()


@pytest.mark.full
def test_archive_of_a_run_of_all_chapters_is_verified_end_to_end(tmp_path):
    """About 12 minutes: the profile smoke, packed, installed anew, run anew, compared."""
    root = tmp_path / "runs"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPO / "src"), *sys.path])}
    python = [sys.executable, "-m"]
    run = [*python, "helpers", "replicate", "--profile", "smoke", "--root", str(root)]
    subprocess.run(run, env=env, check=True, timeout=1800, stdout=subprocess.DEVNULL)
    out = tmp_path / "out"
    make = [*python, "helpers.archive", "make", "--profile", "smoke", "--root", str(root)]
    subprocess.run([*make, "--out", str(out)], env=env, check=True, timeout=600)
    (file,) = out.glob("*.zip")
    before = file_sha256(file)
    verify = [*python, "helpers.archive", "verify", str(file), "--into", str(tmp_path / "anew")]
    done = subprocess.run(
        verify, env=env, capture_output=True, text=True, timeout=3600, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    content = json.loads(file.with_name(f"{file.stem}.verification.json").read_text())
    assert content["equal"] and len(content["tables"]) > 50
    assert {item["verdict"] for item in content["tables"]} == {"identical"}
    assert file_sha256(file) == before
