"""The archived Dataverse answers of all five models, by the authors' definitions and stricter ones.

The authors' ``createStats.R`` gives the share of texts with at least one subject right, before and
after its cleaning, and a table of percentages: texts by number of true and of predicted subjects.
The article's share of "exact categories" is the sum of the rounded percentages on the diagonal of
that table: answers with as many subjects as there are, not with the right ones.

What an answer is, and how it is cleaned, is said in `helpers.published.dataverse`, which takes the
two fine-tuned models further apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.data.manifest import UpstreamFile, file_status, read_manifest, upstream_file
from helpers.metrics import wilson_interval
from helpers.published.dataverse import EMPTY_CELLS, NO_SUBJECT, published_cleaning
from helpers.published.panel import PublishedError

Manifest = Sequence[UpstreamFile]
MAJORITY = "majority"
COLUMNS = ("id", "trueSubject", "predicted", "isCorrect")
DEFINITIONS = {
    "any_right": "at least one subject right",
    "any_cleaned": "at least one subject right, after the published cleaning",
    "exact": "exactly the right subjects, after the published cleaning",
    "equal_number": "as many subjects as there are, after the published cleaning",
}
# A list with a bracket in it is an answer, if a useless one: see `helpers.published.dataverse`.
NOTHING = (EMPTY_CELLS - {"['[']"}) | {""}
REMEDY = "take the file from the archive again"


@dataclass(frozen=True)
class SubjectModel:
    """A model: title as in headline.csv, size, training texts (0: not fine-tuned), file."""

    title: str
    parameters_billion: int
    n_train: int
    file: str


_FILE = "dataverse/classification_results-{}.csv"
SUBJECT_MODELS = (
    SubjectModel("Llama 2 7B", 7, 0, _FILE.format("7B-NO-FT")),
    SubjectModel("Llama 2 13B", 13, 0, _FILE.format("13B-NO-FT")),
    SubjectModel("Llama 2 70B", 70, 0, _FILE.format("70B-NO-FT")),
    SubjectModel("Llama 2 7B FT (5000 texts)", 7, 5_000, _FILE.format("llama-2-7b-small-dv")),
    SubjectModel("Llama 2 7B FT (76110 texts)", 7, 76_110, _FILE.format("llama-2-7b-dv")),
)


class SubjectAnswers(NamedTuple):
    """Scored answers of one model; arrays of n texts.

    Attributes
    ----------
    outcomes : definition -> bool; see `DEFINITIONS`.
    n_true, n_predicted : numbers of subjects, predicted ones after the published cleaning.
    answered : whether the answer is not empty.
    baseline : definition -> bool, for the answer that is always the most frequent subject.
    """

    outcomes: Mapping[str, NDArray[np.bool_]]
    n_true: NDArray[np.int_]
    n_predicted: NDArray[np.int_]
    answered: NDArray[np.bool_]
    baseline: Mapping[str, NDArray[np.bool_]]


def subject_answers(folder: Path, manifest: Manifest | None = None) -> dict[str, SubjectAnswers]:
    """Read and score the models whose files are in a folder of the authors' files.

    Parameters
    ----------
    folder : of the authors' files; it may lack any of them.
    manifest : of the authors' files; the package's without it.

    Returns
    -------
    title -> answers, in the order of `SUBJECT_MODELS`.

    Raises
    ------
    UpstreamError
        If a file is not that of the pinned commit.
    PublishedError
        If its content is not what it should be; see `score_subjects`.
    """
    rows = {row.local_path: row for row in manifest or read_manifest()}
    found = {}
    for model in SUBJECT_MODELS:
        if model.file in rows and file_status(folder, rows[model.file]) != "absent":
            path = upstream_file(model.file, folder, list(rows.values()))
            raw = pd.read_csv(path, dtype="str", keep_default_na=False)
            found[model.title] = score_subjects(raw, model.file)
    return found


def score_subjects(raw: pd.DataFrame, file: str) -> SubjectAnswers:
    """Score the answers of one file by every definition.

    Parameters
    ----------
    raw : all columns as str, cells as in the archive: lists of subjects in quotes.
    file : named in messages.

    Raises
    ------
    PublishedError
        If it has no text, a column is missing, an id occurs twice, a true subject is no list, or
        ``isCorrect`` is neither True nor False, or contradicts the cleaned answer: it is True, but
        none of the subjects in the cell is right. File, row and remedy are named.
    """
    if missing := [name for name in COLUMNS if name not in raw.columns]:
        raise PublishedError(f"{file} lacks column(s) {', '.join(missing)}; {REMEDY}")
    if raw.empty:
        raise PublishedError(f"{file} has no text; {REMEDY}")
    codes, cells = pd.factorize(raw["trueSubject"].fillna(""))
    listed = [_subjects(str(cell)) for cell in cells]
    _refuse(raw, file, "trueSubject {trueSubject!r} is no list", ~_array(map(bool, listed))[codes])
    _refuse(raw, file, "id {id!r} occurs twice", raw["id"].duplicated().to_numpy())
    bad = ~raw["isCorrect"].isin(["True", "False"]).to_numpy()
    _refuse(raw, file, "isCorrect is {isCorrect!r}, not True or False", bad)

    subjects = sorted({name for names in listed for name in names})
    truth = np.array([[name in names for name in subjects] for names in listed])[codes]
    n_true = np.array([len(names) for names in listed])[codes]
    guess_codes, guesses = pd.factorize(raw["predicted"].fillna(""))
    cleaned = [published_cleaning(str(cell), subjects) for cell in guesses]
    guess = np.array([[name in names for name in subjects] for names in cleaned])[guess_codes]
    n_predicted = np.array([len(names) for names in cleaned])[guess_codes]
    answered = ~_array(cell in NOTHING for cell in guesses)[guess_codes]

    right = (raw["isCorrect"] == "True").to_numpy()
    outcomes = _outcomes(truth, guess, n_true, n_predicted)
    wrong = right & ~outcomes["any_cleaned"]
    _refuse(raw, file, "isCorrect is True for {trueSubject} and {predicted}", wrong)
    named = [i for i, name in enumerate(subjects) if name != NO_SUBJECT]
    constant = np.zeros_like(truth)
    constant[:, named[int(truth[:, named].sum(axis=0).argmax())]] = True
    baseline = _outcomes(truth, constant, n_true, np.ones_like(n_true))
    return SubjectAnswers(
        {"any_right": right} | outcomes,
        n_true,
        n_predicted,
        answered,
        {"any_right": baseline["any_cleaned"]} | baseline,
    )


def _array(items: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(items, dtype=np.bool_)


def _subjects(cell: str) -> list[str]:
    """Return the subjects of a cell ``['A', 'B']``; nothing where it is no such list."""
    inside = cell.removeprefix("['").removesuffix("']")
    return inside.split("', '") if cell == f"['{inside}']" else []


def _refuse(raw: pd.DataFrame, file: str, problem: str, bad: NDArray[np.bool_]) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        what = problem.format(**raw.iloc[row].to_dict())
        raise PublishedError(f"{file}, row {row + 1}: {what}; {REMEDY}")


def _outcomes(
    truth: NDArray[np.bool_], guess: NDArray[np.bool_], n_true: NDArray, n_guess: NDArray
) -> dict[str, NDArray[np.bool_]]:
    return {
        "any_cleaned": (truth & guess).any(axis=1),
        "exact": (truth == guess).all(axis=1),
        "equal_number": n_true == n_guess,
    }


def subject_scores(answers: Mapping[str, SubjectAnswers]) -> pd.DataFrame:
    """Score every model by every definition, beside always naming the most frequent subject.

    Parameters
    ----------
    answers : see `subject_answers`.

    Returns
    -------
    DataFrame (model, parameters_billion, n_train, definition, value, ci_low, ci_high, n, n_right,
    n_answered): shares of all n texts with 95% Wilson intervals; an empty answer counts as the
    definition has it (published cleaning makes it N/A, which is one subject). The baseline is
    `MAJORITY`, without a size; its subject is the most frequent one of these texts.
    """
    rows = []
    about: dict[str, tuple[str, float, int]] = {
        m.title: (m.title, m.parameters_billion, m.n_train) for m in SUBJECT_MODELS
    }
    parts = [(about[key], item.outcomes, item.answered) for key, item in answers.items()]
    for item in list(answers.values())[:1]:  # all files have the same texts
        parts.append(((MAJORITY, np.nan, 0), item.baseline, np.ones_like(item.answered)))
    for model, outcomes, answered in parts:
        for definition in DEFINITIONS:
            right = outcomes[definition]
            rows.append((*model, definition, len(right), int(right.sum()), int(answered.sum())))
    names = ["model", "parameters_billion", "n_train", "definition", "n", "n_right", "n_answered"]
    table = pd.DataFrame(rows, columns=names)
    low, high = wilson_interval(table["n_right"], table["n"])
    table = table.assign(value=table["n_right"] / table["n"], ci_low=low, ci_high=high)
    order = ["value", "ci_low", "ci_high", "n", "n_right", "n_answered"]
    return table[[*names[:4], *order]]


def subject_counts(answers: Mapping[str, SubjectAnswers]) -> pd.DataFrame:
    """Count texts by number of true and of predicted subjects, as the published table does.

    Returns
    -------
    DataFrame (model, n_true, n_predicted, texts, percent, n): `percent` of all n texts of the
    model, rounded to one decimal as printed; every cell of the grid has a row.
    """
    parts = []
    for title, item in answers.items():
        grid = pd.crosstab(item.n_true, item.n_predicted)
        long = grid.rename_axis("n_true").rename_axis("n_predicted", axis=1).stack()
        part = long.rename("texts").reset_index().assign(model=title, n=len(item.n_true))
        parts.append(part.assign(percent=(100 * part["texts"] / part["n"]).round(1)))
    columns = ["model", "n_true", "n_predicted", "texts", "percent", "n"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def published_exact(counts: pd.DataFrame) -> pd.Series:
    """Return what the article calls exact categories, in percent, by model.

    It is the sum of the rounded cells with equal numbers in `subject_counts`.
    """
    diagonal = counts[counts["n_true"] == counts["n_predicted"]]
    return diagonal.groupby("model", sort=False)["percent"].sum().round(1)
