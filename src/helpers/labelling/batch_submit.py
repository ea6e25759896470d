"""Submitting to the Batch API: each question once, whatever happens on the way.

A batch gets a token, which is saved before the batch is created and sent along with it.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from helpers.labelling import wire
from helpers.labelling.batch_calls import BatchError, BatchServer
from helpers.labelling.costs import Budget, BudgetReached
from helpers.labelling.questions import Asked
from helpers.labelling.sending import Setup
from helpers.labelling.store import Batch, ResponseStore


@dataclass(frozen=True)
class Limits:
    """Largest input file of a batch; the defaults are OpenAI's (requests, bytes)."""

    requests: int = 50_000
    size: int = 200_000_000


class RequestFile:
    """Requests for one batch, written to a nameless temporary file.

    The file holds texts; without a name, it's gone with the process, however that ends.

    Attributes
    ----------
    keys : of the requests, in order.
    size : bytes.
    handle : the file.
    """

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.size = 0
        self.handle: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (outlives this)

    def add(self, key: str, line: bytes) -> None:
        """Append one request."""
        self.handle.write(line)
        self.size += len(line)
        self.keys.append(key)


def request_line(key: str, url: str, body: dict[str, Any]) -> bytes:
    """Return one line of a request file, with its line end."""
    line = {"custom_id": key, "method": "POST", "url": url, "body": body}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


@dataclass
class Running:
    """A batch that the server works on, and the US dollars reserved for it."""

    record: Batch
    batch_id: str
    reserved: float
    completed: int = 0


class Submitter:
    """Finds the batches of earlier runs, and submits what is in none.

    Attributes
    ----------
    wanted : request key -> question.
    claimed : keys that the store keeps for this process.
    tried : keys that need not be submitted (again) by this call.
    reserved : US dollars set aside and not settled.
    submitted, resumed : numbers of batches.
    """

    def __init__(
        self,
        setup: Setup,
        store: ResponseStore,
        server: BatchServer,
        wanted: dict[str, Asked],
        limits: Limits,
    ) -> None:
        self.wanted = wanted
        self.claimed: set[str] = set()
        self.tried: set[str] = set()
        self.reserved = 0.0
        self.submitted = self.resumed = 0
        self._setup, self._store, self._server, self._limits = setup, store, server, limits
        self._budget = setup.budget or Budget(None)

    def missing(self) -> list[str]:
        """Return the wanted keys without an answer."""
        return self._unanswered(self.wanted)

    def claim(self, keys: list[str]) -> list[str]:
        """Return those of the keys that no other process is asking for."""
        mine = self._store.claim(keys).result() if keys else set()
        self.claimed |= mine
        return [key for key in keys if key in mine]

    def is_worthwhile(self, keys: list[str], share: float) -> bool:
        """Say whether what is left of the budget allows this share of the keys."""
        costs = itertools.accumulate(self.request(key)[1] or 0.0 for key in keys)
        allowed = sum(1 for cost in costs if cost <= self._budget.left)
        return allowed >= share * len(keys)

    def settle(self, reserved: float, actual: float) -> None:
        """Turn a reservation into what was spent."""
        self._budget.settle(reserved, actual)
        self.reserved -= reserved

    def give_back(self) -> None:
        """Give back claims and reservations; a batch that goes on is found by the next run."""
        self.settle(self.reserved, 0.0)
        if self.claimed:
            self._store.release(sorted(self.claimed)).result()

    def resume(self, ended: set[str]) -> list[Running]:
        """Return the batches, submitted before, that hold missing answers.

        Parameters
        ----------
        ended : tokens of batches to leave out: they were read.
        """
        missing, found = set(self.missing()), []
        for record in self._store.batches(self._setup.identity):
            other = record.model != self._setup.labeller.model or record.token in ended
            known = [key for key in record.keys if key in missing]
            if other or not known:
                continue
            if batch_id := record.batch_id or self._find_or_drop(record):
                self.claim(known)
                most = sum(self.request(key)[1] or 0.0 for key in known)
                found.append(Running(record, batch_id, self._reserve(most, force=True)))
                self.resumed += 1
        return found

    def _find_or_drop(self, record: Batch) -> str | None:
        """Find a batch whose process ended before its name was saved; drop it if there is none."""
        free = self._unanswered(record.keys)
        mine = self._store.claim(free).result()
        try:
            if len(mine) < len(free):  # its process lives, and is about to create it
                return None
            since = datetime.fromisoformat(record.created)
            batch = self._server.find(record.token, since) if record.input_file else None
            if batch is None:
                self._store.update_batch(record.token, status="done")
                return None
            self._store.update_batch(record.token, batch_id=batch.id, status=batch.status)
            return batch.id
        finally:
            self._store.release(sorted(mine - self.claimed)).result()

    def submit(self, keys: list[str], running: list[Running]) -> BudgetReached | None:
        """Submit requests in as many files as the limits need; stop where the budget does."""
        file, reserved, stop = RequestFile(), 0.0, None
        for key in keys:
            line, most = self.request(key)
            if len(line) > self._limits.size:
                raise BatchError(
                    f"text '{self.wanted[key].text_id}' alone is larger than an input file of the "
                    f"Batch API may be ({self._limits.size:,} bytes). Shorten it, or leave it out."
                )
            full = len(file.keys) >= self._limits.requests
            if file.keys and (full or file.size + len(line) > self._limits.size):
                running.append(self._send(file, reserved))
                file, reserved = RequestFile(), 0.0
            try:
                reserved += self._reserve(most)
            except BudgetReached as error:
                stop = error
                break
            file.add(key, line)
        if file.keys:
            running.append(self._send(file, reserved))
        return stop

    def request(self, key: str) -> tuple[bytes, float | None]:
        """Return a request's line of the input file, and the most that it can cost."""
        setup = self._setup
        body = wire.body(self.wanted[key], setup.labeller, setup.endpoint)
        line = request_line(key, self._server.url, body)
        most = setup.prices.worst_case(body, "batch", size=len(line), base_url=setup.base_url)
        return line, most

    def _reserve(self, amount: float | None, *, force: bool = False) -> float:
        """Reserve in the budget, and remember it for `give_back`."""
        reserved = self._budget.reserve(amount, force=force)
        self.reserved += reserved
        return reserved

    def _send(self, file: RequestFile, reserved: float) -> Running:
        """Upload a file and create its batch; each step is saved before the next is taken."""
        token = uuid.uuid4().hex
        model, identity = self._setup.labeller.model, self._setup.identity
        self._store.add_batch(token, identity, model, file.keys)
        uploaded = self._server.upload(f"{token}.jsonl", file.handle)
        file.handle.close()
        self._store.update_batch(token, input_file=uploaded)
        batch = self._server.create(token, uploaded)
        self._store.update_batch(token, batch_id=batch.id, status=batch.status)
        self.tried.update(file.keys)
        self.submitted += 1
        return Running(Batch(token, identity, model, tuple(file.keys)), batch.id, reserved)

    def _unanswered(self, keys: Iterable[str]) -> list[str]:
        keys = list(keys)
        known = self._store.get(keys)
        return [key for key in keys if key not in known or known[key].status == "error"]
