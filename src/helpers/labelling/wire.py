"""OpenAI's protocol: what is sent for a question (what a reply says: `read`). Pure functions."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from helpers.labelling.questions import (
    NONE_CODE,
    Asked,
    Question,
    Response,
    request_key,
    sha256,
)
from helpers.labelling.replies import BadReply, Reply, read
from helpers.plans import Endpoint, Labeller

__all__ = [
    "PATHS",
    "BadReply",
    "Reply",
    "body",
    "format_sentence",
    "key_of",
    "read",
    "response_format",
    "row_of",
    "sampling_of",
    "schema_of",
    "schema_sha",
]

# A base model goes on writing after its answer; the answer is one line. Not for models of this
# package (`Endpoint.serve`, or `prompt: short`): they were trained to end, and their tokenizer has
# no line break, which makes the server fail.
STOP = ["\n"]
PATHS = {"chat": "/chat/completions", "completions": "/completions"}
# Hosts that have replaced max_tokens by max_completion_tokens, and refuse the old name for some
# models. Other servers know only the old one.
RENAMED_MAX_TOKENS = ("openai.com", "openai.azure.com")

_SCHEMA_SHA: dict[tuple[str, str], str] = {}


def body(asked: Asked, labeller: Labeller, endpoint: Endpoint) -> dict[str, Any]:
    """Return the JSON body of the request for one question about one text.

    Notes
    -----
    Only what servers other than OpenAI's accept too (``transformers serve`` refuses unknown fields
    and ignores ``logprobs`` and ``response_format``).
    """
    sent: dict[str, Any] = {"model": labeller.model, "temperature": labeller.temperature}
    if labeller.sampling_seed is not None:
        sent["seed"] = labeller.sampling_seed
    sent[_max_tokens_name(endpoint)] = labeller.max_tokens
    prompt = str(asked.question.prompt(asked.text))
    if endpoint.api == "completions":
        sent["prompt"] = prompt
        if _needs_stop(endpoint):
            sent["stop"] = STOP
        if endpoint.logprobs:
            sent["logprobs"] = 1
        return sent
    if endpoint.structured != "none":
        prompt = f"{prompt}\n\n{format_sentence(asked.question)}"
        sent["response_format"] = response_format(asked.question, endpoint)
    sent["messages"] = [{"role": "user", "content": prompt}]
    if endpoint.logprobs:
        sent["logprobs"] = True
    return sent


def _needs_stop(endpoint: Endpoint) -> bool:
    return not endpoint.serve and endpoint.prompt == "full"


def _max_tokens_name(endpoint: Endpoint) -> str:
    host = urlsplit(endpoint.base_url).hostname or ""
    renamed = any(host == name or host.endswith(f".{name}") for name in RENAMED_MAX_TOKENS)
    return "max_completion_tokens" if renamed and endpoint.api == "chat" else "max_tokens"


def schema_of(question: Question) -> dict[str, Any]:
    """Return the JSON schema of an answer: the codebook's codes as an enum.

    ``{"answer": code}``, or with `Question.many` ``{"answers": [code, ...]}``; with levels each
    code becomes ``{"code": ..., "level": ...}``. "None of these" is the code ``none``, or an
    empty list. Uses only what OpenAI's strict mode knows.
    """
    codes = [option.code for option in question.options]
    if question.none and not question.many:
        codes.append(NONE_CODE)
    item: dict[str, Any] = {"type": "string", "enum": codes}
    if question.levels:
        item = _object(code=item, level={"type": "string", "enum": list(question.levels)})
    if question.many:
        return _object(answers={"type": "array", "items": item})
    return _object(answer=item)


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def format_sentence(question: Question) -> str:
    """Return the sentence that tells a model which JSON to write."""
    item = '{"code": "<code>", "level": "<level>"}' if question.levels else '"<code>"'
    levels = f" and each level one of {', '.join(question.levels)}" if question.levels else ""
    if question.many:
        none = '; write {"answers": []} if none applies' if question.none else ""
        shape, count = f'{{"answers": [{item}, ...]}}', "each code one of"
    else:
        none = f'; the code "{NONE_CODE}" stands for none of them' if question.none else ""
        shape, count = f'{{"answer": {item}}}', "the code one of"
    return f"Write only JSON of the form {shape}, {count} the codes above{levels}{none}."


def response_format(question: Question, endpoint: Endpoint) -> dict[str, Any] | None:
    """Return ``response_format`` of a request, None for plain text."""
    if endpoint.structured == "json_schema":
        schema = {"name": "answer", "strict": True, "schema": schema_of(question)}
        return {"type": "json_schema", "json_schema": schema}
    return {"type": "json_object"} if endpoint.structured == "json_object" else None


def schema_sha(question: Question, endpoint: Endpoint) -> str:
    """Return the SHA-256 of all that is said about the form of the answer (plain text: empty)."""
    wanted = response_format(question, endpoint)
    if wanted is None or endpoint.api == "completions":
        return ""
    return sha256(json.dumps([wanted, format_sentence(question)], sort_keys=True))


def sampling_of(labeller: Labeller, endpoint: Endpoint) -> dict[str, Any]:
    """Return the settings of sampling that enter a request's key."""
    sampling: dict[str, Any] = {
        "api": endpoint.api,
        "temperature": labeller.temperature,
        "seed": labeller.sampling_seed,
        "max_tokens": labeller.max_tokens,
    }
    if endpoint.api == "completions" and _needs_stop(endpoint):
        sampling["stop"] = STOP
    return sampling


def key_of(asked: Asked, labeller: Labeller, endpoint: Endpoint, identity: str) -> str:
    """Return the key of a request: the hash of everything that decides its answer.

    Parameters
    ----------
    identity : of the endpoint: its address, or for a server that is started for the run (its
        port changes) what it serves.
    """
    return request_key(
        asked,
        endpoint=identity,
        model=labeller.model,
        sampling=sampling_of(labeller, endpoint),
        schema=_known_schema_sha(asked.question, endpoint),
    )


def _known_schema_sha(question: Question, endpoint: Endpoint) -> str:
    # A schema of 250 subtopics takes longer to hash than all the rest; texts share it.
    if endpoint.structured == "none":
        return ""
    known = (question.version, f"{endpoint.api} {endpoint.structured}")
    if known not in _SCHEMA_SHA:
        _SCHEMA_SHA[known] = schema_sha(question, endpoint)
    return _SCHEMA_SHA[known]


def row_of(
    asked: Asked, labeller: Labeller, endpoint: Endpoint, identity: str, *, key: str, **fields: Any
) -> Response:
    """Return the store's row for a request: who was asked what, with `fields` of what came back."""
    question = asked.question
    return Response(
        key=key,
        task=question.task,
        method=question.method,
        step=question.step,
        prompt=question.version,
        text_id=asked.text_id,
        text_sha256=sha256(asked.text),
        endpoint=identity,
        model=labeller.model,
        sampling=json.dumps(sampling_of(labeller, endpoint), sort_keys=True),
        schema=_known_schema_sha(question, endpoint),
        **fields,
    )
