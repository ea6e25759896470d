"""Checks of data: what is wrong is named with its file, line, value and remedy.

Raw rows (index: line number) are checked with a pandera schema before anything is made of them,
and every finished texts frame is checked once more. All problems of a file are collected first;
nothing is loaded from a file that has any.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pandas as pd

from helpers.runs import REPO, HelpersError

if TYPE_CHECKING:  # pandera takes half a second to import, and only loaders check
    import pandera.pandas as pa

SHOWN_PROBLEMS = 20
Problems = list[tuple[int, str]]


class DataError(HelpersError):
    """Data cannot be used as it is; the message names the file, the line and the remedy."""


class Loaded(NamedTuple):
    """What every loader returns.

    Attributes
    ----------
    frame : texts (columns id, text, labels and extras; no split).
    dropped : rows that the source has and the frame has not: reason, count, ids.
    notes : counts found while loading (cross-checks, sizes), for the chapter that shows them.
    """

    frame: pd.DataFrame
    dropped: pd.DataFrame
    notes: dict[str, Any]


@cache
def texts_schema() -> pa.DataFrameSchema:
    """Return the schema of every texts frame, whatever its source."""
    import pandera.pandas as pa

    return pa.DataFrameSchema(
        {
            "id": pa.Column(str, pa.Check.str_length(min_value=1), unique=True),
            "text": pa.Column(str, pa.Check.str_matches(r"(?s)\s*\S")),
            "labels": pa.Column(str),
        }
    )


def check_texts(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Check a finished texts frame against `texts_schema` and return it.

    Raises
    ------
    DataError
        If an id is missing or occurs twice, or a text is blank. Texts are never quoted.
    """
    import pandera.pandas as pa

    try:
        return texts_schema().validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        rows = [
            f"  {column}: {check}, {len(part)} row(s), first at row {part['index'].iloc[0]}"
            for (column, check), part in cases.groupby(["column", "check"], sort=True)
        ]
        raise DataError(f"{source} gives no valid texts:\n" + "\n".join(rows)) from error


def dropped_table(rows: Iterable[tuple[str, Iterable[str]]]) -> pd.DataFrame:
    """Return the frame (reason, count, ids) of dropped rows; ids are separated by spaces."""
    table = [(reason, [str(i) for i in ids]) for reason, ids in rows]
    return pd.DataFrame(
        {
            "reason": pd.Series([reason for reason, _ in table], dtype=str),
            "count": pd.Series([len(ids) for _, ids in table], dtype=int),
            "ids": pd.Series([" ".join(sorted(ids)) for _, ids in table], dtype=str),
        }
    )


def shown_path(path: Path) -> str:
    """Return a path as messages show it: relative to the repository where it lies inside."""
    resolved = path.resolve()
    return str(resolved.relative_to(REPO) if resolved.is_relative_to(REPO) else path)


def shown_value(value: Any) -> str:
    """Return an offending value as messages show it: as JSON, cut to 80 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def raise_problems(path: Path, problems: Problems) -> NoReturn:
    """Raise a DataError that lists the first problems of a file by line, and how many there are."""
    listed = [f"  line {line}: {what}" for line, what in sorted(problems)[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        listed.append(f"  ... and {len(problems) - SHOWN_PROBLEMS} more")
    raise DataError(
        f"{shown_path(path)} has {len(problems)} problem(s); nothing was loaded from it\n"
        + "\n".join(listed)
        + "\nCorrect these lines and run the same command again."
    )


def is_text(value: Any) -> bool:
    """Tell whether a value is a string with something in it."""
    return isinstance(value, str) and bool(value.strip())


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number (True and False are not)."""
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)


def is_integer(value: Any) -> bool:
    """Tell whether a value is a whole number of an integer type."""
    return isinstance(value, int) and type(value) is not bool


def is_boolean(value: Any) -> bool:
    """Tell whether a value is True or False."""
    return isinstance(value, bool)


TYPES = {"string": is_text, "integer": is_integer, "number": is_number, "boolean": is_boolean}


def column_check(test: Any, remedy: str, nullable: bool = False) -> pa.Column:
    """Return a required pandera column of raw objects, each of which must pass `test`.

    Missing values fail as well, unless `nullable`; `remedy` is what the user reads.
    """
    import pandera.pandas as pa

    check = pa.Check(test, element_wise=True, ignore_na=True, error=remedy)
    return pa.Column(object, check, nullable=nullable, required=True)


def schema_problems(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> Problems:
    """Validate raw rows (index: line) and return one problem for each value that fails."""
    import pandera.pandas as pa

    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        return [_explain(case, frame) for case in error.failure_cases.to_dict("records")]
    return []


def _explain(case: dict[Any, Any], frame: pd.DataFrame) -> tuple[int, str]:
    if case["check"] == "column_in_dataframe":
        found = ", ".join(map(str, frame.columns))
        return 1, f"no row has the field '{case['failure_case']}'; fields found: {found}"
    line, column = int(case["index"]), case["column"]
    if case["check"] == "not_nullable":
        return line, f"'{column}' is missing or empty: fill it in, or delete the line"
    return line, f"'{column}' is {shown_value(frame.loc[line, column])}: {case['check']}"
