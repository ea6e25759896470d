"""`make replicate`: the chapters as doit tasks, in order, each only if something changed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from doit.cmd_base import TaskLoader2
from doit.doit_cmd import DoitMain
from doit.exceptions import TaskFailed
from doit.reporter import ConsoleReporter
from doit.task import Task as DoitTask

from helpers.chapters import ChapterError, is_up_to_date, load_chapters
from helpers.runs import Run, versions, write_json, write_performance


class _Reporter(ConsoleReporter):
    """One line a chapter; the error itself was already printed by the chapter."""

    def execute_task(self, task: DoitTask) -> None:
        print(f"{task.name}  {task.doc}", flush=True)

    def skip_uptodate(self, task: DoitTask) -> None:
        print(f"{task.name}  is up to date", flush=True)

    def add_failure(self, task: DoitTask, fail: Any) -> None:
        if not isinstance(fail, TaskFailed):
            super().add_failure(task, fail)

    def complete_run(self) -> None:
        pass


def _tree_memory(process: psutil.Process) -> int:
    """Return the resident memory of a process and all below it, in bytes."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _watch(pid: int, peak: list[int], stop: threading.Event) -> None:
    while not stop.wait(0.5):
        try:
            peak[0] = max(peak[0], _tree_memory(psutil.Process(pid)))
        except psutil.NoSuchProcess:
            return


def _run_chapter(name: str, run: Run, arguments: list[str]) -> bool | TaskFailed:
    """Run one chapter in a process of its own and note its time and memory."""
    command = [sys.executable, "-m", "helpers", "chapter", name, *arguments]
    threads = str(run.profile.threads)
    env = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONHASHSEED": "0"}
    began = time.perf_counter()
    child = subprocess.Popen(command, env=env)
    peak, stop = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(child.pid, peak, stop), daemon=True)
    watcher.start()
    try:
        code = child.wait()
    except BaseException:
        child.terminate()
        raise
    finally:
        stop.set()
        watcher.join()
    seconds = time.perf_counter() - began
    if code != 0:
        return TaskFailed(f"{name}: exit status {code}")
    _note(run, name, seconds, peak[0] / 2**20)
    print(f"{name}  done in {seconds:.0f} s, peak memory {peak[0] / 2**30:.1f} GiB", flush=True)
    return True


def _note(run: Run, name: str, seconds: float, memory: float) -> None:
    path = run.path("performance", "chapters.csv")
    rows = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["chapter"])
    row = {"chapter": name, "seconds": round(seconds, 1), "peak_memory_mib": round(memory)}
    rows = pd.concat([rows[rows["chapter"] != name], pd.DataFrame([row])])
    write_performance(run, "chapters", rows.sort_values("chapter"))


class _Loader(TaskLoader2):
    """Gives doit the chapters; knows no dodo file."""

    def __init__(self, run: Run, arguments: list[str], force: bool) -> None:
        super().__init__()
        self.run, self.arguments, self.force = run, arguments, force

    def load_doit_config(self) -> dict[str, Any]:
        return {
            "dep_file": str(self.run.path(".doit.db")),
            "backend": "sqlite3",
            "reporter": _Reporter,
            "verbosity": 2,
            "num_process": 0,  # one after another: each chapter uses all workers itself
        }

    def load_tasks(self, cmd: Any, pos_args: list[str]) -> list[DoitTask]:
        return [
            DoitTask(
                name,
                [(_run_chapter, [name, self.run, self.arguments])],
                task_dep=chapter.needs,
                uptodate=[(_fresh, [name, self.run, self.force])],
                doc=chapter.title,
            )
            for name, chapter in load_chapters().items()
        ]


def _fresh(name: str, run: Run, force: bool) -> bool:
    return not force and is_up_to_date(name, run)


def replicate(run: Run, arguments: list[str], chapters: list[str], force: bool = False) -> int:
    """Run chapters (default: all) with all that they need; return the exit status.

    Parameters
    ----------
    run : profile and folders.
    arguments : options that the ``chapter`` command of each chapter is given.
    chapters : names; those that they need are added.
    force : execute even what is up to date (trainings that are done are still skipped).
    """
    if unknown := [name for name in chapters if name not in load_chapters()]:
        raise ChapterError(f"no chapter {unknown[0]}: choose from {', '.join(load_chapters())}")
    began = time.perf_counter()
    status = int(DoitMain(_Loader(run, arguments, force)).run(["run", *chapters]))
    if status == 0:
        write_json(run.path("manifest.json"), _manifest(run))
        print(f"all chapters done in {time.perf_counter() - began:.0f} s\n")
        print(summary(run))
    return status


def _manifest(run: Run) -> dict[str, Any]:
    from helpers.chapters import chapter_inputs

    return {
        "profile": run.profile.model_dump(),
        "versions": versions(),
        "chapters": {name: chapter_inputs(name, run)["files"] for name in load_chapters()},
    }


HEADLINES = {"accuracy": "accuracy", "jaccard": "Jaccard", "hamming_loss": "Hamming loss"}


def summary(run: Run) -> str:
    """Return the main results as a short text table, and where to look."""
    path = run.root / "tables" / "metrics.csv"
    lines = []
    if path.is_file():
        rows = pd.read_csv(path)
        rows = rows[(rows["split"] == "test") & rows["metric"].isin(HEADLINES)]
        lines.append(f"Test set, profile {run.profile.name} (95% bootstrap intervals over texts)")
        for (task, metric), part in rows.groupby(["task", "metric"], sort=True):
            lines.append(f"\n  {task}: {HEADLINES[metric]}")
            part = part.sort_values("value", ascending=metric == "hamming_loss")
            for row in part.itertuples():
                lines.append(
                    f"    {row.model:<18} {row.value:6.3f}  [{row.ci_low:.3f}, {row.ci_high:.3f}]"
                    f"  n={row.n}"
                )
    root = Path(os.path.relpath(run.root))
    lines += [
        "",
        f"read:    {root / 'notebooks'}/*.html   (the executed chapters)",
        f"figures: {root / 'figures'}/    tables: {root / 'tables'}/",
    ]
    return "\n".join(lines)
