"""Prediction as published: one text at a time, 50 new tokens, greedy; a side of `make bench`."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from helpers.language_models import prompt_tokens
from helpers.prediction import as_frame
from helpers.tasks import Task

NEW_TOKENS = 50


def one_at_a_time(
    task: Task,
    frame: pd.DataFrame,
    model: Any,
    tokenizer: Any,
    *,
    prompt_style: Literal["short", "full"] = "short",
    max_prompt_tokens: int = 256,
    new_tokens: int = NEW_TOKENS,
    stop: bool = True,
) -> pd.DataFrame:
    """Let a loaded model answer as the published scripts do, unconstrained.

    Parameters
    ----------
    task, frame, model, tokenizer, prompt_style, max_prompt_tokens : as in
        `helpers.prediction.answer`.
    new_tokens : most tokens of an answer.
    stop : end an answer at the end-of-sequence token; otherwise that token is forbidden, and all
        `new_tokens` are written, as by a model that never stops.

    Returns
    -------
    Columns as `helpers.prediction.predict` returns them.
    """
    import torch

    model.eval()
    answers = []
    with torch.inference_mode():
        for text in frame["text"]:
            prompt = prompt_tokens(tokenizer, task.prompt(text, prompt_style), max_prompt_tokens)
            ids = torch.tensor([prompt], device=model.device)
            written = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                num_beams=1,
                max_new_tokens=new_tokens,
                min_new_tokens=None if stop else new_tokens,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )[0, len(prompt) :]
            answers.append(" " + tokenizer.decode(written, skip_special_tokens=True).strip())
    return as_frame(task, frame, answers)
