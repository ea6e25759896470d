"""Chapters: executed when something changed, refused when misspelt, clear when they fail."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers import chapters, replicate
from helpers.chapters import Chapter, ChapterError, check_parameters, execute, is_up_to_date
from helpers.cli import main
from helpers.runs import open_run

PARAMETERS = "profile = 'demo'\nroot = ''\nupstream = ''\ntasks = ''"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
WRITE = """
from helpers.runs import open_run
open_run(profile, root).path('tables', 'number.csv').write_text('x,1')
"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of two small chapters in a folder of its own; returns (run, add a chapter)."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    entries: dict[str, Chapter] = {}

    def add(name: str, *cells: str, needs=(), writes=("tables/*",), reads=(), archive=(), **more):
        notebook = new_notebook(
            cells=[
                new_markdown_cell(f"# {name}"),
                new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
                *(new_code_cell(cell) for cell in cells),
            ],
            metadata={"kernelspec": KERNEL},
        )
        nbformat.write(notebook, folder / f"{name}.ipynb")
        files = {"writes": list(writes), "reads": list(reads), "archive": list(archive)}
        entries[name] = Chapter(title=name, needs=list(needs), **files, **more)

    monkeypatch.setattr(chapters, "NOTEBOOKS", folder)
    for module in (chapters, replicate):
        monkeypatch.setattr(module, "load_chapters", lambda: entries)
    return open_run("demo", root=tmp_path / "runs"), add


def run_chapter(name, run):
    return execute(name, run, {"profile": "demo", "root": str(run.root.parent)}, progress=False)


def test_a_chapter_is_up_to_date_until_something_it_reads_or_wrote_changes(book):
    run, add = book
    add("01_first", WRITE)
    assert not is_up_to_date("01_first", run)
    run_chapter("01_first", run)
    assert is_up_to_date("01_first", run)
    assert (run.root / "notebooks" / "01_first.html").is_file()
    table = run.root / "tables" / "number.csv"
    table.write_text("x,2")
    assert not is_up_to_date("01_first", run)
    table.write_text("x,1")
    assert is_up_to_date("01_first", run)
    more = run.profile.model_copy(update={"workers": run.profile.workers + 1})
    assert is_up_to_date("01_first", replace(run, profile=more))  # no result depends on it
    other = run.profile.model_copy(update={"seed": run.profile.seed + 1})
    assert not is_up_to_date("01_first", replace(run, profile=other))
    add("01_first", WRITE, "1 + 1")
    assert not is_up_to_date("01_first", run)


def test_a_chapter_is_redone_when_results_of_an_earlier_one_change(book):
    run, add = book
    add("01_first", WRITE)
    add("02_second", "1 + 1", needs=["01_first"], writes=["figures/*"])
    run_chapter("01_first", run)
    run_chapter("02_second", run)
    assert is_up_to_date("02_second", run)
    (run.root / "tables" / "number.csv").write_text("x,2")
    assert not is_up_to_date("02_second", run)


def test_a_change_of_the_profile_makes_a_chapter_out_of_date(book):
    run, add = book
    add("01_first", WRITE)
    run_chapter("01_first", run)
    other = open_run("demo", root=run.root.parent, tasks="cap")
    assert not is_up_to_date("01_first", other)


def test_a_chapter_is_redone_when_a_coder_has_decided_more(book):
    run, add = book
    add("01_first", "1 + 1", reads=["decisions/**/*.jsonl"])
    run_chapter("01_first", run)
    assert is_up_to_date("01_first", run)
    with open(run.path("decisions", "cap", "ann.jsonl"), "a") as log:
        log.write("{}\n")
    assert not is_up_to_date("01_first", run)


def test_a_chapter_is_redone_when_files_of_the_authors_have_come(book, tmp_path):
    _, add = book
    run = open_run("demo", tmp_path / "runs", upstream=tmp_path / "files")
    add("01_first", WRITE, archive=["cap/*"])
    run_chapter("01_first", run)
    assert is_up_to_date("01_first", run)
    for folder, current in (("flourishing", True), ("cap", False)):
        path = tmp_path / "files" / folder
        path.mkdir(parents=True)
        name = {"cap": "cap_codebook.xlsx", "flourishing": "models.csv"}[folder]
        (path / name).write_text("another content counts as another state")
        assert is_up_to_date("01_first", run) is current


