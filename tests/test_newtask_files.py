"""Files as people have them are read, repaired with a note, or refused with place and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from helpers.newtask import NewTaskError
from helpers.newtask.columns import as_text, resolve
from helpers.newtask.reading import read_table

WANTED = ["text", "label"]


def write(
    folder: Path, content: str | bytes, name: str = "file.csv", encoding: str = "utf-8"
) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def rows(n: int = 6, mark: str = ",") -> str:
    lines = [f"id{mark}text{mark}label"]
    lines += [f"{i}{mark}a text of number {i}{mark}{'yes' if i % 2 else 'no'}" for i in range(n)]
    return "\n".join(lines) + "\n"


def notes(source) -> str:
    return "\n".join(source.notes)


@pytest.mark.parametrize(
    ("mark", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "vertical bar")]
)
def test_the_delimiter_is_found(tmp_path, mark, name):
    source = read_table(write(tmp_path, rows(mark=mark)), WANTED)
    assert source.facts["delimiter"] == name
    assert source.frame["label"].tolist() == ["no", "yes"] * 3
    assert source.frame.index.tolist() == [2, 3, 4, 5, 6, 7]


def test_commas_in_texts_do_not_win_over_the_real_delimiter(tmp_path):
    text = "text;label\n" + "one, two, three, four;yes\nfive, six, seven, eight;no\n" * 5
    assert read_table(write(tmp_path, text), WANTED).facts["delimiter"] == "semicolon"


def test_excels_own_hint_at_the_delimiter_is_obeyed(tmp_path):
    source = read_table(write(tmp_path, "sep=|\r\ntext|label\r\na;b|yes\r\n"), WANTED)
    assert source.frame["text"].tolist() == ["a;b"] and source.frame.index.tolist() == [3]


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("cp1252", "cp1252"),
        ("latin-1", "cp1252"),  # equal for letters
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ],
)
def test_the_encoding_is_found(tmp_path, encoding, found):
    text = "text,label\n" + "Größe und Übermaß der Straße,ja\nÄrger über Füße,nein\n" * 20
    source = read_table(write(tmp_path, text, encoding=encoding), WANTED)
    assert source.facts["encoding"] == found
    assert source.frame["text"].iloc[0] == "Größe und Übermaß der Straße"
    assert ("guess" in notes(source)) == (found == "cp1252")


def test_cyrillic_in_a_windows_code_page_is_read(tmp_path):
    line = "Городская администрация обещает построить новую школу и дороги в следующем году"
    text = "text,label\n" + f"{line},да\n{line} снова,нет\n" * 30
    source = read_table(write(tmp_path, text, encoding="cp1251"), WANTED)
    assert source.facts["encoding"] == "cp1251" and source.frame["text"].iloc[0] == line


def test_single_lines_of_another_encoding_are_read_and_named(tmp_path):
    good = "".join(f"schöner Text {i},ja\n" for i in range(40)).encode()
    content = b"text,label\n" + good + "fußläufig,nein\n".encode("cp1252")
    source = read_table(write(tmp_path, content), WANTED)
    assert source.frame["text"].iloc[-1] == "fußläufig"
    assert "1 line(s) are no UTF-8" in notes(source) and "42" in notes(source)


def test_a_named_encoding_that_does_not_fit_is_refused(tmp_path):
    path = write(tmp_path, "text,label\nä,b\n", encoding="cp1252")
    with pytest.raises(NewTaskError, match="line 2 is not valid utf-8"):
        read_table(path, WANTED, encoding="utf-8")
    with pytest.raises(NewTaskError, match="no encoding 'utf8000'"):
        read_table(path, WANTED, encoding="utf8000")


def test_quotes_and_line_breaks_inside_texts(tmp_path):
    text = 'id,text,label\n1,"two\nlines, and a ""word""",yes\n2,plain,no\n'
    source = read_table(write(tmp_path, text), WANTED)
    assert source.frame["text"].tolist() == ['two\nlines, and a "word"', "plain"]
    assert source.frame.index.tolist() == [2, 4]  # lines of the file, not numbers of records


def test_an_open_quote_is_named_with_its_line(tmp_path):
    text = rows(4) + '9,"never closed,yes\n10,next,no\n'
    with pytest.raises(NewTaskError, match=r"file.csv: line 6: a quotation mark opens"):
        read_table(write(tmp_path, text), WANTED)


