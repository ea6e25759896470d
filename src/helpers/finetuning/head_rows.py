"""Train only those rows of the head that an answer may contain.

A label needs few of the tens of thousands of words that a head can write. The other rows stay as
they are, and the softmax still runs over all of them: loss and gradients are those of a training in
which they are constants. What is saved is their gradient and the optimiser's two moments, the
largest part of a small model.

PEFT's ``trainable_token_indices`` does the same for embeddings. On a head it leaves out the bias
(0.21) and copies the whole matrix in every step, so the module below does it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from helpers.grammar import NUMBERS
from helpers.language_models import LanguageModelError, word_tokens
from helpers.tasks import NONE, Task

ROWS = "answer_rows"  # name of the part that learns
TOKENS = "answer_tokens.json"  # beside an adapter: which rows it holds


def answer_tokens(task: Task, tokenizer: Any) -> list[int]:
    """Return every token that an answer of a task may contain, its end included."""
    words = [*(task.codes.values() if task.labels else NUMBERS), *task.levels]
    if task.empty is not None:
        words.append(NONE)
    every = {tokenizer.eos_token_id}
    for word in words:
        for first in (True, False):
            every.update(word_tokens(tokenizer, word, first))
    return sorted(every)


class AnswerHead(nn.Linear):
    """A linear head in which only the rows of some tokens learn.

    Parameters
    ----------
    head : the head that it replaces; its values are copied.
    tokens : whose rows learn.
    """

    def __init__(self, head: nn.Linear, tokens: Iterable[int]) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = head.in_features, head.out_features
        self.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        bias = None if head.bias is None else head.bias.detach().clone()
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        index = torch.tensor(list(tokens), device=head.weight.device)
        self.register_buffer("tokens", index, persistent=False)
        # Not initialised: random numbers drawn here would change all that come after.
        rows = nn.utils.skip_init(
            nn.Linear,
            head.in_features,
            len(index),
            bias=bias is not None,
            device=head.weight.device,
            dtype=head.weight.dtype,
        )
        with torch.no_grad():
            rows.weight.copy_(head.weight[index])
            if bias is not None:
                rows.bias.copy_(bias[index])
        self.answer_rows = rows

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return logits over the whole vocabulary, those of the answers from the rows that learn.

        What the fixed rows say of these tokens is overwritten, and so gets no gradient.
        """
        fixed = super().forward(hidden)
        return fixed.index_copy(-1, self.tokens, self.answer_rows(hidden).to(fixed.dtype))

    def folded(self) -> nn.Linear:
        """Return an ordinary head with the learnt rows in their places."""
        head = nn.utils.skip_init(
            nn.Linear,
            self.in_features,
            self.out_features,
            bias=self.bias is not None,
            device=self.weight.device,
            dtype=self.weight.dtype,
        )
        with torch.no_grad():
            head.weight.copy_(self.weight)
            head.weight[self.tokens] = self.answer_rows.weight
            if self.bias is not None:
                head.bias.copy_(self.bias)
                head.bias[self.tokens] = self.answer_rows.bias
        return head


def untie(model: Any) -> None:
    """Give the head weights of its own if it shares them with the embeddings, and say so."""
    config = model.config.get_text_config()
    if not config.tie_word_embeddings:
        return
    head = model.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.detach().clone())
    config.tie_word_embeddings = False
    model.config.tie_word_embeddings = False
    model.all_tied_weights_keys = {}


def head_name(model: Any) -> str:
    """Return the name of a model's head, e.g. ``lm_head``."""
    head = model.get_output_embeddings()
    return next(name for name, module in model.named_modules() if module is head)


def is_head(model: Any, pattern: str) -> bool:
    """Whether an entry of PEFT's ``modules_to_save`` names a model's head, or a part around it."""
    name = head_name(model)
    return name == pattern or name.endswith(f".{pattern}") or name.startswith(f"{pattern}.")


def install(model: Any, tokens: Iterable[int]) -> None:
    """Let only some rows of a model's head learn.

    Raises
    ------
    LanguageModelError
        If the head is no plain linear layer.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or not head.weight.is_floating_point():
        raise LanguageModelError(
            f"head_rows: answers needs a plain linear head, and this model's is a "
            f"{type(head).__name__}: set head_rows: all"
        )
    untie(model)
    model.set_output_embeddings(AnswerHead(model.get_output_embeddings(), tokens))


def fold(model: Any) -> Any:
    """Put learnt rows into an ordinary head, if there are any; return the model."""
    head = model.get_output_embeddings()
    if isinstance(head, AnswerHead):
        model.set_output_embeddings(head.folded())
    return model


def save_tokens(model: Any, folder: Path) -> None:
    """Write beside an adapter which rows of the head it holds, if it holds any."""
    head = model.get_output_embeddings()
    if isinstance(head, AnswerHead):
        text = json.dumps(head.tokens.tolist()) + "\n"
        (folder / TOKENS).write_text(text, encoding="utf-8")


def load_adapter(model: Any, folder: str | Path) -> Any:
    """Put a saved adapter on its base model, with the rows of the head that it holds."""
    from peft import PeftModel

    listed = Path(folder) / TOKENS
    if listed.is_file():
        install(model, json.loads(listed.read_text(encoding="utf-8")))
    return PeftModel.from_pretrained(model, folder)
