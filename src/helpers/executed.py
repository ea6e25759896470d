"""Executed notebooks without the paths of the machine that executed them.

papermill notes where it read and wrote, parameters may name folders, and warnings name files of
the environment. None of that is a result; in a deposited notebook it would tell who ran it where.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from helpers.profiles import REPO

CELL = re.compile(
    r"(?:/private)?/[\w./-]*?ipykernel_\d+/\d+\.py|[A-Za-z]:\\[^\s\"']*?ipykernel_\d+\\\d+\.py"
)

# Folders that say nothing about anybody, and whose names are parts of many paths.
SHARED = frozenset(
    {"/", "/data", "/mnt", "/opt", "/opt/conda", "/tmp", "/usr", "/usr/local", "/var"}
)


def places(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the folders of this machine that outputs may name, and what to write instead.

    Parameters
    ----------
    extra : further folder -> replacement, e.g. the folder of all runs -> ``runs``.
    """
    known = {
        str(REPO): ".",
        sys.prefix: "<environment>",
        sys.base_prefix: "<python>",
        str(Path.home()): "~",
        **(extra or {}),
    }
    return {folder: name for folder, name in known.items() if folder not in SHARED | {""}}


def without_places(text: str, known: Mapping[str, str]) -> str:
    """Return `text` with every known folder replaced, the longest first, as a whole path part."""
    for folder in sorted(known, key=len, reverse=True):
        if folder in text:
            pattern = rf"(?<![\w.~-]){re.escape(folder)}(?![\w.-])"
            text = re.sub(pattern, known[folder].replace("\\", "/"), text)
    return CELL.sub("<cell>", text) if "ipykernel_" in text else text


def places_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the folders that papermill noted in a notebook: repository, runs and upstream."""
    noted = metadata.get("papermill", {})
    found = {}
    for key, levels, name in (("input_path", 2, "."), ("output_path", 4, ".")):
        path = _pure(str(noted.get(key) or ""))
        if path.is_absolute() and len(path.parents) >= levels:
            found[str(path.parents[levels - 1])] = name
    output = _pure(str(noted.get("output_path") or ""))
    if output.is_absolute() and len(output.parents) > 2:  # <root>/<profile>/notebooks/<name>.ipynb
        found[str(output.parents[2])] = "runs"
    for key, name in (("root", "runs"), ("upstream", "<upstream>")):
        value = str((noted.get("parameters") or {}).get(key) or "")
        if _pure(value).is_absolute():
            found[value] = name
    return {folder: name for folder, name in found.items() if folder not in ("/", "")}


def _pure(path: str) -> PurePosixPath | PureWindowsPath:
    return PureWindowsPath(path) if re.match(r"[A-Za-z]:\\", path) else PurePosixPath(path)


def clean(node: Any, known: Mapping[str, str]) -> Any:
    """Return a notebook (or any part of it) with the known folders replaced in every string.

    Pictures are left as they are: they hold no path, and are long.
    """
    if isinstance(node, str):
        return without_places(node, known)
    if isinstance(node, list):
        return [clean(item, known) for item in node]
    if isinstance(node, dict):
        kept = {
            key: value
            if str(key).startswith("image/") and key != "image/svg+xml"
            else clean(value, known)
            for key, value in node.items()
        }
        return type(node)(kept)
    return node


def clean_notebook(path: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Rewrite an executed notebook without the paths of this machine, atomically.

    Parameters
    ----------
    path : notebook that papermill wrote.
    extra : further folders and what to write instead.

    Returns
    -------
    The folders that were looked for, and what was written instead.
    """
    import nbformat

    from helpers.runs import atomic_path

    notebook = nbformat.read(path, as_version=4)
    known = places(places_of(notebook.metadata) | dict(extra or {}))
    with atomic_path(path) as temporary:
        nbformat.write(nbformat.from_dict(clean(notebook, known)), temporary)
    return known
