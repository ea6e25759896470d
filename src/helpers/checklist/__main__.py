"""Command line: ``python -m helpers.checklist --help``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.checklist.facts import read_facts
from helpers.checklist.page import answered, page
from helpers.profiles import HelpersError
from helpers.runs import atomic_path, open_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the checklist of a run; an error meant for the user becomes exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m helpers.checklist", description=__doc__)
    parser.add_argument("--profile", default="demo", help="name in config/profiles, or a YAML file")
    parser.add_argument("--root", default="", help="folder of all runs (default: runs/)")
    parser.add_argument("--tasks", default="", help="comma-separated (default: the profile's)")
    parser.add_argument("--write", default="", help="file (default: runs/<profile>/checklist.md)")
    given = parser.parse_args(arguments)
    try:
        run = open_run(given.profile, given.root or None, tasks=given.tasks or None)
        facts = read_facts(run)
        out = Path(given.write) if given.write else run.root / "checklist.md"
        with atomic_path(out) as temporary:
            temporary.write_text(page(facts), encoding="utf-8")
    except HelpersError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    counts = answered(facts)
    print(
        f"{os.path.relpath(out)}: {counts['run']} items answered from the run, {counts['both']} in "
        f"part, {counts['author']} for the author to write"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
