"""What labelling may cost: a hard budget, and consent before money is spent.

Prices come from `helpers.labelling.prices`; estimates and actual costs, as tables, from
`helpers.labelling.cost_tables`.
"""

from __future__ import annotations

import math
import os
import sys
import threading

from helpers.labelling.prices import Price, PriceError, Prices, load_prices
from helpers.plans import HelpersError

__all__ = [
    "Budget",
    "BudgetReached",
    "CostNotConfirmed",
    "Price",
    "PriceError",
    "Prices",
    "confirm",
    "dollars",
    "load_prices",
]

AGREED = "AGREED_COST"
UNKNOWN = "unknown"


class CostNotConfirmed(HelpersError):
    """Nobody agreed to the estimated cost."""


class BudgetReached(HelpersError):
    """The next request could bring the total above the budget.

    Attributes
    ----------
    in_flight : US dollars reserved by requests still running; where this is not 0, some of it
        becomes free when they end.
    """

    def __init__(self, message: str, in_flight: float = 0.0) -> None:
        super().__init__(message)
        self.in_flight = in_flight


class Budget:
    """A limit on the sum of all costs that holds for several threads at once.

    Each request first reserves the most that it can cost, then settles for what it did cost.
    What was spent plus what is reserved never exceeds the limit.

    Parameters
    ----------
    limit_usd : US dollars (None: no limit).
    spent : US dollars spent before, e.g. `ResponseStore.spent`.
    """

    def __init__(self, limit_usd: float | None, spent: float = 0.0) -> None:
        self.limit = limit_usd
        self._spent = spent
        self._reserved = 0.0
        self._lock = threading.Lock()

    @property
    def spent(self) -> float:
        """US dollars settled so far, with what was spent before."""
        return self._spent

    @property
    def left(self) -> float:
        """US dollars neither spent nor reserved (infinite without a limit)."""
        with self._lock:
            return math.inf if self.limit is None else self.limit - self._spent - self._reserved

    def reserve(self, amount: float | None, *, force: bool = False) -> float:
        """Set US dollars aside for a request, and return them (to be given to `settle`).

        Parameters
        ----------
        amount : the most that the request can cost; None: unknown.
        force : the request runs already (a batch sent earlier): it counts, but is not refused.

        Raises
        ------
        BudgetReached
            If the limit could be passed. Nothing was reserved then.
        PriceError
            If the cost is unknown and there is a limit to keep.
        """
        if amount is None:
            if self.limit is not None and not force:
                raise PriceError(
                    "labelling.budget_usd cannot be kept: the price of this model is unknown. Add "
                    "a row for the model and its host to config/prices.yaml (0 for a server of "
                    "your own), or set labelling.budget_usd to null. Nothing was sent."
                )
            return 0.0
        with self._lock:
            total = self._spent + self._reserved + amount
            if self.limit is not None and total > self.limit and not force:
                raise BudgetReached(self._message(amount), self._reserved)
            self._reserved += amount
        return amount

    def settle(self, reserved: float, actual: float | None) -> None:
        """Turn a reservation into what the request cost (None: unknown, counted as nothing)."""
        with self._lock:
            self._reserved = max(0.0, self._reserved - reserved)
            self._spent += actual or 0.0

    def _message(self, amount: float) -> str:
        running = f" and {dollars(self._reserved)} reserved" if self._reserved else ""
        return (
            f"budget reached: {dollars(self._spent)} of {dollars(self.limit or 0.0)} spent"
            f"{running}; the next request could cost up to {dollars(amount)}. All answers so far "
            "are kept. Raise labelling.budget_usd and run again: nothing is asked twice."
        )


def confirm(estimated_usd: float) -> None:
    """Ask for consent to an estimated cost.

    Parameters
    ----------
    estimated_usd : US dollars; NaN: unknown, which needs an explicit agreement of its own.

    Raises
    ------
    CostNotConfirmed
        Unless the estimate is 0, or the environment variable ``AGREED_COST`` is at least the
        estimate (``unknown`` agrees to an unknown cost, and to no other), or a person at a
        terminal or in a notebook types yes.
    """
    if estimated_usd == 0 or _agreed(estimated_usd):
        return
    unknown = math.isnan(estimated_usd)
    if unknown:
        what = "an UNKNOWN cost (no price in config/prices.yaml for one of the models)"
        remedy = f"add the price to config/prices.yaml, or set {AGREED}={UNKNOWN}"
    else:
        what = f"an estimated {dollars(estimated_usd)}"
        remedy = f"set {AGREED}={math.ceil(estimated_usd * 100) / 100:.2f} (US dollars)"
    if _is_interactive():
        wanted = f"yes, {UNKNOWN}" if unknown else "yes"
        if input(f"This will spend {what}. Type '{wanted}' to go on: ").strip().lower() == wanted:
            return
    raise CostNotConfirmed(
        f"This run would spend {what}, and nobody agreed to it. To agree, {remedy} in the "
        "environment and run again. Nothing was sent."
    )


def dollars(amount: float) -> str:
    """Write US dollars with cents, small amounts with two digits that count: ``$0.0012``."""
    if 0 < abs(amount) < 0.1:
        return f"${amount:.{1 - math.floor(math.log10(abs(amount)))}f}"
    return f"${amount:,.2f}"


def _agreed(estimated_usd: float) -> bool:
    agreed = os.environ.get(AGREED, "").strip().lower()
    if agreed in ("", UNKNOWN):
        return agreed == UNKNOWN and math.isnan(estimated_usd)
    try:
        limit = float(agreed.lstrip("$"))
    except ValueError:
        raise CostNotConfirmed(
            f"{AGREED}='{agreed}' is not a number of US dollars, nor '{UNKNOWN}'."
        ) from None
    return limit >= estimated_usd  # never true for NaN


def _is_interactive() -> bool:
    """Say whether a person can answer: a terminal, or a notebook front end that takes input."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if (kernel := getattr(shell, "kernel", None)) is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()
