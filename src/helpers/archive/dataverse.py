"""A Dataverse dataset as JSON for the native API, made and checked with pyDataverse."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from helpers.archive import facts
from helpers.archive.deposit import PLACEHOLDER_EMAIL, Deposit, reference_text
from helpers.archive.errors import ArchiveError
from helpers.archive.readme import Packed
from helpers.runs import write_json

NAME = "dataverse.json"
LICENCE = "CC BY 4.0"
SUBJECTS = frozenset(
    {
        "Agricultural Sciences",
        "Arts and Humanities",
        "Astronomy and Astrophysics",
        "Business and Management",
        "Chemistry",
        "Computer and Information Science",
        "Earth and Environmental Sciences",
        "Engineering",
        "Law",
        "Mathematical Sciences",
        "Medicine, Health and Life Sciences",
        "Physics",
        "Social Sciences",
        "Other",
    }
)


def dataset(packed: Packed) -> dict[str, Any]:
    """Return the dataset as Dataverse's native API takes it.

    Raises
    ------
    ArchiveError
        If a subject is none of Dataverse's, or the result does not fit the schema.
    """
    from pyDataverse.models import Dataset

    if unknown := sorted(set(packed.deposit.settings.subjects) - SUBJECTS):
        raise ArchiveError(
            f"config/archive/deposit.yaml: Dataverse has no subject '{unknown[0]}': choose from "
            f"{', '.join(sorted(SUBJECTS))}"
        )
    made = Dataset(_fields(packed))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # pyDataverse prints what is wrong
        valid = made.validate_json()
    if not valid:
        raise ArchiveError(f"dataverse.json does not fit Dataverse's schema: {printed.getvalue()}")
    content: dict[str, Any] = json.loads(made.json(validate=False))
    return content


def write_dataset(packed: Packed) -> Path:
    """Write ``dataverse.json`` into the archive."""
    write_json(packed.folder / NAME, dataset(packed))
    return packed.folder / NAME


def _fields(packed: Packed) -> dict[str, Any]:
    deposit, citation, day = packed.deposit, packed.deposit.citation, facts.run_date(packed.run)
    software = facts.run_versions(packed.run)
    return {
        "license": LICENCE,
        "citation_displayName": "Citation Metadata",
        "title": f"Replication package for: {deposit.title} ({packed.run.profile.name})",
        "author": [_author(person) for person in deposit.authors],
        "datasetContact": [_contact(deposit)],
        "dsDescription": [
            {
                "dsDescriptionValue": str(citation.get("abstract", deposit.title)).strip(),
                "dsDescriptionDate": day,
            }
        ],
        "subject": deposit.settings.subjects,
        "keyword": [{"keywordValue": str(word)} for word in citation.get("keywords", [])],
        "language": ["English"],
        "publication": _publications(deposit),
        "kindOfData": ["program source code", "tables", "figures", "texts"],
        "software": [{"softwareName": n, "softwareVersion": v} for n, v in software.items()],
        "productionDate": day,
        "notesText": f"Code: {citation['license']} licence. Data and results: CC BY 4.0. "
        "See README.md.",
    }


def _author(person: dict[str, str]) -> dict[str, str]:
    found = {"authorName": person["name"]}
    if person["affiliation"]:
        found["authorAffiliation"] = person["affiliation"]
    if person["orcid"]:
        found |= {
            "authorIdentifierScheme": "ORCID",
            "authorIdentifier": person["orcid"].rsplit("/", 1)[-1],
        }
    return found


def _contact(deposit: Deposit) -> dict[str, str]:
    settings = deposit.settings
    found = {
        "datasetContactName": settings.contact_name or deposit.authors[0]["name"],
        "datasetContactEmail": settings.contact_email or PLACEHOLDER_EMAIL,
    }
    if settings.contact_affiliation:
        found["datasetContactAffiliation"] = settings.contact_affiliation
    return found


def _publications(deposit: Deposit) -> list[dict[str, str]]:
    """Return the articles that the package belongs to: the user's own first."""
    settings, found = deposit.settings, []
    if settings.article:
        own = {"publicationCitation": settings.article}
        if settings.article_doi:
            own |= {"publicationIDType": "doi", "publicationIDNumber": settings.article_doi}
        found.append(own)
    for entry in deposit.citation.get("references", []):
        if entry.get("type") == "article":
            row = {"publicationCitation": reference_text(entry)}
            if entry.get("doi"):
                row |= {
                    "publicationIDType": "doi",
                    "publicationIDNumber": str(entry["doi"]),
                    "publicationURL": f"https://doi.org/{entry['doi']}",
                }
            found.append(row)
    return found
