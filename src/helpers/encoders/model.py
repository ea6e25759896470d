"""An encoder with a linear head, and the choice of what in it learns.

Mean of the last layer over a text's tokens, then one linear layer: a number, or a score a class.
torch, transformers and peft are imported when a function is called.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from helpers.encoders.settings import EncoderSettings
from helpers.offline_model import DEPTHS, source_folder
from helpers.runs import HelpersError

EMBEDDINGS = -1
"""Number of the embeddings where layers are numbered from 0."""


class EncoderError(HelpersError):
    """An encoder cannot be loaded, or a setting does not suit it."""


@dataclass
class Model:
    """An encoder and its head.

    Attributes
    ----------
    body, head : torch modules.
    first : lowest part that learns: `EMBEDDINGS`, the number of a layer, or the number of layers
        if the head alone does.
    dropout : of the head's input, in training.
    """

    body: Any
    head: Any
    first: int
    dropout: float = 0.0

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(layers_of(self.body))

    def outputs(self, pooled: Any, *, training: bool = False) -> Any:
        """Return the head's (n, outputs) for the (n, hidden) means of the last layer."""
        import torch

        dropped = torch.nn.functional.dropout(pooled, self.dropout, training)
        return self.head(dropped)

    def counts(self) -> dict[str, int]:
        """Return the number of all parameters and of those that learn; adapters count."""
        every = [*self.body.parameters(), *self.head.parameters()]
        return {
            "total_parameters": sum(p.numel() for p in every),
            "trainable_parameters": sum(p.numel() for p in every if p.requires_grad),
        }


def layers_of(body: Any) -> Any:
    """Return the list of layers of an encoder.

    Raises
    ------
    EncoderError
        If the encoder is not built like BERT (embeddings, then a list of layers).
    """
    layers = getattr(getattr(body, "encoder", None), "layer", None)
    if layers is None or not hasattr(body, "embeddings"):
        raise EncoderError(
            f"{type(body).__name__} is not built like BERT, RoBERTa or ELECTRA: choose such an "
            "encoder, since its layers are trained one by one here"
        )
    return layers


@lru_cache(maxsize=1)
def load_encoder(encoder: str, revision: str | None, layers: int | None) -> tuple[Any, Any]:
    """Load an encoder, cut to its first layers, and its tokenizer; kept for the next call.

    Callers copy the encoder before they change it.

    Raises
    ------
    EncoderError
        If the encoder has fewer layers, cannot be entered at a layer, or cannot be found.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from helpers.language_models import quiet

    quiet()
    if not encoder and layers not in DEPTHS:
        raise EncoderError(f"the offline encoder has 2, 4 or 6 layers, not {layers}")
    source: Any = encoder or source_folder()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        body = AutoModel.from_pretrained(source, revision=revision, dtype=torch.float32)
    except OSError as error:
        raise EncoderError(f"encoder '{encoder}' cannot be loaded: {error}") from error
    found = layers_of(body)
    if layers is not None:
        if layers > len(found):
            raise EncoderError(f"layers is {layers}, but '{encoder}' has only {len(found)}")
        body.encoder.layer = found[:layers]
        body.config.num_hidden_layers = layers
    body.pooler = None  # a layer on the first token that mean pooling leaves unused
    for module in body.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # layers that learn get theirs back
    return body.eval().requires_grad_(False), tokenizer


def build_model(settings: EncoderSettings, outputs: int) -> Model:
    """Return an encoder with a new head of so many outputs, and only what is to learn unfrozen.

    The head starts at zero: the first prediction is the mean of the training texts (all classes
    equally likely), and no draw of random numbers favours one method.

    Raises
    ------
    EncoderError
        If `settings` ask for more layers than there are.
    """
    import torch

    body, _ = load_encoder(settings.encoder, settings.revision, settings.layers)
    head = torch.nn.Linear(body.config.hidden_size, outputs)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    depth = len(layers_of(body))
    if max(settings.top, settings.reinitialise) > depth:
        raise EncoderError(
            f"trainable {settings.trainable}, reinitialise {settings.reinitialise}: the encoder "
            f"has only {depth} layers"
        )
    first = first_trained(settings, depth)
    if first < depth or settings.reinitialise:
        body = copy.deepcopy(body)
        _start_anew(body, settings)
        _unfreeze(body, settings, first)
    model = Model(body, head, first, settings.dropout)
    for part in (body, head):
        part.to(settings.device)
    return model


def first_trained(settings: EncoderSettings, depth: int) -> int:
    """Return the lowest part that learns: `EMBEDDINGS`, a layer, or `depth` (head alone)."""
    lowest = {"head": depth, "lora": 0, "all": EMBEDDINGS, "scratch": EMBEDDINGS}
    return lowest.get(settings.trainable, depth - settings.top)


def _start_anew(body: Any, settings: EncoderSettings) -> None:
    """Give top layers, or everything, random weights as BERT starts from them, by the seed."""
    import torch

    generator = torch.Generator().manual_seed(settings.seed)
    chosen = list(layers_of(body))[len(layers_of(body)) - settings.reinitialise :]
    if settings.trainable == "scratch":
        chosen = [body]
    for part in chosen:
        for module in part.modules():
            _reset(module, body.config.initializer_range, generator)


def _reset(module: Any, spread: float, generator: Any) -> None:
    import torch

    with torch.no_grad():
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            # Drawn on the CPU: the same numbers on every device.
            drawn = torch.empty(module.weight.shape).normal_(0.0, spread, generator=generator)
            module.weight.copy_(drawn)
        if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx].zero_()
        if isinstance(module, torch.nn.LayerNorm):
            module.weight.fill_(1.0)
        if isinstance(module, torch.nn.Linear | torch.nn.LayerNorm) and module.bias is not None:
            module.bias.zero_()


def _unfreeze(body: Any, settings: EncoderSettings, first: int) -> None:
    """Let what is to learn learn, with its dropout; put adapters in."""
    import torch

    parts = list(layers_of(body))[max(first, 0) :]
    if first == EMBEDDINGS:
        parts.append(body.embeddings)
    for part in parts:
        part.requires_grad_(settings.trainable != "lora")
        for name, module in part.named_modules():
            # Dropout of attention weights would leave the fused path.
            if isinstance(module, torch.nn.Dropout) and "attention.self" not in name:
                module.p = settings.dropout
    if settings.trainable == "lora":
        _add_adapters(body, settings)


def _add_adapters(body: Any, settings: EncoderSettings) -> None:
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        target_modules=settings.target_modules,
        lora_dropout=0.0,
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        try:
            inject_adapter_in_model(config, body)
        except ValueError as error:
            raise EncoderError(f"target_modules {settings.target_modules}: {error}") from error
