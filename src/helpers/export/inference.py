"""Predictions of a GGUF model with llama.cpp, one text at a time as in the paper.

The table is that of `helpers.prediction.predict`. Answers are constrained by the same token grammar
as there (the logits of all other tokens are set to minus infinity), by a grammar in llama.cpp's own
notation (GBNF), or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from helpers.export.optional import ExportError, require
from helpers.grammar import NUMBERS, Grammar
from helpers.language_models import load_tokenizer, prompt_tokens
from helpers.prediction import as_frame
from helpers.tasks import NONE, Task


def predict_gguf(
    task: Task,
    frame: pd.DataFrame,
    gguf: Path,
    tokenizer: str | Path,
    *,
    revision: str | None = None,
    prompt_style: Literal["short", "full"] = "short",
    max_prompt_tokens: int = 256,
    max_new_tokens: int = 48,
    constrained: bool = True,
    grammar: Literal["tokens", "gbnf"] = "tokens",
    temperature: float = 0.0,
    seed: int = 0,
    threads: int = 1,
    gpu_layers: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Let a GGUF model answer for every text.

    What two prompts have in common at their beginning (instruction and codebook) is computed once:
    llama.cpp keeps the last text's states and goes on from the first token that differs.

    Parameters
    ----------
    task, frame, prompt_style, max_prompt_tokens, max_new_tokens, constrained, progress : as in
        `helpers.prediction.predict`.
    gguf : the model's file.
    tokenizer, revision : folder or hub name of the model that the file was made from; its
        tokenizer makes the prompts, so that they are cut where they were in training.
    grammar : how answers are constrained: ``tokens`` (as `helpers.prediction.predict` does) or
        ``gbnf`` (the same answers, in any tokens that spell them).
    temperature : 0 takes the likeliest token (the authors' scripts have 0.01).
    seed : for a temperature above 0; each text starts from it.
    threads, gpu_layers : of llama.cpp (-1 layers: all; needs a build for the GPU).

    Returns
    -------
    Columns id, split, status, answer, labels, as `helpers.prediction.predict`.

    Raises
    ------
    ExportError
        If the optional part is missing or the file cannot be loaded.
    """
    require("llama_cpp")  # before anything else is loaded
    coder = load_tokenizer(tokenizer, revision)
    context = max_prompt_tokens + max_new_tokens + 1
    model = load(gguf, context=context, seed=seed, threads=threads, gpu_layers=gpu_layers)
    try:
        return answer_gguf(
            task,
            frame,
            model,
            coder,
            prompt_style=prompt_style,
            max_prompt_tokens=max_prompt_tokens,
            max_new_tokens=max_new_tokens,
            constrained=constrained,
            grammar=grammar,
            temperature=temperature,
            seed=seed,
            progress=progress,
        )
    finally:
        model.close()


