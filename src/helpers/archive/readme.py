"""The archive's README.md, in the order of the social-science data editors' template."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.archive import facts
from helpers.archive.contents import PARTS, LeftOut
from helpers.archive.deposit import Deposit, reference_text
from helpers.archive.rights import Rights
from helpers.chapters import load_chapters
from helpers.profiles import Profile
from helpers.runs import Run

TEMPLATES = Path(__file__).parent / "templates"
INSTALLED = int(2.7 * facts.GIB)
"""Size of .venv with the pinned packages, measured on Linux without CUDA."""
CLASSES = (
    (0, 10, "<10 minutes"),
    (10, 60, "10-60 minutes"),
    (60, 120, "1-2 hours"),
    (120, 480, "2-8 hours"),
    (480, 1440, "8-24 hours"),
    (1440, 4320, "1-3 days"),
    (4320, 20160, "3-14 days"),
    (20160, math.inf, ">14 days"),
)
SOURCES = {
    "embedded": (
        "Embedded texts",
        "Written for this package, with labels fixed by their author; no real question, deposit or "
        "post. In `code/data/embedded/`, described by the datasheet "
        "`code/data/embedded/DATASHEET.md`. CC BY 4.0. Used by: {tasks}.",
    ),
    "upstream": (
        "Archive of Carammia, Iacus and Porro",
        "Annotated posts, parliamentary questions, codings and model outputs, from "
        "https://github.com/siacus/rethinking-scale at a pinned commit, CC BY 4.0. The texts are "
        "by real people and are **not** contained here, nor is anything about each single text "
        "(prepared data, responses, labels, predictions): these are left out by rule. `make data` "
        "downloads the files and verifies each. Used by: {tasks}.",
    ),
    "hub": (
        "Data sets on the Hugging Face hub",
        "Named in `code/config/tasks/`; downloaded by the run, under the terms on their pages, and "
        "**not** contained here. Used by: {tasks}.",
    ),
    "dataverse": (
        "Dataverse deposit",
        "Read by its DOI, which stands in `code/config/tasks/`; **not** contained here. Used by: "
        "{tasks}.",
    ),
    "own": (
        "Own texts",
        "Texts of this deposit's authors, described in `code/config/tasks/`. Used by: {tasks}.",
    ),
}


@dataclass(frozen=True)
class Packed:
    """What the archive holds, as `readme` and the metadata need it.

    Attributes
    ----------
    folder : of the archive; code, results and codebooks are there already.
    chapters : names of the chapters of the run.
    stale : those that were not up to date.
    """

    run: Run
    folder: Path
    deposit: Deposit
    rights: Rights
    chapters: list[str]
    stale: list[str]
    left_out: list[LeftOut]
    exhibits: pd.DataFrame
    models: pd.DataFrame


def readme(packed: Packed) -> str:
    """Return the README of an archive."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,  # a value that is missing must not become an empty field
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    text = environment.get_template("README.md.j2").render(_context(packed))
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [a for a, b in zip(lines, ["x", *lines], strict=False) if a or b]
    return "\n".join(kept) + "\n"


def _context(packed: Packed) -> dict[str, Any]:
    run, profile, citation = packed.run, packed.run.profile, packed.deposit.citation
    times = facts.chapter_times(run, packed.chapters)
    known = facts.machines(run, packed.chapters)
    first = known.found[0][0]
    models = packed.models["bytes"]
    tables = sorted((packed.folder / "results" / "tables").glob("*.csv"))
    pictures = {path.stem for path in (packed.folder / "results" / "figures").glob("*.*")}
    return {
        "title": packed.deposit.title,
        "abstract": citation.get("abstract", "").strip(),
        "profile": profile,
        "licence": citation["license"],
        "versions": facts.run_versions(run),
        "n_tables": len(tables),
        "n_figures": len(pictures),
        "n_packages": _packages(packed.folder / "code" / "requirements.txt"),
        "source_words": _source_words(profile),
        "results_words": _results_words(packed.folder / "results"),
        "chapters": [row | {"writes": _writes(row["chapter"])} for row in _records(times)],
        "total_minutes": max(1, round(times["seconds"].sum() / 60)),
        "processor_words": f"{first['cores']} cores of {first['processor']}",
        "peak_memory": number(times["memory_gib"].max()),
        "machines": known.found,
        "recorded": known.recorded,
        "date": facts.run_date(run),
        "workers_words": _workers_words(profile),
        "disk_bytes": facts.folder_bytes(run.root),
        "disk_estimated": bool(models.isna().any()),
        "install_bytes": INSTALLED,
        "classes": CLASSES,
        "restricted": packed.rights.restricted,
        "sources": _sources(packed),
        "left_out": packed.left_out,
        "data_files": facts.data_files(packed.folder / "code"),
        "not_provided": _not_provided(packed.rights),
        "stale": packed.stale,
        "partial": len(packed.chapters) < len(load_chapters()),
        "steps": steps(packed),
        "exhibits": _records(packed.exhibits),
        "exhibit_note": f"{len(packed.exhibits)} exhibits are listed, each with the notebook that "
        "makes it.",
        "references": [reference_text(entry) for entry in citation.get("references", [])],
        "mib": mib,
        "gib": gib,
        "number": number,
    }


