"""Checksums: ``SHA256SUMS``, as ``sha256sum -c`` reads it, and what differs from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from helpers.archive.errors import ArchiveError
from helpers.runs import atomic_path, file_sha256

NAME = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


@dataclass(frozen=True)
class Differences:
    """Files that are not as the sums say: paths below the archive's folder, sorted."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.extra)

    def __str__(self) -> str:
        lines = [
            f"  {what}: {name}"
            for what in ("changed", "missing", "extra")
            for name in getattr(self, what)
        ]
        return "\n".join(lines)


def files_below(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, sorted; without the sums themselves."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if name != NAME)


def write_sums(folder: Path) -> Path:
    """Write the SHA-256 of every file below `folder` into its ``SHA256SUMS``."""
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in files_below(folder)]
    with atomic_path(folder / NAME) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8", newline="\n")
    return folder / NAME


def read_sums(folder: Path) -> dict[str, str]:
    """Return path -> SHA-256 of an archive's ``SHA256SUMS``.

    Raises
    ------
    ArchiveError
        If the file is missing or a line is no sum: names the line.
    """
    path = folder / NAME
    if not path.is_file():
        raise ArchiveError(f"{path} is missing: this is no archive that `make archive` wrote")
    sums = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = LINE.fullmatch(line)
        if match is None:
            raise ArchiveError(f"{path}, line {number}: no SHA-256 and path; take the file again")
        sums[match[2]] = match[1]
    return sums


def check_sums(folder: Path) -> Differences:
    """Compare the files below `folder` with its sums."""
    sums, there = read_sums(folder), set(files_below(folder))
    changed = [name for name in sums if name in there and file_sha256(folder / name) != sums[name]]
    return Differences(
        tuple(sorted(changed)),
        tuple(sorted(sums.keys() - there)),
        tuple(sorted(there - sums.keys())),
    )
