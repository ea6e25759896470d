"""The encoding of a text file, found out from its bytes."""

from __future__ import annotations

import re

from helpers.newtask.errors import NewTaskError

SHOWN = 5
WESTERN = re.compile(
    r"[äöüßéèêëàâáãåçñíìîïóòôõøúùûœæýÿÄÖÜÉÈÀÂÁÃÅÇÑÍÓÔÕØÚŒÆ€„“”‚‘’«»–—…°§·•´£¿¡º ª]"
)
OTHERS = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r"),
    *("shift_jis", "gb18030", "big5", "euc_kr"),
)


def decode(raw: bytes, encoding: str | None = None) -> tuple[str, str, list[str]]:
    """Return the text of a file, the name of its encoding, and notes.

    Parameters
    ----------
    raw : content of the file.
    encoding : of the file; None: found out (byte order mark, UTF-8, UTF-16, then a guess).

    Raises
    ------
    NewTaskError
        If `encoding` is unknown or does not fit.
    """
    if encoding:
        try:
            return raw.decode(encoding).removeprefix("\ufeff"), encoding, []
        except LookupError as error:
            raise NewTaskError(
                f"no encoding '{encoding}': use utf-8, cp1252, utf-16 ..."
            ) from error
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            raise NewTaskError(
                f"line {line} is not valid {encoding} ({error.reason}): name another encoding, or "
                "leave --encoding out to have it found"
            ) from error
    if marked := _with_mark(raw):
        return marked[0], marked[1], []
    try:
        return raw.decode("utf-8"), "utf-8", []
    except UnicodeDecodeError:
        return _guessed(raw)


def _with_mark(raw: bytes) -> tuple[str, str] | None:
    """Decode files that say what they are, and UTF-16 without a mark (every second byte is 0)."""
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    for mark, name in marks:
        if raw.startswith(mark):
            try:
                return raw.decode(name), name
            except UnicodeDecodeError as error:
                raise NewTaskError(
                    f"the file begins like {name}, but byte {error.start} is not ({error.reason}): "
                    "it seems damaged; save it anew as UTF-8"
                ) from error
    start = raw[:4096]
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) > 8 and start[first::2].count(0) > 0.4 * len(start[first::2]):
            try:
                return raw.decode(name), name
            except UnicodeDecodeError:
                continue
    return None


def _guessed(raw: bytes) -> tuple[str, str, list[str]]:
    lines = [line for line in raw.split(b"\n") if not line.isascii()]
    wrong = [line for line in lines if not _is_utf8(line)]
    if len(wrong) <= 0.05 * len(lines):  # UTF-8 with some lines pasted from elsewhere
        parts = raw.split(b"\n")
        at = [number for number, line in enumerate(parts, start=1) if not _is_utf8(line)]
        text = "\n".join(
            line.decode("utf-8") if _is_utf8(line) else line.decode("cp1252", errors="replace")
            for line in parts
        )
        shown = ", ".join(map(str, at[:SHOWN])) + (" ..." if len(at) > SHOWN else "")
        note = f"{len(at)} line(s) are no UTF-8 like the rest and were read as cp1252: {shown}"
        return text, "utf-8", [note]
    sample = b"\n".join(lines)[:200_000]
    name = "cp1252" if _is_western(sample) else _best_guess(sample)
    try:
        text = raw.decode(name)
    except UnicodeDecodeError:
        name = "latin-1"  # has a letter for every byte
        text = raw.decode(name)
    words = list(dict.fromkeys(re.findall(r"\w*[^\W\d_a-zA-Z]\w*", text)))[:6]
    note = (
        f"the encoding is a guess: {name}. Check these words of the file: {', '.join(words)}. "
        "If they look wrong, name the encoding: --encoding"
    )
    return text, name, [note]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_western(sample: bytes) -> bool:
    """Whether a sample reads well as Windows' Western European code page."""
    text = sample.decode("cp1252", errors="replace")
    signs = [sign for sign in text if ord(sign) > 127]
    letters = [sign for sign in text if sign.isalpha()]
    accented = sum(ord(sign) > 127 for sign in letters)
    known = sum(bool(WESTERN.match(sign)) for sign in signs)
    # In other alphabets nearly every letter is beyond ASCII.
    return known >= 0.9 * len(signs) and accented <= 0.35 * len(letters)


def _best_guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=list(OTHERS)).best()
    return best.encoding if best else "cp1252"
