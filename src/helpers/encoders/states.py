"""Texts as tokens, and the states that the layers below the first trained one make of them.

Frozen layers give the same states for a text in every epoch, fold and repeat. They are computed
once for ALL texts of a task, in one fixed order and in fixed batches: what a fold's result is
depends neither on what else was computed nor on what was found done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from helpers.encoders.model import EMBEDDINGS, layers_of, load_encoder
from helpers.encoders.settings import EncoderSettings

MOST_BYTES = 2_000_000_000
"""Beyond this the states are not kept; training is slower then, with the same result up to
rounding."""
BATCH = 32


def token_mask(lengths: Any, longest: int) -> Any:
    """Return (n, longest): true where a text has a token."""
    import torch

    return torch.arange(longest, device=lengths.device)[None] < lengths[:, None]


def run_layers(body: Any, states: Any, mask: Any, start: int, stop: int) -> Any:
    """Run the layers from `start` to before `stop` on (n, length, hidden) states."""
    import torch

    shift = None
    if not mask.all():
        shift = torch.zeros(mask.shape, dtype=states.dtype, device=states.device)
        shift = shift.masked_fill(~mask, torch.finfo(states.dtype).min)[:, None, None]
    for layer in layers_of(body)[start:stop]:
        states = layer(states, shift)
    return states


def mean_of_tokens(states: Any, mask: Any) -> Any:
    """Return (n, hidden): the mean of each text's states over its tokens."""
    kept = mask[..., None].to(states.dtype)
    return (states * kept).sum(1) / kept.sum(1)


class Corpus:
    """Tokens of texts, and their states below a layer.

    Parameters
    ----------
    texts : all texts of a task, in one order (equal texts count once).
    settings : encoder, layers, max_tokens and device count.
    """

    def __init__(self, texts: Sequence[str], settings: EncoderSettings) -> None:
        self.settings = settings
        which = (settings.encoder, settings.revision, settings.layers)
        body, self._tokenizer = load_encoder(*which)
        self.body = body.to(settings.device)
        unique = list(dict.fromkeys(texts))
        self._row = {text: row for row, text in enumerate(unique)}
        self.tokens = self.tokenise(unique)
        self._level = EMBEDDINGS
        self._states: list[Any] = []

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token numbers of each text, cut to ``max_tokens``."""
        if not texts:
            return []
        limit = self.settings.max_tokens
        found = self._tokenizer(list(texts), truncation=True, max_length=limit)
        return list(found["input_ids"])

    def rows(self, texts: Sequence[str]) -> list[int] | None:
        """Return where the texts stand in the corpus; None if one is not in it."""
        found = [self._row.get(text) for text in texts]
        return None if None in found else [row for row in found if row is not None]

    def states(self, level: int) -> list[Any] | None:
        """Return each text's (length, hidden) states below layer `level`.

        At the top level (all layers frozen) these are the (hidden,) means over tokens. None if
        there is nothing worth keeping: `level` is the first layer, or memory would not do. Those
        of the latest level are kept.
        """
        if level <= 0:
            return None
        if level != self._level:
            top = level == len(layers_of(self.body))
            tokens = len(self.tokens) if top else sum(map(len, self.tokens))
            if 4 * tokens * self.body.config.hidden_size > MOST_BYTES:
                return None
            self._states = []  # frees the former level first
            self._states = lower_states(self.body, self.tokens, level, pool=top)
            self._level = level
        return self._states


def lower_states(body: Any, tokens: Sequence[Sequence[int]], level: int, *, pool: bool) -> Any:
    """Return a list with each text's states below layer `level` (`pool`: their means)."""
    import torch

    found: list[Any] = [None] * len(tokens)
    order = sorted(range(len(tokens)), key=lambda row: (len(tokens[row]), row))
    with torch.no_grad():
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            ids, mask = padded([tokens[row] for row in rows], body.device)
            states = run_layers(body, body.embeddings(input_ids=ids), mask, 0, level)
            kept = mean_of_tokens(states, mask) if pool else states
            for place, row in enumerate(rows):
                found[row] = (kept[place] if pool else kept[place, : len(tokens[row])]).clone()
    return found


def padded(tokens: Sequence[Sequence[int]], device: Any) -> tuple[Any, Any]:
    """Return (n, longest) token numbers, padded on the right, and their mask."""
    import torch

    lengths = torch.tensor([len(ids) for ids in tokens])
    longest = int(lengths.max())
    # Padding is masked wherever it could count, so that its number does not matter.
    rows = [list(ids) + [0] * (longest - len(ids)) for ids in tokens]
    return torch.tensor(rows).to(device), token_mask(lengths, longest).to(device)


def stacked(states: Sequence[Any]) -> tuple[Any, Any]:
    """Return (n, longest, hidden) states, padded with zeros, and their mask."""
    import torch

    lengths = torch.tensor([len(item) for item in states])
    mask = token_mask(lengths, int(lengths.max())).to(states[0].device)
    return torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True), mask
