"""Training steps of a large model: what a recipe does with texts, and how many tokens a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gpu_model

IGNORED = -100
ANSWER = 3  # tokens of an answer with its end
Batch = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes
    ----------
    name : shown in the table.
    four_bit : NF4 weights under the adapter.
    checkpointing : compute activations again in the backward pass instead of keeping them.
    whole_text : loss on prompt and answer, over full logits in float32; otherwise on the answer,
        the head applied there only.
    paged : paged AdamW, 32 bits.
    dropout : of the adapter.
    """

    name: str
    four_bit: bool = False
    checkpointing: bool = False
    whole_text: bool = False
    paged: bool = False
    dropout: float = 0.0


class Training:
    """A model, its optimiser, and steps."""

    def __init__(self, recipe: Recipe, shape: str, device: str) -> None:
        self.recipe, self.device = recipe, device
        model = gpu_model.random_llama(shape, device)
        if recipe.four_bit:
            model = gpu_model.to_four_bits(model, device)
        self.model = gpu_model.with_adapter(
            model, checkpointing=recipe.checkpointing, dropout=recipe.dropout
        )
        self.optimiser = gpu_model.optimiser(self.model, paged=recipe.paged)

    def step(self, batch: Batch) -> None:
        """Forward, backward, update; sums stay on the device."""
        import torch

        from helpers.finetuning.trainer import supervised_loss

        moved = {key: value.to(self.device) for key, value in batch.items()}
        with torch.autocast(self.device, torch.bfloat16):
            if self.recipe.whole_text:
                loss = self.model(**moved, use_cache=False).loss
            else:
                total, tokens = supervised_loss(self.model.get_base_model(), moved)
                loss = total / tokens
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 0.3)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def timed(self, batches: list[Batch]) -> dict[str, float]:
        """Return tokens a second over batches; padding is no token."""
        tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
        gpu_model.wait(self.device)
        began = time.perf_counter()
        for batch in batches:
            self.step(batch)
        gpu_model.wait(self.device)
        seconds = time.perf_counter() - began
        return {"tokens/s": tokens / seconds, "rows/s": rows(batches) / seconds}


def rows(batches: list[Batch]) -> int:
    """Return the number of texts in batches."""
    return sum(len(batch["input_ids"]) for batch in batches)


def full(size: int, length: int, whole_text: bool) -> Batch:
    """Return a batch of texts of equal length, random tokens."""
    import torch

    generator = torch.Generator().manual_seed(gpu_model.SEED)
    ids = torch.randint(1000, 30_000, (size, length), generator=generator)
    labels = ids.clone()
    if not whole_text:
        labels[:, :-ANSWER] = IGNORED
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def padded(examples: list[list[int]], whole_text: bool) -> Batch:
    """Return a batch of texts of their own lengths, padded on the right."""
    import torch

    longest = max(map(len, examples))
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    mask = torch.zeros_like(ids)
    for i, example in enumerate(examples):
        ids[i, : len(example)] = torch.tensor(example)
        mask[i, : len(example)] = 1
        learnt = 0 if whole_text else len(example) - ANSWER
        labels[i, learnt : len(example)] = ids[i, learnt : len(example)]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def batches(examples: list[list[int]], tokens: int, most: int, whole_text: bool) -> list[Batch]:
    """Cut texts, sorted by length, into batches of at most so many tokens and texts."""
    ordered = sorted(examples, key=len, reverse=True)
    return [padded(chosen, whole_text) for chosen in _cut(ordered, tokens, most)]


def _cut(ordered: list[list[int]], tokens: int, most: int) -> Iterator[list[list[int]]]:
    chosen: list[list[int]] = []
    for example in ordered:
        longest = len(chosen[0]) if chosen else len(example)
        if chosen and (len(chosen) == most or (len(chosen) + 1) * longest > tokens):
            yield chosen
            chosen = []
        chosen.append(example)
    if chosen:
        yield chosen


def largest_batch(training: Training, length: int, most: int) -> int:
    """Return the largest power of two of texts that a step has memory for; 0 if not even one."""
    import torch

    size, room = 1, True
    while room and size <= most:
        try:
            training.step(full(size, length, training.recipe.whole_text))
            gpu_model.wait(training.device)
            size *= 2
        except torch.OutOfMemoryError:
            room = False
    # Behind the handler: inside it, the error still refers to the step's tensors.
    training.optimiser.zero_grad(set_to_none=True)
    gpu_model.release(training.device)
    return size // 2
