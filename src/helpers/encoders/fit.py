"""Train an encoder on labelled texts, and predict with it.

A plain loop: transformers' Trainer adds per-step work that costs more than a step on kept states
(docs/tuning.md has the measurement), and it has no place for states instead of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.encoders.model import Model, build_model
from helpers.encoders.settings import EncoderSettings
from helpers.encoders.states import (
    Corpus,
    mean_of_tokens,
    padded,
    run_layers,
    stacked,
)
from helpers.encoders.weights import parameter_groups, words_in_use
from helpers.language_models import set_threads
from helpers.runs import HelpersError

POOL = 20
"""Texts are sorted by length within so many batches: little padding, and still random batches."""
PREDICTED = 32
"""Texts a step of prediction."""


class FitError(HelpersError):
    """A training that cannot be started, or whose loss is no number."""


@dataclass
class Fitted:
    """A trained encoder.

    Attributes
    ----------
    model, settings : what was trained, and how.
    corpus : texts whose lower states are kept.
    centre, scale : mean and standard deviation of the training target (numbers), or 0 and 1.
    classes : number of classes, None for numbers.
    history : mean training loss of each epoch.
    tokens : tokens trained on, over all epochs.
    """

    model: Model
    settings: EncoderSettings
    corpus: Corpus
    centre: float
    scale: float
    classes: int | None
    history: list[float]
    tokens: int

    def predict(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Predict texts, known ones or new ones.

        Returns
        -------
        (n,) numbers on the scale of the target, or (n, L) probabilities of the classes.
        """
        import torch

        set_threads(self.settings.threads)
        self.model.body.eval()
        with torch.no_grad(), _autocast(self.settings):
            output = _predict_outputs(self.model, self.corpus, list(texts)).float()
        if self.classes is not None:
            return np.asarray(torch.softmax(output.double(), dim=1).cpu().numpy())
        return self.centre + self.scale * np.asarray(output[:, 0].double().cpu().numpy())


def fit(
    texts: Sequence[str],
    target: ArrayLike,
    settings: EncoderSettings,
    *,
    classes: int | None = None,
    corpus: Corpus | None = None,
    name: str = "encoder",
) -> Fitted:
    """Train an encoder.

    Parameters
    ----------
    texts : n training texts.
    target : (n,) numbers, or class numbers from 0 to `classes` - 1.
    settings : see `EncoderSettings`. The result is the same for the same settings and threads.
    classes : number of classes; None: the target is a number (squared error after
        standardisation with the mean and standard deviation of the training texts).
    corpus : a task's texts with their lower states (default: made of the training texts).
    name : for error messages, e.g. method and fold.

    Raises
    ------
    FitError
        If there are fewer than two texts, lengths differ, or the loss is no number.
    EncoderError
        If the settings do not suit the encoder.
    """
    import torch

    y = np.asarray(target, dtype=float)
    if len(texts) < 2 or y.shape != (len(texts),) or not np.isfinite(y).all():
        raise FitError(
            f"{name}: {len(texts)} texts and a target of shape {y.shape}: training needs two or "
            "more texts, and one finite number for each"
        )
    set_threads(settings.threads)
    centre, scale = (0.0, 1.0) if classes else (float(y.mean()), float(y.std()) or 1.0)
    model = build_model(settings, classes or 1)
    corpus = corpus or Corpus(texts, settings)
    fitted = Fitted(model, settings, corpus, centre, scale, classes, [], 0)
    goal = torch.tensor(y, dtype=torch.long) if classes else torch.tensor((y - centre) / scale)
    goal = (goal if classes else goal.float()).to(settings.device)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        inputs = _Inputs(model, corpus, list(texts))
        with words_in_use(model.body, inputs.tokens):
            _train(fitted, inputs, goal, name)
    return fitted


