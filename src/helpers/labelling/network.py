"""The way to an endpoint: which addresses may be asked, with which key, over which client."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from helpers.plans import Endpoint, HelpersError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# The HTTP library logs the headers of replies at level DEBUG, and a server may echo a key there.
HTTP_LOGGERS = (
    "openai._base_client",
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.proxy",
    "httpcore2.socks",
)
# Sent where an endpoint needs no key: without one the client takes OPENAI_API_KEY and would send
# it to whatever server is asked.
NO_KEY = "no-key"


class EndpointError(HelpersError):
    """An endpoint cannot be used as it is set up; what was answered before is saved."""


class OfflineError(EndpointError):
    """The profile is offline, and an endpoint is not on this computer."""


class MissingResponses(EndpointError):
    """Replay lacks answers that were never recorded."""


def is_loopback(base_url: str) -> bool:
    """Say whether an address is on this computer: localhost, 127.0.0.0/8 or ::1, nothing else.

    By its form alone: no name is looked up.
    """
    host = urlsplit(base_url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback if address.version == 4 else address == ipaddress.IPv6Address(1)


def check_address(name: str, base_url: str, *, offline: bool) -> None:
    """Refuse an address that is malformed, holds a key, or leaves this computer when `offline`.

    Raises
    ------
    EndpointError, OfflineError
    """
    try:
        parts = urlsplit(base_url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise EndpointError(
            f"endpoint '{name}': its base_url is no http(s) address. Write it like "
            "https://api.openai.com/v1 in the profile."
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise EndpointError(
            f"endpoint '{name}': its base_url holds a user, password or query. Keys come only from "
            "the environment: name the variable in api_key_env, and keep the plain address."
        )
    if offline and not is_loopback(base_url):
        raise OfflineError(
            f"endpoint '{name}': {parts.hostname} is not on this computer, and the profile says "
            "offline: true, so no text is sent. Use a server on localhost, 127.0.0.1 or ::1, or "
            "set offline: false if the texts may leave."
        )


def read_key(name: str, endpoint: Endpoint) -> SecretStr:
    """Read the key of an endpoint from the environment (empty where it needs none).

    Raises
    ------
    EndpointError
        If the variable is unset, empty, or holds what no key can be; never shows its value.
    """
    variable = endpoint.api_key_env
    if not variable:
        return SecretStr("")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise EndpointError(
            f"endpoint '{name}': the environment variable {variable} is not set. Set it to your "
            f"API key before you start (export {variable}=...)."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EndpointError(
            f"endpoint '{name}': the environment variable {variable} holds blanks or signs that no "
            "API key has. Copy the key again."
        )
    return SecretStr(key)


def scrub(text: str, key: SecretStr) -> str:
    """Return a text without the key, in case a server echoes it."""
    secret = key.get_secret_value()
    return text.replace(secret, "[API key]") if secret and secret in text else text


class _Scrubber(logging.Filter):
    """Takes keys out of the HTTP libraries' log records."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[SecretStr] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = message
        for key in self.keys:
            clean = scrub(clean, key)
        if clean != message:
            record.msg, record.args = clean, ()
        return True


_SCRUBBER = _Scrubber()


def make_client(endpoint: Endpoint, base_url: str, key: SecretStr, *, offline: bool) -> AsyncOpenAI:
    """Make the client for one endpoint.

    It follows no redirect, and for addresses on this computer or offline it looks at no proxy
    setting, so that neither can carry a text elsewhere. It does not retry: the caller does.
    Its transport is aiohttp (``openai[aiohttp]``): the default one looks through all its
    connections for each request, which at 64 of them costs more than the request.
    """
    import httpx2
    from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

    if key.get_secret_value():
        _SCRUBBER.keys.add(key)
        for name in HTTP_LOGGERS:
            logging.getLogger(name).addFilter(_SCRUBBER)
    size = endpoint.concurrency
    http = DefaultAioHttpClient(
        follow_redirects=False,
        trust_env=not (offline or is_loopback(base_url)),
        timeout=endpoint.timeout,
        limits=httpx2.Limits(max_connections=size, max_keepalive_connections=size),
    )
    host = urlsplit(base_url).hostname or ""
    if httpx2.URL(base_url).host != host:  # the client must go where the check has looked
        raise EndpointError(f"the base_url of {host} is malformed: write a plain http(s) address.")
    # OPENAI_ORG_ID and OPENAI_PROJECT_ID are nobody else's business.
    others = (
        {}
        if host == "openai.com" or host.endswith(".openai.com")
        else {
            "OpenAI-Organization": Omit(),
            "OpenAI-Project": Omit(),
        }
    )
    return AsyncOpenAI(
        api_key=key.get_secret_value() or NO_KEY,
        admin_api_key="",
        base_url=base_url,
        max_retries=0,
        timeout=endpoint.timeout,
        http_client=http,
        default_headers=others,  # type: ignore[arg-type]
    )


_LOOP_LOCK = threading.Lock()
_LOOPS: dict[int, asyncio.AbstractEventLoop] = {}


def network_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of this process's network thread; the first call starts it.

    One loop for all labellers: they share the limits of an endpoint, and a notebook's own running
    loop is not in the way.
    """
    with _LOOP_LOCK:
        loop = _LOOPS.get(os.getpid())  # after a fork the parent's thread is gone
        if loop is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="labelling", daemon=True).start()
            _LOOPS[os.getpid()] = loop
        return loop
