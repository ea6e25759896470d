"""Which files an archive holds: the code as git sees it, and what a run left, by rule."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers.archive.errors import ArchiveError
from helpers.archive.rights import Rights
from helpers.runs import Run

# Folders and files of a run that are deposited, below results/.
PARTS = {
    "tables": "result tables, each as CSV and Parquet",
    "figures": "figures, as PNG and SVG",
    "notebooks": "executed chapters, as notebook and HTML",
    "report.html": "the results on one page",
    "predictions": "predictions of every model and baseline, by task",
    "data": "prepared texts with labels and splits, by task",
    "labelling": "labels that the crowd proposed, and their majority",
    "responses": "raw responses of labellers behind endpoints, as gzipped JSON lines",
    "verification": "who reviewed what, decisions of simulated coders, labels that survived",
    "decisions": "decisions of people, as append-only logs",
    "estimates": "cross-fitted labels and simulations of chapter 09",
    "performance": "measured times, memory and cost",
    "chapters": "what each chapter read and wrote, with SHA-256 (the run's provenance)",
    "manifest.json": "resolved profile, package versions and code of the run",
}
# Folders of trainings: their predictions go into one table each.
CELLS = {"study": "training_size", "parts": "what_to_finetune"}
NEVER = ("data/upstream/", "data/own/", "runs/", "archives/")
FOLDERS = (
    "bench/",
    "binder/",
    "config/",
    "data/",
    "docs/",
    "figures/",
    "notebooks/",
    "src/",
    "tests/",
)
ADAPTER = ("adapter", "manifest.json", "history.csv", "performance.json")


@dataclass(frozen=True)
class LeftOut:
    """Files that are not in the archive: what, why, how many, and how large in bytes."""

    what: str
    why: str
    files: int
    size: int


def code_files(repo: Path) -> list[Path]:
    """Return the repository's files, sorted: those of git, or by the rules of .gitignore.

    Files that git does not know but does not ignore either are among them where they lie in one of
    the package's folders: a new profile is part of the run that used it, a note beside the README
    is not. Never those below data/upstream, data/own, runs and archives.
    """
    found = _by_git(repo)
    if found is None:
        found = _by_ignore_rules(repo)
    names = sorted(name for name in found if not name.startswith(NEVER))
    return [repo / name for name in names if (repo / name).is_file()]


def _by_git(repo: Path) -> set[str] | None:
    if not (repo / ".git").exists() or shutil.which("git") is None:
        return None
    found: set[str] = set()
    for option in ("--cached", "--others"):
        command = ["git", "ls-files", "-z", option, "--exclude-standard"]
        done = subprocess.run(command, cwd=repo, capture_output=True, check=False)
        if done.returncode:
            return None
        names = set(done.stdout.decode().split("\0")) - {""}
        found |= {n for n in names if option == "--cached" or n.startswith(FOLDERS)}
    return found


def _by_ignore_rules(repo: Path) -> set[str]:
    from pathspec import GitIgnoreSpec

    rules = repo / ".gitignore"
    lines = rules.read_text(encoding="utf-8").splitlines() if rules.is_file() else []
    spec = GitIgnoreSpec.from_lines([".git/", *lines])
    return set(spec.match_tree_files(repo, negate=True))


def own_files(repo: Path) -> list[Path]:
    """Return the user's own texts, below data/own."""
    return sorted(path for path in (repo / "data" / "own").rglob("*") if path.is_file())


def result_files(run: Run, rights: Rights) -> dict[str, Path]:
    """Return archive path -> file of the run, for all that is deposited as it is."""
    found = {}
    for part in PARTS:
        top = run.root / part
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            name = path.relative_to(run.root).as_posix()
            if path.is_file() and _is_kept(name) and not rights.excludes(name):
                found[f"results/{name}"] = path
    return found


def _is_kept(name: str) -> bool:
    parts = name.split("/")
    if any(part.startswith(".") for part in parts) or name.endswith((".lock", ".partial")):
        return False
    if parts[0] == "notebooks":  # cleaned, and exported, by the archive itself
        return False
    if parts[0] == "labelling" and "labellers" in parts:  # rows of labelled.parquet
        return False
    return parts[0] != "responses" or name.endswith(".jsonl.gz")


def excluded_files(run: Run, rights: Rights) -> list[LeftOut]:
    """Return what is left out for its texts, one entry a task and folder."""
    found = []
    for task, why in rights.reasons().items():
        alone = Rights({task: rights.restricted[task]})
        files = [
            path
            for path in sorted(run.root.rglob("*"))
            if path.is_file() and alone.excludes(path.relative_to(run.root).as_posix())
        ]
        what = f"prepared data, labels, responses, decisions and predictions of {task}"
        found.append(LeftOut(what, why, len(files), sum(p.stat().st_size for p in files)))
    return found


def cell_predictions(root: Path, part: str, rights: Rights | None = None) -> pd.DataFrame | None:
    """Return the predictions of all trainings of a chapter in one table; None if there are none.

    Parameters
    ----------
    root : folder of a run.
    part : ``study`` (chapter 06) or ``parts`` (chapter 07).
    rights : leaves out restricted tasks (default: all are kept).

    Returns
    -------
    frame (cell, id, split, status, answer, labels); `cell` is the training's folder,
    ``<task>/<model>/<labels>/n<size>-s<seed>`` or ``<task>/<method>/<fold>``.
    """
    frames = []
    for path in sorted((root / part).rglob("predictions.parquet")):
        cell = path.parent.relative_to(root / part).as_posix()
        if rights is None or not rights.excludes(f"{part}/{cell}/predictions.parquet"):
            frame = pd.read_parquet(path)
            frame.insert(0, "cell", cell)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else None


def model_files(run: Run, which: str) -> tuple[dict[str, Path], pd.DataFrame]:
    """Return which model files are deposited, and the list of all that the run made.

    Parameters
    ----------
    which : ``none``, ``adapters`` or ``all``.

    Returns
    -------
    archive path -> file; frame (file, sha256, bytes, deposited). Sums come from the stamps of the
    chapters, so that they are known also where the files themselves were removed.

    Raises
    ------
    ArchiveError
        If files are to be deposited that are not there.
    """
    sums: dict[str, str] = {}
    for stamp in sorted((run.root / "chapters").glob("*.json")):
        outputs = json.loads(stamp.read_text(encoding="utf-8"))["outputs"]
        sums |= {k: v for k, v in outputs.items() if k.startswith("models/")}
    kept = {name for name in sums if which == "all" or (which == "adapters" and _is_adapter(name))}
    if missing := sorted(name for name in kept if not (run.root / name).is_file()):
        raise ArchiveError(
            f"--models {which}: {len(missing)} model files are missing, first {missing[0]}. Make "
            "the run again, or leave the models out (--models none)"
        )
    rows = [(name, sums[name], _size(run.root / name), name in kept) for name in sorted(sums)]
    files = {f"results/{name}": run.root / name for name in sorted(kept)}
    return files, pd.DataFrame(rows, columns=["file", "sha256", "bytes", "deposited"])


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _is_adapter(name: str) -> bool:
    parts = name.split("/")  # models/<task>/<model>/...
    return len(parts) > 3 and parts[3] in ADAPTER
