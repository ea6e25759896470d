"""Chapters: executed when something changed, refused when misspelt, clear when they fail."""

import json

import nbformat
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

    def add(name: str, *cells: str, needs=(), writes=("tables/*",), reads=(), archive=()):
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
        entries[name] = Chapter(title=name, needs=list(needs), **files)

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


def test_the_command_line_turns_errors_into_messages(capsys):
    assert main(["chapter", "01_data", "--profile", "dmeo"]) == 1
    assert "error: no profile 'dmeo'" in capsys.readouterr().err
