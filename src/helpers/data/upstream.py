"""Loaders of the authors' real texts, from the verified files of their repository.

Ids are strings throughout: those of the posts exceed 2^53 and would be rounded as floats.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import pandas as pd

from helpers.data.manifest import upstream_file
from helpers.data.validation import DataError, Loaded, check_texts, dropped_table
from helpers.tasks import Task

VERIFIED_CODES = "cap/classification_{}-L2-7B-cap-verified-v2.csv"
DATAVERSE_RESULTS = "dataverse/classification_results-llama-2-7b-dv.csv"


def _read(name: str, folder: Path) -> pd.DataFrame:
    path = upstream_file(name, folder)
    if path.suffix == ".xlsx":
        return pd.read_excel(path, dtype=str, keep_default_na=False)
    return pd.read_csv(path, dtype=str, keep_default_na=False)


# --- posts ----------------------------------------------------------------------------------------


def load_flourishing(task: Task, folder: Path) -> Loaded:
    """Load the annotated posts with the labels of the authors' ``answers.csv``.

    Returns
    -------
    Loaded with columns id, text, labels: 2,404 posts. `notes` compares the labels with those
    recomputed from the coders' decisions (see `accepted_labels`), for both rules.

    Raises
    ------
    UpstreamError, DataError
        If a file is missing or wrong, or an annotated post has no text.
    """
    sample = _read("flourishing/sample.csv", folder)
    answers = _read("flourishing/answers.csv", folder)
    codings = _read("flourishing/all-llms-codings.csv", folder)
    posts = sample.drop_duplicates("message_id").set_index("message_id")["tweet_text"]
    if lost := sorted(set(answers["id"]) - set(posts.index)):
        raise DataError(f"{len(lost)} annotated posts are not in sample.csv, first {lost[0]}")
    labels = [task.check_labels(parse_answer(answer)) for answer in answers["answer"]]
    frame = pd.DataFrame(
        {
            "id": answers["id"],
            "text": posts.loc[answers["id"]].str.strip().to_numpy(),
            "labels": [task.dumps(item) for item in labels],
        }
    )
    published = dict(zip(frame["id"], map(task.loads, frame["labels"]), strict=True))
    notes = {"posts": len(frame), "labels": sum(map(len, published.values()))}
    for rule in ("highest", "first"):
        notes |= _agreement(published, accepted_labels(codings, rule), rule)
    dropped = dropped_table(
        [
            ("not annotated: no row in answers.csv", set(posts.index) - set(frame["id"])),
            (
                "further row of an id in sample.csv: first kept",
                sample.loc[sample["message_id"].duplicated(), "message_id"],
            ),
        ]
    )
    return Loaded(check_texts(frame, "flourishing"), dropped, notes)


def parse_answer(answer: str) -> dict[str, str]:
    """Read one cell of ``answers.csv``: a Python mapping of dimension to level.

    Raises
    ------
    DataError
        If it is no such mapping, or gives a dimension twice (Python would keep the last).
    """
    try:
        node = ast.parse(answer.strip(), mode="eval").body
        labels = ast.literal_eval(node)
    except (SyntaxError, ValueError) as error:
        raise DataError(
            f"answers.csv: a cell is no mapping of dimension to level: {error}"
        ) from error
    if not isinstance(node, ast.Dict) or len(labels) != len(node.keys):
        raise DataError("answers.csv: a cell is no mapping, or gives a dimension twice")
    return {str(dimension).strip(): str(level).strip() for dimension, level in labels.items()}


def accepted_labels(
    codings: pd.DataFrame, rule: Literal["highest", "first"] = "highest"
) -> dict[str, dict[str, str]]:
    """Recompute the labels of each post from the proposals that the coders accepted.

    Parameters
    ----------
    codings : ``all-llms-codings.csv``: dimension, value, id, coder, accepted ("Y"/"N"), llm.
    rule : which level counts where several were accepted for a dimension of a post. ``highest``:
        high before medium before low, the rule of the authors' code that computes statistics;
        ``first``: the first row of the file, which is what ``answers.csv`` holds.

    Returns
    -------
    id -> {dimension: level}; posts without an accepted proposal are absent.
    """
    accepted = codings[codings["accepted"] == "Y"]
    if rule == "highest":
        rank = accepted["value"].map({"high": 0, "medium": 1, "low": 2})
        accepted = accepted.loc[rank.sort_values(kind="stable").index]
    first = accepted.drop_duplicates(["id", "dimension"])
    return {
        str(key): dict(zip(part["dimension"], part["value"], strict=True))
        for key, part in first.groupby("id", sort=True)
    }


def _agreement(
    published: dict[str, dict[str, str]], recomputed: dict[str, dict[str, str]], rule: str
) -> dict[str, int]:
    pairs = [(labels, recomputed.get(key, {})) for key, labels in published.items()]
    return {
        f"posts_recomputed_{rule}": len(recomputed),
        f"posts_equal_{rule}": sum(a == b for a, b in pairs),
        f"dimensions_equal_{rule}": sum(set(a) == set(b) for a, b in pairs),
        f"labels_equal_{rule}": sum(len(a.items() & b.items()) for a, b in pairs),
    }


# --- questions ------------------------------------------------------------------------------------


def cap_questions(folder: Path) -> pd.DataFrame:
    """Return all questions of ``cap_training_set.xlsx``, most of them without a verified code.

    Returns
    -------
    frame (id, text, question, kind, year, legislature, party): `id` is ``id_n``, `question` the
    Parliament's number with spaces stripped, `party` as in the file (abbreviated unevenly; empty
    for some).
    """
    raw = _read("cap/cap_training_set.xlsx", folder)
    question = raw["id"].str.strip()
    return pd.DataFrame(
        {
            "id": raw["id_n"].str.strip(),
            "text": raw["subject"].str.strip() + "\n" + raw["text"].str.strip(),
            "question": question,
            "kind": question.str[0],
            "year": raw["date"].str[:4].astype(int),
            "legislature": raw["legislature"],
            "party": raw["party"].str.strip().str.rstrip(")"),
        }
    )


def load_cap(task: Task, folder: Path) -> Loaded:
    """Load the questions that have a verified code: 193, of which 48 in the paper's test set.

    Returns
    -------
    Loaded with columns id, text, labels, question, kind, year, legislature, party, paper_split
    (``train`` or ``test``).

    Raises
    ------
    UpstreamError, DataError
        If a file is missing or wrong, or the number of a question differs between the two files.
    """
    questions = cap_questions(folder)
    parts = [
        _read(VERIFIED_CODES.format(s), folder).assign(paper_split=s) for s in ("train", "test")
    ]
    codes = pd.concat(parts, ignore_index=True)
    codes = codes.assign(id=codes["idCoding"].str.strip(), original=codes["idOrig"].str.strip())
    joined = questions.merge(
        codes[["id", "original", "trueCat", "paper_split"]], on="id", validate="one_to_one"
    )
    if (differ := joined["question"] != joined["original"]).any():
        raise DataError(
            f"{differ.sum()} questions joined on id_n = idCoding have different numbers, first "
            f"id_n {joined.loc[differ, 'id'].iloc[0]}: the files do not belong together"
        )
    joined.insert(2, "labels", [task.dumps(task.check_labels(c)) for c in joined["trueCat"]])
    frame = joined.drop(columns=["original", "trueCat"])
    sizes = frame["paper_split"].value_counts()
    notes = {
        "questions": len(questions),
        "verified_codes": len(codes),
        "joined": len(frame),
        "paper_train": int(sizes["train"]),
        "paper_test": int(sizes["test"]),
        "same_question_number": int((~differ).sum()),
    }
    unjoined = set(codes["id"]) - set(frame["id"])
    dropped = dropped_table(
        [
            ("question without a verified code", set(questions["id"]) - set(frame["id"])),
            ("verified code without a text in cap_training_set.xlsx", unjoined),
        ]
    )
    return Loaded(check_texts(frame, "cap"), dropped, notes)


# --- descriptions of data sets --------------------------------------------------------------------


def dataverse_labels(task: Task, folder: Path) -> Loaded:
    """Return ids and subjects of the paper's Dataverse test set; the repository has no texts.

    Returns
    -------
    Loaded whose frame has the columns id and labels only. ``N/A`` is no subject: it is left out,
    and a data set that has no other subject is dropped.
    """
    raw = _read(DATAVERSE_RESULTS, folder)
    subjects = [_subjects(task, cell) for cell in raw["trueSubject"]]
    frame = pd.DataFrame({"id": raw["id"], "labels": [task.dumps(item) for item in subjects]})
    empty = pd.Series([not item for item in subjects])
    dropped = dropped_table([("no subject but N/A", frame.loc[empty, "id"])])
    return Loaded(frame[~empty].reset_index(drop=True), dropped, {"rows": len(raw)})


def _subjects(task: Task, cell: str) -> list[str]:
    labels: Iterable[str] = ast.literal_eval(cell)
    return task.check_labels([label for label in labels if label != "N/A"])  # type: ignore[return-value]


LOADERS: dict[str, Callable[[Task, Path], Loaded]] = {
    "cap": load_cap,
    "flourishing": load_flourishing,
}
