"""Small tables about the crowd, for chapter 02."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from helpers import metrics
from helpers.data.prepared import read_task, stack
from helpers.experiments.crowd import members
from helpers.labelling.methods import method
from helpers.runs import Run
from helpers.tasks import Task


def crowd_members(run: Run) -> pd.DataFrame:
    """Return who labels what: one row a task and labeller."""
    rows = []
    for task in run.profile.tasks:
        for name, labeller in members(run, task).items():
            about = labeller.model_dump(include={"kind", "method", "view", "model", "endpoint"})
            rows.append({"task": task, "labeller": name} | about)
    return pd.DataFrame(rows).set_index(["task", "labeller"])


def first_questions(task: Task) -> dict[str, str]:
    """Return the beginning of the first prompt of methods that fit a task, as a model sees it."""
    methods: tuple[str, ...] = ("v4",) if task.label_type == "single" else ("direct",)
    if task.label_type == "single" and len(task.subtopics):
        methods = ("v1", "v3", "v4")
    shown = {}
    for name in methods:
        question = next(method(name, task)())[0]  # type: ignore[arg-type]
        lines = str(question.prompt("[the text]")).strip().splitlines()
        if len(lines) > 16:
            lines = [*lines[:9], f"  … {len(lines) - 14} more lines …", *lines[-5:]]
        shown[f"{name}, {question.step}"] = "\n".join(lines)
    return shown


def status_counts(labelled: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return how many texts each labeller answered, by status."""
    counts = {
        task: frame.groupby(["labeller", "status"], sort=False).size().rename("texts").reset_index()
        for task, frame in labelled.items()
    }
    return stack(counts)


def training_rows(run: Run, task: Task, labelled: pd.DataFrame) -> pd.DataFrame:
    """Return what the crowd proposed for training texts."""
    texts = read_task(run, task)
    train = texts.loc[texts["split"] == "train", "id"]
    return labelled[labelled["id"].isin(train)].reset_index(drop=True)


def gold_labels(run: Run, task: Task, split: str = "train") -> pd.Series:
    """Return the human labels of a split: JSON, by id."""
    texts = read_task(run, task)
    return texts[texts["split"] == split].set_index("id")["labels"]


def prompt_sensitivity(
    run: Run,
    tasks: Iterable[Task],
    labelled: Mapping[str, pd.DataFrame],
    gold: Mapping[str, pd.Series],
) -> pd.DataFrame:
    """Compare labellers that differ in their prompt alone; see `metrics.prompt_sensitivity`."""
    tables: dict[str, pd.DataFrame] = {}
    for task in tasks:
        for group in metrics.prompt_groups(members(run, task.name)):
            table = metrics.prompt_sensitivity(
                task,
                labelled[task.name],
                group,
                gold[task.name],
                n_resamples=run.profile.bootstrap,
                seed=run.profile.seed,
            )
            known = tables.get(task.name)
            tables[task.name] = table if known is None else pd.concat([known, table])
    return stack(tables)
