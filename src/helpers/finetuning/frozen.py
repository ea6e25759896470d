"""Run the frozen lower layers once per text, not once per epoch, training or seed.

Frozen layers without dropout give the same states for a text whenever it is read. Keeping them
saves a third of the training time of a six-layer model whose last two layers learn, and more where
many small models are trained on the same texts. Only for the offline model: it can be entered at
any layer.

Each text is run by itself, so that its states do not depend, in the last digit, on what else was
computed: a training gives the same bytes alone, in a grid, and after a kill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_BYTES = 1_000_000_000
"""Beyond this the states are not kept; training is slower then, with the same result."""

Key = tuple[tuple[int, ...], int]  # tokens, and how many of them are prompt


class LowerStates:
    """States below the first layer that learns, one (length, hidden) tensor an example.

    Parameters
    ----------
    model : a prefix language model; its lower layers are used, and must not change afterwards.
    first_layer : the first layer that learns.
    """

    def __init__(self, model: Any, first_layer: int) -> None:
        self.first_layer = first_layer
        self._embeddings = model.base_model.embeddings
        self._layers = list(model.base_model.encoder.layer[:first_layer])
        self._states: dict[Key, Any] = {}
        self._bytes = 0

    def of(self, tokens: Sequence[int], prompt: int) -> Any:
        """Return (length, hidden) states of an example of which the first `prompt` are prompt."""
        key = (tuple(tokens), prompt)
        if key not in self._states:
            states = self._run(tokens, prompt)
            self._bytes += states.nbytes
            if self._bytes > MOST_BYTES:
                self._states.clear()
                self._bytes = states.nbytes
            self._states[key] = states
        return self._states[key]

    def _run(self, tokens: Sequence[int], prompt: int) -> Any:
        import torch

        from helpers.prefix_lm import additive_mask, prefix_mask

        ids = torch.tensor([list(tokens)])
        visible = prefix_mask(torch.ones_like(ids), len(tokens), torch.tensor([prompt]))
        # Not inference mode, whatever the caller is in: a training may use these states too.
        with torch.inference_mode(False), torch.no_grad():
            states = self._embeddings(input_ids=ids, position_ids=torch.arange(len(tokens))[None])
            mask = additive_mask(visible, states.dtype)
            for layer in self._layers:
                states = layer(states, mask)
        return states[0].clone()

    def batch(self, examples: Sequence[tuple[Sequence[int], int]], length: int) -> dict[str, Any]:
        """Return the model's inputs ``lower_states`` (zeros behind each text) and ``first_layer``.

        Parameters
        ----------
        examples : tokens, and number of prompt tokens.
        length : of the longest.
        """
        import torch

        chosen = [self.of(tokens, prompt) for tokens, prompt in examples]
        padded = [torch.nn.functional.pad(s, (0, 0, 0, length - len(s))) for s in chosen]
        return {"lower_states": torch.stack(padded), "first_layer": self.first_layer}


_KEPT: dict[str, LowerStates] = {}


def lower_states(model: Any, first_layer: int, name: str) -> LowerStates:
    """Return the states that this process keeps for a model, from its earlier trainings too.

    Parameters
    ----------
    model : freshly loaded; its lower layers are those that `name` stands for.
    first_layer : the first layer that learns.
    name : identifies weights and data type. Only the last name is kept in memory.
    """
    key = f"{name}:{first_layer}"
    if key not in _KEPT:
        _KEPT.clear()
        _KEPT[key] = LowerStates(model, first_layer)
    return _KEPT[key]


def worth_keeping(model: Any, tokens: int, first_layer: int) -> bool:
    """Whether frozen layers exist on a CPU and the states of so many tokens fit into memory."""
    fits = 4 * tokens * model.config.hidden_size <= MOST_BYTES
    return first_layer > 0 and model.device.type == "cpu" and fits
