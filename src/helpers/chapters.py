"""Chapters: execute one numbered notebook, and know whether it has to be executed again.

A finished chapter leaves a stamp, ``runs/<profile>/chapters/<name>.json``, with the SHA-256 of
all that it read and all that it wrote. It is up to date while both still hold. (doit's own
database would do the same, but it is written when doit ends, so a kill would lose it.)
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from helpers.data.manifest import file_status, read_manifest
from helpers.executed import clean_notebook
from helpers.machine import machine
from helpers.parallel import end_with
from helpers.profiles import PROFILES, REPO, HelpersError, Strict
from helpers.runs import Run, file_sha256, versions, write_json

NOTEBOOKS = REPO / "notebooks"
# Times and memory differ between two runs; no chapter depends on them.
NOT_RESULTS = ("performance.json", "artifact.json", ".lock")
# Packages that work with finished runs, or make what a run reads: no chapter's result is theirs.
AFTERWARDS = ("archive", "checklist", "classify", "newtask", "report", "share", "start")
# Environment variable: the process with which a chapter ends, so that a kill leaves no orphan.
ENDS_WITH = "HELPERS_ENDS_WITH"
NO_BAR = "HELPERS_NO_BAR"  # set: no progress bar, since another chapter may draw one


class ChapterError(HelpersError):
    """A chapter is unknown, was given an unknown parameter, or failed."""


class Chapter(Strict):
    """One entry of ``config/chapters.yaml``; patterns are below the run's folder.

    `archive` has patterns of the authors' files that a chapter reads where they are present;
    `light` says that it uses one core and little memory.
    """

    title: str
    needs: list[str]
    writes: list[str]
    reads: list[str] = []
    archive: list[str] = []
    light: bool = False


def load_chapters() -> dict[str, Chapter]:
    """Read ``config/chapters.yaml``: chapter name -> `Chapter`, in reading order."""
    content = yaml.safe_load((REPO / "config" / "chapters.yaml").read_text(encoding="utf-8"))
    return TypeAdapter(dict[str, Chapter]).validate_python(content)


def _sums(files: Iterable[Path], base: Path) -> dict[str, str]:
    sums = {}
    for path in sorted(set(files)):
        if path.is_file() and not path.name.endswith(NOT_RESULTS):
            key = os.path.relpath(path, base)
            sums[key] = file_sha256(path)
    return sums


def code_of_chapters() -> list[Path]:
    """Return the modules that decide what chapters give: all but those of `AFTERWARDS`."""
    code = REPO / "src" / "helpers"
    return [f for f in code.rglob("*.py") if f.relative_to(code).parts[0] not in AFTERWARDS]


def chapter_inputs(name: str, run: Run) -> dict[str, Any]:
    """Return all that decides what a chapter gives: file sums, resolved profile and versions."""
    chapters = load_chapters()
    files = [NOTEBOOKS / f"{name}.ipynb", REPO / "config" / "models.yaml"]
    files += code_of_chapters()
    files += [REPO / "config" / "tasks" / f"{task}.yaml" for task in run.profile.tasks]
    files += (REPO / "data" / "codebooks").glob("*.csv")
    files += (REPO / "data" / "published").glob("*.csv")
    files += _data_files(run)
    earlier: list[Path] = []
    for needed in chapters[name].needs:
        earlier += _outputs(chapters[needed], run)
    for pattern in chapters[name].reads:
        earlier += run.root.glob(pattern)
    return {
        "files": _sums(files, REPO),
        "earlier": _sums(earlier, run.root),
        "archive": _archive(chapters[name], run),
        # These change time and what else is run, and no result of a chapter.
        "profile": run.profile.model_dump(exclude={"workers", "chapters"}),
        "versions": versions(),
    }


def _data_files(run: Run) -> list[Path]:
    """Return the files that say what the texts are, by the sources of the run's tasks."""
    named = [*run.profile.tasks, *run.profile.describe_only]
    own = [task for task in named if run.profile.source(task) == "own"]
    folders = [REPO / "data" / "own" / task for task in own]
    files = [folder / name for folder in folders for name in ("texts.jsonl", "codebook.csv")]
    if run.profile.data == "embedded":
        return [*files, *(REPO / "data" / "embedded").glob("*.jsonl")]
    if run.profile.data == "own":
        return files
    return [*files, REPO / "data" / "upstream_manifest.csv"]


def wanted_chapters(run: Run, named: Iterable[str] = ()) -> list[str]:
    """Return the chapters to run, in reading order: those named, else those of the profile.

    Raises
    ------
    ChapterError
        If one does not exist.
    """
    known, chosen = load_chapters(), list(named)
    if not chosen:
        of_profile = run.profile.chapters
        chosen = list(known) if of_profile == "all" else of_profile
    if unknown := [name for name in chosen if name not in known]:
        raise ChapterError(f"no chapter {unknown[0]}: choose from {', '.join(known)}")
    return [name for name in known if name in chosen]


