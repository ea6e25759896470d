"""Two tables of costs: what a crowd will cost, by estimate, and what it did cost."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from helpers.labelling import wire
from helpers.labelling.costs import Prices
from helpers.labelling.network import is_loopback
from helpers.labelling.questions import Asked, Response
from helpers.labelling.store import ResponseStore
from helpers.plans import Endpoint, Labeller

CHARACTERS = 4  # to a token of English; other languages have fewer
OVERHEAD = 8  # tokens that a chat adds around a message
FEWEST = 20  # answers from which the tokens of a model count as measured
ESTIMATE = [
    "labeller", "endpoint", "model", "mode", "requests", "in_store", "prompt_tokens",
    "completion_tokens", "usd", "basis", "price_date",
]  # fmt: skip
ACTUAL = ["task", "endpoint", "model", "method"]


@dataclass(frozen=True)
class Planned:
    """Questions for one labeller.

    Attributes
    ----------
    name : of the labeller.
    asked : its questions. Those of a later step are not known before the answers of the first.
    identity, base_url : see `EndpointLabeller`; default: the endpoint's address.
    further : number of later questions to expect; they count like the mean of those known.
    """

    name: str
    labeller: Labeller
    endpoint: Endpoint
    asked: Sequence[Asked]
    identity: str = ""
    base_url: str = ""
    further: int = 0

    @property
    def address(self) -> str:
        """Address of the endpoint; of a server that is started for the run, this computer."""
        here = "http://127.0.0.1" if self.endpoint.serve else ""
        return (self.base_url or self.endpoint.base_url or here).rstrip("/")

    def keys(self) -> dict[str, Asked]:
        """Return key -> question."""
        identity = self.identity or self.address
        return {wire.key_of(a, self.labeller, self.endpoint, identity): a for a in self.asked}

    def length(self, asked: Asked) -> tuple[int, int]:
        """Return the characters and the words that are sent for a question."""
        body = wire.body(asked, self.labeller, self.endpoint)
        text = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        schema = body.get("response_format")
        text += json.dumps(schema) if schema else ""
        return len(text), len(text.split())


def estimate(
    planned: Iterable[Planned],
    store: ResponseStore,
    prices: Prices,
    *,
    sample: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate what it costs to ask what the store lacks.

    Parameters
    ----------
    planned : the labellers; a question that two of them share counts for the first.
    sample, seed : number of questions per labeller whose tokens are counted, drawn at random.

    Returns
    -------
    One row per labeller: ``requests`` (different questions), ``in_store`` (answered before),
    tokens of the rest, ``usd`` (NaN: unknown price), ``basis`` (how tokens were counted) and
    ``price_date`` (day of the price; empty on this computer). These are ESTIMATES.

    Notes
    -----
    Where the store holds 20 answers of the same model to some of these questions, their tokens per
    character are used (prompts), and their mean (completions). Else: 4 characters a token, at
    least one token a word, and the longest completion allowed (labels are much shorter). Retries
    are not counted.
    """
    planned, seen = list(planned), set[str]()
    questions: list[dict[str, Asked]] = []
    answers: list[dict[str, Response]] = []
    measured: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for plan in planned:
        keys = {key: one for key, one in plan.keys().items() if key not in seen}
        seen.update(keys)
        found = {k: r for k, r in store.get(list(keys)).items() if r.status != "error"}
        usage = measured.setdefault((plan.address, plan.labeller.model), [])
        for key, response in _draw(found, sample, seed):
            if response.prompt_tokens is not None and response.completion_tokens is not None:
                characters, _ = plan.length(keys[key])
                usage.append((characters, response.prompt_tokens, response.completion_tokens))
        questions.append(keys)
        answers.append(found)
    rows = []
    for plan, keys, found in zip(planned, questions, answers, strict=True):
        missing = {key: one for key, one in keys.items() if key not in found}
        usage = measured[plan.address, plan.labeller.model]
        # All shared with labellers above: only later questions remain, and these stand for them.
        chosen = [one for _, one in _draw(missing or keys or plan.keys(), sample, seed)]
        tokens = _tokens(plan, chosen, usage)
        number = len(missing) + plan.further
        rows.append(_estimate_row(plan, prices, len(keys), len(found), number, *tokens))
    return pd.DataFrame(rows, columns=ESTIMATE)


