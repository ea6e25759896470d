"""Start-up: how long imports take, and which chapters load torch before they need it.

    python bench/startup.py [--quick] [--rounds 3]

Writes ``bench/results/startup.csv``. Every import runs in a fresh process, after a round that warms
the disk's cache; the time is that within Python, from the first import on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import common
from common import REPO, Measured, row, save, take_turns

PACKAGES = ("pandas", "matplotlib", "torch")
MODULES = (
    "helpers",
    "helpers.runs",
    "helpers.chapters",
    "helpers.data",
    "helpers.metrics",
    "helpers.published",
    "helpers.figures",
    "helpers.experiments",
    "helpers.finetuning",
    "helpers.prediction",
)
TARGETS = {"helpers": "≤ 0.3"}
PROGRAM = """
import sys, time
began, used = time.perf_counter(), time.process_time()
{imports}
print(time.perf_counter() - began, time.process_time() - used, "torch" in sys.modules)
"""


def chapter_imports(name: str) -> str:
    """Return the import statements of a chapter's notebook, wherever they stand."""
    import ast

    cells = json.loads((REPO / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    found = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(statement) for statement in found)


def chapters() -> list[str]:
    """Return the chapters' names."""
    return sorted(path.stem for path in (REPO / "notebooks").glob("*.ipynb"))


def timed_import(imports: str) -> tuple[Measured, bool]:
    """Import in a fresh process; return its times, and whether torch was loaded."""
    command = [sys.executable, "-c", PROGRAM.format(imports=imports)]
    env = common.os.environ | {"PYTHONPATH": str(REPO / "src")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    wall, processor, torch = done.stdout.split()
    return Measured(seconds=float(wall), processor=float(processor)), torch == "True"


def main(argv: list[str] | None = None) -> None:
    parser = common.arguments(__doc__, rounds=3)
    given = parser.parse_args(argv)
    modules, books = list(MODULES), chapters()
    if given.quick:
        modules, books, given.rounds = modules[:2], books[-1:], 1
    wanted = {name: f"import {name}" for name in modules}
    wanted |= {f"imports of {name}": chapter_imports(name) for name in books}
    loads: dict[str, bool] = {}

    def side(name: str) -> Any:
        def once(_: int) -> Measured:
            measured, loads[name] = timed_import(wanted[name])
            return measured

        return once

    found = take_turns({name: side(name) for name in wanted}, given.rounds)
    rows = []
    for name, values in found.items():
        note = "loads torch" if loads[name] else ""
        rows.append(row("import", name, values["seconds"], "s", TARGETS.get(name, ""), note))
        rows.append(row("import, processor time", name, values["processor"], "s", "", note))
    save("startup", rows, PACKAGES, given.out, quick=given.quick)


if __name__ == "__main__":
    main()
