"""Run what all prompts begin with once: instruction and codebook are most of a long prompt.

A causal model's states at a token depend on the tokens before it alone. So the keys and values of
the common beginning, computed once, serve every text: each batch starts from them and runs only
what differs. That is exact up to rounding, and not where a model looks ahead, forgets (sliding
windows) or sums up (recurrent layers): such models are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal

from helpers.prediction.speed import PredictionError

SHORTEST = 64
"""``share_prefix: auto`` leaves shorter beginnings alone: little is saved."""
TOLERANCE = {"float32": 1e-3, "other": 5e-2}
"""Largest allowed difference of logits, relative to the largest logit."""


@dataclass(frozen=True)
class SharedPrefix:
    """Keys and values of the tokens with which all prompts begin.

    Attributes
    ----------
    tokens : the beginning.
    layers : keys and values of each layer, (1, heads, tokens, size).
    """

    tokens: list[int]
    layers: list[tuple[Any, Any]]

    def cache(self, rows: int) -> Any:
        """Return a cache for a batch that starts behind the beginning.

        The states are views of those of one row: `DynamicLayer.update` joins them with the new
        tokens' and so makes the only copy. (`batch_repeat_interleave` would make one more.)
        """
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        layers = []
        for keys, values in self.layers:
            layer = DynamicLayer()
            layer.lazy_initialization(keys, values)
            layer.keys = keys.expand(rows, -1, -1, -1)
            layer.values = values.expand(rows, -1, -1, -1)
            layers.append(layer)
        cache = DynamicCache()
        cache.layers = layers
        return cache


def share(
    model: Any, prompts: Sequence[list[int]], choice: Literal["auto", "on", "off"]
) -> SharedPrefix | None:
    """Compute the common beginning of all prompts; None if it is not to be shared.

    Parameters
    ----------
    model : a causal language model; call this in the context (precision) in which it predicts.
    prompts : tokens of each prompt.
    choice : as in `Speed.share_prefix`.

    Raises
    ------
    PredictionError
        With ``on``: if the model's answers would differ, with the reason.
    """
    if choice == "off" or not prompts:
        return None
    # Every prompt keeps a token of its own, whose logits are asked for.
    length = min(common_length(prompts), min(map(len, prompts)) - 1)
    pays = length >= SHORTEST and len(prompts) > 1
    if length < 1 or (choice == "auto" and not pays):
        return None
    reason = why_not(model)
    if reason is None:
        shared = _run(model, list(prompts[0][:length]))
        shortest = min(prompts, key=len)
        if shared is not None and _agrees(model, shared, list(shortest)):
            return shared
        reason = "its answers differ when it starts from kept states"
    if choice == "on":
        raise PredictionError(
            f"share_prefix: on is impossible for this model: {reason}; set share_prefix: auto"
        )
    return None


def common_length(prompts: Sequence[list[int]]) -> int:
    """Return how many tokens all prompts begin with: the first and the last in order tell."""
    first, last = min(prompts), max(prompts)
    pairs = enumerate(zip(first, last, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(last)))


def why_not(model: Any) -> str | None:
    """Return why a model cannot start from kept states of the beginning, or None if it can."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    inner = inner_model(model)
    if inner.config.model_type == "prefix-lm":
        return "its tokens see the whole prompt, also what follows them (prefix attention)"
    if not {"position_ids", "past_key_values"} <= accepted(model):
        return "it keeps no keys and values, or counts positions by itself"
    layers = DynamicCache(config=inner.config).layers
    if any(type(layer) is not DynamicLayer for layer in layers):
        return "layers with a sliding window or a recurrent state do not keep all tokens"
    return None


def inner_model(model: Any) -> Any:
    """Return the language model itself, without the wrapper of adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def accepted(model: Any) -> set[str]:
    """Return the names of the arguments that a model's forward pass takes."""
    return set(signature(inner_model(model).forward).parameters)


def _run(model: Any, tokens: list[int]) -> SharedPrefix | None:
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache(config=inner_model(model).config)
    ids = torch.tensor([tokens], device=model.device)
    options = {"logits_to_keep": 1} if "logits_to_keep" in accepted(model) else {}
    model(input_ids=ids, past_key_values=cache, use_cache=True, **options)
    full = all(type(x) is DynamicLayer and x.get_seq_length() == len(tokens) for x in cache.layers)
    return SharedPrefix(tokens, [(x.keys, x.values) for x in cache.layers]) if full else None


def _agrees(model: Any, shared: SharedPrefix, prompt: list[int]) -> bool:
    """Compare one prompt's last logits with and without the kept states.

    A model's configuration does not always tell that it looks ahead; its logits do.
    """
    import torch

    options = {"logits_to_keep": 1} if "logits_to_keep" in accepted(model) else {}
    ids = torch.tensor([prompt], device=model.device)
    whole = model(input_ids=ids, use_cache=False, **options).logits[0, -1].float()
    start = len(shared.tokens)
    positions = torch.arange(start, len(prompt), device=model.device)[None]
    short = (
        model(
            input_ids=ids[:, start:],
            position_ids=positions,
            attention_mask=torch.ones_like(ids),
            past_key_values=shared.cache(1),
            use_cache=True,
            **options,
        )
        .logits[0, -1]
        .float()
    )
    exact = model.dtype == torch.float32 and not torch.is_autocast_enabled(model.device.type)
    tolerance = TOLERANCE["float32" if exact else "other"]
    return bool((whole - short).abs().max() <= tolerance * whole.abs().max())
