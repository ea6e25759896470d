"""Install the package where somebody else's Python is already running: Binder and Colab.

Both come with software that must stay as it is: the notebook server that shows the page, and torch,
in Colab built for its GPUs, on Binder (``binder/environment.yml``) conda-forge's for processors.
Everything else is installed as pinned in ``requirements.txt``.

Runs before anything is installed, so it imports the standard library alone::

    PYTHONPATH=src python -m helpers.hosted install

Sources: the configuration files that repo2docker reads (``binder/`` takes the place of the
repository's root), and Colab's own notebooks, in which the module ``google.colab`` is loaded.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
LANDING = REPO / "notebooks" / "00_start_here.ipynb"
README = REPO / "README.md"
NAMED = re.compile(r'^repository = "([\w.-]+/[\w.-]+)"', re.MULTILINE)
BEGIN, END = "<!-- badges: begin -->", "<!-- badges: end -->"
TORCH = ("torch",)
# What the running notebook server and kernel are made of. Another version below a running kernel
# breaks it; none of it decides a result.
# fmt: off
SERVER = (
    "ipykernel", "ipython", "ipython_pygments_lexers", "ipywidgets", "jedi", "jsonschema",
    "jupyter-events", "jupyter-lsp", "jupyter_builder", "jupyter_client", "jupyter_core",
    "jupyter_server", "jupyter_server_terminals", "jupyterlab", "jupyterlab_pygments",
    "jupyterlab_server", "jupyterlab_widgets", "matplotlib-inline", "notebook_shim",
    "prompt_toolkit", "pyzmq", "terminado", "tornado", "traitlets", "widgetsnbextension",
)
# fmt: on


class HostedError(RuntimeError):
    """What this module needs is missing; says what. (`HelpersError` needs installed packages.)"""


def pins(path: Path = REPO / "requirements.txt") -> dict[str, str]:
    """Return name -> version of the lines ``name==version`` of a requirements file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (line.partition("==") for line in lines if line and not line.startswith("#"))
    return {name: pin for name, equals, pin in found if equals}


def plan(wanted: dict[str, str], keep: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is to be installed, and the constraints that keep what is there.

    Parameters
    ----------
    wanted : name -> version, see `pins`.
    keep : packages that stay as they are if they are installed; missing ones are installed.

    Returns
    -------
    lines ``name==version`` for pip, and lines of the same form for the kept packages.
    """
    kept = {}
    for name in keep:
        try:
            kept[name] = version(name)
        except PackageNotFoundError:
            continue
    wanted_lines = [f"{name}=={pin}" for name, pin in wanted.items() if name not in kept]
    return wanted_lines, [f"{name}=={pin}" for name, pin in kept.items()]


def install(*, dry_run: bool = False) -> int:
    """Install what is missing, and this package itself, with pip; return its exit status.

    Raises
    ------
    HostedError
        If torch is not installed: what pip would bring on Linux is the build for GPUs, with
        gigabytes of CUDA, and too large for Binder.
    """
    lines, constraints = plan(pins(), [*TORCH, *SERVER])
    if not any(line.startswith("torch==") for line in constraints):
        raise HostedError(
            "torch is not installed here. Binder gets it from binder/environment.yml and Colab "
            "has it; on a machine of your own use `make setup`"
        )
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, content in (("requirements.txt", lines), ("constraints.txt", constraints)):
            files.append(Path(folder) / name)
            files[-1].write_text("\n".join(content) + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        pip += ["--dry-run"] if dry_run else []
        status = subprocess.call([*pip, "-r", str(files[0]), "-c", str(files[1])])
    if status or dry_run:
        return status
    return subprocess.call([*pip, "--no-deps", "--no-build-isolation", "-e", str(REPO)])


def repository(landing: Path = LANDING) -> str:
    """Return ``owner/name`` of the public repository, as the landing notebook names it."""
    cells = json.loads(landing.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if found := NAMED.search("".join(cell["source"])):
            return found[1]
    raise HostedError(f"{landing.name} names no repository: restore its first code cell")


def badges(name: str) -> str:
    """Return the two badges as Markdown, for a repository ``owner/name`` on GitHub."""
    page = "notebooks/00_start_here.ipynb"
    binder = f"https://mybinder.org/v2/gh/{name}/HEAD?urlpath=lab/tree/{page}"
    colab = f"https://colab.research.google.com/github/{name}/blob/HEAD/{page}"
    return (
        f"[![Binder](https://mybinder.org/badge_logo.svg)]({binder})\n"
        f"[![Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})"
    )


def set_address(name: str, landing: Path = LANDING, readme: Path = README) -> None:
    """Write the public address into the landing notebook, and the badges into the README.

    Raises
    ------
    HostedError
        If `name` is not ``owner/name``, or the README lacks the two marker lines.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise HostedError(f"'{name}' is not owner/name, such as jane/rethinking-scale-replicated")
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise HostedError(f"{readme.name} needs the lines {BEGIN} and {END} where badges go")
    old = f'repository = "{repository(landing)}"'.replace('"', '\\"')
    new = f'repository = "{name}"'.replace('"', '\\"')
    page = landing.read_text(encoding="utf-8").replace(old, new)
    landing.write_text(page, encoding="utf-8")
    readme.write_text(f"{before}{BEGIN}\n{badges(name)}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``install`` or ``address``; an error is said in a line."""
    parser = argparse.ArgumentParser(prog="python -m helpers.hosted", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("install", help="install what this Python lacks")
    one.add_argument("--dry-run", action="store_true", help="only say what would be installed")
    two = commands.add_parser("address", help="write the public address and the badges")
    two.add_argument("name", help="owner/name on GitHub")
    options = parser.parse_args(arguments)
    try:
        if options.command == "install":
            return install(dry_run=options.dry_run)
        set_address(options.name)
    except HostedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
