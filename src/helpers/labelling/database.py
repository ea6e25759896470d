"""The SQLite file under the response store: its tables, its rows, and what its errors mean."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from helpers.labelling.questions import Response
from helpers.plans import HelpersError

APPLICATION_ID = 0x52535031  # tells a response store from any other SQLite file
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE responses (
    key TEXT PRIMARY KEY, task TEXT NOT NULL, method TEXT NOT NULL, step TEXT NOT NULL,
    prompt TEXT NOT NULL, text_id TEXT NOT NULL, text_sha256 TEXT NOT NULL,
    endpoint TEXT NOT NULL, model TEXT NOT NULL, sampling TEXT NOT NULL, schema TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'refused', 'truncated', 'error')),
    content TEXT, finish_reason TEXT, error TEXT, confidence REAL, served_model TEXT,
    fingerprint TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL,
    attempts INTEGER NOT NULL, asked_at TEXT NOT NULL, seconds REAL NOT NULL, extra TEXT NOT NULL);
CREATE INDEX responses_in_order ON responses (task, model, method, prompt, key);
CREATE TABLE leases (
    key TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started REAL NOT NULL,
    store TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE batches (
    token TEXT PRIMARY KEY, endpoint TEXT NOT NULL, model TEXT NOT NULL, keys TEXT NOT NULL,
    batch_id TEXT, input_file TEXT, output_file TEXT, error_file TEXT,
    status TEXT NOT NULL, created TEXT NOT NULL);
"""
COLUMNS = tuple(field.name for field in fields(Response))
SELECT = f"SELECT {', '.join(COLUMNS)} FROM responses"
# An answer stays; an error gives way to whatever comes later, and what it cost is not forgotten.
REPLACED = {
    "attempts": "responses.attempts + excluded.attempts",
    "cost": "CASE WHEN responses.cost IS NULL THEN excluded.cost "
    "ELSE responses.cost + COALESCE(excluded.cost, 0) END",
}
INSERT = (
    f"INSERT INTO responses ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    "ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{c} = {REPLACED.get(c, f'excluded.{c}')}" for c in COLUMNS if c != "key")
    + " WHERE responses.status = 'error'"
)

WAIT = 120.0  # seconds to wait for another process that writes
CHUNK = 500  # values in one IN (...); old versions of SQLite take 999 at most


class StoreError(HelpersError):
    """The response store cannot be read or written; the message says what to do."""


class Refused(StoreError):
    """A piece of work contradicts what is in the store."""


# What a single piece of work can be wrong about; the work queued beside it is not to blame.
FAULTY_WORK = (
    Refused,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    ArithmeticError,
    TypeError,
    ValueError,
)
DAMAGED = (
    "The file is damaged, or not a response store. Move it away (with the files of the same name "
    "ending in -wal and -shm) and run again: archived answers come back with "
    "helpers.labelling.archive.import_responses; what else is readable, SQLite's own "
    "`sqlite3 FILE .recover` brings back."
)
REMEDIES = {
    sqlite3.SQLITE_FULL: "The disk is full. What was saved before is intact. Free some space and "
    "run the same command again: it continues where it stopped.",
    sqlite3.SQLITE_IOERR: "The disk does not read or write (is it full, or a quota used up?). What "
    "was saved before is intact. Repair that and run the same command again.",
    sqlite3.SQLITE_BUSY: f"Another program has kept it locked for more than {WAIT:.0f} seconds. "
    "Close that program (a database browser?) and run again.",
    sqlite3.SQLITE_READONLY: "It cannot be written to: check the rights of file and folder.",
    sqlite3.SQLITE_CANTOPEN: "It cannot be opened: check the rights of file and folder.",
}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system into a StoreError with its remedy."""
    try:
        yield
    except FAULTY_WORK:
        raise
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest tells sub-cases apart
        remedy = REMEDIES.get(primary, DAMAGED)
        raise StoreError(f"response store {path}: {error}. {remedy}") from error
    except Timeout as error:
        remedy = REMEDIES[sqlite3.SQLITE_BUSY]
        raise StoreError(f"response store {path}: no lock. {remedy}") from error
    except OSError as error:
        remedy = REMEDIES[sqlite3.SQLITE_CANTOPEN]
        raise StoreError(f"response store {path}: {error}. {remedy}") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection that commits nothing by itself and waits for others that write."""
    connection = sqlite3.connect(
        path, timeout=WAIT, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    # macOS: only a full fsync reaches the disk. Elsewhere these two do nothing.
    connection.execute("PRAGMA fullfsync = 1")
    connection.execute("PRAGMA checkpoint_fullfsync = 1")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, lock: FileLock) -> Iterator[None]:
    """Run a block as one transaction; all processes that use the file take turns.

    SQLite has locks of its own. The file lock is held beyond them, over the checkpoint that a
    commit may start: SQLite before 3.51.3 can lose committed pages when one process writes at
    the very moment at which another copies pages from its log into the database ("The WAL-reset
    bug", sqlite.org/wal.html), and Python brings along whatever version the system has.
    """
    with lock:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def select_in(connection: sqlite3.Connection, query: str, keys: Iterable[str]) -> Iterator[Any]:
    """Yield the rows of a query ending on ``IN``, for any number of keys."""
    rest = iter(keys)
    while part := list(itertools.islice(rest, CHUNK)):
        yield from connection.execute(f"{query} ({', '.join('?' * len(part))})", part)


def prepare(connection: sqlite3.Connection, path: Path, lock: FileLock) -> None:
    """Make the tables of a new file; refuse a file that is not a store of this version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    is_new = (application, version, tables) == (0, 0, 0)
    if application != APPLICATION_ID and not is_new:
        raise StoreError(
            f"{path} is a SQLite file, but not a response store. Choose another path for the store."
        )
    if version != SCHEMA_VERSION and not is_new:
        raise StoreError(
            f"response store {path} has schema version {version}; this package reads version "
            f"{SCHEMA_VERSION}. Export it to an archive with the version of the package that wrote "
            "it, and import the archive into a new store."
        )
    with lock:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"response store {path}: this file system cannot hold it (journal mode {mode}). "
            "Put the folder of runs on a local disk."
        )
    if is_new:
        with transaction(connection, lock):
            # Another process may have made them since.
            if not connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                for statement in SCHEMA.strip().rstrip(";").split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def row_of(response: Response) -> list[Any]:
    """Return a response as a row of the table `responses`."""
    values = [_storable(getattr(response, name)) for name in COLUMNS[:-1]]
    extra = json.dumps(response.extra, ensure_ascii=False, sort_keys=True)
    return [*values, extra.encode("utf-8", "replace").decode("utf-8")]


def response_of(row: tuple[Any, ...]) -> Response:
    """Return a row of the table `responses` as a response."""
    try:
        return Response(*[*row[:-1], json.loads(row[-1])])
    except ValueError as error:
        raise sqlite3.DatabaseError(f"the response with key {row[0]} is unreadable") from error


def _storable(value: Any) -> Any:
    # A server may send half a surrogate pair, which no file can hold; the answer is paid for.
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return None if isinstance(value, float) and not math.isfinite(value) else value
