"""The check before an archive is closed: no path or name of a machine, no key, no private text."""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers.archive.reading import readable, text_of
from helpers.archive.sentences import TextIndex
from helpers.executed import places

FOLDERS = re.compile(
    r"(?<![\w.~-])/(?:home|Users|root|work|scratch|gpfs|lustre)/[\w.~-][\w./~-]*"
    r"|\b[A-Za-z]:\\{1,2}Users\\{1,2}\w+"
)
KEYS = {
    "OpenAI or similar": r"\bsk-[A-Za-z0-9_-]{20,}",
    "Hugging Face": r"\bhf_[A-Za-z0-9]{20,}",
    "GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
    "GitLab": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "Amazon": r"\bAKIA[0-9A-Z]{16}\b",
    "Google": r"\bAIza[0-9A-Za-z_-]{35}",
    "Slack": r"\bxox[abpr]-[0-9A-Za-z-]{10,}",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE " r"KEY-----",
}
SECRET_NAMES = re.compile(r"_(?:KEY|TOKEN|SECRET|PASSWORD)$")
SHORTEST_SECRET, SHORTEST_NAME = 8, 4
# Names of users and hosts that say nothing about anybody.
COMMON = frozenset(
    [
        "root",
        "user",
        "users",
        "admin",
        "administrator",
        "runner",
        "ubuntu",
        "debian",
        "jovyan",
        "docker",
        "vagrant",
        "codespace",
        "localhost",
        "localdomain",
        "default",
        "guest",
        "test",
        "build",
    ]
)


@dataclass(frozen=True)
class Finding:
    """Something that must not be in an archive: file, line (row of a Parquet file) and what."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.what}"


@dataclass(frozen=True)
class Forbidden:
    """What to look for.

    Attributes
    ----------
    folders : absolute folders of this machine.
    names : user and host name; empty where they are too common or short to mean anything.
    secrets : value of an environment variable -> its name.
    texts : index of texts that must not be in the archive; None: there are none here.
    allowed : exact words that were looked at and found harmless.
    """

    folders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    secrets: dict[str, str] = field(default_factory=dict)
    texts: TextIndex | None = None
    allowed: frozenset[str] = frozenset()


def forbidden_here(
    folders: Iterable[Path], texts: TextIndex | None, allowed: Iterable[str] = ()
) -> Forbidden:
    """Return what must not be in an archive that is made on this machine, from this environment.

    Parameters
    ----------
    folders : of the run and of the authors' files, beside those that are known anyway.
    texts : index of texts that may not be passed on.
    allowed : words (a user name that is also a common word) that are not to be reported.
    """
    known = places({str(folder): "" for folder in folders})
    names = {_user(), platform.node(), platform.node().partition(".")[0]}
    secrets = {
        value: name
        for name, value in os.environ.items()
        if SECRET_NAMES.search(name) and len(value) >= SHORTEST_SECRET
    }
    return Forbidden(
        tuple(sorted(known, key=len, reverse=True)),
        tuple(sorted(n for n in names if len(n) >= SHORTEST_NAME and n.lower() not in COMMON)),
        secrets,
        texts,
        frozenset(allowed),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry in the password database, as in some containers
        return ""


def scan(folder: Path, forbidden: Forbidden) -> list[Finding]:
    """Look through every file of an archive; return what must not be there, by file and line."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (text := text_of(path)) is not None:
            name = path.relative_to(folder).as_posix()
            spots = [*_in_text(text, forbidden)]
            if forbidden.texts is not None:
                plain = readable(text, path.suffix)
                spots += [(at, plain, what) for at, what in forbidden.texts.search(plain)]
            found += [Finding(name, _line(content, at), what) for at, content, what in spots]
    return found


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _in_text(text: str, forbidden: Forbidden) -> Iterator[tuple[int, str, str]]:
    seen: set[int] = set()
    for folder in forbidden.folders:
        for match in re.finditer(rf"(?<![\w.~-]){re.escape(folder)}(?![\w-])", text):
            seen.add(match.start())
            yield match.start(), text, f"a folder of this machine: {match[0]}"
    for match in FOLDERS.finditer(text):
        if match.start() not in seen and match[0] not in forbidden.allowed:
            yield match.start(), text, f"a folder of a machine: {match[0][:80]}"
    for name in forbidden.names:
        if name in text and name not in forbidden.allowed:
            for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text):
                yield match.start(), text, f"a user or host name: {name} (harmless? --allow {name})"
    for kind, pattern in KEYS.items():
        for match in re.finditer(pattern, text):
            if match[0] not in forbidden.allowed:
                yield match.start(), text, f"a key ({kind}): {_masked(match[0])}"
    for value, name in forbidden.secrets.items():
        if (at := text.find(value)) >= 0:
            yield at, text, f"the value of the environment variable {name}"


def _masked(secret: str) -> str:
    return f"{secret[:4]}... ({len(secret)} characters)"
