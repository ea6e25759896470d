"""Run times and memory, the environment, and the files of the run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pandas as pd
import yaml

from helpers.machine import described
from helpers.report.blocks import Block, Link, Missing, Section, Sheet, Source, Title, Words
from helpers.report.folder import RunFolder
from helpers.report.words import NONE, count, duration, joined, memory

STATES = {"done": "done", "begun": "begun, not finished", "absent": "not in this run"}
_PATH = re.compile(r"^(?:/|~|[A-Za-z]:[\\/])")


def machine_words(folder: RunFolder) -> str:
    """Say on what type of machine the chapters ran, as far as they noted it."""
    profile = folder.profile
    where = "an NVIDIA GPU" if profile.device == "cuda" else "CPU alone"
    side = f"{count(profile.workers, 'worker')} with {count(profile.threads, 'thread')} each"
    types = [described(noted) for noted in folder.machines] or ["its type was not noted"]
    return f"{'; or '.join(dict.fromkeys(types))} ({where}, {side})"


def times(folder: RunFolder) -> Section:
    """Seconds and memory of chapters and trainings; these differ between runs."""
    section = Section("times", "Run times and memory", why="no chapter of this run left its times")
    noted = folder.table("chapters", "chapter", "seconds", "peak_memory_mib", folder="performance")
    own = noted.set_index("chapter") if len(noted) else noted
    rows = []
    for chapter in folder.chapters:
        row = own.loc[chapter.name] if len(noted) and chapter.name in own.index else None
        seconds, peak = (NONE, NONE) if row is None else _time(row)
        name = f"{chapter.number}. {chapter.title}"
        rows.append([name, STATES[chapter.state], seconds, peak])
    if noted.empty and all(chapter.state == "absent" for chapter in folder.chapters):
        return section
    if len(noted):
        total, most = noted["seconds"].sum(), noted["peak_memory_mib"].max()
        section.blocks.append(
            Words(
                f"The chapters took {duration(total)} in all (some ran side by side) and "
                f"{memory(most)} of memory at most. Machine: {machine_words(folder)}. Times differ "
                "from run to run; no result depends on them."
            )
        )
    addresses = [_address(folder, chapter.name) for chapter in folder.chapters]
    section.blocks.append(
        Sheet(
            "Chapters of this run, with the time and memory of their last execution",
            ["Chapter", "State", "Time", "Peak memory"],
            rows,
            (0, 1),
            folder.csv_link("chapters", "performance"),
            addresses=addresses,
        )
    )
    section.blocks += [*_trainings(folder), *_costs(folder)]
    return section


def _time(row: pd.Series) -> tuple[str, str]:
    return duration(row["seconds"]), memory(row["peak_memory_mib"])


def _address(folder: RunFolder, name: str) -> str:
    link = folder.notebook(name).link()
    return link.href if link else ""


def _trainings(folder: RunFolder) -> Iterator[Block]:
    columns: tuple[str, ...] = (
        "task",
        "model",
        "train_seconds",
        "tokens_per_second",
        "peak_memory_mb",
    )
    columns += ("trainable_parameters", "total_parameters")
    rows = folder.table("finetuning", *columns, folder="performance")
    if rows.empty:
        return
    cells = [
        [
            folder.title(r.task),
            r.model,
            duration(r.train_seconds),
            count(r.tokens_per_second),
            f"{count(r.peak_memory_mb)} MB",
            f"{count(r.trainable_parameters)} of {count(r.total_parameters)}",
        ]
        for r in rows.itertuples()
    ]
    head = ["Task", "Model", "Training", "Tokens a second", "Peak memory", "Parameters that learn"]
    caption, links = "Trainings of chapter 4", folder.csv_link("finetuning", "performance")
    yield Sheet(caption, head, cells, (0, 1), links, folded=True)


def _costs(folder: RunFolder) -> Iterator[Block]:
    columns = ("task", "model", "requests", "answered", "errors", "usd")
    rows = folder.table("labelling", *columns, folder="performance")
    if rows.empty:
        return
    spent = rows["usd"].sum()
    yield Words(
        f"Servers were asked {count(rows['requests'].sum(), 'question')} for labels: "
        f"{count(rows['answered'].sum(), 'answer')}, {count(rows['errors'].sum(), 'error')}, "
        f"{'nothing' if spent == 0 else f'{spent:,.2f} US dollars'} spent."
    )


def environment(folder: RunFolder) -> Section:
    """Versions, seed, threads, device and the profile's settings."""
    section = Section("environment", "Environment")
    profile = folder.profile
    versions = folder.manifest.get("versions", {})
    packages = sorted((str(k), str(v)) for k, v in versions.items())
    section.blocks.append(
        Words(
            f"Seed {profile.seed}, device {profile.device}, {profile.dtype}, "
            f"{count(profile.workers, 'worker')} with {count(profile.threads, 'thread')} each. "
            f"Machine: {machine_words(folder)}."
        )
    )
    if packages:
        section.blocks.append(
            Sheet(
                "Versions of Python and of the packages that decide results",
                ["Package", "Version"],
                [list(pair) for pair in packages],
                (0, 1),
                [Link("manifest.json", "manifest.json")],
            )
        )
    else:
        section.blocks.append(
            Missing("Versions are written with manifest.json when a run of all chapters ends.")
        )
    section.blocks.append(
        Source(
            f"Settings of profile {profile.name} that differ from the defaults", _settings(folder)
        )
    )
    return section


