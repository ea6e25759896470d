"""A stand-in for the model hub: the endpoints that an upload uses, and faults on demand.

It keeps repositories in memory. A commit takes effect at once or not at all, and only if all large
files that it names have arrived.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_a_test"
LARGE = 10_000  # bytes from which a file is sent by itself


class Hub(ThreadingHTTPServer):
    """`repos`: name -> {private, files: name -> bytes}; `faults`: step -> what goes wrong once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: dict[str, int] = {}  # step -> status, or 0: the connection ends
        self.steps: list[str] = []
        self.metadata: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running() -> Iterator[Hub]:
    """Run the stand-in within a block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._read()
        name = self.path.split("?")[0].removeprefix("/api/models/").removesuffix("/revision/main")
        if not self._may("info"):
            return
        if name not in self.server.repos:
            return self._say(404, {"error": "Repository not found"}, "RepoNotFound")
        repo = self.server.repos[name]
        files = [{"rfilename": file} for file in repo["files"]]
        self._say(200, {"id": name, "private": repo["private"], "sha": "0" * 40, "siblings": files})

    def do_PUT(self) -> None:
        content = self._read()
        if not self._may("put", token=False):  # a signed address, without the user's token
            return
        assert "Authorization" not in self.headers
        self.server.objects[self.path.removeprefix("/objects/")] = content
        self._say(200, {})

    def do_POST(self) -> None:
        raw, path = self._read(), self.path.split("?")[0]
        if path == "/api/repos/create":
            if self._may("create"):
                self._create(json.loads(raw))
        elif path == "/api/validate-yaml":
            if self._may("validate"):
                self.server.metadata.append(json.loads(raw)["content"])
                self._say(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            if self._may("preupload"):
                files = json.loads(raw)["files"]
                modes = [("lfs" if f["size"] > LARGE else "regular", f["path"]) for f in files]
                said = [{"path": p, "uploadMode": m, "shouldIgnore": False} for m, p in modes]
                self._say(200, {"files": said})
        elif path.endswith("/info/lfs/objects/batch"):
            if self._may("batch"):
                self._say(200, {"objects": [self._action(o) for o in json.loads(raw)["objects"]]})
        elif "/commit/" in path:
            if self._may("commit"):
                self._commit(path.removeprefix("/api/models/").split("/commit/")[0], raw)
        else:
            self._say(404, {"error": f"no such path {path}"})

    def _action(self, asked: dict[str, Any]) -> dict[str, Any]:
        known = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] in self.server.objects:
            return known
        href = f"{self.server.url}/objects/{asked['oid']}"
        return known | {"actions": {"upload": {"href": href, "header": {}}}}

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repos:
            return self._say(409, {"error": "You already created this model repo"})
        private = asked.get("visibility") == "private" or asked.get("private", False)
        self.server.repos[name] = {"private": private, "files": {}}
        self._say(200, {"url": f"{self.server.url}/{name}"})

    def _commit(self, name: str, raw: bytes) -> None:
        files = {}
        for line in raw.decode().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                content = self.server.objects[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                files[value["path"]] = content
        self.server.repos[name]["files"] |= files
        url = f"{self.server.url}/{name}/commit/{'a' * 40}"
        self._say(200, {"commitUrl": url, "commitOid": "a" * 40})

    def _may(self, step: str, *, token: bool = True) -> bool:
        self.server.steps.append(step)
        fault = self.server.faults.pop(step, None)
        if fault == 0:
            self.close_connection = True
            self.connection.close()
            return False
        if fault is None and token and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            fault = 401
        if fault is not None:
            self._say(fault, {"error": f"refused with {fault}"})
            return False
        return True

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _say(self, status: int, content: Any, code: str = "") -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(body)
