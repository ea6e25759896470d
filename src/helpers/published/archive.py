"""The archive of the flourishing posts, opened once: true labels and raw answers of all models.

Everything in chapter 08 about the posts starts here. `posts` turns the archive into matrices, by
the published rules or by others: which of several accepted levels counts (`CONFLICTS`), and how the
models' words are mapped onto the codebook (`CLEANINGS`). No row disappears unseen: what is left out
is counted by reason in `Posts.dropped`.

The authors' scripts are ``verify-classification.R`` (training posts), ``verify-test.R`` (test
posts) and ``clean-classified.R``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.data.manifest import UpstreamMissing, file_status, read_manifest, upstream_file
from helpers.published.answers import archived_models, read_answers
from helpers.published.normalisation import normalisation_rules, normalise
from helpers.published.panel import PUBLISHED, PublishedError
from helpers.published.statistics import Levels, level_matrix
from helpers.tasks import Task

TRUTH_FILES = {"train": "flourishing/all-llms-codings.csv", "test": "flourishing/verified.csv"}
CODING_COLUMNS = ("id", "dimension", "value", "coder", "accepted")
# The training codings say Y and N, the test codings 1 and 0.
ACCEPTED, REJECTED = {"Y", "1"}, {"N", "0"}
EXCLUDED_FILE = "excluded_codings.csv"
# Which level counts where coders accepted several for a dimension of a post.
CONFLICTS = {
    "published": "high before medium before low, as the published code does",
    "comment": "low where low and medium were accepted, else high, as its comment says",
    "lowest": "low before medium before high",
    "first": "the first accepted row of the file, as answers.csv has it",
    "unanimous": "as published, without proposals that another coder rejected",
}
CLEANINGS = {
    "published": "the published rules: two dimensions can't be predicted",
    "corrected": "the published rules with these two dimensions restored",
    "strict": "only the codebook's own words, in any case; nothing is mapped",
}
_ORDER = {
    "published": {"high": 0, "medium": 1, "low": 2},
    "unanimous": {"high": 0, "medium": 1, "low": 2},
    "comment": {"high": 0, "low": 1, "medium": 2},
    "lowest": {"low": 0, "medium": 1, "high": 2},
    "first": {"low": 0, "medium": 0, "high": 0},
}
DROPPED_COLUMNS = ("file", "reason", "rows", "posts")


@dataclass(frozen=True)
class Archive:
    """The flourishing archive, as far as its files are present.

    Attributes
    ----------
    task : flourishing.
    folder : of the authors' files.
    codings : split -> DataFrame (id, dimension, value, coder, accepted (bool), and llm where the
        file has it), one row a coder's decision on a proposal; splits whose file is present.
    raw : name in the authors' tables (fname) -> raw answers (id, dimension, value). Where the
        published training row was made from an earlier version of a file (`VERSIONS`), that
        version, and for posts which it does not cover the last one.
    dropped : DataFrame (file, reason, rows, posts): rows left out before anything else.
    """

    task: Task
    folder: Path
    codings: Mapping[str, pd.DataFrame]
    raw: Mapping[str, pd.DataFrame]
    dropped: pd.DataFrame


@dataclass(frozen=True)
class Posts:
    """Posts of one split with their true levels and those that the models gave them.

    Attributes
    ----------
    split : ``train`` or ``test``.
    ids : of the n posts with at least one true label, ascending.
    truth : (n, L) array: 0 absent, 1 low, 2 medium, 3 high.
    predicted : fname -> (n, L) array; a row of zeros is a post without usable answer.
    dropped : DataFrame (file, reason, rows, posts): every row of a file that is not in the
        matrices, counted by reason.
    """

    split: str
    ids: tuple[str, ...]
    truth: Levels
    predicted: Mapping[str, Levels]
    dropped: pd.DataFrame

    def published_selection(self, fname: str) -> NDArray[np.bool_]:
        """Return which posts the published evaluation of a model takes: those it answered."""
        return np.asarray((self.predicted[fname] > 0).any(axis=1))


def is_present(folder: Path, file: str) -> bool:
    """Whether a file is in a folder of the authors' files (its content is checked when read)."""
    rows = {row.local_path: row for row in read_manifest()}
    return file in rows and file_status(folder, rows[file]) != "absent"


