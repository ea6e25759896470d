"""Showing texts, and making sure that those which must not be shown are not."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

NOT_SHOWN = "(not shown: this data set has show_texts: false)"
WINDOW = 40


def show_texts(frame: pd.DataFrame, allowed: bool, n: int = 5, seed: int = 0) -> pd.DataFrame:
    """Return a random sample of texts for display, or only ids and lengths.

    Parameters
    ----------
    frame : texts frame.
    allowed : what the task's YAML says for this source (`texts_allowed`).
    n : number of rows; all if there are fewer.

    Returns
    -------
    frame (id, words, text, labels). Where `allowed` is False, text holds a note instead.
    """
    chosen = frame.sort_values("id").sample(min(n, len(frame)), random_state=seed).sort_values("id")
    texts = chosen["text"]
    return pd.DataFrame(
        {
            "id": chosen["id"].to_numpy(),
            "words": texts.str.split().str.len().to_numpy(),
            "text": texts.to_numpy() if allowed else NOT_SHOWN,
            "labels": chosen["labels"].to_numpy(),
        }
    )


def readable(table: pd.DataFrame) -> Any:
    """Return a table of texts as a pandas Styler: left-aligned, with line breaks, no index."""
    return table.style.hide(axis="index").set_properties(
        **{"text-align": "left", "white-space": "pre-wrap", "vertical-align": "top"}
    )


def find_sentences(
    paths: Path | Iterable[Path],
    frame: pd.DataFrame,
    window: int = WINDOW,
    formulas: Iterable[str] = (),
) -> pd.DataFrame:
    """Search notebooks and text files for pieces of texts that must not be there.

    Sources and all textual outputs are searched, HTML-escaped or not. White space, markup,
    escapes and case are ignored. Pictures cannot be searched.

    Parameters
    ----------
    paths : executed notebooks (``.ipynb``), or any text files.
    frame : the texts (columns id, text).
    window : smallest number of consecutive characters that counts (after normalisation); a
        shorter text counts when all of it is found, from 25 characters on.
    formulas : texts that may be shown; a piece that stands in one of them too does not count
        (questions share names of institutions and set phrases of up to about 60 characters).

    Returns
    -------
    frame (place, id), one row for each text found; the text itself is not repeated.
    """
    texts = {str(i): _normal(t) for i, t in zip(frame["id"], frame["text"], strict=True)}
    blocks = _blocks(texts, window // 2)
    shared = "\n".join(map(_normal, formulas))
    found: dict[tuple[str, str], None] = {}
    for path in [paths] if isinstance(paths, Path) else paths:
        for place, content in _places(path):
            for variant in _variants(content):
                for key, piece in _matches(variant, texts, blocks, window):
                    if piece.strip() not in shared:
                        found[place, key] = None
    return pd.DataFrame(list(found), columns=["place", "id"])


def _normal(text: str) -> str:
    # Twice: some texts hold &amp; themselves, which HTML output escapes once more.
    return " ".join(html.unescape(html.unescape(text)).casefold().split())


def _variants(content: str) -> set[str]:
    """Return the ways to read an output: with and without markup and escapes."""
    # repr() and JSON write \\n, \\" and \\uXXXX for characters of the text.
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), content)
    plain = re.sub(r"\\[nrt]", " ", plain).replace('\\"', '"').replace("\\'", "'")
    # Tags go before &lt; is resolved, so that only real markup is taken for it.
    without_tags = [re.sub(r"<[^<>]{1,200}>", " ", text) for text in (content, plain)]
    return {_normal(text) for text in (content, plain, *without_tags)}


def _blocks(texts: dict[str, str], size: int) -> dict[str, list[tuple[str, int]]]:
    # Any window of 2 * size characters of a text holds one of its blocks that start at a
    # multiple of size: only these need to be looked up.
    blocks: dict[str, list[tuple[str, int]]] = {}
    for key, text in texts.items():
        for start in range(0, len(text) - size + 1, size):
            blocks.setdefault(text[start : start + size], []).append((key, start))
    return blocks


def _matches(
    content: str, texts: dict[str, str], blocks: dict[str, list[tuple[str, int]]], window: int
) -> Iterator[tuple[str, str]]:
    """Yield the key of each text that shares enough with the content, and the shared piece."""
    size = window // 2
    for at in range(len(content) - size + 1):
        for key, start in blocks.get(content[at : at + size], ()):
            piece = _common(content, at, texts[key], start)
            if len(piece) >= max(25, min(window, len(texts[key]))):
                yield key, piece


def _common(content: str, at: int, text: str, start: int) -> str:
    """Return the longest common stretch around content[at] and text[start]."""
    left = 0
    while left < min(at, start) and content[at - left - 1] == text[start - left - 1]:
        left += 1
    right = 0
    end = min(len(content) - at, len(text) - start)
    while right < end and content[at + right] == text[start + right]:
        right += 1
    return content[at - left : at + right]


def _places(path: Path) -> Iterator[tuple[str, str]]:
    content = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".ipynb":
        yield path.name, content
        return
    for number, cell in enumerate(json.loads(content)["cells"], start=1):
        yield f"{path.name}, cell {number}, source", "".join(cell["source"])
        for output in cell.get("outputs", []):
            for text in _strings(output):
                yield f"{path.name}, cell {number}, output", text


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        if node and all(isinstance(item, str) for item in node):
            yield "".join(node)
        else:
            for item in node:
                yield from _strings(item)
    elif isinstance(node, dict):
        for kind, item in node.items():
            if not kind.startswith("image/") or kind == "image/svg+xml":
                yield from _strings(item)
