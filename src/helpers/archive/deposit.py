"""What is known about a deposit: CITATION.cff, and what the user says in deposit.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from helpers.archive.errors import ArchiveError
from helpers.plans import Strict

PLACEHOLDER_EMAIL = "to-be-filled-in@example.org"


class DepositSettings(Strict):
    """``config/archive/deposit.yaml``; each key is commented there."""

    contact_name: str | None = None
    contact_email: str | None = None
    contact_affiliation: str | None = None
    article: str | None = None
    article_doi: str | None = None
    subjects: list[str] = ["Social Sciences"]


@dataclass(frozen=True)
class Deposit:
    """Settings of the deposit and the content of CITATION.cff."""

    settings: DepositSettings
    citation: dict[str, Any]

    @property
    def title(self) -> str:
        return str(self.citation["title"])

    @property
    def authors(self) -> list[dict[str, str]]:
        """Authors: name, given and family (empty for a group), orcid, affiliation."""
        return [_person(entry) for entry in self.citation["authors"]]

    @property
    def to_fill(self) -> list[str]:
        """What has to be filled in by hand before the deposit, in words."""
        found = [
            f"config/archive/deposit.yaml: {key}"
            for key in ("contact_name", "contact_email")
            if not getattr(self.settings, key)
        ]
        if all(not person["family"] for person in self.authors):
            found.append("CITATION.cff: authors (family-names, given-names, affiliation, orcid)")
        return found


def _person(entry: dict[str, Any]) -> dict[str, str]:
    family = " ".join(str(entry[k]) for k in ("name-particle", "family-names") if entry.get(k))
    given = str(entry.get("given-names") or "")
    name = f"{family}, {given}" if family and given else family or str(entry.get("name") or "")
    return {
        "name": name,
        "family": family,
        "given": given,
        "orcid": str(entry.get("orcid") or ""),
        "affiliation": str(entry.get("affiliation") or ""),
    }


def load_deposit(repo: Path) -> Deposit:
    """Read CITATION.cff and ``config/archive/deposit.yaml`` of a repository.

    Raises
    ------
    ArchiveError
        If a file is missing, is no YAML, or has an unknown key (named).
    """
    citation = _yaml(repo / "CITATION.cff")
    if missing := {"title", "authors", "license"} - citation.keys():
        raise ArchiveError(f"CITATION.cff has no {', '.join(sorted(missing))}: add it")
    path = repo / "config" / "archive" / "deposit.yaml"
    try:
        settings = DepositSettings.model_validate(_yaml(path))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ArchiveError(f"{path.name}: {problems}") from error
    return Deposit(settings, citation)


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ArchiveError(f"{path} is missing: take it from the repository again")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ArchiveError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ArchiveError(f"{path.name} is empty, or no mapping of keys to values")
    return content


def reference_text(entry: dict[str, Any]) -> str:
    """Return one entry of CITATION.cff's references as a line of a bibliography."""
    people = [_person(person)["name"] for person in entry.get("authors", [])]
    text = f"{'; '.join(people)}. " if people else ""
    text += f"({entry['year']}). " if entry.get("year") else ""
    text += str(entry.get("title", "")) + "."
    if journal := entry.get("journal"):
        issue = f"({entry['issue']})" if entry.get("issue") else ""
        pages = f", {entry['start']}-{entry['end']}" if entry.get("start") else ""
        volume = f" {entry['volume']}{issue}" if entry.get("volume") else ""
        text += f" *{journal}*{volume}{pages}."
    identifiers = [str(item["value"]) for item in entry.get("identifiers", [])]
    text += "".join(f" {value}." for value in identifiers)
    if doi := entry.get("doi"):
        text += f" https://doi.org/{doi}"
    elif address := entry.get("repository-code") or entry.get("url"):
        text += f" {address}" + (f" (commit {entry['commit'][:12]})" if entry.get("commit") else "")
    return text
