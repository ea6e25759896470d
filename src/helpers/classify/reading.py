"""Read rows of Parquet, CSV and JSON Lines files, here or on a remote store (fsspec).

A file is read from any row on, so that its shards can be read apart: Parquet by row groups, text
by the byte at which a shard starts. A row that cannot be read says why and the next one follows.
"""

from __future__ import annotations

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from helpers.classify.rows import Row, as_id
from helpers.classify.settings import ClassifyError

FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
LONGEST_FIELD = 2**24
"""Characters of a CSV field; a quote that is never closed swallows no more than this."""
CHUNK = 8_192
"""Rows of a Parquet file that are decoded at once."""


@dataclass(frozen=True)
class Shard:
    """A range of rows of one file.

    Attributes
    ----------
    name : of the output files.
    file : name of the input file, relative to the folder that all input files share.
    url : where it lies.
    format : parquet, csv or jsonl.
    start, rows : first row and number of rows.
    first_byte : where the first row starts (text formats).
    header : columns of a CSV file.
    """

    name: str
    file: str
    url: str
    format: str
    start: int
    rows: int
    first_byte: int = 0
    header: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Write a shard as text: the form in which it travels to a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Shard:
        """Read a shard back."""
        content = json.loads(text)
        return cls(**content | {"header": tuple(content["header"])})


def open_file(url: str) -> Any:
    """Open an input file for reading bytes; use it in a ``with`` block."""
    import fsspec

    return fsspec.open(url, "rb").open()


def read_errors() -> tuple[type[Exception], ...]:
    """Return the errors that a file which cannot be read raises."""
    import pyarrow as pa

    return (OSError, ValueError, pa.ArrowException)


def unreadable(error: Exception) -> str:
    """Return the reason that stands in the table of bad rows."""
    return f"unreadable: {(str(error).splitlines() or [type(error).__name__])[0]}"


def read_rows(shard: Shard, id_column: str, text_column: str) -> list[Row]:
    """Read the rows of a shard, in the order of the file.

    Raises
    ------
    Exception
        One of `read_errors`, if the file cannot be read (any more): damaged, cut off, out of reach.
    """
    with open_file(shard.url) as handle:
        if shard.format == "parquet":
            found = list(_parquet_rows(handle, shard, id_column, text_column))
        else:
            handle.seek(shard.first_byte)
            records = text_records(handle, shard.format, shard.header, id_column, text_column)
            found = [row for _, row in islice(records, shard.rows)]
    if len(found) != shard.rows:
        raise ValueError(f"has {len(found)} rows from row {shard.start} on, not {shard.rows}")
    return found


def _parquet_rows(handle: Any, shard: Shard, id_column: str, text_column: str) -> Iterator[Row]:
    import pyarrow.parquet as pq

    source = pq.ParquetFile(handle)
    groups: list[int] = []
    first = before = 0
    for i in range(source.num_row_groups):
        size = source.metadata.row_group(i).num_rows
        if before + size > shard.start and before < shard.start + shard.rows:
            first = first if groups else before
            groups.append(i)
        before += size
    skip, left = shard.start - first, shard.rows
    columns = [id_column, text_column]
    for batch in source.iter_batches(CHUNK, row_groups=groups, columns=columns):
        part = batch.slice(skip, left)
        skip = max(0, skip - batch.num_rows)
        left -= part.num_rows
        if part.num_rows:
            ids, texts = (values(part.column(name)) for name in columns)
            yield from (Row(as_id(one), text) for one, text in zip(ids, texts, strict=True))
        if not left:
            return


def values(column: Any) -> list[Any]:
    """Return the values of an Arrow column; bytes that are no UTF-8 become lone surrogates."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        raw = column.cast(pa.large_binary()).to_pylist()
        return [None if x is None else x.decode("utf-8", "surrogateescape") for x in raw]


def text_records(
    handle: Any, kind: str, header: tuple[str, ...], id_column: str, text_column: str
) -> Iterator[tuple[int, Row]]:
    """Read records of a text file from where `handle` stands; blank lines are no records.

    Returns
    -------
    Pairs of the byte at which a record starts, and the row.
    """
    if kind == "jsonl":
        yield from _json_records(handle, id_column, text_column)
        return
    of_id, of_text = header.index(id_column), header.index(text_column)
    for at, fields, problem in csv_records(handle):
        if problem is None and len(fields) != len(header):
            problem = f"{len(fields)} fields instead of {len(header)}"
        if problem is None:
            yield at, Row(as_id(fields[of_id]), fields[of_text])
        else:
            yield at, Row(None, None, problem)


class _Lines:
    """Lines of a binary file as text, and how far they were read."""

    def __init__(self, handle: Any) -> None:
        self.handle, self.at = handle, handle.tell()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.handle.readline()
        if not line:
            raise StopIteration
        self.at += len(line)
        return str(line.decode("utf-8", "surrogateescape"))


def csv_records(handle: Any) -> Iterator[tuple[int, list[str], str | None]]:
    """Read records of a CSV file: byte at which it starts, its fields, and what is wrong with it.

    A field in quotes may hold line ends. After an error reading goes on with the next line.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    lines = _Lines(handle)
    reader = csv.reader(lines, strict=True)
    while True:
        at = lines.at
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield at, [], f"not valid CSV: {error} (bytes {at} to {lines.at})"
            continue
        if fields:
            yield at, fields, None


def csv_header(handle: Any) -> tuple[str, ...]:
    """Read the first record of a CSV file: the names of its columns."""
    if handle.read(len(BOM_UTF8)) != BOM_UTF8:
        handle.seek(0)
    for _, fields, problem in csv_records(handle):
        if problem is not None:
            raise ValueError(f"its first line is {problem}")
        return tuple(fields)
    raise ValueError("it is empty: not even a line of column names")


def _json_records(handle: Any, id_column: str, text_column: str) -> Iterator[tuple[int, Row]]:
    at = handle.tell()
    while line := handle.readline():
        here, at = at, at + len(line)
        if line.strip():
            yield here, _json_row(line, id_column, text_column)


def _json_row(line: bytes, id_column: str, text_column: str) -> Row:
    try:
        content = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Row(None, None, "the line is not valid UTF-8")
    except (ValueError, RecursionError) as error:
        return Row(None, None, f"not valid JSON: {error}")
    if not isinstance(content, dict):
        return Row(None, None, f"not a JSON object ({type(content).__name__})")
    return Row(as_id(content.get(id_column)), content.get(text_column))


def format_of(name: str) -> str:
    """Return the format that a file's suffix names.

    Raises
    ------
    ClassifyError
        If it is none of those that are read.
    """
    for suffix, kind in FORMATS.items():
        if name.lower().endswith(suffix):
            return kind
    known = ", ".join(FORMATS)
    raise ClassifyError(
        f"{name}: cannot read this kind of file, only {known} "
        "(unpack compressed text, or convert it to Parquet, which is compressed itself)"
    )