def answer_gguf(
    task: Task,
    frame: pd.DataFrame,
    model: Any,
    tokenizer: Any,
    *,
    prompt_style: Literal["short", "full"] = "short",
    max_prompt_tokens: int = 256,
    max_new_tokens: int = 48,
    constrained: bool = True,
    grammar: Literal["tokens", "gbnf"] = "tokens",
    temperature: float = 0.0,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Let a GGUF model that is in memory (`load`) answer; see `predict_gguf`."""
    from tqdm.auto import tqdm

    llama_cpp = require("llama_cpp")
    allowed = Grammar(task, tokenizer) if constrained and grammar == "tokens" else None
    spelt = (
        gbnf(task, chat=bool(tokenizer.chat_template))
        if constrained and grammar == "gbnf"
        else None
    )
    answers = []
    for text in tqdm(frame["text"], desc="predictions", disable=not progress):
        prompt = prompt_tokens(tokenizer, task.prompt(text, prompt_style), max_prompt_tokens)
        options: dict[str, Any] = {"temp": temperature}
        if allowed is not None:
            only = OnlyAllowed(allowed, len(prompt))
            options["logits_processor"] = llama_cpp.LogitsProcessorList([only])
        if spelt is not None:
            options["grammar"] = llama_cpp.LlamaGrammar.from_string(spelt, verbose=False)
        model.set_seed(seed)
        written = _write(model, prompt, max_new_tokens, options, allowed)
        answers.append(" " + tokenizer.decode(written, skip_special_tokens=True).strip())
    return as_frame(task, frame, answers)


def load(gguf: Path, *, context: int, seed: int = 0, threads: int = 1, gpu_layers: int = 0) -> Any:
    """Load a GGUF file.

    Raises
    ------
    ExportError
        If there is no such file, or llama.cpp cannot read it.
    """
    llama_cpp = require("llama_cpp")
    if not gguf.is_file():
        raise ExportError(f"there is no file {gguf.name}: make it with helpers.export.export_gguf")
    options = {"n_threads": threads, "n_threads_batch": threads, "n_gpu_layers": gpu_layers}
    options |= {"n_ctx": context, "n_batch": min(context, 512), "seed": seed, "verbose": False}
    try:
        with _without_amx(llama_cpp):
            return llama_cpp.Llama(str(gguf), **options)
    except (ValueError, RuntimeError) as error:
        raise ExportError(
            f"llama.cpp cannot load {gguf.name}: the file is damaged, or of another version; "
            "make it again"
        ) from error


@contextmanager
def _without_amx(llama_cpp: Any) -> Iterator[None]:
    """Keep weights as they are in the file where llama.cpp was built for AMX.

    Its AMX kernels crash the process on some machines, with quantised models and more than one
    token a step (ggml-org/llama.cpp, issue 20824; seen here with 0.3.36). `llama_cpp.Llama` has no
    option for it, so the default that it starts from is changed while the model is loaded.
    """
    if b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info():
        yield
        return
    module = llama_cpp.llama_cpp
    usual = module.llama_model_default_params

    def changed() -> Any:
        params = usual()
        params.use_extra_bufts = False
        return params

    module.llama_model_default_params = changed
    try:
        yield
    finally:
        module.llama_model_default_params = usual


def _write(
    model: Any, prompt: list[int], longest: int, options: dict[str, Any], allowed: Grammar | None
) -> list[int]:
    """Return the tokens of one answer, without the end of sequence."""
    written: list[int] = []
    # A label of one token that nothing may follow needs no second step to find the end.
    single = allowed is not None and allowed.single_tokens() is not None
    for token in model.generate(prompt, **options):
        if token == model.token_eos():
            break
        written.append(int(token))
        if single or len(written) == longest:
            break
    return written


class OnlyAllowed:
    """Sets the logits of all tokens that the grammar does not allow to minus infinity."""

    def __init__(self, grammar: Grammar, begun: int) -> None:
        self.grammar, self.begun = grammar, begun

    def __call__(self, tokens: Any, logits: Any) -> Any:
        """Return the changed logits; `tokens` are the prompt's and those written so far."""
        ids = self.grammar.allowed([int(token) for token in tokens[self.begun :]])
        kept = np.full_like(logits, -np.inf)
        kept[ids] = logits[ids]
        return kept


def gbnf(task: Task, *, chat: bool = False) -> str:
    """Return the answers that a task allows, in llama.cpp's notation.

    They are those of `helpers.grammar`: one code, rising codes, rising codes each with a level,
    ``none``, or a number. Words stand after a space, except the first one in a chat's answer.
    """
    space = "" if chat else '" " '
    codes = list(task.codes.values()) if task.labels else NUMBERS
    if task.label_type in ("single", "numeric"):
        return f"root ::= {space}({_either(codes)})"
    first = " | ".join(f"c{i}" for i in range(len(codes)))
    lines = [f'root ::= {space}({first} | "{NONE}")']
    level = f' " " ({_either(task.levels)})' if task.levels else ""
    for i, code in enumerate(codes):
        later = " | ".join(f"c{j}" for j in range(i + 1, len(codes)))
        lines.append(f'c{i} ::= "{code}"{level}' + (f' (" " ({later}))?' if later else ""))
    return "\n".join(lines)


def _either(words: list[str]) -> str:
    return " | ".join(f'"{word}"' for word in words)
