"""``archive.json``: what `verify` must know about an archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.archive import facts
from helpers.archive.errors import ArchiveError
from helpers.archive.readme import Packed
from helpers.profiles import load_profile

FORMAT = 1


def record_of(packed: Packed) -> dict[str, Any]:
    """Return what ``archive.json`` says about an archive."""
    known = facts.machines(packed.run, packed.chapters)
    return {
        "format": FORMAT,
        "profile": packed.run.profile.name,
        "tasks": packed.run.profile.tasks,
        "some_tasks": packed.run.profile.tasks != load_profile(packed.run.profile.name).tasks,
        "offline": packed.run.profile.offline,
        "coders": packed.run.profile.verification.coders,
        "chapters": packed.chapters,
        "stale": packed.stale,
        "restricted": packed.rights.restricted,
        "machines": [{"machine": found, "chapters": names} for found, names in known.found],
        "machines_recorded": known.recorded,
        "versions": facts.run_versions(packed.run),
        "date": facts.run_date(packed.run),
        "tables": sorted(p.stem for p in (packed.folder / "results" / "tables").glob("*.csv")),
    }


def read_record(folder: Path) -> dict[str, Any]:
    """Return ``archive.json`` of an unpacked archive.

    Raises
    ------
    ArchiveError
        If it is missing or of another format.
    """
    path = folder / "archive.json"
    if not path.is_file():
        raise ArchiveError(f"{path} is missing: this is no archive that `make archive` wrote")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if record.get("format") != FORMAT:
        raise ArchiveError(
            f"{path}: format {record.get('format')}, this version reads {FORMAT}: use the version "
            "of the code that is in the archive, under code/"
        )
    return record
