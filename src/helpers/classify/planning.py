"""Cut input files into shards, once: which rows, from which byte, and which ids repeat.

Plans stand in the output folder, one file each. The ids of a file are read to find repeated ones:
eight bytes a row of one file are in memory at a time, nothing of other files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.classify.files import InputFile, fingerprint
from helpers.classify.reading import (
    Shard,
    csv_header,
    format_of,
    open_file,
    read_errors,
    text_records,
    unreadable,
    values,
)
from helpers.classify.rows import as_id
from helpers.classify.settings import ClassifyError, Settings
from helpers.runs import write_frame, write_json

IDS = 65_536
"""Ids that are read at once."""
FIRST = 1_000
"""Rows of a JSON Lines file that are looked at to see which fields there are."""


def plan(
    files: list[InputFile], settings: Settings, output: Path, progress: bool = False
) -> tuple[list[Shard], dict[str, str]]:
    """Cut all files into shards; plans that are there are kept.

    Parameters
    ----------
    files : in the order of `find_files`.
    output : folder of the run; plans go to ``plan/`` in it.

    Returns
    -------
    All shards; and the reason why for files that cannot be read (to be tried again next time).

    Raises
    ------
    ClassifyError
        If a file is not the one that its plan was made for, or no file can be read.
    """
    from tqdm.auto import tqdm

    shards: list[Shard] = []
    broken: dict[str, str] = {}
    left = settings.limit
    for number, file in enumerate(tqdm(files, desc="plan", unit="file", disable=not progress)):
        if left is not None and left <= 0:
            break
        try:
            content = _plan_of(file, settings, plan_path(output, number))
        except read_errors() as error:
            broken[file.name] = unreadable(error)
            continue
        cut = list(_shards(file, number, content, settings.batch_rows, left))
        shards += cut
        left = None if left is None else left - sum(shard.rows for shard in cut)
    if broken and not shards:
        name, reason = next(iter(broken.items()))
        raise ClassifyError(f"none of the {len(files)} input file(s) has rows; {name}: {reason}")
    return shards, broken


def _plan_of(file: InputFile, settings: Settings, path: Path) -> dict[str, Any]:
    known_by = fingerprint(file)
    if path.is_file():
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["fingerprint"] != known_by:
            raise ClassifyError(
                f"{file.name} has changed since this output folder was begun: "
                "take another output folder, or put the old file back"
            )
        return content
    kind = format_of(file.name)
    with open_file(file.url) as handle:
        header = csv_header(handle) if kind == "csv" else ()
    if kind == "jsonl":
        _need_fields(file, settings)
    counter = _Counter(settings.batch_rows)
    counter.read(_ids(file, header, settings))
    repeated = _repeated(counter.hashes(), _ids(file, header, settings))
    if repeated:
        positions = pd.DataFrame({"row": np.asarray(repeated, dtype=np.int64)})
        write_frame(duplicates_path(path), positions)
    content = {
        "file": file.name,
        "fingerprint": known_by,
        "format": kind,
        "rows": counter.rows,
        "first_bytes": counter.first_bytes,
        "header": header,
        "duplicates": len(repeated),
    }
    write_json(path, content)
    return content


def plan_path(output: Path, number: int) -> Path:
    """Return where the plan of an input file stands; `number`: its place among all."""
    return output / "plan" / f"{number:05d}.json"


def duplicates_path(plan_path: Path) -> Path:
    """Return where the positions of repeated ids of a planned file stand."""
    return plan_path.with_name(f"{plan_path.stem}-duplicates.parquet")


def _shards(
    file: InputFile, number: int, content: dict[str, Any], size: int, left: int | None
) -> Iterator[Shard]:
    total = content["rows"] if left is None else min(content["rows"], left)
    for i, start in enumerate(range(0, total, size)):
        yield Shard(
            f"{number:05d}-{i:06d}",
            file.name,
            file.url,
            content["format"],
            start,
            min(size, total - start),
            content["first_bytes"][i] if content["first_bytes"] else 0,
            tuple(content["header"]),
        )


def _ids(
    file: InputFile, header: tuple[str, ...], settings: Settings
) -> Iterator[tuple[int, str | None]]:
    """Read the byte at which each row starts (-1: none) and its id."""
    kind = format_of(file.name)
    with open_file(file.url) as handle:
        if kind == "parquet":
            yield from _parquet_ids(handle, settings)
            return
        if kind == "csv":
            _need(csv_header(handle), settings)
        for at, row in text_records(handle, kind, header, settings.id, settings.text):
            yield at, row.id


def _need(columns: Any, settings: Settings) -> None:
    missing = [name for name in (settings.id, settings.text) if name not in columns]
    if missing:
        raise ValueError(f"no column {', '.join(missing)}; it has {', '.join(columns)}")


def _need_fields(file: InputFile, settings: Settings) -> None:
    """Refuse a JSON Lines file whose first rows all lack a field: its name is misspelt."""
    with open_file(file.url) as handle:
        records = text_records(handle, "jsonl", (), settings.id, settings.text)
        rows = [row for _, row in islice(records, FIRST)]
    for name, found in ((settings.id, "id"), (settings.text, "text")):
        if rows and all(getattr(row, found) is None for row in rows):
            raise ValueError(f"none of its first {len(rows)} rows has a field {name}")


def _parquet_ids(handle: Any, settings: Settings) -> Iterator[tuple[int, str | None]]:
    import pyarrow.parquet as pq

    source = pq.ParquetFile(handle)
    _need(source.schema_arrow.names, settings)
    for batch in source.iter_batches(IDS, columns=[settings.id]):
        yield from ((-1, as_id(value)) for value in values(batch.column(settings.id)))


class _Counter:
    """Counts rows, notes where shards start, and keeps a hash of every id.

    Parameters
    ----------
    size : rows of a shard.
    """

    def __init__(self, size: int) -> None:
        self.size, self.rows = size, 0
        self.first_bytes: list[int] = []
        self._parts: list[Any] = []

    def read(self, rows: Iterator[tuple[int, str | None]]) -> None:
        """Read pairs of first byte (-1: none) and id."""
        ids: list[str | None] = []
        for at, one in rows:
            if at >= 0 and self.rows % self.size == 0:
                self.first_bytes.append(at)
            self.rows += 1
            ids.append(one)
            if len(ids) == IDS:
                self._parts.append(_hashes(ids))
                ids = []
        self._parts.append(_hashes(ids))

    def hashes(self) -> Any:
        """Return the (rows,) array of hashes; 0 for a missing id."""
        return np.concatenate(self._parts)


def _hashes(ids: list[str | None]) -> Any:
    found = pd.util.hash_array(np.array([one or "" for one in ids], dtype=object), categorize=False)
    return np.where([bool(one) for one in ids], found, np.uint64(0))


def _repeated(hashes: Any, rows: Iterator[tuple[int, str | None]]) -> list[int]:
    """Return positions of rows whose id an earlier row has.

    Equal hashes only suggest equal ids: where there are any, these ids are read and compared.
    """
    unique, counts = np.unique(hashes[hashes != 0], return_counts=True)
    suspects = unique[counts > 1]
    if not len(suspects):
        return []
    wanted = iter(np.flatnonzero(np.isin(hashes, suspects)).tolist())
    found, seen, following = [], set(), next(wanted)
    for position, (_, one) in enumerate(rows):
        if position != following:
            continue
        if one in seen:
            found.append(position)
        seen.add(one)
        following = next(wanted, -1)
    return found