def steps(packed: Packed) -> list[str]:
    """Return what a replicator does after checking the sums, as Markdown."""
    profile = packed.run.profile
    found = ["Install the packages: `make setup`."]
    if "upstream" in packed.rights.restricted.values():
        found.append("Download the authors' files: `make data`.")
    if "own" in packed.rights.restricted.values():
        found.append("Ask the authors for their texts, and put them into `code/data/own/`.")
    if not profile.offline or profile.verification.coders == "logs":
        found.append(
            "Put the deposited responses and decisions where the run reads them, so that no "
            "endpoint is asked and no key needed: `make prepare`."
        )
    if len(packed.chapters) == len(load_chapters()):
        found.append(f"Run everything: `make replicate PROFILE={profile.name}`.")
    else:
        names = " ".join(packed.chapters)
        found.append(
            f"Run it: `cd code && .venv/bin/python -m helpers replicate --profile {profile.name} "
            f"{names} && cd ..`."
        )
    found.append(
        f"Compare `code/runs/{profile.name}/` with `results/`, table by table: `make compare "
        f"PROFILE={profile.name}` (exit status 1 if a table differs)."
    )
    return found


def number(value: float) -> str:
    """Return a measured number with one digit, or words where nothing was measured."""
    return "not measured" if pd.isna(value) else f"{value:.1f}"


def mib(size: float) -> str:
    """Return a size in MiB, or words where files were removed before."""
    return f"{size / 2**20:,.1f} MiB" if size else "not known"


def gib(size: float) -> str:
    """Return a size in GiB."""
    return f"{size / facts.GIB:.1f} GiB"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _writes(chapter: str) -> str:
    patterns = load_chapters()[chapter].writes
    return ", ".join(f"`{pattern}`" for pattern in patterns)


def _packages(path: Path) -> int:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return sum("==" in line and not line.startswith("#") for line in lines)


def _source_words(profile: Profile) -> str:
    by_source: dict[str, list[str]] = {}
    for task in [*profile.tasks, *profile.describe_only]:
        by_source.setdefault(SOURCES[profile.source(task)][0].lower(), []).append(f"`{task}`")
    return " and ".join(f"{name} ({', '.join(tasks)})" for name, tasks in by_source.items())


def _results_words(results: Path) -> str:
    present = [name for name in PARTS if (results / name).exists()]
    return ", ".join(f"`{name}`" for name in present)


def _workers_words(profile: Profile) -> str:
    return f"The run used {profile.threads} thread(s) for each worker."


def _sources(packed: Packed) -> list[dict[str, str]]:
    profile = packed.run.profile
    by_source: dict[str, list[str]] = {}
    for task in [*profile.tasks, *profile.describe_only]:
        by_source.setdefault(profile.source(task), []).append(f"`{task}`")
    rows = []
    for source, tasks in by_source.items():
        name, text = SOURCES[source]
        extra = ""
        if source == "own":
            inside = not (packed.rights.restricted.keys() & {t.strip("`") for t in tasks})
            extra = " They are in `code/data/own/`." if inside else " They are **not** contained."
        rows.append({"name": name, "text": text.format(tasks=", ".join(tasks)) + extra})
    rows.append(
        {
            "name": "Codebooks and published values",
            "text": "`code/data/codebooks/` and `code/data/published/`: categories and scores from "
            "the sources that `LICENSE-DATA` names (facts; CC BY 4.0 source). Contained.",
        }
    )
    rows.append(
        {
            "name": "Files of the authors' archive",
            "text": "Chapter 08 recomputes published values from them where `make data` has "
            "fetched them; they are **not** contained. `code/data/upstream_manifest.csv` names "
            "each with size, git id and licence (CC BY 4.0).",
        }
    )
    return rows


def _not_provided(rights: Rights) -> list[dict[str, str]]:
    rows = [
        {"path": f"texts of `{task}`", "licence": "see above", "what": why}
        for task, why in rights.reasons().items()
    ]
    upstream = "the authors' files (`make data`): 38, listed in `code/data/upstream_manifest.csv`"
    return [*rows, {"path": "`code/data/upstream/`", "licence": "CC BY 4.0", "what": upstream}]
