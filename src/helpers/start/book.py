"""The map of the chapters: what each asks, what it needs, whether it was run, how long it takes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.chapters import (
    NOTEBOOKS,
    Chapter,
    code_of_chapters,
    load_chapters,
    wanted_chapters,
)
from helpers.runs import REPO, Run, file_sha256, versions

STATES = ("never run", "up to date", "out of date")
TIMES = REPO / "docs" / "times.csv"
"""Measured seconds and memory of each chapter: profile, chapter, seconds, peak_memory_mib."""
QUESTION = re.compile(r"\*\*Question\.\*\*\s+(.*?)(?:\n\s*\n|$)", re.DOTALL)


def chapter_map(run: Run) -> pd.DataFrame:
    """Return what there is to know about every chapter of a run.

    Returns
    -------
    One row a chapter that the profile runs, in reading order: chapter, title, question, needs
    (numbers of the chapters that must have run), state (one of `STATES`), minutes (of the last run
    here, else as measured on two cores), measured (``here``, ``on 2 cores`` or empty).
    """
    here, there = _seconds(run.root / "performance" / "chapters.csv"), _published(run.profile.name)
    rows = []
    chapters = load_chapters()
    for name in wanted_chapters(run):
        chapter = chapters[name]
        seconds = here.get(name, there.get(name))
        row = {
            "chapter": name,
            "title": chapter.title,
            "question": question(NOTEBOOKS / f"{name}.ipynb"),
            "needs": ", ".join(needed.split("_")[0] for needed in chapter.needs),
            "state": chapter_state(name, chapter, run),
            "minutes": seconds / 60 if seconds is not None else float("nan"),
            "measured": "here" if name in here else "on 2 cores" if name in there else "",
        }
        rows.append(row)
    return pd.DataFrame(rows)


def chapter_state(name: str, chapter: Chapter, run: Run) -> str:
    """Say whether a chapter was run, and whether what it read and wrote is as it was then.

    Notes
    -----
    `helpers.chapters.is_up_to_date` reads all models for this, gigabytes. Here only files that are
    newer than the chapter's stamp are read, as `make` would do it; whoever changes a file and turns
    its clock back is not found out. `make replicate` has the last word.
    """
    stamp = run.root / "chapters" / f"{name}.json"
    if not stamp.is_file() or not (run.root / "notebooks" / f"{name}.ipynb").is_file():
        return "never run"
    done, since = json.loads(stamp.read_text(encoding="utf-8")), stamp.stat().st_mtime
    inputs: dict[str, Any] = done["inputs"]
    profile = run.profile.model_dump(mode="json")
    same = (
        # Settings that no result depends on (workers) are not in the stamp.
        all(profile.get(key) == value for key, value in inputs["profile"].items())
        and inputs["versions"] == versions()
        and _code(inputs["files"]) == {f.relative_to(REPO).as_posix() for f in code_of_chapters()}
        and _unchanged(inputs["files"], REPO, since)
        and _unchanged(inputs["earlier"] | done["outputs"], run.root, since)
    )
    return "up to date" if same else "out of date"


def question(notebook: Path) -> str:
    """Return the first question of a chapter's opening cell."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    found = QUESTION.search("".join(cells[0]["source"]))
    text = " ".join(found[1].split()) if found else ""
    asked = re.search(r"[^.?!]*\?", text)
    return asked[0].strip() if asked else text


def links(table: pd.DataFrame, run: Run) -> str:
    """Return the map as a Markdown table that links to notebooks and executed pages.

    JupyterLab opens relative links from where the landing notebook lies, ``notebooks/``; executed
    pages lie under ``runs/``, so its root has to be the repository.
    """
    lines = ["| chapter | question | needs | state | minutes |", "|---|---|---|---|---|"]
    for row in table.itertuples():
        page = run.root / "notebooks" / f"{row.chapter}.html"
        target = Path(os.path.relpath(page, NOTEBOOKS)).as_posix()
        read = f" ([page]({target}))" if page.is_file() else ""
        lines.append(
            f"| [{row.chapter}]({row.chapter}.ipynb){read} | {row.question} | {row.needs or '-'} "
            f"| {row.state} | {_minutes(row.minutes, row.measured)} |"
        )
    return "\n".join(lines)


def _minutes(minutes: float, measured: str) -> str:
    if pd.isna(minutes):
        return "not measured"
    number = f"{minutes:.0f}" if minutes >= 9.5 else f"{minutes:.1f}"
    return f"{number}, measured {measured}" if measured == "here" else f"about {number} {measured}"


def _seconds(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    return dict(pd.read_csv(path)[["chapter", "seconds"]].itertuples(index=False, name=None))


def _published(profile: str) -> dict[str, float]:
    rows = pd.read_csv(TIMES)
    rows = rows[rows["profile"] == profile]
    return dict(rows[["chapter", "seconds"]].itertuples(index=False, name=None))


def _code(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.startswith("src/helpers/")}


def _unchanged(recorded: dict[str, str], folder: Path, since: float) -> bool:
    for name, sha256 in recorded.items():
        path = folder / name
        if not path.is_file():
            return False
        if path.stat().st_mtime > since and file_sha256(path) != sha256:
            return False
    return True
