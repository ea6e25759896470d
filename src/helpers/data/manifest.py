"""The authors' files: downloaded at their pinned commits, or taken from a user's folder.

Each file is known by its git blob id, which is the SHA-1 of ``blob <size>\\0`` and the content.
A file whose id differs is never used: it is named, set aside and fetched again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from helpers.data.validation import DataError
from helpers.runs import REPO

MANIFEST = REPO / "data" / "upstream_manifest.csv"
BASE_URL = "https://raw.githubusercontent.com/siacus/rethinking-scale"
REMEDY = (
    "Run `make data` to download the authors' files, or give a folder that holds them: "
    "`make replicate UPSTREAM=<folder>`."
)


class UpstreamError(DataError):
    """A file of the authors is not what the manifest says, or could not be fetched."""


class UpstreamMissing(UpstreamError):
    """A file of the authors is not there."""


@dataclass(frozen=True)
class UpstreamFile:
    """One row of ``data/upstream_manifest.csv``.

    Attributes
    ----------
    local_path : where the file lies in the upstream folder; it is also its name in the package.
    repository_path, commit : where it lies in the authors' repository.
    git_blob_sha1 : id that git gives to its content.
    bytes : size, or None where it is not known.
    licence, citation : terms of use, and the key of the source in the README.
    needed_for : what reads it (``cap``, ``dataverse``, ``flourishing``, ``published``, ...).
    """

    local_path: str
    repository_path: str
    commit: str
    git_blob_sha1: str
    bytes: int | None
    licence: str
    citation: str
    needed_for: tuple[str, ...]

    def url(self, base_url: str = BASE_URL) -> str:
        """Return the address of the file at its pinned commit."""
        return f"{base_url}/{self.commit}/{quote(self.repository_path)}"


def read_manifest(path: Path = MANIFEST) -> list[UpstreamFile]:
    """Read the manifest of the authors' files, in its order."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return [
        UpstreamFile(
            **{
                **row,
                "bytes": int(row["bytes"]) if row["bytes"] else None,
                "needed_for": tuple(row["needed_for"].split()),
            }
        )
        for row in table.to_dict("records")
    ]


def git_blob_sha1(path: Path) -> str:
    """Return the id that git gives to a file's content, read in chunks."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


_verified: dict[tuple[Any, ...], str] = {}


def _blob_id(path: Path) -> str:
    # Within one process a file that was not touched since is not read again.
    state = path.stat()
    key = (str(path), state.st_size, state.st_mtime_ns, state.st_ino)
    if key not in _verified:
        _verified[key] = git_blob_sha1(path)
    return _verified[key]


def file_status(folder: Path, row: UpstreamFile) -> str:
    """Return ``absent``, ``wrong`` or ``verified`` for one file of the upstream folder."""
    path = folder / row.local_path
    if not path.is_file():
        return "absent"
    return "verified" if _blob_id(path) == row.git_blob_sha1 else "wrong"


def upstream_file(name: str, folder: Path, manifest: Sequence[UpstreamFile] | None = None) -> Path:
    """Return the path of a verified file of the authors.

    Parameters
    ----------
    name : its ``local_path`` in the manifest, e.g. ``"flourishing/sample.csv"``.
    folder : the upstream folder.

    Raises
    ------
    UpstreamMissing
        If the file is not there.
    UpstreamError
        If its content is not that of the pinned commit, or the manifest does not know it.
    """
    rows = {row.local_path: row for row in (manifest or read_manifest())}
    if name not in rows:
        raise UpstreamError(f"'{name}' is not in data/upstream_manifest.csv")
    status = file_status(folder, rows[name])
    if status == "absent":
        raise UpstreamMissing(f"the authors' file {name} is not in {folder}. {REMEDY}")
    if status == "wrong":
        raise UpstreamError(_wrong(folder, [rows[name]]))
    return folder / name


def local_copy(
    folder: Path,
    rows: Sequence[UpstreamFile] | None = None,
    needed: Collection[str] = (),
) -> pd.DataFrame:
    """Verify a user's copy of the authors' files; nothing in it is changed.

    Parameters
    ----------
    folder : holds the files under their ``local_path``.
    rows : files to look for (default: the whole manifest).
    needed : uses (see `UpstreamFile.needed_for`) whose files must all be there.

    Returns
    -------
    frame (local_path, status, bytes) with status ``verified`` or ``absent``.

    Raises
    ------
    UpstreamMissing
        If the folder or a needed file is missing.
    UpstreamError
        If files differ from the pinned commit; each is named.
    """
    if not folder.is_dir():
        raise UpstreamMissing(f"there is no folder {folder}. {REMEDY}")
    rows = rows or read_manifest()
    states = {row: file_status(folder, row) for row in rows}
    if wrong := [row for row, state in states.items() if state == "wrong"]:
        raise UpstreamError(_wrong(folder, wrong))
    absent = [row for row, state in states.items() if state == "absent"]
    if lacking := [row.local_path for row in absent if set(needed) & set(row.needed_for)]:
        raise UpstreamMissing(f"{folder} lacks {', '.join(lacking)}. {REMEDY}")
    return pd.DataFrame(
        [(row.local_path, state, row.bytes) for row, state in states.items()],
        columns=["local_path", "status", "bytes"],
    ).astype({"bytes": "Int64"})


def _wrong(folder: Path, rows: Sequence[UpstreamFile]) -> str:
    lines = [
        f"  {row.local_path}: git blob id {_blob_id(folder / row.local_path)[:12]}, "
        f"expected {row.git_blob_sha1[:12]} (commit {row.commit[:7]})"
        for row in rows
    ]
    return (
        f"{len(rows)} file(s) in {folder} differ from the authors' pinned version and are not "
        "used:\n" + "\n".join(lines) + "\nDelete them and run `make data`, which fetches them "
        "again. (A git checkout that converts line ends changes files in this way.)"
    )
