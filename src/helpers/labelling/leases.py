"""Who is asking what at the moment, so that several processes do not ask the same question.

A process that claims keys holds leases on them. A lease ends when the answer is saved, when it is
given back, when its process is dead, or when it has not been renewed in time.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sqlite3
import time
from collections.abc import Iterable
from typing import NamedTuple

import psutil

from helpers.labelling.database import select_in

# A process's start is reckoned from the time at which the system started, which moves when the
# clock is set. Taking a dead process for a living one costs a wait, the reverse costs a second
# request; hence wide. The same number (pid) is not given again so soon.
START_TOLERANCE = 60.0  # seconds


class Owner(NamedTuple):
    """A process: the machine (or container) it runs on, its number and its start (Unix time)."""

    host: str
    pid: int
    started: float


def this_process() -> Owner:
    """Return the process that runs this."""
    return Owner(_host(), os.getpid(), psutil.Process().create_time())


@functools.cache
def _host() -> str:
    # Containers may share a host name, but number their processes apart.
    with contextlib.suppress(OSError):
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    return platform.node()


def is_dead(owner: Owner) -> bool:
    """Return whether a process is known to be gone; of other machines nothing is known."""
    if owner.host != _host():
        return False
    try:
        process = psutil.Process(owner.pid)
        return (
            process.status() == psutil.STATUS_ZOMBIE
            or abs(process.create_time() - owner.started) > START_TOLERANCE
        )
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def claim(
    connection: sqlite3.Connection, keys: Iterable[str], owner: Owner, store: str, lease: float
) -> set[str]:
    """Take leases of `lease` seconds on all keys that are neither answered nor being asked.

    Returns
    -------
    The keys that `owner` may ask for now; its own earlier leases are among them.
    """
    free, now = set(keys), time.time()
    answered = "SELECT key FROM responses WHERE status != 'error' AND key IN"
    free -= {key for (key,) in select_in(connection, answered, tuple(free))}
    leased = "SELECT key, expires, host, pid, started FROM leases WHERE key IN"
    dead = functools.cache(is_dead)
    for key, expires, *other in select_in(connection, leased, tuple(free)):
        holder = Owner(*other)
        if holder != owner and expires > now and not dead(holder):
            free.discard(key)
    connection.executemany(
        "INSERT OR REPLACE INTO leases (key, host, pid, started, store, expires) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [(key, *owner, store, now + lease) for key in sorted(free)],
    )
    return free


def release(connection: sqlite3.Connection, keys: Iterable[str], owner: Owner) -> None:
    """Give back leases of this owner; others stay."""
    connection.executemany(
        "DELETE FROM leases WHERE key = ? AND host = ? AND pid = ? AND started = ?",
        [(key, *owner) for key in keys],
    )


def renew(connection: sqlite3.Connection, store: str, lease: float) -> None:
    """Prolong all leases that were taken through this store object."""
    expires = time.time() + lease
    connection.execute("UPDATE leases SET expires = ? WHERE store = ?", (expires, store))


def release_all(connection: sqlite3.Connection, store: str) -> None:
    """Give back all leases that were taken through this store object."""
    connection.execute("DELETE FROM leases WHERE store = ?", (store,))
