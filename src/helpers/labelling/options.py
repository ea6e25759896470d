"""Find the option that a short text names; the rules are in `helpers.labelling.parsing`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from helpers.labelling.questions import NONE_CODE, Question

MIN_SIMILARITY = 85.0
"""Least similarity (0-100) of a misspelt name: one wrong letter in a word of seven."""
MARGIN = 5.0
"""By how much the runner-up must be less similar."""
SHORT_WORD = 3  # letters; words up to this length must be right

UNKNOWN, DOUBT = "unknown", "doubt"

_FILLERS = {"and", "of", "the"}
_LEAD = re.compile(
    r"^(?:the |my )?(?:best |correct |right |main |most fitting )?(?:major |policy )?"
    r"(?:answer|topic|subtopic|label|code|category|option|choice|number|subject|dimension)s?"
    r"(?: number| code)?(?: is| are)?[\s:=\-–]+"
)
_NONE = re.compile(
    r"none(?: of (?:these|them|those|the above|the options|the list))?(?: appl(?:y|ies))?"
)
_DENIED = re.compile(r"\b(?:no|not|none|never|cannot|unsure|unlikely|neither)\b|n't\b|\?")
_CODE_FIRST = re.compile(r"^([0-9]+)(\s*[:.)(=\-–—\]]+\s*|\s+)(.+)$", re.DOTALL)
_CODE_LAST = re.compile(r"^(.+?)[\s:(\[=\-–—]+([0-9]+)\W*$", re.DOTALL)


class Unreadable(Exception):
    """Text that names no option; `kind` is ``unknown``, ``doubt`` or ``off_list``."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@lru_cache(maxsize=4096)
def options_of(question: Question) -> Options:
    """Return the options of a question, ready for many answers."""
    return Options(question)


