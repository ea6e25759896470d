"""A small training whose model is asked at once and then forgotten: one cell of a grid."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.finetuning.fit import fit
from helpers.finetuning.run import performance
from helpers.finetuning.settings import FinetuningSettings
from helpers.prediction import Speed, answer
from helpers.tasks import Task

FREE_TOKENS = 48


@dataclass(frozen=True)
class Answers:
    """What a cell's model answers.

    Attributes
    ----------
    constrained : only answers that the task allows; columns as `helpers.prediction.predict`.
    free : what the model writes when nothing constrains it, or None if not asked.
    history : losses by epoch.
    sizes : total_parameters, trainable_parameters.
    performance : time, memory and tokens.
    """

    constrained: pd.DataFrame
    free: pd.DataFrame | None
    history: pd.DataFrame
    sizes: dict[str, int]
    performance: dict[str, Any]


def train_and_answer(
    task: Task,
    train_frame: pd.DataFrame,
    asked: pd.DataFrame,
    model: str | Path,
    settings: FinetuningSettings,
    folder: Path,
    *,
    revision: str | None = None,
    free: bool = False,
    speed: Speed | None = None,
) -> Answers:
    """Train on labelled texts and answer others; nothing but checkpoints' remains is written.

    Parameters
    ----------
    task, train_frame, model, settings, revision : as in `helpers.finetuning.train`.
    asked : columns id, text and split; labels are not looked at.
    folder : where the trainer may write.
    free : also let the model answer without constraints.
    speed : as in `helpers.prediction.answer`.

    Raises
    ------
    FinetuningError
        As `helpers.finetuning.train`.
    """
    started = time.perf_counter()
    fitted = fit(
        task, train_frame, None, model, settings, folder, revision=revision, checkpoints=False
    )
    trained = fitted.merged(settings)
    options: dict[str, Any] = {
        "prompt_style": settings.prompt_style,
        "max_prompt_tokens": settings.max_prompt_tokens,
        "speed": speed,
    }
    texts = asked[["id", "text", "split"]]
    constrained = answer(task, texts, trained, fitted.tokenizer, lower=fitted.lower, **options)
    options |= {"constrained": False, "max_new_tokens": FREE_TOKENS}
    written = answer(task, texts, trained, fitted.tokenizer, **options) if free else None
    seconds = time.perf_counter() - started
    measured = performance(fitted, seconds)
    return Answers(constrained, written, fitted.history, fitted.sizes, measured)
