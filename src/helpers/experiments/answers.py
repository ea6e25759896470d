"""Answers that no model of chapter 04 gives: the crowd's, endpoints', and the paper's archived."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from helpers.baselines import CROWD
from helpers.data.prepared import scored_texts
from helpers.experiments.endpoints import ask_endpoint, open_store
from helpers.experiments.review import decisions_folder
from helpers.experiments.trainings import read_made, train_texts, tuned_name
from helpers.labelling.costs import Budget
from helpers.plans import LabelSource
from helpers.runs import Run, write_frame
from helpers.tasks import Task, load_task
from helpers.verification.decisions import read_logs


def answers_of_others(run: Run, progress: bool = True) -> dict[str, dict[str, str]]:
    """Save what the crowd, the endpoints of ``labelling.compared`` and the archive answer.

    They lie beside the models' predictions, in the same form. The crowd's vote is what chapter 02
    left; endpoints are asked about the test texts; the archive is that of the paper's authors
    (profiles with their texts).

    Returns
    -------
    task name -> {name of the predictions: readable name}.
    """
    found: dict[str, dict[str, str]] = {}
    with open_store(run) as store:
        budget = Budget(run.profile.labelling.budget_usd, store.spent())
        for name in run.profile.tasks:
            task = load_task(name)
            texts = scored_texts(run, task)
            made = _crowd(run, task, texts) | _archived(run, task, texts)
            test = texts[texts["split"] == "test"].reset_index(drop=True)
            for member in run.profile.labelling.compared.get(name, []):
                asked = test[["id", "text"]]
                labelled = ask_endpoint(run, task, member, asked, store, budget, progress)
                made[member] = (_as_predictions(task, test, labelled), endpoint_title(run, member))
            for key, (frame, _) in made.items():
                write_frame(run.path("predictions", name, f"{key}.parquet"), frame)
            found[name] = {key: title for key, (_, title) in made.items()}
    return found


def endpoint_title(run: Run, name: str) -> str:
    """Name a labeller behind an endpoint as what it is."""
    plan = run.profile.labelling
    labeller = plan.labellers[name]
    serve, method = plan.endpoints[labeller.endpoint].serve, labeller.method.upper()
    if serve == "finetuned":
        return f"{labeller.model}, fine-tuned, over HTTP (stand-in)"
    if serve == "codebook":
        return f"{labeller.model}, codebook only, over HTTP"
    return f"{labeller.model}, {method} (endpoint)"


Answers = dict[str, tuple[pd.DataFrame, str]]


def _crowd(run: Run, task: Task, texts: pd.DataFrame) -> Answers:
    if not run.profile.labelling.crowd.get(task.name):
        return {}
    voted = read_made(run, task, "labelling/{}/majority", "02_labelling")
    asked = texts[texts["id"].isin(voted["id"])].reset_index(drop=True)
    held_out = asked[asked["split"] != "train"]
    if held_out.empty:  # the crowd labelled training texts alone
        return {}
    return {CROWD: (_as_predictions(task, asked, voted), "AI crowd, majority vote")}


def _archived(run: Run, task: Task, texts: pd.DataFrame) -> Answers:
    from helpers import published

    if run.profile.source(task.name) != "upstream" or task.name != published.ARCHIVED_TASK:
        return {}
    return {
        key: (published.archived_answers(task, run.upstream, key, texts), model.title)
        for key, model in published.archived_models(run.upstream).items()
        if not model.in_sample
    }


def _as_predictions(task: Task, texts: pd.DataFrame, labelled: pd.DataFrame) -> pd.DataFrame:
    """Bring labels into the form of predictions, in the order of `texts`."""
    rows = labelled.set_index("id").reindex(texts["id"])
    labels = [
        task.loads(cell) if status == "ok" else task.empty
        for status, cell in zip(rows["status"], rows["labels"], strict=True)
    ]
    return pd.DataFrame(
        {
            "id": texts["id"].to_numpy(),
            "split": texts["split"].to_numpy(),
            "status": rows["status"].to_numpy(),
            "answer": [task.completion(x).strip() if x is not None else "" for x in labels],
            "labels": [task.dumps(x) for x in labels],
        }
    )


def label_sources(run: Run, task: Task, metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Compare what labels are worth: the same model, trained on labels from several sources.

    Parameters
    ----------
    run, task : whose models.
    metrics : the tidy table of scores.
    metric : which score.

    Returns
    -------
    One row a source: source, model, value, ci_low, ci_high, n, n_train (training texts), decisions
    and weighed. `decisions`: what coders stated: one label a text (or a yes or no to every label,
    where a text can have several) for gold labels, a yes or no to each proposal in a review, none
    for the crowd's majority. `weighed`: labels that they had to think about for that: the whole
    codebook for each text, or in a rejecting review only the proposals.
    """
    plan, own = run.profile.plan(task.name), run.profile.train_labels
    key = plan.models[-1]
    models = {own: tuned_name(key)} | {s: tuned_name(key, s) for s in plan.label_sources}
    rows = metrics[(metrics["task"] == task.name) & (metrics["metric"] == metric)]
    rows = rows[rows["split"] == "test"].set_index("model")
    found = []
    for source, model in models.items():
        n_train = len(train_texts(run, task, source))
        decisions, weighed = _effort(run, task, source, n_train)
        score = rows.loc[model, ["value", "ci_low", "ci_high", "n"]].to_dict()
        size = {"n_train": n_train, "decisions": decisions, "weighed": weighed}
        found.append({"source": source, "model": model} | score | size)
    order = ["gold", "gold-same", "verified", "majority-same", "majority"]
    return pd.DataFrame(found).sort_values(
        "source", key=lambda x: x.map(order.index), ignore_index=True
    )


def _effort(run: Run, task: Task, source: LabelSource, n_train: int) -> tuple[int, int]:
    """Return the decisions that labels took, and how many labels coders weighed for them."""
    codebook = len(task.labels)
    if source in ("majority", "majority-same"):
        return 0, 0
    if source in ("gold", "gold-same"):
        return n_train * (1 if task.label_type == "single" else codebook), n_train * codebook
    review = [d for d in read_logs(decisions_folder(run), task.name) if not d.blind]
    review = [d for d in review if d.action != "note"]
    if run.profile.verification.mode_for(task.name) == "reject":
        return len(review), len(review)
    return len(review), len({(d.coder, d.text_id) for d in review}) * codebook


def sources_compared(run: Run) -> list[Task]:
    """Return the tasks whose model was trained on several kinds of labels."""
    tasks = [load_task(name) for name in run.profile.tasks]
    return [task for task in tasks if run.profile.plan(task.name).label_sources]


def kinds(others: Mapping[str, str]) -> dict[str, str]:
    """Return how figures show the answers of others: apart from models and baselines."""
    return dict.fromkeys(others, "endpoint")
