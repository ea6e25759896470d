"""Which answers a task allows, as a machine that reads an answer token by token.

An answer is a sequence of words: one code; rising codes (a text with several labels); pairs of a
code and a level; ``none``; or a number. Words may take several tokens, and one word's tokens may
begin another's, so the machine follows every reading at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from helpers.language_models import word_tokens
from helpers.tasks import NONE, Task

START, END = "start", "end"
State = tuple[str, int]  # kind and index of the last code
NUMBERS = [f"{tenths / 10:.1f}" for tenths in range(201)]
"""Answers of a numeric task: 0.0 to 20.0, the natural logarithm of half a billion."""


class Grammar:
    """The answers that a task allows, for one tokenizer.

    Parameters
    ----------
    task : gives codes, levels and label type.
    tokenizer : turns words into tokens.
    """

    def __init__(self, task: Task, tokenizer: Any) -> None:
        self.task = task
        self.eos: int = tokenizer.eos_token_id
        self.codes = list(task.codes.values()) if task.labels else NUMBERS
        words = {*self.codes, *task.levels, NONE}
        self._tokens = {
            (word, first): tuple(word_tokens(tokenizer, word, first))
            for word in words
            for first in (True, False)
        }

    def single_tokens(self) -> list[int] | None:
        """Return one token a label if an answer is exactly one token, else None."""
        if self.task.label_type not in ("single", "numeric"):
            return None
        tokens = [self._tokens[code, True] for code in self.codes]
        one_each = all(len(ids) == 1 for ids in tokens) and len(set(tokens)) == len(tokens)
        return [ids[0] for ids in tokens] if one_each else None

    def next_words(self, state: State) -> list[tuple[str, State]]:
        """Return the words that may follow, each with the state that it leads to."""
        kind, last = state
        several = self.task.label_type in ("multi", "multi_intensity")
        if kind == "code":
            return [(level, ("level", last)) for level in self.task.levels]
        if kind == END:
            return []
        after = "code" if self.task.levels else ("level" if several else END)
        words = [(self.codes[i], (after, i)) for i in range(last + 1, len(self.codes))]
        if kind == START and self.task.empty is not None:
            words.append((NONE, (END, 0)))
        return words

    def allowed(self, generated: Sequence[int]) -> list[int]:
        """Return the tokens that may follow those generated so far (the end included)."""
        # A reading is a state and the tokens of the word that is being read.
        readings: set[tuple[State, tuple[int, ...]]] = {((START, -1), ())}
        for token in generated:
            if token == self.eos:
                return [self.eos]
            readings = self._step(readings, token)
        found: set[int] = set()
        for state, begun in readings:
            if not begun and self._may_end(state):
                found.add(self.eos)
            for word, _ in self.next_words(state):
                tokens = self._tokens[word, state[0] == START]
                if len(tokens) > len(begun) and tokens[: len(begun)] == begun:
                    found.add(tokens[len(begun)])
        return sorted(found) or [self.eos]

    def _step(
        self, readings: set[tuple[State, tuple[int, ...]]], token: int
    ) -> set[tuple[State, tuple[int, ...]]]:
        following: set[tuple[State, tuple[int, ...]]] = set()
        for state, begun in readings:
            longer = (*begun, token)
            for word, target in self.next_words(state):
                tokens = self._tokens[word, state[0] == START]
                if tokens == longer:
                    following.add((target, ()))
                elif tokens[: len(longer)] == longer:
                    following.add((state, longer))
        return following

    @staticmethod
    def _may_end(state: State) -> bool:
        return state[0] in ("level", END)
