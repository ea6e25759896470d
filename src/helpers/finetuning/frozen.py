"""Run the frozen lower layers once per training, not once per epoch.

Frozen layers without dropout give the same states for a text in every epoch. Keeping them saves a
third of the training time of a six-layer model whose last two layers learn. Only for the offline
model: it can be entered at any layer.
"""

from __future__ import annotations

from typing import Any

MOST_BYTES = 1_000_000_000
"""Beyond this the states are not kept; training is slower then, with the same result."""


class LowerStates:
    """States below the first layer that learns, one (length, hidden) tensor an example.

    Parameters
    ----------
    model : a prefix language model.
    examples : with input_ids and labels; each gets a number in the column ``row``.
    first_layer : the first layer that learns.
    collator : pads a batch of examples.
    """

    def __init__(
        self, model: Any, examples: list[dict[str, Any]], first_layer: int, collator: Any
    ) -> None:
        self.first_layer = first_layer
        self.rows: list[Any] = [None] * len(examples)
        for row, example in enumerate(examples):
            example["row"] = row
        self._fill(model, examples, collator)

    def _fill(self, model: Any, examples: list[dict[str, Any]], collator: Any) -> None:
        import torch

        layers = model.base_model.encoder.layer
        # The frozen layers alone: the list is restored below.
        model.base_model.encoder.layer = layers[: self.first_layer]
        order = sorted(range(len(examples)), key=lambda i: -len(examples[i]["input_ids"]))
        model.eval()
        with torch.no_grad():
            for start in range(0, len(order), 16):
                rows = order[start : start + 16]
                batch = collator([examples[i] for i in rows])
                batch.pop("labels")
                states = model.base_model(**batch, use_cache=False).last_hidden_state
                for place, row in enumerate(rows):
                    length = len(examples[row]["input_ids"])
                    self.rows[row] = states[place, :length].clone()
        model.base_model.encoder.layer = layers

    def batch(self, rows: list[int], length: int) -> dict[str, Any]:
        """Return the model's inputs ``lower_states`` (padded with zeros) and ``first_layer``."""

        chosen = [self.rows[row] for row in rows]
        states = chosen[0].new_zeros((len(rows), length, chosen[0].shape[-1]))
        for place, tensor in enumerate(chosen):
            states[place, : len(tensor)] = tensor
        return {"lower_states": states, "first_layer": self.first_layer}


def worth_keeping(model: Any, examples: list[dict[str, Any]], first_layer: int) -> bool:
    """Whether frozen layers exist on a CPU and their states fit into memory."""
    tokens = sum(len(example["input_ids"]) for example in examples)
    fits = 4 * tokens * model.config.hidden_size <= MOST_BYTES
    return first_layer > 0 and model.device.type == "cpu" and fits
