"""The texts and models that the benchmarks use: embedded CAP questions, MiniLM's weights.

Two base models hold the same six layers of all-MiniLM-L6-v2:

* ``causal``: transformers' own ``BertGenerationDecoder``, which stock TRL can train;
* ``prefix``: the package's offline model, which reads the prompt in both directions and has a
  pooling layer on top.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from common import REPO, SCRATCH

SEED = 20261121
HELD_OUT = 315  # of 1,259 texts


def questions() -> pd.DataFrame:
    """Return the embedded questions in random order: id, text, title, labels, split."""
    from helpers.tasks import load_task

    cap = load_task("cap")
    rows = pd.read_json(REPO / "data" / "embedded" / "cap.jsonl", lines=True)
    rows = rows.sample(frac=1, random_state=SEED).reset_index(drop=True)
    labels = [cap.dumps(str(major)) for major in rows["major"]]
    frame = pd.DataFrame({"id": rows["id"], "text": rows["text"], "title": rows["subject"]})
    return frame.assign(labels=labels, split="train")


def training_texts(number: int, column: str = "text") -> pd.DataFrame:
    """Return the first texts that are not held out; `column`: whole texts or titles."""
    rows = questions()[HELD_OUT:][:number].reset_index(drop=True)
    return rows.assign(text=rows[column])


def held_out(number: int = HELD_OUT, column: str = "text") -> pd.DataFrame:
    """Return texts that nothing is trained on; `column`: whole texts or titles."""
    rows = questions()[:HELD_OUT][:number].reset_index(drop=True)
    return rows.assign(split="validation", text=rows[column])


def many(number: int, column: str = "text") -> pd.DataFrame:
    """Return so many texts, drawn with replacement and told apart by a number in front."""
    drawn = questions().sample(number, replace=True, random_state=SEED).reset_index(drop=True)
    texts = [f"{i} {text}" for i, text in enumerate(drawn[column])]
    return drawn.assign(text=texts, id=[f"{i}" for i in range(number)])


def base(kind: str, layers: int) -> Path:
    """Build a base model once and return its folder; `kind`: causal or prefix."""
    folder = SCRATCH / f"{kind}-{layers}l"
    if (folder / "done").is_file():
        return folder
    from helpers import offline_model
    from helpers.language_models import quiet

    quiet()
    if kind == "prefix":
        offline_model.build(layers, folder)
    else:
        _save_causal(layers, folder)
    (folder / "done").touch()
    return folder


def _save_causal(layers: int, folder: Path) -> None:
    """Put the encoder's weights into BertGenerationDecoder: a plain causal model, tied head."""
    import torch
    from transformers import AutoModel, BertGenerationConfig, BertGenerationDecoder

    from helpers import offline_model

    source = offline_model.source_folder()
    encoder = AutoModel.from_pretrained(source, dtype=torch.float32)
    old = encoder.config
    copied = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size")
    config = BertGenerationConfig(
        **{name: getattr(old, name) for name in copied},
        num_hidden_layers=layers,
        hidden_act=old.hidden_act,
        max_position_embeddings=old.max_position_embeddings,
        layer_norm_eps=old.layer_norm_eps,
        attention_probs_dropout_prob=0.0,
        is_decoder=True,
        tie_word_embeddings=True,
        bos_token_id=101,
        eos_token_id=102,
        pad_token_id=0,
    )
    model = BertGenerationDecoder(config)
    with torch.no_grad():
        offline_model._copy_encoder(encoder, model, layers)
        model.get_output_embeddings().bias.zero_()
    model.save_pretrained(folder)
    offline_model._tokenizer(source).save_pretrained(folder)


def llama(quick: bool) -> tuple[Any, Any]:
    """Return a Llama-type model with random weights, and the offline model's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from helpers.language_models import load_tokenizer

    torch.manual_seed(SEED)
    tokenizer = load_tokenizer(base("prefix", 2))
    hidden, layers = (64, 2) if quick else (256, 4)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=8192,
        bos_token_id=101,
        eos_token_id=102,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval(), tokenizer
