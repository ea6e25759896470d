"""The loss where something is to be learnt: the head runs at supervised positions only.

A head is as wide as the vocabulary, and an answer has few tokens. On a CPU, TRL 1.16 projects every
position of every text on the whole vocabulary (on CUDA its Triton kernel does not): the largest
single cost of training a small model.

The model's own forward is called, so that all it does to logits after its head (soft-capping,
scaling, an added bias) happens here too, and so that wrappers around it work: adapters, mixed
precision, and the hooks with which DistributedDataParallel averages gradients. A hook in front of
the head drops the positions that no loss is computed for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from helpers.finetuning.examples import IGNORED


def inner_model(model: Any) -> Any:
    """Return the language model inside a PEFT model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def supervised_loss(
    model: Any, inputs: dict[str, Any], head: Any = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the summed negative log-likelihood of the supervised tokens, and their number.

    Equal in value and gradient to the sum over full logits.

    Parameters
    ----------
    model : a causal language model, maybe wrapped.
    inputs : what the model takes, and ``labels`` (batch, length), -100 where nothing is learnt.
    head : the model's output embeddings; needed where a wrapper hides them.
    """
    labels = inputs["labels"][:, 1:]
    chosen = labels != IGNORED
    passed = {k: v for k, v in inputs.items() if k != "labels"} | {"use_cache": False}
    head = inner_model(model).get_output_embeddings() if head is None else head
    with _only_at(head, chosen) as applied:
        logits = model(**passed).logits
    # A model that does not call its head as a module gives all logits: right, if not as fast.
    logits = logits[0] if applied else logits[:, :-1][chosen.to(logits.device)]
    wanted = labels[chosen].to(logits.device)
    loss = torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")
    return loss, chosen.sum()


@contextmanager
def _only_at(head: Any, chosen: torch.Tensor) -> Iterator[list[bool]]:
    """Let a head see the chosen of all positions but the last, as one row (1, n, hidden).

    Yields a list that is empty until that has happened.
    """
    applied: list[bool] = []
    batch, length = chosen.shape

    def keep(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not given or given[0].shape[:-1] != (batch, length + 1):
            return None
        applied.append(True)
        hidden = given[0][:, :-1][chosen.to(given[0].device)]
        return (hidden[None], *given[1:])

    handle = head.register_forward_pre_hook(keep)
    try:
        yield applied
    finally:
        handle.remove()
