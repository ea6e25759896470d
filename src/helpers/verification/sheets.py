"""Review sheets: the widget's work as a CSV or Excel file, for coders without Python.

A sheet is for one coder and one mode. ``reject`` and ``correct`` have a row for each proposal
(and in ``correct`` one for labels that nobody proposed), ``blind`` a row for each text.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import pandas as pd

from helpers.tasks import Task
from helpers.verification.decisions import DecisionLog
from helpers.verification.events import Decision
from helpers.verification.sheet_cells import (
    NO_LABEL,
    SheetError,
    SheetMode,
    contradictions,
    decisions_of,
    matched,
    parse_labels,
    shown_label,
)
from helpers.verification.sheet_files import read_rows, write_csv, write_xlsx
from helpers.verification.synchronise import synchronise

__all__ = [
    "NOTE",
    "SheetError",
    "SheetMode",
    "export_sheet",
    "import_sheet",
    "parse_labels",
    "sheet_key",
    "sheet_rows",
    "shown_label",
]

NOTE = "contains texts: do not publish"
# `key` stands for text, label and level: Excel turns long ids into 1.23E+18, but leaves it alone.
FILLED = {"reject": ["decision"], "correct": ["decision", "labels"], "blind": ["labels"]}
INSTRUCTIONS = {
    "reject": "Each row shows a text and one label that was proposed for it. Write 'accept' in the "
    "column decision if the label applies to the text, 'reject' if it does not. Do not look for a "
    "better label.",
    "correct": "Each row shows a text and one label that was proposed for it. Write 'accept' in "
    "the column decision if the label applies, 'reject' if it does not. Write labels that are "
    "missing into the column labels of the last row of the text.",
    "blind": "Each row shows a text. Write the labels that apply into the column labels.",
}


def sheet_rows(
    task: Task,
    texts: pd.DataFrame,
    proposals: pd.DataFrame,
    assignment: pd.DataFrame,
    coder: str,
    mode: SheetMode,
) -> pd.DataFrame:
    """Return the rows of a coder's empty sheet, in the order of the assignment.

    Returns
    -------
    frame (key, id, text, label, level, name, <to fill in>, comment, note) of strings; what is to
    be filled in is ``decision`` and/or ``labels``, by mode. Without levels there is no ``level``.

    Raises
    ------
    SheetError
        If the coder has nothing to do in this mode, or a text is missing.
    """
    mine = assignment[assignment["coder"] == coder]
    mine = mine[mine["blind"].astype(bool) == (mode == "blind")].sort_values("position")
    content = dict(zip(texts["id"], texts["text"], strict=True))
    if lost := [i for i in mine["id"] if i not in content]:
        raise SheetError(f"{len(lost)} assigned texts are not among the texts, first {lost[0]}")
    proposed: dict[str, list[tuple[str, str]]] = {}
    for i, label, level in proposals[["id", "label", "level"]].itertuples(index=False):
        proposed.setdefault(i, []).append((label, level))
    rows = []
    for text_id in mine["id"]:
        items = [] if mode == "blind" else proposed.get(text_id, [])
        # An empty label: a place for labels that nobody proposed.
        for label, level in [*items, *([] if mode == "reject" else [("", "")])]:
            name = task.label_names.get(label, "")
            key = sheet_key(text_id, label, level)
            rows.append((key, text_id, content[text_id], label, level, name))
    if not rows:
        raise SheetError(f"coder {coder} has no texts to {mode}: is the name as in the assignment?")
    frame = pd.DataFrame(rows, columns=["key", "id", "text", "label", "level", "name"])
    hidden = [] if task.levels else ["level"]
    hidden += ["label", "level", "name"] if mode == "blind" else []
    frame = frame.drop(columns=hidden, errors="ignore")
    return frame.assign(**dict.fromkeys(FILLED[mode], ""), comment="", note=NOTE)


def sheet_key(text_id: str, label: str, level: str) -> str:
    """Return a short name of a row that no spreadsheet program takes for a number or date."""
    return "row-" + hashlib.sha256(repr((text_id, label, level)).encode()).hexdigest()[:10]


def export_sheet(
    path: Path,
    task: Task,
    texts: pd.DataFrame,
    proposals: pd.DataFrame,
    assignment: pd.DataFrame,
    coder: str,
    *,
    mode: SheetMode = "reject",
    delimiter: str = ",",
) -> Path:
    """Write a coder's review sheet; an existing file is never overwritten.

    Parameters
    ----------
    path : ``.csv`` or ``.xlsx``. The Excel file has lists to choose from, instructions and the
        codebook; it is the safer choice.
    texts : frame (id, text). The sheet holds them in full, and says that it must not be published.
    delimiter : of a CSV; ``;`` for Excel in countries that write 1,5.

    Notes
    -----
    Cells that a spreadsheet program would take for a formula are made harmless.

    Raises
    ------
    SheetError
        If there is such a file already, or the sheet would be empty.
    """
    if path.exists():
        raise SheetError(f"{path.name} exists already, perhaps filled in: give another name")
    frame = sheet_rows(task, texts, proposals, assignment, coder, mode)
    if path.suffix == ".xlsx":
        lines = [NOTE, "", INSTRUCTIONS[mode], *_how_to_fill(task, mode)]
        choices = {"decision": ["accept", "reject"]} if "decision" in frame else {}
        if "labels" in frame and task.label_type == "single":
            choices["labels"] = [*map(partial(shown_label, task), task.labels), NO_LABEL]
        write_xlsx(path, frame, FILLED[mode], lines, _codebook(task), choices)
    elif path.suffix == ".csv":
        write_csv(path, frame, delimiter)
    else:
        raise SheetError(f"{path.name}: a sheet is a .csv or an .xlsx file")
    return path


def import_sheet(
    path: Path,
    task: Task,
    proposals: pd.DataFrame,
    assignment: pd.DataFrame,
    log: DecisionLog,
    coder: str,
    *,
    mode: SheetMode = "reject",
) -> list[Decision]:
    """Check a sheet and append its decisions to the coder's log.

    All rows are checked first; if any is wrong nothing is saved. Empty decisions are left open,
    and so is a text whose sheet says nothing about it. Importing the same sheet again adds
    nothing; importing it with changes adds the changes.

    Returns
    -------
    The events that were added to the log.

    Raises
    ------
    SheetError
        Lists file, row and remedy of what is wrong: unknown or repeated rows, changed ids, labels
        or levels, words that are no decision, labels outside the codebook.
    """
    found = read_rows(path)
    problems: list[str] = []
    texts = pd.DataFrame({"id": assignment["id"].unique(), "text": ""})
    expected = sheet_rows(task, texts, proposals, assignment, coder, mode)
    rows = {row["key"]: row for row in expected.to_dict("records")}
    wanted: list[Decision] = []
    seen: dict[str, int] = {}
    for number, cells in found:
        try:
            row = matched(cells, rows, seen, number)
            wanted += decisions_of(task, row, cells, coder, mode)
        except SheetError as error:
            problems.append(f"  row {number}: {error}")
    problems += contradictions(task, wanted, mode)
    if problems:
        more = [f"  and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise SheetError(
            "\n".join([f"{path.name}: nothing was imported, because", *problems[:20], *more])
        )
    return synchronise(log, wanted)


def _codebook(task: Task) -> pd.DataFrame:
    rows = [(task.codes[label], label, task.label_names[label]) for label in task.labels]
    return pd.DataFrame(rows, columns=["code", "label", "name"])


def _how_to_fill(task: Task, mode: SheetMode) -> list[str]:
    lines = ["Leave a cell empty where you have not decided yet. Change nothing else."]
    if mode != "reject":
        many = "" if task.label_type == "single" else ", several separated by semicolons"
        lines.append(f"Labels: code, label or name of the sheet codebook{many}.")
        if task.levels:
            lines.append(f"With a level after a colon: one of {', '.join(task.levels)}.")
        lines.append(f"Write '{NO_LABEL}' if no label of the codebook applies.")
    return lines
