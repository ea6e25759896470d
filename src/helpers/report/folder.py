"""A run's folder as the page sees it: tables, figures, links, and which chapters there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
from pydantic import ValidationError

from helpers import chapters
from helpers.executed import places
from helpers.profiles import Profile
from helpers.report.blocks import Link, Missing, Picture, Sheet
from helpers.report.notebooks import Notebook
from helpers.report.pictures import embed
from helpers.report.words import NONE
from helpers.runs import Run
from helpers.tasks import Task, TaskError, load_task

# Names stay text: a label may be called 7 or NA.
NAMES = (
    *("task", "model", "label", "name", "labels", "labeller", "coder", "method", "split", "metric"),
    *(
        "source",
        "reference",
        "predictor",
        "statistic",
        "rule",
        "scheme",
        "group",
        "target",
        "verdict",
    ),
    *("in_words", "status", "chapter", "exhibit", "claim", "figure", "needs", "of", "variant"),
)


class Chapter(NamedTuple):
    """One chapter in this run: ``done``, ``begun`` (stopped before its end) or ``absent``."""

    name: str
    number: str
    title: str
    state: str


class RunFolder:
    """What a run has left, read only once and never changed.

    A table that is absent, unreadable or lacks a column is an empty frame; the last two are noted
    in `problems`.

    Parameters
    ----------
    run : Run
        Its profile is replaced by the one in ``manifest.json``, which is what was really run.
    """

    def __init__(self, run: Run) -> None:
        self.root = run.root
        self.places = places({str(run.root.parent): "runs", str(run.upstream): "<upstream>"})
        self.problems: list[str] = []
        self.manifest = self._json("manifest.json")
        self.profile = self._profile(run.profile)
        self.wanted = chapters.wanted_chapters(replace(run, profile=self.profile))
        self._notebooks: dict[str, Notebook] = {}
        self._tables: dict[str, pd.DataFrame | None] = {}

    def _json(self, name: str) -> dict[str, Any]:
        path = self.root / name
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            content = None
        if not isinstance(content, dict):
            self.problems.append(f"{name} could not be read")
            return {}
        return content

    def _profile(self, given: Profile) -> Profile:
        if "profile" not in self.manifest:
            return given
        try:
            return Profile.model_validate(self.manifest["profile"])
        except ValidationError:
            self.problems.append("manifest.json has settings of another version of this package")
            return given

    # --- chapters -------------------------------------------------------------------------------

    @cached_property
    def chapters(self) -> list[Chapter]:
        """All chapters of the package, and whether this run has them."""
        return [
            Chapter(name, self.notebook(name).number, entry.title, self._state(name))
            for name, entry in chapters.load_chapters().items()
        ]

    def _state(self, name: str) -> str:
        if (self.root / "chapters" / f"{name}.json").is_file():
            return "done"
        return "begun" if (self.root / "notebooks" / f"{name}.ipynb").is_file() else "absent"

    def chapter(self, number: str) -> Chapter | None:
        """Return the chapter of a number, e.g. ``"05"``."""
        return next((c for c in self.chapters if c.name.startswith(f"{number}_")), None)

    def why_missing(self, number: str) -> str:
        """Say why there is nothing from a chapter."""
        chapter = self.chapter(number)
        if chapter is None:
            return f"this version has no chapter {number}"
        what = f"chapter {chapter.number} ({chapter.title})"
        return {
            "absent": f"{what} is not part of this run" + self._left_out(chapter.name),
            "begun": f"{what} was begun and did not finish",
            "done": f"{what} has run, and left nothing of this kind",
        }[chapter.state]

    def _left_out(self, name: str) -> str:
        """Say whether the profile or whoever started the run left a chapter out."""
        return "" if name in self.wanted else ", since its profile leaves it out"

    @cached_property
    def machines(self) -> list[dict[str, Any]]:
        """Types of machine that the chapters noted, each once."""
        found: list[dict[str, Any]] = []
        for chapter in self.chapters:
            noted = self._json(f"chapters/{chapter.name}.json").get("machine")
            if isinstance(noted, dict) and noted not in found:
                found.append(noted)
        return found

    def chapter_of(self, file: str) -> str:
        """Return the number of the chapter that writes a file, by its patterns."""
        for name, entry in chapters.load_chapters().items():
            if any(fnmatch(file, pattern) for pattern in entry.writes):
                return self.notebook(name).number
        return NONE

    def notebook(self, name: str) -> Notebook:
        """Return an executed chapter."""
        return self._notebooks.setdefault(name, Notebook(self.root, name))

    def notebook_link(self, number: str, made: str = "") -> list[Link]:
        """Return the link to a chapter of this run, or to the section that made something."""
        chapter = self.chapter(number)
        link = self.notebook(chapter.name).link(made) if chapter else None
        return [link] if link else []

    # --- tasks ----------------------------------------------------------------------------------

    @cached_property
    def tasks(self) -> list[str]:
        """Tasks of the run, in the order of its profile."""
        return list(self.profile.tasks)

    def task(self, name: str) -> Task | None:
        """Return a task; None where its file is gone, which a page can do without."""
        try:
            return load_task(name)
        except TaskError:
            return None

    def title(self, name: str) -> str:
        """Return a task's readable title."""
        task = self.task(name)
        return task.title if task else name

    # --- tables ---------------------------------------------------------------------------------

    def table(self, name: str, *columns: str, folder: str = "tables") -> pd.DataFrame:
        """Return ``tables/<name>.csv``, or an empty frame with these columns."""
        key = f"{folder}/{name}"
        if key not in self._tables:
            self._tables[key] = self._read(self.root / folder / f"{name}.csv", key)
        frame = self._tables[key]
        if frame is None:
            return pd.DataFrame(columns=list(columns))
        if lacking := [column for column in columns if column not in frame]:
            self._note(f"{key}.csv lacks the column {', '.join(lacking)}")
            return pd.DataFrame(columns=list(columns))
        return frame

    def _read(self, path: Path, key: str) -> pd.DataFrame | None:
        if not path.is_file():
            return None
        try:
            kinds = dict.fromkeys(NAMES, str)
            return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=kinds)
        except (ValueError, OSError) as error:  # pandas' and decoding errors are ValueErrors
            self._note(f"{key}.csv could not be read ({type(error).__name__})")
            return None

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def csv_link(self, name: str, folder: str = "tables") -> list[Link]:
        """Return the link to a table's file, if it is there."""
        there = (self.root / folder / f"{name}.csv").is_file()
        return [Link(f"{folder}/{quote(name)}.csv", f"{name}.csv")] if there else []

    def sheet(
        self,
        table: str,
        caption: str,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        chapter: str = "",
        folder: str = "tables",
        words: Sequence[int] = (0,),
        folded: bool = False,
    ) -> Sheet:
        """Return a block with rows from a table, linked to its file and its notebook."""
        links = self.csv_link(table, folder)
        links += self.notebook_link(chapter, table) if chapter else []
        return Sheet(caption, head, rows, words, links, folded)

    # --- figures --------------------------------------------------------------------------------

    @cached_property
    def figures(self) -> list[str]:
        """Names of all saved figures, without suffix."""
        folder = self.root / "figures"
        return sorted({p.stem for s in ("svg", "png") for p in folder.glob(f"*.{s}")})

    def task_figures(self, prefix: str, task: str) -> list[str]:
        """Names of figures ``<prefix>_<task>`` and ``<prefix>_<task>_<more>`` of this very task."""
        known = [*self.profile.tasks, *self.profile.describe_only]
        longer = [other for other in known if other != task and other.startswith(task)]
        start = f"{prefix}_{task}"
        return [
            name
            for name in self.figures
            if (name == start or name.startswith(f"{start}_"))
            and not any(name.startswith(f"{prefix}_{other}") for other in longer)
        ]

    def picture(
        self, name: str, alt: str, caption: str, tables: Sequence[str] = ()
    ) -> Picture | Missing:
        """Return a figure as a block, linked to its file, its notebook and its tables."""
        folder = self.root / "figures"
        image = embed(folder, name)
        if image is None:
            return Missing(f"The figure {name} could not be read.")
        suffix = "svg" if (folder / f"{name}.svg").is_file() else "png"
        links = self.notebook_link(name.split("_")[0], name)
        links += [link for table in tables for link in self.csv_link(table)]
        return Picture(*image, alt, caption, f"figures/{quote(name)}.{suffix}", links)
