"""Cells of chapter 07: one method, trained on some texts of a task and asked about others.

Each cell is a folder of its own, finished or not there. The cells of one method and repeat run in
one process, so that torch is imported once and the states of frozen layers are computed once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from helpers.encoders.memory import forget_peak, peak_memory
from helpers.encoders.settings import EncoderSettings
from helpers.offline_model import SHA256
from helpers.runs import artifact, file_sha256, frame_sha256, versions, write_frame, write_json
from helpers.tasks import Task, load_task

Kind = Literal["forest", "boosting"]
DICTIONARIES: dict[str, Kind] = {"dictionary-forest": "forest", "dictionary-boosting": "boosting"}
BASELINES = {"mean": "majority", "embeddings-ridge": "embeddings-lr"}
"""Method of chapter 07 -> name among `helpers.baselines`."""
FOLDER = Path(__file__).resolve().parent
DECIMALS = 6


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes
    ----------
    scheme : ``fold``, ``group`` or ``split``; `repeat`, `fold`: which of them.
    train, test : row numbers of the texts learnt from and asked about.
    seed : of this cell; all methods of a (repeat, fold) have the same.
    explained : so many of the texts asked about are taken apart word by word.
    """

    scheme: str
    repeat: int
    fold: int
    train: tuple[int, ...]
    test: tuple[int, ...]
    seed: int
    out: Path
    explained: int = 0

    @property
    def name(self) -> str:
        """Name of the cell's folder."""
        return f"{self.scheme}-r{self.repeat}-f{self.fold}"


@dataclass(frozen=True)
class Work:
    """Cells of one method and repeat, to be run in one process.

    Attributes
    ----------
    texts : all texts of the task: id, text, labels.
    settings : of an encoder; None for other methods.
    embedding : what ``embeddings-ridge`` reads (`helpers.experiments.embedded.Embedding`).
    """

    task: str
    method: str
    texts: pd.DataFrame
    cells: list[Cell]
    settings: EncoderSettings | None = None
    embedding: Any = None


@cache
def code_sha256(method: str) -> str:
    """Return one hash over the code that a method's cells rest on: a change means new cells."""
    own, baselines = sorted(FOLDER.glob("*.py")), sorted((FOLDER.parent / "baselines").glob("*.py"))
    files = [path for path in own if not path.stem.startswith("dictionary")]
    if method in BASELINES:
        files = [FOLDER / "cells.py", *baselines]
    elif method in DICTIONARIES:
        files = [path for path in own if path.stem == "cells" or path not in files]
    return hashlib.sha256("".join(file_sha256(path) for path in files).encode()).hexdigest()


def cell_inputs(work: Work, cell: Cell) -> dict[str, Any]:
    """Return all that decides a cell's predictions."""
    ids = work.texts["id"].to_numpy()
    parts = [ids[list(cell.train)].tolist(), ids[list(cell.test)].tolist()]
    return {
        "task": work.task,
        "method": work.method,
        "scheme": [cell.scheme, cell.repeat, cell.fold],
        "texts": frame_sha256(work.texts[["id", "text", "labels"]]),
        "parts": hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
        "settings": _settings(work, cell).model_dump() if work.settings else None,
        "embeddings": work.embedding.inputs if work.embedding else None,
        "seed": cell.seed,
        "explained": cell.explained,
        "code": code_sha256(work.method),
        "weights": SHA256,
        "versions": versions(),
    }


def _settings(work: Work, cell: Cell) -> EncoderSettings:
    assert work.settings is not None
    return work.settings.model_copy(update={"seed": cell.seed})


def run_work(work: Work) -> list[str]:
    """Run the cells of one method and repeat; return the names of those made now."""
    made = []
    for cell in work.cells:
        build = partial(_build, work, cell)
        if artifact(cell.out, cell_inputs(work, cell), build)[1]:
            made.append(cell.name)
    return made


def _build(work: Work, cell: Cell, folder: Path) -> None:
    started = time.perf_counter()
    device = work.settings.device if work.settings else "cpu"
    forget_peak(device)
    task, test = load_task(work.task), work.texts.iloc[list(cell.test)]
    content: dict[str, Any] = {"task": work.task, "method": work.method, "seed": cell.seed}
    content |= {"scheme": cell.scheme, "repeat": cell.repeat, "fold": cell.fold}
    content |= {"n_train": len(cell.train), "n_test": len(cell.test)}
    if work.settings is not None:
        guess, about, words = _encoder(work, cell, task)
        content |= about | {"settings": _settings(work, cell).model_dump()}
        if words is not None:
            write_frame(folder / "words.parquet", words)
    elif work.method in BASELINES:
        guess = _baseline(work, cell, task)
    else:
        guess = _dictionary(work, cell, task)
    if task.label_type == "numeric":
        guess = [round(float(number), DECIMALS) for number in guess]
    split = "test" if cell.scheme == "split" else "cross-validation"
    answers = [task.completion(item).strip() for item in guess]
    frame = pd.DataFrame({"id": test["id"].to_numpy(), "split": split, "status": "ok"})
    frame = frame.assign(answer=answers, labels=[task.dumps(item) for item in guess])
    write_frame(folder / "predictions.parquet", frame)
    write_json(folder / "config.json", content)
    seconds = time.perf_counter() - started
    spent = {"seconds": round(seconds, 2), "peak_memory_mb": peak_memory(device)}
    write_json(folder / "performance.json", spent)


