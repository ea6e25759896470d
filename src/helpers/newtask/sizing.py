"""How much of which model a data set bears on a laptop, and how long that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.data.splits import FRACTIONS
from helpers.tasks import LabelType

LIMIT = {"train": 2000, "validation": 300, "test": 1000}
"""Texts of each split that a new profile takes from a larger data set; shown in the profile."""
TOKENS = 256  # where a text is cut
LETTERS_A_TOKEN = {True: 4.2, False: 2.9}
"""Letters in a piece of a word: English, and other languages (the model knows few words)."""
RATE = 1500.0
"""Tokens a second in training, one core (profile demo: 1,770 to 2,330; less for short texts)."""
FORWARD = 4 * RATE
START = 14.0
"""Seconds until a training begins: a process, a model."""
CHAPTERS = 95.0
"""Seconds of all chapters beside trainings, predictions and embeddings."""


@dataclass(frozen=True)
class Plan:
    """What the profile of a new task says.

    Attributes
    ----------
    limit : texts of each split, where there are more than `LIMIT`.
    train, validation, test : texts that the splits will have.
    tokens : of a typical text, as the model reads it.
    epochs, learning_rate, batch_size : of a training.
    smallest, sizes, seeds : of chapter 06.
    audit : texts that are coded blind in chapter 03.
    minutes : that `make replicate` takes on two cores, roughly.
    """

    limit: dict[str, int]
    train: int
    validation: int
    test: int
    tokens: int
    epochs: int
    learning_rate: str
    batch_size: int
    smallest: int
    sizes: int
    seeds: int
    audit: int
    minutes: int


def plan_for(
    texts: Sequence[str], label_type: LabelType, labels: int, *, english: bool = True
) -> Plan:
    """Size models and grids to the data.

    Parameters
    ----------
    texts : all that will be studied.
    label_type, labels : how many there are.
    english : whether the offline model knows the words.
    """
    splits = dict(zip(LIMIT, (round(share * len(texts)) for share in FRACTIONS), strict=True))
    limit = {name: most for name, most in LIMIT.items() if splits[name] > most}
    splits |= limit
    letters = np.minimum([len(text) for text in texts], 4 * TOKENS).mean()
    tokens = int(min(TOKENS, letters / LETTERS_A_TOKEN[english] + 4))
    train = splits["train"]
    epochs, rate = _passes(train, label_type)
    smallest = min(max(25, 2 * labels), max(10, train // 3))
    grid = (5, 2) if train * tokens * epochs < 400_000 else (4, 1)
    plan = {
        "limit": limit,
        "tokens": tokens,
        "epochs": epochs,
        "learning_rate": rate,
        "batch_size": 16 if train >= 200 else 8,
        "smallest": smallest,
        "sizes": grid[0],
        "seeds": grid[1],
        "audit": min(100, train // 3),
    }
    minutes = _minutes(splits, tokens, epochs, smallest, grid, label_type)
    return Plan(**splits, **plan, minutes=minutes)  # type: ignore[arg-type]


def _passes(train: int, label_type: LabelType) -> tuple[int, str]:
    """Return epochs and learning rate: about as many steps as the demo's tasks take."""
    if label_type == "multi_intensity":
        return (6 if train < 1000 else 4), "2.0e-3"
    epochs = int(np.clip(round(1800 / train), 2, 8))
    return epochs, "1.5e-3" if epochs <= 3 else "1.0e-3"


def _minutes(
    splits: dict[str, int],
    tokens: int,
    epochs: int,
    smallest: int,
    grid: tuple[int, int],
    label_type: LabelType,
) -> int:
    train, test = splits["train"], splits["test"]
    if label_type == "numeric":
        folds = 5 * (sum(splits.values()) * tokens / RATE * 6 + 20)
        return max(2, round((folds / 2 + 30) / 60))
    sizes, seeds = grid
    below = np.geomspace(smallest, train, sizes)[:-1].sum() * seeds
    cells = (sizes - 1) * seeds
    answers = (splits["validation"] + test + min(100, train)) * tokens / FORWARD
    work = [
        3 * (START + train * epochs * tokens / RATE),  # chapter 04
        cells * START + below * epochs * tokens / RATE + cells * test * tokens / FORWARD,  # 06
        5 * (START + answers),  # chapter 05
        sum(splits.values()) * tokens / FORWARD,  # embeddings
    ]
    return max(2, round((sum(work) / 2 + CHAPTERS) / 60))
