"""Reading what the Batch API gives back: result files, rows for the store, refusals."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from helpers.labelling import wire
from helpers.labelling.network import scrub
from helpers.labelling.questions import Asked, Response
from helpers.labelling.sending import Setup

if TYPE_CHECKING:
    from openai.types import Batch as ServerBatch

# Codes of requests that the server never worked on: they cost nothing and can be asked again.
NEVER_ASKED = ("batch_expired", "batch_cancelled")
SHOWN = 5  # messages of a server in one of ours


@dataclass(frozen=True)
class Result:
    """What came back for one request: a reply, an error, or neither if it was never asked."""

    reply: Any = None
    error: str = ""

    @property
    def is_reply(self) -> bool:
        """The server answered; whether the answer can be read is another matter."""
        return not self.error and self.reply is not None


@dataclass
class Results:
    """The results of a batch, joined on ``custom_id``.

    Attributes
    ----------
    found : request key -> result; of two lines for one key, a reply is kept before an error.
    unknown : number of lines whose ``custom_id`` was not asked.
    broken : number of lines that are no result at all.
    """

    found: dict[str, Result] = field(default_factory=dict)
    unknown: int = 0
    broken: int = 0


def read_results(files: Iterable[bytes], keys: Collection[str]) -> Results:
    """Read output and error files.

    Parameters
    ----------
    files : contents; order of files and lines does not matter.
    keys : of the requests of the batch.

    Notes
    -----
    One bad line never costs the others: it is counted. Lines end at line feeds alone (an answer may
    hold U+2028, at which `str.splitlines` would cut).
    """
    asked, results = set(keys), Results()
    for raw in (line for content in files for line in content.split(b"\n") if line.strip()):
        try:
            line = json.loads(raw)
            key = line["custom_id"]
        except (ValueError, KeyError, TypeError, RecursionError):
            results.broken += 1
            continue
        if not isinstance(key, str) or key not in asked:
            results.unknown += 1
            continue
        result, known = _result(line), results.found.get(key)
        if known is None or (result.is_reply and not known.is_reply):
            results.found[key] = result
    return results


def _result(line: dict[str, Any]) -> Result:
    error, response = line.get("error"), line.get("response")
    if isinstance(response, dict) and not error:
        if response.get("status_code") == 200:
            return Result(reply=response.get("body") or {})
        body = response.get("body")
        inner = body.get("error") if isinstance(body, dict) else None
        said = inner.get("message") if isinstance(inner, dict) else body
        return Result(error=f"HTTP {response.get('status_code')}: {said}")
    if not isinstance(error, dict):
        return Result(error=f"the result holds no response: {error}")
    if error.get("code") in NEVER_ASKED:
        return Result()
    return Result(error=f"{error.get('code')}: {error.get('message')}")


def result_row(
    setup: Setup, key: str, asked: Asked, result: Result, batch: ServerBatch
) -> Response | None:
    """Return the store's row for a result, None if the question was never asked."""
    asked_at = _utc(batch.in_progress_at or batch.created_at)
    extra = {"batch": batch.id}
    if ended := batch.completed_at or batch.expired_at or batch.cancelled_at:
        extra["ended_at"] = _utc(ended)
    common: dict[str, Any] = {"asked_at": asked_at, "extra": extra}
    if not result.is_reply:
        said = scrub(result.error, setup.key)[:500]
        return row(setup, key, asked, status="error", error=said, **common) if said else None
    try:
        reply = wire.read(result.reply)
    except wire.BadReply as error:
        return row(
            setup, key, asked, status="error", error=f"unreadable reply: {error}"[:300], **common
        )
    price = None
    if reply.prompt_tokens is not None and reply.completion_tokens is not None:
        tokens = reply.prompt_tokens, reply.completion_tokens
        model, address = setup.labeller.model, setup.base_url
        price = setup.prices.price(model, "batch", *tokens, base_url=address)
    return row(setup, key, asked, **asdict(reply), cost=price, **common)


def row(setup: Setup, key: str, asked: Asked, **fields: Any) -> Response:
    """Return the store's row for a question."""
    return wire.row_of(asked, setup.labeller, setup.endpoint, setup.identity, key=key, **fields)


def refusal(setup: Setup, batch: ServerBatch, texts: Sequence[str]) -> str:
    """Return the message about a batch that the server refused as a whole."""
    errors = (batch.errors.data if batch.errors else None) or []
    lines = []
    for error in errors[:SHOWN]:
        where = f"line {error.line}" if error.line else "file"
        if error.line and 0 < error.line <= len(texts):
            where += f" (text '{texts[error.line - 1]}')"
        lines.append(f"  {where}: {error.message} [{error.code}]")
    more = [f"  and {len(errors) - SHOWN} more"] if len(errors) > SHOWN else []
    text = "\n".join(
        [
            f"labeller '{setup.name}': the server refused batch {batch.id} "
            f"({len(texts)} requests); none of it was asked or charged:",
            *(lines or ["  (it gave no reason)"]),
            *more,
            "Correct the labeller or endpoint in the profile, or wait where a limit is named; "
            "then run again. Other batches are saved.",
        ]
    )
    return scrub(text, setup.key)


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