def _truth(work: Work, task: Task, rows: Sequence[int]) -> list[Any]:
    return [task.loads(cell) for cell in work.texts["labels"].iloc[list(rows)]]


def _texts(work: Work, rows: Sequence[int]) -> list[str]:
    return list(work.texts["text"].iloc[list(rows)])


def _baseline(work: Work, cell: Cell, task: Task) -> list[Any]:
    from helpers.baselines import predict_baseline
    from helpers.experiments.embedded import kept

    frame = work.texts.iloc[[*cell.train, *cell.test]].reset_index(drop=True)
    frame = frame.assign(split=["train"] * len(cell.train) + ["test"] * len(cell.test))
    embed = kept(work.embedding) if work.embedding else None
    found = predict_baseline(BASELINES[work.method], task, frame, embed, seed=cell.seed)
    return [task.loads(labels) for labels in found["labels"].iloc[len(cell.train) :]]


def _dictionary(work: Work, cell: Cell, task: Task) -> list[Any]:
    from helpers.encoders import dictionary

    train, test = _texts(work, cell.train), _texts(work, cell.test)
    kind, truth = DICTIONARIES[work.method], _truth(work, task, cell.train)
    if task.label_type == "numeric":
        y = np.array(truth, dtype=float)
        return list(dictionary.fit_predict_dictionary(train, y, test, kind, cell.seed))
    return list(dictionary.fit_predict_dictionary_classes(train, truth, test, kind, cell.seed))


@lru_cache(maxsize=1)
def _corpus(texts: tuple[str, ...], encoder: tuple[Any, ...]) -> Any:
    """Return a task's texts with their kept states: one at a time, for all cells of a process."""
    from helpers.encoders.states import Corpus

    name, revision, layers, max_tokens, device = encoder
    return Corpus(
        texts,
        EncoderSettings(
            encoder=name, revision=revision, layers=layers, max_tokens=max_tokens, device=device
        ),
    )


def _encoder(
    work: Work, cell: Cell, task: Task
) -> tuple[list[Any], dict[str, Any], pd.DataFrame | None]:
    """Return predictions, what is said about the training, and words of explained texts."""
    from helpers.encoders.fit import fit
    from helpers.language_models import set_threads

    settings = _settings(work, cell)
    set_threads(settings.threads)
    which = (settings.encoder, settings.revision, settings.layers)
    corpus = _corpus(tuple(work.texts["text"]), (*which, settings.max_tokens, settings.device))
    truth, classes = _truth(work, task, cell.train), None
    if task.label_type == "single":
        truth, classes = [task.labels.index(label) for label in truth], len(task.labels)
    fitted = fit(
        _texts(work, cell.train),
        truth,
        settings,
        classes=classes,
        corpus=corpus,
        name=f"{work.task}, {work.method}, {cell.name}",
    )
    found = fitted.predict(_texts(work, cell.test))
    guess = list(found) if classes is None else [task.labels[k] for k in found.argmax(axis=1)]
    about: dict[str, Any] = fitted.model.counts() | {"tokens_trained": fitted.tokens}
    about |= {"training_loss": [round(x, DECIMALS) for x in fitted.history]}
    words = _explain(work, cell, task, fitted) if cell.explained else None
    return guess, about, words


def _explain(work: Work, cell: Cell, task: Task, fitted: Any) -> pd.DataFrame:
    """Take some predictions apart word by word: of a number, or of the class predicted."""
    from helpers.encoders.occlusion import occlude

    texts, ids = _texts(work, cell.test), work.texts["id"].iloc[list(cell.test)].tolist()
    places = spread(_truth(work, task, cell.test), ids, cell.explained)
    return occlude(fitted.predict, [texts[i] for i in places], [ids[i] for i in places])


def spread(truth: Sequence[Any], ids: Sequence[str], number: int) -> list[int]:
    """Return places of texts that are spread evenly over the sorted targets (ties: by id)."""
    order = sorted(range(len(ids)), key=lambda i: (truth[i], ids[i]))
    chosen = np.linspace(0, len(order) - 1, min(number, len(order))).round().astype(int)
    return [order[i] for i in chosen]
