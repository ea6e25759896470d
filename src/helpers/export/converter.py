"""llama.cpp's converter from Hugging Face folders to GGUF, of the version that is compiled here.

The converter is no package of its own. It comes with the source archive of llama-cpp-python, under
``vendor/llama.cpp``: the script ``convert_hf_to_gguf.py``, the folder ``conversion`` and the
library ``gguf-py``, which the script prefers to an installed one. The archive of the installed
version is fetched by pip, its SHA-256 is recorded (and compared where we know it), and only these
parts are unpacked, into a cache folder outside the repository.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from helpers.export.optional import ExportError, require
from helpers.runs import file_sha256, write_json

PACKAGE = "llama-cpp-python"
SCRIPT = "convert_hf_to_gguf.py"
WANTED = (SCRIPT, "conversion/", "gguf-py/", "LICENSE")
KNOWN = {"0.3.36": "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"}
"""SHA-256 of source archives that committed results rest on."""
SOURCE = "source.json"


def converter(cache: Path | None = None, archive: Path | None = None) -> Path:
    """Return the converter's script; fetch and unpack it first if it is not in the cache.

    Parameters
    ----------
    cache : folder for unpacked converters (default: the user's cache folder).
    archive : source archive of the installed llama-cpp-python, for machines without a network.

    Raises
    ------
    ExportError
        If llama-cpp-python is missing, or its archive cannot be fetched or is not the known one.
    """
    require("llama_cpp")
    wanted = version(PACKAGE)
    folder = (cache or default_cache()) / f"llama.cpp-{wanted}"
    if (folder / SOURCE).is_file() and (folder / SCRIPT).is_file():
        return folder / SCRIPT
    with tempfile.TemporaryDirectory() as scratch:
        unpack(archive or _fetch(wanted, Path(scratch)), wanted, folder)
    return folder / SCRIPT


def default_cache() -> Path:
    """Return the cache folder of this package, in the place the operating system has for it."""
    import pooch

    return Path(pooch.os_cache("helpers"))


def source(script: Path) -> dict[str, str]:
    """Return version and SHA-256 of the archive that a converter came from."""
    found: dict[str, str] = json.loads((script.parent / SOURCE).read_text(encoding="utf-8"))
    return found


def _fetch(wanted: str, folder: Path) -> Path:
    """Download the source archive with pip, from the index that pip is set to."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--no-binary"]
    command += [PACKAGE, "--disable-pip-version-check", f"{PACKAGE}=={wanted}", "--dest"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    found = list(folder.glob("*.tar.gz"))
    if done.returncode or len(found) != 1:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ExportError(
            f"cannot fetch the source archive of {PACKAGE} {wanted}, which holds the converter "
            f"({last}): connect to the package index, or pass a downloaded archive"
        )
    return found[0]


def unpack(archive: Path, wanted: str, folder: Path) -> None:
    """Unpack the converter from a source archive into `folder` and record where it came from.

    Raises
    ------
    ExportError
        If the archive is not the known one of this version, is damaged, or holds no converter.
    """
    sha256 = file_sha256(archive)
    if KNOWN.get(wanted, sha256) != sha256:
        raise ExportError(
            f"{archive.name} has SHA-256 {sha256[:12]}…, expected {KNOWN[wanted][:12]}…: the file "
            "is damaged or another one; delete it and download it again"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        new = Path(scratch) / "new"
        try:
            _extract(archive, new)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ExportError(f"{archive.name} cannot be unpacked: {error}") from error
        if not (new / SCRIPT).is_file():
            raise ExportError(f"{archive.name} holds no {SCRIPT}: is it {PACKAGE} {wanted}?")
        write_json(new / SOURCE, {"package": PACKAGE, "version": wanted, "sha256": sha256})
        if not (folder / SOURCE).is_file():  # another process may have been faster
            os.replace(new, folder)


def _extract(archive: Path, folder: Path) -> None:
    """Extract the wanted files, without the archive's leading folders."""
    marker = "/vendor/llama.cpp/"
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            _, found, inside = member.name.partition(marker)
            if found and member.isfile() and inside.startswith(WANTED):
                member.name = inside
                tar.extract(member, folder, filter="data")
