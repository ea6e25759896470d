"""A local server that speaks OpenAI's protocol and fails as it is told, for tests and benches.

It runs in a process of its own on a port that the system chooses:

    with running(latency=0.1, rates={"429": 0.1}) as server:
        ...                                # server.url, server.log()

Faults come at random (`Options.rates`, decided by the seed, the request and the number of its try)
or on demand: a text that holds ``[[500 2]]`` gets 500 twice and then an answer, ``[[429 1 0.5]]``
once 429 with ``Retry-After: 0.5``, ``[[400 0]]`` always 400. `BEHAVIOURS` lists what there is.

`App` is an ASGI application; more routes are put around it, e.g. with starlette's `Mount`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

MARKER = re.compile(r"\[\[(\w+)(?: (\d+))?(?: ([\w.]+))?\]\]")
OPTION_LINE = re.compile(r"^(\d+|none): ", re.MULTILINE)
BEHAVIOURS = {
    "hang": "no answer for `Options.hang` seconds",
    "drop": "the connection ends in the middle of the reply",
    "garbage": "status 200 and no JSON",
    "shape": "status 200 and JSON of another form",
    "empty": "status 200 and no choices",
    "refuse": "the model declines",
    "filter": "a content filter cut in",
    "length": "the longest answer was reached",
    "echo": "the reply repeats the request's Authorization, in body and headers",
    "quota": "429 for want of credit",
    "setting": "400 because of a setting of the request",
    "429": "or any other status",
}


@dataclass(frozen=True)
class Options:
    """How the server behaves.

    Attributes
    ----------
    latency : seconds until an answer.
    slots : answers at a time; more requests wait (0: no limit).
    per_second : requests in any second; more get 429 (0: no limit).
    rates : behaviour -> share of requests.
    retry_after : value of the header with 429 ("": none; "date": an HTTP date one second ahead).
    hang : seconds of a ``hang``.
    seed : of the random faults.
    redirect : where replies with a status of 3xx point.
    """

    latency: float = 0.0
    slots: int = 0
    per_second: int = 0
    rates: dict[str, float] = field(default_factory=dict)
    retry_after: str = "0.05"
    hang: float = 3600.0
    seed: int = 1
    redirect: str = "http://127.0.0.1:9/v1"


class App:
    """The ASGI application."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.slots = asyncio.Semaphore(options.slots) if options.slots else None
        self.reset()

    def reset(self) -> None:
        self.tries: Counter[str] = Counter()  # request -> times it came
        self.served: Counter[str] = Counter()  # request -> good answers that went out
        self.behaved: Counter[str] = Counter()  # behaviour -> times
        self.arrivals: list[float] = []
        self.headers: dict[str, str] = {}
        self.last: dict[str, Any] = {}
        self.active = self.peak = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("HTTP only")
        raw = await read_body(receive)
        path, headers = scope["path"], {k.decode(): v.decode() for k, v in scope["headers"]}
        if path == "/admin/log":
            names = ("tries", "served", "behaved", "arrivals", "headers", "last", "peak")
            await reply(send, 200, {name: getattr(self, name) for name in names})
        elif path == "/admin/reset":
            self.reset()
            await reply(send, 200, {})
        elif path in ("/v1/chat/completions", "/v1/completions"):
            await self.complete(json.loads(raw), headers, receive, send)
        else:
            await reply(send, 404, error(404, "no such path"))

    async def complete(self, body: dict[str, Any], headers: Any, receive: Any, send: Any) -> None:
        chat = "messages" in body
        prompt = body["messages"][0]["content"] if chat else body["prompt"]
        request = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
        self.tries[request] += 1
        self.arrivals.append(time.monotonic())
        self.headers, self.last = headers, body
        self.active += 1
        self.peak = max(self.peak, self.active)
        try:
            kind, detail = self.behaviour(request, prompt)
            self.behaved[kind] += 1
            async with self.slots or contextlib.nullcontext():
                if self.options.latency:
                    await asyncio.sleep(self.options.latency)
                if kind == "hang":  # until the client gives up
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(receive(), self.options.hang)
                elif await self.act(kind, detail, body, prompt, headers, send):
                    self.served[request] += 1
        finally:
            self.active -= 1

    def behaviour(self, request: str, prompt: str) -> tuple[str, str]:
        limit, now = self.options.per_second, time.monotonic()
        if limit and sum(now - then < 1 for then in self.arrivals[-limit - 1 :]) > limit:
            return "429", self.options.retry_after
        number = self.tries[request]
        for kind, count, detail in MARKER.findall(prompt):
            if not int(count or 1) or number <= int(count or 1):
                return kind, detail
        draw = uniform(self.options.seed, request, number)
        for kind, rate in self.options.rates.items():
            if draw < rate:
                return kind, self.options.retry_after if kind == "429" else ""
            draw -= rate
        return "ok", ""

    async def act(
        self, kind: str, detail: str, body: dict[str, Any], prompt: str, headers: Any, send: Any
    ) -> bool:
        extra = {}
        if kind.isdigit() and int(kind) >= 300:
            if detail:
                date = formatdate(time.time() + 2, usegmt=True)
                extra = {"retry-after": date if detail == "date" else detail}
            if int(kind) < 400:
                extra["location"] = self.options.redirect
            said = f"as told; you sent {headers.get('authorization')}"
            await reply(send, int(kind), error(int(kind), said), extra)
        elif kind == "quota":
            await reply(send, 429, error(429, "no credit", code="insufficient_quota"))
        elif kind == "setting":
            await reply(send, 400, error(400, "unsupported", param="temperature"))
        elif kind == "drop":
            await start(send, 200, {"content-length": "1000"})
            await send({"type": "http.response.body", "body": b'{"id"', "more_body": True})
            raise ConnectionAbortedError("dropped as told")
        elif kind == "garbage":
            await reply(send, 200, b"<html>Bad gateway</html>", {"content-type": "text/html"})
        elif kind in ("shape", "empty"):
            content = {"choices": []} if kind == "empty" else {"hello": [1, 2]}
            await reply(send, 200, content)
        else:
            if kind == "echo":
                extra = {
                    "x-request-id": headers["authorization"],
                    "x-echo": headers["authorization"],
                }
            await reply(send, 200, answer(kind, body, prompt, headers), extra)
            return kind in ("ok", "refuse", "filter", "length", "echo")
        return False


