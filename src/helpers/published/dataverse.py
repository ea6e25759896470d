"""The two archived Dataverse models again: 5,000 against 76,110 training texts.

What the article compares is confounded with empty answers. The model trained on 5,000 texts has
2,124 of them, the other 110, and every one counts as wrong. The authors' test scripts
(``test-small-dv.py`` and ``test-dv.py``, commit ec47654) cut the prompts at 2,048 and 4,096
characters and read the answer behind a marker at the prompt's end: where the cut takes the marker
away, the answer is empty whatever the model says. The scripts also read answers differently: the
one for the small model keeps three labels at most, and stray brackets in them.

The archive has labels and answers of the 32,619 test texts, not the texts: their length is unknown
here. All statistics are functions of how many texts fall into each cell of `Cells`; a bootstrap
sample of texts is a multinomial draw of these numbers.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.data.manifest import upstream_file
from helpers.published.panel import PublishedError

Bools = NDArray[np.bool_]
COLUMNS = ("id", "trueSubject", "predicted", "isCorrect")
NO_SUBJECT = "N/A"
# As the authors' createStats.R lists them; all of them become N/A, which is one of its subjects.
EMPTY_CELLS = frozenset({"[]", '"[]"', "[", "['[']"})
DEFINITIONS = {
    "any": "at least one subject right",
    "any_cleaned": "at least one subject right, after the published cleaning",
    "exact": "exactly the right subjects, after the published cleaning",
    "equal_number": "as many subjects as there are, after the published cleaning",
    "answered": "any answer (not empty)",
    "usable": "an answer that names a subject",
}
SCOPES = ("all", "answered", "both_answered", "both_usable")


@dataclass(frozen=True)
class DataverseModel:
    """One of the two models: name, number of training texts, file, where prompts were cut."""

    key: str
    n_train: int
    file: str
    prompt_characters: int


DATAVERSE_MODELS = {
    model.key: model
    for model in (
        DataverseModel(
            "llama-2-7b-small-dv",
            5_000,
            "dataverse/classification_results-llama-2-7b-small-dv.csv",
            2048,
        ),
        DataverseModel(
            "llama-2-7b-dv",
            76_110,
            "dataverse/classification_results-llama-2-7b-dv.csv",
            4096,
        ),
    )
}
SMALL, LARGE = DATAVERSE_MODELS


class DataverseAnswers(NamedTuple):
    """Both models' answers to the same texts, in the same order.

    Attributes
    ----------
    texts : DataFrame (id, subjects, n_subjects, repository), one row a text; `subjects` are the
        true ones joined by " | ", `repository` is the id's prefix, e.g. ``doi:10.7910``.
    outcomes : model -> DataFrame of bool, columns `DEFINITIONS`, one row a text.
    """

    texts: pd.DataFrame
    outcomes: Mapping[str, pd.DataFrame]


def has_dataverse(folder: Path) -> bool:
    """Whether a folder of the authors' files has the answers of both models."""
    return all((folder / model.file).is_file() for model in DATAVERSE_MODELS.values())


def read_dataverse(folder: Path) -> DataverseAnswers:
    """Read the archived answers of both models from a folder of the authors' files.

    Raises
    ------
    UpstreamError
        If a file is missing or not that of the pinned commit.
    """
    raw = {}
    for key, model in DATAVERSE_MODELS.items():
        path = upstream_file(model.file, folder)
        raw[key] = pd.read_csv(path, dtype="str", keep_default_na=False)
    return dataverse_answers(raw)


def dataverse_answers(raw: Mapping[str, pd.DataFrame]) -> DataverseAnswers:
    """Score raw answers of the models by every definition; see `read_dataverse`.

    Parameters
    ----------
    raw : model -> DataFrame with columns `COLUMNS`, cells as in the archive.

    Raises
    ------
    PublishedError
        If a column is missing, a cell is no list, or the files differ in their texts.
    """
    for key, frame in raw.items():
        if missing := [name for name in COLUMNS if name not in frame.columns]:
            raise PublishedError(
                f"answers of {key} lack column(s) {', '.join(missing)}: take the archive's file"
            )
        if not set(frame["isCorrect"]) <= {"True", "False"}:
            raise PublishedError(f"answers of {key}: isCorrect must be True or False")
    first, *others = raw.values()
    for frame in others:
        if not frame[["id", "trueSubject"]].equals(first[["id", "trueSubject"]]):
            raise PublishedError(
                "the files of the two models have different texts or subjects: they cannot be "
                "compared. Take both files from the same commit of the archive."
            )
    codes, cells = pd.factorize(first["trueSubject"])
    listed = [_parsed(str(cell)) for cell in cells]
    subjects = sorted({name for names in listed for name in names})
    truth = _one_hot([set(names) for names in listed], subjects)[codes]
    number = np.array([len(names) for names in listed])[codes]
    texts = pd.DataFrame(
        {
            "id": first["id"],
            "subjects": np.array([" | ".join(sorted(set(n))) for n in listed], object)[codes],
            "n_subjects": number,
            "repository": first["id"].str.extract(r"^([^/]+)", expand=False),
        }
    )
    outcomes = {key: _outcomes(frame, truth, number, subjects) for key, frame in raw.items()}
    return DataverseAnswers(texts, outcomes)