def _train(fitted: Fitted, inputs: _Inputs, goal: Any, name: str) -> None:
    import torch

    model, settings, n = fitted.model, fitted.settings, len(inputs.lengths)
    groups = parameter_groups(model, settings)
    learn = [p for group in groups for p in group["params"]]
    optimiser = torch.optim.AdamW(groups, fused=True)
    per_epoch = math.ceil(n / settings.batch_size)
    schedule = _schedule(optimiser, settings.epochs * per_epoch, settings.warmup_ratio)
    model.body.train()
    for epoch in range(settings.epochs):
        total = 0.0
        for rows in batches(inputs.lengths, settings.batch_size, settings.seed, epoch):
            with _autocast(settings):
                output = model.outputs(inputs.pooled(rows), training=True)
            loss = _loss(output.float(), goal[rows], fitted.classes)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learn, settings.max_grad_norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            schedule.step()
            total += loss.item() * len(rows)
        fitted.history.append(total / n)
        fitted.tokens += sum(inputs.lengths)
        if not math.isfinite(total) or total / n > 1e6:
            raise FitError(
                f"{name}: the training loss diverged in epoch {epoch + 1} "
                f"({settings.trainable}, learning rate {settings.learning_rate:g}): lower "
                "learning_rate and head_learning_rate, or raise warmup_ratio"
            )
    for parameter in learn:
        parameter.grad = None


def _loss(output: Any, goal: Any, classes: int | None) -> Any:
    import torch

    if classes is None:
        return torch.nn.functional.mse_loss(output[:, 0], goal)
    return torch.nn.functional.cross_entropy(output, goal)


def _schedule(optimiser: Any, steps: int, warmup_ratio: float) -> Any:
    from transformers import get_linear_schedule_with_warmup

    return get_linear_schedule_with_warmup(optimiser, math.ceil(steps * warmup_ratio), steps)


def _autocast(settings: EncoderSettings) -> Any:
    import torch

    wanted = settings.dtype == "bfloat16"
    return torch.autocast(settings.device, torch.bfloat16, enabled=wanted)


def batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> Iterator[list[int]]:
    """Yield batches of texts of similar length in random order, the same for seed and epoch."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths)).tolist()
    pool = POOL * size
    by_length = [
        row
        for start in range(0, len(order), pool)
        for row in sorted(order[start : start + pool], key=lengths.__getitem__)
    ]
    cut = [by_length[start : start + size] for start in range(0, len(by_length), size)]
    for number in rng.permutation(len(cut)).tolist():
        yield cut[number]


class _Inputs:
    """Training or known texts, from kept states or from tokens."""

    def __init__(self, model: Model, corpus: Corpus, texts: list[str]) -> None:
        self.model = model
        rows = corpus.rows(texts)
        kept = corpus.states(model.first) if rows is not None else None
        self.tokens = (
            corpus.tokenise(texts) if rows is None else [corpus.tokens[row] for row in rows]
        )
        self.lengths = [len(ids) for ids in self.tokens]
        self.states = None
        if kept is not None and rows is not None:
            self.states = [kept[row] for row in rows]

    def pooled(self, rows: list[int]) -> Any:
        """Return (n, hidden): the mean of the last layer for some of the texts."""
        import torch

        model, body = self.model, self.model.body
        if self.states is not None and model.first == model.depth:
            return torch.stack([self.states[row] for row in rows])
        if self.states is not None:
            states, mask = stacked([self.states[row] for row in rows])
        else:
            ids, mask = padded([self.tokens[row] for row in rows], body.device)
            states = body.embeddings(input_ids=ids)
        start = 0 if self.states is None else model.first
        return mean_of_tokens(run_layers(body, states, mask, start, model.depth), mask)


def _predict_outputs(model: Model, corpus: Corpus, texts: list[str]) -> Any:
    """Return (n, outputs) of the head, in the order of `texts`."""
    import torch

    inputs = _Inputs(model, corpus, texts)
    order = sorted(range(len(texts)), key=lambda row: (inputs.lengths[row], row))
    parts = [
        model.outputs(inputs.pooled(order[start : start + PREDICTED]))
        for start in range(0, len(order), PREDICTED)
    ]
    found = torch.cat(parts)
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return found[back.to(found.device)]
