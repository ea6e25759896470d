"""Turn a batch of prompts into answers: score labels in one pass, or write token by token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from helpers.grammar import Grammar, Walk
from helpers.prediction.prefix import SharedPrefix, accepted


def _rows_of(head: Any, tokens: list[int] | None) -> tuple[Any, Any] | None:
    """Return weights and bias of a plain linear head for some tokens; None for other heads."""
    import torch

    if tokens is None or type(head) is not torch.nn.Linear:
        return None
    return head.weight[tokens], None if head.bias is None else head.bias[tokens]


@contextmanager
def _only_rows(head: Any, rows: tuple[Any, Any] | None) -> Iterator[None]:
    """Let a head give the logits of some tokens alone: most of a small model is its vocabulary."""
    import torch

    if rows is None:
        yield
        return
    head.forward = lambda states: torch.nn.functional.linear(states, *rows)
    try:
        yield
    finally:
        del head.forward  # an attribute of the object, in front of its class's method


class Writer:
    """Answers of one model to one task.

    Parameters
    ----------
    model, tokenizer : in memory.
    grammar : the answers that the task allows.
    constrained : allow no others.
    longest : most tokens of an answer.
    lower : kept states of the frozen lower layers, or None.
    shared : kept states of what all prompts begin with, or None.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        grammar: Grammar,
        *,
        constrained: bool,
        longest: int,
        lower: Any = None,
        shared: SharedPrefix | None = None,
    ) -> None:
        self.model, self.tokenizer, self.grammar = model, tokenizer, grammar
        self.constrained, self.longest = constrained, longest
        self.labels = grammar.single_tokens() if constrained else None
        self.lower, self.shared = lower, shared
        self._accepted = accepted(model)
        self._head = model.get_output_embeddings()
        self._rows = _rows_of(self._head, self.labels)

    def write(self, prompts: list[list[int]]) -> list[str]:
        """Return one answer a prompt; prompts lack the beginning that is shared."""
        if self.labels is not None and self.lower is not None:
            return self._score_from(prompts)
        batch = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        ids = batch["input_ids"].to(self.model.device)
        mask = batch["attention_mask"].to(self.model.device)
        if self.labels is not None:
            return self._score(ids, mask)
        return self._generate(ids, mask)

    def _start(self, rows: int) -> dict[str, Any]:
        """Return the cache from which a batch starts, if there is one."""
        return {} if self.shared is None else {"past_key_values": self.shared.cache(rows)}

    def _behind(self, values: Any, shared: Any) -> Any:
        """Put what belongs to the shared beginning before each row of `values`."""
        import torch

        first = torch.as_tensor(shared, dtype=values.dtype, device=values.device)
        return torch.cat([first.expand(len(values), -1), values], dim=1)

    def _score(self, ids: Any, mask: Any) -> list[str]:
        """Compare the labels' tokens after one forward pass: what generation would choose.

        Position ids count real tokens, as generation counts them behind left padding. Models that
        lack an argument (positions from the mask, no short cut to the last logits) go without.
        """
        if self.shared is not None:
            mask = self._behind(mask, [1] * len(self.shared.tokens))
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        options = {"position_ids": positions, "logits_to_keep": 1}
        with _only_rows(self._head, self._rows):
            logits = self.model(
                input_ids=ids,
                attention_mask=mask,
                use_cache=self.shared is not None,
                **{name: value for name, value in options.items() if name in self._accepted},
                **self._start(len(ids)),
            ).logits
        return self._named(logits[:, -1])

    def _score_from(self, prompts: list[list[int]]) -> list[str]:
        """Score as `_score` does, from the kept states of the lower layers."""
        import torch

        lengths = torch.tensor([len(prompt) for prompt in prompts])
        longest = int(lengths.max())
        states = self.lower.batch([(prompt, len(prompt)) for prompt in prompts], longest)
        mask = (torch.arange(longest)[None] < lengths[:, None]).long()
        hidden = self.model.base_model(input_ids=mask, attention_mask=mask, **states)
        last = hidden.last_hidden_state[torch.arange(len(prompts)), lengths - 1]
        with _only_rows(self._head, self._rows):
            return self._named(self._head(last))

    def _named(self, scores: Any) -> list[str]:
        """Return the answer with the highest score in each row, of labels or of all tokens."""
        if self.labels is not None and scores.shape[-1] != len(self.labels):
            scores = scores[:, self.labels]
        return [f" {self.grammar.codes[i]}" for i in scores.argmax(-1).tolist()]

    def _generate(self, ids: Any, mask: Any) -> list[str]:
        if self.shared is not None:  # `generate` wants all tokens and skips those in the cache
            ids = self._behind(ids, self.shared.tokens)
            mask = self._behind(mask, [1] * len(self.shared.tokens))
        options: dict[str, Any] = self._start(len(ids))
        if self.constrained:
            options["prefix_allowed_tokens_fn"] = Walk([self.grammar] * len(ids), ids.shape[1])
        written = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.longest,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
            **options,
        )
        return [
            " " + self.tokenizer.decode(row, skip_special_tokens=True).strip()
            for row in written[:, ids.shape[1] :]
        ]
