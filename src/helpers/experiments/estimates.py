"""Chapter 09: what it estimates from, predictions for a pool of texts and a blind audit of it.

The pool is the training split, of which chapter 03 drew the audit at random. Three kinds of
labels of the pool meet here: predictions (all texts), the coders' codes (audit) and, where
they are known, gold labels (all texts). Gold labels are for comparison alone: no
estimate sees them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.baselines import predict_baseline
from helpers.chapters import load_chapters
from helpers.data import DataError
from helpers.data.prepared import read_task
from helpers.estimates import Coded, EstimatesError, coded_sample
from helpers.experiments.embedded import embedding_work, kept
from helpers.experiments.review import decisions_folder
from helpers.experiments.trainings import fingerprint, read_made
from helpers.runs import HelpersError, Run, file_sha256, frame_artifact, frame_sha256
from helpers.tasks import Task, load_task
from helpers.verification.audit import blind_labels
from helpers.verification.decisions import read_logs

CHAPTER, FOLDER = "09_estimates", "estimates"
CROWD, FITTED, TUNED = "crowd", "cross-fitted", "fine-tuned"
PREDICTORS = {
    CROWD: "AI crowd, majority vote",
    FITTED: "embeddings + LR, cross-fitted",
    TUNED: "fine-tuned model",
}
BASELINE = "embeddings-lr"
NO_LABEL = "none"
SETS = ("multi", "multi_intensity")
NO_YEARS = (
    "not run: regressions and simulation. They need a task with one label a text, an audit, and "
    "texts with a column 'year'; its sections below stay empty. (Your own texts: name the column "
    "with KEEP=year when you make the task.)"
)


class NotCoded(HelpersError):
    """A task has no coded subsample, so that nothing can be estimated for it."""


@dataclass(frozen=True)
class Pool:
    """One task: a pool of texts, their predicted labels, and the coded sample.

    Attributes
    ----------
    task : whose texts.
    texts : one row a text: id, labels (gold, JSON), what else chapter 01 left, and ``period``.
    predicted : predictor -> labels (JSON, NA where it gave none) in the order of `texts`.
    coded : the audit: id, labels (JSON, as the blind coder gave them), probability.
    simulated : whether the coders were.
    """

    task: Task
    texts: pd.DataFrame
    predicted: dict[str, pd.Series]
    coded: pd.DataFrame
    simulated: bool


def open_pools(run: Run) -> tuple[dict[str, Pool], list[str]]:
    """Return what there is to estimate from, by task, and for the other tasks why there is nothing.

    A task without predictions or without a finished audit is left out, with one line that says
    what is missing. Tables and figures of an earlier run are removed.
    """
    for pattern in load_chapters()[CHAPTER].writes:
        for path in run.root.glob(pattern):
            if path.relative_to(run.root).parts[0] != FOLDER:  # what is made once and kept
                path.unlink()
    pools: dict[str, Pool] = {}
    notes = []
    for name in run.profile.tasks:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                pools[name] = _pool(run, load_task(name))
            notes += [f"{name}: {warning.message}" for warning in caught]
        except (NotCoded, DataError, EstimatesError) as error:
            notes.append(f"{name}: not run: {error}")
    return pools, notes


def describe(pools: Mapping[str, Pool]) -> pd.DataFrame:
    """Return what there is to estimate from, one row a task and predictor.

    Returns
    -------
    task, texts (of the pool), coded, coders, predictor, right (share of texts for which the
    prediction is exactly the gold label or labels; known since there are gold labels).
    """
    rows = []
    for name, pool in pools.items():
        row = {"task": name, "texts": len(pool.texts), "coded": len(pool.coded)}
        row["coders"] = "simulated" if pool.simulated else "people"
        for key, cells in pool.predicted.items():
            right = float((cells == pool.texts["labels"]).mean())
            rows.append(row | {"predictor": PREDICTORS[key], "right": round(right, 4)})
    return pd.DataFrame(rows, columns=["task", "texts", "coded", "coders", "predictor", "right"])


def sample_of(population: pd.DataFrame, coded: pd.DataFrame) -> Coded:
    """Return the coded sample; that it is small was said once, by `open_pools`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return coded_sample(population, coded)


