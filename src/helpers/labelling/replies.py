"""OpenAI's protocol: what a reply says. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from helpers.labelling.questions import ResponseStatus


class BadReply(ValueError):
    """A reply that has not the form of the protocol: it says nothing about the question."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a reply says; the fields have the names and meanings of `Response`."""

    status: ResponseStatus
    content: str
    finish_reason: str | None
    confidence: float | None
    served_model: str | None
    fingerprint: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


def read(reply: Any) -> Reply:
    """Read the decoded JSON of a reply to a chat completion or a plain completion.

    Returns
    -------
    `Reply` with status ``refused`` (the model declined, or a filter cut in), ``truncated`` (it ran
    into the longest answer) or ``ok``.

    Raises
    ------
    BadReply
        If the reply is not of the protocol's form (a proxy's page, an error with status 200, no
        choices): it may be asked again.
    """
    choice = _first_choice(reply)
    message = choice.get("message")
    if isinstance(message, dict) and "content" in message:
        content, refusal = message["content"], message.get("refusal")
    elif isinstance(choice.get("text"), str):
        content, refusal = choice["text"], None
    else:
        raise BadReply("the reply's choice holds neither a message with content nor a text")
    if not isinstance(content, str | None):
        raise BadReply(f"the reply's content is of type {type(content).__name__}, not text")
    reason = _text(choice.get("finish_reason"))
    refused = bool(refusal) or reason == "content_filter"
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(
        status="refused" if refused else "truncated" if reason == "length" else "ok",
        content=_text(refusal if refusal and not content else content) or "",
        finish_reason=reason,
        confidence=_confidence(choice.get("logprobs")),
        served_model=_text(reply.get("model")),
        fingerprint=_text(reply.get("system_fingerprint")),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def _first_choice(reply: Any) -> dict[str, Any]:
    if not isinstance(reply, dict):
        raise BadReply(f"the reply is a JSON {type(reply).__name__}, not an object")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        said = f": {reply['error']}"[:300] if reply.get("error") else ""
        raise BadReply(f"the reply holds no choices{said}")
    return choices[0]


def _confidence(logprobs: Any) -> float | None:
    if not isinstance(logprobs, dict):
        return None
    tokens = logprobs.get("content")
    if isinstance(tokens, list):
        values = [token.get("logprob") if isinstance(token, dict) else None for token in tokens]
    else:
        values = logprobs.get("token_logprobs") or []
    if not isinstance(values, list) or not values:
        return None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    # Rounding can lift a sum of zeros above zero.
    probability = math.exp(min(0.0, math.fsum(values)))
    return None if math.isnan(probability) else probability


def _text(value: Any) -> str | None:
    # JSON can spell half a surrogate pair, which no file or database can hold.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
