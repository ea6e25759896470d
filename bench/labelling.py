"""What the labeller and its store cost beside the bare openai client, and what throughput is left.

    python bench/labelling.py [--requests 2000] [--rounds 7]

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

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "src"), str(REPO / "tests")]

from openai_server import Server, running  # noqa: E402

from helpers.labelling import wire  # noqa: E402
from helpers.labelling.endpoint import EndpointLabeller  # noqa: E402
from helpers.labelling.questions import Asked, Option, Question  # noqa: E402
from helpers.labelling.store import ResponseStore  # noqa: E402
from helpers.plans import Endpoint, Labeller  # noqa: E402
from helpers.tasks import load_task  # noqa: E402

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


def take_turns(
    sides: dict[str, Callable[[list[Asked]], float]], requests: int, rounds: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run the sides in turn; return milliseconds per request, a row a round: wall and processor."""
    wall, processor = [], []
    for number in range(rounds + 1):
        size = requests if number else min(requests, 500)  # the first round is the warm-up
        row, cpu = {}, {}
        for name, side in sides.items():
            asked = questions(size, f"{name} {number}")
            start = time.process_time()
            row[name] = 1000 * side(asked) / size
            cpu[name] = 1000 * (time.process_time() - start) / size
        if number:
            wall.append(row)
            processor.append(cpu)
            print("  " + ", ".join(f"{k} {v:.2f} ms" for k, v in row.items()), flush=True)
    return pd.DataFrame(wall), pd.DataFrame(processor)


def measure(requests: int, rounds: int) -> list[dict[str, Any]]:
    """Return the rows of the table: measure, median, smallest, largest, unit, target."""
    rows: list[dict[str, Any]] = []

    def add(what: str, values: Any, unit: str = "ms per request", target: str = "") -> None:
        figures = {"median": median(values), "min": min(values), "max": max(values)}
        rows.append({"measure": what, **figures, "unit": unit, "target": target})

    for server_says, latency in (("at once", 0.0), ("after 100 ms", LATENCY)):
        print(f"server answers {server_says}:")
        with running(latency=latency) as server:
            sides = {
                "bare": partial(bare, server, aiohttp=False),
                "aiohttp": partial(bare, server, aiohttp=True),
                "labeller": partial(labelled, server),
            }
            wall, processor = take_turns(sides, requests, rounds)
        for side in sides:
            add(f"{server_says}: {side}", wall[side])
            add(f"{server_says}: {side}, processor", processor[side])
        labeller = wall["labeller"]
        if latency:
            ideal = 1000 * latency / CONCURRENCY
            add(f"{server_says}: share of 640/s", 100 * ideal / labeller, "%")
            for side in ("bare", "aiohttp"):
                target = ">= 90" if side == "bare" else ""
                add(f"{server_says}: share of {side}", 100 * wall[side] / labeller, "%", target)
        else:
            for side in ("bare", "aiohttp"):
                target = "<= 1" if side == "bare" else ""
                more = processor["labeller"] - processor[side]
                add(f"labeller beyond {side}", labeller - wall[side], target=target)
                add(f"labeller beyond {side}, processor", more)
    return rows


def machine() -> dict[str, Any]:
    """Describe what the figures depend on."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = lines[0].split(":", 1)[1].strip() if lines else cpu
    return {
        "requests": 0,
        "concurrency": CONCURRENCY,
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "openai": version("openai"),
        "aiohttp": version("aiohttp"),
        "date": date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    about = {**machine(), "requests": given.requests}
    table = pd.DataFrame(measure(given.requests, given.rounds)).round(3).assign(**about)
    path = REPO / "bench" / "results" / "labelling.csv"
    path.parent.mkdir(exist_ok=True)
    table.to_csv(path, index=False)
    print(table[["measure", "median", "min", "max", "unit", "target"]].to_string(index=False))


if __name__ == "__main__":
    main()
