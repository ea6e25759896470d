"""Ask an endpoint many questions at a time, and save each answer before it counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from helpers.labelling.costs import dollars
from helpers.labelling.network import make_client
from helpers.labelling.questions import Asked, Response
from helpers.labelling.retries import traffic_of
from helpers.labelling.sending import Sender, Setup, Stopped
from helpers.labelling.store import ResponseStore, StoreError

POLL = 0.25  # seconds between looks at what another process has answered


@dataclass
class Asking:
    """One call of a labeller: asks what is missing, and knows what came back.

    Parameters
    ----------
    todo : key -> question, in the order in which they are asked.
    earlier : key -> tries of answers that failed before.
    bar : progress bar (tqdm) or None.

    Attributes
    ----------
    done : key -> response, each committed to the store.
    stop : set it (on the network loop) to send nothing more.
    """

    setup: Setup
    store: ResponseStore
    todo: dict[str, Asked]
    earlier: dict[str, int]
    bar: Any = None
    done: dict[str, Response] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._unclaimed = deque(self.todo)
        self._ready: deque[str] = deque()
        self._elsewhere: list[str] = []
        self._claimed: set[str] = set()
        self._claiming: asyncio.Task[None] | None = None
        self._sender: Sender
        self._cost = 0.0

    async def run(self) -> None:
        """Ask everything, then wait for what other processes are asking.

        Raises
        ------
        EndpointError, BudgetReached, StoreError
            After the requests in flight have ended and their answers are saved.
        """
        setup = self.setup
        client = make_client(setup.endpoint, setup.base_url, setup.key, offline=setup.offline)
        traffic = traffic_of(setup.endpoint, setup.base_url)
        self._sender = Sender(setup, client, traffic, self.stop)
        try:
            while not self.stop.is_set():
                await self._work()
                if not await self._look_elsewhere():
                    break
        finally:
            await client.close()
            if left := self._claimed - self.done.keys():
                with contextlib.suppress(StoreError):  # the error that stopped the run counts
                    await asyncio.wrap_future(self.store.release(sorted(left)))

    async def _work(self) -> None:
        # Some more workers than slots: an answer that is being saved keeps no slot from sending.
        size = self.setup.endpoint.concurrency
        workers = min(size + size // 2 + 1, len(self._unclaimed) + len(self._ready))
        tasks = {asyncio.create_task(self._worker()) for _ in range(workers)}
        if not tasks:
            return
        failing = asyncio.create_task(asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION))
        stopping = asyncio.create_task(self.stop.wait())
        await asyncio.wait({failing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if pending := {task for task in tasks if not task.done()}:
            self.stop.set()
            _, late = await asyncio.wait(pending, timeout=self.setup.endpoint.timeout + 5)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        stopping.cancel()
        await failing
        errors = [task.exception() for task in tasks if not task.cancelled()]
        for error in errors:
            if error is not None:
                raise error

    async def _worker(self) -> None:
        with contextlib.suppress(Stopped):
            while (key := await self._next()) is not None:
                response = await self._sender.answer(key, self.todo[key])
                # Only what is on disk counts as answered.
                await asyncio.wrap_future(self.store.save(response))
                self._note(response)
                self._sender.check_service(response.error)

    def _note(self, response: Response) -> None:
        self.done[response.key] = response
        self._cost += response.cost or 0.0
        if self.bar is not None:
            self.bar.set_postfix_str(dollars(self._cost), refresh=False)
            self.bar.update()

    # --- which question is next -------------------------------------------------------------------

    async def _next(self) -> str | None:
        size = self.setup.endpoint.concurrency
        while not self.stop.is_set():
            if self._unclaimed and self._claiming is None and len(self._ready) < size:
                self._claiming = asyncio.create_task(self._claim(4 * size))
            if self._ready:
                return self._ready.popleft()
            if self._claiming is None:
                return None
            await asyncio.shield(self._claiming)
        return None

    async def _claim(self, number: int) -> None:
        # A window at a time: what is left, another process may take.
        try:
            window = [self._unclaimed.popleft() for _ in range(min(number, len(self._unclaimed)))]
            granted = await asyncio.wrap_future(self.store.claim(window))
            self._claimed |= granted
            self._ready.extend(key for key in window if key in granted)
            self._elsewhere.extend(key for key in window if key not in granted)
        finally:
            self._claiming = None

    async def _look_elsewhere(self) -> bool:
        """Collect answers of other processes until there is something to ask or nothing left."""
        while self._elsewhere and not self.stop.is_set():
            found = await asyncio.to_thread(self.store.get, self._elsewhere)
            for key, response in found.items():
                # An error counts if it is a new one: asked by the other process meanwhile.
                if response.status != "error" or response.attempts > self.earlier.get(key, 0):
                    self._note(response)
            self._unclaimed.extend(key for key in self._elsewhere if key not in self.done)
            self._elsewhere = []
            if not self._unclaimed:
                return False
            await self._claim(len(self._unclaimed))
            if self._ready:
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), POLL)
        return False
