"""What one process may use of this machine: memory and cores, container limits included.

A container (Docker, Binder, a cluster's job) shows the whole machine's memory and cores, and ends
whoever takes more than its own part. Nothing here imports anything heavy.
"""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
MEMORY = ("memory.max", "memory/memory.limit_in_bytes")
"""Where Linux keeps a container's memory limit, in bytes: control groups version 2 and 1."""


def memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Return the bytes of memory that a container or JupyterHub allows; None: no limit is known.

    JupyterHub, and with it Binder, also says so in the environment variable ``MEM_LIMIT``.
    """
    found = []
    for text in [os.environ.get("MEM_LIMIT", ""), *(_read(cgroup / name) for name in MEMORY)]:
        with contextlib.suppress(ValueError):  # "max", or nothing there
            found.append(int(float(text)))
    # Version 1 writes a number beyond any machine where there is no limit.
    below = [limit for limit in found if 0 < limit < psutil.virtual_memory().total]
    return min(below, default=None)


def free_memory(cgroup: Path = CGROUP) -> int:
    """Return the bytes that are free now, or the container's limit where that is less."""
    free = int(psutil.virtual_memory().available)
    limit = memory_limit(cgroup)
    return free if limit is None else min(free, limit)


def cores(cgroup: Path = CGROUP) -> int:
    """Return how many cores this process may use, at least one.

    ``cpu.max`` of a control group holds a quota and a period in microseconds; JupyterHub sets the
    environment variable ``CPU_LIMIT``. A part of a core counts as one.
    """
    if hasattr(os, "sched_getaffinity"):
        found = [float(len(os.sched_getaffinity(0)))]
    else:
        found = [float(os.cpu_count() or 1)]
    with contextlib.suppress(ValueError):
        found.append(float(os.environ.get("CPU_LIMIT", "")))
    with contextlib.suppress(ValueError, ZeroDivisionError):
        quota, period = (float(part) for part in _read(cgroup / "cpu.max").split())
        found.append(quota / period)
    return max(1, math.ceil(min(number for number in found if number > 0)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