def main_pool(pools: Mapping[str, Pool]) -> Pool | None:
    """Return the first task with one label a text and years, which the long sections are about."""
    usable = [p for p in pools.values() if p.task.label_type == "single" and "year" in p.texts]
    return usable[0] if usable else None


def _pool(run: Run, task: Task) -> Pool:
    coded = audit_codes(run, task)
    texts = read_task(run, task)
    texts = texts[texts["split"] == "train"].reset_index(drop=True)
    # Enough of them, and drawn from these very texts? Else the library says what is wrong.
    coded_sample(texts[["id"]], coded.assign(truth=coded["labels"].fillna(NO_LABEL)))
    if "year" in texts:
        texts["period"] = periods(texts["year"], run.profile.estimates.periods)
    predicted = {CROWD: _crowd(run, task, texts)}
    if run.profile.estimates.folds and task.label_type == "single":
        predicted[FITTED] = cross_fitted(run, task, texts)
    return Pool(task, texts, predicted, coded, run.profile.verification.coders == "simulated")


def audit_codes(run: Run, task: Task) -> pd.DataFrame:
    """Return what the blind coders of chapter 03 said: id, labels (JSON), probability.

    Raises
    ------
    NotCoded
        If there is no audit, or audit texts are not coded yet (estimating from those that are
        would be wrong: coders leave the hard ones for last).
    """
    path = run.root / "verification" / task.name / "assignment.parquet"
    if not path.is_file():
        raise NotCoded("no audit in this run: run 03_verification first")
    sample = pd.read_parquet(path).query("blind")
    decisions = read_logs(decisions_folder(run), task.name)
    codes = blind_labels(decisions, dict(zip(sample["id"], sample["coder"], strict=True)))
    if sample.empty or not codes:
        raise NotCoded("nobody has coded audit texts: finish the blind coding of 03_verification")
    if lost := [i for i in sample["id"] if i not in codes]:
        raise NotCoded(
            f"{len(lost)} of {len(sample)} audit texts are not coded yet, first {lost[0]}: finish "
            "the blind coding of 03_verification"
        )
    cells = [_cell(task, codes[i]) for i in sample["id"]]
    frame = sample[["id", "probability"]].assign(labels=cells)
    return frame.sort_values("id", ignore_index=True)[["id", "labels", "probability"]]


def _cell(task: Task, items: set[tuple[str, str]]) -> str | None:
    """Write what a coder gave a text as chapter 01 writes gold labels."""
    if task.label_type == "multi_intensity":
        return task.dumps(task.check_labels(dict(items)))
    names = [label for label, _ in items]
    if task.label_type == "multi":
        return task.dumps(task.check_labels(names))
    return task.dumps(task.check_labels(names[0])) if names else None


def _crowd(run: Run, task: Task, texts: pd.DataFrame) -> pd.Series:
    voted = read_made(run, task, "labelling/{}/majority", "02_labelling")
    return _aligned(voted[voted["status"] == "ok"], texts)


def _aligned(predictions: pd.DataFrame, texts: pd.DataFrame) -> pd.Series:
    found = predictions.set_index("id")["labels"].reindex(texts["id"])
    return found.reset_index(drop=True)


