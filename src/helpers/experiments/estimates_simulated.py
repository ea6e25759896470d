"""The simulation of chapter 09 in words and short tables; every number comes from its table."""

from __future__ import annotations

import pandas as pd

from helpers.experiments.estimates_reading import METHODS

ESTIMANDS = {
    "share": "the topic's share",
    "outcome": "the slope of the topic over the years",
    "covariate": "the topic's effect on the made-up outcome",
}
LOW, HIGH, POOR = 0.93, 0.97, 0.80


def error_names(simulated: pd.DataFrame) -> dict[float, str]:
    """Return headings of the simulation's panels: differential error in words."""
    names = {
        value: f"{value:.0%} of later predictions turned into the topic"
        for value in simulated["differential"].unique()
    }
    return names | {0.0: "the model's own errors"}


def coverage_table(simulated: pd.DataFrame) -> pd.DataFrame:
    """Return, by estimand and method, how coverage lies over all designs.

    Returns
    -------
    One row an estimand and method: designs, lowest, highest (coverage), in_band (designs between
    93% and 97%), naive_fails (designs in which the naive intervals cover less than 80%),
    in_band_there (of these, between 93% and 97%), width (median over designs of the mean width, as
    a share of the classical one).
    """
    design = ["estimand", "accuracy", "differential", "n_coded"]
    wide = simulated.set_index([*design, "method"])[["coverage", "mean_width"]].unstack("method")
    keys = pd.MultiIndex.from_frame(simulated[design])
    fails = (wide["coverage", "naive"] < POOR).reindex(keys).to_numpy()
    classical = wide["mean_width", "classical"].reindex(keys).to_numpy()
    in_band = simulated["coverage"].between(LOW, HIGH)
    rows = simulated.assign(
        in_band=in_band,
        fails=fails,
        there=in_band & fails,
        ratio=simulated["mean_width"] / classical,
    )
    return rows.groupby(["estimand", "method"], sort=False, as_index=False).agg(
        designs=("coverage", "size"),
        lowest=("coverage", "min"),
        highest=("coverage", "max"),
        in_band=("in_band", "sum"),
        naive_fails=("fails", "sum"),
        in_band_there=("there", "sum"),
        width=("ratio", "median"),
    )


def coverage_by_size(simulated: pd.DataFrame) -> pd.DataFrame:
    """Return the lowest and highest coverage over designs: a row a number of coded texts.

    Cells read ``91.6% to 98.8%``; columns are the methods.
    """
    spread = simulated.groupby(["n_coded", "method"], sort=False)["coverage"].agg(["min", "max"])
    cells = [f"{low:.1%} to {high:.1%}" for low, high in spread.to_numpy()]
    wide = pd.Series(cells, index=spread.index).unstack("method").rename(columns=METHODS)
    names = [name for name in METHODS.values() if name in wide]
    return wide.sort_index()[names].rename_axis(columns=None).reset_index()


def simulation_reading(simulated: pd.DataFrame) -> str:
    """Say which intervals keep their promise, by method and estimand."""
    lines = []
    for estimand, part in coverage_table(simulated).groupby("estimand", sort=False):
        lines.append(f"- {ESTIMANDS.get(estimand, estimand)}:")
        for row in part.itertuples():
            lines.append(
                f"    - {METHODS[row.method]}: the 95% intervals hold the truth in "
                f"{row.lowest:.1%} to {row.highest:.1%} of the samples, by design; {row.in_band} "
                f"of {row.designs} designs between 93% and 97%; width {row.width:.2f} of the "
                "classical one's"
            )
    return "\n".join(lines)


def worth_table(simulated: pd.DataFrame) -> pd.DataFrame:
    """Return coded texts of the same worth by accuracy and method, share of the topic.

    Returns
    -------
    One row an accuracy and method, without differential error, at each number of coded texts:
    accuracy, correlation, method, n_coded, effective_n, effective_n_se, gain (share of coded texts
    that the model adds).
    """
    calm = simulated["differential"].min()
    rows = simulated[
        simulated["method"].isin(["ppi", "dsl"])
        & (simulated["estimand"] == "share")
        & (simulated["differential"] == calm)
    ]
    rows = rows.assign(gain=rows["effective_n"] / rows["n_coded"] - 1)
    columns = ["accuracy", "correlation", "method", "n_coded"]
    return rows[[*columns, "effective_n", "effective_n_se", "gain"]].reset_index(drop=True)


def worth_reading(worth: pd.DataFrame, n_coded: int | None = None) -> str:
    """Say what each model adds to some number of coded texts (default: the second smallest)."""
    sizes = sorted(worth["n_coded"].unique())
    n_coded = n_coded or sizes[min(1, len(sizes) - 1)]
    lines = []
    for row in worth[worth["n_coded"] == n_coded].itertuples():
        lines.append(
            f"- {row.accuracy:.0%} of predictions right, {METHODS[row.method]}: {n_coded} coded "
            f"texts are worth {row.effective_n:.0f} "
            f"({_more(row.effective_n - n_coded)} than without predictions)"
        )
    return "\n".join(lines)


def _more(extra: float) -> str:
    return f"{extra:.0f} more" if extra >= 0 else f"{-extra:.0f} fewer"
