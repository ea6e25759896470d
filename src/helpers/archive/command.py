"""Command line: ``python -m helpers.archive make|verify|compare|prepare``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.profiles import REPO, HelpersError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m helpers.archive", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    make = commands.add_parser("make", help="pack a finished run into a folder and a zip")
    make.add_argument("--profile", default="demo", help="name in config/profiles, or a YAML file")
    make.add_argument("--root", default="", help="folder of all runs (default: runs/)")
    make.add_argument("--upstream", default="", help="folder with the authors' data files")
    make.add_argument("--tasks", default="", help="comma-separated, as the run was made with")
    make.add_argument("--out", default="", help="folder of the archive (archives/<profile>)")
    make.add_argument(
        "--models", choices=["none", "adapters", "all"], default="none", help="models to deposit"
    )
    make.add_argument("--include-own", action="store_true", help="deposit data/own too")
    make.add_argument("--allow-stale", action="store_true", help="though chapters are not current")
    make.add_argument("--chapters", nargs="+", default=[], help="of a run of some chapters only")
    make.add_argument("--allow", action="append", default=[], help="a word that is harmless")

    verify = commands.add_parser("verify", help="repeat an archive elsewhere, compare all tables")
    verify.add_argument("file", help="the zip that `make` wrote")
    verify.add_argument("--into", default="", help="folder for all of it")
    verify.add_argument("--upstream", default="", help="folder with the authors' data files")
    verify.add_argument(
        "--no-setup", action="store_true", help="use this environment, not a new one"
    )

    compare = commands.add_parser("compare", help="compare a run with an unpacked archive")
    compare.add_argument("archive", help="folder of the unpacked archive")
    compare.add_argument("run", help="folder of the run, runs/<profile>")
    compare.add_argument(
        "--tolerant",
        action="store_true",
        help="within tolerances, though the processor is the same",
    )

    prepare = commands.add_parser("prepare", help="put deposited responses where a run reads them")
    prepare.add_argument("archive", help="folder of the unpacked archive")
    prepare.add_argument("--profile", default="", help="default: the archive's")
    return parser


def _make(options: argparse.Namespace) -> int:
    from helpers.archive.making import make_archive
    from helpers.archive.packing import Options
    from helpers.runs import open_run

    run = open_run(options.profile, options.root, options.upstream, options.tasks)
    out = Path(options.out) if options.out else REPO / "archives" / run.profile.name
    chosen = Options(
        models=options.models,
        include_own=options.include_own,
        allow_stale=options.allow_stale,
        chapters=options.chapters,
        allowed=options.allow,
    )
    made = make_archive(run, out, chosen)
    size = made.file.stat().st_size / 2**20
    file, folder = os.path.relpath(made.file), os.path.relpath(made.folder)
    print(f"{file}  {size:.1f} MiB, {made.files} files, {made.tables} tables")
    print(f"{folder}/  the same, unpacked; begin with README.md")
    for name in made.undescribed:
        print(f"not described in config/archive/codebook.yaml: {name}")
    for what in made.to_fill:
        print(f"to be filled in by hand before the deposit: {what}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from helpers.archive.verifying import verify_archive

    into = Path(options.into) if options.into else None
    done = verify_archive(
        Path(options.file), into, setup=not options.no_setup, upstream=options.upstream
    )
    print(done.comparison.summary())
    print(f"report: {os.path.relpath(done.report)}")
    return 0 if done.comparison.equal else 1


def _compare(options: argparse.Namespace) -> int:
    from helpers.archive.comparing import compare_runs
    from helpers.archive.record import read_record
    from helpers.machine import machine, same_type

    folder = Path(options.archive)
    record, here = read_record(folder), machine()
    strict = all(same_type(here, entry["machine"]) for entry in record["machines"])
    strict = strict and not options.tolerant
    done = compare_runs(folder / "results", Path(options.run), strict=strict)
    rows = done.differences()
    if len(rows):
        print(rows.head(50).to_string(index=False))
    print("compared " + ("to the byte" if strict else "within tolerances"))
    print(done.summary())
    return 0 if done.equal else 1


def _prepare(options: argparse.Namespace) -> int:
    from helpers.archive.verifying import prepare

    for line in prepare(Path(options.archive), options.profile) or ["nothing to be done"]:
        print(line)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a `HelpersError` becomes its message and exit status 1."""
    options = _parser().parse_args(arguments)
    commands = {"make": _make, "verify": _verify, "compare": _compare, "prepare": _prepare}
    try:
        return commands[options.command](options)
    except HelpersError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
