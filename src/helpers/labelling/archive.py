"""The archive of raw responses: plain text files that anybody can read, and replay, for good.

``<folder>/<task>/<model>/<method>-<prompt>.jsonl.gz``: one response a line, as JSON, sorted by key.
The texts that were asked about are not in it, only their identifiers and hashes.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from helpers.labelling.questions import Response
from helpers.labelling.store import Conflict, ResponseStore, is_other_answer
from helpers.runs import HelpersError, atomic_path

SUFFIX = ".jsonl.gz"
SHA256 = "^[0-9a-f]{64}$"
REMEDY = "Take the file from the archive again, or delete this line; nothing of it was imported."


class ArchiveError(HelpersError):
    """An archive is damaged or contradicts the store; the message names file and line."""


def export_responses(
    store: ResponseStore, folder: Path, task: str | None = None, *, errors: bool = False
) -> list[Path]:
    """Write all responses of a store to an archive; the same responses give the same bytes.

    Parameters
    ----------
    store : whose responses.
    folder : of the archive. Files in it are replaced if the store holds all their answers.
    task : of this task only (default: all).
    errors : also those of status ``error``. A replay needs answers alone, and error messages may
        quote what was asked.

    Returns
    -------
    The files written, in order.

    Raises
    ------
    ArchiveError
        If a file there holds answers that the store lacks, or others; it stays as it is.
    """
    groups: dict[str, tuple[Path, list[dict[str, str]]]] = {}
    for values in store.groups(task):
        group = dict(zip(("task", "model", "method", "step"), values, strict=True))
        path = folder / file_name(**group)
        # Names that differ in case alone are one file on macOS and Windows.
        groups.setdefault(str(path).casefold(), (path, []))[1].append(group)
    written = []
    for path, members in sorted(groups.values()):
        rows = [row for group in members for row in store.rows(**group)]
        rows = [row for row in rows if errors or row.status != "error"]
        if rows:
            _keep_known(path, {row.key: row for row in rows})
            _write(path, sorted(rows, key=lambda row: row.key))
            written.append(path)
    return written


def import_responses(store: ResponseStore, folder: Path) -> int:
    """Read all files of an archive into a store; doing it twice changes nothing.

    A file is imported whole or not at all; those before the one at fault stay imported.

    Returns
    -------
    The number of responses that were new to the store.

    Raises
    ------
    ArchiveError
        If the folder is missing, a file is cut short or damaged, a line is not a response, or an
        answer contradicts another one in its file or in the store. Names file, line and remedy.
    """
    if not folder.is_dir():
        raise ArchiveError(
            f"no archive of responses at {folder}. Download it there, or run with "
            "`responses: live`, which asks for the answers."
        )
    new = 0
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        lines = _read(path)
        try:
            new += store.add([response for _, response in lines.values()]).result()
        except Conflict as error:
            raise ArchiveError(
                f"{path}, line {lines[error.key][0]}: the store {store.path} holds another answer "
                f"to this request (key {error.key}). To work with the archive's answers, import it "
                "into a new store. Nothing of this file was imported."
            ) from error
    return new


def file_name(task: str, model: str, method: str, step: str) -> Path:
    """Return the path of a file below the archive's folder: one a prompt of a method.

    The second question of V1 and V2 lists what the first ones found, so its wording differs from
    text to text; all its versions share a file, and each row says which it was (``prompt``).
    Characters that some file system does not take become ``-``; what is meant stands in the rows.
    Should two names fall together, their rows share the file.
    """
    return Path(_safe(task), _safe(model), f"{_safe(method)}-{_safe(step)}{SUFFIX}")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+=@-]", "-", name.replace("/", "--")).strip(".") or "-"


def _write(path: Path, rows: list[Response]) -> None:
    with (
        atomic_path(path) as temporary,
        open(temporary, "wb") as raw,
        # Neither time nor name in the header: equal rows give equal bytes.
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
    ):
        for row in rows:
            line = json.dumps(asdict(row), ensure_ascii=False)
            packed.write(line.encode() + b"\n")


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class _Line(Response):
    """A line as it must be: the fields of a response, of exactly their types, and no others."""

    key: Annotated[str, Field(pattern=SHA256)]
    text_sha256: Annotated[str, Field(pattern=SHA256)]

    @model_validator(mode="after")
    def _answers_have_content(self) -> _Line:
        if self.status == "ok" and self.content is None:
            raise ValueError("status is ok, but there is no content")
        return self


def _read(path: Path) -> dict[str, tuple[int, Response]]:
    """Return key -> line number and response of a file, all lines checked."""
    checked, found = TypeAdapter(_Line), dict[str, tuple[int, Response]]()
    for number, line in _lines(path):
        try:
            response = Response(**vars(checked.validate_json(line)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            raise ArchiveError(
                f"{path}, line {number}: {where}: {first['msg']}. {REMEDY}"
            ) from error
        before, known = found.setdefault(response.key, (number, response))
        if known != response:
            raise ArchiveError(
                f"{path}, line {number}: differs from line {before}, which has the same key "
                f"{response.key}. Delete the wrong one; nothing of this file was imported."
            )
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with gzip.open(path, "rb") as handle:
            for number, line in enumerate(handle, start=1):
                yield number, line
            if not number:
                raise EOFError("it is empty")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(
            f"{path}: damaged or cut short after line {number} ({error}). Take the file from the "
            "archive again; nothing of it was imported."
        ) from error


def _keep_known(path: Path, rows: dict[str, Response]) -> None:
    """Refuse to overwrite a file with one that lacks any of its answers."""
    if not path.exists():
        return
    for key, (number, old) in _read(path).items():
        new = rows.get(key)
        if old.status != "error" and (
            new is None or new.status == "error" or is_other_answer(old, new)
        ):
            raise ArchiveError(
                f"{path}, line {number}: this answer is not in the store (key {key}) and would be "
                "lost. Import the archive into the store first "
                "(helpers.labelling.archive.import_responses), or export to another folder."
            )