def test_the_review_reads_the_coders_decisions():
    assert chapters.load_chapters()["03_verification"].reads == ["decisions/**/*.jsonl"]


def test_no_chapter_writes_what_a_later_one_adds_to():
    """Else its stamp would not fit any more, and a second run would do everything again."""
    for name, chapter in chapters.load_chapters().items():
        folders = {pattern.split("/")[0] for pattern in chapter.writes}
        assert not folders & {"responses", "embeddings", "decisions", "performance"}, name


def test_times_are_no_results(book):
    run, add = book
    add("01_first", WRITE, writes=["tables/*", "models/*"])
    run_chapter("01_first", run)
    run.path("models", "performance.json").write_text("{}")
    assert is_up_to_date("01_first", run)


def test_a_failing_cell_is_named_and_the_notebook_up_to_it_is_kept(book):
    run, add = book
    add("01_first", "done = 'this ran'\nprint(done)", "1 / 0")
    with pytest.raises(ChapterError, match=r"01_first failed in cell 4.*ZeroDivisionError"):
        run_chapter("01_first", run)
    kept = json.dumps(nbformat.read(run.root / "notebooks" / "01_first.ipynb", as_version=4))
    assert "this ran" in kept and "ZeroDivisionError" in kept
    assert not is_up_to_date("01_first", run)


def test_a_misspelt_parameter_is_refused_before_anything_runs(book):
    run, add = book
    add("01_first", WRITE)
    with pytest.raises(ChapterError, match=r"no parameter profil .*knows profile, root"):
        execute("01_first", run, {"profil": "demo"}, progress=False)
    assert not (run.root / "tables").exists()


def test_an_unknown_chapter_lists_the_known_ones(book):
    _, add = book
    add("01_first")
    with pytest.raises(ChapterError, match="no chapter '01_frist': choose one of 01_first"):
        check_parameters("01_frist", {})


def test_the_shipped_chapters_exist_and_need_earlier_ones_only():
    names = list(chapters.load_chapters())
    assert names == sorted(names)
    for name, chapter in chapters.load_chapters().items():
        check_parameters(name, {"profile": "", "root": "", "upstream": "", "tasks": ""})
        assert all(names.index(needed) < names.index(name) for needed in chapter.needs)


