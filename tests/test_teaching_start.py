"""The landing notebook: runs without a run and with one, in seconds, and says what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import papermill
import pytest

from helpers import limits, start
from helpers.chapters import chapter_inputs, load_chapters
from helpers.runs import REPO, Run, file_sha256, open_run, versions, write_json
from helpers.start import book, checks, results

LANDING = REPO / "notebooks" / "00_start_here.ipynb"
FIRST, SECOND = list(load_chapters())[:2]


def made_up_run(root: Path) -> Run:
    """A run whose first chapter is finished: stamp, page, a table, scores and a figure."""
    run = open_run("smoke", root=root)
    run.path("notebooks", f"{FIRST}.ipynb").write_text("{}")
    run.path("notebooks", f"{FIRST}.html").write_text("<p>page</p>")
    table = run.path("tables", "data_overview.csv")
    table.write_text("x\n1\n")
    inputs = chapter_inputs(FIRST, run)  # as a chapter stamps them
    outputs = {"tables/data_overview.csv": file_sha256(table)}
    write_json(run.path("chapters", f"{FIRST}.json"), {"inputs": inputs, "outputs": outputs})
    run.path("performance", "chapters.csv").write_text(f"chapter,seconds\n{FIRST},90\n")
    packaged = pd.read_csv(results.PACKAGED / "metrics.csv")
    packaged.to_csv(run.path("tables", "metrics.csv"), index=False)
    task = run.profile.tasks[0]
    figure = results.PACKAGED / f"05_headline_{task}.png"
    run.path("figures", figure.name).write_bytes(figure.read_bytes())
    return run


def executed(tmp_path: Path, root: Path) -> str:
    """Execute the landing notebook; return all that it shows, as text."""
    target = tmp_path / "executed.ipynb"
    parameters = {"profile": "smoke", "root": str(root)}
    folder = str(LANDING.parent)
    papermill.execute_notebook(
        str(LANDING), str(target), parameters, cwd=folder, kernel_name="python3", progress_bar=False
    )
    cells = json.loads(target.read_text(encoding="utf-8"))["cells"]
    return json.dumps([cell.get("outputs", []) for cell in cells], ensure_ascii=False)


def test_it_runs_on_a_fresh_clone(tmp_path: Path):
    shown = executed(tmp_path, tmp_path / "runs")
    assert "has not been run here yet" in shown
    assert shown.count("never run") == len(load_chapters())
    assert "image/png" in shown
    assert not (tmp_path / "runs").exists(), "it looks, and makes nothing"


def test_it_runs_after_a_run(tmp_path: Path):
    made_up_run(tmp_path / "runs")
    shown = executed(tmp_path, tmp_path / "runs")
    assert "From this machine's run" in shown
    assert "up to date" in shown and "1.5, measured here" in shown
    assert f"{FIRST}.html" in shown


def test_it_loads_nothing_heavy():
    heavy = "{'torch', 'transformers', 'trl', 'matplotlib'}"
    code = f"import sys, helpers.start; print(sorted({heavy} & {{*sys.modules}}))"
    env = os.environ | {"PYTHONPATH": str(REPO / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_first_cell_does_nothing_outside_colab(tmp_path: Path, monkeypatch):
    cell = next(
        "".join(cell["source"])
        for cell in json.loads(LANDING.read_text(encoding="utf-8"))["cells"]
        if "colab" in cell["metadata"].get("tags", [])
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it ran a command"))
    before = list(sys.path)
    exec(compile(cell, "colab", "exec"), {})
    assert sys.path == before and not list(tmp_path.iterdir())


def test_in_colab_the_first_cell_clones_and_installs_once(tmp_path: Path, monkeypatch):
    cell = next(
        "".join(cell["source"])
        for cell in json.loads(LANDING.read_text(encoding="utf-8"))["cells"]
        if "colab" in cell["metadata"].get("tags", [])
    )
    commands = []

    def pretend(command, **_):
        commands.append(command)
        if command[0] == "git":
            (tmp_path / "package" / "notebooks").mkdir(parents=True)
            (tmp_path / "package" / "notebooks" / LANDING.name).write_text("{}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(subprocess, "run", pretend)
    for _ in range(2):
        exec(compile(cell, "colab", "exec"), {})
    assert [command[0] for command in commands] == ["git", sys.executable]
    assert commands[1][1:] == ["-m", "helpers.hosted", "install"]
    assert Path.cwd() == tmp_path / "package" / "notebooks"
    assert sys.path[0] == str(tmp_path / "package" / "src")


def test_every_table_of_results_has_a_baseline(tmp_path: Path):
    found = start.find_results(open_run("demo", root=tmp_path))
    assert found.scores and len(found.figures) >= 2
    for title, board in found.scores.items():
        assert set(results.BASELINES) & set(board.index), title
        assert len(board) <= results.ROWS + len(results.BASELINES)


# --- the map ------------------------------------------------------------------------------------


def state(run: Run, name: str = FIRST) -> str:
    return book.chapter_state(name, load_chapters()[name], run)


def test_a_chapter_is_up_to_date_until_a_file_of_it_changes(tmp_path: Path):
    run = made_up_run(tmp_path)
    assert state(run) == "up to date"
    assert state(run, SECOND) == "never run"
    table = run.root / "tables" / "data_overview.csv"
    later = table.stat().st_mtime + 100
    os.utime(table, (later, later))
    assert state(run) == "up to date"  # touched, the same content
    table.write_text("x\n2\n")
    os.utime(table, (later, later))
    assert state(run) == "out of date"
    table.unlink()
    assert state(run) == "out of date"


@pytest.mark.parametrize("part", ["profile", "versions", "files"])
def test_other_settings_versions_or_code_make_a_chapter_out_of_date(tmp_path: Path, part: str):
    run = made_up_run(tmp_path)
    stamp = run.root / "chapters" / f"{FIRST}.json"
    done = json.loads(stamp.read_text())
    change = {
        "profile": ("seed", 1),
        "versions": ("numpy", "0.1"),
        "files": ("src/helpers/gone.py", "0" * 64),
    }
    key, value = change[part]
    done["inputs"][part][key] = value
    write_json(stamp, done)
    assert state(run) == "out of date"


def test_a_run_whose_page_is_missing_has_no_link_to_it(tmp_path: Path):
    run = made_up_run(tmp_path)
    table = start.chapter_map(run)
    assert f"{FIRST}.html" in start.links(table, run)
    assert f"{SECOND}.html" not in start.links(table, run)
    assert f"]({SECOND}.ipynb)" in start.links(table, run)


def test_the_map_asks_each_chapters_question_and_says_how_long_it_takes(tmp_path: Path):
    table = start.chapter_map(open_run("demo", root=tmp_path)).set_index("chapter")
    assert list(table.index) == list(load_chapters())
    assert table["question"].str.endswith("?").all()
    assert set(table["measured"]) == {"on 2 cores"}
    other = start.chapter_map(open_run("study", root=tmp_path))
    assert other["minutes"].isna().all()  # nobody measured it: no number is made up
    assert "not measured" in start.links(other, open_run("study", root=tmp_path))


# --- the checks -----------------------------------------------------------------------------------


def test_all_is_well_where_all_tests_run():
    found = {check.what: check for check in start.installation()}
    assert not [check for check in found.values() if check.state == "problem"]
    assert "Ready" in start.verdict(list(found.values()))


def test_old_and_new_pythons_are_refused():
    assert checks.check_python((3, 10)).state == checks.check_python((3, 14)).state == "problem"
    assert "PYTHON=" in checks.check_python((3, 10)).remedy
    assert checks.check_python((3, 13)).state == "ok"


def test_missing_and_other_packages_are_named():
    missing = checks.check_packages({"numpy": versions()["numpy"], "no-such-package": "1.0"})
    assert missing.state == "problem" and "no-such-package" in missing.found
    assert "1 of 2" in missing.found
    other = checks.check_packages({"numpy": "0.1"})
    assert other.state == "note" and "instead of 0.1" in other.found


def test_a_damaged_model_is_a_problem_with_a_remedy(monkeypatch):
    monkeypatch.setattr("helpers.offline_model.SHA256", "0" * 64)
    found = checks.check_model()
    assert found.state == "problem" and "pip install" in found.remedy


@pytest.mark.parametrize(("gib", "expected"), [(8, "ok"), (3, "note"), (1, "problem")])
def test_memory_is_held_against_what_runs_need(gib: int, expected: str):
    assert checks.check_memory(gib * 2**30, 2).state == expected


def test_a_full_disk_is_a_problem(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: type("U", (), {"free": 2**30})())
    assert checks.check_disk(tmp_path / "not" / "there").state == "problem"


def test_code_from_another_folder_is_a_problem(tmp_path: Path):
    assert checks.check_kernel(REPO / ".venv", REPO / "src/helpers/__init__.py").state == "ok"
    assert checks.check_kernel(tmp_path, REPO / "src/helpers/__init__.py").state == "note"
    assert checks.check_kernel(REPO / ".venv", tmp_path / "__init__.py").state == "problem"


def test_a_problem_is_summed_up():
    bad = checks.Check("disk", "problem", "1 GiB", "free some")
    assert "**Not ready:** disk." in start.verdict([bad])


# --- what a container allows ----------------------------------------------------------------------


def test_a_containers_limits_count(tmp_path: Path, monkeypatch):
    for name in ("MEM_LIMIT", "CPU_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    assert limits.memory_limit(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    assert limits.memory_limit(tmp_path) is None
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    assert limits.memory_limit(tmp_path) == limits.free_memory(tmp_path) == 2**30
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert limits.cores(tmp_path) == 1
    monkeypatch.setenv("MEM_LIMIT", str(2**29))
    assert limits.memory_limit(tmp_path) == 2**29


def test_version_1_groups_and_no_groups_at_all(tmp_path: Path, monkeypatch):
    for name in ("MEM_LIMIT", "CPU_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert limits.memory_limit(tmp_path) is None
    assert limits.cores(tmp_path / "nothing") >= 1
    monkeypatch.setenv("CPU_LIMIT", "1.0")
    assert limits.cores(tmp_path / "nothing") == 1
