"""The response store: every answer that was paid for is kept, and none is asked for twice.

A store is one SQLite file. It belongs on a local disk: SQLite's log (WAL) does not work across
machines. To carry answers elsewhere, export them (`helpers.labelling.archive`); a copy of the file
alone lacks what still stands in its log.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers.labelling import leases
from helpers.labelling.database import (
    COLUMNS,
    DAMAGED,
    INSERT,
    SELECT,
    Refused,
    StoreError,
    connect,
    explained,
    response_of,
    row_of,
    select_in,
)
from helpers.labelling.questions import Response
from helpers.labelling.writer import Writer

__all__ = ["Batch", "Conflict", "ResponseStore", "StoreError"]

_WITH_KEY = f"{SELECT} WHERE key IN"
# A batch is open until its answers are in the store, whatever the endpoint says about it.
CLOSED = ("done",)


class Conflict(Refused):
    """The store holds another answer to the same request; `key` names it."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Batch:
    """A job of many requests that an endpoint works through by itself.

    Attributes
    ----------
    token : our name of the job, made before it is sent.
    endpoint, model, keys : who is asked what.
    batch_id, input_file, output_file, error_file : the endpoint's names, once known.
    status : the endpoint's, or ``done``: its answers are in the store.
    created : UTC time.
    """

    token: str
    endpoint: str
    model: str
    keys: tuple[str, ...]
    batch_id: str | None = None
    input_file: str | None = None
    output_file: str | None = None
    error_file: str | None = None
    status: str = "new"
    created: str = ""


