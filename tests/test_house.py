"""The house keeps its own rules: versions agree, commands are documented, nothing leaks."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LARGEST = 5 * 2**20  # bytes of a committed file

# Written in parts, so that this file does not contain what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:ho" r"me|ro" r"ot|wo" r"rk|Us" r"ers)/\w")
PACKAGE_INDEX = re.compile(
    r"--(?:extra-)?index" r"-url|--find" r"-links|pypi\.org/sim" r"ple|download\.py" r"torch\.org"
)


def direct_dependencies(*, dev: bool) -> list[Requirement]:
    """Requirements of pyproject.toml."""
    lines = PROJECT["dependencies"] + (PROJECT["optional-dependencies"]["dev"] if dev else [])
    return [Requirement(line) for line in lines]


def pins(lines: list[str]) -> dict[str, str]:
    """Name -> version of lines ``name==version``; anything else is an error."""
    found = {}
    for line in lines:
        name, equals, version = line.partition("==")
        assert equals, f"no exact pin: {line}"
        found[str(canonicalize_name(name))] = version
    return found


@pytest.fixture(scope="module")
def requirements() -> dict[str, str]:
    lines = (REPO / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return pins([line for line in lines if line and not line.startswith("#")])


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    """Files that are committed, or would be by `git add --all`."""
    if not (REPO / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := REPO / name).is_file()]


@pytest.fixture(scope="module")
def notebooks() -> list[Path]:
    found = sorted((REPO / "notebooks").glob("*.ipynb"))
    assert found, "no notebooks"
    return found


def test_environment_and_requirements_agree(requirements: dict[str, str]):
    environment = yaml.safe_load((REPO / "environment.yml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    assert pins(packages["pip"]) == requirements


def test_requirements_satisfy_pyproject(requirements: dict[str, str]):
    for wanted in direct_dependencies(dev=True):
        version = requirements[str(canonicalize_name(wanted.name))]
        assert wanted.specifier.contains(version), f"{wanted} against {version}: run `make lock`"


def test_torch_is_the_plain_build(requirements: dict[str, str]):
    assert requirements["torch"] == "2.13.0"
    assert not [line for line in requirements.values() if "+" in line]
    assert not [name for name in requirements if name.startswith(("nvidia", "cuda", "triton"))]


def test_imports_of_helpers_are_declared():
    extras = [x for k, x in PROJECT["optional-dependencies"].items() if k != "dev"]
    lines = PROJECT["dependencies"] + [line for extra in extras for line in extra]
    declared = {str(canonicalize_name(Requirement(line).name)) for line in lines}
    providers = packages_distributions()
    missing = {}
    for path in sorted((REPO / "src" / "helpers").rglob("*.py")):
        for module in imported_modules(path):
            names = {str(canonicalize_name(name)) for name in providers.get(module, [module])}
            if not names & declared:
                missing[module] = path.name
    assert not missing, "add to pyproject.toml and run `make lock`"


def imported_modules(path: Path) -> set[str]:
    """Top-level names that a file imports, without the standard library and helpers."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"helpers"}


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_help_lists_every_target():
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    targets = set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))
    assert phony
    assert targets == set(phony[1].replace("\\", " ").split())
    shown = subprocess.run(["make"], cwd=REPO, check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"^  ([a-z-]+) +\S", shown, re.MULTILINE)) == targets


def test_no_committed_file_is_large(committed: list[Path]):
    sizes = {path.relative_to(REPO).as_posix(): path.stat().st_size for path in committed}
    assert not {name: size for name, size in sizes.items() if size > LARGEST}


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_INDEX], ids=["paths", "indexes"])
def test_no_committed_file_names_a_machine(committed: list[Path], pattern: re.Pattern[str]):
    found = []
    for path in committed:
        content = path.read_bytes()
        if b"\0" not in content and (match := pattern.search(content.decode("utf-8"))):
            found.append(f"{path.relative_to(REPO)}: {match[0]}")
    assert not found


def test_patterns_find_what_they_should():
    assert MACHINE_PATH.search("open('/ho" + "me/ann/data.csv')")
    assert not MACHINE_PATH.search("https://example.org/wo" + "rk/1 and ho" + "me/wo" + "rk/life")
    assert PACKAGE_INDEX.search("pip install --index" + "-url https://example.org")


def test_notebooks_hold_no_outputs(notebooks: list[Path]):
    dirty = []
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        if any(cell["outputs"] or cell["execution_count"] for cell in code):
            dirty.append(path.name)
    assert not dirty, "run `make format`"


def test_notebooks_have_one_cell_of_parameters(notebooks: list[Path]):
    tagged = {}
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tags = [tag for cell in cells for tag in cell["metadata"].get("tags", [])]
        tagged[path.name] = tags.count("parameters")
    assert tagged == dict.fromkeys(tagged, 1)


def test_citation_names_package_and_paper():
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    dois = {reference.get("doi") for reference in citation["references"]}
    assert {"10.1177/08944393261485320", "10.1017/pan.2023.36"} <= dois
    known = [i["value"] for r in citation["references"] for i in r.get("identifiers", [])]
    assert known == ["arXiv:2411.00890", "arXiv:2504.13685"]
