"""What decides the training of an encoder: every key of ``what_to_finetune...settings``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from helpers.profiles import Strict

ENCODER_METHODS = ("frozen", "top-<k>", "lora", "all", "scratch")
_TOP = re.compile(r"top-([1-9]\d*)")

# By what is trained; what is not named here has the default of `EncoderSettings`. Chosen for six
# layers on texts outside the test set; docs/tuning.md has what was tried.
METHOD_SETTINGS: dict[str, dict[str, Any]] = {
    # A linear map of kept vectors: an epoch costs milliseconds, but long before 100 it overfits.
    "head": {"epochs": 30, "batch_size": 16, "head_learning_rate": 1e-2},
    # Few weights that start from good ones, over kept states: larger steps than all weights bear.
    "top": {"epochs": 4, "learning_rate": 5e-4},
    # Adapters start at zero and need larger steps than the weights that they change; the head has
    # to lead (at 3e-3, or with adapters at 5e-3, some folds learn nothing).
    "lora": {"epochs": 4, "learning_rate": 2e-3, "head_learning_rate": 1e-2},
    # Six layers at 3e-4 lose what they knew (R2 .18 against .57); two layers bear it.
    "all": {"epochs": 4, "learning_rate": 1e-4},
    # As many passes as `all`, so that only the start differs; nothing to lose by larger steps.
    "scratch": {"epochs": 4, "learning_rate": 3e-4, "head_learning_rate": 1e-2},
}


class EncoderSettings(Strict):
    """Settings of one training of an encoder with a linear head.

    Attributes
    ----------
    encoder, revision : empty: the offline encoder; else a hub name and its commit, or a folder.
    layers : the encoder's first so many layers are used (offline encoder: 2, 4 or 6); ``null``:
        all that it has.
    trainable : ``head``; ``top-<k>``: the last k layers; ``lora``: adapters in all layers; ``all``:
        every weight with the embeddings; ``scratch``: the same from random weights. The head
        always learns.
    learning_rate : of the topmost layer; `head_learning_rate`: of the head.
    layer_decay : each layer below learns at this share of the rate of the one above it, and the
        embeddings below the last (1: all alike).
    reinitialise : so many top layers start from random weights (Zhang et al. 2021, Revisiting
        few-sample BERT fine-tuning, ICLR).
    lora_r, lora_alpha, target_modules : as in PEFT's LoraConfig.
    max_tokens : longer texts are cut.
    warmup_ratio : share of the steps in which the learning rate rises; then it falls to zero.
    dropout : of the layers that learn and of the head's input; attention has none (on a CPU it
        would take a slow path).
    """

    encoder: str = ""
    revision: str | None = None
    layers: PositiveInt | None = 6
    trainable: str = "all"
    epochs: PositiveInt = 4
    learning_rate: PositiveFloat = 1e-4
    head_learning_rate: PositiveFloat = 3e-3
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    reinitialise: int = Field(default=0, ge=0)
    lora_r: PositiveInt = 8
    lora_alpha: PositiveInt = 16
    target_modules: list[str] = ["query", "key", "value", "dense"]
    batch_size: PositiveInt = 8
    max_tokens: PositiveInt = 256
    weight_decay: NonNegativeFloat = 0.01
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    max_grad_norm: PositiveFloat = 1.0
    dropout: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    threads: PositiveInt = 1

    @field_validator("trainable")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in ("head", "lora", "all", "scratch") or _TOP.fullmatch(value):
            return value
        raise ValueError(f"{value!r} is none of head, top-<k>, lora, all, scratch")

    @model_validator(mode="after")
    def _new_layers_learn(self) -> EncoderSettings:
        learn = {"all": self.layers or self.reinitialise}.get(self.trainable, self.top)
        if self.trainable != "scratch" and self.reinitialise > learn:
            raise ValueError(
                f"reinitialise is {self.reinitialise}, but of the layers only the top {learn} "
                f"learn with trainable: {self.trainable}; random weights have to learn"
            )
        return self

    @property
    def top(self) -> int:
        """Number of top layers that learn (``top-<k>``), 0 otherwise."""
        match = _TOP.fullmatch(self.trainable)
        return int(match[1]) if match else 0


def is_encoder_method(method: str) -> bool:
    """Whether a method of chapter 07 trains an encoder."""
    return method in ("frozen", "lora", "all", "scratch") or bool(_TOP.fullmatch(method))


def method_settings(method: str, changes: Mapping[str, Any]) -> EncoderSettings:
    """Return the settings of a method: its defaults, and what differs from them.

    Parameters
    ----------
    method : ``frozen``, ``top-<k>``, ``lora``, ``all`` or ``scratch``.
    changes : keys of `EncoderSettings`, except ``trainable``, which the method decides.

    Raises
    ------
    ValidationError
        If a key is misspelt or ill-typed.
    """
    trainable = "head" if method == "frozen" else method
    kind = "top" if _TOP.fullmatch(trainable) else trainable
    chosen = METHOD_SETTINGS.get(kind, {}) | dict(changes) | {"trainable": trainable}
    return EncoderSettings(**chosen)
