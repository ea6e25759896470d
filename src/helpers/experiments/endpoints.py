"""Labellers behind endpoints: remote ones, and models of this run served on this machine."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import pandas as pd

from helpers.experiments.trainings import tuned_name
from helpers.labelling.archive import import_responses
from helpers.labelling.costs import Budget
from helpers.labelling.endpoint import EndpointLabeller, MissingResponses
from helpers.labelling.label import label_texts
from helpers.labelling.methods import Style
from helpers.labelling.serving import Served, identity_of, serve
from helpers.labelling.store import ResponseStore
from helpers.models import get_model
from helpers.plans import Labeller
from helpers.runs import REPO, Run
from helpers.tasks import Task

STORE = "store.sqlite"


def open_store(run: Run) -> ResponseStore:
    """Open the store of raw responses of a run; in a replay, with the archived ones read in."""
    store = ResponseStore(run.path("responses", STORE))
    if run.profile.labelling.responses == "replay":
        import_responses(store, archive_folder(run))
    return store


def archive_folder(run: Run) -> Path:
    """Return the folder of archived responses that the profile names (default: the run's own).

    A relative path starts at the repository, wherever the chapter or the command runs.
    """
    named = run.profile.labelling.archive
    return REPO / named if named else run.root / "responses"


def ask_endpoint(
    run: Run,
    task: Task,
    name: str,
    texts: pd.DataFrame,
    store: ResponseStore,
    budget: Budget | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Let one labeller behind an endpoint label texts; see `label_texts` for the result.

    A local server is started only if the store lacks an answer.
    """
    plan = run.profile.labelling
    labeller = plan.labellers[name]
    endpoint = plan.endpoints[labeller.endpoint]
    replay, folder = plan.responses == "replay", None
    style: Style = endpoint.prompt
    if endpoint.serve:
        folder, style = served_folder(run, task.name, labeller), get_model(labeller.model).prompt
        labeller = labeller.model_copy(update={"model": f"{endpoint.serve}-{labeller.model}"})
    identity = _identity(store, task, labeller, folder, replay) if folder else None
    backend = partial(EndpointLabeller, labeller, endpoint, store, name=name, identity=identity)
    label = partial(label_texts, task, texts, labeller, name=name, style=style)
    if replay or folder is not None:
        try:
            return label(backend(replay=True))
        except MissingResponses:
            if replay:
                raise
    with _server(run, task.name, labeller.model, folder) as served:
        asking = backend(
            base_url=served.base_url if served else None,
            offline=run.profile.offline,
            budget=budget,
            progress=progress,
        )
        return label(asking)


def _identity(
    store: ResponseStore, task: Task, labeller: Labeller, folder: Path, replay: bool
) -> str:
    """Return what stands for a served model: of its weights, or as it was recorded."""
    if not replay:
        return identity_of(folder)
    recorded = {row.endpoint for row in store.rows(task.name, model=labeller.model)}
    if len(recorded) != 1:
        raise MissingResponses(
            f"replay: the archive has answers of {len(recorded)} versions of {labeller.model} for "
            f"{task.name}, one is needed: put the archive of a single run into labelling.archive"
        )
    return recorded.pop()


def codebook_folder(run: Run, task: str, key: str) -> Path:
    """Return the folder of a model that was trained on a task's codebook alone."""
    return run.root / "models" / "codebook" / task / key


def served_folder(run: Run, task: str, labeller: Labeller) -> Path:
    """Return the folder of the model of this run that a labeller's endpoint serves."""
    if run.profile.labelling.endpoints[labeller.endpoint].serve == "codebook":
        return codebook_folder(run, task, labeller.model) / "model"
    return run.root / "models" / task / tuned_name(labeller.model) / "model"


def _server(
    run: Run, task: str, name: str, folder: Path | None
) -> AbstractContextManager[Served | None]:
    if folder is None:
        return nullcontext()
    log = run.path("logs", f"{task}-{name}.log")
    # On short prompts a second thread costs more than it brings.
    threads = run.profile.threads
    return serve(folder, name, log, threads=threads, device=run.profile.device)