def cross_fitted(run: Run, task: Task, texts: pd.DataFrame) -> pd.Series:
    """Predict each text of the pool with a model that has not seen it.

    The pool is cut into folds at random; a simple model learns from the verified labels of the
    other folds (chapter 03) and predicts this one. A model that had learnt from a text would be
    better on it than on the rest, and estimates that correct the rest by what the coded texts
    show would be corrected by too little.

    Returns
    -------
    Labels (JSON) in the order of `texts`.
    """
    verified = read_made(run, task, "verification/{}/verified", "03_verification")
    known = texts["id"].map(verified.set_index("id")["labels"])
    fold = np.random.default_rng([run.profile.seed, 9]).permutation(len(texts))
    fold %= min(run.profile.estimates.folds, len(texts))
    embedding = embedding_work(run, task.name)
    # Texts without a verified label are predicted, and never learnt from: theirs is not looked at.
    learnt = texts[["id", "text"]].assign(labels=known.fillna(task.dumps(task.labels[0])))

    def build() -> pd.DataFrame:
        embed, parts = kept(embedding), []
        for number in range(fold.max() + 1):
            split = np.where(fold == number, "test", np.where(known.notna(), "train", "unlabelled"))
            found = predict_baseline(
                BASELINE, task, learnt.assign(split=split), embed, seed=run.profile.seed
            )
            parts.append(found.loc[fold == number, ["id", "labels"]])
        return pd.concat(parts).sort_values("id", ignore_index=True)

    code = Path(__file__).resolve().parents[1] / "baselines"
    inputs = {
        "labels": frame_sha256(learnt[known.notna()]),
        "texts": embedding.inputs,
        "folds": fold.tolist(),
        "code": [file_sha256(path) for path in [*sorted(code.glob("*.py")), Path(__file__)]],
        "fingerprint": fingerprint(task),
    }
    path = run.path(FOLDER, task.name, "cross_fitted.parquet")
    return _aligned(frame_artifact(path, inputs, build)[0], texts)


def periods(year: pd.Series, first: list[int]) -> pd.Series:
    """Return the period of each year, e.g. ``1995-2003``; `first`: the years in which one begins.

    Years before the first period form one of their own. Without `first` all years are one period.
    """
    low, high = int(year.min()), int(year.max())
    starts = sorted({low, *(start for start in first if low < start <= high)})
    ends = [*(start - 1 for start in starts[1:]), high]
    names = [f"{a}-{b}" if a < b else str(a) for a, b in zip(starts, ends, strict=True)]
    place = np.searchsorted(starts, year.to_numpy(), side="right") - 1
    return pd.Series(np.array(names)[place], index=year.index)


def has_label(task: Task, cells: pd.Series, label: str) -> pd.Series:
    """Whether each cell of labels (JSON) has a label, 1.0 or 0.0; no labels at all count as 0."""
    known = {cell: label in _names(task, cell) for cell in cells.dropna().unique()}
    return cells.map(known).fillna(value=False).astype(float)


def _names(task: Task, cell: str) -> set[str]:
    labels = task.loads(cell)
    return {labels} if isinstance(labels, str) else set(labels or [])


def most_predicted(pool: Pool, number: int | None = None) -> list[str]:
    """Return the labels that the crowd gives most often, most frequent first.

    Which labels are looked at is thus decided without a look at gold labels or codes.
    """
    cells = pool.predicted[CROWD]
    count = {label: has_label(pool.task, cells, label).sum() for label in pool.task.labels}
    ranked = sorted(count, key=lambda label: -count[label])
    return ranked[:number] if number else ranked


def tuned_answers(run: Run, task: Task) -> Mapping[str, pd.DataFrame]:
    """Return answers to the same test texts: id, labels (gold), predicted; by predictor.

    They are those of chapter 05 where it has been run (the last model of the profile, fine-tuned)
    and the crowd's.
    """
    texts = read_task(run, task)
    test = texts.loc[texts["split"] == "test", ["id", "labels"]].reset_index(drop=True)
    found = {}
    name = run.profile.plan(task.name).models[-1]
    paths = {
        TUNED: run.root / "predictions" / task.name / f"{name}-ft.parquet",
        CROWD: run.root / "labelling" / task.name / "majority.parquet",
    }
    for predictor, path in paths.items():
        if path.is_file():
            answers = pd.read_parquet(path)
            answers = answers[(answers["status"] == "ok") & answers["id"].isin(test["id"])]
            if len(answers):
                found[predictor] = test.assign(predicted=_aligned(answers, test))
    return found
