"""Sentence embeddings of a run's texts, made once and used by all chapters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.baselines.regression import Embed
from helpers.data.prepared import read_task
from helpers.offline_model import SHA256
from helpers.runs import Run, artifact, file_sha256, frame_sha256
from helpers.tasks import load_task

CODE = Path(__file__).resolve().parents[1] / "embeddings.py"


@dataclass(frozen=True)
class Embedding:
    """The texts of one task, to be embedded in a process of its own."""

    texts: list[str]
    folder: Path
    threads: int
    inputs: dict[str, Any]


def embedding_work(run: Run, name: str) -> Embedding:
    """Return what there is to embed for a task: all its texts, whatever their split."""
    texts = read_task(run, load_task(name))
    threads = run.profile.threads
    inputs = {
        "texts": frame_sha256(texts[["text"]]),
        "weights": SHA256,
        "code": file_sha256(CODE),
        "threads": threads,
    }
    return Embedding(texts["text"].tolist(), run.root / "embeddings" / name, threads, inputs)


def embed_one(item: Embedding) -> Path:
    """Embed and save, or find it done; return the folder."""

    def build(folder: Path) -> None:
        from helpers.embeddings import sentence_embeddings

        np.save(folder / "texts.npy", sentence_embeddings(item.texts, threads=item.threads))

    return artifact(item.folder, item.inputs, build)[0]


def kept(item: Embedding) -> Embed:
    """Return a function that embeds texts: from what was saved, the others anew.

    The saved rows come from one call for all texts of the task. That they were embedded in the
    same batches in every run is what makes results equal to the last digit.
    """
    row_of = {text: row for row, text in enumerate(item.texts)}

    @cache
    def saved_rows() -> NDArray[np.float32]:
        rows: NDArray[np.float32] = np.load(embed_one(item) / "texts.npy")
        return rows

    def embed(texts: list[str]) -> NDArray[np.float32]:
        from helpers.embeddings import sentence_embeddings

        saved = saved_rows()
        rows = [row_of.get(text) for text in texts]
        missing = [text for text, row in zip(texts, rows, strict=True) if row is None]
        fresh = iter(sentence_embeddings(missing, threads=item.threads)) if missing else iter(())
        return np.stack([next(fresh) if row is None else saved[row] for row in rows])

    return embed
