"""The tables of chapter 09 that look ahead: simulation, worth of a model, numbers of labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import estimates
from helpers.experiments.estimates import CROWD, FOLDER, SETS, Pool, has_label, most_predicted
from helpers.experiments.estimates_regressions import DECADES
from helpers.experiments.estimates_tables import (
    ALL,
    TOPIC,
    library_frames,
    topic_name,
    topic_of,
)
from helpers.runs import Run, file_sha256, frame_artifact, frame_sha256

LIBRARY = Path(estimates.__file__).parent
REGRESSIONS = ("outcome", "covariate")
CORRECTED = ("ppi", "dsl")


def simulation(run: Run, pool: Pool) -> pd.DataFrame:
    """Draw populations and coded samples many times from texts whose truth is known.

    The base is the pool with its gold labels and the crowd's labels, the profile's topic taken
    together as one label. Coders make no errors here: what is tested is the method. Shares are
    simulated for all accuracies, regressions for the crowd's own and the highest.

    Returns
    -------
    See `helpers.estimates.simulate`; with the column `task`. Made once and kept, since it is the
    longest step of the chapter. Empty where a text may have several labels, or has no year.
    """
    if pool.task.label_type in SETS or "year" not in pool.texts:
        return pd.DataFrame()
    plan, table = run.profile.estimates, _base(run, pool)
    size = plan.n_population or len(table)
    design = estimates.Design(
        table,
        label=TOPIC,
        truth="gold",
        covariate=DECADES,
        n_coded=tuple(n for n in plan.n_coded if n < size),
        accuracy=(None, *plan.accuracies),
        differential=tuple(plan.differential),
        n_population=size,
        effect=plan.effect,
    )
    # Regressions take ten times as long: the two ends are enough.
    ends = (None, max(plan.accuracies))
    longer = replace(design, estimands=REGRESSIONS, accuracy=ends)
    code = [file_sha256(path) for path in [*sorted(LIBRARY.glob("*.py")), Path(__file__)]]
    inputs = {
        "table": frame_sha256(table),
        "plan": plan.model_dump(exclude={"by", "periods", "widths", "corpus", "labels"}),
        "seed": run.profile.seed,
        "code": code,
    }
    path = run.path(FOLDER, pool.task.name, "simulation.parquet")

    def build() -> pd.DataFrame:
        options = {"replications": plan.replications, "seed": run.profile.seed}
        made = [estimates.simulate(one, **options) for one in (design, longer)]
        return pd.concat(made, ignore_index=True).assign(task=pool.task.name)

    return frame_artifact(path, inputs, build)[0]


def _base(run: Run, pool: Pool) -> pd.DataFrame:
    """Return gold label, the crowd's label and decades; the topic's labels are one label."""
    topic = topic_of(run, pool)
    population, _ = library_frames(pool, CROWD)
    for column in ("gold", "predicted"):
        population[column] = population[column].where(~population[column].isin(topic), TOPIC)
    population[DECADES] = (population["year"] - population["year"].mean()) / 10
    return population[["gold", "predicted", DECADES]]


def worth(shares: pd.DataFrame) -> pd.DataFrame:
    """Say how many coded texts the corrected estimates of this run are worth.

    Returns
    -------
    One row a task, predictor, label and method (ppi, dsl) over all texts: name, n_coded,
    effective_n (coded texts that the classical estimate would need for the same standard error).
    Both standard errors are estimates from the same coded texts: read it as an order of size.
    """
    keys = ["task", "predictor", "label", "name", "n_coded"]
    rows = shares[shares["group_by"] == ALL]
    wide = rows.pivot_table(index=keys, columns="method", values="std_error", sort=False)
    found = []
    for key, errors in wide.iterrows():
        for method in CORRECTED:
            if errors["classical"] > 0 and errors[method] > 0:
                row = dict(zip(keys, key, strict=True)) | {"method": method}
                squares = (errors["classical"] ** 2, errors[method] ** 2)
                size = estimates.effective_sample_size(*squares, row["n_coded"])
                found.append(row | {"effective_n": size})
    return pd.DataFrame(found, columns=[*keys, "method", "effective_n"]).round(1)


def labels_table(run: Run, pool: Pool) -> pd.DataFrame:
    """Say how many texts must be coded for an interval of a given width, from this run's pilot.

    Returns
    -------
    One row a predictor, label and width: task, predictor, label, name, corpus, width, share and
    correlation (of prediction and code; as the coded texts have it), correlation_low (lower end
    of its 95% interval), classical, ppi, dsl (numbers of texts), ppi_cautious (with
    correlation_low), note. No number where the pilot says too little, or the width is out of
    reach.
    """
    topic = topic_of(run, pool)
    wanted = {label: [label] for label in most_predicted(pool, run.profile.estimates.labels)}
    if len(topic) > 1 and pool.task.label_type not in SETS:
        wanted = {TOPIC: topic} | wanted
    rows = []
    for predictor in pool.predicted:
        for label, labels in wanted.items():
            pilot = _pilot(pool, predictor, labels)
            for width in run.profile.estimates.widths:
                row: dict[str, object] = {"task": pool.task.name, "predictor": predictor}
                row |= {"label": label, "name": topic_name(pool.task, labels), "width": width}
                rows.append(row | _planned(pilot, width, run.profile.estimates.corpus))
    return pd.DataFrame(rows).round(4)


def _pilot(pool: Pool, predictor: str, labels: list[str]) -> pd.DataFrame:
    """Return the coded texts with truth and prediction, 0 or 1."""
    cells = pd.Series(pool.predicted[predictor].to_numpy(), index=pool.texts["id"])
    sides = {
        "truth": pool.coded["labels"],
        "predicted": cells.reindex(pool.coded["id"]).reset_index(drop=True),
    }
    return pd.DataFrame(
        {name: sum(has_label(pool.task, side, x) for x in labels) for name, side in sides.items()}
    )


def _planned(pilot: pd.DataFrame, width: float, corpus: int) -> dict[str, object]:
    """Return the numbers of labels for one width, and what they rest on."""
    truth, guess = pilot["truth"], pilot["predicted"]
    varies = truth.std() > 0 and guess.std() > 0
    correlation = float(np.corrcoef(truth, guess)[0, 1]) if varies else 0.0
    low = correlation_low(correlation, len(pilot))
    row: dict[str, object] = {"corpus": corpus, "share": float(truth.mean())}
    row |= {"correlation": correlation, "correlation_low": low, "note": ""}
    wanted = {name: {"pilot": pilot, "method": name} for name in ("classical", *CORRECTED)}
    wanted["ppi_cautious"] = {"pilot": pilot, "method": "ppi", "correlation": low}
    for name, options in wanted.items():
        try:
            row[name] = estimates.labels_needed(width, n_population=corpus, **options)  # type: ignore[arg-type]
        except estimates.EstimatesError as error:
            row |= {name: None, "note": str(error)}
    return row


def correlation_low(correlation: float, n: int) -> float:
    """Return the lower end of the 95% interval of a correlation (Fisher's z), at least 0."""
    bounded = float(np.clip(correlation, -0.999, 0.999))
    return max(0.0, float(np.tanh(np.arctanh(bounded) - 1.96 / np.sqrt(max(n - 3, 1)))))
