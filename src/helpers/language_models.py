"""Load causal language models and their tokenizers, and turn prompts and answers into tokens.

Shared by `helpers.finetuning` and `helpers.prediction`, so that a model is trained on exactly the
tokens that it is asked with. torch and transformers are imported when a function is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from helpers.runs import HelpersError
from helpers.tasks import Prompt

TOGETHER = 1_024
"""Prompts that are turned into tokens at once: larger batches are slower."""


class LanguageModelError(HelpersError):
    """A model cannot be loaded, or a prompt does not fit it."""


def quiet() -> None:
    """Silence progress bars and notices of transformers; errors still come."""
    import warnings

    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    # TRL 1.16 still reads the old name of the setting that transformers 5.23 renamed.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)


def set_threads(threads: int) -> None:
    """Fix the number of torch threads: sums depend on it in the last digits."""
    import torch

    torch.set_num_threads(threads)


def load_tokenizer(model: str | Path, revision: str | None = None) -> Any:
    """Load a tokenizer that pads on the left, as generation needs it."""
    from transformers import AutoTokenizer

    quiet()
    tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    model: str | Path,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    quantised: bool = False,
) -> Any:
    """Load a causal language model from a folder or a hub.

    Parameters
    ----------
    model : folder, or hub name.
    revision : commit of a hub model.
    dtype : "float32" or "bfloat16".
    device : "cpu" or "cuda".
    quantised : load in 4 bits (NF4, double quantisation; needs CUDA and bitsandbytes).

    Raises
    ------
    LanguageModelError
        If a 4-bit model is asked for without CUDA or bitsandbytes, or loading fails.
    """
    import torch
    from transformers import AutoModelForCausalLM

    import helpers.prefix_lm  # noqa: F401  (registers the offline model's architecture)

    quiet()
    options: dict[str, Any] = {"revision": revision, "dtype": getattr(torch, dtype)}
    if quantised:
        bits = four_bits(dtype)  # refuses a machine without CUDA
        # One of several processes has a GPU of its own.
        options |= {"quantization_config": bits, "device_map": {"": torch.cuda.current_device()}}
    try:
        loaded = AutoModelForCausalLM.from_pretrained(model, **options)
    except (OSError, ValueError) as error:
        raise LanguageModelError(
            f"cannot load the model {Path(model).name}: {str(error).splitlines()[0]}"
        ) from error
    return loaded if quantised else loaded.to(device)


def four_bits(dtype: str) -> Any:
    """Return the NF4 settings of QLoRA (Dettmers et al. 2023), or say what is missing."""
    import torch
    from transformers import BitsAndBytesConfig

    if not torch.cuda.is_available():
        raise LanguageModelError(
            "4-bit models (method qlora) need an NVIDIA GPU with CUDA, and torch sees none: "
            "use method lora, or a machine with a GPU"
        )
    if find_spec("bitsandbytes") is None:
        raise LanguageModelError(
            "4-bit models need bitsandbytes: python -m pip install bitsandbytes"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )


def prompt_tokens(tokenizer: Any, prompt: Prompt, limit: int) -> list[int]:
    """Turn a prompt into tokens; a prompt that is too long loses the end of its TEXT.

    Parameters
    ----------
    tokenizer : a fast tokenizer; its chat template is used if it has one.
    prompt : head, text, tail; head and tail are never cut.
    limit : most tokens allowed.

    Raises
    ------
    LanguageModelError
        If head and tail alone exceed `limit`.
    """
    whole = str(prompt)
    start = len(prompt.head)
    chat = bool(tokenizer.chat_template)
    if chat:
        message = [{"role": "user", "content": whole}]
        whole = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        start = whole.index(prompt.text.strip())
    stop = start + len(prompt.text.strip() if chat else prompt.text)
    coded = tokenizer(whole, add_special_tokens=not chat, return_offsets_mapping=True)
    ids, offsets = coded["input_ids"], coded["offset_mapping"]
    if len(ids) <= limit:
        return list(ids)
    of_text = [i for i, (a, b) in enumerate(offsets) if a < b and start <= a < stop]
    excess = len(ids) - limit
    if excess >= len(of_text):
        raise LanguageModelError(
            f"the prompt has {len(ids) - len(of_text)} tokens without its text, {limit} are "
            "allowed in all: raise max_prompt_tokens or use the short prompt"
        )
    cut = set(of_text[-excess:])
    return [token for i, token in enumerate(ids) if i not in cut]


def prompts_tokens(tokenizer: Any, prompts: Sequence[Prompt], limit: int) -> list[list[int]]:
    """Turn many prompts into tokens at once; see `prompt_tokens`, which cuts the long ones."""
    if tokenizer.chat_template:
        return [prompt_tokens(tokenizer, prompt, limit) for prompt in prompts]
    found: list[list[int]] = []
    for start in range(0, len(prompts), TOGETHER):
        part = prompts[start : start + TOGETHER]
        coded = tokenizer([str(prompt) for prompt in part], return_attention_mask=False)
        found += [
            list(ids) if len(ids) <= limit else prompt_tokens(tokenizer, prompt, limit)
            for ids, prompt in zip(coded["input_ids"], part, strict=True)
        ]
    return found


def word_tokens(tokenizer: Any, word: str, first: bool) -> list[int]:
    """Turn one word of an answer into tokens.

    Answers are tokenised word by word, so that the tokens of a word do not depend on its
    neighbours. A leading space belongs to a word, except to the first one in a chat's answer.
    """
    if first and tokenizer.chat_template:
        return list(tokenizer(word, add_special_tokens=False)["input_ids"])
    # The token boundary after a carrier shows how the tokenizer writes a space within a text.
    carrier = tokenizer(":", add_special_tokens=False)["input_ids"]
    joined = tokenizer(f": {word}", add_special_tokens=False)["input_ids"]
    return list(joined[len(carrier) :])


def completion_tokens(tokenizer: Any, completion: str) -> list[int]:
    """Turn an answer into tokens, with the end-of-sequence token."""
    tokens: list[int] = []
    for i, word in enumerate(completion.split()):
        tokens += word_tokens(tokenizer, word, first=i == 0)
    return [*tokens, tokenizer.eos_token_id]