def test_an_open_quote_that_another_one_closes_is_named_too(tmp_path):
    text = rows(4) + '9,"never closed,yes\n10,"next",no\n11,other,no\n'
    with pytest.raises(NewTaskError, match="line 6: a quotation mark opens"):
        read_table(write(tmp_path, text), WANTED)


def test_a_quote_that_is_not_doubled_costs_its_row_and_says_so(tmp_path):
    source = read_table(write(tmp_path, rows(9) + '9,"he said "no" twice",yes\n'), WANTED)
    assert len(source.frame) == 9 and "line 11: quotes" in notes(source)


def test_rows_of_another_length_are_left_out_by_line_or_refused(tmp_path):
    few = read_table(write(tmp_path, rows(400) + "400,one, too many,yes\n"), WANTED)
    assert len(few.frame) == 400 and "line 402: 4 fields instead of 3" in notes(few)
    many = rows(20) + "".join(f"{i},one, two,yes\n" for i in range(10))
    with pytest.raises(NewTaskError, match="10 of 30 rows cannot be read"):
        read_table(write(tmp_path, many), WANTED)


def test_missing_cells_at_the_end_of_a_row_do_not_matter(tmp_path):
    text = "text,label,remark\nfirst,yes,good\nsecond,no\nthird,no,,,\n"
    source = read_table(write(tmp_path, text), WANTED)
    assert source.frame["remark"].tolist() == ["good", None, None]


def test_nul_bytes_are_removed_and_reported(tmp_path):
    source = read_table(write(tmp_path, b"text,label\nfirst\0 text,yes\nsecond,no\n"), WANTED)
    assert source.frame["text"].iloc[0] == "first text"
    assert "1 NUL byte(s) were removed, the first in line 2" in notes(source)


def test_lines_above_the_header_and_empty_lines_are_skipped(tmp_path):
    source = read_table(write(tmp_path, "My survey,,\n\n" + rows(3)), WANTED)
    assert len(source.frame) == 3 and "header was found in line 3" in notes(source)


def test_line_ends_of_old_macs(tmp_path):
    assert len(read_table(write(tmp_path, rows(5).replace("\n", "\r")), WANTED).frame) == 5


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path, content):
    with pytest.raises(NewTaskError, match=r"file\.csv.*empty"):
        read_table(write(tmp_path, content), WANTED)


def test_a_header_without_rows_is_refused(tmp_path):
    with pytest.raises(NewTaskError, match="no rows below"):
        read_table(write(tmp_path, "text,label\n"), WANTED)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(NewTaskError, match="no file"):
        read_table(tmp_path / "nothing.csv", WANTED)


# --- columns


def test_a_missing_column_names_the_close_ones():
    frame = pd.DataFrame(columns=["id", "Comment text", "category"])
    with pytest.raises(NewTaskError, match=r"no column 'categroy'. Did you mean 'category'"):
        resolve(frame, ["categroy"], "f.csv")
    assert resolve(frame, ["comment_TEXT "], "f.csv")[0] == ["Comment text"]


def test_two_columns_of_the_wanted_name_are_refused(tmp_path):
    with pytest.raises(NewTaskError, match="more than one column"):
        read_table(write(tmp_path, "text,label,label\na,b,c\n"), WANTED)


@pytest.mark.parametrize(
    ("cell", "text"),
    [(1.0, "1"), (2.5, "2.5"), (True, "true"), (float("nan"), None), (" \ufeffa\r\nb ", "a\nb")],
)
def test_cells_as_text(cell, text):
    assert as_text(cell) == text


# --- workbooks


def workbook(folder: Path, *lines, name: str = "file.xlsx") -> Path:
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(list(line))
    book.save(folder / name)
    return folder / name


