"""Ask an endpoint one question: tries, limits, budget, and what the reply means."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from helpers.labelling import wire
from helpers.labelling.costs import Budget, BudgetReached, Prices
from helpers.labelling.network import EndpointError, scrub
from helpers.labelling.questions import Asked, Response
from helpers.labelling.retries import (
    Fault,
    Hopeless,
    Refused,
    Traffic,
    connection_fault,
    retrying,
    status_fault,
)
from helpers.plans import Endpoint, Labeller

if TYPE_CHECKING:
    from openai import AsyncOpenAI

BYTES_PER_TOKEN = 4  # rule of thumb, for the tokens-a-minute limit only
LOST = 25  # questions in a row without an answer: then the service counts as down


class Stopped(Exception):
    """The run is stopping: no further request is sent."""


@dataclass(frozen=True)
class Setup:
    """All that does not change from question to question."""

    name: str
    labeller: Labeller
    endpoint: Endpoint
    base_url: str
    identity: str
    key: SecretStr
    offline: bool
    prices: Prices
    budget: Budget | None
    first_wait: float


@dataclass
class _Try:
    """What is known about one question while it is being asked."""

    body: dict[str, Any]
    size: int
    number: int = 0
    asked_at: str = ""
    seconds: float = 0.0


@dataclass
class Sender:
    """Asks one question at a time, and judges what comes back.

    Parameters
    ----------
    client : of the endpoint.
    traffic : the endpoint's limits.
    stop : once it is set, nothing more is sent.

    Attributes
    ----------
    lost : questions since the last answer that failed in all their tries.
    """

    setup: Setup
    client: AsyncOpenAI
    traffic: Traffic
    stop: asyncio.Event
    lost: int = 0

    def check_service(self, error: str | None) -> None:
        """Raise an EndpointError if so many questions in a row got no answer that more are vain."""
        if self.lost >= LOST:
            raise self._hopeless(
                f"{self.lost} questions in a row failed, each after all its tries, the last with: "
                f"{error}",
                "The service seems to be down, or to fail on these requests.",
            )

    async def answer(self, key: str, asked: Asked) -> Response:
        """Ask one question until it is answered, refused, or out of tries.

        Raises
        ------
        Stopped, EndpointError, BudgetReached
        """
        setup = self.setup
        body = wire.body(asked, setup.labeller, setup.endpoint)
        counted = setup.budget is not None or setup.endpoint.tokens_per_minute
        this = _Try(body, len(json.dumps(body).encode()) if counted else 0)
        controller = retrying(setup.endpoint, setup.first_wait, self._sleep)
        reply: wire.Reply | None = None
        error, failure = None, None
        try:
            reply = await controller(self._ask, this)
            self.lost = 0
        except Fault as fault:
            self.lost += 1
            error = scrub(str(fault), setup.key)
            if fault.unreachable and not self.traffic.answered:
                failure = self._hopeless(error, "Is the server running, at this base_url?")
        except Refused as refusal:
            error = scrub(str(refusal), setup.key)
        except Hopeless as hopeless:
            failure = self._hopeless(*hopeless.args)
        if failure is not None:  # raised here, so that it does not carry the request with it
            raise failure
        return self._row(key, asked, this, reply, error)

    def _hopeless(self, reason: str, remedy: str) -> EndpointError:
        setup = self.setup
        remedy = remedy.replace(
            "{variable}", setup.endpoint.api_key_env or "(api_key_env is empty)"
        )
        remedy = remedy.replace("{model}", setup.labeller.model)
        text = (
            f"labeller '{setup.name}', endpoint '{setup.labeller.endpoint}' at {setup.base_url}: "
            f"{reason}. {remedy} What was answered so far is saved; run again to go on."
        )
        return EndpointError(scrub(text, setup.key))

    def _row(
        self, key: str, asked: Asked, this: _Try, reply: wire.Reply | None, error: str | None
    ) -> Response:
        setup = self.setup
        fields: dict[str, Any] = {"status": "error", "error": error}
        if reply is not None:
            fields = {name: getattr(reply, name) for name in reply.__slots__}
            for name in ("content", "finish_reason", "served_model", "fingerprint"):
                if fields[name]:
                    fields[name] = scrub(fields[name], setup.key)
            fields["cost"] = self._price(reply)
        fields |= {"attempts": this.number, "asked_at": this.asked_at, "seconds": this.seconds}
        return wire.row_of(asked, setup.labeller, setup.endpoint, setup.identity, key=key, **fields)

    def _price(self, reply: wire.Reply) -> float | None:
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            return None
        return self.setup.prices.price(
            self.setup.labeller.model,
            "direct",
            reply.prompt_tokens,
            reply.completion_tokens,
            base_url=self.setup.base_url,
        )

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self.stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), seconds)
        if self.stop.is_set():
            raise Stopped

    # --- one try ----------------------------------------------------------------------------------

    async def _ask(self, this: _Try) -> wire.Reply:
        setup, traffic = self.setup, self.traffic
        async with traffic.slots:
            tokens = this.size / BYTES_PER_TOKEN + setup.labeller.max_tokens
            await traffic.admit(tokens, self._sleep)
            reserved = await self._reserve(this)
            spent: float | None = 0.0
            try:
                reply = await self._post(this)
                traffic.success()
                spent = self._price(reply)
            except Fault as fault:
                if fault.limited:
                    traffic.pause(fault, setup.first_wait)
                # A request without an answer may have been billed: the budget counts it in full.
                spent = reserved if fault.unknown else 0.0
                raise
            finally:
                if setup.budget is not None:
                    setup.budget.settle(reserved, reserved if spent is None else spent)
            return reply

    async def _reserve(self, this: _Try) -> float:
        await self._sleep(0)
        budget, setup = self.setup.budget, self.setup
        if budget is None:
            return 0.0
        most = setup.prices.worst_case(this.body, "direct", size=this.size, base_url=setup.base_url)
        while True:
            try:
                return budget.reserve(most)
            except BudgetReached as error:
                # Requests in flight reserve more than they cost: what is left over may do.
                if error.in_flight < 1e-9:
                    raise
            await self._sleep(0.05)

    async def _post(self, this: _Try) -> wire.Reply:
        import aiohttp
        import httpx2
        from openai import APIConnectionError, APIStatusError

        limit = self.setup.endpoint.timeout
        this.number += 1
        this.asked_at = datetime.now(UTC).isoformat(timespec="seconds")
        start = time.perf_counter()
        try:
            async with asyncio.timeout(limit):
                path = wire.PATHS[self.setup.endpoint.api]
                raw = await self.client.post(path, cast_to=httpx2.Response, body=this.body)
            return wire.read(raw.json())
        except TimeoutError:
            raise Fault(f"no answer within {limit:g} s", unknown=True) from None
        except (APIConnectionError, aiohttp.ClientError) as error:
            raise connection_fault(error, limit) from None
        except APIStatusError as error:
            raise status_fault(error.status_code, error.response.headers, error.body) from None
        except (ValueError, RecursionError) as error:
            # No JSON, or JSON of another form.
            raise Fault(f"unreadable reply: {error}"[:300], unknown=True) from None
        finally:
            this.seconds = round(time.perf_counter() - start, 6)
