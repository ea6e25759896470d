"""Everything the archive's README and metadata say, from what the run measured and wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.archive.contents import LeftOut
from helpers.chapters import load_chapters
from helpers.machine import machine
from helpers.runs import Run, versions

GIB = 2**30


@dataclass(frozen=True)
class Machines:
    """On what the chapters ran: the descriptions, each with its chapters; whether runs noted it."""

    found: list[tuple[dict[str, Any], list[str]]]
    recorded: bool


def stamps(run: Run) -> dict[str, dict[str, Any]]:
    """Return chapter -> what it noted about its inputs, outputs and machine."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((run.root / "chapters").glob("*.json"))
    }


def machines(run: Run, chapters: list[str]) -> Machines:
    """Return the machines that the chapters ran on; this one where they noted none."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for name, stamp in stamps(run).items():
        if name in chapters and "machine" in stamp:
            key = json.dumps(stamp["machine"], sort_keys=True)
            found.setdefault(key, (stamp["machine"], []))[1].append(name)
    if found:
        return Machines(list(found.values()), True)
    return Machines([(machine(), chapters)], False)


def run_versions(run: Run) -> dict[str, str]:
    """Return the versions that the run used, from its stamps; of this environment if none."""
    for stamp in stamps(run).values():
        return dict(stamp["inputs"]["versions"])
    return versions()


def run_date(run: Run) -> str:
    """Return the day on which the last chapter ended (YYYY-MM-DD, UTC)."""
    ends = []
    for path in (run.root / "notebooks").glob("*.ipynb"):
        noted = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill", {})
        if noted.get("end_time"):
            ends.append(str(noted["end_time"])[:10])
    return max(ends, default="1980-01-01")


def chapter_times(run: Run, chapters: list[str]) -> pd.DataFrame:
    """Return what each chapter took.

    Returns
    -------
    frame (chapter, title, seconds, minutes, memory_gib), in reading order; NaN where a chapter
    was executed by hand, so that nothing was measured.
    """
    path = run.root / "performance" / "chapters.csv"
    columns = ["chapter", "seconds", "peak_memory_mib"]
    rows = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=columns)
    rows = rows.set_index("chapter").reindex(chapters)
    entries = load_chapters()
    return pd.DataFrame(
        {
            "chapter": chapters,
            "title": [entries[name].title for name in chapters],
            "seconds": rows["seconds"].to_numpy(dtype=float),
            "minutes": (rows["seconds"].astype(float) / 60).round(1).to_numpy(),
            "memory_gib": (rows["peak_memory_mib"].astype(float) / 1024).round(1).to_numpy(),
        }
    )


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def data_files(code: Path) -> list[dict[str, Any]]:
    """List the data files of the archive's code part: path, rows, licence and what they are."""
    about = {
        "embedded": ("texts written for this package, with labels", "CC BY 4.0"),
        "codebooks": ("codebook of a task", "facts, CC BY 4.0"),
        "published": ("scores that the article and its archive report", "facts, CC BY 4.0"),
        "own": ("own texts", "yours"),
    }
    rows = []
    for path in sorted((code / "data").rglob("*")):
        if path.suffix in (".jsonl", ".csv", ".parquet", ".xlsx") and path.is_file():
            part = path.relative_to(code / "data").parts[0]
            what, licence = about.get(part, ("list of the authors' files, with ids", "CC BY 4.0"))
            rows.append(
                {
                    "path": f"code/{path.relative_to(code).as_posix()}",
                    "rows": _rows(path),
                    "what": what,
                    "licence": licence,
                }
            )
    return rows


def _rows(path: Path) -> int:
    if path.suffix == ".jsonl":
        return sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())
    if path.suffix == ".parquet":
        return len(pd.read_parquet(path))
    return len(pd.read_excel(path) if path.suffix == ".xlsx" else pd.read_csv(path))


def models_left_out(models: pd.DataFrame) -> LeftOut | None:
    """Return the entry for the model files that are not deposited, if there are any."""
    left = models[~models["deposited"].astype(bool)]
    if left.empty:
        return None
    why = (
        "large, and made again by `make replicate` (chapters 04, 06 and 07); SHA-256 of each in "
        "`results/models.csv`"
    )
    return LeftOut("models", why, len(left), int(left["bytes"].fillna(0).sum()))
