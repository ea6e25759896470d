"""Where shards are done: in this process, or by a pool of actors on Ray Data.

Only names of shards and short summaries go through Ray; each actor reads its rows and writes its
files itself. So memory does not depend on the number of rows, and a lost object costs nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from helpers import limits
from helpers.classify.reading import Shard
from helpers.classify.settings import ClassifyError, Settings
from helpers.classify.worker import Load, Summary, Worker

STORE = 128 * 2**20
"""Bytes of Ray's object store on this machine; nothing large goes through it."""
BLOCKS = 4_096
"""Most pieces into which the list of shards is cut; a piece goes to one actor."""
MEMORY = 2**30
"""Free memory that ``workers: auto`` sets aside for a worker, besides its model."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",  # Ray's own choice for a cluster of one machine, made silently
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Engine:
    """How the work is spread; it decides no answer beyond rounding.

    Attributes
    ----------
    ray : on Ray, else one shard after the other in this process.
    address : of a running Ray cluster, or ``auto``; empty: this machine alone.
    workers : processes that hold a model (None: as many as cores, or GPUs, and memory allow).
    threads : torch threads of each.
    progress : show progress.
    """

    ray: bool = True
    address: str = ""
    workers: int | None = None
    threads: int = 1
    progress: bool = False


def run_shards(
    shards: list[Shard], settings: Settings, output: Path, engine: Engine, load: Load
) -> Generator[Summary]:
    """Do shards and yield what came of each, in the order in which they end.

    Raises
    ------
    ClassifyError
        If Ray is asked for and is not installed, cannot be reached, or stops.
    """
    if not shards:
        return
    if not engine.ray:
        worker = Worker(settings, output, engine.threads, load)
        yield from (worker.do(shard) for shard in shards)
        return
    check_ray()
    # What Ray prints about a lost worker goes to standard output, whatever its log level is.
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        _cluster(settings, engine),
    ):
        yield from _on_ray(shards, settings, output, engine, load)


def check_ray() -> None:
    """Refuse with a remedy where Ray is not installed."""
    if find_spec("ray") is None:
        raise ClassifyError(
            'Ray is not installed: python -m pip install -e ".[scale]"; or add --no-ray to '
            "classify in this one process"
        )


@contextlib.contextmanager
def _cluster(settings: Settings, engine: Engine) -> Iterator[None]:
    """Start Ray on this machine, or join a cluster; leave it afterwards."""
    for name, value in ENVIRONMENT.items():
        if not (engine.address and name == "RAY_AUTH_MODE"):
            os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"address": engine.address}
    if not engine.address:
        here = str(Path(__file__).resolve().parents[2])
        known = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = f"{here}{os.pathsep}{known}" if known else here
        options = {
            "address": "local",
            "num_cpus": (engine.workers or _workers_here(settings, engine)) * engine.threads,
            "include_dashboard": False,
            "object_store_memory": STORE,
        }
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"at {engine.address}" if engine.address else "on this machine"
        raise ClassifyError(f"Ray {where} does not answer: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _on_ray(
    shards: list[Shard], settings: Settings, output: Path, engine: Engine, load: Load
) -> Iterator[Summary]:
    import ray.data
    from ray.exceptions import RayError

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    names = [{"shard": shard.to_json()} for shard in shards]
    pool = ray.data.ActorPoolStrategy(
        size=min(engine.workers or _workers_of_cluster(settings, engine), len(shards)),
        max_tasks_in_flight_per_actor=1,  # a queue of its own would leave other actors idle
    )
    done = ray.data.from_items(names, override_num_blocks=min(len(names), BLOCKS)).map_batches(
        Worker,
        fn_constructor_args=(settings, output.resolve(), engine.threads, load),
        batch_size=1,
        compute=pool,
        num_cpus=engine.threads,
        num_gpus=1 if settings.device == "cuda" else 0,
    )
    try:
        for batch in done.iter_batches(batch_size=None, batch_format="numpy"):
            yield from (Summary(**json.loads(str(one))) for one in batch["summary"])
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ClassifyError(
            f"Ray stopped: {reason}. What was done is kept: run the same command again"
        ) from error


def _workers_here(settings: Settings, engine: Engine) -> int:
    """Return how many workers this machine's cores, or GPUs, and memory allow."""
    if settings.device == "cuda":
        import torch

        return max(1, torch.cuda.device_count())
    by_memory = limits.free_memory() // (MEMORY + _model_bytes(settings))
    return int(max(1, min(limits.cores() // engine.threads, by_memory)))


def _workers_of_cluster(settings: Settings, engine: Engine) -> int:
    """Return how many workers the GPUs, or the cores, of Ray's cluster allow."""
    import ray

    has = ray.cluster_resources()
    if settings.device == "cuda":
        if not has.get("GPU"):
            raise ClassifyError("Ray sees no GPU: use --device cpu, or start it where one is")
        return int(has["GPU"])
    return int(max(1, has.get("CPU", 1) // engine.threads))


def _model_bytes(settings: Settings) -> int:
    folder = Path(settings.model)
    files = folder.rglob("*.safetensors") if folder.is_dir() else []
    return sum(path.stat().st_size for path in files)
