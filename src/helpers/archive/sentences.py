"""An index of texts that must not be passed on, and a search for any piece of them.

A piece counts if it has `RUN` consecutive words of a text, or is a whole sentence or a whole text
of `SHORTEST` words or more. Words are compared without case, punctuation and markup. Set phrases
that also stand in texts which may be shown (`formulas`) do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

RUN = 12
SHORTEST = 7
WORD = re.compile(r"[^\W_]+")
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
LONG_CELL = 5
"""Mean words of a column's cells from which it is taken for texts."""
BASE = np.uint64(0x9E3779B97F4A7C15)


class TextIndex:
    """Hashes of all runs of words of texts.

    Parameters
    ----------
    texts : what must not be found.
    formulas : texts that may be shown; runs that stand in them too do not count.
    """

    def __init__(self, texts: Iterable[str], formulas: Iterable[str] = ()) -> None:
        self._numbers: dict[str, int] = {}
        found: dict[int, list[np.ndarray]] = {n: [] for n in range(SHORTEST, RUN + 1)}
        for text in texts:
            for part in {text, *SENTENCE.split(text)}:
                numbers = np.array([self._number(w) for w in _words(part)], dtype=np.uint64)
                length = min(len(numbers), RUN)
                if length >= SHORTEST:
                    found[length].append(_hashes(numbers, length))
        allowed = [self._known(_words(text)) for text in formulas]
        self._hashes: dict[int, np.ndarray] = {}
        for length, parts in found.items():
            if parts:
                hashes = np.unique(np.concatenate(parts))
                shown = [_hashes(numbers, length) for numbers in allowed]
                self._hashes[length] = (
                    np.setdiff1d(hashes, np.concatenate(shown)) if shown else hashes
                )

    def __len__(self) -> int:
        return sum(map(len, self._hashes.values()))

    def search(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield place and description of each piece found, the first of neighbouring ones."""
        matches = list(WORD.finditer(text))
        numbers = self._known([match[0].casefold() for match in matches])
        places: set[int] = set()
        for length, hashes in self._hashes.items():
            if len(numbers) >= length and len(hashes):
                # A word that no text has is number 0: no run with it can be one of theirs.
                gaps = np.concatenate([[0], np.cumsum(numbers == 0)])
                whole = gaps[length:] == gaps[:-length]
                spots = np.flatnonzero(whole)
                wanted = _hashes(numbers, length)[spots]
                at = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
                places.update(spots[hashes[at] == wanted].tolist())
        last = -RUN
        for place in sorted(places):
            if place > last + RUN:
                start = matches[place].start()
                yield (
                    start,
                    f"words of a text that may not be passed on, from '{matches[place][0]}'",
                )
            last = place

    def _number(self, word: str) -> int:
        return self._numbers.setdefault(word, len(self._numbers) + 1)

    def _known(self, words: list[str]) -> np.ndarray:
        return np.array([self._numbers.get(word, 0) for word in words], dtype=np.uint64)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in WORD.findall(text)]


def _hashes(numbers: np.ndarray, length: int) -> np.ndarray:
    """Return a hash of each run of so many numbers (polynomial, modulo 2^64)."""
    if len(numbers) < length:
        return np.empty(0, dtype=np.uint64)
    with np.errstate(over="ignore"):
        total = np.zeros(len(numbers) - length + 1, dtype=np.uint64)
        for offset in range(length):
            total = total * BASE + numbers[offset : len(numbers) - length + 1 + offset]
            total ^= total >> np.uint64(29)
    return total


def texts_of_folder(folder: Path) -> list[str]:
    """Return the texts in a folder's tables: columns with five words a cell or more.

    Codebooks are left out: definitions of codes are facts that the package cites.
    """
    texts: list[str] = []
    for path in sorted(folder.rglob("*")):
        if "codebook" in path.name or path.suffix not in (".csv", ".xlsx", ".parquet", ".jsonl"):
            continue
        frame = _table(path)
        for name in frame.columns:
            cells = frame[name].dropna().astype(str)
            cells = cells[~cells.str.startswith(("{", "["))]
            if len(cells) and cells.head(500).str.count(r"\s+").mean() >= LONG_CELL - 1:
                texts += cells.unique().tolist()
    return texts


def _table(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".jsonl":
        return pd.read_json(path, lines=True, dtype=False)
    if path.suffix == ".xlsx":
        return pd.read_excel(path, dtype=str)
    head = pd.read_csv(path, nrows=200, dtype=str, on_bad_lines="skip")
    if not len(head) or all(_words_a_cell(head[name]) < LONG_CELL for name in head.columns):
        return head.head(0)  # numbers and names: not worth reading
    return pd.read_csv(path, dtype=str, on_bad_lines="skip")


def _words_a_cell(cells: pd.Series) -> float:
    return float(cells.dropna().astype(str).str.split().str.len().mean() or 0)
