"""Find input files, here or on a remote store, and know them again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from helpers.classify.reading import format_of, open_file
from helpers.classify.settings import ClassifyError

ENDS = 65_536
"""Bytes at the beginning and the end of a file by which its content is known again."""


@dataclass(frozen=True)
class InputFile:
    """An input file: its name below the folder that all share, where it lies, and its bytes."""

    name: str
    url: str
    size: int


def find_files(patterns: list[str]) -> list[InputFile]:
    """Find input files, sorted by name.

    Parameters
    ----------
    patterns : paths, folders or patterns, local or of a store that fsspec knows (``s3://...``).

    Raises
    ------
    ClassifyError
        If there are none, one is of an unknown kind, or the store needs a package.
    """
    found: dict[str, int] = {}
    for pattern in patterns:
        found |= _matching(pattern)
    if not found:
        raise ClassifyError(f"no input: no file matches {' '.join(patterns)}")
    shared = _shared_folder(list(found))
    files = [InputFile(url[len(shared) :], url, size) for url, size in found.items()]
    for file in files:
        format_of(file.name)
    return sorted(files, key=lambda file: file.name)


def _matching(pattern: str) -> dict[str, int]:
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(pattern)
    except (ImportError, ValueError) as error:
        raise ClassifyError(f"cannot read from {pattern}: {error}") from error
    if system.isdir(path):
        path = f"{path.rstrip('/')}/**"
    found = system.glob(path, detail=True).values()
    return {
        system.unstrip_protocol(info["name"]): int(info["size"])
        for info in found
        if info["type"] == "file" and not PurePosixPath(info["name"]).name.startswith((".", "_"))
    }


def _shared_folder(urls: list[str]) -> str:
    """Return the beginning that all addresses share, up to a slash."""
    first, last = min(urls), max(urls)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    whole = first if same is None else first[:same]
    return whole[: whole.rindex("/") + 1]


def fingerprint(file: InputFile) -> str:
    """Hash a file's size, beginning and end: cheap, and Parquet's end describes its content."""
    found = hashlib.sha256(str(file.size).encode())
    with open_file(file.url) as handle:
        found.update(handle.read(ENDS))
        handle.seek(max(0, file.size - ENDS))
        found.update(handle.read(ENDS))
    return found.hexdigest()
