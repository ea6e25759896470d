"""Read an answer against the options of a question: tolerant of form, never guessing.

Understood are JSON as asked for by `helpers.labelling.wire` (``{"answer": "6"}``,
``{"answers": ["3", "7"]}``, ``{"answers": [{"code": "4", "level": "high"}]}``), also fenced or
slightly broken; codes; names; ``6: Education``; ``Topic 6 (Education)``; ``none``; and the
completions of fine-tuned models (`helpers.tasks.Task.completion`).

A misspelt name counts if (1) it has the same words as an option's name, in any order, with at most
one inserted, missing, wrong or swapped letter in each word of four letters or more, (2) it is at
least `MIN_SIMILARITY` similar as a whole, and (3) the runner-up is `MARGIN` less similar. The rule
by words keeps opposites apart that a ratio alone does not: "life dissatisfaction" is 92% similar
to "life satisfaction".
"""

from __future__ import annotations

import json
import re
from typing import Any

from helpers.labelling.options import DOUBT, UNKNOWN, Options, Unreadable, options_of
from helpers.labelling.questions import NONE_CODE, Answer, Question, Response

LONGEST = 4_000
"""Longer answers (in characters, thinking apart) are not read: no question asks for one."""
PARTS = 120  # the same for the parts of a list
KEYS = ("answer", "answers", "choice", "choices", "label", "labels", "code", "codes")
"""Keys under which a JSON answer may stand; the first two are those that we ask for."""

_KEY = re.compile(rf"[\"']?\b({'|'.join(KEYS[:4])})\b[\"']?\s*:", re.IGNORECASE)
_FENCE = re.compile(r"```(?:json|text|plaintext|markdown)?", re.IGNORECASE)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])[0-9]+(?![\w])")
_CONNECTIVE = re.compile(
    r"^[\W_]*(?:or|and|also|but|maybe|perhaps|possibly|alternatively|secondarily)\b[\W_]*"
)

Pair = tuple[str, str]


def parse(question: Question, content: str) -> Answer:
    """Read what a labeller wrote.

    Parameters
    ----------
    question : gives options, levels, and whether several or none may be chosen.
    content : the answer as written; any string.

    Returns
    -------
    Answer with status

    ``ok`` : chosen pairs in the order of the options; empty for "none".
    ``off_list`` : the format is right, but a code or a JSON value is no option (one is enough),
        or "none" where an option must be chosen.
    ``unparsed`` : anything else, above all what could mean two things ("6 or 7"). An option
        chosen twice counts once, with its first level, as in `Task.parse`.
    """
    try:
        options = options_of(question)
        pairs = _pairs(options, _cleaned(content))
        return Answer("ok", _checked(options, pairs))
    except Unreadable as problem:
        return Answer("off_list" if problem.kind == "off_list" else "unparsed")
    except RecursionError:  # hundreds of nested brackets
        return Answer("unparsed")


def read_answer(question: Question, response: Response) -> Answer:
    """Read a response; refused, truncated and failed ones stay what they are, without labels."""
    if response.status != "ok":
        return Answer(response.status)
    answer = parse(question, response.content or "")
    return Answer(answer.status, answer.chosen, response.confidence)


def render(question: Question, chosen: tuple[Pair, ...]) -> str:
    """Write an answer as the completion that `parse` reads back, e.g. ``" 4 high 12 low"``."""
    return "".join(f" {code} {level}".rstrip() for code, level in chosen) or f" {NONE_CODE}"


def _cleaned(content: str) -> str:
    text = _THOUGHT.sub(" ", content)
    if "<think>" in text or len(text) > LONGEST:  # thinking that never ended is no answer
        raise Unreadable(UNKNOWN)
    return _FENCE.sub(" ", text).strip()


def _pairs(options: Options, text: str) -> list[Pair]:
    if "{" in text or text[:1] == "[":
        value, repaired = _loaded(text)
        if "{" in text or not repaired:
            return _from_json(options, text, value, repaired)
    plain = re.sub(r"[*`\"“”„]", "", text).strip()
    if (pairs := _from_completion(options, plain)) is not None:
        return pairs
    return _from_list(options, plain) if options.many else _from_lines(options, plain)


def _checked(options: Options, pairs: list[Pair]) -> tuple[Pair, ...]:
    """Bring pairs into the order of the options; refuse what the question does not allow."""
    chosen: dict[str, str] = {}
    for code, level in pairs:
        chosen.setdefault(code, level)
    if NONE_CODE in chosen or not chosen:
        if len(chosen) > 1:
            raise Unreadable(DOUBT)
        if not options.none:
            raise Unreadable("off_list")
        return ()
    if len(chosen) > 1 and not options.many:
        raise Unreadable(DOUBT)
    return tuple((code, chosen[code]) for code in options.order if code in chosen)


# --- JSON -------------------------------------------------------------------------------------


