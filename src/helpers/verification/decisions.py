"""The log of a coder's decisions: each is on disk as soon as it is made.

A log belongs to one coder, holds one JSON object a line, and only ever grows: a decision is never
overwritten, taking one back is an event of its own.
"""

from __future__ import annotations

import json
import os
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from helpers.verification.events import (
    SIMULATED,
    Action,
    Decision,
    DecisionError,
    check_undos,
    decisions_frame,
    effective,
)

__all__ = [
    "SIMULATED",
    "Action",
    "Decision",
    "DecisionError",
    "DecisionLog",
    "TornLineWarning",
    "decisions_frame",
    "effective",
    "log_path",
    "read_logs",
]

# A line cut off by a crash is closed with this by the next write, so that it stays recognisable.
TORN = b"#torn"
LOCK_SECONDS = 10.0
NAME = re.compile(r"[^\W_][\w.-]*")


class TornLineWarning(UserWarning):
    """A log's last write was cut off by a crash; the half-written line is ignored."""


_ADAPTER = TypeAdapter(Decision)


class DecisionLog:
    """The decisions of one coder, in one file that only grows.

    Parameters
    ----------
    path : see `log_path`; made with the first decision.

    Notes
    -----
    `append` returns when its lines are on disk: one write to a file opened for appending, then
    fsync. A lock file beside the log keeps two processes of the same coder apart.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._mutex = threading.Lock()
        self._known: tuple[int, list[Decision]] = (0, [])

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the log against other processes of this coder."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            with FileLock(lock, timeout=LOCK_SECONDS):
                yield
        except Timeout as error:
            raise DecisionError(
                f"{self.path.name} is held by another process since {LOCK_SECONDS:.0f} s: nothing "
                "was saved. Close other windows of this coder, and decide again."
            ) from error

    def append(self, *decisions: Decision) -> list[Decision]:
        """Save decisions, and return them with their numbers and times.

        Raises
        ------
        DecisionError
            If a decision belongs to another coder than the log, an undo names no decision that
            can be taken back, or the file cannot be read or written. Nothing is saved then.
        """
        if not decisions:
            return []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._mutex, self._lock():
            before, end = self._load()
            saved = _numbered(decisions, before, self.path)
            lines = b"".join(_line(decision) for decision in saved)
            size = _append(self.path, end + lines)
            self._known = (size, [*before, *saved])
        return saved

    def read(self) -> list[Decision]:
        """Return all events in their order, with those taken back, and the undo events.

        A line cut off by a crash was never acknowledged: it is reported with a
        `TornLineWarning` and left out.

        Raises
        ------
        DecisionError
            If any other line is wrong: names file and line.
        """
        with self._mutex:
            return list(self._load()[0])

    def effective(self) -> list[Decision]:
        """Return the decisions that count: see `effective`."""
        return effective(self.read())

    def _load(self) -> tuple[list[Decision], bytes]:
        """All events, and what the last line lacks: nothing if the file ends as it should."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size in (0, self._known[0]):
            return (self._known[1] if size else []), b""
        events, end = _read(self.path)
        if not end:
            self._known = (size, events)
        return events, end


def _append(path: Path, data: bytes) -> int:
    """Write and fsync; return the file's new size. A failed write leaves the file as it was."""
    new = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        try:
            if os.write(handle, data) != len(data):
                raise OSError("the disk is full")
            os.fsync(handle)
        except OSError as error:
            os.ftruncate(handle, size)
            raise DecisionError(
                f"{path.name}: the decision could not be saved ({error}). All before it are safe. "
                "Free some space and decide again."
            ) from error
    finally:
        os.close(handle)
    if new:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return size + len(data)


def _read(path: Path) -> tuple[list[Decision], bytes]:
    *lines, rest = path.read_bytes().split(b"\n")
    end = b"\n" if rest else b""  # a whole last line counts: some editors strip its end
    events: list[Decision] = []
    for number, line in enumerate([*lines, rest] if rest else lines, start=1):
        if line.endswith(TORN):
            _warn(path, number)
            continue
        try:
            events.append(_parse(line, len(events) + 1))
        except DecisionError as error:
            if number > len(lines):
                _warn(path, number)
                end = TORN + b"\n"
                continue
            raise DecisionError(
                f"{path.name}, line {number} {error}. Correct the line, or bring the file back "
                "from a copy; do not delete lines."
            ) from error
    check_undos(events, path.name)
    return events, end


def _line(decision: Decision) -> bytes:
    """Write a decision, and make sure that it can be read back."""
    try:
        line = json.dumps(asdict(decision), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise DecisionError(f"text {decision.text_id}: cannot be saved ({error})") from error
    _parse(line, decision.number)
    return line + b"\n"


def _parse(line: bytes, expected: int) -> Decision:
    try:
        event = _ADAPTER.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f" of {name}" for name in first["loc"])
        raise DecisionError(f"is no decision ({first['msg']}{where})") from None
    if event.number != expected:
        raise DecisionError(f"has number {event.number}, expected {expected}: lines are missing")
    return event


def _warn(path: Path, line: int) -> None:
    warnings.warn(
        f"{path.name}, line {line}: cut off by a crash while it was written; it is ignored. "
        "Decide about that text again.",
        TornLineWarning,
        stacklevel=5,
    )


def _numbered(
    decisions: Sequence[Decision], before: Sequence[Decision], path: Path
) -> list[Decision]:
    coder = before[0].coder if before else decisions[0].coder
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    saved = []
    for number, decision in enumerate(decisions, start=len(before) + 1):
        if decision.coder != coder:
            raise DecisionError(
                f"{path.name} is the log of {coder}: decisions of {decision.coder} need their own"
            )
        time = decision.time or ("" if decision.session == SIMULATED else now)
        saved.append(replace(decision, number=number, time=time))
    check_undos([*before, *saved] if any(d.action == "undo" for d in saved) else [], path.name)
    return saved


def log_path(folder: Path, task: str, coder: str) -> Path:
    """Return ``<folder>/<task>/<coder>.jsonl``.

    Raises
    ------
    DecisionError
        If the coder's name cannot be a file name on every system.
    """
    if not NAME.fullmatch(coder):
        raise DecisionError(
            f"coder {coder!r}: a name starts with a letter or digit and has only letters, digits, "
            "'-', '_' and '.'"
        )
    return Path(folder) / task / f"{coder}.jsonl"


def read_logs(folder: Path, task: str) -> list[Decision]:
    """Return the decisions that count of all coders of a task, by coder and number."""
    paths = sorted((Path(folder) / task).glob("[!.]*.jsonl"))
    return [decision for path in paths for decision in DecisionLog(path).effective()]
