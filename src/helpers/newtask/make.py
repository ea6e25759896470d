"""From a user's file to a task: read, check, report, write."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers.newtask import report as described
from helpers.newtask import rows as steps
from helpers.newtask.codebooks import codebook, has_words
from helpers.newtask.columns import resolve
from helpers.newtask.delimited import plain
from helpers.newtask.errors import NewTaskError
from helpers.newtask.extras import YEAR, extra, periods
from helpers.newtask.labelled import Labelled, in_order, present
from helpers.newtask.labels import read_labels
from helpers.newtask.language import advice, language_of
from helpers.newtask.reading import Source, read_table
from helpers.newtask.report import Report
from helpers.newtask.sampling import MOST_TEXTS, SUGGESTED, stratified_sample
from helpers.newtask.shape import Shape
from helpers.newtask.sizing import Plan, plan_for
from helpers.newtask.writing import check_name, write_task
from helpers.profiles import REPO
from helpers.runs import file_sha256
from helpers.tasks import LabelType


@dataclass(frozen=True)
class Request:
    """What a user asks for; see ``python -m helpers.newtask --help``."""

    name: str
    file: Path
    text: list[str]
    label: str
    id: str | None = None
    keep: tuple[str, ...] = ()
    label_type: LabelType | None = None
    separator: str | None = None
    sample: int | None = None
    seed: int = 20241101
    min_class: int = steps.MIN_CLASS
    codebook: Path | None = None
    description: str = ""
    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    show_texts: bool = False
    force: bool = False


@dataclass(frozen=True)
class Made:
    """A new task: what was found, and the files that were written."""

    report: Report
    files: dict[str, Path]
    plan: Plan


def make_task(request: Request, root: Path = REPO) -> Made:
    """Make a task of a user's file.

    Parameters
    ----------
    request : what the user asks for.
    root : the repository (tests: another folder).

    Raises
    ------
    NewTaskError
        If the file cannot be made a task, or the task exists and `request.force` is not set.
        Nothing is written then.
    """
    check_name(request.name, root, force=request.force)
    report = Report()
    wanted = [*request.text, request.label, *([request.id] if request.id else []), *request.keep]
    source = read_table(
        request.file,
        wanted,
        sheet=request.sheet,
        encoding=request.encoding,
        delimiter=request.delimiter,
    )
    columns, renamed = resolve(source.frame, wanted, request.file.name)
    _report_file(report, request, source, renamed)
    frame, labelled, keep = _cells(request, source.frame, columns, report)
    frame = _cleaned(request, frame, labelled, report)
    frame = _sampled(request, frame, report)
    return _finish(request, root, frame, labelled, keep, report)


# --- steps


def _report_file(report: Report, request: Request, source: Source, renamed: list[str]) -> None:
    facts = [f"{key} {value}" for key, value in source.facts.items()]
    line = f"{request.file.name}: {len(source.frame):,} rows, {source.frame.shape[1]} columns"
    report.add(
        "File",
        [f"{line} ({', '.join(facts)})", *source.notes, *renamed],
        file=request.file.name,
        sha256=file_sha256(request.file),
        rows=len(source.frame),
        **source.facts,
    )


def _cells(
    request: Request, raw: pd.DataFrame, columns: list[str], report: Report
) -> tuple[pd.DataFrame, Labelled, dict[str, str]]:
    """Read texts, labels, ids and further columns."""
    n = len(request.text)
    text_columns, label = columns[:n], columns[n]
    identifier = columns[n + 1] if request.id else None
    if label in text_columns:
        raise NewTaskError(f"column '{label}' is named as text and as label: name two columns")
    texts, text_notes = steps.texts_of(raw, text_columns)
    labelled = read_labels(raw[label], label, request.label_type, request.separator)
    ids, id_notes = steps.ids_of(raw, identifier)
    frame = pd.DataFrame({"id": ids, "text": texts, "labels": labelled.values})
    types: dict[str, str] = {}
    for asked, column in zip(
        request.keep, columns[len(columns) - len(request.keep) :], strict=True
    ):
        name = YEAR if plain(asked) == YEAR else asked
        frame[name], types[name] = extra(raw[column], name)
    report.add("Rows", [*text_notes, *id_notes])
    report.add("Labels", labelled.notes, merged=labelled.merged)
    return frame, labelled, types


def _cleaned(
    request: Request, frame: pd.DataFrame, labelled: Labelled, report: Report
) -> pd.DataFrame:
    read = len(frame)
    for step in (steps.usable, steps.duplicates):
        frame, notes, facts = step(frame)
        report.add("Rows", notes, **facts)
    # Small tables first: that nearly all is missing says more than that classes are rare.
    steps.enough(frame, read)
    frame, notes, facts = steps.rare(frame, labelled, request.min_class)
    report.add("Labels", notes, **facts)
    steps.enough(frame, read)
    report.add("Rows", [f"{len(frame):,} of {read:,} rows can be used"], usable=len(frame))
    return frame


def _sampled(request: Request, frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    if request.sample is None and len(frame) > MOST_TEXTS:
        raise NewTaskError(
            f"{len(frame):,} texts are more than the chapters are made for ({MOST_TEXTS:,}); "
            f"nothing was written. Take a stratified sample: SAMPLE={SUGGESTED} (--sample "
            f"{SUGGESTED}); each label keeps its share, rare ones at least 12 texts. All "
            "texts can be classified afterwards with the model that was trained: "
            "python -m helpers.classify (docs/scale.md)",
            report.text(),
        )
    if request.sample is None or request.sample >= len(frame):
        return frame
    if request.sample < steps.LEAST_TEXTS:
        raise NewTaskError(f"a sample of {request.sample} is too small: take 500 or more")
    kept = stratified_sample(frame, request.sample, request.seed)
    report.add(
        "Rows",
        [
            f"sample: {len(kept):,} of {len(frame):,} texts, stratified by label (rare labels keep "
            f"at least 12), seed {request.seed}"
        ],
        sample=len(kept),
        seed=request.seed,
    )
    return kept


def _finish(
    request: Request,
    root: Path,
    frame: pd.DataFrame,
    labelled: Labelled,
    keep: dict[str, str],
    report: Report,
) -> Made:
    numeric = labelled.label_type == "numeric"
    labels = [] if numeric else in_order(list(present(frame["labels"])))
    book, notes = codebook(labels, request.codebook) if not numeric else (None, [])
    names = {} if book is None else dict(zip(book["label"], book["name"], strict=True))
    words = numeric or has_words(names)
    if not words:
        notes.append(
            "the labels are numbers or signs, which say nothing to a model: give their names with "
            "CODEBOOK=file.csv (columns label and name). Without, zero-shot labelling only guesses"
        )
    report.add(
        "Labels", [*described.label_lines(labelled, frame, names), *notes], labels=len(labels)
    )
    lengths, facts = described.length_lines(frame["text"])
    language, share = language_of(frame["text"].tolist())
    report.add("Texts", [*lengths, *advice(language, share)], language=language, **facts)
    pairs, facts = described.pair_lines(frame, request.seed)
    report.add("Texts", pairs, **facts)
    english = language in (None, "English")
    plan = plan_for(frame["text"].tolist(), labelled.label_type, len(labels), english=english)
    report.add("Plan", described.plan_lines(request.name, plan, numeric), **vars(plan))
    report.facts["label_type"] = labelled.label_type
    shape = _shape(request, labelled, frame, labels, book, keep, words)
    files = write_task(root, shape, plan, frame, book, report)
    return Made(report, files, plan)


def _shape(
    request: Request,
    labelled: Labelled,
    frame: pd.DataFrame,
    labels: list[str],
    book: pd.DataFrame | None,
    keep: dict[str, str],
    words: bool,
) -> Shape:
    several = 1
    if labelled.label_type in ("multi", "multi_intensity"):
        several = max(1, min(3, math.ceil(frame["labels"].map(len).mean() + 0.5)))
    return Shape(
        name=request.name,
        description=request.description or f"{request.name}, {request.label}",
        label=request.label,
        label_type=labelled.label_type,
        levels=labelled.levels,
        labels=len(labels),
        several=several,
        subtopics=book is not None and "subtopic" in book,
        titles=len(request.text) > 1 and bool(frame["text"].str.strip().str.contains("\n").all()),
        words=words,
        keep=keep,
        file=request.file.name,
        show_texts=request.show_texts,
        periods=periods(frame[YEAR]) if YEAR in keep else [],
    )
