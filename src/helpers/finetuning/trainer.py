"""TRL's SFTTrainer with three additions that matter on a CPU; the loss is the same.

* The head is applied at supervised positions only. On a CPU, TRL projects every position on the
  whole vocabulary, by far the largest cost of training a small model.
* Batches hold texts of similar length, in random order that depends on seed and epoch alone, so
  that a resumed training sees the batches that an uninterrupted one would.
* The collator tells a prefix language model where the prompt ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import SFTTrainer

from helpers.finetuning.examples import IGNORED
from helpers.finetuning.frozen import LowerStates
from helpers.prefix_lm import PrefixLMConfig, prompt_length

COMPLETE = "complete"  # marks a checkpoint that was written to its end
# Models that change logits after the head: TRL's own loss knows how, ours would not.
LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


class Collator:
    """Pad examples on the right and count the tokens of each prompt."""

    def __init__(self, pad_token_id: int, prefix: bool) -> None:
        self.pad_token_id = pad_token_id
        self.prefix = prefix
        self.lower: LowerStates | None = None

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return input_ids, attention_mask, labels (batch, length), maybe prefix_length."""
        longest = max(len(example["input_ids"]) for example in examples)

        def padded(key: str, value: int) -> torch.Tensor:
            rows = [e[key] + [value] * (longest - len(e[key])) for e in examples]
            return torch.tensor(rows)

        lengths = torch.tensor([[len(e["input_ids"])] for e in examples])
        batch = {
            "input_ids": padded("input_ids", self.pad_token_id),
            "labels": padded("labels", IGNORED),
            "attention_mask": (torch.arange(longest)[None] < lengths).long(),
        }
        if self.prefix:
            batch["prefix_length"] = prompt_length(batch["labels"])
        if self.lower is not None:
            prompts = batch["prefix_length"].tolist()
            asked = [(e["input_ids"], p) for e, p in zip(examples, prompts, strict=True)]
            batch |= self.lower.batch(asked, longest)
        return batch


class LengthBatchedSampler(Sampler[int]):
    """Batches of similar length in random order, determined by seed and epoch.

    Indices are shuffled, cut into pools of 20 batches, sorted by length within each pool, and the
    batches are shuffled. Without `group` it is a plain shuffle.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int, group: bool) -> None:
        self.lengths, self.batch_size, self.seed, self.group = lengths, batch_size, seed, group
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        if not self.group:
            return iter(order)
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
        return iter([index for i in mixed for index in full[i]] + rest)


class CompletionTrainer(SFTTrainer):
    """See the module's docstring."""

    def __init__(
        self, *args: Any, group: bool, head_learning_rate: float | None, **kwargs: Any
    ) -> None:
        self._group = group
        self._head_learning_rate = head_learning_rate
        super().__init__(*args, **kwargs)
        inner = inner_model(self.model)
        changed = any(getattr(inner.config, name, None) is not None for name in LOGIT_CHANGES)
        self._select_positions = inner.device.type == "cpu" and not changed

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["input_ids", "labels"]

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthBatchedSampler:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in dataset["input_ids"]]
        size = self.args.per_device_train_batch_size
        return LengthBatchedSampler(lengths, size, self.args.seed, self._group)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the mean negative log-likelihood of the supervised tokens."""
        if return_outputs or not self._select_positions:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss, tokens = supervised_loss(inner_model(model), inputs)
        if self.model.training:
            self._total_train_tokens += int(inputs["attention_mask"].sum())
        return loss / (tokens if num_items_in_batch is None else num_items_in_batch)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Give the head a learning rate of its own if one is set."""
        optimizer = super().create_optimizer(model)
        if self._head_learning_rate is None:
            return optimizer
        head = {id(p) for p in inner_model(self.model).get_output_embeddings().parameters()}
        for group in list(optimizer.param_groups):
            own = [p for p in group["params"] if id(p) in head]
            if own:
                group["params"] = [p for p in group["params"] if id(p) not in head]
                rest = {k: v for k, v in group.items() if k != "params"}
                optimizer.add_param_group(
                    {**rest, "params": own, "lr": self._head_learning_rate, "weight_decay": 0.0}
                )
        return optimizer


def inner_model(model: Any) -> Any:
    """Return the language model inside a PEFT model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def supervised_loss(model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, int]:
    """Return the summed negative log-likelihood of supervised tokens, and their number.

    Equal in value and gradient to the sum over full logits, but the head is applied only where
    the next token is supervised.
    """
    labels = inputs["labels"][:, 1:]
    passed = {k: v for k, v in inputs.items() if k != "labels"} | {"use_cache": False}
    hidden = model.base_model(**passed).last_hidden_state[:, :-1]
    chosen = labels != IGNORED
    logits = model.get_output_embeddings()(hidden[chosen]).float()
    loss = torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="sum")
    return loss, int(chosen.sum())


def is_prefix_model(model: Any) -> bool:
    """Whether a model reads its prompt in both directions."""
    return isinstance(inner_model(model).config, PrefixLMConfig)


class MarkComplete(TrainerCallback):
    """Mark checkpoints that were written to their end: a kill may leave a partial one."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called after a checkpoint was written."""
        from pathlib import Path

        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / COMPLETE).touch()
