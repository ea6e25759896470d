"""Classify a corpus: find, plan, do what is not done, and say what was done."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from helpers.classify.engines import Engine, check_ray, run_shards
from helpers.classify.files import InputFile, find_files
from helpers.classify.folder import drop_others, finish, is_done, opened
from helpers.classify.planning import plan
from helpers.classify.reading import Shard
from helpers.classify.settings import ClassifyError, Settings
from helpers.classify.worker import Load, Summary, load_model
from helpers.runs import write_json

IN_A_ROW = 5
"""Failed shards one after the other that end a run: the next ones would fail as well."""
TIMED = 2
"""Shards that an estimate does; the first one also warms up."""


@dataclass(frozen=True)
class Result:
    """What a run did.

    Attributes
    ----------
    rows, labelled, bad : of the whole corpus; labelled + bad = rows.
    done_now : rows that this run did; the others were done before.
    seconds : of this run, start of Ray and loading of models included.
    rate : rows a second of all workers, from the first shard's beginning to the last one's end,
        without start and manifest (0: nothing was left to do).
    workers : processes that did shards.
    unreadable : input files, or parts of them, that could not be read: name -> reason.
    """

    rows: int
    labelled: int
    bad: int
    done_now: int
    seconds: float
    rate: float
    workers: int
    unreadable: dict[str, str]


def classify(
    inputs: list[str],
    output: str | Path,
    settings: Settings,
    engine: Engine | None = None,
    load: Load = load_model,
) -> Result:
    """Classify all rows of some files; begun work is continued.

    Parameters
    ----------
    inputs : paths, folders or patterns of Parquet, CSV or JSON Lines files.
    output : folder for ``labels/`` (Parquet: file, row, id, status, answer, labels), ``bad_rows/``
        (file, row, id, reason) and the manifest; on a cluster one that all machines share.
    settings : what is asked of which model.
    engine : how the work is spread (default: Ray on this machine).
    load : makes the model.

    Raises
    ------
    ClassifyError
        If there is no input, the folder belongs to another run or is in use, Ray is missing, or
        shards failed. What was done is kept.
    """
    began = time.perf_counter()
    engine, output = engine or Engine(), Path(output)
    if engine.ray:
        check_ray()
    files = _files(inputs, output)
    with opened(output, files, settings):
        shards, broken = plan(files, settings, output, engine.progress)
        drop_others(output, shards)
        left = [shard for shard in shards if not is_done(output, shard)]
        done = sum(shard.rows for shard in shards) - sum(shard.rows for shard in left)
        summaries = run_shards(left, settings, output, engine, load)
        rate, workers = _pace(_watched(summaries, left, done, engine.progress))
        totals = finish(output, shards, broken)
    unreadable = broken | totals.pop("unread")
    result = Result(
        **totals,
        done_now=totals["rows"] - done,
        seconds=time.perf_counter() - began,
        rate=rate,
        workers=workers,
        unreadable=unreadable,
    )
    if left:
        write_json(output / "performance.json", asdict(engine) | asdict(result))
    return result


def measure(
    inputs: list[str], output: str | Path, settings: Settings, threads: int, load: Load = load_model
) -> tuple[int, float]:
    """Do two shards of a corpus in this process, and time the last of them.

    What is done stays: a run into the same folder goes on from there.

    Returns
    -------
    Rows of the whole corpus, and rows a second of one worker without its start.

    Raises
    ------
    ClassifyError
        As `classify`; also if nothing is left to be done.
    """
    output = Path(output)
    files, engine = _files(inputs, output), Engine(ray=False, threads=threads)
    with opened(output, files, settings):
        shards, _ = plan(files, settings, output)
        left = [shard for shard in shards if not is_done(output, shard)]
        left = sorted(left, key=lambda shard: -shard.rows)[:TIMED]  # full ones
        if not left:
            raise ClassifyError(f"nothing is left to be timed: see {output.name}/performance.json")
        done = list(_watched(run_shards(left, settings, output, engine, load), left, 0, False))
    return sum(shard.rows for shard in shards), done[-1].rows / done[-1].seconds


def _files(inputs: list[str], output: Path) -> list[InputFile]:
    """Find the input, and refuse an output within it: the next run would read it as input."""
    for name in inputs:
        if Path(name).is_dir() and output.resolve().is_relative_to(Path(name).resolve()):
            raise ClassifyError(f"--output lies within the input folder {name}: take another one")
    return find_files(inputs)


def _watched(
    summaries: Generator[Summary], left: list[Shard], done: int, progress: bool
) -> Iterator[Summary]:
    """Show progress, pass on what was done, and stop where all goes wrong."""
    from tqdm.auto import tqdm

    failed: list[Summary] = []
    series = bad = 0
    rows = done + sum(shard.rows for shard in left)
    bar = tqdm(total=rows, initial=done, unit="row", unit_scale=True, disable=not progress)
    names = {shard.name: shard for shard in left}
    with bar, closing(summaries):  # Ray must be gone before an error is told
        for summary in summaries:
            if summary.error:
                failed.append(summary)
                series += 1
                if summary.fatal or series == IN_A_ROW:
                    break
                continue
            series, bad = 0, bad + summary.bad
            bar.set_postfix_str(f"{bad} bad", refresh=False)
            bar.update(summary.rows)
            yield summary
    if failed:
        raise ClassifyError(_failures(failed, names))


def _failures(failed: list[Summary], names: dict[str, Shard]) -> str:
    if failed[-1].fatal:
        return f"the model cannot be asked: {failed[-1].error}"
    lines = [f"{len(failed)} shard(s) failed; the others are kept, run the same command again:"]
    for summary in failed[:IN_A_ROW]:
        shard = names[summary.shard]
        last = shard.start + shard.rows - 1
        lines.append(f"  {shard.file}, rows {shard.start} to {last}: {summary.error}")
    return "\n".join(lines)


def _pace(summaries: Iterator[Summary]) -> tuple[float, int]:
    """Return rows a second from the first shard's beginning to the last one's end, and workers."""
    rows, first, last = 0, float("inf"), 0.0
    processes = set()
    for one in summaries:
        if one.seconds:
            rows += one.rows
            first, last = min(first, one.began), max(last, one.began + one.seconds)
            processes.add((one.host, one.process))
    return (rows / (last - first) if rows else 0.0), len(processes)
