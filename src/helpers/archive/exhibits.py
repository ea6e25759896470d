"""Exhibits: which figure and table was made by which notebook, from the files that are there."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pandas as pd

from helpers.archive.codebook import describe_table, figure_title, header
from helpers.chapters import load_chapters


def chapter_of(name: str) -> str:
    """Return the chapter that writes a file (path below the run's folder); empty if none does.

    Where two patterns fit, the longer one, which says more, counts.
    """
    fits = [
        (len(pattern), chapter)
        for chapter, entry in load_chapters().items()
        for pattern in entry.writes
        if fnmatch(name, pattern)
    ]
    return max(fits)[1] if fits else ""


def exhibits(results: Path) -> pd.DataFrame:
    """List the figures and tables of an archive.

    Parameters
    ----------
    results : folder with ``figures/`` and ``tables/``.

    Returns
    -------
    frame (exhibit, kind, chapter, notebook, files), figures before tables within a chapter;
    `files` are paths below `results`, separated by blanks.
    """
    rows = []
    for kind, folder in (("figure", "figures"), ("table", "tables")):
        stems: dict[str, list[Path]] = {}
        for path in sorted((results / folder).glob("*.*")):
            stems.setdefault(path.stem, []).append(path)
        for stem, paths in stems.items():
            chapter = chapter_of(f"{folder}/{paths[0].name}")
            title = figure_title(stem) if kind == "figure" else _title(paths[0])
            files = " ".join(f"{folder}/{path.name}" for path in paths)
            notebook = f"notebooks/{chapter}.ipynb" if chapter else ""
            rows.append((title, kind, chapter, notebook, files))
    frame = pd.DataFrame(rows, columns=["exhibit", "kind", "chapter", "notebook", "files"])
    return frame.sort_values(["chapter", "kind", "files"], ignore_index=True)


def _title(path: Path) -> str:
    return describe_table(path.stem, header(path)).title
