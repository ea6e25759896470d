"""What a page is made of. Sections are lists of these; the template knows how each one looks.

All text is plain: the template escapes it. Only `Excerpt` holds HTML, which was sanitised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple


class Link(NamedTuple):
    """A relative address of a file of the run, and what it is called."""

    href: str
    label: str


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Points:
    """A list of short statements."""

    items: Sequence[str]
    kind: ClassVar[str] = "points"


@dataclass(frozen=True)
class Title:
    """A heading inside a section; `anchor` is unique on the page."""

    text: str
    anchor: str
    kind: ClassVar[str] = "title"


@dataclass(frozen=True)
class Missing:
    """What is not there, and why."""

    text: str
    kind: ClassVar[str] = "missing"


@dataclass(frozen=True)
class Picture:
    """An embedded figure.

    Attributes
    ----------
    source : data URI.
    width, height : natural size in CSS pixels.
    alt : what the figure shows, for those who do not see it.
    caption : what to see in it.
    file : relative address of the image file.
    links : notebook section, table.
    """

    source: str
    width: int
    height: int
    alt: str
    caption: str
    file: str
    links: Sequence[Link] = ()
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes
    ----------
    caption : what it holds.
    head : column names; the first column names the row.
    rows : cells, as text.
    words : places of columns that hold words (set left); the others hold numbers.
    links : the CSV, the notebook section.
    folded : shown only after a click.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = (0,)
    links: Sequence[Link] = ()
    folded: bool = False
    addresses: Sequence[str] = ()
    kind: ClassVar[str] = "sheet"


@dataclass(frozen=True)
class Excerpt:
    """A part of an executed notebook as sanitised HTML."""

    summary: str
    html: str
    links: Sequence[Link] = ()
    kind: ClassVar[str] = "excerpt"


@dataclass(frozen=True)
class Source:
    """Text that is shown as it is (settings), folded."""

    summary: str
    text: str
    kind: ClassVar[str] = "source"


Block = Words | Points | Title | Missing | Picture | Sheet | Excerpt | Source


@dataclass
class Section:
    """A section of the page.

    Attributes
    ----------
    anchor, title : address and heading.
    blocks : what it holds; without any it is listed among what is not in this run.
    highlights : sentences for the top of the page.
    why : why it is empty, if it is.
    """

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    highlights: list[str] = field(default_factory=list)
    why: str = ""


class Card(NamedTuple):
    """One task's main number at the top of the page."""

    title: str
    value: str
    interval: str
    what: str
    beside: Sequence[str]
    href: str
