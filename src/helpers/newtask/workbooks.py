"""Excel workbooks: the sheet with the wanted columns, below titles, with formulas and merges."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from helpers.newtask.delimited import HEADER_ROWS, SHOWN, matches, plain
from helpers.newtask.errors import NewTaskError

LARGE = 15 * 2**20
"""Bytes from which a workbook is read row by row, without a look at formulas and merged cells."""


def read_workbook(
    path: Path, wanted: Sequence[str], sheet: str | None = None
) -> tuple[list[str], list[tuple[int, list[Any]]], list[str], dict[str, str]]:
    """Read the sheet of an .xlsx file that has the wanted columns.

    Returns
    -------
    header, rows (row number and cells), notes, facts (the sheet).

    Raises
    ------
    NewTaskError
        If no sheet has the columns, several have, or a formula was never computed.
    """
    import openpyxl

    large = path.stat().st_size > LARGE
    content = path.read_bytes()  # openpyxl refuses names that end otherwise
    try:
        book = openpyxl.load_workbook(BytesIO(content), data_only=True, read_only=large)
    except (BadZipFile, KeyError, ValueError, OSError) as error:
        raise NewTaskError(
            f"{path.name} cannot be opened as an Excel workbook ({error}): open it in Excel or "
            "LibreOffice and save it as .xlsx, without a password"
        ) from error
    found = _sheets(book, wanted, sheet)
    name, start, grid = _one_sheet(found, wanted, path)
    notes = _first_notes(book, name, start, grid)
    header = [str(cell).strip() if cell is not None else "" for cell in grid[start]]
    columns = {i for i, text in enumerate(header) if plain(text) in set(map(plain, wanted))}
    if large:
        notes.append("a large workbook: formulas and merged cells were not looked for")
    else:
        notes += _formulas(content, path.name, book[name], start, columns)
        notes += _fill_merged(book[name], grid, start, columns)
    rows = [(i + 1, row) for i, row in enumerate(grid) if i > start and any(map(_filled, row))]
    return header, rows, notes, {"sheet": name}


def _filled(cell: Any) -> bool:
    return cell is not None and str(cell).strip() != ""


def _sheets(book: Any, wanted: Sequence[str], sheet: str | None) -> dict[str, list[list[Any]]]:
    names = [ws.title for ws in book.worksheets]  # without charts
    if sheet is not None and sheet not in names:
        raise NewTaskError(f"no sheet '{sheet}': the workbook has {', '.join(names)}")
    read = [sheet] if sheet is not None else names
    return {name: [list(row) for row in book[name].iter_rows(values_only=True)] for name in read}


def _one_sheet(
    sheets: dict[str, list[list[Any]]], wanted: Sequence[str], path: Path
) -> tuple[str, int, list[list[Any]]]:
    """Return the sheet with the wanted columns, and the place of its header."""
    best: dict[str, tuple[int, int]] = {}
    for name, grid in sheets.items():
        rows = [[str(c) for c in row if c is not None] for row in grid[:HEADER_ROWS]]
        hits = [matches(row, wanted) for row in rows]
        if any(rows):
            top = max(range(len(rows)), key=lambda i: (hits[i], bool(rows[i]), -i))
            best[name] = (hits[top], top)
    if not best:
        raise NewTaskError(f"{path.name} is empty: it needs a header and rows")
    most = max(hits for hits, _ in best.values())
    complete = [name for name, (hits, _) in best.items() if hits == most]
    if most == len(wanted) and len(complete) > 1:
        raise NewTaskError(
            f"{path.name} has several sheets with these columns: {', '.join(complete)}. Name one: "
            "--sheet"
        )
    name = complete[0]
    return name, best[name][1], sheets[name]


def _first_notes(book: Any, name: str, start: int, grid: list[list[Any]]) -> list[str]:
    notes = []
    others = [ws.title for ws in book.worksheets if ws.title != name]
    if others:
        notes.append(f"sheet '{name}' was read, not {', '.join(others)}")
    if start:
        notes.append(f"the header was found in row {start + 1}; what stands above was skipped")
    empty = sum(1 for row in grid[start + 1 :] if not any(map(_filled, row)))
    if empty:
        notes.append(f"{empty} empty row(s) were skipped")
    return notes


def _formulas(content: bytes, file: str, values: Any, start: int, columns: set[int]) -> list[str]:
    import openpyxl

    formulas = openpyxl.load_workbook(BytesIO(content))[values.title]
    found, never = 0, []
    for row in formulas.iter_rows(min_row=start + 2):
        for cell in row:
            if cell.data_type == "f" and cell.column - 1 in columns:
                found += 1
                if values[cell.coordinate].value is None:
                    never.append(cell.coordinate)
    if never:
        shown = ", ".join(never[:SHOWN]) + (" ..." if len(never) > SHOWN else "")
        raise NewTaskError(
            f"{file}, sheet '{values.title}': {len(never)} cell(s) are formulas without a computed "
            f"value ({shown}): open the file in Excel or LibreOffice, save it, and try again"
        )
    return [f"{found} cell(s) are formulas: their last computed values were taken"] if found else []


def _fill_merged(ws: Any, grid: list[list[Any]], start: int, columns: set[int]) -> list[str]:
    """Give every row of merged cells their value, in the columns that are read."""
    filled = 0
    for area in ws.merged_cells.ranges:
        if area.min_row <= start + 1 or area.min_col - 1 not in columns:
            continue
        value = grid[area.min_row - 1][area.min_col - 1]
        for row in range(area.min_row, area.max_row):
            grid[row][area.min_col - 1] = value
            filled += 1
    return (
        [f"{filled} row(s) of merged cells got the value that stands in the first"]
        if filled
        else []
    )
