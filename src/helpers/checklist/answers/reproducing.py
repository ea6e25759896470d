"""REFORMS, module 2: data, code, machine, instructions."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version

from helpers.chapters import load_chapters
from helpers.checklist.facts import Fact, Facts, listed
from helpers.machine import described
from helpers.runs import REPO, file_sha256

HASH = 16  # digits that are shown


def texts(facts: Facts) -> list[Fact]:
    """2a: number, source and hash of each task's texts."""
    found = []
    for task in facts.tasks:
        path = facts.run.root / "data" / task.name / "manifest.json"
        if not path.is_file():
            continue
        made = json.loads(path.read_text(encoding="utf-8"))
        found.append(
            Fact(
                f"{task.name}: {made['texts']:,} texts, source `{made['source']}`, SHA-256 of the "
                f"split texts {made['sha256'][:HASH]}",
                f"`data/{task.name}/manifest.json`, chapter 01",
            )
        )
    if facts.run.profile.data == "embedded":
        found.append(Fact("the texts come with the code, under CC BY 4.0", "`LICENSE-DATA`"))
    return found


def code(facts: Facts) -> list[Fact]:
    """2b: version of the package, and whether the code is still what the run used."""
    recorded = {
        name: sha
        for chapter in facts.manifest.get("chapters", {}).values()
        for name, sha in chapter.items()
        if name.startswith("src/")
    }
    try:
        number = version("helpers")
    except PackageNotFoundError:
        number = "not installed"
    if not recorded:
        return []
    differ = [k for k, v in recorded.items() if not _same(k, v)]
    state = f"{len(differ)} of them differ now" if differ else "all of them are as they were"
    return [
        Fact(f"package helpers {number}", "`pyproject.toml`"),
        Fact(
            "SHA-256 of every file of code, configuration and data that each chapter read",
            "`manifest.json`",
        ),
        Fact(f"{len(recorded)} files of code; {state}", varies=True),
    ]


def _same(name: str, sha: str) -> bool:
    return (REPO / name).is_file() and file_sha256(REPO / name) == sha


def machine(facts: Facts) -> list[Fact]:
    """2c: versions, precision, threads; times and memory of the chapters."""
    profile = facts.run.profile
    numbers = ", ".join(f"{k} {v}" for k, v in sorted(facts.manifest.get("versions", {}).items()))
    found = [
        Fact(
            f"device {profile.device}, {profile.dtype}, {profile.threads} thread(s) a process; "
            "these are fixed, since they change the last digits",
            f"`config/profiles/{profile.name}.yaml`",
        ),
        Fact("every package with its version", "`requirements.txt`"),
    ]
    if numbers:
        found.append(Fact(f"versions: {numbers}", "`manifest.json`"))
    stamps = (facts.run.root / "chapters" / f"{name}.json" for name in facts.done)
    noted = [json.loads(path.read_text(encoding="utf-8")).get("machine") for path in stamps]
    for words in dict.fromkeys(described(one) for one in noted if one):
        found.append(Fact(f"machine: {words}", "`chapters/`", varies=True))
    times = facts.table("chapters", "performance")
    if len(times):
        each = [f"{r.chapter[:2]}: {r.seconds:.0f} s" for r in times.itertuples()]
        peak = times["peak_memory_mib"].max() / 1024
        where = "`performance/chapters.csv`"
        found.append(Fact(f"time by chapter: {listed(each, 12)}", where, varies=True))
        found.append(Fact(f"memory: at most {peak:.1f} GiB", where, varies=True))
    return found


def readme(facts: Facts) -> list[Fact]:
    """2d: the package's README."""
    return [Fact("in the order of the social science data editors", "`README.md`")]


def script(facts: Facts) -> list[Fact]:
    """2e: one command, and which chapters it has finished."""
    every = load_chapters()
    state = f"{len(facts.done)} of {len(every)} chapters were finished"
    if missing := [name for name in every if name not in facts.done]:
        state += f"; not: {', '.join(missing)}"
    return [
        Fact(f"`make replicate PROFILE={facts.run.profile.name}` installs and runs everything"),
        Fact(state, "`chapters/`"),
    ]
