"""Everything that can be recomputed from a folder of the authors' files, as rows of one table.

The rows have the keys of `helpers.published.values`, so that each published value finds the
recomputed one, and files are named for those that can't be recomputed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from helpers.data.manifest import UpstreamFile, file_status, read_manifest
from helpers.published.answers import VERSIONS, read_answers
from helpers.published.archive import (
    TRUTH_FILES,
    Archive,
    Posts,
    cleaned_levels,
    is_present,
    open_archive,
    posts,
)
from helpers.published.cap import MODEL as CAP_MODEL
from helpers.published.cap import VERSIONS as CAP_FILES
from helpers.published.cap import cap_published, cap_runs, published_rates
from helpers.published.per_dimension import STATISTICS, published_dimensions
from helpers.published.statistics import published_statistics
from helpers.published.subjects import (
    SUBJECT_MODELS,
    published_exact,
    subject_answers,
    subject_counts,
    subject_scores,
)
from helpers.published.values import KEY
from helpers.tasks import load_task

Manifest = Sequence[UpstreamFile]
# The published training row of one model was made from an earlier version of its file: what its
# last version gives stands beside it.
LAST_VERSION = "HEAD version"
RECOMPUTED_COLUMNS = (*KEY, "version", "recomputed", "note")
CAP_VERSION = "v2"
Row = tuple[str, str, str, str, str, str, float, str]
Rows = Iterator[Row]


def model_file(fname: str, split: str) -> str:
    """Return the file with the answers behind a published row of the posts.

    The earlier version of a file that has two covers the training posts alone: the published row
    of the test posts can only come from the last one.
    """
    return f"flourishing/{VERSIONS.get(fname, fname) if split == 'train' else fname}.csv"


def needed_files(row: pd.Series) -> tuple[str, ...]:
    """Return the files that a published value is recomputed from; none: not in the archive.

    Parameters
    ----------
    row : task, split, model and kind of a value; see `published_values`.
    """
    if row["kind"] == "claim":
        return ()
    if row["task"] == "flourishing":
        truth = TRUTH_FILES[row["split"]]
        return (truth, model_file(row["model"], row["split"])) if row["model"] else (truth,)
    if row["task"] == "cap":
        file = CAP_FILES[CAP_VERSION].format(split=row["split"])
        return (file,) if row["model"] == CAP_MODEL else ()
    files = {model.title: model.file for model in SUBJECT_MODELS}
    return (files[row["model"]],) if row["split"] == "test" and row["model"] in files else ()


def recomputed_values(
    folder: Path, archive: Archive | None = None, manifest: Manifest | None = None
) -> pd.DataFrame:
    """Recompute what the files of a folder allow.

    Parameters
    ----------
    folder : of the authors' files; it may lack any of them.
    archive : of the posts, if it is open already; see `open_archive`.
    manifest : for the files of CAP and Dataverse; the package's without it.

    Returns
    -------
    DataFrame, columns `RECOMPUTED_COLUMNS`: keys as in `published_values`; `version` is empty, or
    `LAST_VERSION`; `recomputed` in the unit of the published value, before the last rounding;
    `note` says what the number is where that is not plain.

    Raises
    ------
    UpstreamError
        If a file is not that of the pinned commit: it is never scored.
    PublishedError
        If a file's content is not what it should be.
    """
    parts = [*_cap(folder, manifest), *_dataverse(folder, manifest)]
    if archive is None and _has_posts(folder):
        archive = open_archive(load_task("flourishing"), folder)
    if archive is not None:
        for split in archive.codings:
            parts += [*_posts(archive, split)]
        if "train" in archive.codings:
            parts += [*_human_coding(archive.codings["train"])]
    return recomputed_table(parts)


def recomputed_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Put rows of recomputed values into a table, columns `RECOMPUTED_COLUMNS`."""
    table = pd.DataFrame(list(rows), columns=list(RECOMPUTED_COLUMNS), dtype=object)
    text = [name for name in RECOMPUTED_COLUMNS if name != "recomputed"]
    return table.astype(dict.fromkeys(text, "str") | {"recomputed": float})


def _has_posts(folder: Path) -> bool:
    return any(is_present(folder, file) for file in TRUTH_FILES.values())


