"""Command line: ``python -m helpers COMMAND``; see ``make help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from helpers.profiles import HelpersError, profile_for


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m helpers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = argparse.ArgumentParser(add_help=False)
    run.add_argument(
        "--profile",
        default="",
        help="name in config/profiles, or a YAML file (default: demo, or "
        "the profile of a task of your own)",
    )
    run.add_argument("--root", default="", help="folder of all runs (default: runs/)")
    run.add_argument("--upstream", default="", help="folder with the authors' data files")
    run.add_argument("--tasks", default="", help="comma-separated (default: the profile's)")

    everything = commands.add_parser("replicate", parents=[run], help="run all chapters")
    everything.add_argument("chapters", nargs="*", help="only these and what they need")
    everything.add_argument("--force", action="store_true", help="also what is up to date")

    one = commands.add_parser("chapter", parents=[run], help="execute one chapter")
    one.add_argument("name")
    one.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("N", "V"))

    data = commands.add_parser("data", help="download and verify the authors' data files")
    data.add_argument("--upstream", default="", help="verify this folder instead of downloading")

    check = commands.add_parser("check-published", help="compare the archive with what it yields")
    check.add_argument("--upstream", default="", help="folder with the authors' data files")
    return parser


def _replicate(options: argparse.Namespace) -> int:
    from helpers.preflight import preflight
    from helpers.replicate import replicate
    from helpers.runs import open_run

    run = open_run(options.profile, options.root, options.upstream, options.tasks)
    preflight(run)
    arguments = []
    for name in ("profile", "root", "upstream", "tasks"):
        if getattr(options, name):
            arguments += [f"--{name}", getattr(options, name)]
    return replicate(run, arguments, options.chapters, options.force)


def _chapter(options: argparse.Namespace) -> int:
    from pathlib import Path

    from helpers.chapters import execute
    from helpers.runs import open_run

    run = open_run(options.profile, options.root, options.upstream, options.tasks)
    # The notebook runs in another folder: relative paths are resolved here.
    parameters: dict[str, str] = {"profile": options.profile}
    for name in ("root", "upstream"):
        if value := getattr(options, name):
            parameters[name] = str(Path(value).resolve())
    if options.tasks:
        parameters["tasks"] = options.tasks
    parameters |= dict(options.parameter)
    execute(options.name, run, parameters, progress=sys.stderr.isatty())
    return 0


def _data(options: argparse.Namespace) -> int:
    from helpers.data import fetch_upstream

    return fetch_upstream(options.upstream)


def _check_published(options: argparse.Namespace) -> int:
    from pathlib import Path

    from helpers.published.certificate import check_published
    from helpers.runs import REPO

    folder = Path(options.upstream) if options.upstream else REPO / "data" / "upstream"
    status, report = check_published(folder)
    print(report)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a `HelpersError` becomes its message and exit status 1."""
    options = _parser().parse_args(arguments)
    if "tasks" in options:
        options.profile = options.profile or profile_for(options.tasks)
    commands = {
        "replicate": _replicate,
        "chapter": _chapter,
        "data": _data,
        "check-published": _check_published,
    }
    try:
        return commands[options.command](options)
    except HelpersError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
