"""Serve a model of this package on this machine, over OpenAI's protocol.

The server is transformers' own (``transformers serve``), in a process of its own. It is started as
``python -m helpers.labelling.serving``, which only makes the offline model's architecture known
before it hands over.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from helpers.parallel import end_with
from helpers.runs import HelpersError, file_sha256

HOST = "127.0.0.1"
PARENT = "HELPERS_SERVING_PARENT"  # the process whose end ends the server
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}


class ServingError(HelpersError):
    """A local server could not be started."""


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes
    ----------
    base_url : what a client needs, e.g. ``http://127.0.0.1:43017/v1``.
    model : name of the model in requests.
    identity : what decides the answers, independent of port and machine: name and a hash of the
        weights and the tokenizer.
    log : the server's output.
    """

    base_url: str
    model: str
    identity: str
    log: Path


def identity_of(folder: Path) -> str:
    """Return name and hash of a model folder, which together say what a server answers with."""
    parts = [f"{p.name}:{file_sha256(p)}" for p in sorted(folder.glob("*")) if p.is_file()]
    if not parts:
        raise ServingError(f"no model in {folder.name}/: run the chapter that trains it")
    return f"served:{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"


@contextlib.contextmanager
def serve(
    folder: Path, name: str, log: Path, *, threads: int = 1, device: str = "cpu", wait: float = 120
) -> Iterator[Served]:
    """Start a server for a model folder, and stop it at the end of the block.

    Parameters
    ----------
    folder : a saved causal language model with its tokenizer.
    name : what the model is called in requests; a link of this name to `folder` is made beside
        the log, so that no path of this machine enters a response.
    log : file that receives the server's output.
    threads : torch threads of the server.
    device : ``cpu`` or ``cuda``.
    wait : seconds until the server must answer.

    Raises
    ------
    ServingError
        If the server ends or does not answer in time; the end of its output is shown.
    """
    identity = identity_of(folder)
    links = log.parent / "served"
    links.mkdir(parents=True, exist_ok=True)
    link = links / name
    link.unlink(missing_ok=True)
    link.symlink_to(folder.resolve(), target_is_directory=True)
    with open(log, "w", encoding="utf-8") as output:
        port = _free_port()
        options = ["--host", HOST, "--port", str(port), "--device", device]
        # Without a dtype the server would choose half precision for some models.
        command = [sys.executable, "-m", "helpers.labelling.serving", "serve", name, *options]
        process = subprocess.Popen(
            [*command, "--dtype", "float32"],
            cwd=links,
            env=os.environ | OFFLINE | {"OMP_NUM_THREADS": str(threads), PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        with answering(process, port, log, wait):
            yield Served(f"http://{HOST}:{port}/v1", name, identity, log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def answering(
    process: subprocess.Popen[bytes], port: int, log: Path, wait: float
) -> Iterator[None]:
    """Wait until a server answers, and end it in the end, whatever happens.

    Raises
    ------
    ServingError
        If it ends, or does not answer in so many seconds: with what it wrote last.
    """
    try:
        _wait_until_up(process, port, log, wait)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_up(process: subprocess.Popen[bytes], port: int, log: Path, wait: float) -> None:
    direct = requests.Session()
    direct.trust_env = False  # a proxy must not be asked for this machine
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServingError(f"the local model server ended at once:\n{_tail(log)}")
        try:
            if direct.get(f"http://{HOST}:{port}/health", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise ServingError(f"the local model server did not answer within {wait:.0f} s:\n{_tail(log)}")


def _tail(log: Path, lines: int = 8) -> str:
    found = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in found[-lines:])


def main() -> None:
    """Run ``transformers serve`` with the offline model's architecture registered."""
    # First of all: the parent may be killed while the imports run, or have been already.
    parent = int(os.environ.get(PARENT, os.getppid()))
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()

    import torch
    from transformers.cli.serving import model_manager

    from helpers.prefix_lm import PrefixLMForCausalLM

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    # The server looks a model's class up by name in the package transformers itself.
    model_manager.transformers.PrefixLMForCausalLM = PrefixLMForCausalLM
    # Its command line's own `main` first asks the package index for a newer version.
    from transformers.cli.transformers import app

    app()


if __name__ == "__main__":
    main()
