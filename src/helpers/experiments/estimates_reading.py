"""Chapter 09 in words; every number comes from its tables."""

from __future__ import annotations

from typing import Any

import pandas as pd

from helpers.experiments.estimates import PREDICTORS
from helpers.experiments.estimates_regressions import DECADES
from helpers.experiments.estimates_tables import ALL, TOPIC

METHODS = {
    "naive": "naive",
    "classical": "classical",
    "ppi": "PPI++",
    "dsl": "DSL",
}


def term_names() -> dict[str, str]:
    """Return readable names of the terms of the regressions."""
    return {
        "predicted": "has the topic",
        DECADES: "ten years later",
        "kind[P]": "priority question (kind P)",
    }


def counts_reading(misplaced: pd.DataFrame, counted: pd.DataFrame) -> str:
    """Say how wrong counted labels are, as a Markdown list."""
    lines = []
    for row in misplaced.itertuples():
        which = (
            (counted["task"] == row.task)
            & (counted["texts"] == row.texts)
            & (counted["predictor"] == row.predictor)
            & (counted["name"] == row.of)
        )
        worst = counted[which].iloc[0]
        lines.append(
            f"- `{row.task}`, {PREDICTORS[row.predictor]}, {row.n:,} {row.texts}: {row.wrong:.0%} "
            f"of the labels would have to move to others. Farthest off: {row.of}, counted "
            f"{worst['naive']:.1%}, true {worst['truth']:.1%}."
        )
    return "\n".join(lines)


def shares_reading(summary: pd.DataFrame) -> str:
    """Say how near each method comes, and how many intervals hold the truth."""
    lines = []
    for (task, predictor), part in summary.groupby(["task", "predictor"], sort=False):
        lines.append(f"- `{task}`, {PREDICTORS[predictor]}:")
        for row in part.itertuples():
            lines.append(
                f"    - {METHODS[row.method]}: {row.holds_truth} of {row.labels} intervals hold "
                f"the gold share; mean error {100 * row.mean_error:.1f} points, mean width "
                f"{100 * row.mean_width:.1f} points"
            )
    return "\n".join(lines)


def topic_reading(shares: pd.DataFrame) -> str:
    """Say what each method makes of the share of the labels taken together, as a Markdown list."""
    lines = []
    rows = shares[(shares["label"] == TOPIC) & (shares["group_by"] == ALL)]
    for (name, predictor), part in rows.groupby(["name", "predictor"], sort=False):
        cells = [
            f"{METHODS[row.method]} {row.estimate:.1%} [{row.ci_low:.1%}, {row.ci_high:.1%}]"
            + ("" if _holds(row) else " (misses it)")
            for row in part.itertuples()
        ]
        truth = part["truth"].iloc[0]
        lines.append(f"- {name}, {PREDICTORS[predictor]}: gold {truth:.1%}; {'; '.join(cells)}.")
    return "\n".join(lines)


