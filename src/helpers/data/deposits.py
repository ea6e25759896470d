"""Deposits on Dataverse servers: list the files of a pinned version, download and verify one.

pooch's own Dataverse downloader takes whatever version is the latest; here the version is pinned,
and the listing's checksum decides what a right file is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock

from helpers.data.downloads import PARTIAL, NotOnServer
from helpers.data.validation import DataError, shown_path
from helpers.runs import atomic_path

RECORD = "deposit.json"
LISTED = 40  # files that a message names at most
GONE = (401, 403, 404, 410)  # asking again would not help
BUSY = (429, 500, 502, 503, 504)


class DepositError(DataError):
    """A deposit cannot be listed, or a file of it cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Deposit:
    """A dataset on a Dataverse server: address of the server, DOI, pinned version."""

    server: str
    doi: str
    version: str

    def listing_url(self) -> str:
        """Return the address of the list of files (native API)."""
        doi = quote(f"doi:{self.doi}", safe=":/")
        return (
            f"{self.server.rstrip('/')}/api/datasets/:persistentId/versions/{self.version}/files"
            f"?persistentId={doi}"
        )

    def __str__(self) -> str:
        return f"doi:{self.doi}, version {self.version}"


@dataclass(frozen=True)
class DepositFile:
    """A file of a deposit.

    Attributes
    ----------
    path : folder and name as they were uploaded, e.g. ``data/reports.csv``.
    number : id on the server.
    size : bytes.
    checksum : ``md5:...`` (or another algorithm of `hashlib`) as the server lists it.
    restricted : whether only people with permission can download it.
    original : whether the server keeps a converted copy besides; the original is what we ask for.
    """

    path: str
    number: int
    size: int
    checksum: str
    restricted: bool
    original: bool

    def url(self, deposit: Deposit) -> str:
        """Return the address of the file."""
        address = f"{deposit.server.rstrip('/')}/api/access/datafile/{self.number}"
        return f"{address}?format=original" if self.original else address


