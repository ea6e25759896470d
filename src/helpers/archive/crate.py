"""RO-Crate metadata: files, licences, authors, software, and what made each exhibit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.archive import facts
from helpers.archive.readme import Packed
from helpers.archive.sums import files_below
from helpers.runs import atomic_path

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

NAME = "ro-crate-metadata.json"
VERSION = "1.1"  # of the specification; the one that repositories read
CC_BY = "https://creativecommons.org/licenses/by/4.0/"
FORMATS = {
    ".csv": "text/csv",
    ".css": "text/css",
    ".cff": "application/yaml",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".js": "text/javascript",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".py": "text/x-python",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
FOLDERS = {
    "code": "the repository: notebooks, functions, configuration, data and tests",
    "results": "what the run made",
    "codebooks": "data dictionary of the tables",
}


def write_crate(packed: Packed) -> Path:
    """Write ``ro-crate-metadata.json`` for all files of the archive that are there.

    Ids and dates come from the run, so that the same run gives the same file.
    """
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=VERSION)
    authors = _people(crate, packed)
    licence = _licence(crate, packed.deposit.citation["license"])
    root = crate.root_dataset
    root["name"] = f"{packed.deposit.title}: replication package ({packed.run.profile.name})"
    root["description"] = str(packed.deposit.citation.get("abstract", packed.deposit.title)).strip()
    root["datePublished"] = facts.run_date(packed.run)
    root["license"] = [licence, _context(crate, CC_BY, "CreativeWork", name="CC BY 4.0")]
    root["author"] = authors
    root["keywords"] = ", ".join(packed.deposit.citation.get("keywords", []))
    root["citation"] = [
        _context(crate, f"https://doi.org/{entry['doi']}", "ScholarlyArticle", name=entry["title"])
        for entry in packed.deposit.citation.get("references", [])
        if entry.get("doi")
    ]
    for folder, what in FOLDERS.items():
        crate.add_dataset(dest_path=f"{folder}/", properties={"name": folder, "description": what})
    files = {name: _file(crate, packed.folder, name) for name in files_below(packed.folder)}
    _actions(crate, packed, files, _software(crate, packed))
    target = packed.folder / NAME
    with atomic_path(target) as temporary:
        text = json.dumps(crate.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return target


def _context(crate: ROCrate, identifier: str, kind: str, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    entity = ContextEntity(crate, identifier, properties={"@type": kind, **properties})
    return crate.add(entity)


def _people(crate: ROCrate, packed: Packed) -> list[Any]:
    found = []
    for number, person in enumerate(packed.deposit.authors, start=1):
        kind = "Person" if person["family"] else "Organization"
        properties = {"name": person["name"]}
        if person["family"]:
            properties |= {"familyName": person["family"], "givenName": person["given"]}
        if person["affiliation"]:
            properties["affiliation"] = person["affiliation"]
        found.append(_context(crate, person["orcid"] or f"#author-{number}", kind, **properties))
    return found


def _licence(crate: ROCrate, name: str) -> Any:
    address = f"https://spdx.org/licenses/{name}"
    return _context(crate, address, "CreativeWork", name=f"{name} (code)")


def _file(crate: ROCrate, folder: Path, name: str) -> Any:
    path = folder / name
    properties: dict[str, Any] = {
        "name": path.name,
        "contentSize": str(path.stat().st_size),
        "encodingFormat": FORMATS.get(path.suffix, "application/octet-stream"),
    }
    if name.startswith("code/notebooks/"):
        properties["@type"] = ["File", "SoftwareSourceCode"]
        properties["programmingLanguage"] = "Python"
    data = name.startswith(("results/", "codebooks/", "code/data/"))
    return crate.add_file(path, name, properties=properties | ({"license": CC} if data else {}))


CC = {"@id": CC_BY}


def _software(crate: ROCrate, packed: Packed) -> list[Any]:
    return [
        _context(
            crate, f"#software-{name}", "SoftwareApplication", name=name, softwareVersion=number
        )
        for name, number in facts.run_versions(packed.run).items()
    ]


def _actions(crate: ROCrate, packed: Packed, files: dict[str, Any], software: list[Any]) -> None:
    """Say for each chapter: this notebook made these figures and tables, with this software."""
    for chapter in packed.chapters:
        rows = packed.exhibits[packed.exhibits["chapter"] == chapter]
        made = [files[f"results/{name}"] for cell in rows["files"] for name in cell.split()]
        notebook = files.get(f"code/notebooks/{chapter}.ipynb")
        executed = files.get(f"results/notebooks/{chapter}.ipynb")
        if notebook is None:
            continue
        action = _context(
            crate,
            f"#run-{chapter}",
            "CreateAction",
            name=f"{chapter}, profile {packed.run.profile.name}",
            endTime=facts.run_date(packed.run),
        )
        action["instrument"] = [notebook, *software]
        action["result"] = made + ([executed] if executed else [])
        crate.root_dataset.append_to("mentions", action)
