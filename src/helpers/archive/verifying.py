"""`make verify-archive`: unpack, check sums, run everything anew, compare every table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from helpers.archive.comparing import Comparison, compare_runs
from helpers.archive.errors import ArchiveError
from helpers.archive.outcome import write_outcome
from helpers.archive.record import read_record
from helpers.archive.sums import check_sums
from helpers.archive.zipping import top_folder, unpack
from helpers.machine import machine, same_type
from helpers.profiles import PROFILES
from helpers.runs import file_sha256, write_json

STATE = "verification-state.json"
TAIL = 30  # lines of a log that are shown when a step fails
# What an outer `make` hands on to the commands that it runs, and would change inner ones.
MAKE_VARIABLES = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "MAKEFILES")
# Variables that would make the archive's code find another environment or another package.
PYTHON_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Verification:
    """Folder of the unpacked archive, what differs, and where the report is."""

    folder: Path
    comparison: Comparison
    report: Path


def verify_archive(
    file: Path,
    into: Path | None = None,
    *,
    setup: bool = True,
    upstream: str = "",
    say: Callable[[str], None] = print,
) -> Verification:
    """Repeat an archive in another folder and compare every table with the deposited one.

    Steps that are done are not repeated when the same command is given again.

    Parameters
    ----------
    file : the zip.
    into : folder for all of it (default: ``<file's name>-verification`` beside it).
    setup : make a fresh environment with the archive's own Makefile; False: use the environment
        that this command runs in.
    upstream : folder of the authors' files, for runs that read them.
    say : called with a line before each step.

    Returns
    -------
    Verification; ``<file's name>.verification.json`` and ``.md`` are written beside `file`.

    Raises
    ------
    ArchiveError
        If sums differ (names each file), or a step fails (with the end of its log).
    """
    file = file.resolve()
    into = (into or file.with_name(f"{file.stem}-verification")).resolve()
    into.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(into / ".lock", timeout=0):
            return _verify(file, into, setup, upstream, say)
    except Timeout:
        raise ArchiveError(f"{into} is in use by another verification: wait for it") from None


def _verify(
    file: Path, into: Path, setup: bool, upstream: str, say: Callable[[str], None]
) -> Verification:
    say(f"unpacking into {into}")
    folder = _unpacked(file, into)
    record = read_record(folder)
    run = folder / "code" / "runs" / str(record["profile"])
    profile = _prepared(folder, record)
    if setup:
        say("making a fresh environment (some minutes)")
        _run(["make", "-C", str(folder / "code"), "setup"], into, "setup")
    elif not (folder / "code" / "src" / "helpers" / "__init__.py").is_file():
        # Python would find this environment's own copy of the package instead.
        raise ArchiveError(f"{folder}/code/src/helpers is missing: this archive has no code to run")
    say(f"running {len(record['chapters'])} chapters anew, profile {profile}")
    _run(_replicate(folder, record, setup, upstream), into, "replicate", folder, setup)
    here = machine()
    strict = all(same_type(here, entry["machine"]) for entry in record["machines"])
    say("comparing tables and predictions" + (" to the byte" if strict else " within tolerances"))
    comparison = compare_runs(folder / "results", run, strict=strict)
    report = write_outcome(file, record, here, comparison)
    return Verification(folder, comparison, report)


def _unpacked(file: Path, into: Path) -> Path:
    """Return the folder of the unpacked archive; unpack it and check its sums only once."""
    state = into / STATE
    done = yaml.safe_load(state.read_text(encoding="utf-8")) if state.is_file() else {}
    folder = into / top_folder(file)
    key = file_sha256(file)
    if done.get("archive") == key and folder.is_dir():
        return folder
    folder = unpack(file, into)
    if differences := check_sums(folder):
        raise ArchiveError(f"{file.name}: the files are not as its SHA256SUMS says:\n{differences}")
    write_json(state, {"archive": key})
    return folder


def prepare(folder: Path, profile: str = "") -> list[str]:
    """Put deposited responses and decisions where the run in ``<folder>/code`` reads them.

    Decisions are copied; the profile is set to replay the archived responses, so that no endpoint
    is asked and no key needed.

    Returns
    -------
    What was done, in words.
    """
    record = read_record(folder)
    name = profile or str(record["profile"])
    done = []
    decisions = folder / "results" / "decisions"
    if decisions.is_dir():
        target = folder / "code" / "runs" / name / "decisions"
        shutil.copytree(decisions, target, dirs_exist_ok=True)
        done.append("decisions copied")
    path = folder / "code" / "config" / PROFILES.name / f"{name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    labelling = content.setdefault("labelling", {})
    if not record["offline"] and labelling.get("responses") != "replay":
        labelling |= {"responses": "replay", "archive": "../results/responses"}
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        done.append(f"{path.name}: responses are replayed from results/responses")
    return done


def _prepared(folder: Path, record: dict[str, Any]) -> str:
    if not record["offline"] or record["coders"] == "logs":
        prepare(folder)
    return str(record["profile"])


def _replicate(folder: Path, record: dict[str, Any], setup: bool, upstream: str) -> list[str]:
    code = folder / "code"
    python = str(code / ".venv" / "bin" / "python") if setup else sys.executable
    command = [python, "-m", "helpers", "replicate", "--profile", str(record["profile"])]
    command += ["--tasks", ",".join(record["tasks"])] if record.get("some_tasks") else []
    command += ["--upstream", str(Path(upstream).resolve())] if upstream else []
    return [*command, *record["chapters"]]


def _run(
    command: list[str], into: Path, step: str, folder: Path | None = None, setup: bool = True
) -> None:
    """Run a step with its output in ``<into>/<step>.log``; raise with the log's end if it fails."""
    env = {k: v for k, v in os.environ.items() if k not in (*MAKE_VARIABLES, *PYTHON_VARIABLES)}
    if not setup and folder is not None:
        env["PYTHONPATH"] = str(folder / "code" / "src")
    log = into / f"{step}.log"
    cwd = folder / "code" if folder else into
    with log.open("w", encoding="utf-8") as sink:
        done = subprocess.run(command, cwd=cwd, env=env, stdout=sink, stderr=subprocess.STDOUT)
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
        tail = "\n".join(f"  {line}" for line in lines)
        raise ArchiveError(
            f"the step '{step}' failed (exit status {done.returncode}). The end of {log}:\n{tail}\n"
            "Repair the cause and give the same command again: it goes on from here"
        )
