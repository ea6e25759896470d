"""What endpoints charge: a dated price table, in which an unknown price is never 0."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import Field, NonNegativeFloat, ValidationError

from helpers.labelling.network import is_loopback
from helpers.plans import HelpersError, Strict
from helpers.profiles import REPO

PRICES = REPO / "config" / "prices.yaml"
MILLION = 1_000_000

Mode = Literal["direct", "batch"]


class PriceError(HelpersError):
    """The price table cannot be read, or a budget needs a price that it lacks."""


class Price(Strict):
    """One row of the price table; the keys are explained in the YAML."""

    models: list[str] = Field(min_length=1)
    hosts: list[str] = Field(min_length=1)
    prompt: NonNegativeFloat
    completion: NonNegativeFloat
    batch_discount: float | None = Field(default=None, ge=0, le=1)
    as_of: date
    source: str


class Prices(Strict):
    """A dated price table."""

    prices: list[Price]

    def find(self, model: str, base_url: str = "") -> Price | None:
        """Return the row of a model: an exact name before a prefix, a longer prefix first.

        Parameters
        ----------
        model : name as sent to the endpoint.
        base_url : address of the endpoint; empty: rows of any host.
        """
        host = _host(base_url)
        best: tuple[float, Price] | None = None
        for row in self.prices:
            for name in row.models if not host or host in row.hosts else []:
                length = _match(name, model)
                if length > (best[0] if best else -1):
                    best = (length, row)
        return best[1] if best else None

    def price(
        self,
        model: str,
        mode: Mode,
        prompt_tokens: float,
        completion_tokens: float,
        *,
        base_url: str = "",
    ) -> float | None:
        """Return the price of so many tokens.

        Parameters
        ----------
        model : name as sent to the endpoint.
        mode : ``direct``, or ``batch`` (Batch API).
        prompt_tokens, completion_tokens : sent and received.
        base_url : address of the endpoint; empty: rows of any host count.

        Returns
        -------
        US dollars. 0 for an endpoint on this machine (unless a row names it); None if unknown.
        """
        row = self.find(model, base_url)
        if row is None:
            return 0.0 if is_loopback(base_url) else None
        if mode == "batch" and row.batch_discount is None:
            return None
        share = 1.0 - (row.batch_discount or 0.0) if mode == "batch" else 1.0
        return share * (prompt_tokens * row.prompt + completion_tokens * row.completion) / MILLION

    def worst_case(
        self, body: dict[str, Any], mode: Mode, *, size: int, base_url: str = ""
    ) -> float | None:
        """Return the most that a request can cost: US dollars, or None if unknown.

        Parameters
        ----------
        body : the request, with ``model`` and its ``max_tokens`` or ``max_completion_tokens``.
        mode, base_url : see `price`.
        size : bytes of the body as JSON. A token of the byte-level tokenizers that endpoints use
            stands for at least one byte, so that no prompt has more tokens than bytes.
        """
        longest = body.get("max_completion_tokens") or body.get("max_tokens")
        if longest is None:
            return 0.0 if self.price(body["model"], mode, 1, 1, base_url=base_url) == 0 else None
        answers = body.get("n") or 1
        return self.price(body["model"], mode, size, answers * longest, base_url=base_url)


def load_prices(path: Path = PRICES) -> Prices:
    """Read and check the price table.

    Raises
    ------
    PriceError
        If the file is missing or wrong, or a model stands in two rows of a host.
    """
    try:
        prices = Prices.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise PriceError(f"{path}: cannot be read: {error}") from None
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise PriceError(
            f"{path.name} is wrong (prices.<row, counted from 0>.<key>):\n"
            + "\n".join(lines)
            + "\nEach row needs models, hosts, prompt, completion, as_of and source."
        ) from None
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(prices.prices):
        names = {(model, host) for model in row.models for host in row.hosts}
        if double := names & seen:
            model, host = min(double)
            raise PriceError(
                f"{path.name}, prices.{number}: '{model}' at {host} stands in an earlier row "
                "already. Keep one of the two."
            )
        seen |= names
    return prices


def _host(base_url: str) -> str:
    return (urlsplit(base_url).hostname or "").lower()


def _match(name: str, model: str) -> float:
    """Length of the match of a table's name, -1 without one; an exact name beats any prefix."""
    if name == model:
        return math.inf
    if name.endswith("*") and model.startswith(name[:-1]):
        return len(name) - 1
    return -1