def _posts(archive: Archive, split: str) -> Rows:
    as_published = posts(archive, split)
    yield ("flourishing", split, "", "", "posts_with_truth", "", len(as_published.ids), "")
    usual = {f: m for f, m in as_published.predicted.items() if f not in VERSIONS}
    yield from _models(archive, replace(as_published, predicted=usual), "")
    rows = {row.local_path: row for row in read_manifest()}
    for fname in VERSIONS:
        files = {"": model_file(fname, split)}
        if split == "train":
            files[LAST_VERSION] = model_file(fname, "test")
        for version, file in files.items():
            if file_status(archive.folder, rows[file]) != "absent":
                raw = read_answers(archive.folder, file)
                levels, _ = cleaned_levels(archive.task, raw, as_published.ids, "published", fname)
                one = replace(as_published, predicted={fname: levels})
                yield from _models(archive, one, version)


def _models(archive: Archive, split_posts: Posts, version: str) -> Rows:
    if not split_posts.predicted:
        return
    split = split_posts.split
    for fname, levels in split_posts.predicted.items():
        for name, value in published_statistics(split_posts.truth, levels).items():
            yield ("flourishing", split, fname, "", name, version, float(value), "")
    table = published_dimensions(split_posts, archive.task.labels)
    for row in table.to_dict("records"):
        for name in STATISTICS:
            key = ("flourishing", split, row["fname"], row["dimension"], name)
            yield (*key, version, float(row[name]), "")


def _cap(folder: Path, manifest: Manifest | None) -> Rows:
    runs = cap_runs(load_task("cap"), folder, manifest)
    for run in [run for run in runs if run.version == CAP_VERSION]:
        key = ("cap", run.split, CAP_MODEL)
        for row in cap_published([run]).to_dict("records"):
            rounded = "rates of the codes rounded before their mean is taken"
            note = rounded if row["metric"] != "accuracy" else ""
            yield (*key, "", row["metric"], "", float(row["value"]), note)
        rates = published_rates(run.texts)
        yield (*key, "", "n", "", len(run.texts), "")
        yield (*key, "", "n_classes", "", len(rates), "")
        for code, values in (100 * rates).to_dict("index").items():
            for name, value in values.items():
                yield (*key, str(code), str(name), "", float(value), "")


def _dataverse(folder: Path, manifest: Manifest | None) -> Rows:
    answers = subject_answers(folder, manifest)
    scores = subject_scores(answers).set_index(["model", "definition"])["value"]
    sums = published_exact(subject_counts(answers))
    for title, item in answers.items():
        key = ("dataverse", "test", title, "")
        own = {str(name): 100 * float(value) for name, value in scores[title].items()}
        note = (
            "sum of the rounded cells with equal numbers of true and predicted subjects; "
            f"before rounding {own['equal_number']:.2f}, with the right subjects "
            f"{own['exact']:.2f}"
        )
        for name, value in own.items():
            yield (*key, name, "", value, "")
        yield (*key, "exact_categories", "", float(sums[title]), note)
        yield (*key, "n", "", len(item.n_true), "")
        yield (*key, "n_empty", "", float((~item.answered).sum()), "")


def _human_coding(codings: pd.DataFrame) -> Rows:
    """Facts about the training codings (id, dimension, value, coder, accepted, llm)."""
    key = ("flourishing", "train", "")
    counts = {
        "codings": len(codings),
        "coders": codings["coder"].nunique(),
        "posts": codings["id"].nunique(),
        "accepted": codings["accepted"].sum(),
    }
    for name, number in counts.items():
        yield (*key, "", name, "", float(number), "")
    if "llm" not in codings.columns:
        return
    for llm, part in codings.groupby("llm"):
        by_coder = part.groupby("coder")["accepted"].mean()
        shares = {"acceptance": part["accepted"].mean()}
        shares["acceptance_lowest_coder"] = by_coder.min()
        shares["acceptance_highest_coder"] = by_coder.max()
        for name, share in shares.items():
            yield (*key, str(llm), name, "", 100 * float(share), "")
    item = ["id", "dimension", "value", "llm"]
    first = codings.drop_duplicates([*item, "coder"])
    decisions = first.groupby(item)["accepted"].agg(["size", "nunique"])
    several = decisions[decisions["size"] > 1]
    yield (*key, "", "items_of_several_coders", "", float(len(several)), "")
    if len(several):
        agreed = 100 * float((several["nunique"] == 1).mean())
        note = "first decision of each coder on the item"
        yield (*key, "", "agreement", "", agreed, note)
