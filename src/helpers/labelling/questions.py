"""What a labeller is asked, and what comes back: plain data, shared by all labellers.

A prompt method (`helpers.labelling.methods`) turns a task into questions, a labeller answers
them, the method turns the answers into labels. What decides an answer is hashed into its key,
under which the raw response is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

from helpers.tasks import Prompt

# What the server said.
ResponseStatus = Literal["ok", "refused", "truncated", "error"]
# What it means for the codebook: an error is never turned into a label.
Status = Literal["ok", "off_list", "unparsed", "refused", "truncated", "error"]

NONE_CODE = "none"


@dataclass(frozen=True)
class Option:
    """One possible answer: the code that stands for it, and its readable name."""

    code: str
    name: str


@dataclass(frozen=True)
class Question:
    """A question about a text, the same for all texts.

    Attributes
    ----------
    task, method, step : where it comes from, e.g. ``cap``, ``v1``, ``subtopics of 6``.
    head, tail : the prompt before and after the text.
    options : the possible answers.
    many : any number of options may be chosen (else one).
    none : "none of these" is a possible answer.
    levels : each chosen option needs one of these (tasks with intensities).
    """

    task: str
    method: str
    step: str
    head: str
    tail: str
    options: tuple[Option, ...]
    many: bool = False
    none: bool = False
    levels: tuple[str, ...] = ()

    @cached_property
    def version(self) -> str:
        """Hash of all that the prompt says, but for the method's name: the prompt's version."""
        content = {k: v for k, v in asdict(self).items() if k not in ("method", "step")}
        return sha256(json.dumps(content, sort_keys=True))[:16]

    def prompt(self, text: str) -> Prompt:
        """Return the prompt for a text; only the text may be cut."""
        return Prompt(self.head, text, self.tail)


@dataclass(frozen=True)
class Asked:
    """A question about one text."""

    text_id: str
    text: str
    question: Question


@dataclass(frozen=True)
class Answer:
    """What a labeller answered, read against the options.

    Attributes
    ----------
    status : see `Status`; `chosen` is empty unless it is ``ok``.
    chosen : (code, level) pairs in the order of the options; the level is empty without levels.
    confidence : probability of the answer as written, where the labeller gives it.
    """

    status: Status
    chosen: tuple[tuple[str, str], ...] = ()
    confidence: float | None = None


@dataclass(frozen=True)
class Response:
    """A raw response and all that is known about it; one row of the store.

    Attributes
    ----------
    key : see `request_key`.
    task, method, step, prompt : of the question (`prompt`: its version).
    text_id, text_sha256 : of the text; the text itself is not kept.
    endpoint, model, sampling, schema : who was asked and how (sampling as JSON; hash of the
        schema, empty without one).
    status, content, finish_reason, error : what came back.
    confidence : exp of the summed log-probabilities, where given.
    served_model, fingerprint : what the server says it ran.
    prompt_tokens, completion_tokens, cost : usage; cost in US dollars.
    attempts, asked_at, seconds : tries, UTC time of the last, its duration.
    """

    key: str
    task: str
    method: str
    step: str
    prompt: str
    text_id: str
    text_sha256: str
    endpoint: str
    model: str
    sampling: str
    schema: str
    status: ResponseStatus
    content: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    confidence: float | None = None
    served_model: str | None = None
    fingerprint: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    attempts: int = 1
    asked_at: str = ""
    seconds: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """The one interface of all labellers."""

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """Answer all questions, in their order; those that failed have status ``error``."""
        ...


def sha256(text: str) -> str:
    """Return the SHA-256 of a text, as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def request_key(
    asked: Asked, *, endpoint: str, model: str, sampling: dict[str, Any], schema: str
) -> str:
    """Return the hash of everything that decides an answer.

    Parameters
    ----------
    asked : question and text. The text's identifier does not enter: the same words get the same
        answer. Nor does the method's name: two methods share a question that both ask.
    endpoint : identity of the endpoint (its address, not its speed limits).
    model : name of the model.
    sampling : temperature, seed, longest answer, API.
    schema : SHA-256 of the JSON schema asked for, or empty.
    """
    content = {
        "task": asked.question.task,
        "prompt": asked.question.version,
        "text": sha256(asked.text),
        "endpoint": endpoint,
        "model": model,
        "sampling": sampling,
        "schema": schema,
    }
    return sha256(json.dumps(content, sort_keys=True))
