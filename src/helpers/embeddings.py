"""Sentence embeddings of the offline encoder, for the simple baselines.

Plain transformers: the mean of the last layer over all tokens, scaled to length one, as the
encoder's own configuration describes it (all-MiniLM-L6-v2, Apache-2.0). Caching is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helpers.language_models import quiet
from helpers.offline_model import source_folder

DIMENSIONS = 384


def sentence_embeddings(
    texts: Sequence[str], *, max_tokens: int = 256, batch_size: int = 32, threads: int | None = None
) -> NDArray[np.float32]:
    """Embed texts.

    Parameters
    ----------
    texts : n texts; none may be empty of tokens (an empty string counts as two special tokens).
    max_tokens : longer texts are cut after this many tokens (the encoder has 512 positions).
    batch_size : texts a step; does not change the result beyond rounding.
    threads : torch threads (default: as they are).

    Returns
    -------
    (n, 384) array of rows of length one, in the order of `texts`.

    Raises
    ------
    OfflineModelError
        If the encoder's package is missing or differs from the one that we know.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    if threads is not None:
        torch.set_num_threads(threads)
    quiet()
    source = source_folder()
    tokenizer = AutoTokenizer.from_pretrained(source)
    encoder = AutoModel.from_pretrained(source, dtype=torch.float32).eval()
    embedded = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    by_length = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
    with torch.inference_mode():
        for start in range(0, len(texts), batch_size):
            rows = by_length[start : start + batch_size]
            batch = tokenizer(
                [texts[i] for i in rows],
                padding=True,
                truncation=True,
                max_length=max_tokens,
                return_tensors="pt",
            )
            hidden = encoder(**batch).last_hidden_state
            kept = batch["attention_mask"][..., None]
            mean = (hidden * kept).sum(1) / kept.sum(1)
            embedded[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return embedded
