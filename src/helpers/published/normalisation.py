"""The authors' cleaning of archived answers, as ordered rules that stand in a table.

Models name dimensions and levels in words of their own (``hopefulness``, ``medium-high``). The
authors' script maps them onto the codebook step by step; a step sees what the step before left.
The steps are facts about that script and lie in ``data/published/normalisation.csv``. As published
they take two dimensions away from every model, ``suffering`` and ``expressing job satisfaction``;
the corrected version gives these back and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.published.panel import PUBLISHED, PublishedError

RULES_FILE = "normalisation.csv"
RULE_COLUMNS = ("order", "version", "field", "match", "pattern", "unless", "target")
VERSIONS = ("both", "published", "corrected")
FIELDS = ("dimension", "value")
# What each kind of rule needs besides its field; a pattern without a target would blank cells.
MATCHES = {
    "lowercase": (),
    "space": ("pattern",),
    "contains": ("pattern", "target"),
    "equals": ("pattern", "target"),
    "keep": ("pattern",),
    "keep_codebook": (),
}
SEPARATOR = " | "


class Normalised(NamedTuple):
    """What `normalise` returns.

    Attributes
    ----------
    frame : the rows that are left, columns as given, dimension and value cleaned; index as given.
    dropped : the other rows: columns as given with the cleaned words, and ``rule``, the number
        of the rule that dropped them. ``len(frame) + len(dropped)`` is the number of rows given.
    rules : one row a rule, in order: those of `normalisation_rules`, with ``changed`` and
        ``dropped``, the numbers of rows that it changed or dropped.
    """

    frame: pd.DataFrame
    dropped: pd.DataFrame
    rules: pd.DataFrame


def normalisation_rules(folder: Path = PUBLISHED, *, correct: bool = False) -> pd.DataFrame:
    """Read the rules, in the order in which they apply.

    Parameters
    ----------
    folder : holds ``normalisation.csv``; its columns are explained in the README there.
    correct : take the corrected version of the rules that make two dimensions unpredictable.

    Returns
    -------
    DataFrame with columns `RULE_COLUMNS`, all str but order (int); the rules of one version.

    Raises
    ------
    PublishedError
        If the file is missing, or a row is no rule; the row is named.
    """
    path = folder / RULES_FILE
    where, remedy = f"data/published/{path.name}", "restore the file from the repository"
    if not path.is_file():
        raise PublishedError(f"{where} is missing: {remedy}")
    rules = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := [name for name in RULE_COLUMNS if name not in rules.columns]:
        raise PublishedError(f"{where} lacks column(s) {', '.join(missing)}: {remedy}")
    for number, rule in enumerate(rules.to_dict("records"), 1):
        if problem := _problem(rule, number):
            raise PublishedError(f"{where}, line {number + 1}: {problem}; {remedy}")
    wanted = {"both", "corrected" if correct else "published"}
    rules = rules.loc[rules["version"].isin(wanted), list(RULE_COLUMNS)]
    return rules.astype({"order": int}).reset_index(drop=True)


def _problem(rule: dict[str, str], number: int) -> str | None:
    if rule["order"] != str(number):
        return f"order {rule['order']!r} where {number} is due"
    for name, allowed in (("version", VERSIONS), ("field", FIELDS), ("match", tuple(MATCHES))):
        if rule[name] not in allowed:
            return f"{name} {rule[name]!r} is none of {', '.join(allowed)}"
    if lacking := [name for name in MATCHES[rule["match"]] if not rule[name]]:
        return f"'{rule['match']}' needs a {' and a '.join(lacking)}"
    return None


def normalise(
    frame: pd.DataFrame,
    categories: Collection[str],
    *,
    correct: bool = False,
    rules: pd.DataFrame | None = None,
) -> Normalised:
    """Clean archived answers by the ordered rules.

    Each rule is applied to the distinct words of its column, not row by row.

    Parameters
    ----------
    frame : columns dimension and value (str, or missing), one row an answer; others (id) are kept.
    categories : the dimensions of the codebook.
    correct : restore the two dimensions that the published rules make unpredictable.
    rules : as `normalisation_rules` returns them (default: read from the package).

    Raises
    ------
    PublishedError
        If a column is missing.
    """
    if missing := [name for name in FIELDS if name not in frame.columns]:
        raise PublishedError(
            f"answers without column(s) {', '.join(missing)}: found {', '.join(frame.columns)}; "
            "take the file from the archive again"
        )
    rules = normalisation_rules(correct=correct) if rules is None else rules
    words = {name: _Words(frame[name]) for name in FIELDS}
    by = np.zeros(len(frame), dtype=int)
    changed, dropped = [], []
    for rule in rules.itertuples():
        column = words[rule.field]
        if rule.match.startswith("keep"):
            known = categories if rule.match == "keep_codebook" else rule.pattern.split(SEPARATOR)
            out = ~column.among(known) & (by == 0)
            by[out] = rule.order
            changed.append(0)
            dropped.append(int(out.sum()))
        else:
            new = _apply(rule.match, rule.pattern, rule.unless, rule.target, column.words)
            # Rows that an earlier rule dropped are no longer there to be changed.
            changed.append(column.replace(new, by == 0))
            dropped.append(0)
    cleaned = frame.assign(**{name: column.rows() for name, column in words.items()})
    return Normalised(
        cleaned[by == 0],
        cleaned[by > 0].assign(rule=by[by > 0]),
        rules.assign(changed=changed, dropped=dropped),
    )


class _Words:
    """A column as its distinct words, and the place of each row among them (-1: missing)."""

    def __init__(self, column: pd.Series) -> None:
        self.codes, distinct = pd.factorize(column)
        self.words = pd.Series(np.asarray(distinct, dtype=object), dtype="str")

    def among(self, known: Collection[str]) -> NDArray[np.bool_]:
        """Return for each row whether its word is one of those; a missing word is not."""
        inside = np.append(self.words.isin(list(known)).to_numpy(dtype=bool), False)
        return inside[self.codes]

    def replace(self, new: pd.Series, rows: NDArray[np.bool_]) -> int:
        """Take new words; return how many of some rows have changed."""
        differ = np.append((new != self.words).to_numpy(dtype=bool), False)
        self.words = new
        return int((differ[self.codes] & rows).sum())

    def rows(self) -> Any:
        """Return the column, row by row, as a pandas array of strings."""
        return self.words.array.take(self.codes, allow_fill=True)


def _apply(match: str, pattern: str, unless: str, target: str, words: pd.Series) -> pd.Series:
    if match == "lowercase":
        return words.str.lower()
    if match == "space":
        for character in pattern:
            words = words.str.replace(character, " ", regex=False)
        return words.str.strip(" \t\r\n")
    hit = words.isin(pattern.split(SEPARATOR)) if match == "equals" else _contains(words, pattern)
    if unless:
        hit &= ~_contains(words, unless)
    return words.mask(hit, target)


def _contains(words: pd.Series, pattern: str) -> pd.Series:
    hit = pd.Series(False, index=words.index)
    for part in pattern.split(SEPARATOR):
        hit |= words.str.contains(part, regex=False).astype(bool)
    return hit
