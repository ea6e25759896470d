"""Batches of texts of similar length, limited by rows or tokens; smaller where memory ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from helpers.prediction.speed import PredictionError

MOST_TOKENS = 131_072
"""Upper end of ``batch_tokens: auto``: larger batches fill no machine better."""
CPU_TOKENS = 2_048
"""Tokens of a batch on a CPU, unless set: more do not fit its caches (bench/prediction.py)."""
SHARE = 0.4
"""Part of the free memory that ``batch_tokens: auto`` plans with."""


@dataclass(frozen=True)
class Limit:
    """What a batch may hold.

    Attributes
    ----------
    rows, tokens : most texts, most tokens with padding (None: as many as there are).
    shared : tokens that every row holds besides its own.
    """

    rows: int | None
    tokens: int | None = None
    shared: int = 0

    def take(self, left: int, longest: int) -> int:
        """Return how many of the `left` texts form a batch, whose first has `longest` tokens."""
        allowed = [left]
        if self.rows is not None:
            allowed.append(self.rows)
        if self.tokens is not None:
            allowed.append(self.tokens // (longest + self.shared))
        return max(1, min(allowed))

    def below(self, rows: int, longest: int) -> Limit:
        """Return a limit that allows half of a batch that did not fit."""
        return replace(self, tokens=max(1, rows * (longest + self.shared) // 2))


def in_batches(
    write: Callable[[list[int]], list[str]],
    lengths: Sequence[int],
    limit: Limit,
    names: Sequence[object],
    progress: bool = False,
) -> list[str]:
    """Answer all texts, longest first; a batch that does not fit into memory is halved.

    Parameters
    ----------
    write : answers the texts with the given numbers.
    lengths : tokens of each text.
    names : of the texts, for messages.

    Returns
    -------
    One answer a text, in the order of `lengths`.

    Raises
    ------
    PredictionError
        If memory does not suffice for one text alone.
    """
    from tqdm.auto import tqdm

    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    answers: list[str] = [""] * len(lengths)
    done = 0
    with tqdm(total=len(order), desc="predictions", disable=not progress) as bar:
        while done < len(order):
            longest = lengths[order[done]]
            number = limit.take(len(order) - done, longest)
            rows = order[done : done + number]
            found = _if_it_fits(write, rows)
            if found is None:
                if number == 1:
                    raise PredictionError(
                        f"text {names[rows[0]]} ({longest} tokens) does not fit into "
                        "memory, even alone: lower max_prompt_tokens, take a smaller model, or "
                        "set autocast: bfloat16"
                    )
                limit = limit.below(number, longest)
                continue
            for row, answer in zip(rows, found, strict=True):
                answers[row] = answer
            done += number
            bar.update(number)
    return answers


def _if_it_fits(write: Callable[[list[int]], list[str]], rows: list[int]) -> list[str] | None:
    """Return the answers, or None if memory did not suffice; what was half done is forgotten."""
    from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

    try:
        return write(rows)
    except MemoryError:
        pass
    except RuntimeError as error:
        # accelerate knows the messages of most devices; the last is torch's on Windows.
        if not should_reduce_batch_size(error) and "not enough memory" not in str(error):
            raise
    clear_device_cache(garbage_collection=True)
    return None


def token_budget(model: Any, new_tokens: int) -> int:
    """Estimate how many tokens of a batch the free memory holds.

    Parameters
    ----------
    model : on its device; the size of a token follows from its configuration.
    new_tokens : longest answer; 0 if labels are scored and no states need to be kept.
    """
    import psutil
    import torch

    config = model.config.get_text_config(decoder=True)
    hidden, layers = config.hidden_size, config.num_hidden_layers
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    kept = 2 * layers * head * (getattr(config, "num_key_value_heads", None) or heads)
    passing = 8 * hidden + 3 * inner  # of one layer: states, queries to values, feed-forward
    size = (passing + kept) * torch.finfo(model.dtype).bits // 8
    # A row has logits of one token, and a few copies of them while it is written: at 16 tokens.
    size += (16 if new_tokens else 4) * config.vocab_size // 16
    if model.device.type == "cuda":
        free = torch.cuda.mem_get_info(model.device)[0]
    else:
        free = psutil.virtual_memory().available
    return max(1, min(MOST_TOKENS, int(SHARE * free) // size))
