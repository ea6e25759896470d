"""Faults of an endpoint: which are asked again, when, and how fast the endpoint may be asked."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from helpers.plans import Endpoint

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

RETRIED = frozenset({408, 409, 425, 429})  # and every 5xx
ABOUT_THE_TEXT = frozenset({400, 413, 422})  # e.g. longer than the model's context
# 400 with one of these names says that the request is wrong for this model, whatever the text.
SETTINGS = frozenset(
    {
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "seed",
        "logprobs",
        "response_format",
        "stop",
        "model",
    }
)
LONGEST_WAIT = 60.0  # seconds between two tries, unless the server asks for more
LONGEST_PAUSE = 900.0  # seconds; a server that asks for more has closed for the day
# Being told to come later is no fault of the question: it may happen this many times as often.
LIMITED_FACTOR = 5


class Fault(Exception):
    """One try failed, and another may succeed.

    Attributes
    ----------
    retry_after : seconds that the server asks to wait (None: it does not say).
    limited : the endpoint is asked too fast; everybody waits.
    unreachable : no connection could be made at all.
    unknown : the server may have answered (and billed) all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        limited: bool = False,
        unreachable: bool = False,
        unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.limited = limited
        self.unreachable = unreachable
        self.unknown = unknown


class Refused(Exception):
    """The endpoint refuses this request for good, because of its text."""


class Hopeless(Exception):
    """The endpoint refuses, and would refuse every request; `args` are reason and remedy."""


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks to wait, None if it does not say.

    Reads ``retry-after-ms`` (OpenAI) and ``Retry-After``, in seconds or as an HTTP date (RFC 9110,
    section 10.2.3).
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if re.fullmatch(r"\d+(\.\d*)?", value := headers.get(name, "").strip()):
            return float(value) * unit
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def connection_fault(error: BaseException, limit: float) -> Fault:
    """Judge an error of the connection; the client wraps the one that says what happened."""
    import aiohttp

    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    if any(isinstance(one, aiohttp.ClientConnectorError) for one in chain):
        return Fault(f"no connection: {chain[-1]}", unreachable=True)
    if any(isinstance(one, TimeoutError) for one in chain):
        return Fault(f"no answer within {limit:g} s", unknown=True)
    what = f"{type(chain[-1]).__name__}: {chain[-1]}".rstrip(": ")
    return Fault(f"connection lost: {what}"[:300], unknown=True)


def status_fault(status: int, headers: Mapping[str, str], said: Any) -> Exception:
    """Judge a reply by its HTTP status.

    Parameters
    ----------
    said : the decoded body, in OpenAI's form ``{"error": {"message", "code", "param"}}`` or other.

    Returns
    -------
    `Fault` (ask again), `Refused` (this text never) or `Hopeless` (nothing ever).
    """
    error = said.get("error", said) if isinstance(said, dict) else said
    detail = error if isinstance(error, dict) else {"message": error}
    message = str(detail.get("message") or detail.get("detail") or "").strip()[:500]
    text = f"HTTP {status}" + (f": {message}" if message else "")
    if "insufficient_quota" in (detail.get("code"), detail.get("type")):
        return Hopeless(text, "Its account has no credit left: top it up, then run again.")
    if status in RETRIED or status >= 500:
        wait = retry_after(headers)
        if wait is not None and wait > LONGEST_PAUSE:
            return Hopeless(f"{text} (it asks to wait {wait:.0f} s)", "Run again after that time.")
        limited = status == 429 or (status == 503 and wait is not None)
        return Fault(text, retry_after=wait, limited=limited)
    if status in ABOUT_THE_TEXT:
        if detail.get("param") in SETTINGS:
            remedy = f"Change {detail['param']} in the profile's labeller or endpoint."
            return Hopeless(text, remedy)
        return Refused(text)
    return Hopeless(text, REMEDIES.get(status, "Check base_url, api and model in the profile."))


