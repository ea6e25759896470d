"""A labeller behind an OpenAI-compatible endpoint: OpenAI, Azure, vLLM, Ollama, llama.cpp, ...

Answers come from the store where it has them; the rest is asked, retried and saved one by one, so
that a run can be killed at any moment and goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, wait

from helpers.labelling import wire
from helpers.labelling.asking import Asking
from helpers.labelling.batch_api import fetch_batch
from helpers.labelling.costs import Budget, load_prices
from helpers.labelling.network import (
    EndpointError,
    MissingResponses,
    OfflineError,
    check_address,
    network_loop,
    read_key,
)
from helpers.labelling.parsing import read_answer
from helpers.labelling.questions import Answer, Asked, Response
from helpers.labelling.sending import Setup
from helpers.labelling.store import ResponseStore
from helpers.plans import Endpoint, Labeller

__all__ = ["EndpointError", "EndpointLabeller", "MissingResponses", "OfflineError"]

SHOWN = 5  # text identifiers in an error message


class EndpointLabeller:
    """Asks a model at an endpoint (a `helpers.labelling.questions.Backend`).

    Parameters
    ----------
    labeller, endpoint : as in the profile.
    store : keeps every response; what it has is not asked again.
    name : of the labeller, for messages and the progress bar.
    base_url : address, where it is not that of `endpoint` (a server started for this run).
    identity : what stands for the endpoint in a request's key (default: its address).
    offline : refuse every address that is not on this computer.
    replay : only read the store; open no connection, need no key.
    budget : hard limit of costs, shared by the labellers that are given the same object.
    progress : show a progress bar with the cost so far.
    first_wait : seconds; scale of the waits between tries (they double, with jitter).

    Raises
    ------
    OfflineError
        If `offline` and the address is not on this computer.
    EndpointError
        If the address is malformed, or the environment lacks the key.
    """

    def __init__(
        self,
        labeller: Labeller,
        endpoint: Endpoint,
        store: ResponseStore,
        *,
        name: str,
        base_url: str | None = None,
        identity: str | None = None,
        offline: bool = False,
        replay: bool = False,
        budget: Budget | None = None,
        progress: bool = False,
        first_wait: float = 1.0,
    ) -> None:
        address = (base_url or endpoint.base_url).rstrip("/")
        self.name, self.labeller, self.endpoint = name, labeller, endpoint
        self.identity = identity or address
        self._store, self._replay, self._progress = store, replay, progress
        if endpoint.structured != "none" and endpoint.api == "completions":
            raise EndpointError(
                f"endpoint '{labeller.endpoint}': structured output needs api: chat. Set "
                "structured: none, or api: chat."
            )
        if not self.identity:
            raise EndpointError(
                f"endpoint '{labeller.endpoint}': its server (serve: {endpoint.serve}) has no "
                "address yet. Give base_url, or in a replay the identity it was recorded with."
            )
        if replay:
            return
        check_address(labeller.endpoint, address, offline=offline)
        self._setup = Setup(
            name=name,
            labeller=labeller,
            endpoint=endpoint,
            base_url=address,
            identity=self.identity,
            key=read_key(labeller.endpoint, endpoint),
            offline=offline,
            prices=load_prices(),
            budget=budget,
            first_wait=first_wait,
        )

    def __repr__(self) -> str:
        mode = ", replay" if self._replay else ""
        return f"EndpointLabeller({self.name}: {self.labeller.model} at {self.identity}{mode})"

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """Answer all questions, in their order; see `responses`."""
        found = self.responses(asked)
        return [
            read_answer(one.question, response) for one, response in zip(asked, found, strict=True)
        ]

    def responses(self, asked: Sequence[Asked]) -> list[Response]:
        """Return the raw responses to all questions, in their order; ask for those not stored.

        A question that failed after all tries has a response with status ``error``; the next
        call asks it again. The same request twice is asked once.

        Raises
        ------
        MissingResponses
            In a replay, if an answer was never recorded.
        EndpointError
            If the endpoint refuses all requests (key, address, model).
        BudgetReached
            If the next request could pass the budget.
        KeyboardInterrupt
            After the requests in flight have ended (press twice to leave them).

        In all these cases everything that was answered is saved.
        """
        keys = [wire.key_of(one, self.labeller, self.endpoint, self.identity) for one in asked]
        wanted: dict[str, Asked] = {}
        for key, one in zip(keys, asked, strict=True):
            wanted.setdefault(key, one)
        stored = self._store.get(list(wanted))
        if self._replay:
            self._check_complete({k: one for k, one in wanted.items() if k not in stored})
            return [stored[key] for key in keys]
        failed = {k: r.attempts for k, r in stored.items() if r.status == "error"}
        done = {k: r for k, r in stored.items() if k not in failed}
        if todo := {k: one for k, one in wanted.items() if k not in done}:
            done |= self._ask(todo, failed, len(done))
        return [done[key] for key in keys]

    def _check_complete(self, missing: dict[str, Asked]) -> None:
        if not missing:
            return
        first = list(missing.values())
        tasks = ", ".join(sorted({one.question.task for one in first}))
        ids = list(dict.fromkeys(one.text_id for one in first))
        shown = ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
        raise MissingResponses(
            f"replay: labeller '{self.name}' ({self.labeller.model}), task {tasks}: "
            f"{len(missing)} answers were never recorded, for {len(ids)} texts: {shown}. Put the "
            "archive they are in into labelling.archive, or set responses: live to ask for them."
        )

    def _ask(
        self, todo: dict[str, Asked], failed: dict[str, int], known: int
    ) -> dict[str, Response]:
        from tqdm.auto import tqdm

        if self.endpoint.mode == "batch":
            return fetch_batch(self._setup, self._store, todo, progress=self._progress).responses
        loop = network_loop()
        with tqdm(
            total=known + len(todo),
            initial=known,
            desc=self.name,
            unit="answer",
            disable=not self._progress,
        ) as bar:
            shown = bar if self._progress else None
            asking = Asking(self._setup, self._store, todo, failed, shown)
            future = asyncio.run_coroutine_threadsafe(asking.run(), loop)
            try:
                _until(future)
            except KeyboardInterrupt:
                print("stopping: waiting for the answers in flight (interrupt again to leave them)")
                loop.call_soon_threadsafe(asking.stop.set)
                try:
                    _until(future, check=False)
                except KeyboardInterrupt:
                    future.cancel()
                raise
        return asking.done


def _until(future: Future[None], *, check: bool = True) -> None:
    """Wait in short steps: only between them does an interrupt arrive on every system."""
    while not future.done():
        wait([future], timeout=0.5)
    if check:
        future.result()