class ResponseStore:
    """All raw responses of a run, on disk as soon as they are acknowledged.

    Any number of threads may use a store, and several processes one file. Writing returns
    futures, which resolve when the data are on disk, or carry a `StoreError`.

    Parameters
    ----------
    path : the SQLite file; it and its folder are made if there are none.
    lease : seconds after which the claims of a process that gives no sign of life are free.

    Raises
    ------
    StoreError
        If the file is something else, damaged, of another version, or cannot be written.
    """

    def __init__(self, path: Path, *, lease: float = 300.0) -> None:
        self.path = Path(path).resolve()
        self._owner, self._name, self._lease = leases.this_process(), uuid.uuid4().hex, lease
        self._idle: list[sqlite3.Connection] = []
        with explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = Writer(self.path, lambda c: leases.renew(c, self._name, lease), lease / 3)
        atexit.register(self.close)

    def __enter__(self) -> ResponseStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def commits(self) -> int:
        """Number of transactions so far; far fewer than answers when many are saved at once."""
        return self._writer.commits

    def get(self, keys: Sequence[str]) -> dict[str, Response]:
        """Return the responses with these keys, errors included; keys without one are left out."""
        with self._reading() as connection:
            found = {row[0]: response_of(row) for row in select_in(connection, _WITH_KEY, keys)}
        return {key: found[key] for key in keys if key in found}

    def rows(self, task: str | None = None, **equal: str) -> Iterator[Response]:
        """Yield responses in the order of task, model, method, prompt and key.

        Parameters
        ----------
        task : of this task only (default: all).
        equal : further columns and the value that they must have, e.g. ``model="a"``.
        """
        wanted = equal if task is None else {"task": task, **equal}
        if unknown := set(wanted) - set(COLUMNS):
            raise TypeError(f"responses have no {', '.join(sorted(unknown))}")
        where = " AND ".join(f"{column} = ?" for column in wanted) or "1"
        query = f"{SELECT} WHERE {where} ORDER BY task, model, method, prompt, key"
        with self._reading() as connection:
            yield from map(response_of, connection.execute(query, tuple(wanted.values())))

    def groups(self, task: str | None = None) -> list[tuple[str, str, str, str]]:
        """Return all combinations of task, model, method and step, in that order."""
        columns = "task, model, method, step"
        where, values = ("1", ()) if task is None else ("task = ?", (task,))
        query = f"SELECT DISTINCT {columns} FROM responses WHERE {where} ORDER BY {columns}"
        with self._reading() as connection:
            return list(connection.execute(query, values))

    def spent(self) -> float:
        """Return what all responses cost in US dollars, errors that cost included."""
        with self._reading() as connection:
            return float(connection.execute("SELECT TOTAL(cost) FROM responses").fetchone()[0])

    def check(self) -> None:
        """Read the whole file and raise a StoreError if anything in it is damaged."""
        with self._reading() as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            if found != ["ok"]:
                raise StoreError(f"response store {self.path}: {'; '.join(found[:3])}. {DAMAGED}")

    def save(self, response: Response) -> Future[None]:
        """Keep a response; the future resolves when it is on disk.

        An answer is never replaced. An error is, by an answer or by a later error; attempts and
        costs then add up. A claim on the key ends.
        """
        row = row_of(response)

        def operation(connection: sqlite3.Connection) -> None:
            connection.execute(INSERT, row)
            leases.release(connection, [response.key], self._owner)

        return self._submit(operation, keep=True)

    def add(self, responses: Sequence[Response]) -> Future[int]:
        """Add archived responses, all or (if any is in conflict) none; return how many were new.

        Errors among them replace nothing. The future carries a `Conflict` if the store holds
        another answer to the same request.
        """
        given = {response.key: response for response in responses}

        def operation(connection: sqlite3.Connection) -> int:
            known = {row[0]: response_of(row) for row in select_in(connection, _WITH_KEY, given)}
            for key, old in known.items():
                if is_other_answer(old, given[key]):
                    raise Conflict(f"response store {self.path} holds another answer", key)
            new = [
                response
                for key, response in given.items()
                if key not in known or (known[key].status == "error" != response.status)
            ]
            connection.executemany(INSERT, map(row_of, new))
            return len(new)

        return self._submit(operation, keep=True)

    def claim(self, keys: Sequence[str]) -> Future[set[str]]:
        """Claim requests; the future gives the keys that this process may ask for now.

        Those are the keys without an answer (an error is none) that no other living process has
        claimed. Claims of this process itself are given again: it knows what it is asking.
        """
        wanted = tuple(keys)
        return self._submit(lambda c: leases.claim(c, wanted, self._owner, self._name, self._lease))

    def release(self, keys: Sequence[str]) -> Future[None]:
        """Give claims back without an answer."""
        wanted = tuple(keys)
        return self._submit(lambda c: leases.release(c, wanted, self._owner), keep=True)

    def add_batch(self, token: str, endpoint: str, model: str, keys: Sequence[str]) -> None:
        """Record a batch before it is sent; on disk when this returns."""
        created = datetime.now(UTC).isoformat(timespec="seconds")
        values = (token, endpoint, model, json.dumps(list(keys)), Batch.status, created)
        query = (
            "INSERT INTO batches (token, endpoint, model, keys, status, created) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        self._submit(lambda c: c.execute(query, values), keep=True).result()

    def update_batch(self, token: str, **changes: str | None) -> None:
        """Record what has become of a batch; on disk when this returns.

        Parameters
        ----------
        token : of the batch.
        changes : any of ``batch_id``, ``input_file``, ``output_file``, ``error_file``, ``status``.
        """
        allowed = {"batch_id", "input_file", "output_file", "error_file", "status"}
        if unknown := set(changes) - allowed:
            raise TypeError(f"a batch has no {', '.join(sorted(unknown))}")
        query = f"UPDATE batches SET {', '.join(f'{name} = ?' for name in changes)} WHERE token = ?"
        values = (*changes.values(), token)
        if changes and not self._submit(lambda c: c.execute(query, values).rowcount).result():
            raise StoreError(f"response store {self.path} has no batch '{token}'")

    def batches(self, endpoint: str | None = None, *, open_only: bool = True) -> list[Batch]:
        """Return the batches of an endpoint (default: all), oldest first.

        `open_only` leaves out those whose status is ``done``.
        """
        names = [field.name for field in fields(Batch)]
        with self._reading() as connection:
            query = f"SELECT {', '.join(names)} FROM batches ORDER BY rowid"
            found = [dict(zip(names, row, strict=True)) for row in connection.execute(query)]
        return [
            Batch(**{**values, "keys": tuple(json.loads(values["keys"]))})
            for values in found
            if endpoint in (None, values["endpoint"])
            and not (open_only and values["status"] in CLOSED)
        ]

    def close(self) -> None:
        """Finish what is queued, give all claims back, and close the file."""
        atexit.unregister(self.close)
        if os.getpid() != self._owner.pid:
            return
        with contextlib.suppress(StoreError):  # closed before
            self._submit(lambda c: leases.release_all(c, self._name), keep=True)
        while self._idle:
            self._idle.pop().close()
        self._writer.close()

    def _submit(
        self, operation: Callable[[sqlite3.Connection], Any], *, keep: bool = False
    ) -> Future[Any]:
        self._refuse_fork()
        return self._writer.submit(operation, keep=keep)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self._refuse_fork()
        self._writer.refuse_closed()
        with explained(self.path):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = connect(self.path)
            try:
                yield connection
            finally:
                self._idle.append(connection)

    def _refuse_fork(self) -> None:
        if os.getpid() != self._owner.pid:
            raise StoreError(
                f"response store {self.path} was opened by process {self._owner.pid}, which was "
                "forked since. Open it in the process that uses it."
            )


def is_other_answer(old: Response, new: Response) -> bool:
    """Return whether two responses to one request are both answers, and not the same."""
    both = old.status != "error" and new.status != "error"
    return both and (old.status, old.content) != (new.status, new.content)
