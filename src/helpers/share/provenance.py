"""What a card says about texts, labels, code and rights; all of it read from the run."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from helpers.data.prepared import may_show
from helpers.metrics import SPLITS
from helpers.runs import REPO, Run, file_sha256
from helpers.share.finished import Trained

LANGUAGES = {"embedded": "en", "upstream": "en", "hub": "en", "dataverse": "en"}
SOURCES = {
    "embedded": "texts that were written for this package; no real questions, posts or deposits",
    "upstream": "texts from the repository siacus/rethinking-scale (Carammia, Iacus and Porro)",
    "hub": "texts from a data set on the model hub",
    "dataverse": "texts of a deposit, read by its DOI",
}
RIGHTS = {
    "embedded": "The texts were written for the package and are licensed CC BY 4.0.",
    "upstream": "The annotated files are published under CC BY 4.0 by the paper's authors; the "
    "texts themselves were written by others, who keep their rights.",
}


def texts_of(trained: Trained) -> dict[str, Any]:
    """Return source, numbers of texts and rights of the texts that a model learnt from."""
    run, task = trained.run, trained.task
    source = str(run.profile.source(task.name))
    made = json.loads((run.root / "data" / task.name / "manifest.json").read_text(encoding="utf-8"))
    return {
        "source": source,
        "what": SOURCES.get(source, "texts of the user's own"),
        "embedded": source == "embedded",
        "shown": may_show(run, task),
        "rights": RIGHTS.get(source, ""),
        "language": LANGUAGES.get(source, ""),
        "splits": {name: made["splits"][name] for name in SPLITS if name in made["splits"]},
        "total": sum(made["splits"].values()),
        "sha256": made["sha256"],
        "n_train": trained.manifest["data"]["n_train"],
        "train_sha256": trained.manifest["data"]["train"],
    }


def labels_of(trained: Trained) -> str:
    """Say in words where the training labels come from."""
    verification = trained.run.profile.verification
    kind, same = trained.labels.removesuffix("-same"), trained.labels.endswith("-same")
    if kind == "verified":
        simulated = verification.coders == "simulated"
        who = f"{len(verification.names)} coder(s)"
        if simulated:
            who = (
                f"{len(verification.names)} simulated coders (programs that know the gold label "
                f"and err in {verification.error_rate:.0%} of their decisions)"
            )
        left = {"reject": "left standing", "correct": "left standing or corrected"}
        mode = left[verification.mode_for(trained.task.name)]
        words = f"what {who} {mode} of the labels that a crowd of small models proposed"
    elif kind == "majority":
        words = "the majority of a crowd of small models; nobody reviewed it"
    else:
        words = "the gold labels of the data source"
    words += ", for the texts that were verified" if same else ""
    return words + quality(trained)


def quality(trained: Trained) -> str:
    """Say how many of the labels equal the gold ones, where chapter 03 could tell."""
    path = trained.run.root / "tables" / "verification_quality.csv"
    kind = trained.labels.removesuffix("-same")
    if kind == "gold" or not path.is_file():
        return ""
    table = pd.read_csv(path)
    row = table[(table["task"] == trained.task.name) & (table["source"] == kind)]
    if row.empty or int(row["texts"].iloc[0]) != trained.manifest["data"]["n_train"]:
        return ""
    return f"; {row['exact'].iloc[0]:.1%} of these label sets equal the gold ones"


def code_of(run: Run) -> dict[str, Any]:
    """Return the version of the code that trained: a commit only if it is that code.

    Returns
    -------
    package (version), sha256 (of all files of helpers that chapter 04 recorded), changed (how many
    of them differ now) and commit (None unless none differs and the checkout is clean).
    """
    stamp = json.loads((run.root / "chapters" / "04_finetuning.json").read_text(encoding="utf-8"))
    files = {k: v for k, v in stamp["inputs"]["files"].items() if k.startswith("src/")}
    whole = "".join(f"{name} {sha}\n" for name, sha in sorted(files.items()))
    changed = [
        k for k, sha in files.items() if not (REPO / k).is_file() or file_sha256(REPO / k) != sha
    ]
    try:
        number = version("helpers")
    except PackageNotFoundError:
        number = "not installed"
    return {
        "package": number,
        "sha256": hashlib.sha256(whole.encode()).hexdigest(),
        "changed": len(changed),
        "files": len(files),
        "commit": None if changed else _clean_commit(),
    }


def _clean_commit() -> str | None:
    if not shutil.which("git") or not (REPO / ".git").exists():
        return None
    said = [
        subprocess.run(["git", *words], cwd=REPO, capture_output=True, text=True, check=False)
        for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "src", "config"])
    ]
    if any(done.returncode for done in said) or said[1].stdout.strip():
        return None
    return said[0].stdout.strip()
