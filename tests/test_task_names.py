"""No code knows a task by name: what holds for one task must hold for a user's own.

Names may stand in config/, data/, docs and tests, and in the code about the published results: the
loaders of the authors' files, `helpers.published`, `helpers.audit`, their figures, chapters 07, 08.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from helpers.profiles import Source
from helpers.runs import REPO
from helpers.tasks import load_task, task_names

HELPERS, NOTEBOOKS = REPO / "src" / "helpers", REPO / "notebooks"
NAMES = frozenset(name for name in task_names() if "embedded" in load_task(name).data)
ABOUT_PUBLISHED = (
    *("published/", "audit/", "figures/published", "figures/specification"),
    *("data/upstream.py", "data/dataverse.py", "experiments/published_results.py"),
)
SOURCES = frozenset(get_args(Source))
"""Where texts come from; one is ``dataverse``, servers of that software."""
CHAPTERS = ("07_what_to_finetune", "08_published_results")
OTHER_MEANINGS = {
    ("archive/dataverse.py", "dataverse"): "metadata for servers of the software Dataverse",
    ("verification/aggregate.py", "conflict"): "a column: coders' decisions in conflict",
}


def names_in(text: str, names: frozenset[str] = NAMES) -> set[str]:
    """Return the task names that a constant stands for, is a path of, or passes to a command.

    English words in sentences ("a conflict of decisions") are none.
    """
    if not re.search(r"\s", text):
        return {part for part in re.split(r"[/\\.:@,=]", text) if part in names}
    options = re.findall(r"(?:--tasks?[ =]|TASKS=)[\"']?([\w,-]+)", text)
    return {part for option in options for part in option.split(",") if part in names}


def sources(node: ast.AST) -> list[ast.expr | None]:
    """Return the constants of a node that are names of sources, as the others beside them say."""
    if isinstance(node, ast.Dict):
        together: list[ast.expr | None] = [*node.keys]
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
        together = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else []
    elif isinstance(node, ast.Compare) and ast.unparse(node.left) == "source":
        return list(node.comparators)
    else:
        return []
    values = [item.value for item in together if isinstance(item, ast.Constant)]
    known = len(values) == len(together) > 1 and set(values) <= SOURCES
    return together if known else []


def constants(code: str) -> Iterator[tuple[int, str]]:
    """Yield line and value of all string constants of a program but docstrings and sources."""
    tree = ast.parse(code)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    prose = {
        id(node.value)
        for owner in ast.walk(tree)
        if isinstance(owner, (*documented, ast.If, ast.Try))
        for node in owner.body
        if isinstance(node, ast.Expr)
    }
    prose |= {id(node) for found in ast.walk(tree) for node in sources(found)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def found_in(code: str, place: str) -> list[str]:
    """Return one line for each constant of a program that names a task."""
    return [
        f"{place}:{line}: {text!r} names the task {name}"
        for line, text in constants(code)
        for name in sorted(names_in(text))
        if (place, name) not in OTHER_MEANINGS
    ]


def code_of(notebook: Path) -> str:
    """Return the code cells of a notebook as one program (without magics)."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", "\n\n".join(code))


def test_there_are_names_to_look_for():
    assert {"cap", "dataverse", "flourishing", "conflict"} <= NAMES


def test_helpers_know_no_task():
    found = []
    for path in sorted(HELPERS.rglob("*.py")):
        place = path.relative_to(HELPERS).as_posix()
        if not place.startswith(ABOUT_PUBLISHED):
            found += found_in(path.read_text(encoding="utf-8"), place)
    assert not found, "take these from the profile or the task:\n" + "\n".join(found)


def test_chapters_know_no_task():
    found = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if path.stem not in CHAPTERS:
            found += found_in(code_of(path), path.name)
    assert not found, "take these from the profile or the task:\n" + "\n".join(found)


def test_exceptions_are_still_needed():
    used = {
        (place, name)
        for place, name in OTHER_MEANINGS
        for _, text in constants((HELPERS / place).read_text(encoding="utf-8"))
        if name in names_in(text)
    }
    assert used == set(OTHER_MEANINGS)


@pytest.mark.parametrize(
    "code",
    [
        'load_task("cap")',
        'run.path("data/cap/texts.parquet")',
        'folder / f"models/cap/{key}"',
        'if task == "flourishing": pass',
        '{"conflict": 1}',
        'command = "python -m helpers replicate --tasks cap,dataverse"',
        "print('make replicate TASKS=cap')",
        'def f():\n    "About f."\n    return ["dataverse"]',
        'titles = {"cap": "questions", "dataverse": "data sets"}',
    ],
)
def test_a_planted_name_is_found(code):
    assert found_in(code, "planted.py")


@pytest.mark.parametrize(
    "code",
    [
        'print("a conflict of decisions")',
        '"""About the task cap."""',
        'def f():\n    """Return it, e.g. for cap."""',
        'column = "capital"',
        'path = "tables/published_dataverse.csv"',
        "cap = 3",
        'titles = {"own": "your own", "dataverse": "a deposit"}',
        'if source == "dataverse": pass',
    ],
)
def test_words_that_are_no_names_are_left_alone(code):
    assert not found_in(code, "planted.py")


def test_a_name_planted_in_a_notebook_is_found(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["the task cap"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", 'load_task("cap")']},
    ]
    path = tmp_path / "planted.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert len(found_in(code_of(path), path.name)) == 1
