"""The README's performance section, made from the tables under ``bench/results``.

    python bench/report.py [--results folder] [--profile demo]

Prints Markdown: one table a benchmark that was run, under a line that says on which machine, when,
with which versions, and whether anything else was running; then the chapters of a run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import common
import pandas as pd

TITLES = {
    "training": "Training",
    "prediction": "Prediction",
    "scaling": "Cost against the number of texts",
    "labelling": "Labelling through an endpoint",
    "startup": "Start-up",
    "parity": "4-bit and GGUF",
}
UNITS = {"times": "×", "%": "%"}
ABOUT = ("texts", "layers", "threads", "requests", "concurrency")


def figure(value: float) -> str:
    """Return a number with three significant digits, whole from 1,000."""
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def shown(line: Any) -> str:
    """Return median and range as they stand in a table."""
    unit = UNITS.get(line.unit, f" {line.unit}".rstrip())
    middle, low, high = figure(line.median), figure(line.min), figure(line.max)
    spread = f" ({low} to {high})" if low != high else ""
    return f"{middle}{unit}{spread}"


def made_on(table: pd.DataFrame) -> str:
    """Say what the figures of a table depend on."""
    first = table.iloc[0]
    known = set(table.columns)
    packages = list(table.columns)[list(table.columns).index("python") : -1]
    parts = [f"{first['cpu']}, {first['cores']} cores"]
    if "flags" in known:
        parts.append(f"{first['flags']}, {first['memory_gib']} GiB")
    parts.append(", ".join(f"{name} {first[name]}" for name in packages))
    parts.append(", ".join(f"{name} {first[name]:g}" for name in ABOUT if name in known))
    busy = f"NOT idle: load {first['load_before']} before the start"
    idle = bool(first["idle"]) if "idle" in known else first["load_before"] < common.IDLE
    parts.append(f"{first['date']}, machine {'idle' if idle else busy}")
    quick = "quick" in known and bool(first["quick"])
    return "; ".join(part for part in parts if part) + ("; QUICK: shows nothing" if quick else "")


def section(name: str, table: pd.DataFrame) -> str:
    """Return one benchmark as Markdown."""
    lines = [f"**{TITLES.get(name, name)}** ({made_on(table)})", ""]
    lines += ["| measure | side | median (range) | wanted |", "|---|---|---|---|"]
    texts = table.reindex(columns=["measure", "side", "unit", "target", "note"])
    numbers = table[["median", "min", "max"]]
    for line in texts.astype(object).fillna("").join(numbers).itertuples():
        note = f" [{line.note}]" if line.note else ""
        lines.append(f"| {line.measure}{note} | {line.side} | {shown(line)} | {line.target} |")
    return "\n".join(lines)


def chapters(profile: str) -> str:
    """Return time and memory of the chapters of a run, or an empty text if there is none."""
    path = common.REPO / "runs" / profile / "performance" / "chapters.csv"
    if not path.is_file():
        return ""
    table = pd.read_csv(path)
    lines = [f"**Whole run**, profile `{profile}` (as the chapters noted it)", ""]
    lines += ["| chapter | seconds | peak memory |", "|---|---|---|"]
    for row in table.itertuples():
        lines.append(
            f"| {row.chapter} | {row.seconds:.0f} | {row.peak_memory_mib / 1024:.1f} GiB |"
        )
    total, most = table["seconds"].sum(), table["peak_memory_mib"].max() / 1024
    return "\n".join([*lines, f"| sum, largest | {total:.0f} | {most:.1f} GiB |"])


def report(folder: Path, profile: str) -> str:
    """Return all tables of a folder as Markdown."""
    names = [*TITLES, *sorted(path.stem for path in folder.glob("*.csv"))]
    parts = []
    for name in dict.fromkeys(names):
        path = folder / f"{name}.csv"
        if path.is_file():
            table = pd.read_csv(path)
            if {"measure", "median", "python"} <= set(table.columns):
                parts.append(section(name, table))
    return "\n\n".join(part for part in [*parts, chapters(profile)] if part)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=common.RESULTS)
    parser.add_argument("--profile", default="demo")
    given = parser.parse_args(argv)
    print(report(given.results, given.profile))


if __name__ == "__main__":
    main()
