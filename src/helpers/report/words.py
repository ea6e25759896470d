"""Numbers as words: one form of each kind of number on the whole page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

NONE, MINUS, TIED = "–", "−", "\u00a0"  # a blank at which no line ends
LABELS = {
    "gold": "gold labels",
    "verified": "crowd labels, verified by coders",
    "majority": "the crowd's majority, unreviewed",
    "gold-same": "gold labels of the verified texts",
    "majority-same": "the crowd's majority, same texts as verified",
}
"""What models learn from, as `helpers.plans.LabelSource` names it."""


def decimal(value: Any, digits: int = 3, sign: bool = False) -> str:
    """Return a number with fixed decimals, a dash where there is none."""
    if pd.isna(value):
        return NONE
    if not np.isfinite(value):
        return "unbounded"
    if abs(value) < 0.5 * 10**-digits:  # no sign where nothing is left of it
        return f"{0:.{digits}f}"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", MINUS)


def interval(value: Any, low: Any, high: Any, digits: int = 3, sign: bool = False) -> str:
    """Return ``0.676 [0.625, 0.727]``; without limits the number alone."""
    if pd.isna(value) or pd.isna(low) or pd.isna(high):
        return decimal(value, digits, sign)
    return f"{decimal(value, digits, sign)} {limits(low, high, digits, sign)}"


def limits(low: Any, high: Any, digits: int = 3, sign: bool = False) -> str:
    """Return ``[0.625, 0.727]``."""
    return f"[{decimal(low, digits, sign)},{TIED}{decimal(high, digits, sign)}]"


def scored(row: Any) -> str:
    """Return value and limits of a row with value, ci_low and ci_high."""
    return interval(row.value, row.ci_low, row.ci_high)


def percent(value: Any, digits: int = 1) -> str:
    """Return a share in percent."""
    return NONE if pd.isna(value) else f"{decimal(100 * value, digits)}%"


def percent_interval(value: Any, low: Any, high: Any) -> str:
    """Return ``31.8% [30.1%, 33.5%]``; without limits the share alone."""
    if pd.isna(value) or pd.isna(low) or pd.isna(high):
        return percent(value)
    return f"{percent(value)} [{percent(low)},{TIED}{percent(high)}]"


def count(value: Any, one: str = "", many: str = "") -> str:
    """Return a whole number with separators, and the noun that fits it."""
    if pd.isna(value):
        return NONE
    if not np.isfinite(value):
        return "unbounded"
    number = round(float(value))
    noun = one if number == 1 else many or f"{one}s"
    return f"{number:,}{TIED}{noun}" if one else f"{number:,}"


def p_value(value: Any) -> str:
    """Return ``p = 0.012`` or ``p < 0.001``."""
    if pd.isna(value):
        return "p unknown"
    return f"p{TIED}<{TIED}0.001" if value < 0.001 else f"p{TIED}={TIED}{value:.2g}"


def duration(seconds: Any) -> str:
    """Return seconds in words: ``1 h 5 min``, ``5 min 14 s``, ``9.7 s``."""
    if pd.isna(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 20 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def memory(mib: Any) -> str:
    """Return MiB in GiB."""
    return NONE if pd.isna(mib) else f"{mib / 1024:.1f} GiB"


def joined(items: Iterable[str], last: str = "and") -> str:
    """Return ``a, b and c``."""
    found = list(items)
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} {last} {found[-1]}"


def of_labels(source: str) -> str:
    """Name the labels that a model learnt from."""
    kind, _, share = source.partition("-")
    if kind == "noise" and share.isdigit():
        return f"gold labels, {share}% replaced at random"
    return LABELS.get(source, source)