class Options:
    """The options of a question, found by code or name.

    Attributes
    ----------
    order : the codes, with their places in the question.
    levels : lower-case level -> level; many, none : as in the question.
    """

    def __init__(self, question: Question) -> None:
        self.order = {option.code: i for i, option in enumerate(question.options)}
        self.levels = {level.casefold(): level for level in question.levels}
        self.many, self.none = question.many, question.none
        self._codes = {code.casefold(): code for code in (*self.order, NONE_CODE)}
        self._own = {option.code: _plain(option.name) for option in question.options}
        self._names: dict[str, str] = {}
        self._shared: set[str] = set()
        for code, name in self._own.items():
            if self._names.setdefault(name, code) != code:
                self._shared.add(name)
        self._longest = 2 * max((len(name) for name in self._names), default=0)
        levels = "|".join(map(re.escape, self.levels))
        self._level = re.compile(rf"^(.*?)[\s:=(,\-–]+({levels})[\s).]*$", re.DOTALL)

    def is_code(self, word: str) -> bool:
        """Whether a word has the form of a code, known or not."""
        return word in self._codes or bool(re.fullmatch("[0-9]+", word))

    def pair(self, text: str, level: str | None) -> tuple[str, str]:
        """Find code and level; without `level`, the text ends on it if the question has levels.

        Raises
        ------
        Unreadable
            If the text names no option, or could name two, or its level is missing or unknown.
        """
        text = text.strip().casefold()
        if self.levels and level is None:
            if self._is_none(text):
                return NONE_CODE, ""
            if not (split := self._level.match(text)):
                raise Unreadable(UNKNOWN)
            text, level = split.groups()
        level = (level or "").strip().casefold()
        if self.levels and level not in self.levels:
            raise Unreadable(DOUBT)
        return self.find(text), self.levels.get(level, "")

    def find(self, text: str) -> str:
        """Return the code that a text names, ``none`` included."""
        bare = text.strip().casefold().strip(" .,:;'()[]")
        if (code := self._exact(bare)) or (code := self._exact(_LEAD.sub("", bare).strip(" .,:;"))):
            return code
        bare = _LEAD.sub("", bare)
        if match := _CODE_FIRST.match(bare):
            return self._with_rest(match[1], match[3], explained=not match[2].isspace())
        if (match := _CODE_LAST.match(bare)) and (code := self._similar(match[1])):
            return self._with_rest(match[2], match[1], explained=False)
        if code := self._similar(bare):
            return code
        raise Unreadable(UNKNOWN)

    def _is_none(self, text: str) -> bool:
        return bool(_NONE.fullmatch(text.strip(" .,:;'()[]")))

    def _exact(self, text: str) -> str | None:
        if text in self._codes:
            return self._codes[text]
        if self._is_none(text):
            return NONE_CODE
        if re.fullmatch("[0-9]+", text):
            raise Unreadable("off_list")
        name = _plain(text)
        if name in self._shared:
            raise Unreadable(DOUBT)
        return self._names.get(name)

    def _with_rest(self, code: str, rest: str, *, explained: bool) -> str:
        """Read a code and what stands beside it: its name, or (after a colon) an explanation."""
        named, problem = "", ""
        try:
            named = self.find(rest)
        except Unreadable as error:
            problem = error.kind
        if code not in self._codes:
            raise Unreadable(DOUBT if named else "off_list" if explained else UNKNOWN)
        if named == code or (not named and self._abbreviates(rest, code)):
            return code
        if named or problem != UNKNOWN or self.many or not explained or self._disturbs(rest):
            raise Unreadable(DOUBT)
        return code

    def _abbreviates(self, text: str, code: str) -> bool:
        words = set(_plain(text).split())
        return bool(words) and words <= set(self._own.get(code, "").split())

    def _disturbs(self, text: str) -> bool:
        """Whether an explanation names any option, by name or code, or takes the answer back."""
        if _DENIED.search(text):
            return True
        padded = f" {_plain(text)} "
        numbers = re.findall(r"(?<![\w.])[0-9]+(?!\w)", text)
        return any(n in self._codes for n in numbers) or any(
            f" {n} " in padded for n in self._names
        )

    def _similar(self, text: str) -> str | None:
        """Return the option whose name is the text, up to typing errors."""
        from rapidfuzz import process

        name = _plain(text)
        if name in self._shared:
            raise Unreadable(DOUBT)
        if name in self._names:
            return self._names[name]
        if not name or len(name) > self._longest:
            return None
        near = process.extract(
            name,
            list(self._names),
            scorer=_similarity,
            score_cutoff=MIN_SIMILARITY - MARGIN,
            limit=2,
        )
        if not near or near[0][1] < MIN_SIMILARITY or not _same_words(name, near[0][0]):
            return None
        close = len(near) > 1 and near[0][1] - near[1][1] < MARGIN
        if close or near[0][0] in self._shared:
            raise Unreadable(DOUBT)
        return self._names[near[0][0]]


def _plain(text: str) -> str:
    """Return lower-case words without punctuation and fillers, separated by single spaces."""
    words = re.findall(r"\w+", text.casefold())
    return " ".join(word for word in words if word not in _FILLERS) or " ".join(words)


def _similarity(first: Any, second: Any, *, score_cutoff: float | None = None) -> float:
    from rapidfuzz import fuzz

    # A wrong first letter moves a word when words are sorted, so the given order counts too.
    return max(fuzz.ratio(first, second), fuzz.token_sort_ratio(first, second))


def _same_words(first: str, second: str) -> bool:
    """Whether two names have the same words, up to one edit in each longer one."""
    from rapidfuzz.distance import OSA

    left, right = first.split(), second.split()
    for word in left:
        close = (
            other
            for other in sorted(right, key=word.__ne__)
            if word == other
            or (min(len(word), len(other)) > SHORT_WORD and OSA.distance(word, other) == 1)
        )
        if (match := next(close, None)) is None:
            return False
        right.remove(match)
    return not right
