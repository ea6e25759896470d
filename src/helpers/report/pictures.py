"""Figures as data URIs: the smaller of a slimmed SVG and the PNG."""

from __future__ import annotations

import base64
import re
import struct
from pathlib import Path
from typing import NamedTuple

POINT = 96 / 72  # CSS pixels
DPI = 200  # of saved PNGs (`helpers.figures.style`)
_DROPPED = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", re.S)
_DATA = re.compile(r'(?<= d=")[^"]*')
_LONG = re.compile(r"-?\d+\.\d{3,}")
_WIDTH, _HEIGHT = (re.compile(rf'\s{side}="([\d.]+)pt"') for side in ("width", "height"))


class Embedded(NamedTuple):
    """A data URI, and the natural size of the image in CSS pixels."""

    uri: str
    width: int
    height: int


def slim(svg: str) -> str:
    """Leave out of an SVG what nobody sees: metadata, blanks, the fourth decimal of a point."""
    svg = _DROPPED.sub("", svg)
    svg = _DATA.sub(lambda path: _LONG.sub(_shorter, path.group().replace("\n", " ")), svg)
    return re.sub(r">\s+<", "><", svg).strip()


def _shorter(number: re.Match[str]) -> str:
    return f"{float(number.group()):.2f}".rstrip("0").rstrip(".")


def embed(folder: Path, stem: str) -> Embedded | None:
    """Return a saved figure as a data URI; None if neither form is there or readable."""
    forms = [form for form in (_svg(folder, stem), _png(folder, stem)) if form]
    return min(forms, key=lambda form: len(form.uri)) if forms else None


def _svg(folder: Path, stem: str) -> Embedded | None:
    path = folder / f"{stem}.svg"
    if not path.is_file():
        return None
    text = slim(path.read_text(encoding="utf-8", errors="replace"))
    start = text[: text.find(">")]
    width, height = _WIDTH.search(start), _HEIGHT.search(start)
    if not width or not height:
        return None
    code = base64.b64encode(text.encode()).decode()
    uri = f"data:image/svg+xml;base64,{code}"
    return Embedded(uri, round(float(width[1]) * POINT), round(float(height[1]) * POINT))


def _png(folder: Path, stem: str) -> Embedded | None:
    path = folder / f"{stem}.png"
    content = path.read_bytes() if path.is_file() else b""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    code = base64.b64encode(content).decode()
    uri = f"data:image/png;base64,{code}"
    return Embedded(uri, max(1, round(width * 96 / DPI)), max(1, round(height * 96 / DPI)))
