"""Merge a LoRA adapter into its base model: one folder that any program can load."""

from __future__ import annotations

from pathlib import Path

from helpers.language_models import load_model, load_tokenizer


def merge_adapter(
    base: str | Path,
    adapter: str | Path,
    out: Path,
    *,
    revision: str | None = None,
    dtype: str = "bfloat16",
    device: str = "cpu",
) -> Path:
    """Add an adapter's weights to its base model and save the sum with the tokenizer.

    A model that was trained on 4 bits (qlora) is merged into the 16-bit base model, as the
    authors do: its weights are then not exactly those that the adapter was trained on.

    Parameters
    ----------
    base, revision : base model, as in `helpers.language_models.load_model`.
    adapter : folder of the adapter.
    out : receives weights, configuration and tokenizer.
    dtype : of the merged weights.
    device : where the sum is taken.

    Returns
    -------
    `out`.
    """
    from peft import PeftModel

    model = load_model(base, revision=revision, dtype=dtype, device=device)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    merged.save_pretrained(out)
    load_tokenizer(base, revision).save_pretrained(out)
    return out