def answer(kind: str, body: dict[str, Any], prompt: str, headers: Any) -> dict[str, Any]:
    """Return the reply: an option that the prompt or the schema names, by the prompt's hash."""
    chat = "messages" in body
    text = choose(body, prompt)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    reason, fingerprint = "stop", "fp_test"
    if kind == "refuse":
        message |= {"content": None, "refusal": "I cannot help with that."}
    elif kind in ("filter", "length"):
        reason = "content_filter" if kind == "filter" else "length"
    elif kind == "echo":
        message["content"] = fingerprint = f"{text} {headers['authorization']}"
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
    if chat:
        choice["message"] = message
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": t, "logprob": -0.25} for t in (text, "")]}
    else:
        choice["text"] = message["content"]
        if "logprobs" in body:
            choice["logprobs"] = {"tokens": [text, ""], "token_logprobs": [-0.25, -0.25]}
    tokens = {"prompt_tokens": len(prompt) // 4 + 1, "completion_tokens": 2}
    return {
        "id": "test",
        "object": "chat.completion" if chat else "text_completion",
        "created": 0,
        "model": f"{body['model']}-served",
        "system_fingerprint": fingerprint,
        "choices": [choice],
        "usage": {**tokens, "total_tokens": sum(tokens.values())},
    }


def choose(body: dict[str, Any], prompt: str) -> str:
    wanted = body.get("response_format", {})
    codes = OPTION_LINE.findall(prompt) or ["6"]
    if wanted.get("type") == "json_schema":
        properties = wanted["json_schema"]["schema"]["properties"]
        return json.dumps({name: fill(value, prompt) for name, value in properties.items()})
    code = codes[int(uniform(0, prompt) * len(codes))]
    return json.dumps({"answer": code}) if wanted.get("type") == "json_object" else f" {code}"


def fill(schema: dict[str, Any], prompt: str) -> Any:
    if schema["type"] == "array":
        return [fill(schema["items"], prompt)]
    if schema["type"] == "object":
        return {name: fill(value, prompt) for name, value in schema["properties"].items()}
    return schema["enum"][int(uniform(0, prompt) * len(schema["enum"]))]


def uniform(*parts: Any) -> float:
    """Return a number in [0, 1) that depends on nothing but the parts."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def error(status: int, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": f"error {status}", **more}}


async def read_body(receive: Any) -> bytes:
    parts = []
    while True:
        event = await receive()
        parts.append(event.get("body", b""))
        if not event.get("more_body"):
            return b"".join(parts)


async def start(send: Any, status: int, headers: dict[str, str]) -> None:
    pairs = [(k.encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def reply(
    send: Any, status: int, content: Any, headers: dict[str, str] | None = None
) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    fields = {"content-type": "application/json", "content-length": str(len(raw))}
    await start(send, status, {**fields, **(headers or {})})
    await send({"type": "http.response.body", "body": raw})


def serve(app: Any) -> None:
    """Run an ASGI application on a free port; print the port as the first line."""
    import uvicorn

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(1024)  # from now on a client waits, and is not refused
        print(bound.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[bound])


@dataclass(frozen=True)
class Server:
    """A running server, seen from the test."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def log(self) -> dict[str, Any]:
        """Return what happened since the start or the last `reset`."""
        return self.admin("log")

    def reset(self) -> None:
        self.admin("reset")

    def admin(self, path: str) -> dict[str, Any]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}/admin/{path}", timeout=30) as found:
            return json.load(found)


@contextlib.contextmanager
def running(script: Path = Path(__file__), **options: Any) -> Iterator[Server]:
    """Run the server of a script (it reads `Options` as JSON) in a process of its own."""
    command = [sys.executable, str(script), json.dumps(asdict(Options(**options)))]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    serve(App(Options(**json.loads(sys.argv[1]))))
