"""Chapter 08: every table of the published results, from whatever the folder has of the archive.

Each function saves its tables and returns them; without the files that it needs it returns nothing,
and the chapter says `NOT_RUN`. Tables of an earlier run are removed first: a certificate must not
stand beside tables of other files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers import published
from helpers.audit import claims, coding, corrected, sensitivity
from helpers.chapters import load_chapters
from helpers.data.manifest import UpstreamMissing, local_copy, read_manifest
from helpers.parallel import in_background
from helpers.published.answers import GUESSED_SIZE, all_archived_models, read_answers
from helpers.published.archive import cleaned_levels
from helpers.published.panel import PUBLISHED
from helpers.published.subjects import SubjectAnswers
from helpers.runs import Run, write_performance, write_table
from helpers.tasks import load_task

CHAPTER = "08_published_results"
NOT_RUN = "Not run: archive absent. `make data` fetches the authors' files; then run this again."
PUBLISHED_DIGITS = 15  # as the authors' files have them
Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Opened:
    """What the folder of the authors' files has.

    Attributes
    ----------
    files : DataFrame (local_path, status, bytes): ``verified`` or ``absent``.
    archive : the posts; None without their files.
    cap : the runs of the CAP model; empty without their files.
    subjects : answers of the Dataverse models; empty without their files.
    dataverse : both fine-tuned Dataverse models, for their comparison; None unless both are there.
    coding : the tables of `human_coding`, which the profile's second worker makes meanwhile.
    """

    files: pd.DataFrame
    archive: published.Archive | None
    cap: list[published.cap.CapRun]
    subjects: dict[str, SubjectAnswers]
    dataverse: published.DataverseAnswers | None
    coding: Future[Tables] | None


def open_published(run: Run) -> Opened:
    """Open what is there of the archive, and remove the tables and figures of an earlier run.

    Raises
    ------
    UpstreamError
        If a file is not that of the pinned commit; it is named.
    PublishedError
        If a file lacks a column, or a row of it can't be read.
    """
    folder, task = run.upstream, load_task(published.ARCHIVED_TASK)
    rows = read_manifest()
    if folder.is_dir():
        files = local_copy(folder, rows)
    else:
        absent = [(row.local_path, "absent", row.bytes) for row in rows]
        files = pd.DataFrame(absent, columns=["local_path", "status", "bytes"])
        files = files.astype({"bytes": "Int64"})
    for pattern in load_chapters()[CHAPTER].writes:
        for path in run.root.glob(pattern):
            path.unlink()
    try:
        archive = published.open_archive(task, folder)
    except UpstreamMissing:
        archive = None
    coded = archive is not None and "train" in archive.codings
    opened = Opened(
        write_table(run, "archive_files", files),
        archive,
        published.cap_runs(load_task("cap"), folder),
        published.subject_answers(folder),
        published.read_dataverse(folder) if published.has_dataverse(folder) else None,
        in_background(coding_tables, folder) if coded and run.profile.workers > 1 else None,
    )
    if archive is not None:
        lost = [published.posts(archive, split).dropped for split in archive.codings]
        splits = [
            part.assign(split=split) for part, split in zip(lost, archive.codings, strict=True)
        ]
        if splits:
            write_table(run, "archive_dropped", pd.concat(splits, ignore_index=True))
    return opened


def as_published(run: Run, opened: Opened) -> Tables:
    """Recompute the published statistics: ``summary``, ``per_dimension``, ``cap``, ``subjects``."""
    tables: Tables = {}
    if opened.archive is not None and opened.archive.codings:
        every = [published.posts(opened.archive, split) for split in opened.archive.codings]
        labels = opened.archive.task.labels
        tables["summary"] = _stacked(published.published_summary(part) for part in every)
        tables["per_dimension"] = _stacked(
            published.published_dimensions(part, labels) for part in every
        )
    if opened.cap:
        tables["cap"] = published.cap_published(opened.cap)
    if opened.subjects:
        tables["subjects"] = published.subject_scores(opened.subjects)
        tables["subjects_counts"] = published.subject_counts(opened.subjects)
    return _saved(run, "published_", tables, PUBLISHED_DIGITS)


def certified(run: Run, opened: Opened) -> Tables:
    """Put each published value beside the recomputed one: ``certificate`` and its ``counts``."""
    table = published.certificate(run.upstream, archive=opened.archive)
    tables = {"certificate": table, "certificate_counts": published.certificate_counts(table)}
    return _saved(run, "", tables, PUBLISHED_DIGITS)


def done_right(run: Run, opened: Opened) -> Tables:
    """Make the corrected tables: of the posts ``scores``, ``paired``, ``per_dimension``; of CAP."""
    tables: Tables = {}
    draws, seed = run.profile.bootstrap, run.profile.seed
    archive = opened.archive
    if archive is not None and archive.codings and archive.raw:
        made = {
            split: corrected.corrected_tables(archive, split, n_resamples=draws, seed=seed)
            for split in archive.codings
        }
        tables["scores"] = _stacked(part.scores for part in made.values())
        tables["paired"] = _stacked(part.paired for part in made.values())
        tables["per_dimension"] = _stacked(
            corrected.corrected_per_dimension(
                part.resampled, archive.task.labels, published=published.posts(archive, split)
            )
            for split, part in made.items()
        )
    if opened.cap:
        scores, codes = published.cap_corrected(
            load_task("cap"), opened.cap, n_resamples=draws, seed=seed
        )
        tables |= {"cap": scores, "cap_codes": codes}
    return _saved(run, "corrected_", tables)


def all_choices(run: Run, opened: Opened) -> Tables:
    """Score every combination of analytic choices: ``specifications`` and what they say."""
    archive = opened.archive
    if archive is None or not archive.codings or not archive.raw:
        return {}
    prepared = sensitivity.prepare(archive)
    specs = sensitivity.specifications(prepared)
    tables = {
        "specifications": specs,
        "specifications_counts": sensitivity.specification_counts(specs),
        "specifications_ranks": sensitivity.rank_ranges(specs),
        "specifications_effects": sensitivity.choice_effects(specs),
        "specifications_one_at_a_time": sensitivity.one_at_a_time(prepared, specs),
    }
    return _saved(run, "", tables)


def human_coding(run: Run, opened: Opened) -> Tables:
    """Describe the coding of the training posts: acceptance, agreement and the noise ceiling."""
    if opened.archive is None or "train" not in opened.archive.codings:
        return {}
    waiting = opened.coding
    tables = coding_tables(run.upstream) if waiting is None else waiting.result()
    return _saved(run, "human_", tables)


def coding_tables(folder: Path) -> Tables:
    """Make the tables of `human_coding` from a folder of the authors' files."""
    archive = published.open_archive(load_task(published.ARCHIVED_TASK), folder)
    decisions, labels = archive.codings["train"], archive.task.labels
    posts = published.posts(archive, "train")
    definitions = coding.agreement_by_definition(decisions)
    ceiling = coding.ceiling_table(decisions, len(labels))
    scores = coding.scores_by_posts(decisions, posts)
    return {
        "acceptance": coding.acceptance(decisions),
        "strictness": coding.coder_strictness(decisions),
        "agreement": coding.agreement_table(decisions),
        "definitions": definitions,
        "claimed_disagreement": coding.published_disagreement(definitions),
        "coder_pairs": coding.coder_pairs(decisions),
        "repeats": coding.self_consistency(decisions),
        "overlap": coding.overlap_selection(decisions),
        "noise": coding.noise_bounds(decisions),
        "latent_classes": coding.latent_table(decisions),
        "ceiling": ceiling,
        "beside_ceiling": coding.beside_ceiling(ceiling, scores),
        "scores_by_posts": scores,
        "coder_as_model": coding.coder_as_model(decisions, labels, posts),
        "memorisation": coding.named_by_agreement(decisions, posts, labels),
    }