def _draw(items: dict[str, Any], size: int, seed: int) -> list[tuple[str, Any]]:
    return random.Random(seed).sample(list(items.items()), min(size, len(items)))


def _tokens(
    plan: Planned, chosen: list[Asked], usage: list[tuple[int, int, int]]
) -> tuple[float, float, str]:
    """Mean tokens of a question and of an answer, and how they were counted."""
    lengths = [plan.length(one) for one in chosen]
    if not lengths:
        return 0.0, 0.0, "nothing to ask"
    if len(usage) >= FEWEST:
        characters, prompt, completion = (sum(column) for column in zip(*usage, strict=True))
        mean = sum(length for length, _ in lengths) / len(lengths)
        basis = f"estimate: tokens of {len(usage)} answers of this model"
        return mean * prompt / characters, completion / len(usage), basis
    counted = [max(length / CHARACTERS, words) + OVERHEAD for length, words in lengths]
    basis = f"estimate: {CHARACTERS} characters a token, longest completions"
    return sum(counted) / len(counted), float(plan.labeller.max_tokens), basis


def _estimate_row(
    plan: Planned,
    prices: Prices,
    requests: int,
    in_store: int,
    number: int,
    prompt: float,
    completion: float,
    basis: str,
) -> dict[str, Any]:
    model, mode, address = plan.labeller.model, plan.endpoint.mode, plan.address
    prompt_tokens, completion_tokens = round(number * prompt), round(number * completion)
    usd = prices.price(model, mode, prompt_tokens, completion_tokens, base_url=address)
    found = prices.find(model, address)
    return {
        "labeller": plan.name,
        "endpoint": plan.labeller.endpoint,
        "model": model,
        "mode": mode,
        "requests": requests + plan.further,
        "in_store": in_store,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "usd": 0.0 if number == 0 else math.nan if usd is None else usd,
        "basis": basis if number else "nothing to ask",
        "price_date": found.as_of.isoformat() if found else "" if is_loopback(address) else "none",
    }


def total_usd(estimated: pd.DataFrame) -> float:
    """Return the sum of an estimate, for `helpers.labelling.costs.confirm`; NaN if one is NaN."""
    return float(estimated["usd"].sum(skipna=False))


def actual_costs(store: ResponseStore, task: str | None = None) -> pd.DataFrame:
    """Return what the responses in a store cost, in money and time.

    Parameters
    ----------
    task : of this task only (default: all).

    Returns
    -------
    One row per task, endpoint, model and method: ``requests`` (different questions), ``answered``
    and ``errors`` of them, ``attempts`` (tries in all), tokens, ``usd`` (NaN if a response has no
    known cost), ``seconds`` (of the last try of each request, summed; batch mode: 0) and
    ``wall_seconds`` (from the first request to the last answer, pauses between runs included).

    Notes
    -----
    A question that two methods share stands once, under the method that asked it first.
    """
    rows = [
        {
            **{name: getattr(one, name) for name in ACTUAL},
            "requests": 1,
            "answered": int(one.status != "error"),
            "errors": int(one.status == "error"),
            "attempts": one.attempts,
            "prompt_tokens": one.prompt_tokens or 0,
            "completion_tokens": one.completion_tokens or 0,
            "usd": _cost(one),
            "seconds": one.seconds,
            "start": one.asked_at or None,
            "end": one.extra.get("ended_at") or one.asked_at or None,
        }
        for one in store.rows(task)
    ]
    summed = ["requests", "answered", "errors", "attempts", "prompt_tokens", "completion_tokens"]
    columns = [*ACTUAL, *summed, "usd", "seconds", "start", "end"]
    frame = pd.DataFrame(rows, columns=columns)
    for name in ("start", "end"):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    frame["end"] += pd.to_timedelta(frame["seconds"].astype(float), unit="s")
    groups = frame.groupby(ACTUAL, sort=True)
    table = groups[[*summed, "seconds"]].sum()
    table.insert(len(summed), "usd", groups["usd"].agg(lambda cost: cost.sum(skipna=False)))
    wall = (groups["end"].max() - groups["start"].min()).dt.total_seconds()
    return table.assign(wall_seconds=wall).reset_index()


def _cost(response: Response) -> float:
    # An error has a cost only where it is known to have been billed.
    if response.cost is None:
        return 0.0 if response.status == "error" else math.nan
    return response.cost