def _from_json(options: Options, text: str, value: Any, repaired: bool) -> list[Pair]:
    items = _json_items(options, value)
    if not items and (repaired or not options.many):
        raise Unreadable(UNKNOWN)
    pairs = []
    for item in items:
        try:
            pairs.append(options.pair(*item))
        except Unreadable as problem:
            raise Unreadable("off_list" if problem.kind == UNKNOWN else problem.kind) from None
    if repaired:  # json_repair reads {answer: 6 or 7} as 6, and of two objects the last
        if len(_KEY.findall(text)) > 1:
            raise Unreadable(DOUBT)
        outside = re.sub(r"\{.*\}", "", text, flags=re.DOTALL)
        _check_rest(options, {code for code, _ in pairs}, text, [outside])
    return pairs


def _loaded(text: str) -> tuple[Any, bool]:
    """Load JSON, and say whether it had to be repaired."""
    import json_repair

    try:
        return json.loads(text, object_pairs_hook=_each_once), False
    except ValueError:
        pass
    try:
        return json_repair.loads(text), True
    except ValueError:
        raise Unreadable(UNKNOWN) from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise Unreadable(DOUBT)
    return dict(pairs)


def _json_items(options: Options, value: Any) -> list[tuple[str, str | None]]:
    """Return (text, level) pairs; the level is None where it stands in the text or nowhere."""
    if isinstance(value, dict):
        keys = [key for key in KEYS if key in value]
        if len(keys) == 1 and "level" not in value:
            return _json_items(options, value[keys[0]])
        if keys:
            return [_json_pair(value)]
        if options.levels and value and all(isinstance(level, str) for level in value.values()):
            return list(value.items())
    elif isinstance(value, list):
        return [item for part in value for item in _json_items(options, part)]
    elif isinstance(value, str | int) and not isinstance(value, bool):
        return [(str(value), None)]
    raise Unreadable(UNKNOWN)


def _json_pair(value: dict[str, Any]) -> tuple[str, str | None]:
    code = next(value[key] for key in ("code", *KEYS) if key in value)
    level = value.get("level")
    if isinstance(code, bool) or not isinstance(code, str | int) or not isinstance(level, str):
        raise Unreadable(UNKNOWN)
    return str(code), level


# --- text -------------------------------------------------------------------------------------


def _from_completion(options: Options, text: str) -> list[Pair] | None:
    """Read codes (with levels) and nothing else; None if there is anything else."""
    words = text.casefold().replace(",", " ").replace(";", " ").split()
    if not words or not all(options.is_code(word) or word in options.levels for word in words):
        return None
    if words == [NONE_CODE]:
        return [(NONE_CODE, "")]
    if not options.levels:
        return [options.pair(word, None) for word in words]
    codes, levels = words[0::2], words[1::2]
    if len(codes) != len(levels) or not set(levels) <= set(options.levels):
        raise Unreadable(UNKNOWN)
    return [options.pair(*both) for both in zip(codes, levels, strict=True)]


def _from_lines(options: Options, text: str) -> list[Pair]:
    """Read one answer; other lines may explain it, but must not name another option."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    read = [(line, _try(options, line)) for line in lines]
    found = [pair for _, pair in read if pair]
    others = [line for line, pair in read if not pair]
    if not found:
        raise Unreadable(UNKNOWN)
    if others:
        _check_rest(options, {code for code, _ in found}, text, others)
    return found


def _from_list(options: Options, text: str) -> list[Pair]:
    """Read any number of answers, separated by lines, semicolons, commas or "and".

    Names hold commas too, so the longest piece that is an answer counts. All must be read.
    """
    pairs: list[Pair] = []
    for segment in re.split(r"[\n;]+", text):
        if segment.strip():
            pairs += _from_segment(options, segment.strip().lstrip("-•·").strip())
    if not pairs:  # silence is not "none"
        raise Unreadable(UNKNOWN)
    return pairs


def _from_segment(options: Options, segment: str) -> list[Pair]:
    parts = re.split(r"(,|\band\b|&)", segment)
    if len(parts) > PARTS:
        raise Unreadable(UNKNOWN)
    pairs, start = [], 0
    while start < len(parts):
        for stop in range(len(parts), start, -2):
            if pair := _try(options, "".join(parts[start:stop]), doubt=False):
                pairs.append(pair)
                start = stop + 1
                break
        else:
            if parts[start].strip():  # nothing stands between the comma and "and" of ", and"
                raise Unreadable(UNKNOWN)
            start += 2
    return pairs


def _try(options: Options, text: str, *, doubt: bool = True) -> Pair | None:
    """Return an option, or None; an unknown code, and by default a doubt, end the reading."""
    try:
        return options.pair(text, None)
    except Unreadable as problem:
        if problem.kind == UNKNOWN or (problem.kind == DOUBT and not doubt):
            return None
        raise


def _check_rest(options: Options, chosen: set[str], text: str, rest: list[str]) -> None:
    """Refuse an answer if what stands around it names another option, e.g. "or 7"."""
    if any(n in options.order and n not in chosen for n in _NUMBER.findall(text)):
        raise Unreadable(DOUBT)
    for line in rest:
        pair = _try(options, _CONNECTIVE.sub("", line.strip().casefold()))
        if pair and pair[0] not in chosen:
            raise Unreadable(DOUBT)
