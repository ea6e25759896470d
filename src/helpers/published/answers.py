"""The archived answers of the authors' models, as predictions in the format of this package.

Three things to know before such a model stands beside others:

- The true labels of the posts were chosen among the proposals of LLAMA-2 and ChatGPT-4 alone
  (coders could reject, not add), which favours both, and the models tuned on these labels.
- The archive's fine-tuned models were trained on the 2,404 annotated posts: their scores on any
  of these, our test split included, are in-sample (`ArchivedModel.in_sample`).
- The archive holds what could be read of the answers, not the answers. A post without a row was
  not asked, got no answer, or was said to have no dimension; which of these, nothing tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data.manifest import file_status, read_manifest, upstream_file
from helpers.published.normalisation import Normalised, normalise
from helpers.published.panel import PublishedError, published_flourishing
from helpers.tasks import Task

TASK = "flourishing"
PREFIX = "archived-"
# The published row of this model was made from an earlier version of its file than the last one.
VERSIONS = {"classified-L2-7B-FT": "classified-L2-7B-FT@9d7ff68"}
# ChatGPT-4's size was never disclosed; the article draws it at 8 x 220 billion.
GUESSED_SIZE = frozenset({"classified-chatgpt4"})
ABSENT = "absent"


@dataclass(frozen=True)
class ArchivedModel:
    """A model whose answers are in the archive.

    Attributes
    ----------
    key : name in our tables and of its predictions, e.g. ``archived-chatgpt4``.
    title : readable name, e.g. ``ChatGPT-4 (archived answers)``.
    fname : name in the authors' tables, e.g. ``classified-chatgpt4``.
    file : of the authors, e.g. ``flourishing/classified-chatgpt4.csv``.
    parameters : their number; of ChatGPT-4 the article's guess (see `size_is_guess`).
    fine_tuned : whether it was trained on the annotated posts.
    size_is_guess : whether the number of parameters was never disclosed.
    """

    key: str
    title: str
    fname: str
    file: str
    parameters: int
    fine_tuned: bool
    size_is_guess: bool

    @property
    def in_sample(self) -> bool:
        """Whether the annotated posts, in all our splits, were its training texts."""
        return self.fine_tuned


def all_archived_models() -> dict[str, ArchivedModel]:
    """Return the 18 models of the archive by key, smallest first and ChatGPT-4 last."""
    table = published_flourishing().query("split == 'train'")
    table = table.sort_values(["parameters_billion", "fine_tuned", "fname"])
    models = [
        ArchivedModel(
            key=PREFIX + row.fname.removeprefix("classified-").lower(),
            title=f"{row.model} (archived answers)",
            fname=row.fname,
            file=f"{TASK}/{VERSIONS.get(row.fname, row.fname)}.csv",
            parameters=round(row.parameters_billion * 10**9),
            fine_tuned=bool(row.fine_tuned),
            size_is_guess=row.fname in GUESSED_SIZE,
        )
        for row in table.itertuples()
    ]
    return {model.key: model for model in models}


def archived_models(folder: Path) -> dict[str, ArchivedModel]:
    """Return the models whose answers are in a folder of the authors' files, by key.

    A file that differs from the archive's counts as present: reading it then says what is wrong.

    Parameters
    ----------
    folder : of the authors' files; it may lack any of them.
    """
    listed = {row.local_path: row for row in read_manifest()}
    return {
        key: model
        for key, model in all_archived_models().items()
        if file_status(folder, listed[model.file]) != "absent"
    }


def read_answers(folder: Path, file: str) -> pd.DataFrame:
    """Read the raw answers of one model.

    Parameters
    ----------
    folder : of the authors' files.
    file : e.g. ``flourishing/classified-chatgpt4.csv``.

    Returns
    -------
    DataFrame (id, dimension, value), all str, one row a dimension that the model named, in the
    order of the file. A cell ``NA`` is missing, as it is for the authors' script. Header lines
    that stand among the rows are in it: no rule knows their dimension.

    Raises
    ------
    UpstreamError
        If the file is missing or not that of the pinned commit.
    PublishedError
        If an id is no whole number, e.g. because a program rounded it to ``1.6e+18``.
    """
    path = upstream_file(file, folder)
    return check_answers(
        pd.read_csv(path, dtype="str", keep_default_na=False, na_values=["NA"]), file
    )


def check_answers(raw: pd.DataFrame, file: str) -> pd.DataFrame:
    """Return the columns id, dimension and value of raw answers; see `read_answers`."""
    wanted = ["id", "dimension", "value"]
    remedy = "take the file from the archive again, and read ids as text: they exceed 2^53"
    if missing := [name for name in wanted if name not in raw.columns]:
        raise PublishedError(f"{file} lacks column(s) {', '.join(missing)}; {remedy}")
    header = (raw[wanted] == wanted).all(axis=1)
    ids = raw["id"].astype("str").fillna("")
    if (bad := ~ids.str.fullmatch(r"\d+") & ~header).any():
        row = int(np.flatnonzero(bad)[0])
        shown = raw["id"].iloc[row]
        raise PublishedError(f"{file}, row {row + 1}: id {shown!r} is no whole number; {remedy}")
    return raw[wanted].assign(id=ids)


def cleaned_answers(task: Task, folder: Path, file: str, *, correct: bool = False) -> Normalised:
    """Read and clean the answers of one model; see `read_answers` and `normalise`."""
    return normalise(read_answers(folder, file), task.labels, correct=correct)


def archived_answers(
    task: Task, folder: Path, key: str, texts: pd.DataFrame, *, correct: bool = False
) -> pd.DataFrame:
    """Return the archived answers of a model to given posts, as a table of predictions.

    Parameters
    ----------
    task : flourishing.
    folder : of the authors' files.
    key : of the model; see `archived_models`.
    texts : columns id (str) and split.
    correct : restore the two dimensions that the published cleaning makes unpredictable.

    Returns
    -------
    DataFrame (id, split, status, answer, labels), in the order of `texts`. Where an answer names a
    dimension twice, the first counts. Status: ``ok`` if anything is left after cleaning;
    ``off_list`` if the model named dimensions, but none that the rules know; ``unparsed`` if it
    named one, but no level that can be read; ``absent`` if the archive has no row for the post.
    Only ``ok`` has labels and an answer, which is what our models would write for these labels.
    The true labels come from proposals of LLAMA-2 and ChatGPT-4 alone, which favours both.

    Raises
    ------
    PublishedError
        If the task is another one, the model is unknown, or ids are not strings.
    UpstreamError
        If its file is missing or not that of the pinned commit.
    """
    if task.name != TASK:
        raise PublishedError(f"there are archived answers for the task {TASK}, not for {task.name}")
    models = all_archived_models()
    if key not in models:
        raise PublishedError(f"no archived model '{key}': choose one of {', '.join(models)}")
    cleaned = cleaned_answers(task, folder, models[key].file, correct=correct)
    return as_predictions(task, cleaned, texts)


def as_predictions(task: Task, cleaned: Normalised, texts: pd.DataFrame) -> pd.DataFrame:
    """Turn cleaned answers into a table of predictions; see `archived_answers`."""
    ids = texts["id"].tolist()
    if wrong := [key for key in ids if not isinstance(key, str)]:
        raise PublishedError(
            f"id {wrong[0]!r} is no text: read ids of posts as str, numbers would round them"
        )
    found = _labels_by_id(cleaned.frame, ids)
    status = pd.Series(ABSENT, index=pd.Index(texts["id"]), dtype="str")
    lost = cleaned.dropped
    # A row that got as far as the rules for levels had a known dimension.
    level_rules = cleaned.rules.loc[cleaned.rules["field"] == "value", "order"]
    status[status.index.isin(lost["id"])] = "off_list"
    status[status.index.isin(lost.loc[lost["rule"].isin(level_rules), "id"])] = "unparsed"
    status[status.index.isin(list(found))] = "ok"
    labels = [task.check_labels(found[key]) if key in found else None for key in ids]
    empty = task.dumps(task.empty)
    return pd.DataFrame(
        {
            "id": texts["id"].to_numpy(),
            "split": texts["split"].to_numpy(),
            "status": status.to_numpy(),
            "answer": ["" if item is None else task.completion(item) for item in labels],
            "labels": [empty if item is None else task.dumps(item) for item in labels],
        }
    )


def _labels_by_id(rows: pd.DataFrame, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return id -> {dimension: level}; the first row of a dimension counts."""
    first = rows[rows["id"].isin(ids)].drop_duplicates(["id", "dimension"])
    found: dict[str, dict[str, str]] = {}
    for key, dimension, value in zip(first["id"], first["dimension"], first["value"], strict=True):
        found.setdefault(key, {})[dimension] = value
    return found
