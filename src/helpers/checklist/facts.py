"""What a finished run knows about itself; reads files, computes nothing but counts and ranges."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from helpers.chapters import load_chapters
from helpers.comparison.reading import HEADLINES
from helpers.profiles import HelpersError
from helpers.runs import Run
from helpers.tasks import Task, load_task


class ChecklistError(HelpersError):
    """There is no run to answer a checklist from."""


@dataclass(frozen=True)
class Fact:
    """A sentence and where it comes from.

    `varies`: times, memory, versions of code: another run of the same profile may say otherwise.
    """

    text: str
    where: str = ""
    varies: bool = False


@dataclass(frozen=True)
class Facts:
    """A run, read.

    Attributes
    ----------
    run, tasks : the run and its tasks.
    done : chapters that were finished.
    manifest : ``manifest.json`` of the run (empty while it is not finished).
    """

    run: Run
    tasks: list[Task]
    done: list[str]
    manifest: dict[str, Any]
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    def table(self, name: str, folder: str = "tables") -> pd.DataFrame:
        """Return a result table, empty where the run has none; other tasks' rows are left out."""
        path = self.run.root / folder / f"{name}.csv"
        if name not in self._tables:
            frame = pd.DataFrame()
            if path.is_file() and path.read_text(encoding="utf-8").strip():
                frame = pd.read_csv(path, dtype={"label": str}, keep_default_na=True)
            self._tables[name] = frame
        frame = self._tables[name]
        if "task" in frame:
            names = [*(task.name for task in self.tasks), *self.run.profile.describe_only]
            frame = frame[frame["task"].isin(names)]
        return frame

    def of(self, name: str, task: Task) -> pd.DataFrame:
        """Return a task's rows of a result table."""
        frame = self.table(name)
        return frame[frame["task"] == task.name] if "task" in frame else frame.head(0)

    def trained(self) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
        """Return (task, name, manifest, performance) of every finished training."""
        found = []
        for task in self.tasks:
            for path in sorted((self.run.root / "models" / task.name).glob("*/manifest.json")):
                speed = path.with_name("performance.json")
                if speed.is_file():
                    both = (json.loads(p.read_text(encoding="utf-8")) for p in (path, speed))
                    found.append((task.name, path.parent.name, *both))
        return found  # type: ignore[return-value]


def read_facts(run: Run) -> Facts:
    """Read a run.

    Raises
    ------
    ChecklistError
        If chapter 01 was not finished: nothing is known then.
    """
    done = [name for name in load_chapters() if (run.root / "chapters" / f"{name}.json").is_file()]
    if not (run.root / "tables" / "data_splits.csv").is_file():
        raise ChecklistError(
            f"the run '{run.profile.name}' has no results: make replicate "
            f"PROFILE={run.profile.name}, then ask again"
        )
    path = run.root / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return Facts(run, [load_task(name) for name in run.profile.tasks], done, manifest)


def interval(row: Any, value: str = "value", digits: int = 3) -> str:
    """Write a row's value with its 95% interval."""
    low, high = row["ci_low"], row["ci_high"]
    return f"{row[value]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def rows_of(frame: pd.DataFrame) -> list[pd.Series]:
    """Return the rows of a table."""
    return [row for _, row in frame.iterrows()]


def headline(facts: Facts, task: Task) -> pd.DataFrame:
    """Return the rows of a task's headline score on the test texts, best first."""
    rows = facts.of("metrics", task)
    if rows.empty:
        return rows
    rows = rows[(rows["split"] == "test") & (rows["metric"] == HEADLINES[task.label_type])]
    return rows.sort_values("value", ascending=False, kind="stable")


def listed(words: Any, most: int = 8) -> str:
    """Join words with commas; of many, the first ones and how many more."""
    items = [str(word) for word in words]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
