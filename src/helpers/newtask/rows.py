"""From cells to rows that can be studied: texts, ids, duplicates, rare labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from helpers.newtask.columns import CONTROL, as_text, each, number
from helpers.newtask.errors import NewTaskError
from helpers.newtask.labelled import Labelled, present

SHOWN = 8
LEAST_TEXTS = 60
"""Fewer texts give no test set worth the name (25%: 15 texts)."""
MIN_CLASS = 4
"""A class needs a text in each of training, validation and test, and one to spare."""


class Step(NamedTuple):
    """What is left after a step, and what happened, in words and as numbers."""

    frame: pd.DataFrame
    notes: list[str]
    facts: dict[str, Any]


def some(rows: Sequence[Any]) -> str:
    """Return the first few of many: ``3, 17, 18 and 40 more``."""
    shown = ", ".join(map(str, rows[:SHOWN]))
    return shown + (f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")


# --- texts


def texts_of(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.Series, list[str]]:
    """Join the text columns with line breaks; None where all are empty.

    Raises
    ------
    NewTaskError
        If they hold nothing but numbers; names the column with the longest texts.
    """
    parts = [each(frame[column], as_text) for column in columns]
    joined = ["\n".join(part for part in row if part) or None for row in zip(*parts, strict=True)]
    texts = pd.Series(joined, index=frame.index, dtype=object)
    filled = texts.dropna()
    if filled.empty:
        raise NewTaskError(f"column {_named(columns)} holds no text: all its cells are empty")
    if filled.map(lambda text: number(text) is not None).mean() > 0.9:
        raise NewTaskError(f"column {_named(columns)} holds numbers, not texts{_longest(frame)}")
    strange = frame[list(columns)].map(lambda c: isinstance(c, str) and bool(CONTROL.search(c)))
    count = int(strange.any(axis=1).sum())
    notes = [f"control characters were removed from {count} text(s)"] if count else []
    return texts, notes


def _named(columns: Sequence[str]) -> str:
    return " + ".join(f"'{column}'" for column in columns)


def _longest(frame: pd.DataFrame) -> str:
    sample = frame.head(500)
    length = {
        str(c): sample[c].map(lambda v: len(v) if isinstance(v, str) else 0).mean() for c in frame
    }
    best = max(length, key=lambda c: length[c])
    return f": did you mean '{best}', whose cells are longest?" if length[best] > 15 else ""


# --- ids


def ids_of(frame: pd.DataFrame, column: str | None) -> tuple[pd.Series, list[str]]:
    """Return one id a row, each different: the column's, or made from the row's number."""
    made = pd.Series([f"row-{row}" for row in frame.index], index=frame.index, dtype=object)
    if column is None:
        return made, []
    cells = frame[column]
    ids, notes = each(cells, as_text), []
    points = sum(isinstance(c, float) and c.is_integer() for c in cells)
    numbers = each(ids, number)
    if not points and all(v is None or v.is_integer() for v in numbers):
        # Numbers with a point everywhere (else "4.10" may be a name).
        dotted = [isinstance(text, str) and bool(re.fullmatch(r"\d+\.0", text)) for text in ids]
        points = sum(dotted)
        ids = each(ids, lambda text: text.removesuffix(".0") if points and text else text)
    if points:
        notes.append(f"{points} id(s) were numbers with a decimal point (1.0): read as 1")
    if missing := int(ids.isna().sum()):
        notes.append(f"{missing} row(s) have no id and got one: row-<number of the row>")
    ids = pd.Series([a or b for a, b in zip(ids, made, strict=True)], frame.index, dtype=object)
    again = ids.duplicated()
    if again.mean() > 0.5:
        notes.append(
            f"column '{column}' is no identifier (most values repeat): ids were made from the rows"
        )
        return made, notes
    if again.any():
        rows = [int(row) for row in frame.index[again]]
        notes.append(f"{len(rows)} id(s) were used before and got -2, -3 ...: row {some(rows)}")
        ids = _told_apart(ids)
    return ids, notes


def _told_apart(ids: pd.Series) -> pd.Series:
    used, found = set(ids), []
    count: Counter[str] = Counter()
    for value in ids:
        count[value] += 1
        name = value
        while count[value] > 1 and name in used:
            name = f"{value}-{count[value]}"
            if name in used:
                count[value] += 1
        used.add(name)
        found.append(name)
    return pd.Series(found, index=ids.index, dtype=object)


# --- rows that cannot be studied


def usable(frame: pd.DataFrame) -> Step:
    """Leave out rows without text or without label; they are named."""
    empty = frame.index[frame["text"].isna()]
    bare = frame.index[frame["labels"].isna() & frame["text"].notna()]
    notes = []
    if len(empty):
        notes.append(f"{len(empty)} row(s) have no text and were left out: row {some(list(empty))}")
    if len(bare):
        notes.append(
            f"{len(bare)} text(s) have no label and were left out: row {some(list(bare))}. (For "
            "tasks with several labels: write none where no label applies.)"
        )
    kept = frame.drop(index=[*empty, *bare])
    return Step(kept, notes, {"empty_texts": len(empty), "without_label": len(bare)})


def duplicates(frame: pd.DataFrame) -> Step:
    """Keep one row of each text; where labels contradict each other, the majority's or none.

    Texts are the same if they differ only in case, spaces, punctuation, links and @names
    (`helpers.data.leakage.normal_form`): what stands in two splits must not differ in these alone.
    """
    from helpers.data.leakage import normal_form

    forms = frame["text"].map(normal_form)
    repeated = forms[forms.duplicated(keep=False)]
    drop: list[Any] = []
    settled: list[Any] = []
    undecided: list[Any] = []
    for _, rows in repeated.groupby(repeated, sort=False).groups.items():
        votes = Counter(repr(frame.at[row, "labels"]) for row in rows)
        (best, most), *others = votes.most_common(2)
        if others and others[0][1] == most:
            undecided += list(rows)
            continue
        keep = next(row for row in rows if repr(frame.at[row, "labels"]) == best)
        drop += [row for row in rows if row != keep]
        settled += list(rows) if others else []
    notes = []
    if drop:
        notes.append(
            f"{len(drop)} text(s) repeat another one word for word and were left out: "
            f"row {some(drop)}"
        )
    if settled:
        notes.append(
            f"of these, {len(settled)} row(s) are the same text with DIFFERENT labels; the more "
            f"frequent label was kept: row {some(settled)}"
        )
    if undecided:
        notes.append(
            f"{len(undecided)} row(s) are the same text with DIFFERENT labels, equally often; all "
            f"were left out: row {some(undecided)}"
        )
    facts = {
        "exact_duplicates": len(drop),
        "contradicting_settled": len(settled),
        "contradicting_left_out": len(undecided),
    }
    return Step(frame.drop(index=[*drop, *undecided]), notes, facts)


def rare(frame: pd.DataFrame, labelled: Labelled, least: int) -> Step:
    """Leave out classes with fewer than `least` texts.

    With one label a text its texts go too; with several the label alone goes, and a text that has
    no other.

    Raises
    ------
    NewTaskError
        If fewer than two classes are left.
    """
    if labelled.label_type == "numeric":
        return Step(frame, [], {"rare": {}})
    count = present(frame["labels"])
    few = {label: n for label, n in sorted(count.items(), key=lambda x: (x[1], x[0])) if n < least}
    if len(count) - len(few) < 2:
        raise NewTaskError(
            f"only {len(count) - len(few)} label(s) have {least} texts or more "
            f"({', '.join(f'{k}: {n}' for k, n in count.most_common(5))}): code more texts, put "
            "labels together, or lower --min-class"
        )
    if not few:
        return Step(frame, [], {"rare": {}})
    named = ", ".join(f"{label} ({n})" for label, n in few.items())
    if labelled.label_type == "single":
        kept = frame[~frame["labels"].isin(list(few))]
        what = f"their {len(frame) - len(kept)} text(s) were left out"
    else:
        labels = each(frame["labels"], lambda item: _without(item, few))
        emptied = (labels.map(len) == 0) & (frame["labels"].map(len) > 0)
        kept = frame.assign(labels=labels)[~emptied]
        what = f"they were taken off their texts; {int(emptied.sum())} text(s) had no other"
    note = (
        f"{len(few)} rare label(s) have fewer than {least} texts, too few for training, validation "
        f"and test: {named}; {what}. (--min-class 1 keeps them: learnt, but not judged)"
    )
    return Step(kept, [note], {"rare": few})


def _without(item: Any, few: dict[str, int]) -> Any:
    if isinstance(item, dict):
        return {label: level for label, level in item.items() if label not in few}
    return [label for label in item if label not in few]


def enough(frame: pd.DataFrame, read: int) -> None:
    """Refuse too few texts.

    Raises
    ------
    NewTaskError
        If fewer than `LEAST_TEXTS` are left.
    """
    if len(frame) < LEAST_TEXTS:
        raise NewTaskError(
            f"{len(frame)} of {read} rows can be used, at least {LEAST_TEXTS} are needed to train, "
            "validate and test on different texts"
        )