def list_files(deposit: Deposit, retries: int = 2) -> list[DepositFile]:
    """Ask the server for the files of a pinned version, in the order of their paths.

    Raises
    ------
    DepositError
        If the server cannot be reached, does not have this version, or answers something else.
    """
    import requests
    from requests.adapters import HTTPAdapter, Retry

    policy = Retry(retries, backoff_factor=1, status_forcelist=BUSY, raise_on_status=False)
    try:
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=policy))
            answer = session.get(deposit.listing_url(), timeout=30)
    except requests.exceptions.RequestException as error:
        raise DepositError(
            f"no connection to {deposit.server} ({type(error).__name__}): check the network, or "
            "use a profile with embedded data"
        ) from error
    if answer.status_code != 200:
        raise DepositError(
            f"{deposit.server} does not list the files of {deposit}: it answered "
            f"{answer.status_code}. Check doi and version in the task's YAML, or try later."
        )
    try:
        files = [_listed(entry) for entry in answer.json()["data"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DepositError(
            f"{deposit.server} answered something that is no list of files ({error!r}): is "
            "`server` in the task's YAML a Dataverse server?"
        ) from error
    return sorted(files, key=lambda file: file.path)


def _listed(entry: dict[str, Any]) -> DepositFile:
    data = entry["dataFile"]
    original = data.get("originalFileName") or data.get("originalFileFormat")
    name = data.get("originalFileName") or entry.get("label") or data["filename"]
    folder = entry.get("directoryLabel")
    checksum = data.get("checksum") or {"type": "MD5", "value": data["md5"]}
    return DepositFile(
        path=f"{folder}/{name}" if folder else name,
        number=int(data["id"]),
        size=int((data.get("originalFileSize") if original else None) or data.get("filesize") or 0),
        checksum=f"{checksum['type'].lower().replace('-', '')}:{checksum['value'].lower()}",
        restricted=bool(entry.get("restricted", False)),
        original=bool(original),
    )


def choose_file(deposit: Deposit, files: Sequence[DepositFile], wanted: str | None) -> DepositFile:
    """Return the file of a deposit that the YAML names, by its path or its name alone.

    Raises
    ------
    DepositError
        If it names none, or one that is not there, is there twice or is restricted; the files that
        are there are listed.
    """
    found = [file for file in files if wanted in (file.path, file.path.rsplit("/", 1)[-1])]
    exact = [file for file in found if file.path == wanted]
    if len(exact or found) != 1:
        problem = f"{len(found) or 'no'} file(s) '{wanted}'" if wanted else "no file chosen"
        lines = [f"  {file.path} ({file.size:,} bytes)" for file in files[:LISTED]]
        if len(files) > LISTED:
            lines.append(f"  ... and {len(files) - LISTED} more")
        raise DepositError(
            f"{deposit}: {problem}. Set `file` of data.dataverse in the task's YAML to one of "
            f"these {len(files)}:\n" + "\n".join(lines)
        )
    (file,) = exact or found
    if file.restricted:
        raise DepositError(
            f"{file.path} of {deposit} is restricted: ask for access at https://doi.org/"
            f"{deposit.doi}, download it there and put it where the message of an offline run says"
        )
    return file


def has_checksum(path: Path, checksum: str) -> bool:
    """Tell whether a file is there and has a checksum such as ``md5:...``."""
    algorithm, _, expected = checksum.partition(":")
    if not path.is_file():
        return False
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest() == expected


def fetch_file(
    deposit: Deposit,
    wanted: str | None,
    folder: Path,
    *,
    md5: str | None = None,
    offline: bool = False,
    retries: int = 2,
    report: Callable[[str], None] = print,
) -> Path:
    """Return a verified file of a deposit; download it if it is not there.

    Parameters
    ----------
    wanted : path or name of the file in the deposit.
    folder : download target. ``deposit.json`` in it says which file was verified by what checksum,
        so that a later run needs no connection.
    md5 : expected checksum, if it is known beforehand; a listing that differs is refused.
    offline : refuse to use the network.
    retries : further attempts for a download that breaks off or has a wrong content.

    Raises
    ------
    DepositError
        If the file is not there and cannot be downloaded, or is not the right one.

    Notes
    -----
    The download is made in ``.partial/`` and moved to its place when it is complete and verified.
    """
    target = folder / wanted.rsplit("/", 1)[-1] if wanted else None
    known = f"md5:{md5.lower()}" if md5 else _recorded(deposit, wanted, folder)
    if target and known and has_checksum(target, known):
        return target
    if offline:
        place = shown_path(target or folder)
        raise DepositError(
            f"the profile says offline: true, and {place} is not there, or not verified. Set "
            f"offline: false for one run, or download the file from https://doi.org/{deposit.doi}, "
            "put it there and set `md5` of data.dataverse in the task's YAML to its checksum."
        )
    file = choose_file(deposit, list_files(deposit, retries), wanted)
    if md5 and file.checksum != f"md5:{md5.lower()}":
        raise DepositError(
            f"{file.path} of {deposit} has the checksum {file.checksum}, the task's YAML expects "
            f"md5:{md5.lower()}: the deposit has changed, or `md5` is wrong"
        )
    target = folder / file.path.rsplit("/", 1)[-1]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not has_checksum(target, file.checksum):
            if target.exists():
                os.replace(target, target.with_name(target.name + ".wrong"))
                report(f"{target.name} was not the deposit's file: kept as {target.name}.wrong")
            _download(deposit, file, target, retries)
            report(f"{file.path}: downloaded and verified")
        record = asdict(deposit) | {"file": file.path, "checksum": file.checksum}
        with atomic_path(folder / RECORD) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return target


def _recorded(deposit: Deposit, wanted: str | None, folder: Path) -> str | None:
    """Return the checksum of an earlier download of the same file, if there was one."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(record, dict):
        return None
    names = (record.get("file"), str(record.get("file")).rsplit("/", 1)[-1])
    same = (record.get("doi"), record.get("version")) == (deposit.doi, deposit.version)
    return record.get("checksum") if same and wanted in names else None


def _download(deposit: Deposit, file: DepositFile, target: Path, retries: int) -> None:
    import pooch
    import requests

    def get(url: str, output: Any, cache: Any, check_only: bool = False) -> None:
        try:
            pooch.HTTPDownloader(chunk_size=1 << 16, timeout=30)(url, output, cache)
        except requests.exceptions.HTTPError as error:
            if error.response is not None and error.response.status_code in GONE:
                raise NotOnServer(f"the server answered {error.response.status_code}") from error
            raise

    pooch.get_logger().setLevel("ERROR")
    partial = target.parent / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    cache = pooch.create(
        path=partial,
        base_url="",
        registry={target.name: file.checksum},
        urls={target.name: file.url(deposit)},
        retry_if_failed=retries,
    )
    try:
        os.replace(cache.fetch(target.name, downloader=get), target)
    except requests.exceptions.ConnectionError as error:
        raise _failed(file, deposit, f"no connection ({type(error).__name__})") from error
    except ValueError as error:  # what pooch raises for a wrong checksum
        raise _failed(file, deposit, f"its content does not match {file.checksum}") from error
    except (requests.exceptions.RequestException, NotOnServer) as error:
        raise _failed(file, deposit, str(error)) from error
    except OSError as error:
        raise _failed(file, deposit, f"it could not be saved: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _failed(file: DepositFile, deposit: Deposit, why: str) -> DepositError:
    return DepositError(
        f"{file.path} of {deposit} was not downloaded: {why}. Run the same command again, or use a "
        "profile with embedded data."
    )
