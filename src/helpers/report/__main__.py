"""``python -m helpers.report``: write the report page of a run again."""

from __future__ import annotations

import argparse
import os
import sys

from helpers.profiles import HelpersError, profile_for


def main(arguments: list[str] | None = None) -> int:
    """Write the page; a `HelpersError` becomes its message and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m helpers.report", description=__doc__)
    parser.add_argument("--profile", default="", help="name in config/profiles, or a YAML file")
    parser.add_argument("--root", default="", help="folder of all runs (default: runs/)")
    parser.add_argument("--upstream", default="", help="accepted as in the other commands; unused")
    parser.add_argument("--tasks", default="", help="comma-separated (default: those of the run)")
    options = parser.parse_args(arguments)
    from helpers.report.page import make_report
    from helpers.runs import open_run

    try:
        profile = options.profile or profile_for(options.tasks)
        run = open_run(profile, options.root, options.upstream, options.tasks)
        page = make_report(run)
    except HelpersError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{os.path.relpath(page)}  ({page.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
