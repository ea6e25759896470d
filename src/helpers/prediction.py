"""Predictions of a causal language model, fine-tuned or not, from a folder or a hub.

By default an answer can only be one that the task allows (constrained decoding), so every text
gets labels. With ``constrained=False`` the model writes freely and `Task.parse` judges the answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pandas as pd

from helpers.grammar import Grammar
from helpers.language_models import load_model, load_tokenizer, prompt_tokens, set_threads
from helpers.tasks import Task


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
    batch_size: int = 32,
    constrained: bool = True,
    dtype: str = "float32",
    device: str = "cpu",
    quantised: bool = False,
    threads: int | None = None,
    progress: bool = False,
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
    batch_size : texts a step, sorted by length.
    constrained : allow only answers of the task.
    dtype, device, quantised : how to load the model.
    threads : torch threads (default: as they are); results depend on it in rounding.
    progress : show a progress bar.

    Returns
    -------
    Columns id, split, status (``ok``, ``off_list``, ``unparsed``), answer (as written) and labels
    (JSON; the empty label set unless ok), in the order of `frame`.
    """
    if threads is not None:
        set_threads(threads)
    tokenizer = load_tokenizer(model, revision)
    loaded = load_model(model, revision=revision, dtype=dtype, device=device, quantised=quantised)
    if adapter is not None:
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, adapter)
    return answer(
        task,
        frame,
        loaded,
        tokenizer,
        prompt_style=prompt_style,
        max_prompt_tokens=max_prompt_tokens,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        constrained=constrained,
        progress=progress,
    )


def answer(
    task: Task,
    frame: pd.DataFrame,
    loaded: Any,
    tokenizer: Any,
    *,
    prompt_style: Literal["short", "full"] = "short",
    max_prompt_tokens: int = 256,
    max_new_tokens: int = 48,
    batch_size: int = 32,
    constrained: bool = True,
    lower: Any = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Let a model that is in memory answer; see `predict`.

    Parameters
    ----------
    loaded, tokenizer : the model and its tokenizer.
    lower : kept states of the model's frozen lower layers (`helpers.finetuning.frozen`); used
        where the answer is one token.
    """
    import torch

    loaded.eval()
    prompts = [
        prompt_tokens(tokenizer, task.prompt(text, prompt_style), max_prompt_tokens)
        for text in frame["text"]
    ]
    writer = _Writer(loaded, tokenizer, Grammar(task, tokenizer), constrained, max_new_tokens)
    writer.lower = lower
    with torch.inference_mode():
        answers = _in_batches(writer, prompts, batch_size, progress)
    return as_frame(task, frame, answers)


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


def _in_batches(
    writer: _Writer, prompts: list[list[int]], batch_size: int, progress: bool
) -> list[str]:
    """Answer in batches of similar length, longest first, and restore the order."""
    from tqdm.auto import tqdm

    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    answers = [""] * len(prompts)
    with tqdm(total=len(prompts), desc="predictions", disable=not progress) as bar:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            for row, answer in zip(rows, writer.write([prompts[i] for i in rows]), strict=True):
                answers[row] = answer
            bar.update(len(rows))
    return answers


class _Writer:
    """Turns a batch of prompts into answers."""

    def __init__(
        self, model: Any, tokenizer: Any, grammar: Grammar, constrained: bool, longest: int
    ) -> None:
        self.model, self.tokenizer, self.grammar = model, tokenizer, grammar
        self.constrained, self.longest = constrained, longest
        self.labels = grammar.single_tokens() if constrained else None
        self.lower: Any = None

    def write(self, prompts: list[list[int]]) -> list[str]:
        """Return one answer a prompt."""
        if self.labels is not None and self.lower is not None:
            return self._score_from(prompts)
        batch = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        ids = batch["input_ids"].to(self.model.device)
        mask = batch["attention_mask"].to(self.model.device)
        if self.labels is not None:
            return self._score(ids, mask)
        return self._generate(ids, mask)

    def _score(self, ids: Any, mask: Any) -> list[str]:
        """Compare the labels' tokens after one forward pass: what generation would choose.

        Position ids count real tokens, as generation counts them behind left padding.
        """
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            logits_to_keep=1,
            use_cache=False,
        ).logits
        return self._named(logits[:, -1, self.labels])

    def _score_from(self, prompts: list[list[int]]) -> list[str]:
        """Score as `_score` does, from the kept states of the lower layers."""
        import torch

        lengths = torch.tensor([len(prompt) for prompt in prompts])
        longest = int(lengths.max())
        states = self.lower.batch([(prompt, len(prompt)) for prompt in prompts], longest)
        mask = (torch.arange(longest)[None] < lengths[:, None]).long()
        hidden = self.model.base_model(input_ids=mask, attention_mask=mask, **states)
        last = hidden.last_hidden_state[torch.arange(len(prompts)), lengths - 1]
        return self._named(self.model.get_output_embeddings()(last)[:, self.labels])

    def _named(self, scores: Any) -> list[str]:
        """Return the answer with the highest score in each row."""
        return [f" {self.grammar.codes[i]}" for i in scores.argmax(-1).tolist()]

    def _generate(self, ids: Any, mask: Any) -> list[str]:
        options: dict[str, Any] = {}
        if self.constrained:
            length = ids.shape[1]
            options["prefix_allowed_tokens_fn"] = lambda _, written: self.grammar.allowed(
                written[length:].tolist()
            )
        written = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.longest,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
            **options,
        )
        return [
            " " + self.tokenizer.decode(row, skip_special_tokens=True).strip()
            for row in written[:, ids.shape[1] :]
        ]
