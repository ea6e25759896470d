"""Executed notebooks: where in them a figure or table was made, and their takeaways."""

from __future__ import annotations

import html
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from helpers.report.blocks import Link

_HEADING = re.compile(r'<h[1-6] id="([^"]*)"[^>]*>(.*?)(?:<a class="anchor-link"|</h)', re.S)
_MARK = re.compile(r"^#{1,4} +(.+?) *$", re.M)
# A literal in the code, up to its end or to the first field of an f-string.
_LITERAL = re.compile(r"""["']([A-Za-z0-9_-]{4,})(["'{])""")
TAGS = ["p", "ul", "ol", "li", "em", "strong", "code"]


class Cell(NamedTuple):
    """A code cell: the heading above it, and the literals in it with what ends them."""

    heading: str
    literals: list[tuple[str, str]]


class Notebook:
    """One executed chapter; a damaged or absent one has no sections and no takeaways.

    Parameters
    ----------
    root : folder of the run.
    name : of the chapter.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.number = name.split("_")[0].lstrip("0")
        self.page = root / "notebooks" / f"{name}.html"
        self.source = root / "notebooks" / f"{name}.ipynb"

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """Cells of the notebook, with their source as one string."""
        try:
            content = json.loads(self.source.read_text(encoding="utf-8"))
            cells = content["cells"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [
            {"type": cell.get("cell_type"), "source": "".join(cell.get("source", ""))}
            for cell in cells
            if isinstance(cell, dict)
        ]

    @cached_property
    def _anchors(self) -> dict[str, str]:
        if not self.page.is_file():
            return {}
        text = self.page.read_text(encoding="utf-8", errors="replace")
        found: dict[str, str] = {}
        for anchor, heading in _HEADING.findall(text):
            found.setdefault(_plain(heading), html.unescape(anchor))
        return found

    @cached_property
    def _made(self) -> list[Cell]:
        heading, made = "", []
        for cell in self.cells:
            if cell["type"] == "markdown":
                heading = (_MARK.findall(cell["source"]) or [heading])[-1]
            elif cell["type"] == "code":
                made.append(Cell(heading, _LITERAL.findall(cell["source"])))
        return made

    def link(self, made: str = "") -> Link | None:
        """Return the address of the chapter's page, at the section that made a figure or table.

        Parameters
        ----------
        made : name of a figure or table without suffix; the top of the page without it.
        """
        if not self.page.is_file():
            return None
        href = f"notebooks/{quote(self.page.name)}"
        heading = self._heading(made) if made else ""
        if anchor := self._anchors.get(_plain(heading)):
            href += f"#{quote(anchor, safe='%-_.~?')}"
        return Link(href, f"notebook {self.number}" + (f": {heading}" if anchor else ""))

    def _heading(self, made: str) -> str:
        best, heading = 0, ""
        for cell in self._made:
            for literal, end in cell.literals:
                fits = made.startswith(literal) if end == "{" else made == literal
                if fits and len(literal) > best:
                    best, heading = len(literal), cell.heading
        return heading

    @cached_property
    def takeaways(self) -> str:
        """The section "Takeaways" as sanitised HTML; empty if there is none."""
        for cell in self.cells:
            if cell["type"] != "markdown":
                continue
            parts = re.split(r"^## +Takeaways *$", cell["source"], maxsplit=1, flags=re.M)
            if len(parts) == 2:
                return _sanitised(re.split(r"^## ", parts[1], maxsplit=1, flags=re.M)[0])
        return ""


def _plain(heading: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>|[`*_]", "", heading)).split())


def _sanitised(markdown: str) -> str:
    from nbconvert.filters import markdown2html
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    cleaner = SanitizeHTML(tags=TAGS, attributes={}, strip=True)
    return str(cleaner.sanitize_html_tags(markdown2html(markdown))).strip()
