"""`make archive`: from a finished run to a folder and a zip, checked before they are closed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock

from helpers.archive import codebook, scanning, sentences
from helpers.archive.deposit import load_deposit
from helpers.archive.errors import ArchiveError
from helpers.archive.packing import Options, fill
from helpers.archive.rights import Rights, rights_of
from helpers.archive.sums import write_sums
from helpers.archive.zipping import write_zip
from helpers.chapters import is_up_to_date, wanted_chapters
from helpers.profiles import PROFILES
from helpers.runs import Run

SHOWN = 20


@dataclass(frozen=True)
class Made:
    """What came out: folder, zip, what has to be filled in, columns without a description."""

    folder: Path
    file: Path
    files: int
    tables: int
    to_fill: list[str]
    undescribed: list[str]


def stale_chapters(run: Run, chapters: Sequence[str]) -> dict[str, str]:
    """Return chapter -> why it cannot be deposited as it is, for those that cannot."""
    found = {}
    for name in chapters:
        notebook = run.root / "notebooks" / f"{name}.ipynb"
        if not notebook.is_file():
            found[name] = "was never executed"
        elif not (run.root / "chapters" / f"{name}.json").is_file():
            found[name] = "did not finish"
        elif not is_up_to_date(name, run):
            found[name] = "is not up to date: code, settings, data or results changed since"
    return found


def make_archive(run: Run, out: Path, options: Options | None = None) -> Made:
    """Write ``<out>/<name>/`` and ``<out>/<name>.zip`` for a finished run.

    Both appear under their names when they are complete; what a killed call copied is used again.

    Parameters
    ----------
    run : a finished run.
    out : folder for the archive; created.

    Raises
    ------
    ArchiveError
        If a chapter is not up to date, or something must not be in the archive: names each.
    """
    options = options or Options()
    wanted = wanted_chapters(run, options.chapters)
    stale = stale_chapters(run, wanted)
    _refuse_stale(run, stale, options)
    deposit = load_deposit(options.repo)
    if not (options.repo / "config" / PROFILES.name / f"{run.profile.name}.yaml").is_file():
        raise ArchiveError(
            f"config/{PROFILES.name} has no {run.profile.name}.yaml, so that nobody could repeat "
            "the run: copy the profile there"
        )
    name = f"{_slug(deposit.title)}-{run.profile.name}"
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / f".{name}.lock"):
        partial = out / f".{name}.partial" / name
        partial.mkdir(parents=True, exist_ok=True)
        rights = rights_of(run.profile, options.include_own)
        packed = fill(run, partial, deposit, rights, wanted, sorted(stale), options)
        _refuse_findings(partial, run, rights, options)
        write_sums(partial)
        file = write_zip(partial, partial.parent / f"{name}.zip")
        _publish(partial, out / name)
        os.replace(file, out / file.name)
        shutil.rmtree(partial.parent)
    files = sum(path.is_file() for path in (out / name).rglob("*"))
    tables = len(list((out / name / "results" / "tables").glob("*.csv")))
    missing = codebook.undescribed(packed.run.root)
    return Made(out / name, out / f"{name}.zip", files, tables, deposit.to_fill, missing)


def _refuse_stale(run: Run, stale: dict[str, str], options: Options) -> None:
    if not stale:
        return
    lines = "\n".join(f"  {name} {why}" for name, why in stale.items())
    if options.allow_stale and not any(why == "was never executed" for why in stale.values()):
        options.say(f"archived as they are, and said so in the README:\n{lines}")
        return
    raise ArchiveError(
        f"the run {run.root} is not complete:\n{lines}\n"
        f"Run `make replicate PROFILE={run.profile.name}` first. A profile of some chapters "
        "only is archived with --chapters, a run that cannot be repeated now with --allow-stale"
    )


def _slug(title: str) -> str:
    letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in title.lower())
    return "-".join(part for part in letters.split("-") if part)


def _refuse_findings(folder: Path, run: Run, rights: Rights, options: Options) -> None:
    forbidden = scanning.forbidden_here(
        [run.root.parent, run.upstream, options.repo],
        text_index(run, rights, options.repo),
        options.allowed,
    )
    if found := scanning.scan(folder, forbidden):
        shutil.rmtree(folder.parent)
        lines = "\n".join(f"  {finding}" for finding in found[:SHOWN])
        more = f"\n  ... and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ArchiveError(
            f"{len(found)} things must not be in an archive; none was written:\n{lines}{more}\n"
            "Repair them where they come from (code/: the repository; results/: the run), and run "
            "the same command again"
        )


def text_index(run: Run, rights: Rights, repo: Path) -> sentences.TextIndex | None:
    """Return an index of the texts that must not be in the archive; None if there are none here.

    These are the authors' files, where they are present, and the prepared texts of every task
    whose texts are left out. Runs of words that also stand in embedded texts do not count.
    """
    texts = sentences.texts_of_folder(run.upstream) if run.upstream.is_dir() else []
    for task in rights.restricted:
        path = run.root / "data" / task / "texts.parquet"
        if path.is_file():
            texts += pd.read_parquet(path, columns=["text"])["text"].tolist()
    if not texts:
        return None
    formulas = [
        path.read_text(encoding="utf-8")
        for folder in ("embedded", "codebooks")
        for path in sorted((repo / "data" / folder).glob("*.*"))
        if path.suffix in (".jsonl", ".csv")
    ]
    return sentences.TextIndex(texts, formulas)


def _publish(partial: Path, folder: Path) -> None:
    """Move the finished folder to its name; the old one is away only for a moment."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)
