"""Classify one shard after the other: what every worker process does, with or without Ray.

A shard is done when its record is there. The record is written last, each file by one rename, so
that a process killed at any moment leaves whole files only, and a shard without record is done
again into the same names: every row is in the output once.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from helpers.classify.planning import duplicates_path, plan_path
from helpers.classify.reading import Shard, read_errors, read_rows, unreadable
from helpers.classify.rows import sort_out
from helpers.classify.settings import Settings
from helpers.profiles import HelpersError
from helpers.runs import atomic_path, file_sha256, write_json

ATTEMPTS = 3
"""Deaths of worker processes over the same shard before it is given up."""
READS = 3
"""Tries to read a shard: remote stores fail now and then."""
PAUSE = 2.0  # seconds before the second try, twice as long before the third


class Model(Protocol):
    """What answers: a frame with id, text and split in, the table of `predict` out."""

    def answer(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return status, answer and labels, in the order of `frame`."""


Load = Callable[[Settings, int], Model]


@dataclass(frozen=True)
class Summary:
    """What came of a shard.

    Attributes
    ----------
    shard, rows, labelled, bad : name, and how many rows; labelled + bad = rows unless failed.
    began, seconds : when it was begun (Unix time) and how long it took, without loading the model.
    error : why it failed, or empty.
    fatal : the error would hit every shard: settings or model are wrong.
    unread : why its rows could not be read, or empty; the next run tries again.
    host, process : where it was done.
    """

    shard: str
    rows: int
    labelled: int = 0
    bad: int = 0
    began: float = 0.0
    seconds: float = 0.0
    error: str = ""
    fatal: bool = False
    unread: str = ""
    host: str = ""
    process: int = 0


class Worker:
    """Holds a model and does shards.

    Parameters
    ----------
    settings : what is asked.
    output : folder of the run.
    threads : torch threads.
    load : makes the model; called with the first shard, so that its errors are a shard's.
    """

    def __init__(self, settings: Settings, output: Path, threads: int, load: Load) -> None:
        self.settings, self.output, self.threads, self._load = settings, output, threads, load
        self._model: Model | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Do a batch of Ray Data: shards as JSON in, summaries as JSON out."""
        done = [self.do(Shard.from_json(str(one))) for one in batch["shard"]]
        return {"summary": [json.dumps(asdict(one)) for one in done]}

    def do(self, shard: Shard) -> Summary:
        """Do a shard; errors become part of the summary, and other shards can follow."""
        told: dict[str, Any] = {"host": platform.node(), "process": os.getpid()}
        record = record_path(self.output, shard.name)
        if record.is_file():  # its worker died after it, before Ray had heard of it
            return Summary(shard.name, shard.rows, **told)
        attempts = self.output / "attempts" / shard.name
        if deaths(attempts) >= ATTEMPTS:
            reason = f"{ATTEMPTS} worker processes died over it, perhaps for want of memory"
            return Summary(shard.name, shard.rows, error=reason, **told)
        if self._model is None:
            try:
                self._model = self._load(self.settings, self.threads)
            except (HelpersError, OSError, ImportError, ValueError, RuntimeError) as error:
                return Summary(shard.name, shard.rows, error=str(error), fatal=True, **told)
        with open(attempts, "a", encoding="utf-8") as tally:
            tally.write(".")
        try:
            summary = self._classify(shard, self._model, told)
        except HelpersError as error:
            return Summary(shard.name, shard.rows, error=str(error), **told)
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            problem = f"{type(error).__name__}: {error}"
            return Summary(shard.name, shard.rows, error=problem, **told)
        finally:
            attempts.unlink(missing_ok=True)
        return summary

    def _classify(self, shard: Shard, model: Model, told: dict[str, Any]) -> Summary:
        began = time.time()
        good, bad, unread = self._read(shard)
        labelled = _labelled(good, model)
        files = {
            "labels": (self.output / "labels", _with_file(labelled, shard.file)),
            "bad_rows": (self.output / "bad_rows", _with_file(bad, shard.file)),
        }
        about: dict[str, Any] = {"file": shard.file, "start": shard.start, "rows": shard.rows}
        about |= {"labelled": len(labelled), "bad": len(bad), "unread": unread}
        for name, (folder, frame) in files.items():
            path = folder / f"{shard.name}.parquet"
            path.unlink(missing_ok=True)  # of an earlier try that found other rows bad
            if len(frame):
                write_rows(path, frame)
                about[f"{name}_sha256"] = file_sha256(path)
                about[f"{name}_bytes"] = path.stat().st_size
        told = told | {"began": began, "seconds": time.time() - began}
        write_json(record_path(self.output, shard.name), about | told)
        counts: dict[str, Any] = {"labelled": len(labelled), "bad": len(bad), "unread": unread}
        return Summary(shard.name, shard.rows, **counts, **told)

    def _read(self, shard: Shard) -> tuple[pd.DataFrame, pd.DataFrame, str]:
        """Return good rows, bad rows, and why all are bad if they cannot be read at all."""
        reason = ""
        for number in range(READS):
            try:
                rows = read_rows(shard, self.settings.id, self.settings.text)
            except read_errors() as error:
                reason = unreadable(error)
                if number + 1 < READS:
                    time.sleep(PAUSE * 2**number)
                continue
            return *sort_out(rows, shard.start, self._duplicates(shard)), ""
        none, _ = sort_out([], 0, ())
        positions = range(shard.start, shard.start + shard.rows)
        return none, pd.DataFrame({"row": positions, "id": None, "reason": reason}), reason

    def _duplicates(self, shard: Shard) -> set[int]:
        number = shard.name.split("-")[0]
        path = duplicates_path(plan_path(self.output, int(number)))
        if not path.is_file():
            return set()
        stop = shard.start + shard.rows
        within = [("row", ">=", shard.start), ("row", "<", stop)]
        return set(pd.read_parquet(path, filters=within)["row"].tolist())


def record_path(output: Path, shard: str) -> Path:
    """Return where the record of a shard stands."""
    return output / "records" / f"{shard}.json"


def deaths(attempts: Path) -> int:
    """Return how many processes began a shard and never came to an end."""
    return attempts.stat().st_size if attempts.is_file() else 0


def load_model(settings: Settings, threads: int) -> Model:
    """Load the model that `settings` name, for `Worker`."""
    from helpers.classify.models import Local, Served

    return (Served if settings.engine == "vllm" else Local)(settings, threads)


def _labelled(good: pd.DataFrame, model: Model) -> pd.DataFrame:
    answered = model.answer(good.assign(split="corpus")) if len(good) else good.assign(labels="")
    columns = {name: answered.get(name, pd.Series(dtype=str)) for name in ("status", "answer")}
    return good[["row", "id"]].assign(**columns, labels=answered["labels"])


def _with_file(frame: pd.DataFrame, file: str) -> pd.DataFrame:
    frame = frame.copy()
    frame.insert(0, "file", file)
    return frame


def write_rows(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame of positions and texts, with the same types whatever its values are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"row": pa.int64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in frame.columns])
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(), temporary, compression="zstd")
