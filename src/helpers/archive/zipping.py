"""Zip files: the same bytes for the same files, and unpacked nowhere but where they belong."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from helpers.archive.errors import ArchiveError
from helpers.runs import atomic_path

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows
STORED = (".png", ".gz", ".parquet", ".safetensors", ".zip")  # compressed already


def write_zip(folder: Path, target: Path) -> Path:
    """Pack a folder under its own name: sorted, with fixed dates and permissions, atomically."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as packed:
        for path in sorted(paths, key=lambda p: p.relative_to(folder).as_posix()):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            entry = zipfile.ZipInfo(name, DATE)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            stored = path.suffix.lower() in STORED
            entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, 2**20)
    return target


def top_folder(file: Path) -> str:
    """Return the one folder that all entries of a zip lie in.

    Raises
    ------
    ArchiveError
        If the file is no zip, is damaged, or an entry would land outside of that folder.
    """
    with _opened(file) as packed:
        tops = {_safe(file, info).parts[0] for info in packed.infolist()}
    if len(tops) != 1:
        raise ArchiveError(f"{file} holds {len(tops)} top folders instead of one")
    return tops.pop()


def unpack(file: Path, into: Path) -> Path:
    """Unpack a zip into a folder, atomically, and return the folder of its content.

    What is there under that name is replaced.
    """
    name = top_folder(file)
    partial = into / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with _opened(file) as packed:
        for info in packed.infolist():
            if info.is_dir():
                continue
            target = partial / _safe(file, info)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with packed.open(info) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 2**20)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise ArchiveError(f"{file}: {info.filename} is damaged ({error})") from error
    shutil.rmtree(into / name, ignore_errors=True)
    os.replace(partial / name, into / name)
    partial.rmdir()
    return into / name


def _opened(file: Path) -> zipfile.ZipFile:
    if not file.is_file():
        raise ArchiveError(f"no file {file}: name the zip that `make archive` wrote")
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{file} is no zip, or was cut short: {error}") from error


def _safe(file: Path, info: zipfile.ZipInfo) -> PurePosixPath:
    """Return an entry's path, if it is one below the archive's own folder."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    linked = stat.S_ISLNK(info.external_attr >> 16)
    drive = bool(path.parts) and path.parts[0].endswith(":")
    if path.is_absolute() or ".." in path.parts or not path.parts or drive or linked:
        raise ArchiveError(
            f"{file}: the entry '{info.filename}' points out of the archive's folder; nothing was "
            "unpacked. Take the file from its source again"
        )
    return path
