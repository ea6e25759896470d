"""Predictions of a causal language model, fine-tuned or not, from a folder or a hub.

By default an answer can only be one that the task allows (constrained decoding), so every text
gets labels. With ``constrained=False`` the model writes freely and `Task.parse` judges the answer.
How fast that goes, and in which precision, is said by `Speed`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pandas as pd

from helpers.grammar import Grammar
from helpers.language_models import load_model, load_tokenizer, prompts_tokens, set_threads
from helpers.prediction.batches import CPU_TOKENS, Limit, in_batches, token_budget
from helpers.prediction.prefix import inner_model, share
from helpers.prediction.speed import PredictionError, Speed, autocast
from helpers.prediction.writer import Writer
from helpers.tasks import Task

__all__ = ["PredictionError", "Speed", "answer", "as_frame", "predict"]


def predict(
    task: Task,
    frame: pd.DataFrame,
    model: str | Path,
    *,
    revision: str | None = None,
    adapter: str | Path | None = None,
    prompt_style: Literal["short", "full"] = "short",
    max_prompt_tokens: int = 256,
    max_new_tokens: int = 48,
    batch_size: int | None = None,
    constrained: bool = True,
    dtype: str = "float32",
    device: str = "cpu",
    quantised: bool = False,
    threads: int | None = None,
    progress: bool = False,
    speed: Speed | None = None,
) -> pd.DataFrame:
    """Let a model answer for every text.

    Parameters
    ----------
    task : gives prompts, allowed answers and the parser.
    frame : columns id, text and split; labels are never looked at.
    model : folder or hub name; `revision`: commit of a hub model.
    adapter : folder of a LoRA adapter to put on top (for 4-bit models).
    prompt_style, max_prompt_tokens : as in training.
    max_new_tokens : longest answer in tokens.
    batch_size : texts a step, sorted by length (default: on a CPU as many as have 2,048 tokens,
        which its caches hold; elsewhere 32).
    constrained : allow only answers of the task.
    dtype, device, quantised : how to load the model.
    threads : torch threads (default: as they are); results depend on it in rounding.
    progress : show a progress bar.
    speed : precision, batches, engine (default: slow and repeatable bit by bit).

    Returns
    -------
    Columns id, split, status (``ok``, ``off_list``, ``unparsed``), answer (as written) and labels
    (JSON; the empty label set unless ok), in the order of `frame`.

    Raises
    ------
    LanguageModelError
        If the model cannot be loaded, or a prompt without its text is too long.
    PredictionError
        If `speed` asks for what this machine or model cannot do, or memory does not suffice.
    """
    speed = speed or Speed()
    tokenizer = load_tokenizer(model, revision)
    asked: dict[str, Any] = {
        "prompt_style": prompt_style,
        "max_prompt_tokens": max_prompt_tokens,
        "max_new_tokens": max_new_tokens,
        "constrained": constrained,
        "progress": progress,
    }
    if speed.engine == "vllm":
        from helpers.prediction.vllm import Vllm

        loading: dict[str, Any] = {
            "revision": revision,
            "dtype": dtype,
            "quantised": quantised,
        }
        engine = Vllm(model, tokenizer, adapter=adapter, speed=speed, **loading)
        return engine.answer(task, frame, **asked)
    if threads is not None:
        set_threads(threads)
    loaded = load_model(model, revision=revision, dtype=dtype, device=device, quantised=quantised)
    if adapter is not None:
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, adapter)
    if speed.quantise == "int8":
        from helpers.prediction.precision import to_int8

        loaded = to_int8(loaded)
    return answer(task, frame, loaded, tokenizer, batch_size=batch_size, speed=speed, **asked)


def answer(
    task: Task,
    frame: pd.DataFrame,
    loaded: Any,
    tokenizer: Any,
    *,
    prompt_style: Literal["short", "full"] = "short",
    max_prompt_tokens: int = 256,
    max_new_tokens: int = 48,
    batch_size: int | None = None,
    constrained: bool = True,
    lower: Any = None,
    progress: bool = False,
    speed: Speed | None = None,
) -> pd.DataFrame:
    """Let a model that is in memory answer; see `predict`.

    Parameters
    ----------
    loaded, tokenizer : the model and its tokenizer.
    lower : kept states of the model's frozen lower layers (`helpers.finetuning.frozen`); used
        where the answer is one token, and only without autocast: they are states in float32.
    speed : `engine` and `quantise` do not apply to a loaded model.
    """
    import torch

    speed = speed or Speed()
    loaded.eval()
    asked = [task.prompt(text, prompt_style) for text in frame["text"]]
    prompts = prompts_tokens(tokenizer, asked, max_prompt_tokens)
    grammar = Grammar(task, tokenizer)
    options: dict[str, Any] = {"constrained": constrained, "longest": max_new_tokens}
    with torch.inference_mode(), autocast(speed.autocast, loaded.device.type):
        if torch.is_autocast_enabled(loaded.device.type):
            lower = None
        shared = share(loaded, prompts, speed.share_prefix) if lower is None else None
        start = len(shared.tokens) if shared else 0
        writer = Writer(loaded, tokenizer, grammar, lower=lower, shared=shared, **options)
        own = [prompt[start:] for prompt in prompts]
        answers = in_batches(
            lambda rows: writer.write([own[i] for i in rows]),
            [len(prompt) for prompt in own],
            _limit(speed, batch_size, loaded, start, 0 if writer.labels else max_new_tokens),
            frame["id"].tolist(),
            progress,
        )
    return as_frame(task, frame, answers)


def _limit(speed: Speed, rows: int | None, model: Any, shared: int, new_tokens: int) -> Limit:
    tokens = speed.batch_tokens
    if tokens is None and rows is None and model.device.type == "cpu":
        tokens = CPU_TOKENS
    if tokens is None:
        return Limit(rows or 32, shared=shared + new_tokens)
    if tokens == "auto":
        tokens = token_budget(inner_model(model), new_tokens)
    return Limit(None, tokens, shared + new_tokens)


def as_frame(task: Task, frame: pd.DataFrame, answers: list[str]) -> pd.DataFrame:
    """Parse answers into the table of predictions, in the order of `frame`."""
    parsed = [task.parse(answer) for answer in answers]
    labels = [item.labels if item.status == "ok" else task.empty for item in parsed]
    return pd.DataFrame(
        {
            "id": frame["id"].to_numpy(),
            "split": frame["split"].to_numpy(),
            "status": [item.status for item in parsed],
            "answer": answers,
            "labels": [task.dumps(item) for item in labels],
        }
    )
