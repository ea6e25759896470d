"""Calls to a server of OpenAI's Batch API that outlast its bad days."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

from helpers.labelling import wire
from helpers.labelling.network import EndpointError, make_client, network_loop, scrub
from helpers.labelling.retries import REMEDIES, Fault, Hopeless, status_fault
from helpers.labelling.sending import Setup

if TYPE_CHECKING:
    from openai.types import Batch as ServerBatch

T = TypeVar("T")

NOT_THERE = (404, 410)


class BatchError(EndpointError):
    """The server refuses a batch, or cannot be reached; what was answered before is saved."""


class NotThere(BatchError):
    """The server knows no batch or file of this name."""


@dataclass(frozen=True)
class Patience:
    """How a server is waited for.

    Attributes
    ----------
    first, longest : seconds between two looks at a batch (or tries of a call), at first and at
        most.
    unreachable : seconds for which the server may be out of reach.
    upload : seconds for an input file.
    """

    first: float = 5.0
    longest: float = 120.0
    unreachable: float = 3600.0
    upload: float = 900.0


class BatchServer:
    """The server's side of the Batch API.

    Faults that may pass (429, 5xx, lost connections, garbage) are tried again with backoff and
    jitter, honouring Retry-After. Calls block, and run on the network loop, so that they work
    inside a notebook's own running loop.

    Raises
    ------
    BatchError
        From every call, if the server refuses for good, or cannot be reached for long.
    """

    def __init__(self, setup: Setup, patience: Patience) -> None:
        self._setup, self._patience = setup, patience
        self._client = make_client(setup.endpoint, setup.base_url, setup.key, offline=setup.offline)
        self.url = f"/v1{wire.PATHS[setup.endpoint.api]}"

    def close(self) -> None:
        """Close the connections."""
        asyncio.run_coroutine_threadsafe(self._client.close(), network_loop()).result()

    def upload(self, name: str, handle: IO[bytes]) -> str:
        """Upload a file of requests, and return the server's name of it."""

        async def call() -> str:
            handle.seek(0)
            file = (name, handle)
            timeout = self._patience.upload
            return (await self._client.files.create(file=file, purpose="batch", timeout=timeout)).id

        return self._patiently(lambda: self._once(call))

    def create(self, token: str, input_file: str) -> ServerBatch:
        """Create a batch once, even where the reply to a first try was lost."""
        tries, now = itertools.count(), datetime.now(UTC)

        async def call() -> ServerBatch:
            batch = await self._client.batches.create(
                input_file_id=input_file,
                endpoint=self.url,  # type: ignore[arg-type]
                completion_window="24h",
                metadata={"token": token},
            )
            return _checked(batch)

        def find_or_create() -> ServerBatch:
            known = self._once(self._search(token, now)) if next(tries) else None
            return known or self._once(call)

        return self._patiently(find_or_create)

    def find(self, token: str, since: datetime) -> ServerBatch | None:
        """Look for the batch that was created with a token, at `since` or later."""
        return self._patiently(lambda: self._once(self._search(token, since)))

    def retrieve(self, batch_id: str) -> ServerBatch:
        """Return a batch as it is now."""

        async def call() -> ServerBatch:
            return _checked(await self._client.batches.retrieve(batch_id))

        return self._patiently(lambda: self._once(call))

    def download(self, file_id: str) -> bytes:
        """Return the content of a file, without the key should the server echo it."""

        async def call() -> bytes:
            timeout = self._patience.upload
            return (await self._client.files.content(file_id, timeout=timeout)).content

        content = self._patiently(lambda: self._once(call))
        return scrub(content.decode("utf-8", "replace"), self._setup.key).encode()

    def _search(
        self, token: str, since: datetime
    ) -> Callable[[], Coroutine[Any, Any, ServerBatch | None]]:
        oldest = (since - timedelta(days=1)).timestamp()  # clocks differ

        async def call() -> ServerBatch | None:
            async for batch in self._client.batches.list(limit=100):  # newest first
                if (batch.metadata or {}).get("token") == token:
                    return batch
                if batch.created_at < oldest:
                    break
            return None

        return call

    def _patiently(self, function: Callable[[], T]) -> T:
        from tenacity import (
            RetryCallState,
            Retrying,
            retry_if_exception_type,
            stop_after_delay,
            wait_random_exponential,
        )

        backoff = wait_random_exponential(self._patience.first, self._patience.longest)

        def wait(state: RetryCallState) -> float:
            fault = state.outcome.exception() if state.outcome else None
            asked = fault.retry_after if isinstance(fault, Fault) else None
            return (asked or 0.0) + backoff(state)

        stop = stop_after_delay(self._patience.unreachable)
        retry = retry_if_exception_type(Fault)
        try:
            return Retrying(stop=stop, wait=wait, retry=retry, reraise=True)(function)
        except Fault as fault:
            said = f"{fault} (for {self._patience.unreachable:.0f} s)"
        self._fail(said, "Is the server there? Batches that it has go on.")

    def _once(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        from openai import APIConnectionError, APIStatusError

        future = asyncio.run_coroutine_threadsafe(make(), network_loop())
        try:
            return future.result()
        except APIConnectionError as error:  # timeouts too
            raise Fault(f"{type(error.__cause__ or error).__name__}: {error}") from None
        except APIStatusError as error:
            code = error.status_code
            judged = status_fault(code, error.response.headers, error.body)
        except ValueError as error:
            raise Fault(f"unreadable reply: {error}"[:300]) from None
        finally:
            future.cancel()  # an interrupt came first
        if isinstance(judged, Fault):
            raise judged
        said, *remedies = judged.args
        known = REMEDIES.get(code, "Check mode, api and model in the profile.")
        remedy = str(remedies[0]) if remedies and isinstance(judged, Hopeless) else known
        self._fail(str(said), remedy, NotThere if code in NOT_THERE else BatchError)

    def _fail(self, said: str, remedy: str, kind: type[BatchError] = BatchError) -> NoReturn:
        setup = self._setup
        remedy = remedy.replace(
            "{variable}", setup.endpoint.api_key_env or "(api_key_env is empty)"
        )
        remedy = remedy.replace("{model}", setup.labeller.model)
        text = (
            f"labeller '{setup.name}', endpoint '{setup.labeller.endpoint}' at {setup.base_url}: "
            f"{said}. {remedy} What was answered so far is saved, and submitted batches are "
            "remembered; run again to go on."
        )
        raise kind(scrub(text, setup.key))


def _checked(batch: ServerBatch) -> ServerBatch:
    # Of a reply that is no JSON the client returns the text, unchecked.
    if not isinstance(getattr(batch, "id", None), str) or not getattr(batch, "status", None):
        raise ValueError("the reply is no batch")
    return batch