REMEDIES = {
    301: "It redirects elsewhere, which is not followed: put the final address into base_url.",
    302: "It redirects elsewhere, which is not followed: put the final address into base_url.",
    307: "It redirects elsewhere, which is not followed: put the final address into base_url.",
    308: "It redirects elsewhere, which is not followed: put the final address into base_url.",
    401: "The key is missing or wrong: check the environment variable {variable}.",
    402: "Its account has no credit left: top it up, then run again.",
    403: "The key in {variable} may not use this model, or not from here.",
    404: "Check the base_url (does it end in /v1?) and the model's name '{model}'.",
}


def retrying(endpoint: Endpoint, first_wait: float, sleep: Any) -> AsyncRetrying:
    """Return tenacity's controller for one question.

    Exponential backoff with full jitter; `sleep` is told the seconds. `Endpoint.attempts` tries,
    rate limits apart; then the last `Fault` is raised.
    """
    from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

    backoff = wait_random_exponential(multiplier=first_wait, max=LONGEST_WAIT)
    counts = {True: 0, False: 0}

    def stop(state: RetryCallState) -> bool:
        fault = state.outcome.exception() if state.outcome else None
        limited = isinstance(fault, Fault) and fault.limited
        counts[limited] += 1
        return counts[limited] >= endpoint.attempts * (LIMITED_FACTOR if limited else 1)

    def wait(state: RetryCallState) -> float:
        fault = state.outcome.exception() if state.outcome else None
        if isinstance(fault, Fault) and fault.limited:
            return 0.0  # waits with everybody else, in `Traffic.admit`
        asked = fault.retry_after if isinstance(fault, Fault) else None
        return (asked or 0.0) + backoff(state)

    return AsyncRetrying(
        sleep=sleep, stop=stop, wait=wait, retry=retry_if_exception_type(Fault), reraise=True
    )


class Pace:
    """Spaces events evenly, so that no minute holds more than the limit (no burst at the start)."""

    def __init__(self, per_minute: int) -> None:
        self._interval = 60.0 / per_minute
        self._free = 0.0

    def book(self, amount: float, now: float) -> float:
        """Book the next free moment for `amount` units; return how many seconds away it is."""
        start = max(now, self._free)
        self._free = start + amount * self._interval
        return start - now


class Traffic:
    """What all labellers of an endpoint in this process share; lives on the network loop.

    Attributes
    ----------
    slots : one for each request that may be in flight.
    answered : the endpoint has answered at least once.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.slots = asyncio.Semaphore(endpoint.concurrency)
        self.answered = False
        self._requests = Pace(limit) if (limit := endpoint.requests_per_minute) else None
        self._tokens = Pace(limit) if (limit := endpoint.tokens_per_minute) else None
        self._resume = 0.0
        self._limited = 0

    async def admit(self, tokens: float, sleep: Any) -> None:
        """Wait until the limits allow another request, and any pause is over."""
        now = time.monotonic()
        wait = self._requests.book(1, now) if self._requests else 0.0
        if self._tokens:
            wait = max(wait, self._tokens.book(tokens, now))
        if wait > 0:
            await sleep(wait)
        while (pause := self._resume - time.monotonic()) > 0:
            # Not all at the same moment, which would hit the limit at once again.
            await sleep(pause + random.uniform(0, min(1.0, pause)))

    def pause(self, fault: Fault, first_wait: float) -> None:
        """Let everybody wait: as long as the server asks, longer if it repeats itself."""
        now = time.monotonic()
        if now >= self._resume:  # those in flight together are refused together: counts once
            self._limited += 1
        longest = min(LONGEST_WAIT, first_wait * 2 ** min(self._limited, 10))
        wait = fault.retry_after
        wait = random.uniform(longest / 2, longest) if wait is None else wait
        self._resume = max(self._resume, now + wait)

    def success(self) -> None:
        """Note an answer: the endpoint is there, and not overloaded."""
        self.answered = True
        self._limited = 0


_TRAFFIC: dict[tuple[Any, ...], Traffic] = {}


def traffic_of(endpoint: Endpoint, base_url: str) -> Traffic:
    """Return the shared limits of an endpoint (call it on the network loop)."""
    limits = (endpoint.concurrency, endpoint.requests_per_minute, endpoint.tokens_per_minute)
    known = (id(asyncio.get_running_loop()), base_url, endpoint.api_key_env, *limits)
    return _TRAFFIC.setdefault(known, Traffic(endpoint))
