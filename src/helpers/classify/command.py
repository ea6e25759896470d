"""Command line: ``python -m helpers.classify --help``; see docs/scale.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from helpers.classify.engines import Engine
from helpers.classify.estimate import WORKERS, sizing
from helpers.classify.folder import verify
from helpers.classify.run import Result, classify, measure
from helpers.classify.settings import ClassifyError, Settings
from helpers.profiles import HelpersError

STOPPED = 130
"""Exit status after Ctrl-C."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.classify",
        description="Classify Parquet, CSV or JSON Lines files of any size with one model.",
        epilog="Killed, failed or stopped: run the same command again, it goes on.",
    )
    add = parser.add_argument
    add("--input", nargs="+", required=True, help="files, folders or patterns, also s3://...")
    add("--output", required=True, help="folder for labels/, bad_rows/ and the manifest")
    add("--model", required=True, help="folder, or name on the hub")
    add("--task", required=True, help="name in config/tasks")
    for name in ("revision", "adapter"):
        add(f"--{name}", default=None, help=f"{name} of the model")
    for name in ("text", "id"):
        add(f"--{name}", default=name, help=f"column of the input (default: {name})")
    for name in ("engine", "device", "dtype", "autocast", "prompt_style"):
        field = Settings.model_fields[name]
        flag, choices = f"--{name.replace('_', '-')}", get_args(field.annotation)
        add(flag, choices=choices, default=field.default, help=f"default: {field.default}")
    for name in ("max_prompt_tokens", "max_new_tokens", "batch_rows", "limit"):
        field = Settings.model_fields[name]
        add(f"--{name.replace('_', '-')}", type=int, default=field.default)
    add("--free", action="store_true", help="let the model write anything, then read its answer")
    add("--workers", default="auto", help="processes that hold a model (default: auto)")
    add("--threads", type=int, default=1, help="torch threads of a worker (default: 1)")
    add("--address", default="", help="of a Ray cluster, or auto (default: this machine alone)")
    add("--no-ray", action="store_true", help="one process, without Ray")
    add("--estimate", action="store_true", help="time two shards, print hours, and stop")
    add("--price", type=float, default=None, help="of a worker for an hour, for --estimate")
    add("--verify", action="store_true", help="compare the output with its manifest, and stop")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors meant for the user become a message and exit status 1."""
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except HelpersError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return STOPPED


def _run(given: argparse.Namespace) -> int:
    settings, workers = _settings(given), _workers(given.workers)
    if given.verify:
        return _verify(Path(given.output))
    if given.estimate:
        rows, rate = measure(given.input, given.output, settings, given.threads)
        numbers = sorted({*WORKERS, *([workers] if workers else [])})
        table = sizing(rate, given.price, rows=[rows], workers=numbers)
        print(f"{rate:,.0f} rows/s a worker, measured; if workers do not hinder one another:")
        print(table.to_string(index=False, float_format="{:,.2f}".format))
        return 0
    engine = Engine(
        ray=not given.no_ray,
        address=given.address,
        workers=workers,
        threads=given.threads,
        progress=True,
    )
    result = classify(given.input, given.output, settings, engine)
    print(_told(result, Path(given.output)))
    return 1 if result.unreadable else 0


def _settings(given: argparse.Namespace) -> Settings:
    asked = {name: getattr(given, name) for name in Settings.model_fields if name != "constrained"}
    try:
        return Settings(**asked, constrained=not given.free)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise ClassifyError(f"{option}: {first['msg']}") from error


def _workers(given: str) -> int | None:
    if given == "auto":
        return None
    if not given.isdecimal() or int(given) < 1:
        raise ClassifyError(f"--workers {given}: give a number from 1, or auto")
    return int(given)


def _verify(output: Path) -> int:
    wrong = verify(output)
    print("\n".join(wrong) or "all output files are those of the manifest")
    return 1 if wrong else 0


def _told(result: Result, output: Path) -> str:
    lines = [
        f"{result.rows:,} rows: {result.labelled:,} labelled, {result.bad:,} bad "
        f"(see {output.name}/bad_rows); {result.done_now:,} of them now, in "
        f"{result.seconds:,.0f} s, {result.rate:,.0f} rows/s with {result.workers} worker(s)"
    ]
    for name, reason in list(result.unreadable.items())[:5]:
        lines.append(f"NOT read: {name}: {reason}")
    if result.unreadable:
        lines.append(f"{len(result.unreadable)} not read in all; the next run tries them again")
    return "\n".join(lines)