def regressions_wide(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """Return coefficients side by side: a row a predictor, outcome and term, a column a method.

    Cells read ``+0.48 [+0.09, +0.87]``; ``gold`` is the coefficient with gold labels of all texts,
    and a star marks intervals that miss it.
    """
    cells = table.assign(
        predictor=table["predictor"].map(PREDICTORS),
        outcome=table["made_up"].map({True: "MADE UP", False: "has the topic"}),
        term=table["term"].map(lambda term: names.get(term, term)),
        cell=[_interval(row) + ("" if _holds(row) else " *") for row in table.itertuples()],
        gold=[f"{value:+.2f}" for value in table["truth"]],
        method=table["method"].map(METHODS),
    )
    keys = ["predictor", "outcome", "term", "gold"]
    wide = cells.set_index([*keys, "method"])["cell"].unstack("method")
    order = list(dict.fromkeys(cells.set_index(keys).index))
    wide = wide.loc[order, [name for name in METHODS.values() if name in wide]]
    return wide.rename_axis(columns=None).reset_index()


def regressions_reading(table: pd.DataFrame) -> str:
    """Say what each method makes of the effect that is known."""
    lines = []
    known = table[table["made_up"] & (table["term"] == "predicted")]
    for predictor, part in known.groupby("predictor", sort=False):
        truth = part["truth"].iloc[0]
        words = [
            f"{METHODS[row.method]} {row.estimate / truth:.0%}"
            + ("" if _holds(row) else " (its interval misses it)")
            for row in part.itertuples()
        ]
        lines.append(
            f"- {PREDICTORS[predictor]}: of the topic's effect on the made-up outcome "
            f"({truth:+.2f} with gold labels, made up as {part['effect'].iloc[0]:+.2f}) the "
            f"methods find: {', '.join(words)}."
        )
    return "\n".join(lines)


def _interval(row: Any) -> str:
    if pd.isna(row.ci_low):
        return f"{row.estimate:+.2f}"
    return f"{row.estimate:+.2f} [{row.ci_low:+.2f}, {row.ci_high:+.2f}]"


def _holds(row: Any) -> bool:
    return pd.isna(row.ci_low) or row.ci_low <= row.truth <= row.ci_high


def own_worth(worth: pd.DataFrame, top: int = 3) -> pd.DataFrame:
    """Return, by task and predictor, the labels for which predictions are worth most."""
    wide = worth.pivot_table(
        index=["task", "predictor", "name", "n_coded"],
        columns="method",
        values="effective_n",
        sort=False,
    ).reset_index()
    ranked = wide.sort_values("ppi", ascending=False, kind="stable")
    kept = ranked.groupby(["task", "predictor"], sort=False).head(top).index
    ranked = ranked.loc[kept]
    place = {task: number for number, task in enumerate(worth["task"].unique())}
    ranked = ranked.sort_values("task", key=lambda task: task.map(place), kind="stable")
    ranked = ranked.rename(columns=METHODS).rename_axis(columns=None)
    return ranked.round(0).reset_index(drop=True)


def labels_reading(table: pd.DataFrame) -> str:
    """Say how many texts to code for the first label of each predictor, by width."""
    lines = []
    first = table.drop_duplicates(["task", "predictor", "width"])
    for row in first.itertuples():
        if pd.isna(row.classical) or pd.isna(row.ppi):
            lines.append(f"- {PREDICTORS[row.predictor]}, {_points(row.width)}: {row.note}")
            continue
        lines.append(
            f"- {row.name}, {_points(row.width)}, corpus of {row.corpus:,} texts: "
            f"{int(row.classical):,} coded texts by themselves; {int(row.ppi):,} with the "
            f"predictions of: {PREDICTORS[row.predictor]} (PPI++; {int(row.ppi_cautious):,} to be "
            f"on the safe side; DSL {int(row.dsl):,})"
        )
    return "\n".join(lines)


def _points(width: float) -> str:
    return f"interval of {100 * width:g} points (plus or minus {50 * width:g})"


def overall(shares: pd.DataFrame, predictor: str, *, topic: bool = False) -> pd.DataFrame:
    """Return the shares over all texts with one predictor, of the labels or of the topic."""
    rows = shares[(shares["group_by"] == ALL) & (shares["predictor"] == predictor)]
    return rows[(rows["label"] == TOPIC) == topic]


def by_groups(shares: pd.DataFrame, predictor: str) -> pd.DataFrame:
    """Return the shares by groups with one predictor, of groups with intervals; the topic first."""
    rows = shares[(shares["group_by"] != ALL) & (shares["predictor"] == predictor)]
    coded = rows[rows["method"] != "naive"].groupby("group")["ci_low"].transform("count")
    enough = rows.loc[coded[coded > 0].index, "group"].unique()
    kept = rows[rows["group"].isin(enough)]
    return kept.sort_values("label", key=lambda label: label != TOPIC, kind="stable")


def label_names(shares: pd.DataFrame) -> dict[str, str]:
    """Return the readable name of each label of a table of shares."""
    first = shares.drop_duplicates("label")
    named = dict(zip(first["label"], first["name"], strict=True))
    # What several labels are called together is too long for a heading.
    return named | ({TOPIC: "the topic (several labels)"} if TOPIC in named else {})


def small_groups(shares: pd.DataFrame) -> list[str]:
    """Say which groups have too few coded texts for an interval."""
    rows = shares[(shares["method"] == "classical") & (shares["group_by"] != ALL)]
    thin = rows[rows["ci_low"].isna()].drop_duplicates(["task", "group_by", "group"])
    return [
        f"{row.task}, {row.group_by} {row.group}: {row.n_coded} coded texts, no intervals"
        for row in thin.itertuples()
    ]
