"""What the labellers behind endpoints will cost, and did cost; and the archive of their answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from helpers.data.prepared import scored_texts
from helpers.experiments.crowd import crowd_texts, members
from helpers.experiments.endpoints import archive_folder, open_store, served_folder
from helpers.labelling.archive import export_responses
from helpers.labelling.cost_tables import ESTIMATE, Planned, actual_costs, estimate, total_usd
from helpers.labelling.costs import confirm
from helpers.labelling.label import viewed
from helpers.labelling.methods import method
from helpers.labelling.prices import load_prices
from helpers.labelling.questions import Asked
from helpers.labelling.serving import identity_of
from helpers.models import get_model
from helpers.plans import Labeller
from helpers.runs import Run
from helpers.tasks import load_task

LATER = {"v1": 1, "v2": 1}  # questions of a text that depend on the answers to its first ones


def crowd_cost(run: Run) -> pd.DataFrame:
    """Estimate what the endpoints of the crowd, and those compared in chapter 05, will cost.

    Returns
    -------
    One row a task and labeller, see `helpers.labelling.cost_tables.estimate`. Nothing is asked.
    """
    seed, tables = run.profile.seed, []
    if run.profile.labelling.responses == "replay":
        return pd.DataFrame(columns=["task", *ESTIMATE])
    with open_store(run) as store:
        for task in run.profile.tasks:
            planned = list(_planned(run, task))
            found = estimate(planned, store, load_prices(), seed=seed)
            tables.append(found.assign(task=task)[["task", *found.columns]])
    return pd.concat(tables, ignore_index=True)


def _planned(run: Run, task: str) -> Iterator[Planned]:
    plan = run.profile.labelling
    compared = {name: plan.labellers[name] for name in plan.compared.get(task, [])}
    scored = scored_texts(run, load_task(task))
    test = scored.loc[scored["split"] == "test", ["id", "text"]]
    groups = [(members(run, task), crowd_texts(run, task)), (compared, test)]
    for labellers, texts in groups:
        for name, labeller in labellers.items():
            if labeller.kind == "endpoint":
                yield _plan(run, task, name, labeller, texts)


def _plan(run: Run, task: str, name: str, labeller: Labeller, texts: pd.DataFrame) -> Planned:
    endpoint = run.profile.labelling.endpoints[labeller.endpoint]
    identity = ""
    style = get_model(labeller.model).prompt if endpoint.serve else "full"
    if endpoint.serve:
        folder = served_folder(run, task, labeller)
        identity = identity_of(folder) if folder.is_dir() else "not trained yet"
        labeller = labeller.model_copy(update={"model": f"{endpoint.serve}-{labeller.model}"})
    questions = next(method(labeller.method, load_task(task), style=style)())
    asked = [
        Asked(str(key), text, question)
        for key, text in zip(texts["id"], viewed(texts, labeller.view), strict=True)
        for question in questions
    ]
    further = LATER.get(labeller.method, 0) * len(texts)
    return Planned(name, labeller, endpoint, asked, identity=identity, further=further)


def confirm_cost(estimated: pd.DataFrame) -> None:
    """Ask for consent to an estimated cost; see `helpers.labelling.costs.confirm`."""
    confirm(total_usd(estimated))


def actual_cost(run: Run) -> pd.DataFrame:
    """Return what all responses of the run cost: tokens, dollars, seconds."""
    with open_store(run) as store:
        return actual_costs(store)


def archive_responses(run: Run) -> list[Path]:
    """Write all responses of the run as plain files; see `helpers.labelling.archive`."""
    with open_store(run) as store:
        if run.profile.labelling.responses == "replay":
            return sorted(archive_folder(run).rglob("*.jsonl.gz"))
        return export_responses(store, run.root / "responses")
