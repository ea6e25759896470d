"""A small LLAMA-architecture model, made here: tokenizer, random weights, no download.

llama.cpp knows the architecture, and the tokenizer is of LLAMA 2's kind (sentencepiece BPE with
bytes for unknown signs), which the converter reads from ``tokenizer.model``. A byte-level BPE of
our own would be refused: the converter knows those by a hash of how they cut a test string, and it
can only know published ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHAPE = {
    "hidden_size": 256,  # a multiple of 256, the length of a block of Q4_K
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
}


def build(
    folder: Path, texts: list[str], *, vocabulary: int = 4096, seed: int = 0, **shape: int
) -> Path:
    """Make a model with random weights (`SHAPE`, or `shape`) and a tokenizer of `texts`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(folder, texts, vocabulary)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    options = {**SHAPE, **shape, **special}
    config = LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=False, **options)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def train_tokenizer(folder: Path, texts: list[str], vocabulary: int) -> Any:
    """Train a sentencepiece BPE, leave its ``tokenizer.model`` in `folder`, return it."""
    import sentencepiece
    from transformers import LlamaTokenizer
    from transformers.tokenization_utils_base import generate_merges

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in texts for line in text.splitlines()),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=vocabulary,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "tokenizer.vocab").unlink()
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    names = [pieces.id_to_piece(i) for i in range(len(pieces))]
    vocab = {name: i for i, name in enumerate(names)}
    usual = [i for i in range(len(pieces)) if not pieces.is_byte(i) and not pieces.is_control(i)]
    scores = {names[i]: pieces.get_score(i) for i in usual if not pieces.is_unknown(i)}
    return LlamaTokenizer(vocab=vocab, merges=generate_merges(vocab, scores), add_bos_token=True)
