"""Which texts are learnt together: the same for one process and for several.

The texts of an optimiser step depend on seed, epoch and their number alone, not on how the step is
split: two processes with 16 texts each, one with 32, and one that accumulates two batches of 16 see
the same 32 texts. Several processes need as many batches each. Where texts are missing for that, at
the end of an epoch, accelerate would take some of its beginning a second time; here they get an
empty example, for which no loss is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers import TrainerCallback

from helpers.finetuning.examples import IGNORED


class LengthBatchedSampler(Sampler[int]):
    """Batches of similar length in random order, determined by seed and epoch.

    Indices are shuffled, cut into pools of 20 batches, sorted by length within each pool, and the
    batches are shuffled. Without `group` it is a plain shuffle.

    Parameters
    ----------
    lengths : of the texts, in tokens.
    batch_size : texts of an optimiser step, those of all processes and accumulated batches.
    seed : of the order.
    group : whether batches hold texts of similar length.
    multiple : the stream is filled to a multiple of this with indices behind the last (`Filled`).
    """

    def __init__(
        self, lengths: list[int], batch_size: int, seed: int, group: bool, multiple: int = 1
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.group = lengths, batch_size, seed, group
        self.missing = -len(lengths) % multiple
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths) + self.missing

    def __iter__(self) -> Iterator[int]:
        n = len(self.lengths)
        return iter([*self._order(), *range(n, n + self.missing)])

    def _order(self) -> list[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        order: list[int] = torch.randperm(len(self.lengths), generator=generator).tolist()
        if not self.group:
            return order
        pool = 20 * self.batch_size
        by_length = [
            index
            for start in range(0, len(order), pool)
            for index in sorted(order[start : start + pool], key=self.lengths.__getitem__)
        ]
        size = self.batch_size
        batches = [by_length[i : i + size] for i in range(0, len(by_length), size)]
        # An incomplete batch stays last: the loader cuts the stream every `size` indices.
        full = [batch for batch in batches if len(batch) == size]
        rest = [index for batch in batches if len(batch) < size for index in batch]
        mixed = torch.randperm(len(full), generator=generator).tolist()
        return [index for i in mixed for index in full[i]] + rest


class Filled(Dataset[dict[str, Any]]):
    """Examples, and behind the last of them empty ones that no loss is computed for.

    Its length is that of the examples: the mean over a validation set leaves empty ones out.

    Parameters
    ----------
    examples : dicts with ``input_ids`` and ``labels``.
    token : what empty examples consist of.
    """

    def __init__(self, examples: Any, token: int) -> None:
        self.examples, self.token = examples, token

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index < len(self.examples):
            example: dict[str, Any] = self.examples[index]
            return example
        return {"input_ids": [self.token] * 2, "labels": [IGNORED] * 2}


class KeepEpoch(TrainerCallback):
    """Tell a sampler the epoch.

    Several processes that resume within an epoch need it: accelerate 1.15 does not look for the
    sampler behind both the batches that it skips and those that it deals out to processes, so the
    rest of the epoch would be that of the first epoch's order.

    Parameters
    ----------
    sampler : has ``set_epoch``.
    """

    def __init__(self, sampler: LengthBatchedSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called before each epoch; `state.epoch` is what was trained of all epochs."""
        self.sampler.set_epoch(int(state.epoch or 0))
