"""The regressions of chapter 09: a predicted topic as outcome, and as covariate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from helpers import estimates
from helpers.experiments.estimates import CROWD, SETS, Pool, sample_of
from helpers.experiments.estimates_tables import ESTIMATE, TOPIC, library_frames, topic_of
from helpers.runs import Run

DECADES, OUTCOME = "decades", "made_up"
YEAR_EFFECT = 0.2  # of ten years on the made-up outcome, in standard deviations of its noise
FEWEST = 5
"""Coded texts with and without the topic in each kind: below, coefficients would get no intervals,
and the kind is no covariate."""


def regressions(run: Run, pool: Pool) -> tuple[pd.DataFrame, list[str]]:
    """Regress with a predicted topic, as outcome and as covariate.

    The first regression: does a text have the topic (0 or 1), by decades since the mean year and
    by kind. The second: an outcome that is MADE UP here, with a known effect of the gold topic
    (the profile's ``effect``), on topic and decades.

    Returns
    -------
    table : one row a predictor, role, term and method: task, predictor, role, made_up (whether the
        outcome is), term, method, estimate, std_error, ci_low, ci_high, n, n_coded, note, truth
        (the same regression with gold labels of all texts), effect (known effect, else NaN).
    notes : why a regression could not be run, or has no kind.

    Both are empty where a text may have several labels, or has no year.
    """
    parts, notes = [], []
    if pool.task.label_type not in SETS and "year" in pool.texts:
        for predictor in pool.predicted:
            population, coded = regression_frames(run, pool, predictor)
            kind, missing = _kind(population, coded)
            notes += [note for note in missing if note not in notes]
            first = {"outcome": "predicted", "covariates": [DECADES, *kind]}
            second = {"outcome": OUTCOME, "covariates": ["predicted", DECADES]}
            for role, formula in (("outcome", first), ("covariate", second)):
                try:
                    table = _regress(population, coded, {"predicted_role": role, **formula})
                except estimates.EstimatesError as error:
                    notes.append(
                        f"{pool.task.name}, {predictor}, topic as {role}: not run: {error}"
                    )
                    continue
                parts.append(table.assign(predictor=predictor, role=role))
    if not parts:
        return pd.DataFrame(), notes
    table = pd.concat(parts, ignore_index=True)
    table = table[table["term"] != "intercept"].assign(task=pool.task.name)
    table["made_up"] = table["role"] == "covariate"
    known = {"predicted": run.profile.estimates.effect, DECADES: YEAR_EFFECT}
    table["effect"] = table["term"].map(known).astype(float).where(table["made_up"])
    columns = ["task", "predictor", "role", "made_up", "term", "method", *ESTIMATE]
    return table[[*columns, "truth", "effect"]].round(8).reset_index(drop=True), notes


def _regress(
    population: pd.DataFrame, coded: pd.DataFrame, settings: dict[str, Any]
) -> pd.DataFrame:
    sample = sample_of(population, coded)
    table = estimates.regression(population, sample, **settings)
    gold = population.assign(predicted=population["gold"])
    right = estimates.regression(gold, sample, methods=("naive",), **settings)
    return table.assign(truth=table["term"].map(right.set_index("term")["estimate"]))


def regression_frames(
    run: Run, pool: Pool, predictor: str = CROWD
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return population and coded rows with the topic as 0 or 1, decades and a made-up outcome."""
    population, coded = library_frames(pool, predictor, topic_of(run, pool))
    for frame, columns in ((population, ["predicted", "gold"]), (coded, ["truth"])):
        frame[columns] = (frame[columns] == TOPIC).astype(float)
    population[DECADES] = (population["year"] - population["year"].mean()) / 10
    noise = np.random.default_rng([run.profile.seed, 90]).normal(size=len(population))
    effect = run.profile.estimates.effect * population["gold"]
    population[OUTCOME] = effect + YEAR_EFFECT * population[DECADES] + noise
    return population, coded


def _kind(population: pd.DataFrame, coded: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the column of the kind of text, or why it is left out."""
    if "kind" not in population or population["kind"].nunique() < 2:
        return [], []
    rows = coded[["id", "truth"]].merge(population[["id", "kind"]], on="id")
    seen = pd.crosstab(rows["kind"], rows["truth"])
    seen = seen.reindex(index=population["kind"].unique(), columns=[0.0, 1.0], fill_value=0)
    if seen.to_numpy().min() >= FEWEST:
        return ["kind"], []
    scarce = seen.min(axis=1)
    return [], [
        f"kind {scarce.idxmin()} has {scarce.min()} coded texts with the topic or without it, "
        f"fewer than {FEWEST}: the kind is left out of the regression"
    ]
