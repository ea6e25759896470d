"""A local server of OpenAI's Batch API that fails as it is told; and questions to send to it.

It runs on a thread of the test (port chosen by the system), so that tests turn its switches and
read its log directly. Replies are those of `openai_server`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openai_server import MARKER, answer
from pydantic import SecretStr

from helpers.labelling.batch_api import Patience, fetch_batch
from helpers.labelling.costs import Budget, Prices
from helpers.labelling.questions import Asked, Option, Question, Response
from helpers.labelling.sending import Setup
from helpers.labelling.store import ResponseStore
from helpers.labelling.wire import key_of
from helpers.plans import Endpoint, Labeller

PAGE = 2  # batches on a page of the list, so that clients must turn it


@dataclass
class BatchServer:
    """The server's state and switches.

    Attributes
    ----------
    looks : how often a batch must be looked at until it ends.
    hold : while set, no batch ends.
    gate : while closed, no batch is created (some seconds at most).
    expire_after : number of requests worked on before a batch expires (None: all).
    refuse : messages with which the next batches fail validation, one each.
    faults : what the next requests get, by "METHOD /path": a status, "drop" (the connection ends
        after the work was done, without a reply) or "garbage".
    more_lines : appended to each output file.
    usage : replies say how many tokens were used.
    log : all requests, as "METHOD /path".
    asked : custom_id -> number of times that it was worked on.
    """

    looks: int = 2
    hold: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event | None = None
    expire_after: int | None = None
    refuse: list[str] = field(default_factory=list)
    faults: dict[str, list[int | str]] = field(default_factory=dict)
    more_lines: list[bytes] = field(default_factory=list)
    usage: bool = True
    log: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    url: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def count(self, start: str) -> int:
        """Return the number of requests whose log entry begins so."""
        return sum(entry.startswith(start) for entry in self.log)

    def sizes(self) -> list[int]:
        """Return the number of requests of each batch, in the order of their creation."""
        return [len(self.lines(batch)) for batch in self.batches.values()]

    def lines(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def add_file(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        batch = {
            "id": f"batch-{len(self.batches)}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "metadata": body["metadata"],
            "created_at": int(time.time()),
            "status": "validating",
            "left": self.looks,
        }
        self.batches[batch["id"]] = batch
        return batch

    def look(self, batch: dict[str, Any]) -> None:
        """Let a batch go on by a step."""
        if batch["status"] not in ("validating", "in_progress"):
            return
        total = len(self.lines(batch))
        if self.refuse:
            error = {"code": "invalid", "line": 2, "message": self.refuse.pop(0), "param": None}
            batch |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
            return
        batch["left"] -= 1
        batch |= {"status": "in_progress", "in_progress_at": int(time.time())}
        batch["request_counts"] = {"completed": total // 2, "failed": 0, "total": total}
        if batch["left"] <= 0 and not self.hold.is_set():
            self.work(batch, total)

    def work(self, batch: dict[str, Any], total: int) -> None:
        good, bad = [], []
        for number, line in enumerate(self.lines(batch)):
            if self.expire_after is not None and number >= self.expire_after:
                said = {"code": "batch_expired", "message": "not executed in time"}
                bad.append({"custom_id": line["custom_id"], "response": None, "error": said})
                continue
            self.asked[line["custom_id"]] += 1
            status, body = self.reply(line["body"])
            response = {"status_code": status, "request_id": f"r{number}", "body": body}
            result = {"custom_id": line["custom_id"], "response": response, "error": None}
            (good if status == 200 else bad).append(result)
        random.Random(batch["id"]).shuffle(good)
        for name, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                raw = [json.dumps(line, ensure_ascii=False).encode() for line in lines]
                more = self.more_lines if name == "output_file_id" else []
                batch[name] = self.add_file(b"\n".join([*raw, *more]) + b"\n")
        expired = self.expire_after is not None
        batch["status"] = "expired" if expired else "completed"
        batch["expired_at" if expired else "completed_at"] = int(time.time())
        batch["request_counts"] = {"completed": len(good), "failed": len(bad), "total": total}

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        found = MARKER.search(prompt)
        kind = found[1] if found else "ok"
        if kind.isdigit():
            said = f"as told, with {' '.join(sorted(self.keys))}"
            return int(kind), {"error": {"message": said, "code": "invalid"}}
        content = answer(kind, body, prompt, {"authorization": " ".join(sorted(self.keys))})
        if not self.usage:
            del content["usage"]
        return 200, content


class Handler(BaseHTTPRequestHandler):
    """Translates between HTTP and a `BatchServer`."""

    protocol_version = "HTTP/1.1"
    state: BatchServer

    def do_GET(self) -> None:
        self.handle_request()

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass

    def handle_request(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        url, state = urlsplit(self.path), self.state
        entry = f"{self.command} {url.path.removeprefix('/v1')}"
        state.log.append(entry)
        if entry == "POST /batches" and state.gate:
            state.gate.wait(timeout=10)
        with state.lock:
            state.keys.add(self.headers.get("authorization", "").removeprefix("Bearer "))
            queues = (q for start, q in state.faults.items() if entry.startswith(start))
            fault = next((queue.pop(0) for queue in queues if queue), None)
            if isinstance(fault, int):
                keys = " ".join(sorted(state.keys))
                self.reply(fault, {"error": {"message": f"as told, with {keys}"}})
                return
            status, content = self.route(entry, raw, parse_qs(url.query))
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
        elif fault == "garbage":
            self.reply(200, b"<html>Bad gateway</html>")
        else:
            self.reply(status, content)

    def route(self, entry: str, raw: bytes, query: dict[str, list[str]]) -> tuple[int, Any]:
        state = self.state
        match entry.split("/"):
            case ["POST ", "files"]:
                head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
                parts = message_from_bytes(head + raw).get_payload()
                content = {p.get_param("name", header="content-disposition"): p for p in parts}
                name = state.add_file(content["file"].get_payload(decode=True))
                return 200, {"id": name, "object": "file", "purpose": "batch"}
            case ["GET ", "files", name, "content"] if name in state.files:
                return 200, state.files[name]
            case ["POST ", "batches"]:
                return 200, state.create(json.loads(raw))
            case ["GET ", "batches"]:
                return 200, self.page(query)
            case ["GET ", "batches", name] if name in state.batches:
                state.look(state.batches[name])
                return 200, state.batches[name]
        return 404, {"error": {"message": "no such thing"}}

    def page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        newest = list(self.state.batches.values())[::-1]
        names = [batch["id"] for batch in newest]
        start = names.index(query["after"][0]) + 1 if "after" in query else 0
        data = newest[start : start + PAGE]
        return {"object": "list", "data": data, "has_more": start + PAGE < len(newest)}

    def reply(self, status: int, content: Any) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "text/html" if raw.startswith(b"<html") else "application/json"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextlib.contextmanager
def running(**switches: Any) -> Iterator[BatchServer]:
    """Run a server on a thread."""
    state = BatchServer(**switches)
    handler = type("BoundHandler", (Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


# --- what is asked --------------------------------------------------------------------------------

QUESTION = Question(
    task="cap",
    method="v4",
    step="majors",
    head="Which topic?\n6: Education\n15: Commerce\n\n",
    tail="\n\nTopic:",
    options=(Option("6", "Education"), Option("15", "Commerce")),
)
LABELLER = Labeller(kind="endpoint", method="v4", model="small", endpoint="batch", max_tokens=8)
PRICE = {
    "models": ["small"],
    "hosts": ["127.0.0.1"],
    "prompt": 10.0,
    "completion": 30.0,
    "batch_discount": 0.5,
    "as_of": "2026-01-02",
    "source": "test",
}


def make_setup(
    url: str, *, budget: Budget | None = None, key: str = "", priced: bool = True, **changes: Any
) -> Setup:
    """Return the setup of a labeller at a server."""
    rows = [PRICE] if priced else []
    return Setup(
        name="crowd-1",
        labeller=LABELLER.model_copy(update=changes),
        endpoint=Endpoint(base_url=url, mode="batch", api_key_env="CANARY" if key else ""),
        base_url=url,
        identity="https://api.example.org/v1",
        key=SecretStr(key),
        offline=True,
        prices=Prices.model_validate({"prices": rows}),
        budget=budget,
        first_wait=0.01,
    )


def questions(setup: Setup, number: int, **texts: str) -> dict[str, Asked]:
    """Return questions about numbered texts; `texts` replaces some: ``t3="..."``."""
    asked = [
        Asked(f"t{i}", texts.get(f"t{i}", f"Text {i} on schools and trade, Übung."), QUESTION)
        for i in range(number)
    ]
    return {key_of(one, setup.labeller, setup.endpoint, setup.identity): one for one in asked}


# --- a process that dies --------------------------------------------------------------------------

FAST = Patience(first=0.01, longest=0.02, unreachable=20.0)


class FatalStore(ResponseStore):
    """A store that kills its process at a stage."""

    stage = ""
    saved = 0

    def update_batch(self, token: str, **changes: str | None) -> None:
        fatal = {"after upload": "input_file", "after create": "batch_id"}
        if fatal.get(self.stage) in changes or (self.stage, changes.get("status")) == (
            "before done",
            "done",
        ):
            os.kill(os.getpid(), signal.SIGKILL)
        super().update_batch(token, **changes)
        if self.stage == "before create":
            os.kill(os.getpid(), signal.SIGKILL)

    def save(self, response: Response) -> Any:
        self.saved += 1
        future = super().save(response)
        if self.stage == "reading" and self.saved == 3:
            future.result()
            os.kill(os.getpid(), signal.SIGKILL)
        return future


def ask(url: str, path: str, number: int, stage: str) -> None:
    """Ask in this process, and kill it at a stage."""
    setup = make_setup(url)
    with FatalStore(Path(path)) as store:
        store.stage = stage
        fetch_batch(setup, store, questions(setup, number), patience=FAST)