def test_titles_empty_columns_and_other_sheets_of_a_workbook(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "notes"
    book.active["A1"] = "nothing"
    sheet = book.create_sheet("data")
    sheet["A1"] = "Wave 1"
    sheet.merge_cells("A1:C1")
    for line in [[], ["text", None, "label"], ["one", None, "yes"], [], ["two", None, "no"]]:
        sheet.append(line)
    book.save(tmp_path / "file.xlsx")
    source = read_table(tmp_path / "file.xlsx", WANTED)
    assert source.frame.columns.tolist() == ["text", "label"]
    assert source.frame.index.tolist() == [4, 6]
    assert "sheet 'data' was read, not notes" in notes(source)
    assert "header was found in row 3" in notes(source) and "1 empty row" in notes(source)


def test_two_sheets_with_the_columns_need_a_choice(tmp_path):
    book = openpyxl.Workbook()
    for title in ("first", "second"):
        sheet = book.create_sheet(title)
        sheet.append(["text", "label"])
        sheet.append([f"in {title}", "yes"])
    book.save(tmp_path / "file.xlsx")
    with pytest.raises(NewTaskError, match="several sheets with these columns: first, second"):
        read_table(tmp_path / "file.xlsx", WANTED)
    assert (
        read_table(tmp_path / "file.xlsx", WANTED, sheet="second").frame["text"][2] == "in second"
    )
    with pytest.raises(NewTaskError, match="no sheet 'third'"):
        read_table(tmp_path / "file.xlsx", WANTED, sheet="third")


def test_merged_cells_in_the_body_give_every_row_their_value(tmp_path):
    path = workbook(tmp_path, ["text", "label"], ["one", "yes"], ["two", None], ["three", "no"])
    book = openpyxl.load_workbook(path)
    book.active.merge_cells("B2:B3")
    book.save(path)
    source = read_table(path, WANTED)
    assert source.frame["label"].tolist() == ["yes", "yes", "no"]
    assert "1 row(s) of merged cells" in notes(source)


def test_formulas_that_were_never_computed_are_refused_by_cell(tmp_path):
    path = workbook(tmp_path, ["text", "label"], ["one", "yes"], ["two", '=IF(1=1,"yes","no")'])
    with pytest.raises(NewTaskError, match=r"1 cell\(s\) are formulas without a computed.*B3"):
        read_table(path, WANTED)


def test_formulas_in_other_columns_do_not_matter(tmp_path):
    path = workbook(tmp_path, ["text", "label", "n"], ["one", "yes", "=1+1"], ["two", "no", 3])
    assert len(read_table(path, WANTED).frame) == 2


# --- what the name does not say


def test_the_content_decides_what_a_file_is(tmp_path):
    book = workbook(tmp_path, ["text", "label"], ["one", "yes"])
    renamed = book.rename(tmp_path / "table.csv")
    source = read_table(renamed, WANTED)
    assert source.facts["kind"] == "xlsx" and "is an Excel workbook" in notes(source)
    text = write(tmp_path, rows(3), "table.xlsx")
    assert read_table(text, WANTED).facts["kind"] == "csv"


@pytest.mark.parametrize(
    ("start", "message"), [(b"\xd0\xcf\x11\xe0rest", "old Excel file"), (b"%PDF-1.7", "no table")]
)
def test_what_is_no_table_is_refused(tmp_path, start, message):
    with pytest.raises(NewTaskError, match=message):
        read_table(write(tmp_path, start), WANTED)


def test_a_damaged_workbook_is_refused(tmp_path):
    path = workbook(tmp_path, ["text", "label"], ["one", "yes"])
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(NewTaskError, match="cannot be opened as an Excel workbook"):
        read_table(path, WANTED)


def test_parquet_and_json_lines(tmp_path):
    frame = pd.DataFrame({"text": ["one", "two"], "label": [["a", "b"], ["a"]]})
    frame.to_parquet(tmp_path / "f.parquet")
    read = read_table(tmp_path / "f.parquet", WANTED).frame
    assert read["label"].tolist() == [["a", "b"], ["a"]]
    lines = "\n".join(json.dumps(record) for record in frame.to_dict("records"))
    read = read_table(write(tmp_path, lines, "f.jsonl"), WANTED).frame
    assert read["label"].tolist() == [["a", "b"], ["a"]]
    whole = write(tmp_path, json.dumps(frame.to_dict("records")), "f.json")
    assert len(read_table(whole, WANTED).frame) == 2


def test_broken_json_and_parquet_are_refused_with_their_place(tmp_path):
    with pytest.raises(NewTaskError, match=r"f\.jsonl.*line 2"):
        read_table(write(tmp_path, '{"text": "a", "label": "b"}\n{oops\n', "f.jsonl"), WANTED)
    with pytest.raises(NewTaskError, match="no valid Parquet"):
        read_table(write(tmp_path, b"PAR1 and no more", "f.parquet"), WANTED)
