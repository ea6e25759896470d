"""The report of a verification, for people (Markdown) and machines (JSON), beside the archive."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from helpers.archive.comparing import COLUMNS, Compared, Comparison
from helpers.runs import atomic_path, write_json

SHOWN = 200


def write_outcome(
    file: Path, record: dict[str, Any], here: dict[str, Any], comparison: Comparison
) -> Path:
    """Write ``<file's name>.verification.json`` and ``.md``; return the path of the latter.

    Parameters
    ----------
    file : the archive.
    record : its ``archive.json``.
    here : the machine of the verification.
    comparison : what differs.
    """
    base = file.with_suffix("")
    content = {
        "archive": file.name,
        "profile": record["profile"],
        "equal": comparison.equal,
        "compared": "to the byte" if comparison.strict else "within tolerances",
        "summary": comparison.summary().splitlines(),
        "machine": here,
        "machines_of_the_archive": [entry["machine"] for entry in record["machines"]],
        "tables": [_short(item) for item in comparison.tables],
        "predictions": [_short(item) for item in comparison.predictions],
        "differences": [
            dict(zip(COLUMNS, row, strict=True))
            for item in [*comparison.tables, *comparison.predictions]
            for row in item.differences
        ],
    }
    write_json(base.with_name(f"{base.name}.verification.json"), content)
    target = base.with_name(f"{base.name}.verification.md")
    with atomic_path(target) as temporary:
        temporary.write_text(_markdown(content, comparison), encoding="utf-8")
    return target


def _short(item: Compared) -> dict[str, Any]:
    return {key: value for key, value in asdict(item).items() if key != "differences"}


def _markdown(content: dict[str, Any], comparison: Comparison) -> str:
    verdict = "The archive yields its results." if content["equal"] else "**Results differ.**"
    machines = {entry["processor"] for entry in content["machines_of_the_archive"]}
    lines = [
        f"# Verification of {content['archive']}",
        "",
        f"{verdict} Profile `{content['profile']}`, compared {content['compared']}.",
        "",
        *(f"- {line}" for line in content["summary"]),
        f"- deposited on {', '.join(sorted(machines))}; recomputed on "
        f"{content['machine']['processor']}, {content['machine']['system']}",
    ]
    for title, items in (("Tables", comparison.tables), ("Predictions", comparison.predictions)):
        lines += ["", f"## {title}", "", "| name | verdict | note |", "|---|---|---|"]
        lines += [f"| `{item.name}` | {item.verdict} | {item.note} |" for item in items]
    rows = comparison.differences()
    if len(rows):
        lines += ["", "## Differences", "", "| " + " | ".join(COLUMNS) + " |", "|---" * 6 + "|"]
        for row in rows.head(SHOWN).itertuples(index=False):
            lines.append("| " + " | ".join(str(v).replace("|", "\\|") for v in row) + " |")
        if len(rows) > SHOWN:
            lines.append(f"\n{len(rows) - SHOWN} more are in the JSON file beside this one.")
    return "\n".join(lines) + "\n"
