"""A small repository and a small finished run, for the tests of helpers.archive."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nbformat
import pandas as pd

from helpers.archive.contents import code_files
from helpers.archive.making import Made, make_archive
from helpers.archive.packing import Options
from helpers.chapters import _outputs, _sums, chapter_inputs, load_chapters
from helpers.machine import machine
from helpers.profiles import REPO
from helpers.runs import Run, open_run, write_frame, write_json

CHAPTER = "01_data"
POST = "The gardener who painted the harbour bench green again told nobody why he did it twice."
CITATION = """\
cff-version: 1.2.0
message: Cite this.
type: software
title: "A small study"
abstract: A study made up for a test.
authors:
  - {family-names: Doe, given-names: Ann, affiliation: Somewhere, orcid: https://orcid.org/0000-0001-2345-6789}
license: MIT
version: 0.1.0
keywords: [replication]
references:
  - type: article
    title: A paper
    authors: [{family-names: Roe, given-names: Bo}]
    year: 2024
    doi: 10.1234/x
"""
MAKEFILE = """\
setup:
\t@test -z "$$SETUP_FAILS" || { echo "no package index here"; exit 7; }
\t@mkdir -p .venv/bin
\t@printf '%s' "$$SCRIPT" > .venv/bin/python
\t@chmod +x .venv/bin/python
\t@echo one >> setup-calls
help:
\t@echo "help of the code"
"""


def small_repo(folder: Path) -> Path:
    """A repository with all that an archive needs, and things that must stay outside of it."""
    files = {
        "README.md": "# Small\n",
        "LICENSE": "MIT\n",
        "LICENSE-DATA": "CC BY 4.0\n",
        "CITATION.cff": CITATION,
        ".gitignore": "/runs/\n/data/upstream/\n*.token\n.venv/\n",
        "Makefile": MAKEFILE,
        "requirements.txt": "numpy==2.4.6\n",
        "environment.yml": "name: small\n",
        "config/archive/deposit.yaml": "contact_name: Ann Doe\ncontact_email: ann@example.org\n"
        "subjects: [Social Sciences]\n",
        "config/profiles/smoke.yaml": "name: smoke\n",
        "data/codebooks/cap.csv": "code,name\n1,Macroeconomics\n",
        "data/embedded/cap.jsonl": json.dumps({"id": "a", "text": "Made up."}) + "\n",
        "data/upstream/sample.csv": f"id,text\n1,{POST}\n",
        "data/own/mine.csv": "id,text\n1,mine\n",
        "secret.token": "x",
        "runs/smoke/tables/old.csv": "x\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(), folder / "notebooks" / f"{CHAPTER}.ipynb")
    return folder


def small_run(root: Path, profile: str = "smoke", upstream: Path | None = None) -> Run:
    """A run whose first chapter is finished and up to date; its notebook names this machine."""
    run = open_run(profile, root=root, upstream=upstream)
    counts = pd.DataFrame(
        {"task": ["cap", "cap"], "label": ["1", "2"], "name": ["Money", "Rights"], "n": [3, 5]}
    )
    for suffix in ("csv", "parquet"):
        write_frame(run.path("tables", f"data_label_counts.{suffix}"), counts)
    run.path("figures", "01_label_frequencies_cap.png").write_bytes(b"\x89PNG\0\0")
    texts = {"id": ["a"], "text": [POST], "labels": ['"1"'], "split": ["test"]}
    answers = {"id": ["a"], "split": ["test"], "status": ["ok"], "answer": ["1"], "labels": ['"1"']}
    for task in ("cap", "flourishing"):
        write_frame(run.path("data", task, "texts.parquet"), pd.DataFrame(texts))
        write_frame(run.path("predictions", task, "tfidf-lr.parquet"), pd.DataFrame(answers))
        with gzip.GzipFile(run.path("responses", task, "m", "v4.jsonl.gz"), "w", mtime=0) as packed:
            packed.write(b'{"content": "1"}\n')
    cell = run.path("study", "cap", "tfidf-lr", "gold", "n000025-s0", "predictions.parquet")
    write_frame(cell, pd.DataFrame(answers))
    rows = {"chapter": [CHAPTER], "seconds": [15.0], "peak_memory_mib": [506]}
    write_frame(run.path("performance", "chapters.csv"), pd.DataFrame(rows))
    write_json(run.path("manifest.json"), {"profile": run.profile.model_dump()})
    run.path("responses", "store.sqlite").write_bytes(b"\0")
    _notebook(run)
    stamp(run)
    return run


def _notebook(run: Run) -> None:
    output = run.path("notebooks", f"{CHAPTER}.ipynb")
    page = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell(f"root = {str(run.root.parent)!r}", id="c1")
    warned = f"{Path.home()}/lib/x.py:1: a warning, {run.root}/tables/x.csv\n"
    cell.outputs = [nbformat.v4.new_output("stream", text=warned)]
    page.cells = [cell]
    page.metadata["papermill"] = {
        "input_path": str(REPO / "notebooks" / f"{CHAPTER}.ipynb"),
        "output_path": str(output),
        "parameters": {"profile": run.profile.name, "root": str(run.root.parent)},
        "end_time": "2026-11-22T03:48:18+00:00",
    }
    nbformat.write(page, output)


def stamp(run: Run) -> None:
    """Write the chapter's stamp for what is there now."""
    outputs = _sums(_outputs(load_chapters()[CHAPTER], run), run.root)
    content = {"inputs": chapter_inputs(CHAPTER, run), "outputs": outputs, "machine": machine()}
    write_json(run.path("chapters", f"{CHAPTER}.json"), content)


def small_archive(run: Run, repo: Path, out: Path, **options) -> Made:
    """Archive the run's one chapter."""
    return make_archive(run, out, Options(repo=repo, chapters=[CHAPTER], **options))


__all__ = ["CHAPTER", "POST", "code_files", "small_archive", "small_repo", "small_run", "stamp"]
