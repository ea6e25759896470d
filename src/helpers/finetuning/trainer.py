"""TRL's SFTTrainer with three additions; the loss is the same.

* The head is applied at supervised positions only (`helpers.finetuning.losses`).
* Batches hold texts of similar length, in random order that depends on seed and epoch alone, so
  that a resumed training sees the batches that an uninterrupted one would, and several processes
  those that one would (`helpers.finetuning.order`).
* The collator tells a prefix language model where the prompt ends.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback
from trl import SFTTrainer

from helpers.finetuning.examples import IGNORED
from helpers.finetuning.frozen import LowerStates
from helpers.finetuning.head_rows import AnswerHead
from helpers.finetuning.losses import inner_model, supervised_loss
from helpers.finetuning.order import Filled, KeepEpoch, LengthBatchedSampler
from helpers.language_models import LanguageModelError
from helpers.prefix_lm import PrefixLMConfig, prompt_length

COMPLETE = "complete"  # marks a checkpoint that was written to its end
OURS, LIBRARY = "supervised positions", "trl fused head"


class Collator:
    """Pad examples on the right and count the tokens of each prompt."""

    def __init__(self, pad_token_id: int, prefix: bool) -> None:
        self.pad_token_id = pad_token_id
        self.prefix = prefix
        self.lower: LowerStates | None = None

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return input_ids, attention_mask, labels (batch, length), maybe prefix_length."""
        longest = max(len(example["input_ids"]) for example in examples)
        assert longest, "a batch of padding alone"

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


class CompletionTrainer(SFTTrainer):
    """See the module's docstring.

    Parameters
    ----------
    lengths : of the training examples, in tokens.
    group : batches of similar length.
    head_learning_rate : of the head, if it is to have its own.
    whole_text : the loss is on prompts too.

    Attributes
    ----------
    loss_name : which loss is used, `OURS` or TRL's.
    """

    def __init__(
        self,
        *args: Any,
        lengths: list[int],
        group: bool,
        head_learning_rate: float | None,
        whole_text: bool = False,
        **kwargs: Any,
    ) -> None:
        self._lengths, self._group = lengths, group
        self._head_learning_rate = head_learning_rate
        super().__init__(*args, **kwargs)
        inner = inner_model(self.model)
        # `compute_loss` divides by the tokens of all accumulated batches, whatever the model's
        # own forward makes of such a number.
        self.model_accepts_loss_kwargs = True
        # With nearly all positions supervised, TRL's Triton kernel, which goes through the
        # vocabulary in tiles, saves the memory of the logits. It multiplies by the head itself, so
        # it is for heads that stand alone. TRL also knows the auxiliary loss of mixtures.
        head = inner.get_output_embeddings()
        alone = any(part is head for part in inner.children())
        tiled = (
            whole_text
            and inner.device.type == "cuda"
            and alone
            and not isinstance(head, AnswerHead)
        )
        self.loss_name = LIBRARY if tiled or self.aux_loss_enabled else OURS
        if self.loss_name == LIBRARY and isinstance(head, AnswerHead):
            raise LanguageModelError(
                "head_rows: answers does not go with mixtures of experts: set head_rows: all"
            )
        self._positions = 0

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["input_ids", "labels"]

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthBatchedSampler:
        several = self.args.world_size > 1
        dealt = self.args.per_device_train_batch_size * self.args.world_size
        step = dealt * self.args.gradient_accumulation_steps
        sampler = LengthBatchedSampler(
            self._lengths, step, self.args.seed, self._group, multiple=dealt if several else 1
        )
        if several:
            self.pop_callback(KeepEpoch)
            self.add_callback(KeepEpoch(sampler))
        return sampler

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        if self.args.world_size == 1:
            return super()._get_eval_sampler(eval_dataset)
        dealt = self.args.per_device_eval_batch_size * self.args.world_size
        return SequentialSampler(range(len(eval_dataset) + -len(eval_dataset) % dealt))

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        if self.args.world_size > 1:
            dataset = Filled(dataset, self.processing_class.pad_token_id)
        return super()._get_dataloader(dataset, *args, **kwargs)

    def padding_share(self) -> float:
        """Return the share of padding among all positions that were trained on."""
        return 1 - self._total_train_tokens / max(self._positions, 1)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the mean negative log-likelihood of the supervised tokens.

        The mean is over all accumulated batches and processes if their number is given.
        """
        if self.model.training:
            self._positions += inputs["attention_mask"].numel() * self.accelerator.num_processes
        if return_outputs or self.loss_name == LIBRARY:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        head = inner_model(self.model).get_output_embeddings()
        loss, tokens = supervised_loss(model, inputs, head)
        if self.model.training:
            seen = self.accelerator.gather(inputs["attention_mask"].sum())
            self._total_train_tokens += int(seen.sum())
        if num_items_in_batch is None:
            return loss / tokens.clamp(min=1)
        if self.args.average_tokens_across_devices and self.accelerator.num_processes > 1:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over processes
        return loss / num_items_in_batch

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


def is_prefix_model(model: Any) -> bool:
    """Whether a model reads its prompt in both directions."""
    return isinstance(inner_model(model).config, PrefixLMConfig)


class MarkComplete(TrainerCallback):
    """Mark checkpoints that were written to their end: a kill may leave a partial one."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called after a checkpoint was written: by this process, so wait for the others."""
        from pathlib import Path

        from accelerate import PartialState

        PartialState().wait_for_everyone()
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / COMPLETE).touch()
