"""What claims of the article are judged by, and what all rules for it share.

A verdict is one of `VERDICTS` and follows from numbers: with more files of the archive the same
rules see more and may say something else. The docstring of each rule (`claim_models`,
`claim_cases`, `claim_measures`) states it. What they share:

- Rows on the training posts of models that were trained on them (in-sample) never decide.
- Published values without the texts behind them have no interval of their own. The mean m of n
  values between 0 and 1 has a variance of at most m(1-m)/n, and differences are taken as if their
  texts were independent: the intervals shown for them are too wide rather than too short. Such
  a value can support a claim only with a caveat.
- "As good as" means: the lower limit of the difference is above minus `MARGIN`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

HOLDS, CAVEAT = "holds", "holds with a caveat"
FAILS, UNKNOWN = "does not hold", "can't be judged from the archive"
VERDICTS = (HOLDS, CAVEAT, FAILS, UNKNOWN)
MARGIN = 0.02  # on a scale of 0 to 1
SMALL = 13  # billion parameters; larger models are not called small
CHATGPT4 = "classified-chatgpt4"
TEST_TRUTH = "flourishing/verified.csv"
TRAINING_TRUTH = "flourishing/all-llms-codings.csv"


class Finding(NamedTuple):
    """Verdict on a claim, the figure that decides it, and what a better verdict would need."""

    verdict: str
    figure: str
    needs: str


@dataclass(frozen=True)
class Evidence:
    """The tables that claims are judged by; any may be missing.

    Attributes
    ----------
    published : `published_flourishing`.
    summary : the same statistics recomputed as published (fname, split, accI), splits at hand.
    headlines : `published_headlines`.
    scores, paired, per_dimension : `corrected_scores`, `corrected_paired` and
        `corrected_per_dimension` of all splits at hand, under each other.
    printed : per-dimension statistics as printed, columns fname, split, dimension, prec, balAcc.
    cap : metric, value, ci_low, ci_high, n (shares) of the fine-tuned model's test texts, e.g. from
        `cap_corrected`.
    dataverse, decomposition, bounds : `dataverse_models`, `dataverse_decomposition` and
        `dataverse_sensitivity`.
    agreement : value, ci_low, ci_high, n: share of overlapping items whose coders agree.
    codings : coders' decisions on the training posts (`Archive.codings`), for who proposed.
    missed : value, ci_low, ci_high, n: share of the true labels that no model proposed, from a
        blind audit of posts drawn at random; the archive has none.
    guessed : fname of models whose size was never disclosed.
    """

    published: pd.DataFrame | None = None
    headlines: pd.DataFrame | None = None
    summary: pd.DataFrame | None = None
    scores: pd.DataFrame | None = None
    paired: pd.DataFrame | None = None
    per_dimension: pd.DataFrame | None = None
    printed: pd.DataFrame | None = None
    cap: pd.DataFrame | None = None
    dataverse: pd.DataFrame | None = None
    decomposition: pd.DataFrame | None = None
    bounds: pd.DataFrame | None = None
    agreement: Mapping[str, float] | None = None
    codings: pd.DataFrame | None = None
    missed: Mapping[str, float] | None = None
    guessed: frozenset[str] = frozenset()


class Limits(NamedTuple):
    """A figure with its interval."""

    value: float
    low: float
    high: float

    def text(self, sign: str = "") -> str:
        """Write it with three decimals."""
        return f"{self.value:{sign}.3f} [{self.low:{sign}.3f}, {self.high:{sign}.3f}]"


Rule = Callable[[Evidence], Finding]


def of_row(row: Mapping[str, float], name: str = "value", prefix: str = "ci") -> Limits:
    """Read value and limits from a row of a table."""
    return Limits(*(float(row[key]) for key in (name, f"{prefix}_low", f"{prefix}_high")))


def published_difference(a: tuple[float, float], b: tuple[float, float]) -> Limits:
    """Return a - b of two published means (value, number of texts), with a wide interval."""
    difference = a[0] - b[0]
    half = 1.96 * np.sqrt(sum(m * (1 - m) / n for m, n in (a, b)))
    return Limits(difference, float(difference - half), float(difference + half))


def unknown(needs: str) -> Finding:
    """Return the finding where a table is missing."""
    return Finding(UNKNOWN, "", needs)


def pick(table: pd.DataFrame | None, **keys: object) -> pd.DataFrame:
    """Return the rows with these values; none without a table."""
    if table is None:
        return pd.DataFrame()
    for name, wanted in keys.items():
        table = table[table[name] == wanted]
    return table


def worst(verdicts: list[str]) -> str:
    """Return the least favourable verdict."""
    order = [HOLDS, CAVEAT, UNKNOWN, FAILS]
    return max(verdicts, key=order.index)