def published_cleaning(cell: str, subjects: list[str]) -> set[str]:
    """Clean one archived answer as the authors' ``createStats.R`` does.

    Every subject whose name occurs anywhere in the cell counts; where none does, and where the
    cell is empty, the answer is ``N/A``. Since N/A is one of the true subjects (of 21 texts), and
    one subject, an empty answer is right there, and has the right number of subjects for every
    text with one subject: `dataverse_models` says how often.
    """
    if cell in EMPTY_CELLS:
        return {NO_SUBJECT}
    return {name for name in subjects if name in cell} or {NO_SUBJECT}


def _outcomes(
    frame: pd.DataFrame, truth: Bools, number: NDArray, subjects: list[str]
) -> pd.DataFrame:
    codes, cells = pd.factorize(frame["predicted"])
    names = [published_cleaning(str(cell), subjects) for cell in cells]
    cleaned = _one_hot(names, subjects)[codes]
    usable = np.array([bool(item - {NO_SUBJECT}) for item in names])[codes]
    empty = np.array([not _parsed(str(cell)) for cell in cells])[codes]
    size = np.array([len(item) for item in names])[codes]
    return pd.DataFrame(
        {
            "any": (frame["isCorrect"] == "True").to_numpy(),
            "any_cleaned": (cleaned & truth).any(axis=1),
            "exact": (cleaned == truth).all(axis=1),
            "equal_number": size == number,
            "answered": ~empty,
            "usable": usable & ~empty,
        }
    )


def _parsed(cell: str) -> list[str]:
    try:
        names = ast.literal_eval(cell)
    except (SyntaxError, ValueError) as error:
        raise PublishedError(
            f"the cell {cell[:60]!r} is no list: take the archive's file"
        ) from error
    if not isinstance(names, list):
        raise PublishedError(f"the cell {cell[:60]!r} is no list: take the archive's file")
    return [str(name) for name in names]


def _one_hot(items: list[set[str]], subjects: list[str]) -> Bools:
    # N/A may be missing among made-up subjects; its column would be all False anyway.
    return np.array([[name in item for name in subjects] for item in items], dtype=bool)


def in_scope(answers: DataverseAnswers, scope: str, model: str) -> Bools:
    """Return which texts belong to a scope.

    ``all``; ``answered``: this model's answer is not empty; ``both_answered``: neither model's is;
    ``both_usable``: both name a subject (one that any text really has, as published).
    """
    outcomes = answers.outcomes
    if scope == "all":
        return np.ones(len(answers.texts), dtype=bool)
    if scope == "answered":
        return outcomes[model]["answered"].to_numpy()
    column = {"both_answered": "answered", "both_usable": "usable"}[scope]
    return np.logical_and.reduce([frame[column].to_numpy() for frame in outcomes.values()])


def dataverse_models(answers: DataverseAnswers, level: float = 0.95) -> pd.DataFrame:
    """Score both models by every definition and on every set of texts.

    Parameters
    ----------
    answers : see `read_dataverse`.
    level : nominal coverage of the Wilson intervals.

    Returns
    -------
    DataFrame (model, n_train, scope, definition, n, n_right, value, ci_low, ci_high, n_answered,
    n_empty, n_no_subject, n_right_unnamed): `n_no_subject` are answers that are not empty and name
    no subject; `n_right_unnamed` counts texts that the definition calls right although the model
    named no subject. Shares between 0 and 1; the definitions ``answered`` and ``usable`` are shares
    of valid answers.

    References
    ----------
    Wilson (1927), JASA 22(158), 209-212.
    """
    from scipy.stats import binomtest

    rows = []
    for key, model in DATAVERSE_MODELS.items():
        for scope in SCOPES:
            frame = answers.outcomes[key][in_scope(answers, scope, key)]
            for definition in DEFINITIONS:
                right, n = int(frame[definition].sum()), len(frame)
                if n == 0:
                    raise PublishedError(f"no text is left in the scope '{scope}' of {key}")
                low, high = binomtest(right, n).proportion_ci(level, method="wilson")
                named = int((frame[definition] & ~frame["usable"]).sum())
                rows.append(
                    {
                        "model": key,
                        "n_train": model.n_train,
                        "scope": scope,
                        "definition": definition,
                        "n": n,
                        "n_right": right,
                        "value": right / n,
                        "ci_low": float(low),
                        "ci_high": float(high),
                        "n_answered": int(frame["answered"].sum()),
                        "n_empty": int((~frame["answered"]).sum()),
                        "n_no_subject": int((frame["answered"] & ~frame["usable"]).sum()),
                        "n_right_unnamed": named,
                    }
                )
    return pd.DataFrame(rows)
