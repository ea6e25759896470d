"""Is the package installed as it should be? One line a question, each with what to do."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import pandas as pd

import helpers
from helpers import limits
from helpers.hosted import pins
from helpers.offline_model import PACKAGE, OfflineModelError, source_folder
from helpers.preflight import DISK_GIB
from helpers.runs import REPO

GIB = 2**30
PYTHONS = ((3, 11), (3, 14))  # from, and below
DEMO_MEMORY, SMOKE_MEMORY = 4.5, 2.0
"""GiB: what the demo's largest chapter takes with two workers, and what `smoke` needs with one."""
WORDS = {"ok": "✓ ok", "note": "○ note", "problem": "✗ problem"}


@dataclass(frozen=True)
class Check:
    """One line of the list.

    Attributes
    ----------
    what : what was looked at.
    state : ``ok``; ``note``: works, but read it; ``problem``: chapters will fail.
    found : what is there, in words.
    remedy : what to do (empty where all is well).
    """

    what: str
    state: Literal["ok", "note", "problem"]
    found: str
    remedy: str = ""


def installation(runs: Path = REPO / "runs") -> list[Check]:
    """Look at Python, packages, the offline model, memory, disk and the kernel.

    Parameters
    ----------
    runs : folder of all runs, whose disk is looked at.
    """
    return [
        check_python(sys.version_info[:2]),
        check_packages(pins()),
        check_model(),
        check_memory(limits.free_memory(), limits.cores(), limits.memory_limit()),
        check_disk(runs),
        check_kernel(Path(sys.prefix), Path(helpers.__file__)),
    ]


def check_python(running: tuple[int, int]) -> Check:
    """Compare Python's version with those that the package is made for."""
    low, high = PYTHONS
    found = platform.python_version() if running == sys.version_info[:2] else f"{running}"
    if low <= running < high:
        return Check("Python", "ok", found)
    return Check(
        "Python",
        "problem",
        f"{found}; the pinned packages exist for 3.11 to 3.13",
        "install Python 3.11, 3.12 or 3.13, then: make setup PYTHON=python3.11",
    )


def check_packages(wanted: dict[str, str]) -> Check:
    """Compare installed packages with ``requirements.txt``; a tag such as ``+cpu`` is no matter."""
    missing, other = [], []
    for name, pin in wanted.items():
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            missing.append(name)
            continue
        if found != pin:
            other.append(f"{name} {found} instead of {pin}")
    same = len(wanted) - len(missing) - len(other)
    found = f"{same} of {len(wanted)} packages as pinned in requirements.txt"
    if missing:
        return Check(
            "packages",
            "problem",
            f"{found}; not installed: {_some(missing)}",
            "make setup (without make: pip install -r requirements.txt)",
        )
    if other:
        remedy = "results can differ from those of the package; `make setup` installs the pins"
        return Check("packages", "note", f"{found}; {_some(other)}", remedy)
    return Check("packages", "ok", found)


def check_model() -> Check:
    """Check the weights of the offline model by their SHA-256."""
    try:
        source_folder()
    except OfflineModelError as error:
        found, _, remedy = str(error).rpartition(": ")
        return Check("offline model", "problem", found, remedy)
    return Check("offline model", "ok", f"{PACKAGE}: weights have the expected SHA-256")


def check_memory(free: int, cores: int, limit: int | None = None) -> Check:
    """Say what the free memory is enough for."""
    of = f" (this container may use {limit / GIB:.1f} GiB)" if limit else ""
    found = f"{free / GIB:.1f} GiB free{of}, {cores} core{'s' if cores > 1 else ''}"
    if free >= DEMO_MEMORY * GIB:
        return Check("memory", "ok", found)
    if free >= SMOKE_MEMORY * GIB:
        remedy = "the demo will train one model at a time, which takes longer; smoke is no problem"
        return Check("memory", "note", found, remedy)
    return Check(
        "memory", "problem", found, f"close other programs: even smoke needs {SMOKE_MEMORY:.0f} GiB"
    )


def check_disk(runs: Path) -> Check:
    """Say whether a run has room."""
    folder = next(path for path in [runs, *runs.resolve().parents] if path.exists())
    free, needed = shutil.disk_usage(folder).free / GIB, DISK_GIB["cpu"]
    found = f"{free:.0f} GiB free, a run of the demo takes 2"
    if free >= needed:
        return Check("disk", "ok", found)
    remedy = f"free some space: a run starts with {needed} GiB or more"
    return Check("disk", "problem", f"{free:.1f} GiB free", remedy)


def check_kernel(prefix: Path, code: Path) -> Check:
    """Say which Python this notebook runs in, and whether it takes this folder's code."""
    if REPO not in code.resolve().parents:
        return Check(
            "kernel",
            "problem",
            "`helpers` comes from another folder than this one",
            "open JupyterLab with `make lab`, or: pip install --no-deps -e .",
        )
    if prefix.resolve() == (REPO / ".venv").resolve():
        return Check("kernel", "ok", "the package's own environment, .venv")
    remedy = "fine if the packages above are as pinned; `make lab` uses the package's own"
    return Check("kernel", "note", "another environment than .venv", remedy)


def verdict(checks: Sequence[Check]) -> str:
    """Return the list as a Markdown table, and a sentence that sums it up."""
    rows = pd.DataFrame([vars(check) for check in checks])
    lines = ["| looked at | | found | what to do |", "|---|---|---|---|"]
    for row in rows.itertuples():
        lines.append(f"| {row.what} | {WORDS[row.state]} | {row.found} | {row.remedy} |")
    bad = [check.what for check in checks if check.state == "problem"]
    last = f"**Not ready:** {', '.join(bad)}." if bad else "**Ready.** All chapters can be run."
    return "\n".join([*lines, "", last])


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
