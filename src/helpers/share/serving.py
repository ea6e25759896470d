"""An OpenAI-compatible server with a fine-tuned model, so that it can be a labeller of chapter 02.

vLLM where it is installed and there is a CUDA GPU; else transformers' own server, which chapter 02
uses as well (`helpers.labelling.serving`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from helpers.labelling.serving import OFFLINE, PARENT, answering
from helpers.share.errors import ShareError
from helpers.share.finished import Trained
from helpers.share.folder import ABOUT, about
from helpers.tasks import load_task

Engine = Literal["auto", "transformers", "vllm"]
LOCAL, EVERYWHERE = "127.0.0.1", "0.0.0.0"
OWN = "prefix-lm"  # model type that vLLM does not know
NAME = re.compile(r"[\w.@-]+")


@dataclass(frozen=True)
class Model:
    """What is served.

    Attributes
    ----------
    folder : merged model, or base model of `adapter` (folder or hub name).
    told : as `helpers.share.folder.about` gives it.
    adapter : folder of an adapter (vLLM only).
    """

    folder: str
    told: dict[str, Any]
    adapter: Path | None = None

    @property
    def name(self) -> str:
        """Name of the model in requests."""
        return str(self.told["name"])


def from_run(trained: Trained) -> Model:
    """Return a model of a run, to be served."""
    if (trained.folder / "model").is_dir():
        return Model(str(trained.folder / "model"), about(trained, "merged"))
    told = about(trained, "adapter")
    return Model(str(told["base_model"]), told, trained.folder / "adapter")


def from_folder(folder: Path) -> Model:
    """Return a shared model (a folder that `push` wrote), to be served."""
    if not (folder / ABOUT).is_file():
        raise ShareError(f"{folder.name} is no shared model: it has no {ABOUT}")
    told = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    if not NAME.fullmatch(told["name"]):
        raise ShareError(f"{folder.name}/{ABOUT}: '{told['name']}' is no name of a model")
    if told["what"] == "adapter":
        return Model(str(told["base_model"]), told, folder)
    return Model(str(folder), told)


def choose_engine(model: Model, engine: Engine) -> tuple[str, str]:
    """Return engine and device that can serve a model here.

    Raises
    ------
    ShareError
        If this machine or the engine cannot serve it.
    """
    cuda, own = _has_cuda(), _model_type(model) == OWN
    vllm = find_spec("vllm") is not None and cuda
    if engine == "vllm" and (own or not vllm):
        why = "does not know the offline model's architecture" if own else "needs an NVIDIA GPU"
        raise ShareError(f'vLLM {why} (and pip install -e ".[serving]"): use --engine transformers')
    if vllm and not own and engine != "transformers":
        return "vllm", "cuda"
    if model.adapter:
        raise ShareError(
            f"{model.name} is an adapter, which only vLLM serves as it is: merge it first "
            "(helpers.export.merge_adapter), or use a machine with an NVIDIA GPU and vLLM"
        )
    return "transformers", "cuda" if cuda else "cpu"


def _has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _model_type(model: Model) -> str:
    path = Path(model.folder) / "config.json"
    if not path.is_file():
        return ""
    return str(json.loads(path.read_text(encoding="utf-8"))["model_type"])


def command_of(model: Model, engine: str, device: str, host: str, port: int) -> list[str]:
    """Return the command that starts the server; it runs beside a link to the model's folder."""
    listen = ["--host", host, "--port", str(port)]
    dtype = str(model.told["dtype"])
    if engine == "vllm":
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *listen]
        command += ["--model", model.folder, "--dtype", dtype]
        if model.adapter is None:
            return [*command, "--served-model-name", model.name]
        rank = json.loads((model.adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"]
        command += ["--enable-lora", "--lora-modules", f"{model.name}={model.adapter}"]
        return [*command, "--max-lora-rank", str(rank)]
    start = [sys.executable, "-m", "helpers.labelling.serving", "serve", model.name]
    return [*start, *listen, "--device", device, "--dtype", dtype]


def check_port(host: str, port: int) -> None:
    """Refuse a port that is taken, before a model is loaded for it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise ShareError(
                f"port {port} cannot be used ({getattr(error, 'strerror', error)}): is another "
                f"server running? Choose another one: --port {port + 1 if port < 65535 else 8001}"
            ) from error


@contextlib.contextmanager
def running(
    model: Model,
    log: Path,
    *,
    host: str = LOCAL,
    port: int = 8001,
    engine: Engine = "auto",
    threads: int = 1,
    wait: float = 120,
) -> Iterator[subprocess.Popen[bytes]]:
    """Serve a model within a block; yields the server's process.

    Parameters
    ----------
    model : what is served.
    log : receives the server's output.
    host : ``127.0.0.1``: this machine only; ``0.0.0.0``: everybody who reaches it, without a key.
    port : where it listens.
    engine : ``auto`` takes vLLM where it can.
    threads : of torch.
    wait : seconds until it must answer.

    Raises
    ------
    ShareError
        If the port is taken, or nothing here can serve the model.
    ServingError
        If the server ends or does not answer in time.
    """
    check_port(host, port)
    kind, device = choose_engine(model, engine)
    links = log.parent / "served"
    links.mkdir(parents=True, exist_ok=True)
    link = links / model.name  # so that no path of this machine enters a response
    link.unlink(missing_ok=True)
    if Path(model.folder).is_dir():
        link.symlink_to(Path(model.folder).resolve(), target_is_directory=True)
    env = os.environ | {"OMP_NUM_THREADS": str(threads), PARENT: str(os.getpid())}
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command_of(model, kind, device, host, port),
            cwd=links,
            env=env | (OFFLINE if Path(model.folder).is_dir() else {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the server
        )
        with answering(process, port, log, wait):
            yield process


def profile_lines(model: Model, port: int) -> str:
    """Return what to add to a profile so that the server is a labeller of chapter 02."""
    task, told, name = load_task(model.told["task"]), model.told, model.name
    api = "chat" if told["prompt"]["chat_template"] else "completions"
    prompt = ", prompt: short" if told["prompt_style"] == "short" else ""
    tokens = 8 if task.label_type == "single" else 64
    where = f'base_url: "http://{LOCAL}:{port}/v1", api: {api}{prompt}, concurrency: 4'
    who = f"kind: endpoint, endpoint: {name}, model: {name}, method: direct, max_tokens: {tokens}"
    return f"""\
labelling:
  endpoints:
    {name}: {{{where}}}
  labellers:
    {name}: {{{who}}}
  crowd:
    {task.name}: [{name}]    # beside the others"""
