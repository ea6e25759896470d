"""Classification of a corpus on two cores: one process, two threads, and Ray with two workers.

    python bench/classify.py [--quick] [--rounds 1] [--million] [--compared 100000]

Writes ``bench/results/classify.csv``. Titles of the embedded CAP questions, drawn with replacement
and told apart by a number in front, in Parquet files of 100,000 rows; the two-layer offline model
after one training of this package. Every side is the command ``python -m helpers.classify`` in a
process of its own:

* ``one process, 1 thread`` and ``one process, 2 threads``: ``--no-ray``;
* ``Ray, 2 workers``: one thread each; Ray starts and ends with the command.

Rates are of ``--compared`` rows, once with everything that the command does (imports, start of Ray,
loading, planning, manifest) and once while workers worked. Then Ray alone at 10,000 and 100,000
rows, with ``--million`` also at 1,000,000: times, those of a further row (the start is the same for
all), and the peak memory of the command with all its child processes: the proportional set size
(shared pages are counted once), looked at every two seconds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import common
import material
import pandas as pd
from common import Measured, ratio, row, save, take_turns
from prediction import trained

PACKAGES = ("torch", "transformers", "ray", "pyarrow")
FIRST, SECOND, RAY = "one process, 1 thread", "one process, 2 threads", "Ray, 2 workers"
SIDES = {
    FIRST: ("--no-ray", "--threads", "1"),
    SECOND: ("--no-ray", "--threads", "2"),
    RAY: ("--workers", "2", "--threads", "1"),
}
FILE_ROWS, SHARD_ROWS = 100_000, 2_500
LOOK = 2.0  # seconds between looks at the memory
FOLDER = common.SCRATCH / "classify"


def corpus(number: int) -> Path:
    """Write so many rows once; return their folder."""
    folder = FOLDER / f"in-{number}"
    if not (folder / "_done").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        frame = material.many(number, "title")[["id", "text"]]
        for start in range(0, number, FILE_ROWS):
            part = frame[start : start + FILE_ROWS]
            part.to_parquet(folder / f"part-{start // FILE_ROWS:04d}.parquet", index=False)
        (folder / "_done").touch()
    return folder


def run(side: str, number: int, model: Path, shard_rows: int, autocast: str) -> Measured:
    """Classify so many rows anew; return times, rates and the peak memory in MiB."""
    output = FOLDER / f"out-{list(SIDES).index(side)}-{number}"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "helpers.classify", "--input", str(corpus(number))]
    command += ["--output", str(output), "--model", str(model), "--task", "cap"]
    command += ["--batch-rows", str(shard_rows), "--autocast", autocast, *SIDES[side]]
    environment = common.os.environ | {"PYTHONPATH": str(common.REPO / "src")}
    with open(FOLDER / "log.txt", "w", encoding="utf-8") as log:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        peak = [0.0]
        looking = threading.Thread(target=look, args=(process.pid, peak), daemon=True)
        looking.start()
        status = process.wait()
        seconds = time.perf_counter() - began
    looking.join()
    if status:
        raise SystemExit(f"{side}, {number:,} rows: failed, see {FOLDER / 'log.txt'}")
    told = json.loads((output / "performance.json").read_text(encoding="utf-8"))
    whole, working = number / seconds, told["rate"]
    return {"seconds": seconds, "rows/s": whole, "working rows/s": working, "MiB": peak[0]}


def look(process: int, peak: list[float]) -> None:
    """Follow the memory of a process and its children until it ends."""
    import psutil

    try:
        first = psutil.Process(process)
        while first.is_running() and first.status() != psutil.STATUS_ZOMBIE:
            found = sum(map(proportional, [first, *first.children(recursive=True)]))
            peak[0] = max(peak[0], found / 2**20)
            time.sleep(LOOK)
    except psutil.NoSuchProcess:
        return


def proportional(process: Any) -> int:
    """Return the proportional set size of a process in bytes; 0 if it has gone."""
    import psutil

    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def equal_answers(number: int) -> float:
    """Return the share of rows, in per cent, that Ray answers as one process does."""
    one, ray = (
        pd.read_parquet(FOLDER / f"out-{i}-{number}" / "labels").set_index("id")["labels"]
        for i in (0, 2)
    )
    return float(100 * (one.sort_index() == ray.sort_index()).mean())


def compare(given: Any, model: Path) -> list[dict[str, Any]]:
    """Return the lines of the three sides."""
    number = given.compared

    def side(name: str) -> Any:
        return lambda _: run(name, number, model, given.shard_rows, given.autocast)

    found = take_turns({name: side(name) for name in SIDES}, given.rounds, warm_up=False)
    rows = []
    for kind, what in (("rows/s", "whole command"), ("working rows/s", "while working")):
        rates = {name: values[kind] for name, values in found.items()}
        measure = f"rate, {number:,} rows, {what}"
        rows += [row(measure, name, rate, "rows/s") for name, rate in rates.items()]
        for name, target in ((SECOND, ""), (RAY, "≥ 1.6")):
            rows.append(ratio(f"{measure}, over {FIRST}", name, rates[name], rates[FIRST], target))
    for name, values in found.items():
        rows.append(row(f"peak memory, {number:,} rows", name, values["MiB"], "MiB"))
    same = f"equal answers, {number:,} rows"
    return [*rows, row(same, f"{RAY} and {FIRST}", [equal_answers(number)], "%")]


def grow(given: Any, model: Path) -> list[dict[str, Any]]:
    """Return the lines on times and memory by the number of rows."""
    seconds: dict[int, list[float]] = {number: [] for number in given.numbers}
    memory: dict[int, list[float]] = {number: [] for number in given.numbers}
    for number in given.numbers:
        for _ in range(given.rounds):
            measured = run(RAY, number, model, given.shard_rows, given.autocast)
            print(f"  {number:,} rows: {measured['seconds']:.1f} s, {measured['MiB']:.0f} MiB")
            seconds[number].append(measured["seconds"])
            memory[number].append(measured["MiB"])
    rows = [row(f"time, {n:,} rows", RAY, values, "s") for n, values in seconds.items()]
    # The start is the same for all sizes: what counts is the price of further rows.
    further = {}
    for few, many in pairwise(given.numbers):
        pairs = zip(seconds[few], seconds[many], strict=True)
        further[f"{few:,} to {many:,}"] = [1e3 * (t2 - t1) / (many - few) for t1, t2 in pairs]
    rows += [row(f"time of a further row, {n}", RAY, ms, "ms") for n, ms in further.items()]
    for first, later in pairwise(further):
        measure = f"time of a further row, {later}, over {first}"
        rows.append(ratio(measure, RAY, further[later], further[first], "≤ 1.05"))
    return [
        *rows,
        *(row(f"peak memory, {n:,} rows", RAY, values, "MiB") for n, values in memory.items()),
    ]


def main(argv: list[str] | None = None) -> None:
    parser = common.arguments(__doc__, rounds=1)
    parser.add_argument("--million", action="store_true", help="also 1,000,000 rows: 10-20 minutes")
    parser.add_argument("--autocast", choices=("none", "bfloat16", "auto"), default="none")
    parser.add_argument("--only", choices=("compare", "grow"), default="", help="one of the parts")
    parser.add_argument("--compared", type=int, default=100_000, help="rows of the comparison")
    given = parser.parse_args(argv)
    given.numbers = [10_000, 100_000]
    given.layers, given.trained_on, given.shard_rows = 2, 944, SHARD_ROWS
    if given.million:
        given.numbers.append(1_000_000)
    if given.quick:
        given.compared, given.numbers, given.rounds = 400, [200, 400], 1
        given.layers, given.trained_on, given.shard_rows = 2, 16, 100
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = trained(given.layers, given.trained_on)
    parts = {"compare": compare, "grow": grow}
    chosen = [part for name, part in parts.items() if given.only in ("", name)]
    rows = [line for part in chosen for line in part(given, model)]
    about = {"layers": given.layers, "autocast": given.autocast, "shard_rows": given.shard_rows}
    save("classify", rows, PACKAGES, given.out, quick=given.quick, **about)


if __name__ == "__main__":
    main()
