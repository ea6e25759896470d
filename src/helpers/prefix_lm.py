"""A small causal language model that reads its prompt in both directions (prefix LM).

The architecture is that of transformers' ``BertGenerationDecoder`` with two changes:

* **prefix attention**: tokens of the prompt see the whole prompt, tokens of the completion see the
  prompt and what was generated before them (Raffel et al. 2020, JMLR 21(140), section 3.2.1);
* the last layer is a **pooling layer**: attention without a feed-forward part. Its query weights
  start at zero, so it starts as the mean over all visible tokens. That is how the source of our
  offline model, a sentence encoder, sums up a text; fine-tuning is free to change it.

Importing this module registers the architecture with transformers. Its ``model_type`` is unknown
to transformers alone, so a saved model cannot be loaded, and silently run causally, without it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BertGenerationConfig,
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions
from transformers.models.bert_generation.modeling_bert_generation import (
    BertGenerationAttention,
    BertGenerationCrossAttention,
)


class PrefixLMConfig(BertGenerationConfig):
    """Configuration; ``num_hidden_layers`` counts the pooling layer."""

    model_type = "prefix-lm"


class PoolingLayer(nn.Module):
    """Attention and residual without feed-forward part; called like any other layer."""

    def __init__(self, config: PrefixLMConfig, layer_idx: int) -> None:
        super().__init__()
        self.attention = BertGenerationAttention(config, is_causal=True, layer_idx=layer_idx)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        past_key_values: Any = None,
        only_last: bool = False,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Attend once over the visible tokens; (batch, length, hidden) in and out.

        With ``only_last``, and no cache, only the last token asks: (batch, 1, hidden) out.
        """
        if only_last and past_key_values is None and attention_mask is not None:
            last, inner = hidden_states[:, -1:], self.attention.self
            # One query on other tokens is what cross-attention computes, with the same weights.
            output, _ = BertGenerationCrossAttention.forward(
                inner, last, hidden_states, attention_mask[:, :, -1:]
            )
            return self.attention.output(output, last)
        output, _ = self.attention(
            hidden_states, attention_mask, past_key_values=past_key_values, **kwargs
        )
        return output


def prefix_mask(
    attention_mask: torch.Tensor, queries: int, prefix_length: torch.Tensor | None
) -> torch.Tensor:
    """Say which key each query sees.

    Parameters
    ----------
    attention_mask : torch.Tensor
        (batch, keys), 1 for tokens and 0 for padding.
    queries : int
        Number of new tokens, the last of the keys. Fewer than keys: a cache holds the others.
    prefix_length : torch.Tensor or None
        (batch,) number of leading tokens that form the prompt; ``None``: everything is prompt.

    Returns
    -------
    torch.Tensor
        (batch, 1, queries, keys), true where the query sees the key.
    """
    keys = attention_mask.shape[1]
    key = torch.arange(keys, device=attention_mask.device)
    query = key[keys - queries :, None]
    if prefix_length is not None:
        visible = (key <= query)[None] | (key < prefix_length[:, None])[:, None]
    elif queries < keys:
        visible = (key <= query)[None]
    else:
        visible = torch.ones((1, queries, keys), dtype=torch.bool, device=key.device)
    return (visible & attention_mask[:, None].bool())[:, None]


def additive_mask(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn what each query sees into what is added to attention scores: 0, or very little."""
    zeros = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return zeros.masked_fill(~visible, torch.finfo(dtype).min)


class PrefixLMEncoder(BertGenerationEncoder):
    """The backbone: token and position embeddings, layers, pooling layer."""

    config_class = PrefixLMConfig

    def __init__(self, config: PrefixLMConfig) -> None:
        super().__init__(config)
        last = config.num_hidden_layers - 1
        self.encoder.layer[last] = PoolingLayer(config, layer_idx=last)
        self.post_init()

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        prefix_length: torch.Tensor | None = None,
        lower_states: torch.Tensor | None = None,
        first_layer: int = 0,
        only_last: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Run the backbone; see `prefix_mask` for what ``prefix_length`` means.

        ``lower_states`` (batch, length, hidden), if given, is what the layers below
        ``first_layer`` made of the input; only the layers from there on are run.
        """
        given = input_ids if input_ids is not None else kwargs["inputs_embeds"]
        batch, queries = given.shape[:2]
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        if attention_mask is None:
            attention_mask = torch.ones((batch, past + queries), device=given.device)
        if position_ids is None:  # counted from the first real token, wherever padding stands
            positions = attention_mask.long().cumsum(-1) - 1
            position_ids = positions.clamp(min=0)[:, -queries:]
        visible = prefix_mask(attention_mask, queries, prefix_length)
        dtype = self.embeddings.word_embeddings.weight.dtype
        additive = additive_mask(visible, dtype)
        if lower_states is not None:
            states = lower_states
            for layer in self.encoder.layer[first_layer:]:
                states = layer(states, additive)
            return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states)
        if only_last:  # for the pooling layer; other layers pass it over
            kwargs["only_last"] = True
        return super().forward(
            input_ids=input_ids,
            attention_mask=additive,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **kwargs,
        )


class PrefixLMForCausalLM(BertGenerationDecoder):
    """Prefix language model with a linear head, tied to the token embeddings unless configured.

    Training: pass ``labels`` (-100 on the prompt), or ``prefix_length`` where the loss is computed
    outside. Generation: the first call, without a cache, is the prompt.
    """

    config_class = PrefixLMConfig
    _tied_weights_keys = {"lm_head.weight": "bert.embeddings.word_embeddings.weight"}

    def __init__(self, config: PrefixLMConfig) -> None:
        super().__init__(config)
        self.bert = PrefixLMEncoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """Return the head, a plain linear layer with a bias."""
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the head."""
        self.lm_head = new_embeddings

    def untie(self) -> None:
        """Give the head weights of its own; the configuration says so from then on."""
        if self.config.tie_word_embeddings:
            self.config.tie_word_embeddings = False
            self.lm_head.weight = nn.Parameter(self.lm_head.weight.detach().clone())
            self.all_tied_weights_keys: dict[str, str] = {}

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        prefix_length: torch.Tensor | None = None,
        past_key_values: Any = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> Any:
        """Return logits, and the loss if ``labels`` are given.

        ``logits_to_keep`` stands in the signature since `generate` looks for it there: without it
        the head, the largest part of the model, would run on every token of the prompt.
        """
        if labels is not None and prefix_length is None:
            prefix_length = prompt_length(labels)
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            labels=labels,
            prefix_length=prefix_length,
            past_key_values=past_key_values,
            logits_to_keep=logits_to_keep,
            only_last=isinstance(logits_to_keep, int) and logits_to_keep == 1,
            **kwargs,
        )


def prompt_length(labels: torch.Tensor) -> torch.Tensor:
    """Count the tokens before the first supervised one, per row of right-padded ``labels``."""
    return (labels != -100).int().argmax(dim=-1)


AutoConfig.register(PrefixLMConfig.model_type, PrefixLMConfig)
AutoModelForCausalLM.register(PrefixLMConfig, PrefixLMForCausalLM)
