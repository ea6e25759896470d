"""The text of any file of an archive, with line numbers, also of Parquet and gzipped files."""

from __future__ import annotations

import gzip
import html
import re
from pathlib import Path

# Pictures inside notebooks and pages: long, and no text.
PICTURE = re.compile(
    r"(?:data:image/[\w.+-]+;base64,|\"image/(?:png|jpeg)\": \")[A-Za-z0-9+/=\\n]{40,}"
)
TAG = re.compile(r"<[^<>\n]{1,200}>")
MARKUP = (".html", ".ipynb", ".svg", ".md")


def text_of(path: Path) -> str | None:
    """Return a file's text, pictures in it removed; None if it has none (an image, say).

    A Parquet file gives one line a row, after a line with the names of its columns.
    """
    if path.suffix == ".parquet":
        return _parquet(path)
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if b"\0" in content[:8192]:
        return None
    return PICTURE.sub("", content.decode("utf-8", errors="replace"))


def _parquet(path: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = [
        table[name].to_pylist()
        for name in table.column_names
        if pa.types.is_string(table.schema.field(name).type)
        or pa.types.is_large_string(table.schema.field(name).type)
    ]
    rows = (" ".join(str(v) for v in row if v is not None) for row in zip(*columns, strict=True))
    metadata = table.schema.metadata or {}
    first = " ".join(
        [*table.column_names, *(v.decode(errors="replace") for v in metadata.values())]
    )
    return "\n".join([first.replace("\n", " "), *(row.replace("\n", " ") for row in rows)])


def readable(text: str, suffix: str) -> str:
    """Return a text as a person would see it: no tags, entities or escapes; lines are kept."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    text = re.sub(r"\\[nrt]", " ", text)
    if suffix in MARKUP:
        text = TAG.sub(" ", text)
    # Twice: some texts hold &amp; themselves, which HTML output escapes once more.
    return html.unescape(html.unescape(text))
