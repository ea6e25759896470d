"""Verified download of the authors' files at their pinned commits.

pooch downloads, repeats and cleans up; what a right file is, is decided here by its git blob id.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from helpers.data.manifest import (
    BASE_URL,
    UpstreamError,
    UpstreamFile,
    file_status,
    git_blob_sha1,
    local_copy,
    read_manifest,
)
from helpers.runs import REPO

PARTIAL = ".partial"
NO_CONNECTION = "no connection"


class NotOnServer(Exception):
    """The server answers that it has no such file: trying again would not help."""


class VerifiedDownload:
    """Downloader for pooch, whose own hashes do not include git's blob id.

    pooch gives it a temporary file. A content that differs raises ValueError, upon which pooch
    deletes that file and tries again.
    """

    def __init__(self, row: UpstreamFile) -> None:
        self.row = row

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        """Download `url` to `output_file` and compare its git blob id with the manifest's."""
        import requests
        from pooch import HTTPDownloader

        try:
            HTTPDownloader(chunk_size=1 << 16, timeout=30)(url, output_file, pooch)
        except requests.exceptions.HTTPError as error:
            if error.response is not None and error.response.status_code in (403, 404, 410):
                raise NotOnServer(f"the server answered {error.response.status_code}") from error
            raise
        if (found := git_blob_sha1(Path(output_file))) != self.row.git_blob_sha1:
            raise ValueError(
                f"the server sent a wrong content (git blob id {found[:12]}, "
                f"expected {self.row.git_blob_sha1[:12]})"
            )


def fetch(
    folder: Path,
    rows: Sequence[UpstreamFile] | None = None,
    *,
    base_url: str = BASE_URL,
    retries: int = 2,
    report: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Download the authors' files into a folder; files that are there and right are kept.

    Parameters
    ----------
    folder : download target (``data/upstream``).
    rows : files to fetch (default: the whole manifest).
    base_url : address of the repository's raw files.
    retries : further attempts for a file whose download breaks off or has a wrong content.
    report : gets one line for each file that is fetched, and for each that was wrong.

    Returns
    -------
    frame (local_path, status, bytes), status ``kept``, ``downloaded`` or ``replaced``.

    Raises
    ------
    UpstreamError
        If files are missing in the end: it says which are done, which are not and why, and how
        to go on.

    Notes
    -----
    A file is downloaded to ``.partial/`` and moved to its place only when it is complete and
    verified, so that a killed download leaves nothing that could be taken for a finished file. A
    wrong file is set aside as ``<name>.wrong``.
    """
    rows = rows or read_manifest()
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[str, str] = {}
    failed: dict[str, str] = {}
    with FileLock(folder / ".lock"):
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        for row in rows:
            status = file_status(folder, row)
            if status == "verified":
                done[row.local_path] = "kept"
                continue
            if status == "wrong":
                _set_aside(folder / row.local_path, report)
            if problem := _download(folder, row, base_url, retries):
                failed[row.local_path] = problem
                report(f"{row.local_path}: FAILED, {problem}")
                if problem.startswith(NO_CONNECTION):
                    break
            else:
                done[row.local_path] = "replaced" if status == "wrong" else "downloaded"
                report(f"{row.local_path}: {done[row.local_path]} and verified")
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    if len(done) < len(rows):
        raise UpstreamError(_incomplete(rows, done, failed))
    sizes = [(folder / name).stat().st_size for name in done]
    return pd.DataFrame({"local_path": list(done), "status": list(done.values()), "bytes": sizes})


def fetch_upstream(upstream: str = "") -> int:
    """Do what ``make data`` does: download the authors' files, or verify the folder `upstream`.

    Returns
    -------
    0, when all files are there and verified (in a user's folder some may be absent).
    """
    if upstream:
        found = local_copy(Path(upstream))
        counts = found["status"].value_counts()
        print(f"{upstream}: {counts.get('verified', 0)} files verified, none wrong")
        for name in found.loc[found["status"] == "absent", "local_path"]:
            print(f"  absent: {name}")
    else:
        found = fetch(REPO / "data" / "upstream")
        counts = found["status"].value_counts().to_dict()
        print(f"data/upstream: {len(found)} files verified, {counts}")
    return 0


def _set_aside(path: Path, report: Callable[[str], None]) -> None:
    aside = path.with_name(path.name + ".wrong")
    os.replace(path, aside)
    report(f"{path.name} was not the authors' pinned version: kept as {aside.name}, fetched again")


def _download(folder: Path, row: UpstreamFile, base_url: str, retries: int) -> str | None:
    """Download, verify and move one file into place; return what went wrong, or None."""
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")  # its advice on SHA-256 would confuse: we verify blob ids
    name = row.local_path
    cache = pooch.create(
        path=folder / PARTIAL,
        base_url=f"{base_url}/",
        registry={name: None},
        urls={name: row.url(base_url)},
        retry_if_failed=retries,
    )
    try:
        complete = cache.fetch(name, downloader=VerifiedDownload(row))
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(complete, target)
    except requests.exceptions.ConnectionError as error:
        return f"{NO_CONNECTION} ({type(error).__name__})"
    except (requests.exceptions.RequestException, NotOnServer, ValueError) as error:
        return str(error)
    except OSError as error:
        return f"it could not be saved: {error.strerror}"
    return None


def _incomplete(rows: Sequence[UpstreamFile], done: dict[str, str], failed: dict[str, str]) -> str:
    missing = [row.local_path for row in rows if row.local_path not in done]
    lines = [f"  {name}: {failed.get(name, 'not tried')}" for name in missing]
    return (
        f"download incomplete: {len(done)} of {len(rows)} files are done and kept"
        f"{' (' + ', '.join(done) + ')' if done else ''}; {len(missing)} missing:\n"
        + "\n".join(lines)
        + "\nRun `make data` again when the network is there: it continues with the missing files. "
        "Without network, copy the files from another machine and give their folder: "
        "`make replicate UPSTREAM=<folder>`."
    )