def _settings(folder: RunFolder) -> str:
    """The profile as YAML: what it sets, of labellers and endpoints those that it uses."""
    profile = folder.profile
    content = profile.model_dump(mode="json", exclude_defaults=True)
    plan = content.get("labelling", {})
    used = {name for names in plan.get("crowd", {}).values() for name in names}
    used |= {name for names in plan.get("compared", {}).values() for name in names}
    plan["labellers"] = {k: v for k, v in plan.get("labellers", {}).items() if k in used}
    asked = {labeller.get("endpoint") for labeller in plan["labellers"].values()}
    plan["endpoints"] = {k: v for k, v in plan.get("endpoints", {}).items() if k in asked}
    content["labelling"] = {k: v for k, v in plan.items() if v not in ({}, None)}
    content = {k: v for k, v in content.items() if v != {}}
    return yaml.safe_dump(_without_paths(content), sort_keys=False, allow_unicode=True, width=88)


def _without_paths(value: Any) -> Any:
    """Replace paths of the machine, which a page must not carry."""
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return "(a path)" if isinstance(value, str) and _PATH.match(value) else value


def files(folder: RunFolder) -> Section:
    """All tables with their size, figures and notebooks, as links."""
    section = Section("files", "Files", why="this run has left no files yet")
    names = sorted(p.stem for p in (folder.root / "tables").glob("*.csv"))
    if names:
        rows, addresses = [], []
        for name in names:
            frame = folder.table(name)
            size = [count(len(frame)), count(len(frame.columns))]
            rows.append([f"{name}.csv", folder.chapter_of(f"tables/{name}.csv"), *size])
            addresses.append(f"tables/{quote(name)}.csv")
        section.blocks.append(Title("Tables", "files-tables"))
        section.blocks.append(
            Sheet(
                f"{count(len(names), 'table')}, each as CSV and as Parquet",
                ["Table", "Chapter", "Rows", "Columns"],
                rows,
                (0, 1),
                addresses=addresses,
            )
        )
    section.blocks += _other_files(folder)
    return section


def _other_files(folder: RunFolder) -> Iterator[Block]:
    shown = folder.figures
    if shown:
        rows, addresses = [], []
        for name in shown:
            suffix = "svg" if (folder.root / "figures" / f"{name}.svg").is_file() else "png"
            rows.append([name, folder.chapter_of(f"figures/{name}.{suffix}")])
            addresses.append(f"figures/{quote(name)}.{suffix}")
        yield Title("Figures", "files-figures")
        caption = f"{count(len(shown), 'figure')}; also those that this page leaves out"
        yield Sheet(caption, ["Figure", "Chapter"], rows, (0, 1), folded=True, addresses=addresses)
    kinds = {"notebooks": "*.html", "performance": "*.csv", "responses": "*/*/*.jsonl.gz"}
    found = [
        f"{count(len(list((folder.root / kind).glob(pattern))), 'file')} in {kind}/"
        for kind, pattern in kinds.items()
        if (folder.root / kind).is_dir()
    ]
    if found:
        yield Words(f"Beside this page: {joined(found)}.")
