"""`make replicate`: the chapters as doit tasks, in order, each only if something changed.

Most chapters use all workers themselves, so they take turns; a machine with cores and memory for
twice the workers runs two of them at a time. Chapters that are `light` (one core, little memory)
run beside the others. Nothing but files connects chapters, so the order changes no result.
"""

from __future__ import annotations

import contextlib
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

from helpers import limits
from helpers.chapters import (
    ENDS_WITH,
    NO_BAR,
    Chapter,
    is_up_to_date,
    load_chapters,
    wanted_chapters,
)
from helpers.profiles import HelpersError
from helpers.report import PAGE, make_report
from helpers.runs import Run, versions, write_json, write_performance

GIB = 2**30
MEMORY = 5 * GIB
"""Free memory that a chapter with two workers may need, with some to spare."""
_NOTES = threading.Lock()


class _Reporter(ConsoleReporter):
    """One line a chapter, when it starts; the error itself was already printed by the chapter."""

    def execute_task(self, task: DoitTask) -> None:
        pass

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


def places(run: Run, cores: int, memory: int) -> int:
    """Return how many chapters that use all workers may run at a time.

    Parameters
    ----------
    run : its profile says how many workers with how many threads each a chapter uses.
    cores : of this machine.
    memory : free, in bytes.
    """
    if run.profile.device != "cpu":
        return 1  # they would share one GPU's memory
    by_cores = cores // (run.profile.workers * run.profile.threads)
    return max(1, min(by_cores, memory // MEMORY))


def _run_chapter(name: str, run: Run, arguments: list[str]) -> bool | TaskFailed:
    """Run one chapter in a process of its own and note its time and memory."""
    command = [sys.executable, "-m", "helpers", "chapter", name, *arguments]
    threads = str(run.profile.threads)
    env = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONHASHSEED": "0"}
    env[ENDS_WITH] = str(os.getpid())
    if load_chapters()[name].light:
        env[NO_BAR] = "1"
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
    with _NOTES:
        _note(run, name, seconds, peak[0] / 2**20)
    print(f"{name}  done in {seconds:.0f} s, peak memory {peak[0] / GIB:.1f} GiB", flush=True)
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
        cores, memory = limits.cores(), limits.free_memory()
        self.places = places(run, cores, memory)
        self.beside = int(cores > 1 and memory > MEMORY)  # one light chapter
        self._free = threading.Semaphore(self.places)
        if self.places > 1:
            os.environ[NO_BAR] = "1"

    def load_doit_config(self) -> dict[str, Any]:
        return {
            "dep_file": str(self.run.path(".doit.db")),
            "backend": "sqlite3",
            "reporter": _Reporter,
            "verbosity": 2,
            "par_type": "thread",
            "num_process": 0 if self.places + self.beside == 1 else self.places + self.beside,
        }

    def load_tasks(self, cmd: Any, pos_args: list[str]) -> list[DoitTask]:
        return [
            DoitTask(
                name,
                [(self._in_turn, [name, chapter])],
                io={"capture": False},  # doit would exchange sys.stdout, which threads share
                task_dep=chapter.needs,
                uptodate=[(_fresh, [name, self.run, self.force])],
                doc=chapter.title,
            )
            for name, chapter in load_chapters().items()
        ]

    def _in_turn(self, name: str, chapter: Chapter) -> bool | TaskFailed:
        """Run a chapter, once there is room for it; a light one needs none."""
        with contextlib.nullcontext() if chapter.light else self._free:
            print(f"{name}  {chapter.title}", flush=True)
            return _run_chapter(name, self.run, self.arguments)


def _fresh(name: str, run: Run, force: bool) -> bool:
    return not force and is_up_to_date(name, run)


def replicate(run: Run, arguments: list[str], chapters: list[str], force: bool = False) -> int:
    """Run chapters with all that they need; return the exit status.

    Parameters
    ----------
    run : profile and folders.
    arguments : options that the ``chapter`` command of each chapter is given.
    chapters : names (default: those of the profile); those that they need are added.
    force : execute even what is up to date (trainings that are done are still skipped).
    """
    wanted = wanted_chapters(run, chapters)
    began = time.perf_counter()
    status = int(DoitMain(_Loader(run, arguments, force)).run(["run", *wanted]))
    if status == 0:
        write_json(run.path("manifest.json"), _manifest(run))
        print(f"all chapters done in {time.perf_counter() - began:.0f} s\n")
        status = _report(run)
        print(summary(run))
    return status


def _report(run: Run) -> int:
    """Write the report page; say so if that fails, which takes nothing from the chapters."""
    try:
        make_report(run)
    except (HelpersError, OSError) as error:
        print(
            f"error: no report page ({error})\n  again: python -m helpers.report", file=sys.stderr
        )
        return 1
    return 0


def _manifest(run: Run) -> dict[str, Any]:
    from helpers.chapters import chapter_inputs

    return {
        "profile": run.profile.model_dump(),
        "versions": versions(),
        "chapters": {name: chapter_inputs(name, run)["files"] for name in wanted_chapters(run)},
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
    page = run.root / PAGE
    first = [f"look at: {root / PAGE}   (in a browser)", ""] if page.is_file() else []
    lines += [
        "",
        f"read:    {root / 'notebooks'}/*.html   (the executed chapters)",
        f"figures: {root / 'figures'}/    tables: {root / 'tables'}/",
    ]
    return "\n".join([*first, *lines])