def open_archive(task: Task, folder: Path) -> Archive:
    """Read what the folder has of the archive of the flourishing posts.

    Parameters
    ----------
    task : flourishing.
    folder : of the authors' files; it may lack any of them.

    Raises
    ------
    UpstreamMissing
        If it has neither codings nor answers.
    UpstreamError
        If a file is not that of the pinned commit.
    PublishedError
        If a file lacks a column, or an id is no whole number; file, row and remedy are named.
    """
    codings, dropped = {}, []
    for split, file in TRUTH_FILES.items():
        if is_present(folder, file):
            raw = pd.read_csv(upstream_file(file, folder), dtype="str", keep_default_na=False)
            codings[split], lost = check_codings(task, raw, file)
            dropped.append(lost)
    raw_answers = {}
    for model in archived_models(folder).values():
        raw_answers[model.fname], lost = _both_versions(folder, model.fname, model.file)
        dropped.append(lost)
    if not codings and not raw_answers:
        raise UpstreamMissing(
            f"{folder} has nothing of the flourishing archive: run `make data`, or name a folder "
            "that has it: UPSTREAM=<folder>"
        )
    table = pd.concat(dropped) if dropped else pd.DataFrame(columns=list(DROPPED_COLUMNS))
    return Archive(task, folder, codings, raw_answers, table)


