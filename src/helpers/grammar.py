"""Which answers a task allows, as a machine that reads an answer token by token.

An answer is a sequence of words: one code; rising codes (a text with several labels); pairs of a
code and a level; ``none``; or a number. Words may take several tokens, and one word's tokens may
begin another's, so the machine follows every reading at once. What it finds is kept: a state is a
number, and a token leads from one to the next by one look-up, for all texts of a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from helpers.language_models import word_tokens
from helpers.tasks import NONE, Task

START, END = "start", "end"
State = tuple[str, int]  # kind and index of the last code
Reading = tuple[State, tuple[int, ...]]  # a state, and the tokens of the word that is being read
NUMBERS = [f"{tenths / 10:.1f}" for tenths in range(201)]
"""Answers of a numeric task: 0.0 to 20.0, the natural logarithm of half a billion."""


class Grammar:
    """The answers that a task allows, for one tokenizer.

    Parameters
    ----------
    task : gives codes, levels and label type.
    tokenizer : turns words into tokens.

    Attributes
    ----------
    start : the state (a number) before an answer's first token; see `following` and `choices`.
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
        self._numbers: dict[frozenset[Reading] | None, int] = {}
        self._readings: list[frozenset[Reading] | None] = []
        self._choices: list[list[int]] = []
        self._following: list[dict[int, int]] = []
        self.start = self._number(frozenset({((START, -1), ())}))

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
        state = self.start
        for token in generated:
            state = self.following(state, token)
        return self._choices[state]

    def choices(self, state: int) -> list[int]:
        """Return the tokens that are allowed in a state, sorted; at least the end."""
        return self._choices[state]

    def following(self, state: int, token: int) -> int:
        """Return the state to which a token leads; after the end there is only the end."""
        known = self._following[state]
        if token not in known:
            readings = self._readings[state]
            ended = readings is None or token == self.eos
            known[token] = self._number(None if ended else self._step(readings or (), token))
        return known[token]

    def _number(self, readings: frozenset[Reading] | None) -> int:
        """Return the number of a state: a set of readings, or None after the end."""
        if readings not in self._numbers:
            self._numbers[readings] = len(self._readings)
            self._readings.append(readings)
            self._choices.append(self._find(readings or ()))
            self._following.append({})
        return self._numbers[readings]

    def _find(self, readings: frozenset[Reading] | tuple[()]) -> list[int]:
        found: set[int] = set()
        for state, begun in readings:
            if not begun and self._may_end(state):
                found.add(self.eos)
            for word, _ in self.next_words(state):
                tokens = self._tokens[word, state[0] == START]
                if len(tokens) > len(begun) and tokens[: len(begun)] == begun:
                    found.add(tokens[len(begun)])
        return sorted(found) or [self.eos]

    def _step(self, readings: frozenset[Reading] | tuple[()], token: int) -> frozenset[Reading]:
        following: set[Reading] = set()
        for state, begun in readings:
            longer = (*begun, token)
            for word, target in self.next_words(state):
                tokens = self._tokens[word, state[0] == START]
                if tokens == longer:
                    following.add((target, ()))
                elif tokens[: len(longer)] == longer:
                    following.add((state, longer))
        return frozenset(following)

    @staticmethod
    def _may_end(state: State) -> bool:
        return state[0] in ("level", END)


class Walk:
    """What each answer of a batch may go on with; reads every token once.

    An object of this class is a ``prefix_allowed_tokens_fn`` of transformers' `generate`, for
    greedy search (one beam).

    Parameters
    ----------
    grammars : one a row of the batch.
    prompt : tokens before the answers, the same number in every row.
    """

    def __init__(self, grammars: Sequence[Grammar], prompt: int) -> None:
        self.grammars, self.prompt = grammars, prompt
        self._states = [grammar.start for grammar in grammars]
        self._read = [prompt] * len(grammars)

    def __call__(self, row: int, written: Any) -> list[int]:
        """Return the tokens that may follow in a row; `written`: its tokens so far."""
        grammar, state = self.grammars[row], self._states[row]
        for token in written[self._read[row] :].tolist():
            state = grammar.following(state, token)
        self._states[row], self._read[row] = state, len(written)
        return grammar.choices(state)
