"""The README's performance section and ``docs/speed.md``, from the tables under ``bench/results``.

    python bench/report.py [--results folder] [--profile demo]
    python bench/report.py --write

Prints Markdown: one table a benchmark that was run, under a line that says on which machine, when,
with which versions, and whether anything else was running; then the chapters of a run. ``--write``
puts the tables into ``docs/speed.md``, and what has a target into the README (a test compares).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import common
import pandas as pd

TITLES = {
    "training": "Training",
    "accuracy": "Training until a stated accuracy",
    "prediction": "Prediction",
    "shared_prefix": "Prediction with the codebook in the prompt, Llama type, random weights",
    "scaling": "Cost against the number of texts",
    "classify": "Classifying many short texts, two-layer model",
    "labelling": "Labelling through an endpoint",
    "startup": "Start-up",
}
MARKS = ("<!-- made by bench/report.py: begin -->", "<!-- made by bench/report.py: end -->")
UNITS = {"times": "×", "%": "%"}
ABOUT = ("texts", "layers", "threads", "requests", "concurrency", "float32", "bfloat16")


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
    parts.append(", ".join(f"{name} {_plain(first[name])}" for name in ABOUT if name in known))
    busy = f"NOT idle: load {first['load_before']} before the start"
    idle = bool(first["idle"]) if "idle" in known else first["load_before"] < common.IDLE
    parts.append(f"{first['date']}, machine {'idle' if idle else busy}")
    quick = "quick" in known and bool(first["quick"])
    return "; ".join(part for part in parts if part) + ("; QUICK: shows nothing" if quick else "")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def section(name: str, table: pd.DataFrame) -> str:
    """Return one benchmark as Markdown: sides by measures, or line by line where that has holes."""
    lines = [f"**{TITLES.get(name, name)}** ({made_on(table)})", ""]
    texts = table.reindex(columns=["measure", "side", "unit", "target", "note"])
    full = texts.astype(object).fillna("").join(table[["median", "min", "max"]])
    measures, sides = full["measure"].unique(), full["side"].unique()
    dense = len(full) > 0.6 * len(measures) * len(sides)
    return "\n".join(lines + (_crossed(full) if dense else _listed(full)))


def _listed(full: pd.DataFrame) -> list[str]:
    lines = ["| measure | side | median (range) | wanted |", "|---|---|---|---|"]
    for line in full.itertuples():
        note = f" [{line.note}]" if line.note else ""
        lines.append(f"| {line.measure}{note} | {line.side} | {shown(line)} | {line.target} |")
    return lines


def _crossed(full: pd.DataFrame) -> list[str]:
    cells: dict[str, dict[str, str]] = {}
    for line in full.itertuples():
        wanted = f", wanted {line.target}" if line.target else ""
        note = f" [{line.note}]" if line.note else ""
        cells.setdefault(line.side, {})[line.measure] = f"{shown(line)}{wanted}{note}"
    measures = list(full["measure"].unique())
    lines = [f"| side | {' | '.join(measures)} |", "|---" * (len(measures) + 1) + "|"]
    for side, of_side in cells.items():
        lines.append(f"| {side} | {' | '.join(of_side.get(m, '') for m in measures)} |")
    return lines


def parity(path: Path) -> str:
    """Return the forms of one model, as `parity.py` compares them; empty without that table."""
    if not path.is_file():
        return ""
    table = pd.read_csv(path)
    lines = [f"**4-bit and GGUF** ({made_on(table)})", ""]
    lines += ["| form | answers | equal to the adapter's | accuracy | rows/s | size |"]
    lines += ["|---|---|---|---|---|---|"]
    for line in table.itertuples():
        if pd.isna(line.equal_to_adapter):  # the commonest label: no model, a line to compare with
            low, high = f"{line.low:.3f}", f"{line.high:.3f}"
            lines.append(f"| {line.form} | | | {line.accuracy:.3f} [{low}, {high}] | | |")
            continue
        lines.append(
            f"| {line.form} | {line.answers} | {line.equal_to_adapter:.1%} of {line.items} "
            f"| {line.accuracy:.3f} [{line.low:.3f}, {line.high:.3f}] "
            f"| {figure(line.rows_per_second)} | {line.bytes / 1e6:.1f} MB |"
        )
    return "\n".join(lines)


def chapters(profile: str) -> str:
    """Return time and memory of the chapters of a run, or an empty text if there is none."""
    path = common.REPO / "runs" / profile / "performance" / "chapters.csv"
    if not profile or not path.is_file():
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


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the result tables of a folder, in the order of `TITLES`, others behind."""
    names = [*TITLES, *sorted(path.stem for path in folder.glob("*.csv"))]
    found = {}
    for name in dict.fromkeys(names):
        path = folder / f"{name}.csv"
        if path.is_file():
            table = pd.read_csv(path)
            if {"measure", "side", "median", "python"} <= set(table.columns):
                found[name] = table
    return found


def report(folder: Path, profile: str = "") -> str:
    """Return all tables of a folder as Markdown, and the chapters of a run."""
    parts = [section(name, table) for name, table in tables(folder).items()]
    parts.append(parity(folder / "parity.csv"))
    return "\n\n".join(part for part in [*parts, chapters(profile)] if part)


def summary(folder: Path) -> str:
    """Return the lines that have a target, and all that says how long accuracy takes."""
    lines = ["| benchmark | measure | side | median (range) | wanted |", "|---|---|---|---|---|"]
    for name, table in tables(folder).items():
        full = table.assign(**table[["target", "unit"]].astype(object).fillna(""))
        for line in full.itertuples():
            if line.target or (name == "accuracy" and line.unit == "times"):
                cells = [TITLES.get(name, name), line.measure, line.side, shown(line), line.target]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def written(path: Path, text: str) -> str:
    """Return a document with `text` between its two marks, in place of what stood there.

    Raises
    ------
    ValueError
        If the document has no marks.
    """
    whole = path.read_text(encoding="utf-8")
    before, begin, rest = whole.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"{path.name} needs the lines {MARKS[0]} and {MARKS[1]}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def documents(folder: Path = common.RESULTS) -> dict[Path, str]:
    """Return the documents that hold results, as they should be."""
    return {
        common.REPO / "README.md": written(common.REPO / "README.md", summary(folder)),
        common.REPO / "docs" / "speed.md": written(
            common.REPO / "docs" / "speed.md", report(folder)
        ),
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=common.RESULTS)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--write", action="store_true", help="into README.md and docs/speed.md")
    given = parser.parse_args(argv)
    if given.write:
        for path, text in documents(given.results).items():
            path.write_text(text, encoding="utf-8")
    else:
        print(report(given.results, given.profile))


if __name__ == "__main__":
    main()
