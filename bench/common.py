"""What all benchmarks share: sides that take turns, medians with ranges, and the machine.

The sides of a comparison run in the order A B A B ..., so that what else the machine does hits
all of them alike. Every figure is a median with its range; a ratio is taken within each round and
then summed up in the same way.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import psutil

REPO = Path(__file__).resolve().parents[1]
RESULTS = REPO / "bench" / "results"
SCRATCH = REPO / "runs" / "bench"  # models and texts that benchmarks build; ignored by git
sys.path[:0] = [path for path in (str(REPO / "src"), str(REPO / "bench")) if path not in sys.path]

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
LOAD = psutil.cpu_percent(interval=1.0) / 100 * CORES  # busy cores, before anything runs
IDLE = 0.25
"""A machine counts as idle where less than this share of its cores was busy just before."""
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16")

COLUMNS = ["measure", "side", "median", "min", "max", "rounds", "unit", "target", "note"]
Measured = dict[str, float]


def take_turns(
    sides: Mapping[str, Callable[[int], Measured]], rounds: int, *, warm_up: bool = True
) -> dict[str, dict[str, list[float]]]:
    """Run the sides in turn.

    Parameters
    ----------
    sides : name -> function of the round's number (0: warm-up) that returns what it measured.
    rounds : rounds that count.
    warm_up : run one round before those (False where each side warms up by itself).

    Returns
    -------
    side -> measure -> one value a round.
    """
    found: dict[str, dict[str, list[float]]] = {name: {} for name in sides}
    for number in range(0 if warm_up else 1, rounds + 1):
        for name, side in sides.items():
            measured = side(number)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in measured.items())
            print(f"  {number or 'warm-up'}  {name}: {shown}", flush=True)
            if number:
                for key, value in measured.items():
                    found[name].setdefault(key, []).append(value)
    return found


def row(
    measure: str, side: str, values: Iterable[float], unit: str, target: str = "", note: str = ""
) -> dict[str, Any]:
    """Return one line of a result table: median and range over rounds."""
    values = list(values)
    spread = {"median": median(values), "min": min(values), "max": max(values)}
    named = {"measure": measure, "side": side, **spread, "rounds": len(values)}
    return {**named, "unit": unit, "target": target, "note": note}


def ratio(
    measure: str,
    side: str,
    over: Sequence[float],
    under: Sequence[float],
    target: str = "",
    note: str = "",
) -> dict[str, Any]:
    """Return the line of a ratio, taken round by round."""
    values = [a / b for a, b in zip(over, under, strict=True)]
    return row(measure, side, values, "times", target, note)


def flags() -> str:
    """Return which vector instructions of interest the processor has."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return "unknown"
    lines = info.read_text(encoding="utf-8").splitlines()
    words = {
        word for line in lines if line.startswith(("flags", "Features")) for word in line.split()
    }
    return " ".join(flag for flag in FLAGS if flag in words) or "none"


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine(*packages: str) -> dict[str, Any]:
    """Describe what figures depend on: hardware, versions, date, and what else was running."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package).split("+")[0]
        except PackageNotFoundError:
            found[package] = "none"
    return {
        "cpu": processor(),
        "cores": CORES,
        "flags": flags(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "load_before": round(LOAD, 2),
        "idle": LOAD < IDLE * CORES,
        "system": platform.system(),
        "python": platform.python_version(),
        **found,
        "date": date.today().isoformat(),
    }


def save(
    name: str, rows: list[dict[str, Any]], packages: Sequence[str], out: str = "", **about: Any
) -> pd.DataFrame:
    """Write a result table with the machine in every line, and print its figures.

    Parameters
    ----------
    name : of the file, ``bench/results/<name>.csv``.
    rows : from `row` and `ratio`.
    packages : those whose versions matter.
    out : another folder.
    about : what else decides the figures, e.g. the number of texts.
    """
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    numbers = ["median", "min", "max"]
    table[numbers] = table[numbers].map(lambda value: float(f"{value:.5g}"))
    path = (Path(out) if out else RESULTS) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.assign(**about, **machine(*packages)).to_csv(path, index=False, lineterminator="\n")
    print(table.drop(columns="note").fillna("").to_string(index=False))
    if LOAD >= IDLE * CORES:
        print(f"the machine was NOT idle: load {LOAD:.2f} on {CORES} core(s) before the start")
    return table


def arguments(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it works, no more")
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds that count")
    parser.add_argument("--out", default="", help="folder of the table (default: bench/results)")
    return parser


def peak_memory() -> float:
    """Return the peak resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # unlike getrusage, it does not count what the parent had
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    import resource

    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def matmul_peak(dtype: str, size: int = 2048, seconds: float = 2.0) -> float:
    """Return the best rate of square matrix products that this process reaches, in GFLOP/s."""
    import time

    import torch

    torch.set_num_threads(CORES)
    one = torch.randn(size, size).to(getattr(torch, dtype))
    other = torch.randn(size, size).to(getattr(torch, dtype))
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        one @ other
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best / 1e9
