"""The one thread of a process that writes to the response store."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock

from helpers.labelling.database import (
    FAULTY_WORK,
    WAIT,
    Refused,
    StoreError,
    connect,
    explained,
    prepare,
    transaction,
)
from helpers.plans import HelpersError

Result = TypeVar("Result")
Operation = Callable[[sqlite3.Connection], Result]

POLL = 0.002  # seconds between looks at the lock of another process that writes


@dataclass(frozen=True)
class _Work(Generic[Result]):
    operation: Operation[Result]
    keep: bool  # is done even if whoever asked for it no longer waits
    future: Future[Result] = field(default_factory=Future)

    def begin(self) -> bool:
        return self.future.set_running_or_notify_cancel()

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def succeed(self, result: Result) -> None:
        if not self.future.done():
            self.future.set_result(result)


class Writer:
    """One thread that writes: all work that has queued up shares a transaction (group commit).

    Sixty-four savers thus wait for one or two flushes to disk, not for sixty-four.

    Parameters
    ----------
    path : the SQLite file; it is made if there is none.
    regularly, every : work that is also done every so many seconds.

    Attributes
    ----------
    commits : transactions so far.
    """

    def __init__(self, path: Path, regularly: Operation[None], every: float) -> None:
        self.path = path
        self.commits = 0
        self._regularly, self._every = regularly, every
        self._lock = FileLock(f"{path}.lock", timeout=WAIT, poll_interval=POLL, thread_local=False)
        with explained(path):
            self._connection = connect(path)
            try:
                prepare(self._connection, path, self._lock)
            except BaseException:
                self._connection.close()
                raise
        self._queue: queue.SimpleQueue[_Work[Any] | None] = queue.SimpleQueue()
        self._closed, self._guard = False, threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"writer {path.name}", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[Result], *, keep: bool = False) -> Future[Result]:
        """Queue work; its future resolves when what it wrote is on disk."""
        work = _Work(operation, keep)
        with self._guard:
            self.refuse_closed()
            self._queue.put(work)
        return work.future

    def refuse_closed(self) -> None:
        """Raise a StoreError if no more work is taken."""
        if self._closed:
            raise StoreError(f"response store {self.path} is closed. Open it again.")

    def close(self) -> None:
        """Finish all work that has been queued, then close the file."""
        with self._guard:
            was_closed, self._closed = self._closed, True
            self._queue.put(None)
        self._thread.join()
        if not was_closed:
            with explained(self.path), self._lock:
                self._connection.close()

    def _run(self) -> None:
        due, is_open = time.monotonic() + self._every, True
        todo: list[_Work[Any]] = []
        try:
            while is_open:
                works = self._take(max(0.0, due - time.monotonic()))
                is_open = None not in works
                todo = [w for w in works if w and (w.begin() or w.keep)]
                if time.monotonic() >= due:
                    todo.append(_Work(self._regularly, keep=True))
                    due = time.monotonic() + self._every
                if todo:
                    self._commit(todo)
        finally:  # only a defect ends here with work left; nobody may wait for it for ever
            with self._guard:
                self._closed = True
                while not self._queue.empty():
                    todo += [work for work in [self._queue.get()] if work]
            for work in todo:
                work.fail(StoreError(f"response store {self.path}: its writer has stopped."))

    def _take(self, seconds: float) -> list[_Work[Any] | None]:
        works = []
        with contextlib.suppress(queue.Empty):
            works.append(self._queue.get(timeout=seconds))
            while True:
                works.append(self._queue.get_nowait())
        return works

    def _commit(self, works: list[_Work[Any]]) -> None:
        try:
            with explained(self.path), transaction(self._connection, self._lock):
                results = [work.operation(self._connection) for work in works]
        except FAULTY_WORK as error:
            if len(works) > 1:  # find out which it was; the others are done
                for work in works:
                    self._commit([work])
            elif isinstance(error, Refused):
                works[0].fail(error)
            else:
                wrong = StoreError(f"response store {self.path}: cannot be saved: {error}")
                wrong.__cause__ = error
                works[0].fail(wrong)
        except HelpersError as error:
            for work in works:
                work.fail(error)
        else:
            self.commits += 1
            for work, result in zip(works, results, strict=True):
                work.succeed(result)
