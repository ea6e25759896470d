"""At which rate the weights of an encoder learn, and which words of its table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from helpers.encoders.model import Model, layers_of
from helpers.encoders.settings import EncoderSettings


def parameter_groups(model: Model, settings: EncoderSettings) -> list[dict[str, Any]]:
    """Return AdamW's groups: each part with its learning rate, biases and norms without decay."""
    depth, layers = model.depth, layers_of(model.body)
    parts = [(model.head, settings.head_learning_rate)]
    for number in range(depth - 1, -1, -1):
        rate = settings.learning_rate * settings.layer_decay ** (depth - 1 - number)
        parts.append((layers[number], rate))
    parts.append((model.body.embeddings, settings.learning_rate * settings.layer_decay**depth))
    groups = []
    for part, rate in parts:
        learn = [p for p in part.parameters() if p.requires_grad]
        for decayed in (True, False):
            chosen = [p for p in learn if (p.ndim > 1) == decayed]
            if chosen:
                decay = settings.weight_decay if decayed else 0.0
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    return groups


@contextmanager
def words_in_use(body: Any, tokens: Sequence[Sequence[int]]) -> Iterator[None]:
    """Let only those rows of the word embeddings learn that occur in some texts.

    The others get no gradient anyway, but a gradient of zeros for 30,000 words costs a fifth of a
    step of a small encoder. Afterwards the table is whole again; rows of other words are as before.
    """
    import torch

    words = body.embeddings.word_embeddings
    if not words.weight.requires_grad:
        yield
        return
    whole = words.weight
    used = {number for ids in tokens for number in ids} | {words.padding_idx or 0}
    rows = torch.tensor(sorted(used), device=whole.device)
    place = torch.zeros(len(whole), dtype=torch.long, device=whole.device)
    place[rows] = torch.arange(len(rows), device=whole.device)
    padding = words.padding_idx
    hook = words.register_forward_pre_hook(lambda module, given: (place[given[0]],))
    words.weight = torch.nn.Parameter(whole.detach()[rows].clone())
    words.padding_idx = None if padding is None else int(place[padding])
    try:
        yield
    finally:
        hook.remove()
        with torch.no_grad():
            whole[rows] = words.weight
        words.weight, words.padding_idx = whole, padding
