"""Runs: where results live, and the one function that decides whether work must be done again.

Everything that a run makes lies under ``runs/<profile>/``. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import random
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from threadpoolctl import threadpool_limits

from helpers.profiles import REPO, HelpersError, Profile, ProfileError, load_profile

__all__ = [
    "REPO",
    "HelpersError",
    "Profile",
    "ProfileError",
    "Run",
    "artifact",
    "atomic_path",
    "file_sha256",
    "frame_artifact",
    "frame_sha256",
    "load_profile",
    "open_run",
    "start",
    "write_performance",
    "write_table",
]

REPORTED_PACKAGES = ("torch", "transformers", "trl", "peft", "scikit-learn", "pandas", "numpy")
RECORD = "artifact.json"


@dataclass(frozen=True)
class Run:
    """A profile and the folders that its results go to.

    Attributes
    ----------
    profile : the settings.
    root : ``runs/<profile>``; every result lies below it.
    upstream : folder of the authors' files (downloaded by ``make data``, or a user's copy).
    """

    profile: Profile
    root: Path
    upstream: Path

    def path(self, *parts: str) -> Path:
        """Return a path below the run's folder; its parent folders are created."""
        path = self.root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def open_run(
    profile: str | Path,
    root: str | Path | None = None,
    upstream: str | Path | None = None,
    tasks: str | list[str] | None = None,
) -> Run:
    """Open a run without touching the state of the process.

    Parameters
    ----------
    profile : name of a profile, or path of a YAML file.
    root : folder of all runs (default: ``runs/`` of the repository).
    upstream : folder with the authors' files (default: ``data/upstream``).
    tasks : keep only these, as a list or comma-separated (default: all of the profile).
    """
    names = [t.strip() for t in tasks.split(",") if t.strip()] if isinstance(tasks, str) else tasks
    loaded = load_profile(profile, names or None)
    folder = Path(root) if root else REPO / "runs"
    source = Path(upstream) if upstream else REPO / "data" / "upstream"
    return Run(loaded, folder.resolve() / loaded.name, source.resolve())


def start(
    profile: str | Path,
    root: str | Path | None = None,
    upstream: str | Path | None = None,
    tasks: str | list[str] | None = None,
) -> Run:
    """Open a run in a notebook: seed, limit threads, and print versions, seed and device."""
    run = open_run(profile, root, upstream, tasks)
    random.seed(run.profile.seed)
    np.random.seed(run.profile.seed)
    threadpool_limits(limits=run.profile.threads)
    os.environ["OMP_NUM_THREADS"] = str(run.profile.threads)
    print(header(run.profile))
    return run


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the results."""
    found = {"python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package).split("+")[0]
    return found


def header(profile: Profile) -> str:
    """Return the lines that each chapter prints first."""
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    return (
        f"profile {profile.name}: {profile.title}\n{packages}\n"
        f"seed {profile.seed}, device {profile.device}, {profile.dtype}, "
        f"{profile.workers} worker(s) with {profile.threads} thread(s) each"
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in chunks."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def frame_sha256(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a frame's values and column names, in their present order."""
    content = frame.to_csv(index=False, lineterminator="\n").encode()
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def _clear_disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HelpersError(
                f"the disk is full: could not save {path.name} in {path.parent.name}/. What was "
                "saved before is intact. Free some space and run the same command again: it "
                "continues where it stopped."
            ) from error
        raise


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place only if the block succeeds.

    A reader sees the old file or the new one, never a part of it.

    Raises
    ------
    HelpersError
        If the disk is full; `path` is then what it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        with _clear_disk_errors(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as sorted, indented JSON, atomically."""
    with atomic_path(path) as temporary:
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_frame(path: Path, frame: pd.DataFrame, digits: int = 10) -> None:
    """Write a frame as CSV (so many significant digits) or Parquet, by the suffix, atomically."""
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False, lineterminator="\n", float_format=f"%.{digits}g")


def write_table(run: Run, name: str, frame: pd.DataFrame, digits: int = 10) -> pd.DataFrame:
    """Save a result table as ``tables/<name>.csv`` and ``.parquet``, and return it.

    Result tables hold no times, hosts or paths: two runs give the same bytes.
    """
    write_frame(run.path("tables", f"{name}.csv"), frame, digits)
    write_frame(run.path("tables", f"{name}.parquet"), frame)
    return frame


def write_performance(run: Run, name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Save a table of times, memory or costs as ``performance/<name>.csv``, and return it."""
    write_frame(run.path("performance", f"{name}.csv"), frame)
    return frame


def artifact(
    folder: Path, inputs: Mapping[str, Any], build: Callable[[Path], Any]
) -> tuple[Path, bool]:
    """Make a folder of results once: skip it if it is there and its inputs are the same.

    Parameters
    ----------
    folder : where the result goes.
    inputs : all that decides the result (settings, data hashes, versions); JSON values.
    build : writes the result into the folder that it is given. That folder outlives a kill, so
        `build` may continue from what it finds there (training checkpoints).

    Returns
    -------
    folder, and whether it was made now (False: it was there already).

    Notes
    -----
    The result appears under its name by one rename, when it is complete and its files are
    recorded with their SHA-256 in ``artifact.json``. A lock keeps two processes from making the
    same folder at once. If files were changed since, the folder is made again.
    """
    text = json.dumps(inputs, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if _is_complete(folder, key):
            return folder, False
        partial = folder.parent / f".{folder.name}.{key}.partial"
        for stale in folder.parent.glob(f".{folder.name}.*.partial"):
            if stale != partial:
                shutil.rmtree(stale)
        if not _is_complete(partial, key):
            partial.mkdir(exist_ok=True)
            with _clear_disk_errors(folder):
                build(partial)
                record = {"key": key, "inputs": json.loads(text), "files": _file_sums(partial)}
                write_json(partial / RECORD, record)
        _swap(partial, folder)
    return folder, True


def frame_artifact(
    path: Path, inputs: Mapping[str, Any], build: Callable[[], pd.DataFrame]
) -> tuple[pd.DataFrame, bool]:
    """Make one Parquet table once: like `artifact`, for results that are a single file.

    The record of inputs stands in ``.records/`` beside the file.

    Returns
    -------
    The table, and whether it was made now.
    """
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    record = path.parent / ".records" / f"{path.stem}.json"
    if path.is_file() and record.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known == {"key": key, "sha256": file_sha256(path)}:
            return pd.read_parquet(path), False
    frame = build()
    write_frame(path, frame)
    write_json(record, {"key": key, "sha256": file_sha256(path)})
    return frame, True


def _file_sums(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    }


def _is_complete(folder: Path, key: str) -> bool:
    record = folder / RECORD
    if not record.is_file():
        return False
    content = json.loads(record.read_text(encoding="utf-8"))
    return content["key"] == key and content["files"] == _file_sums(folder)


def _swap(new: Path, folder: Path) -> None:
    old = folder.parent / f".{folder.name}.old"
    if old.exists():
        shutil.rmtree(old)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    if old.exists():
        shutil.rmtree(old)
