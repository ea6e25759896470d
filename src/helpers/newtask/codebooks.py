"""The codebook of a new task: made from the labels, or a user's own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from helpers.newtask.columns import as_text, each, number
from helpers.newtask.delimited import plain
from helpers.newtask.errors import NewTaskError
from helpers.newtask.labelled import in_order
from helpers.newtask.reading import read_table

NAMES = ("name", "title", "meaning", "label_name", "description")
KEYS = ("label", "key", "value", "code", "category")
SUBTOPICS = ("subtopic", "keyword", "keywords", "example_name")


def codebook(labels: Sequence[str], file: Path | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Return the codebook (label, name, code, subtopic), and notes.

    Parameters
    ----------
    labels : those that occur.
    file : a user's codebook: a column ``label``, one ``name`` (what models read), optionally
        ``subtopic`` (one row each; models read their names too).

    Raises
    ------
    NewTaskError
        If the file lacks a label that occurs, or has no fitting columns.
    """
    if file is None:
        names = in_order(labels)
        table = pd.DataFrame({"label": names, "name": names})
        return _with_codes(table), []
    source = read_table(file, ["label"])
    table, renamed = _columns(source.frame, file.name)
    known = {_form(label): label for label in table["label"]}
    missing = [label for label in labels if _form(label) not in known]
    if missing:
        close = difflib.get_close_matches(missing[0], list(table["label"]), n=1, cutoff=0.6)
        hint = f" (its '{close[0]}' looks alike)" if close else ""
        raise NewTaskError(
            f"{file.name} has no row for {len(missing)} label(s) of the texts: "
            f"{', '.join(repr(x) for x in missing[:8])}{hint}. Add them, or correct the texts"
        )
    spelt = {_form(label): label for label in labels}
    table["label"] = [spelt.get(_form(label), label) for label in table["label"]]
    notes = [f"codebook {file.name}: {table['label'].nunique()} labels{renamed}"]
    if unused := [x for x in dict.fromkeys(table["label"]) if x not in set(labels)]:
        notes.append(
            f"{len(unused)} label(s) of the codebook have no text and were left out: "
            + ", ".join(unused[:8])
        )
        table = table[table["label"].isin(set(labels))].reset_index(drop=True)
    return _with_codes(table), notes


def _form(label: str) -> str:
    value = number(label)
    return repr(value) if value is not None else " ".join(label.casefold().split())


def _columns(frame: pd.DataFrame, file: str) -> tuple[pd.DataFrame, str]:
    by_name = {plain(str(column)): column for column in frame}

    def first(names: Sequence[str]) -> str | None:
        return next((by_name[plain(n)] for n in names if plain(n) in by_name), None)

    key = first(KEYS)
    if key is None:
        raise NewTaskError(
            f"{file}: a codebook needs the columns label and name; it has {', '.join(by_name)}"
        )
    name, sub = first(NAMES), first(SUBTOPICS)
    table = pd.DataFrame({"label": each(frame[key], as_text)})
    named = each(frame[name], as_text) if name is not None else table["label"]
    table["name"] = named.where(named.notna(), table["label"])
    if sub is not None:
        table["subtopic"] = each(frame[sub], as_text)
        table = table[table["subtopic"].notna()]
    table = table[table["label"].notna()].reset_index(drop=True)
    if sub is None:
        table = table.drop_duplicates("label").reset_index(drop=True)
    used = "" if name is None else f", their names from its column '{name}'"
    return table, used + ("" if sub is None else f", and subtopics from '{sub}'")


def _with_codes(table: pd.DataFrame) -> pd.DataFrame:
    """Number the labels from 1: the numbers are what a model answers with."""
    place = {label: str(i) for i, label in enumerate(dict.fromkeys(table["label"]), start=1)}
    table = table.assign(code=table["label"].map(place))
    if "subtopic" in table:
        running = table.groupby("label").cumcount() + 1
        table["subcode"] = table["code"] + running.map("{:03d}".format)
    return table


def has_words(names: Mapping[str, str] | Sequence[str]) -> bool:
    """Whether names say something to a reader: most have a word of three letters."""
    values = list(names.values()) if isinstance(names, Mapping) else list(names)
    return sum(sum(c.isalpha() for c in name) >= 3 for name in values) > len(values) / 2
