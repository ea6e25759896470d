"""What the labellers behind endpoints will cost, and did cost; and the archive of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd

from helpers.data.prepared import scored_texts
from helpers.experiments.crowd import crowd_texts, members
from helpers.experiments.endpoints import archive_folder, open_store, served_folder
from helpers.labelling import wire
from helpers.labelling.archive import export_responses
from helpers.labelling.cost_tables import ESTIMATE, Planned, actual_costs, estimate, total_usd
from helpers.labelling.costs import confirm
from helpers.labelling.label import viewed
from helpers.labelling.methods import Steps, method
from helpers.labelling.parsing import read_answer
from helpers.labelling.prices import load_prices
from helpers.labelling.questions import Asked
from helpers.labelling.serving import identity_of
from helpers.labelling.store import ResponseStore
from helpers.models import get_model
from helpers.plans import Labeller
from helpers.runs import Run
from helpers.tasks import load_task

LATER = ("v1", "v2")  # methods with a question that depends on the answers to the first ones


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
            planned = list(_planned(run, task, store))
            found = estimate(planned, store, load_prices(), seed=seed)
            tables.append(found.assign(task=task)[["task", *found.columns]])
    return pd.concat(tables, ignore_index=True)


def _planned(run: Run, task: str, store: ResponseStore) -> Iterator[Planned]:
    plan = run.profile.labelling
    compared = {name: plan.labellers[name] for name in plan.compared.get(task, [])}
    scored = scored_texts(run, load_task(task))
    test = scored.loc[scored["split"] == "test", ["id", "text"]]
    groups = [(members(run, task), crowd_texts(run, task)), (compared, test)]
    for labellers, texts in groups:
        for name, labeller in labellers.items():
            if labeller.kind == "endpoint":
                yield _plan(run, task, name, labeller, texts, store)


def _plan(
    run: Run, task: str, name: str, labeller: Labeller, texts: pd.DataFrame, store: ResponseStore
) -> Planned:
    endpoint = run.profile.labelling.endpoints[labeller.endpoint]
    identity = endpoint.base_url.rstrip("/")
    style = get_model(labeller.model).prompt if endpoint.serve else endpoint.prompt
    if endpoint.serve:
        folder = served_folder(run, task, labeller)
        identity = identity_of(folder) if folder.is_dir() else "not trained yet"
        labeller = labeller.model_copy(update={"model": f"{endpoint.serve}-{labeller.model}"})
    start = method(labeller.method, load_task(task), style=style)
    shown = zip(texts["id"], viewed(texts, labeller.view), strict=True)
    key_of = partial(wire.key_of, labeller=labeller, endpoint=endpoint, identity=identity)
    asked, open_texts = _known_questions(dict(shown), start, key_of, store)
    further = open_texts if labeller.method in LATER else 0
    return Planned(name, labeller, endpoint, asked, identity=identity, further=further)


def _known_questions(
    texts: Mapping[str, str],
    start: Callable[[], Steps],
    key_of: Callable[[Asked], str],
    store: ResponseStore,
) -> tuple[list[Asked], int]:
    """Return the questions that the answers in the store lead to.

    Returns
    -------
    The questions, and the number of texts whose first ones are not all answered.
    """
    steps = {text_id: start() for text_id in texts}
    waiting = {text_id: next(step) for text_id, step in steps.items()}
    known: list[Asked] = []
    unanswered = -1
    while waiting:
        asked = {i: [Asked(str(i), texts[i], q) for q in some] for i, some in waiting.items()}
        keys = {i: [key_of(one) for one in some] for i, some in asked.items()}
        stored = store.get([key for some in keys.values() for key in some])
        answered = {key for key, response in stored.items() if response.status != "error"}
        known += [one for some in asked.values() for one in some]
        done = [i for i, some in keys.items() if answered.issuperset(some)]
        unanswered = len(asked) - len(done) if unanswered < 0 else unanswered
        waiting = {}
        for i in done:
            pairs = zip(asked[i], keys[i], strict=True)
            answers = [read_answer(one.question, stored[key]) for one, key in pairs]
            with suppress(StopIteration):
                waiting[i] = steps[i].send(answers)
    return known, max(unanswered, 0)


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
