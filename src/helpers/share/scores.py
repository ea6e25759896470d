"""The scores that a model card shows, from the tables of chapter 05; test texts only."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from helpers.baselines import BASELINES, CROWD, title
from helpers.comparison.reading import HEADLINES, SHOWN
from helpers.metrics import LOWER_IS_BETTER, METRIC_NAMES
from helpers.share.errors import ShareError
from helpers.share.finished import CLASSES, METRICS, Trained

WEAKEST = 5  # classes that a card lists


@dataclass(frozen=True)
class Scores:
    """What a card says about how good a model is.

    Attributes
    ----------
    headline : metric by which the package sums the task up.
    own : rows metric, name, value, ci_low, ci_high, n, n_answered of this model.
    beside : rows model, title, value, ci_low, ci_high, n: headline score of base model and
        baselines, best first.
    weakest : rows name, value (F1; NaN: never right), ci_low, ci_high, support: the labels that
        it is worst at.
    unseen : labels of the codebook that no test text has.
    """

    headline: str
    own: pd.DataFrame
    beside: pd.DataFrame
    weakest: pd.DataFrame
    unseen: list[str]

    @property
    def main(self) -> pd.Series:
        """Row of the headline score."""
        return self.own[self.own["metric"] == self.headline].iloc[0]


def read_scores(trained: Trained) -> Scores:
    """Read a model's test scores, those beside it, and the labels it is worst at.

    Raises
    ------
    ShareError
        If a score or an interval is missing.
    """
    kind = trained.task.label_type
    metrics = pd.read_csv(trained.run.root / METRICS)
    test = metrics[(metrics["task"] == trained.task.name) & (metrics["split"] == "test")]
    own = test[(test["model"] == trained.name) & test["metric"].isin(SHOWN[kind])]
    lacking = [m for m in SHOWN[kind] if m not in set(own["metric"])]
    lacking += own.loc[own[["value", "ci_low", "ci_high"]].isna().any(axis=1), "metric"].tolist()
    if lacking:
        raise ShareError(
            f"{METRICS} has no value with an interval of {lacking[0]} for {trained.task.name}/"
            f"{trained.name} on the test texts: run 05_comparison again; a card without "
            "intervals is not written"
        )
    own = own.assign(name=own["metric"].map(lambda m: METRIC_NAMES.get(m, m)))
    order = {metric: place for place, metric in enumerate(SHOWN[kind])}
    own = own.sort_values("metric", key=lambda column: column.map(order), ignore_index=True)
    weakest, unseen = _classes(trained)
    return Scores(HEADLINES[kind], own, _beside(trained, test), weakest, unseen)


def _beside(trained: Trained, test: pd.DataFrame) -> pd.DataFrame:
    """Return the headline score of the base model, the crowd and the baselines."""
    metric = HEADLINES[trained.task.label_type]
    titles = {name: title(name, trained.task) for name in BASELINES}
    titles |= {CROWD: "AI crowd, majority vote", trained.spec.key: "base model, not fine-tuned"}
    rows = test[(test["metric"] == metric) & test["model"].isin(titles)]
    found = rows.assign(title=rows["model"].map(titles))
    columns = ["model", "title", "value", "ci_low", "ci_high", "n"]
    if found.empty or found["ci_low"].isna().any():
        raise ShareError(
            f"{METRICS} has no baseline with an interval for {trained.task.name}: name some under "
            "`baselines` of the profile and run 05_comparison again"
        )
    ascending = metric in LOWER_IS_BETTER
    return found[columns].sort_values("value", ascending=ascending, ignore_index=True)


def _classes(trained: Trained) -> tuple[pd.DataFrame, list[str]]:
    if not trained.task.labels:
        return pd.DataFrame(columns=["name", "value", "ci_low", "ci_high", "support"]), []
    rows = pd.read_csv(trained.run.root / CLASSES, dtype={"label": str})
    mine = (rows["task"] == trained.task.name) & (rows["model"] == trained.name)
    f1 = rows[mine & (rows["split"] == "test") & (rows["metric"] == "f1")]
    occur = f1[f1["support"] > 0]
    # F1 has no value where no text with the label was found: the worst there is.
    weakest = occur.sort_values(["value", "support", "name"], na_position="first")
    columns = ["name", "value", "ci_low", "ci_high", "support"]
    unseen = f1.loc[f1["support"] == 0, "name"].tolist()
    return weakest[columns].head(WEAKEST).reset_index(drop=True), unseen
