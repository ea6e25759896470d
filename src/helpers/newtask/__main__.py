"""Command line: make a task of one's own texts.

python -m helpers.newtask --name speeches --file speeches.csv --text speech --label topic
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.newtask import Made, Request, make_task
from helpers.profiles import REPO, HelpersError

WITH_MAKE = (
    'Options such as --sheet go into OPTIONS="...": make new-task ... OPTIONS="--sheet data"'
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.newtask",
        description="Make a task of your own texts. Your file is only read. docs/own-texts.md has "
        "an example.",
    )
    add = parser.add_argument
    add("--name", required=True, help="of the task: lower-case letters, digits, _ and -")
    add("--file", required=True, help=".csv, .tsv, .xlsx, .parquet or .jsonl")
    add("--text", required=True, help="column with the text; several, comma-separated, are joined")
    add("--label", required=True, help="column with the label or labels")
    add("--id", default="", help="column that identifies a text (default: made from the row)")
    add("--keep", default="", help="further columns, e.g. year, for shares by them (chapter 09)")
    types = ("single", "multi", "multi_intensity", "numeric")
    add("--label-type", default="", choices=("", *types), help="default: guessed")
    add("--separator", default="", help="between several labels of a text (default: found)")
    add("--sample", default="", help="take so many texts, stratified by label")
    add("--seed", type=int, default=20241101, help="of the sample")
    add("--min-class", default="", help="texts that a label needs to be kept (default 4)")
    add("--codebook", default="", help="CSV with the columns label and name")
    add("--description", default="", help="what the texts and labels are, for titles and prompts")
    add("--sheet", default="", help="of a workbook (default: the one with the columns)")
    add("--encoding", default="", help="of a text file (default: found)")
    add("--delimiter", default="", help="of a text file (default: found); tab: a tab")
    add("--show-texts", action="store_true", help="chapters may print texts")
    add("--force", action="store_true", help="make a task anew that exists")
    return parser


def _number(value: str, option: str) -> int | None:
    if not value:
        return None
    if not value.isdigit() or int(value) < 1:
        raise HelpersError(f"{option} must be a whole number of 1 or more, not '{value}'")
    return int(value)


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def request_of(arguments: Sequence[str] | None = None) -> Request:
    """Read a command line."""
    options = _parser().parse_args(arguments)
    mark = {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
    return Request(
        name=options.name,
        file=Path(options.file).expanduser(),
        text=_listed(options.text),
        label=options.label.strip(),
        id=options.id.strip() or None,
        keep=tuple(_listed(options.keep)),
        label_type=options.label_type or None,
        separator=options.separator or None,
        sample=_number(options.sample, "--sample"),
        seed=options.seed,
        min_class=_number(options.min_class, "--min-class") or Request.min_class,
        codebook=Path(options.codebook).expanduser() if options.codebook else None,
        description=options.description.strip(),
        sheet=options.sheet or None,
        encoding=options.encoding or None,
        delimiter=mark or None,
        show_texts=options.show_texts,
        force=options.force,
    )


def written(made: Made, root: Path) -> str:
    """Say which files were written, and what to do next."""
    what = {
        "tasks": "the task: prompts to improve",
        "profiles": "its settings: models, sizes, chapters",
        "codebook": "names of the labels, which models read",
        "texts": "the texts, as they will be studied",
        "report": "this report",
    }
    lines = ["WRITTEN"]
    for kind, text in what.items():
        if kind in made.files:
            place = made.files[kind].relative_to(root).as_posix()
            lines.append(f"  {place:<44} {text}")
    name = made.files["tasks"].stem
    return "\n".join([*lines, "", f"next:  make replicate TASKS={name}"])


def main(arguments: Sequence[str] | None = None, root: Path = REPO) -> int:
    """Make a task, print what was found; a `HelpersError` becomes its message and status 1."""
    try:
        made = make_task(request_of(arguments), root)
    except HelpersError as error:
        if found := getattr(error, "report", ""):
            print(f"{found}\n")
        hint = f"\n{WITH_MAKE}" if " --" in f" {error}".replace("(", " ") else ""
        print(f"error: {error}{hint}", file=sys.stderr)
        return 1
    print(made.report.text())
    print()
    print(written(made, root))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