def _both_versions(folder: Path, fname: str, file: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    raw, last = read_answers(folder, file), f"flourishing/{fname}.csv"
    if file == last or not is_present(folder, last):
        return raw, _dropped([])
    other = read_answers(folder, last)
    covered = other["id"].isin(raw["id"])
    lost = _dropped([(last, "post that the published version of the file covers", other[covered])])
    return pd.concat([raw, other[~covered]], ignore_index=True), lost


def check_codings(task: Task, raw: pd.DataFrame, file: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check coders' decisions and leave out those that the authors leave out.

    Parameters
    ----------
    task : flourishing.
    raw : all columns as str, one row a decision, in the order of the file.
    file : named in messages.

    Returns
    -------
    codings : columns as in `Archive.codings`.
    dropped : columns `DROPPED_COLUMNS`.

    Raises
    ------
    PublishedError
        If a column is missing, or a row has an id that is no whole number, a decision that is
        neither accepted nor rejected, or an accepted dimension or level that the codebook lacks.
    """
    remedy = "take the file from the archive again, and read ids as text: they exceed 2^53"
    if missing := [name for name in CODING_COLUMNS if name not in raw.columns]:
        raise PublishedError(f"{file} lacks column(s) {', '.join(missing)}; {remedy}")
    accepted = raw["accepted"].isin(ACCEPTED)
    for problem, bad in {
        "id {id!r} is no whole number": ~raw["id"].astype("str").str.fullmatch(r"\d+"),
        "accepted is {accepted!r}, not Y, N, 1 or 0": ~raw["accepted"].isin(ACCEPTED | REJECTED),
        "accepted dimension {dimension!r} is not in the codebook": accepted
        & ~raw["dimension"].isin(task.labels),
        "accepted level {value!r} is none of low, medium, high": accepted
        & ~raw["value"].isin(task.levels),
    }.items():
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            what = problem.format(**raw.iloc[row].to_dict())
            raise PublishedError(f"{file}, row {row + 1}: {what}; {remedy}")
    out = pd.MultiIndex.from_frame(raw[["id", "coder"]]).isin(
        pd.MultiIndex.from_frame(excluded_codings()[["id", "coder"]])
    )
    columns = [*CODING_COLUMNS, *(["llm"] if "llm" in raw.columns else [])]
    codings = raw.loc[~out, columns].assign(accepted=accepted[~out])
    lost = raw[out]
    dropped = _dropped([(file, "coding that the authors exclude", lost)])
    return codings.reset_index(drop=True), dropped


def excluded_codings(folder: Path = PUBLISHED) -> pd.DataFrame:
    """Return (id, coder) of the codings that the authors' scripts leave out, as str."""
    path = folder / EXCLUDED_FILE
    if not path.is_file():
        raise PublishedError(f"data/published/{EXCLUDED_FILE} is missing: restore it")
    return pd.read_csv(path, dtype=str)


def posts(
    archive: Archive, split: str, *, conflict: str = "published", cleaning: str = "published"
) -> Posts:
    """Put true labels and answers into matrices.

    Parameters
    ----------
    archive : see `open_archive`.
    split : ``train`` or ``test``.
    conflict : one of `CONFLICTS`.
    cleaning : one of `CLEANINGS`.

    Raises
    ------
    UpstreamMissing
        If the file with the split's true labels is absent.
    """
    if split not in archive.codings:
        raise UpstreamMissing(
            f"the true labels of the {split} posts are not here: {TRUTH_FILES[split]} is missing"
        )
    codings, file = archive.codings[split], TRUTH_FILES[split]
    labels = true_labels(codings, conflict)
    ids = tuple(sorted(set(labels["id"])))
    lost = [
        archive.dropped[archive.dropped["file"] == file],
        _dropped([(file, "proposal that the coder rejected", codings[~codings["accepted"]])]),
        _dropped([(file, "accepted again, or with a level that does not count",
                   _rest(codings[codings["accepted"]], labels))]),
    ]  # fmt: skip
    predicted = {}
    for fname, raw in archive.raw.items():
        predicted[fname], gone = cleaned_levels(archive.task, raw, ids, cleaning, fname)
        lost.append(gone)
    truth = level_matrix(archive.task, labels, ids)
    return Posts(split, ids, truth, predicted, pd.concat(lost, ignore_index=True))


def true_labels(codings: pd.DataFrame, conflict: str = "published") -> pd.DataFrame:
    """Return the true labels by a rule for conflicts, one row (id, dimension, value) each."""
    if conflict not in CONFLICTS:
        raise ValueError(f"unknown rule {conflict!r}: choose one of {', '.join(CONFLICTS)}")
    accepted = codings[codings["accepted"]]
    if conflict == "unanimous":
        proposal = ["id", "dimension", "value"]
        rejected = pd.MultiIndex.from_frame(codings.loc[~codings["accepted"], proposal])
        accepted = accepted[~pd.MultiIndex.from_frame(accepted[proposal]).isin(rejected)]
    rank = accepted["value"].map(_ORDER[conflict]).sort_values(kind="stable")
    return accepted.loc[rank.index].drop_duplicates(["id", "dimension"])


def cleaned_levels(
    task: Task, raw: pd.DataFrame, ids: tuple[str, ...], cleaning: str, fname: str
) -> tuple[Levels, pd.DataFrame]:
    """Clean the answers of one model; return its matrix and what was dropped by reason."""
    if cleaning not in CLEANINGS:
        raise ValueError(f"unknown cleaning {cleaning!r}: choose one of {', '.join(CLEANINGS)}")
    rules = normalisation_rules(correct=cleaning == "corrected")
    if cleaning == "strict":
        kept = ["lowercase", "space", "keep", "keep_codebook"]
        rules = rules[rules["match"].isin(kept)].assign(pattern=_only_trim)
    outside = ~raw["id"].isin(ids)
    cleaned = normalise(raw[~outside], task.labels, rules=rules)
    fields = cleaned.rules.set_index("order")["field"]
    unknown = cleaned.dropped["rule"].map(fields)
    again = cleaned.frame.duplicated(["id", "dimension"])
    lost = _dropped(
        [
            (fname, "post without a true label in this split", raw[outside]),
            (fname, "dimension that the codebook lacks", cleaned.dropped[unknown == "dimension"]),
            (fname, "level that can't be read", cleaned.dropped[unknown == "value"]),
            (fname, "dimension that the answer names again", cleaned.frame[again]),
        ]
    )
    return level_matrix(task, cleaned.frame, ids), lost


def _only_trim(rules: pd.DataFrame) -> pd.Series:
    return rules["pattern"].mask(rules["match"] == "space", "")


def _rest(rows: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows.index.isin(kept.index)]


def _dropped(parts: list[tuple[str, str, pd.DataFrame]]) -> pd.DataFrame:
    rows = [(file, reason, len(part), part["id"].nunique()) for file, reason, part in parts]
    return pd.DataFrame(rows, columns=list(DROPPED_COLUMNS))