def judged(
    run: Run, opened: Opened, recomputed: Tables, right: Tables, human: Tables
) -> pd.DataFrame:
    """Judge each claim of the article by the tables that could be made."""
    dataverse = opened.dataverse
    draws = (run.profile.bootstrap, run.profile.seed)
    agreement = None
    if human:
        table = human["agreement"]
        row = table[(table["group"] == "all") & (table["statistic"] == "agreement")].iloc[0]
        agreement = {key: row[key] for key in ("value", "ci_low", "ci_high", "n")}
    evidence = claims.Evidence(
        published=published.published_flourishing(),
        headlines=published.published_headlines(),
        summary=recomputed.get("summary"),
        scores=right.get("scores"),
        paired=right.get("paired"),
        per_dimension=right.get("per_dimension"),
        printed=pd.read_csv(PUBLISHED / "per_dimension_chatgpt4.csv"),
        cap=right.get("cap"),
        dataverse=None if dataverse is None else published.dataverse_models(dataverse),
        decomposition=dataverse and published.dataverse_decomposition(dataverse, *draws),
        bounds=dataverse and published.dataverse_sensitivity(dataverse, *draws),
        agreement=agreement,
        codings=opened.archive.codings.get("train") if opened.archive else None,
        guessed=GUESSED_SIZE,
    )
    return write_table(run, "claims", claims.judged_claims(evidence))


def time_models(run: Run, opened: Opened) -> pd.DataFrame:
    """Time reading, cleaning and scoring of each model (seconds), alone and one after another."""
    archive = opened.archive
    rows = []
    if archive is not None and "train" in archive.codings:
        posts = published.posts(archive, "train")
        for model in published.archived_models(run.upstream).values():
            began = time.perf_counter()
            raw = read_answers(run.upstream, model.file)
            levels, _ = cleaned_levels(archive.task, raw, posts.ids, "published", model.fname)
            published.published_statistics(posts.truth, levels)
            rows.append((model.fname, len(raw), round(time.perf_counter() - began, 3)))
    table = pd.DataFrame(rows, columns=["fname", "rows", "seconds"])
    return write_performance(run, "published_models", table)


def model_names() -> tuple[dict[str, str], set[str]]:
    """Return the models' readable names by fname, and the fname of those trained on the posts."""
    models = all_archived_models().values()
    names = {model.fname: model.title.removesuffix(" (archived answers)") for model in models}
    return names, {model.fname for model in models if model.in_sample}


def _stacked(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(list(frames), ignore_index=True)


def _saved(run: Run, prefix: str, tables: Tables, digits: int = 10) -> Tables:
    return {name: write_table(run, prefix + name, frame, digits) for name, frame in tables.items()}
