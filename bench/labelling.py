"""What the labeller and its store cost beside the bare openai client, and what throughput is left.

    python bench/labelling.py [--requests 2000] [--rounds 5]

Writes ``bench/results/labelling.csv``: one row a measure, with the machine and the versions.

Overhead: a server that answers at once, 64 requests in flight, the same bodies. The sides take
turns (bare, aiohttp, labeller, bare, ...) after a warm-up; the figure is the median over rounds of
the difference in time per request. ``bare`` is what a user would write:
`AsyncOpenAI.chat.completions.create` in 64 workers. ``aiohttp`` is the same over the transport that
the labeller uses, which is faster at 64 connections: the stricter yardstick. Processor time (of
this process, all threads) is shown too: it depends less on what else the machine does.

Throughput: the server takes 100 ms for an answer. With 64 in flight it can give 640 answers a
second, but a client is also bound by its own speed, so both ratios are shown.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
from common import REPO, Measured, row, save, take_turns

sys.path.insert(0, str(REPO / "tests"))

from openai_server import Server, running

from helpers.labelling import wire
from helpers.labelling.endpoint import EndpointLabeller
from helpers.labelling.questions import Asked, Option, Question
from helpers.labelling.store import ResponseStore
from helpers.plans import Endpoint, Labeller
from helpers.tasks import load_task

CONCURRENCY = 64
LATENCY = 0.1
LABELLER = Labeller(kind="endpoint", method="v4", model="test", endpoint="bench")


def questions(number: int, mark: str) -> list[Asked]:
    """Return questions as the chapter asks them: the whole codebook, and a text of 60 words."""
    task = load_task("cap")
    options = tuple(Option(task.codes[key], task.label_names[key]) for key in task.labels)
    head, _, tail = task.prompt("", "full")
    question = Question("cap", "v4", "majors", head, tail, options)
    words = "question to the commission on the state of the inland fisheries " * 5
    return [Asked(f"{mark}-{i}", f"{mark} {i} {words}", question) for i in range(number)]


def bare(server: Server, asked: list[Asked], *, aiohttp: bool) -> float:
    """Return the seconds that the bare client takes."""
    import httpx2
    from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

    endpoint = endpoint_of(server)
    bodies = iter([wire.body(one, LABELLER, endpoint) for one in asked])

    async def worker(client: AsyncOpenAI) -> None:
        for body in bodies:
            reply = await client.chat.completions.create(**body)
            assert reply.choices[0].message.content

    async def work() -> float:
        # The same settings as the labeller's client, so that only the labeller makes a difference.
        transport = DefaultAioHttpClient if aiohttp else DefaultAsyncHttpxClient
        limits = httpx2.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
        http = transport(limits=limits, trust_env=False, timeout=60)
        async with AsyncOpenAI(
            base_url=server.url, api_key="none", http_client=http, max_retries=0
        ) as client:
            start = time.perf_counter()
            await asyncio.gather(*(worker(client) for _ in range(CONCURRENCY)))
            return time.perf_counter() - start

    return asyncio.run(work())


def labelled(server: Server, asked: list[Asked]) -> float:
    """Return the seconds that the labeller takes, with a new store on disk."""
    with (
        tempfile.TemporaryDirectory(dir=REPO / "bench") as folder,
        ResponseStore(Path(folder) / "responses.sqlite") as store,
    ):
        labeller = EndpointLabeller(LABELLER, endpoint_of(server), store, name="bench")
        start = time.perf_counter()
        found = labeller.responses(asked)
        seconds = time.perf_counter() - start
        assert all(response.status == "ok" for response in found)
        return seconds


def endpoint_of(server: Server) -> Endpoint:
    return Endpoint(base_url=server.url, concurrency=CONCURRENCY)


def timed(
    name: str, side: Callable[[list[Asked]], float], requests: int
) -> Callable[[int], Measured]:
    """Return a side of the comparison: milliseconds per request, wall and processor."""

    def once(number: int) -> Measured:
        size = requests if number else min(requests, 500)  # the first round is the warm-up
        asked = questions(size, f"{name} {number}")
        start = time.process_time()
        wall = 1000 * side(asked) / size
        return Measured(wall=wall, processor=1000 * (time.process_time() - start) / size)

    return once


def differences(over: list[float], under: list[float]) -> list[float]:
    return [a - b for a, b in zip(over, under, strict=True)]


def shares(over: list[float], under: list[float]) -> list[float]:
    return [100 * a / b for a, b in zip(over, under, strict=True)]


def measure(requests: int, rounds: int) -> list[dict[str, Any]]:
    """Return the lines of the table."""
    rows: list[dict[str, Any]] = []
    unit = "ms per request"
    for server_says, latency in (("at once", 0.0), ("after 100 ms", LATENCY)):
        print(f"server answers {server_says}:")
        with running(latency=latency) as server:
            sides = {
                "bare": partial(bare, server, aiohttp=False),
                "aiohttp": partial(bare, server, aiohttp=True),
                "labeller": partial(labelled, server),
            }
            turns = {name: timed(name, side, requests) for name, side in sides.items()}
            found = take_turns(turns, rounds)
        for name, values in found.items():
            rows.append(row(f"server answers {server_says}", name, values["wall"], unit))
            rows.append(row(f"{server_says}, processor", name, values["processor"], unit))
        ours, against = found["labeller"], {name: found[name] for name in ("bare", "aiohttp")}
        if latency:
            ideal = [1000 * latency / CONCURRENCY] * rounds
            rows.append(row("share of 640/s", "labeller", shares(ideal, ours["wall"]), "%"))
        for name, other in against.items():
            first = name == "bare"
            if latency:
                rate = shares(other["wall"], ours["wall"])
                target = "≥ 90" if first else ""
                rows.append(row(f"rate over {name}'s", "labeller", rate, "%", target))
            else:
                for key, target in (("wall", "≤ 1" if first else ""), ("processor", "")):
                    more = differences(ours[key], other[key])
                    what = f"beyond {name}" + (", processor" if key == "processor" else "")
                    rows.append(row(what, "labeller", more, unit, target))
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = common.arguments(__doc__, rounds=5)
    parser.add_argument("--requests", type=int, default=2000)
    given = parser.parse_args(argv)
    if given.quick:
        given.requests, given.rounds = 64, 1
    rows = measure(given.requests, given.rounds)
    about = {"requests": given.requests, "concurrency": CONCURRENCY}
    save("labelling", rows, ("openai", "aiohttp"), given.out, quick=given.quick, **about)


if __name__ == "__main__":
    main()
