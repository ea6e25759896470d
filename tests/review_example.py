"""A made-up review for tests: embedded texts with seeded proposals, and who decides them."""

from __future__ import annotations

import errno
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.data import load_embedded
from helpers.tasks import load_task
from helpers.verification.decisions import Decision, DecisionLog, log_path
from helpers.verification.session import ReviewSession

LABELLERS = ["encoder-v1", "encoder-v3", "encoder-v4", "subject-v4", "served-v4"]


class FullDisk(DecisionLog):
    """A log that cannot be written while there is a file ``full`` beside its folder."""

    def append(self, *decisions: Decision) -> list[Decision]:
        if (self.path.parents[1] / "full").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().append(*decisions)


@cache
def _embedded(name: str) -> pd.DataFrame:
    return load_embedded(load_task(name)).frame


def frames(
    name: str, texts: int, coder: str = "ann", blind: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return texts, proposals and assignment; the first `blind` texts are coded blind."""
    task = load_task(name)
    rng = np.random.default_rng(7)
    content = _embedded(name).head(texts)
    rows: list[dict[str, Any]] = []
    for text_id in content["id"]:
        labels = rng.choice(task.labels, size=rng.integers(1, 4), replace=False)
        votes = sorted(rng.integers(1, len(LABELLERS) + 1, size=len(labels)), reverse=True)
        for label, count in zip(labels, votes, strict=True):
            level = str(rng.choice(task.levels)) if task.levels else ""
            who = sorted(rng.choice(LABELLERS, size=count, replace=False))
            row = {"id": text_id, "label": str(label), "level": level}
            rows.append({**row, "labellers": json.dumps(who), "votes": int(count)})
    assignment = pd.DataFrame(
        {
            "id": content["id"],
            "coder": coder,
            "blind": [i < blind for i in range(texts)],
            "probability": float("nan"),
            "position": range(texts),
        }
    )
    return content[["id", "text"]], pd.DataFrame(rows), assignment


def example(
    folder: str | Path,
    name: str = "cap",
    texts: int = 40,
    coder: str = "ann",
    blind: int = 0,
    markup: bool = False,
    **options: Any,
) -> ReviewSession:
    """Return a session with its log under `folder`; with `markup`, texts try to run a script."""
    content, proposals, assignment = frames(name, texts, coder, blind)
    if markup:
        content["text"] += " <img src=x onerror='window.injected = true'>"
    log = FullDisk(log_path(Path(folder), name, coder))
    return ReviewSession(load_task(name), content, proposals, assignment, log, coder, **options)