def test_replicate_stops_at_the_failing_chapter_and_goes_on_there(book, capfd):
    run, add = book
    # The chapters run in processes of their own, which know only the shipped book.
    calls = []

    def pretend(name, run, arguments):
        calls.append(name)
        execute(name, run, {"profile": "demo", "root": str(run.root.parent)}, progress=False)
        return True

    add("01_first", WRITE)
    add("02_second", "1 / 0", needs=["01_first"], writes=["figures/*"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replicate, "_run_chapter", pretend)
        assert replicate.replicate(run, [], []) != 0
        assert calls == ["01_first", "02_second"]
        add("02_second", "1 / 1", needs=["01_first"], writes=["figures/*"])
        assert replicate.replicate(run, [], []) == 0
    assert calls == ["01_first", "02_second", "02_second"]
    assert "01_first  is up to date" in capfd.readouterr().out


@pytest.fixture
def pretended(book, monkeypatch):
    """The book, with chapters that are functions: name -> what it does."""
    run, add = book
    work: dict[str, object] = {}
    monkeypatch.setattr(replicate, "_run_chapter", lambda name, *_: work[name]() is not False)
    monkeypatch.setattr(replicate.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(replicate, "MEMORY", 1)
    monkeypatch.setattr(replicate, "_manifest", lambda run: {})

    def chapter(name, does=lambda: None, **more):
        add(name, **more)
        work[name] = does

    return run, chapter


def test_a_light_chapter_runs_beside_others_and_heavy_ones_take_turns(pretended):
    run, chapter = pretended
    met = threading.Barrier(2, timeout=60)
    heavy, most = [], []

    def takes_turns():
        heavy.append(1)
        most.append(len(heavy))
        time.sleep(0.05)
        heavy.pop()

    chapter("01_first", met.wait, light=True)  # each waits until the other runs too
    chapter("02_second", takes_turns, needs=["01_first"])
    chapter("03_third", takes_turns, needs=["01_first"])
    chapter("08_alone", met.wait, light=True)
    assert replicate.replicate(run, [], []) == 0
    assert most == [1, 1]


def test_a_failing_chapter_stops_what_needs_it_and_lets_the_others_end(pretended):
    run, chapter = pretended
    met, done = threading.Barrier(2, timeout=60), []

    def fails():
        met.wait()
        return False

    def goes_on():
        met.wait()
        time.sleep(0.2)
        done.append("08_alone")

    chapter("01_first", fails, light=True)
    chapter("02_second", lambda: done.append("02_second"), needs=["01_first"])
    chapter("08_alone", goes_on, light=True)
    assert replicate.replicate(run, [], []) != 0
    assert done == ["08_alone"]


def test_how_many_chapters_run_at_a_time_depends_on_cores_and_memory(book):
    run, _ = book
    run = replace(run, profile=run.profile.model_copy(update={"workers": 2, "threads": 1}))
    gib = replicate.GIB
    found = [replicate.places(run, *c) for c in ((1, 64 * gib), (2, 64 * gib), (4, 64 * gib))]
    assert found == [1, 1, 2]
    assert replicate.places(run, 16, 6 * gib) == 1
    on_gpu = replace(run, profile=run.profile.model_copy(update={"device": "cuda"}))
    assert replicate.places(on_gpu, 16, 64 * gib) == 1


WITH_A_CHAPTER = """
import os, subprocess, sys
env = os.environ | {"HELPERS_ENDS_WITH": str(os.getpid())}
command = [sys.executable, "-c", sys.argv[1], *sys.argv[2:]]
print(subprocess.Popen(command, env=env).pid, flush=True)
input()
"""
SLOW_CHAPTER = """
import sys
from pathlib import Path
from helpers import chapters
from helpers.chapters import Chapter
from helpers.runs import open_run
chapters.NOTEBOOKS = Path(sys.argv[1])
chapters.load_chapters = lambda: {"01_first": Chapter(title="", needs=[], writes=[])}
run = open_run("demo", root=sys.argv[2])
parameters = {"profile": "demo", "root": sys.argv[2]}
chapters.execute("01_first", run, parameters, progress=False)
"""


def test_a_killed_run_leaves_no_chapter_and_no_kernel(book, tmp_path):
    run, add = book
    started = tmp_path / "kernel"
    add(
        "01_first",
        f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(300)",
    )
    command = [sys.executable, "-c", WITH_A_CHAPTER, SLOW_CHAPTER]
    command += [str(tmp_path / "notebooks"), str(run.root.parent)]
    env = os.environ | {"PYTHONPATH": str(chapters.REPO / "src")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    parent = subprocess.Popen(command, env=env, **pipes)
    chapter = psutil.Process(int(parent.stdout.readline()))
    wait_until(lambda: started.is_file() and started.read_text())
    kernel = psutil.Process(int(started.read_text()))
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([chapter, kernel], timeout=60)
    assert not alive


def wait_until(ready):
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_command_line_turns_errors_into_messages(capsys):
    assert main(["chapter", "01_data", "--profile", "dmeo"]) == 1
    assert "error: no profile 'dmeo'" in capsys.readouterr().err


def test_no_chapter_depends_on_code_that_is_left_out_of_its_stamp():
    left_out = tuple(f"helpers.{name}" for name in chapters.AFTERWARDS)
    code = chapters.REPO / "src" / "helpers"
    sources = {str(p): p.read_text(encoding="utf-8") for p in code.rglob("*.py")}
    for name in chapters.load_chapters():
        cells = nbformat.read(chapters.NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
        sources[name] = "\n".join(c.source for c in cells if c.cell_type == "code")
    apart = [str(code / name) + os.sep for name in chapters.AFTERWARDS]
    used = [
        (name, line)
        for name, text in sources.items()
        if not name.startswith(tuple(apart))
        for line in text.splitlines()
        if line.strip().startswith(("from", "import")) and any(w in line for w in left_out)
    ]
    assert [(os.path.basename(name), line) for name, line in used] == [
        ("replicate.py", "from helpers.report import PAGE, make_report")  # after all chapters
    ]
