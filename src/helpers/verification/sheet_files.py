"""Files of review sheets: what spreadsheet programs do to cells, undone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd

from helpers.plans import HelpersError
from helpers.runs import atomic_path

# A cell that starts so is a formula to spreadsheet programs (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r")
LONGEST = 32_000  # characters; Excel holds 32,767 in a cell
WIDTHS = {"text": 80, "name": 28, "label": 24, "labels": 28, "comment": 30}


class SheetFileError(HelpersError):
    """A file is no review sheet."""


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet program takes for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def unguarded(cell: str) -> str:
    """Undo `guarded`."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA) else cell


def write_csv(path: Path, frame: pd.DataFrame, delimiter: str) -> None:
    """Write a sheet as CSV, with the byte order mark by which Excel knows UTF-8."""
    with atomic_path(path) as temporary:
        frame.map(guarded).to_csv(
            temporary,
            index=False,
            sep=delimiter,
            encoding="utf-8-sig",
            quoting=csv.QUOTE_ALL,
            lineterminator="\r\n",
        )


def write_xlsx(
    path: Path,
    frame: pd.DataFrame,
    filled: Sequence[str],
    instructions: Sequence[str],
    codebook: pd.DataFrame,
    choices: Mapping[str, Sequence[str]],
) -> None:
    """Write a sheet as Excel file: the sheets review, instructions and codebook.

    Parameters
    ----------
    filled : columns that the coder fills in; they are coloured.
    choices : column -> the words that may be chosen in it.
    """
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    book = Workbook()
    sheet = book.active
    sheet.title = "review"
    _fill(sheet, frame)
    sheet.freeze_panes = "A2"
    for place, name in enumerate(frame.columns, start=1):
        letter = get_column_letter(place)
        sheet.column_dimensions[letter].width = WIDTHS.get(name, 14)
        for cell in sheet[letter]:
            cell.alignment = Alignment(wrap_text=True, vertical="top")
            if name in filled:
                cell.fill = PatternFill("solid", fgColor="FFF2CC")
    _fill(book.create_sheet("instructions"), pd.DataFrame({"Instructions": list(instructions)}))
    _fill(book.create_sheet("codebook"), codebook)
    book["instructions"].column_dimensions["A"].width = 100
    # Lists stand on a sheet of their own: inside a formula Excel allows 255 characters.
    lists = book.create_sheet("lists")
    for place, (name, words) in enumerate(choices.items(), start=1):
        _fill(lists, pd.DataFrame({name: list(words)}), first=place)
        letter = get_column_letter(place)
        source = f"lists!${letter}$2:${letter}${len(words) + 1}"
        rule = DataValidation("list", formula1=source, allow_blank=True, showErrorMessage=True)
        rule.error = "Choose from the list, or leave the cell empty."
        target = get_column_letter(frame.columns.get_loc(name) + 1)
        rule.add(f"{target}2:{target}{len(frame) + 1}")
        sheet.add_data_validation(rule)
    lists.sheet_state = "hidden"
    for page in book.worksheets:
        for cell in page[1]:
            cell.font = Font(bold=True)
    with atomic_path(path) as temporary:
        book.save(temporary)


def _fill(sheet: object, frame: pd.DataFrame, first: int = 1) -> None:
    """Write a frame of strings as text cells: never as formula, number or date."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    for column, name in enumerate(frame.columns, start=first):
        for row, value in enumerate([name, *frame[name]], start=1):
            text = ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", str(value))
            if len(text) > LONGEST:
                text = text[:LONGEST] + " [cut here: longer than a cell can be]"
            cell = sheet.cell(row, column)  # type: ignore[attr-defined]
            if text:
                cell.value = text
                cell.data_type = "s"
            cell.number_format = "@"
            cell.quotePrefix = text.startswith(FORMULA)


def read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Read a sheet: (row number as the spreadsheet shows it, cells by column name).

    CSV may be in UTF-8 with or without byte order mark, UTF-16 or Windows-1252, with commas,
    semicolons or tabs: as Excel writes it in different countries. Empty rows are left out.

    Raises
    ------
    SheetFileError
        If the file is missing, of another kind, or has no header with the column ``key``.
    """
    if not path.is_file():
        raise SheetFileError(f"{path.name} is missing: check the name and folder")
    readers = {".csv": _csv_rows, ".xlsx": _xlsx_rows}
    if path.suffix.lower() not in readers:
        raise SheetFileError(f"{path.name}: a sheet is a .csv or an .xlsx file")
    rows = [row for row in readers[path.suffix.lower()](path) if any(c.strip() for c in row[1])]
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    if "key" not in header or len(set(header)) < len(header):
        raise SheetFileError(
            f"{path.name}: the first row must be the header of the sheet, with each column once "
            "and 'key' among them: put it back as it was"
        )
    found = []
    for number, cells in rows[1:]:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise SheetFileError(
                f"{path.name}, row {number}: has {len(cells)} cells, the header {len(header)}: "
                "remove what stands beside the table"
            )
        padded = [*cells, *[""] * len(header)]
        found.append((number, dict(zip(header, padded, strict=False))))
    return found


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    text = _decoded(path.read_bytes())
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep="):
        yield from _parsed(path, rest, first[4:5], 2)
        return
    delimiter = max(",;\t", key=first.count)
    yield from _parsed(path, text, delimiter, 1)


def _parsed(path: Path, text: str, delimiter: str, start: int) -> Iterator[tuple[int, list[str]]]:
    # Rows are counted as a spreadsheet counts them: a cell may hold several lines.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = start
    try:
        for number, row in enumerate(reader, start=start):
            yield number, row
    except csv.Error as error:
        raise SheetFileError(
            f"{path.name}, after row {number}: no valid CSV ({error}): check the quotes"
        ) from error


def _decoded(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What is checked and kept is plain ASCII, but for comments.
        return raw.decode("cp1252", errors="replace")


def _xlsx_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, BadZipFile, KeyError, OSError) as error:
        raise SheetFileError(f"{path.name} is no Excel file ({error}): save it as .xlsx") from error
    if "review" not in book.sheetnames:
        raise SheetFileError(f"{path.name} has no sheet 'review': do not rename it")
    for number, cells in enumerate(book["review"].iter_rows(values_only=True), start=1):
        yield number, [_cell_text(cell) for cell in cells]
    book.close()


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