def _archive(chapter: Chapter, run: Run) -> dict[str, str]:
    """Return the state of the authors' files: a chapter runs again where some were added."""
    return {
        row.local_path: file_status(run.upstream, row)
        for row in (read_manifest() if chapter.archive else [])
        if any(fnmatch(row.local_path, pattern) for pattern in chapter.archive)
    }


def _outputs(chapter: Chapter, run: Run) -> list[Path]:
    found = [path for pattern in chapter.writes for path in run.root.glob(pattern)]
    return [p for p in found if not any(x.startswith(".") for x in p.relative_to(run.root).parts)]


def _stamp(name: str, run: Run) -> Path:
    return run.path("chapters", f"{name}.json")


def is_up_to_date(name: str, run: Run) -> bool:
    """Whether a chapter's stamp matches what it would read now and what it wrote then."""
    stamp = _stamp(name, run)
    notebook = run.root / "notebooks" / f"{name}.ipynb"
    if not stamp.is_file() or not notebook.is_file():
        return False
    done = json.loads(stamp.read_text(encoding="utf-8"))
    outputs = _sums(_outputs(load_chapters()[name], run), run.root)
    return done["inputs"] == chapter_inputs(name, run) and done["outputs"] == outputs


def check_parameters(name: str, parameters: dict[str, Any]) -> None:
    """Refuse parameters that the notebook does not declare (papermill would only warn).

    Raises
    ------
    ChapterError
        If the chapter does not exist, or a name is not in its cell tagged ``parameters``.
    """
    import papermill

    path = NOTEBOOKS / f"{name}.ipynb"
    if not path.is_file():
        raise ChapterError(f"no chapter '{name}': choose one of {', '.join(load_chapters())}")
    known = papermill.inspect_notebook(str(path))
    if unknown := sorted(set(parameters) - set(known)):
        raise ChapterError(
            f"{name} has no parameter {', '.join(unknown)} (misspelt?): "
            f"it knows {', '.join(known)}. Everything else is set in a profile, {PROFILES.name}/"
        )


def execute(name: str, run: Run, parameters: dict[str, Any], progress: bool) -> float:
    """Execute a chapter with papermill, export it as HTML, and stamp it.

    Parameters
    ----------
    name : chapter, e.g. ``01_data``.
    run : where results go.
    parameters : values for the notebook's cell tagged ``parameters``.
    progress : draw a progress bar over the cells.

    Returns
    -------
    Wall time in seconds.

    Raises
    ------
    ChapterError
        If a cell fails: names chapter, cell and error. The partly executed notebook is kept.
    """
    import papermill

    if parent := os.environ.pop(ENDS_WITH, ""):  # the kernel ends with this process by itself
        threading.Thread(target=end_with, args=(int(parent),), daemon=True).start()
    progress = progress and not os.environ.pop(NO_BAR, "")
    check_parameters(name, parameters)
    inputs = chapter_inputs(name, run)
    _stamp(name, run).unlink(missing_ok=True)
    target = run.path("notebooks", f"{name}.ipynb")
    began = time.perf_counter()
    try:
        papermill.execute_notebook(
            str(NOTEBOOKS / f"{name}.ipynb"),
            str(target),
            parameters=parameters,
            cwd=str(NOTEBOOKS),
            kernel_name="python3",
            progress_bar=progress,
            extra_arguments=["--IPKernelApp.log_level=40"],  # the kernel's errors, not its advice
        )
    except papermill.PapermillExecutionError as error:
        raise ChapterError(
            f"chapter {name} failed in cell {error.cell_index} (In [{error.exec_count}]): "
            f"{error.ename}: {error.evalue}\n"
            f"  the notebook up to that cell: {os.path.relpath(target)}\n"
            "  repair the cause and run the same command again: finished work is kept"
        ) from error
    clean_notebook(target, {str(run.root.parent): "runs", str(run.upstream): "data/upstream"})
    export_html(target)
    outputs = _sums(_outputs(load_chapters()[name], run), run.root)
    write_json(_stamp(name, run), {"inputs": inputs, "outputs": outputs, "machine": machine()})
    return time.perf_counter() - began


def export_html(notebook: Path) -> Path:
    """Write an executed notebook as HTML beside it."""
    import nbformat

    from helpers.pages import page

    target = notebook.with_suffix(".html")
    target.write_text(page(nbformat.read(notebook, as_version=4)), encoding="utf-8")
    return target
