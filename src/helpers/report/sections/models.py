"""What a task's models are called, what they learnt from, and which of them matter most."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from helpers.baselines import BASELINES, CROWD, title
from helpers.comparison import HEADLINES
from helpers.metrics import LOWER_IS_BETTER, METRIC_NAMES
from helpers.report.folder import RunFolder
from helpers.report.words import of_labels

COLUMNS: tuple[str, ...] = ("task", "split", "model", "parameters", "fine_tuned", "metric", "value")
COLUMNS += ("ci_low", "ci_high", "n", "n_answered")
_LEARNING = ("majority", "tfidf-lr", "embeddings-lr")


def metric_name(metric: str) -> str:
    """Return the readable name of a score."""
    return METRIC_NAMES.get(metric, metric)


def label_type(folder: RunFolder, task: str) -> str:
    """Return the label type of a task, from its file or from chapter 01; empty if unknown."""
    if loaded := folder.task(task):
        return loaded.label_type
    overview = folder.table("data_overview", "task", "label_type")
    found = overview.loc[overview["task"] == task, "label_type"]
    return str(found.iloc[0]) if len(found) else ""


def headline_metric(folder: RunFolder, task: str) -> str:
    """Return the one score that sums a task up."""
    return HEADLINES.get(label_type(folder, task), "accuracy")


def metrics_of_task(folder: RunFolder, task: str, split: str = "test") -> pd.DataFrame:
    """Return the scores of a task on a split."""
    rows = folder.table("metrics", *COLUMNS)
    return rows[(rows["task"] == task) & (rows["split"] == split)]


def best_first(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Sort the rows of one metric, the best value first."""
    rows = rows[rows["metric"] == metric]
    return rows.sort_values("value", ascending=metric in LOWER_IS_BETTER, kind="stable")


def model_name(folder: RunFolder, task: str, model: str, fine_tuned: bool = False) -> str:
    """Return what a model is called in the figures of chapter 05."""
    if model in BASELINES:
        loaded = folder.task(task)
        return title(model, loaded, short=True) if loaded else model
    if model == CROWD:
        return "AI crowd, majority vote"
    if served := _served(folder, model):
        return served
    key, _, source = model.partition("@")
    if fine_tuned or key.endswith("-ft"):
        return f"{key.removesuffix('-ft')}, fine-tuned" + (f", {source} labels" if source else "")
    return _archived(model) or f"{model}, base"


def _served(folder: RunFolder, model: str) -> str:
    plan = folder.profile.labelling
    labeller = plan.labellers.get(model)
    if labeller is None or not labeller.endpoint:
        return ""
    serve = plan.endpoints[labeller.endpoint].serve
    return {
        "finetuned": f"{labeller.model}, fine-tuned, over HTTP (stand-in)",
        "codebook": f"{labeller.model}, codebook only, over HTTP",
    }.get(serve or "", f"{labeller.model}, {labeller.method.upper()} (endpoint)")


def _archived(model: str) -> str:
    if not model.startswith("classified-"):
        return ""
    from helpers.published.answers import all_archived_models

    known = all_archived_models()
    return f"{known[model].title} (archived answers)" if model in known else model


def learnt_from(folder: RunFolder, task: str, model: str, fine_tuned: bool) -> str:
    """Say which labels a model or baseline has seen."""
    own = folder.profile.train_labels
    if fine_tuned:
        source = model.partition("@")[2] or own
        return of_labels(source) + _texts(folder, task, model)
    if model in _LEARNING:
        return of_labels(own)
    if model == "zero-shot" and label_type(folder, task) != "single":
        return f"none, but a cutoff from {of_labels(own)}"
    labeller = folder.profile.labelling.labellers.get(model)
    if labeller and labeller.endpoint:
        serve = folder.profile.labelling.endpoints[labeller.endpoint].serve
        return {"finetuned": of_labels(own), "codebook": "the codebook alone"}.get(
            serve or "", "none (asked over an API)"
        )
    return "not known here" if model.startswith("classified-") else "none"


def _texts(folder: RunFolder, task: str, model: str) -> str:
    rows = folder.table("finetuning_summary", "task", "model", "texts")
    found = rows.loc[(rows["task"] == task) & (rows["model"] == model), "texts"]
    return f" ({int(found.iloc[0]):,} texts)" if len(found) else ""


class Reference(NamedTuple):
    """The model that others are tested against, and the paired tests of the headline score."""

    model: str
    tests: pd.DataFrame


TESTS: tuple[str, ...] = (
    "task",
    "split",
    "metric",
    "model",
    "reference",
    "difference",
    "ci_low",
    "ci_high",
)
TESTS += ("p_holm", "n")


def reference(folder: RunFolder, task: str, metric: str) -> Reference | None:
    """Return the reference of a task's paired tests on the test texts; None without tests."""
    tests = folder.table("paired_tests", *TESTS)
    mask = (tests["task"] == task) & (tests["split"] == "test") & (tests["metric"] == metric)
    tests = tests[mask]
    if tests.empty:
        return None
    return Reference(str(tests["reference"].iloc[0]), tests.drop_duplicates("model"))
