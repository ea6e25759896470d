"""A causal language model in this process that answers a prompt method's questions.

The model writes token by token, and only what the question allows (`helpers.grammar`), so every
question gets an answer that can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from helpers.grammar import Grammar
from helpers.labelling.parsing import parse
from helpers.labelling.questions import NONE_CODE, Answer, Asked, Question
from helpers.language_models import (
    load_model,
    load_tokenizer,
    prompt_tokens,
    set_threads,
    word_tokens,
)


class LocalModelLabeller:
    """A `Backend` over a causal language model; loaded with the first question.

    Parameters
    ----------
    model : folder or hub name; `revision`: commit of a hub model.
    max_prompt_tokens : longer prompts lose the end of their text (default: what the model's
        positions leave beside the answer).
    max_tokens : longest answer where several options may be chosen.
    batch_size : questions a step; they are sorted by length.
    dtype, device, quantised : how to load the model.
    threads : torch threads (default: as they are).
    progress : show a progress bar.

    Notes
    -----
    The confidence of an answer is the product, over its tokens and its end, of each token's
    probability among those that the question allows at that place. For codes of one token that
    is the option's probability among all options.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        revision: str | None = None,
        max_prompt_tokens: int | None = None,
        max_tokens: int = 64,
        batch_size: int = 32,
        dtype: str = "float32",
        device: str = "cpu",
        quantised: bool = False,
        threads: int | None = None,
        progress: bool = False,
    ) -> None:
        self.model, self.revision = model, revision
        self.max_prompt_tokens, self.max_tokens = max_prompt_tokens, max_tokens
        self.batch_size, self.threads, self.progress = batch_size, threads, progress
        self._options = {"dtype": dtype, "device": device, "quantised": quantised}
        self._known: dict[str, tuple[Grammar, int]] = {}

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        if self.threads is not None:
            set_threads(self.threads)
        loaded = load_model(self.model, revision=self.revision, **self._options)  # type: ignore[arg-type]
        return loaded.eval(), load_tokenizer(self.model, self.revision)

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """Answer all questions.

        Raises
        ------
        LanguageModelError
            If the model cannot be loaded, or a prompt without its text is too long for it.
        """
        import torch
        from tqdm.auto import tqdm

        if not asked:
            return []
        tokenizer = self._loaded[1]
        grammars, longest = zip(*(self._grammar(item.question) for item in asked), strict=True)
        prompts = [
            prompt_tokens(tokenizer, item.question.prompt(item.text), self._limit(extra))
            for item, extra in zip(asked, longest, strict=True)
        ]
        order = sorted(range(len(asked)), key=lambda i: (-len(prompts[i]), i))
        answers: list[Answer] = [Answer("error")] * len(asked)
        with (
            torch.inference_mode(),
            tqdm(total=len(asked), desc="questions", disable=not self.progress) as bar,
        ):
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                found = self._write(
                    [prompts[i] for i in rows],
                    [grammars[i] for i in rows],
                    max(longest[i] for i in rows),
                )
                for i, (text, confidence) in zip(rows, found, strict=True):
                    read = Answer("truncated") if text is None else parse(asked[i].question, text)
                    answers[i] = Answer(read.status, read.chosen, confidence)
                bar.update(len(rows))
        return answers

    def _write(
        self, prompts: list[list[int]], grammars: list[Grammar], longest: int
    ) -> list[tuple[str | None, float]]:
        """Write a batch of answers, each within its own grammar; None if one has no end."""
        model, tokenizer = self._loaded
        batch = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        length = batch["input_ids"].shape[1]
        written = model.generate(
            input_ids=batch["input_ids"].to(model.device),
            attention_mask=batch["attention_mask"].to(model.device),
            do_sample=False,
            num_beams=1,
            max_new_tokens=longest,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            return_dict_in_generate=True,
            output_scores=True,
            prefix_allowed_tokens_fn=lambda row, ids: grammars[row].allowed(ids[length:].tolist()),
        )
        answers = written.sequences[:, length:]
        steps = model.compute_transition_scores(
            written.sequences, written.scores, normalize_logits=True
        )
        # Rows that ended go on with padding: their own end counts, what follows does not.
        is_end = (answers == tokenizer.eos_token_id).int()
        after = is_end.cumsum(1) - is_end > 0
        confidence = steps.float().masked_fill(after, 0.0).sum(1).exp().clamp(max=1.0).tolist()
        texts = [
            tokenizer.decode(row, skip_special_tokens=True) if ended else None
            for row, ended in zip(answers, is_end.any(1).tolist(), strict=True)
        ]
        return list(zip(texts, confidence, strict=True))

    def _grammar(self, question: Question) -> tuple[Grammar, int]:
        """Return the answers that a question allows and the most tokens of one, with its end."""
        if question.version not in self._known:
            codes = {option.code: option.code for option in question.options}
            kind = "single"
            if question.many:
                kind = "multi_intensity" if question.levels else "multi"
            elif question.none:
                codes[NONE_CODE] = NONE_CODE
            task: Any = SimpleNamespace(  # all of a task that a grammar looks at
                codes=codes,
                labels=list(codes),
                levels=list(question.levels),
                label_type=kind,
                empty=[] if question.many and question.none else None,
            )
            tokenizer = self._loaded[1]
            longest = 1 + max(len(word_tokens(tokenizer, code, first=True)) for code in codes)
            grammar = Grammar(task, tokenizer)
            self._known[question.version] = grammar, self.max_tokens if question.many else longest
        return self._known[question.version]

    def _limit(self, answer: int) -> int:
        if self.max_prompt_tokens is not None:
            return self.max_prompt_tokens
        positions = getattr(self._loaded[0].config, "max_position_embeddings", None)
        return (positions or 2048) - answer
