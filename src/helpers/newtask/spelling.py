"""Spellings of labels: which are one label, and which only look alike."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from helpers.newtask.columns import number


def spellings(texts: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Map each spelling of a label to the most frequent one that differs in nothing that counts.

    Spaces, case, Unicode forms, and ``1`` against ``1.0`` do not count.
    """
    count = Counter(texts)
    forms: dict[str, Counter[str]] = {}
    for text, n in count.items():
        forms.setdefault(_key(text), Counter())[text] += n
    chosen: dict[str, str] = {}
    for variants in forms.values():
        best = max(variants, key=lambda v: (variants[v], v.strip() == v, v[:1].isupper(), v))
        value = number(best)
        whole = value is not None and value.is_integer()
        name = str(int(value or 0)) if whole else " ".join(best.split())
        chosen |= dict.fromkeys(variants, name)
    notes = []
    several = {v for variants in forms.values() if len(variants) > 1 for v in variants}
    if several:
        rows = sum(count[v] for v in several if v != chosen[v])
        shown = [
            " = ".join(repr(v) for v in variants)
            for variants in forms.values()
            if len(variants) > 1
        ]
        more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
        notes.append(
            f"{len(shown)} label(s) are spelt in several ways (spaces, case, 1 and 1.0); they were "
            f"put together, which changes {rows} row(s): {'; '.join(shown[:5])}{more}"
        )
    return chosen, notes


def _key(text: str) -> str:
    value = number(text)
    if value is not None and value.is_integer():
        return repr(value)  # but 1.1 and 1.10 may be two codes
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def merged(spelling: dict[str, str]) -> dict[str, str]:
    """Return the spellings that became another one."""
    return {v: name for v, name in sorted(spelling.items()) if v != name}


def similar(count: Counter[str]) -> list[str]:
    """Say which labels differ by a letter or so: typing errors are for the user to decide."""
    names = [name for name in count if len(name) > 4 and number(name) is None]
    pairs = []
    for name in names:
        for other in difflib.get_close_matches(name, names, n=3, cutoff=0.9):
            rarer = count[name] < count[other] or (count[name] == count[other] and name > other)
            if other != name and rarer and not _other_number(name, other):
                pairs.append(f"'{name}' ({count[name]}) and '{other}' ({count[other]})")
    if not pairs:
        return []
    more = f"; and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return [
        f"labels that differ by a letter or so were NOT put together: {'; '.join(pairs[:5])}{more}"
        ". If they are one label, correct the file"
    ]


def _other_number(name: str, other: str) -> bool:
    return re.findall(r"\d+", name) != re.findall(r"\d+", other)
