"""Read the tables of a comparison: short tables and sentences for the notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from helpers.baselines import BASELINES, CROWD, applicable, title
from helpers.comparison.tables import Comparison, ComparisonError, default_reference
from helpers.metrics import LOWER_IS_BETTER, METRIC_NAMES, ModelInfo
from helpers.tasks import Task

# The one score by which a chapter sums a task up, and those it draws against model size.
HEADLINES = {
    "single": "accuracy",
    "multi": "jaccard",
    "multi_intensity": "jaccard",
    "numeric": "r2",
}
SIZE_METRICS = {
    "single": ("accuracy", "macro_f1"),
    "multi": ("any_right", "hamming_loss", "jaccard"),
    "multi_intensity": ("dimension_accuracy", "hamming_loss", "jaccard", "intensity_accuracy"),
    "numeric": ("r2", "mse"),
}

# Scores that are put into words: a headline alone could hide that another score says otherwise.
READ = {
    "single": ("accuracy",),
    "multi": ("jaccard", "micro_f1"),
    "multi_intensity": ("jaccard", "micro_f1"),
    "numeric": ("r2",),
}
SHOWN = {
    "single": ("accuracy", "macro_f1", "mean_balanced_accuracy"),
    "multi": ("jaccard", "hamming_loss", "micro_f1", "any_right", "exact_match"),
    "multi_intensity": ("jaccard", "hamming_loss", "micro_f1", "intensity_accuracy"),
    "numeric": ("r2", "mse", "mae"),
}


def names(models: Mapping[str, ModelInfo], task: Task) -> dict[str, str]:
    """Readable names of models and baselines, for tables and figures."""
    known = {
        name: _tuned_name(name) if info.fine_tuned else f"{name}, base"
        for name, info in models.items()
    }
    return known | {b: title(b, task, short=True) for b in BASELINES if applicable(b, task)}


def _tuned_name(model: str) -> str:
    key, _, source = model.partition("@")
    labels = f", {source} labels" if source else ""
    return f"{key.removesuffix('-ft')}, fine-tuned{labels}"


def without_other_labels(metrics: pd.DataFrame) -> pd.DataFrame:
    """Leave out models that were trained on other labels than the profile's (``...@source``)."""
    return metrics[~metrics["model"].str.contains("@")]


def overview(metrics: pd.DataFrame, tasks: Iterable[Task]) -> pd.DataFrame:
    """Headline score of every model with its interval: a row per model, a column per split.

    Returns
    -------
    DataFrame
        Index task, metric and model, best test score first; cells such as "0.600 [0.55, 0.65]".
    """
    parts = []
    for task in tasks:
        metric = HEADLINES[task.label_type]
        rows = metrics[(metrics["task"] == task.name) & (metrics["metric"] == metric)]
        cells = rows.assign(cell=[_cell(row) for row in rows.itertuples()])
        table = cells.pivot(index=["task", "metric", "model"], columns="split", values="cell")
        score = rows[rows["split"] == "test"].set_index("model")["value"]
        order = score.sort_values(ascending=metric in LOWER_IS_BETTER, kind="stable").index
        ranked = table.reset_index().set_index("model")
        others = [model for model in ranked.index if model not in order]
        parts.append(ranked.loc[[*order, *others]].reset_index())
    whole = pd.concat(parts, ignore_index=True).set_index(["task", "metric", "model"])
    shown = [s for s in ("train", "validation", "test", "cross-validation") if s in whole]
    return whole[shown].fillna("").rename_axis(columns=None)


def scoreboard(metrics: pd.DataFrame, task: Task, split: str = "test") -> pd.DataFrame:
    """Main scores of every model of a task with their intervals: a row per model, best first.

    Returns
    -------
    DataFrame
        Index model; a column per score, cells such as "0.600 [0.550, 0.650]"; n, n_answered.
    """
    shown = list(SHOWN[task.label_type])
    rows = metrics[(metrics["task"] == task.name) & (metrics["split"] == split)]
    rows = rows[rows["metric"].isin(shown)]
    cells = rows.assign(cell=[_cell(row) for row in rows.itertuples()])
    wide = cells.pivot(index="model", columns="metric", values="cell")[shown]
    counts = rows.drop_duplicates("model").set_index("model")[["n", "n_answered"]]
    score = rows[rows["metric"] == shown[0]].set_index("model")["value"]
    order = score.sort_values(ascending=shown[0] in LOWER_IS_BETTER, kind="stable").index
    table = wide.join(counts).loc[order].rename(columns=METRIC_NAMES)
    return table.rename_axis(columns=None)


def best_pair(metrics: pd.DataFrame, task: Task, models: Mapping[str, ModelInfo]) -> list[str]:
    """The largest fine-tuned model and the best baseline, or crowd, on the test texts."""
    rows = _test_rows(metrics, task, HEADLINES[task.label_type])
    tuned = default_reference(models, rows.index)
    # A model behind an endpoint may be one of ours, served: it is no baseline.
    baselines = rows[rows.index.isin([*BASELINES, CROWD])]
    if baselines.empty:
        raise ComparisonError(f"task {task.name} has no baseline to set beside {tuned}")
    return [tuned, _best(baselines, HEADLINES[task.label_type])]


def reading(compared: Comparison, task: Task, source: str, models: Mapping[str, ModelInfo]) -> str:
    """Say in words (Markdown) how the reference model stands to its base and the baselines.

    Parameters
    ----------
    compared : Comparison
    task : Task
    source : str
        Which texts these are, e.g. "embedded texts".
    models : mapping of str to ModelInfo
    """
    parts = [_paragraph(compared, task, source, models, m) for m in READ[task.label_type]]
    return "\n\n".join(parts)


def _paragraph(
    compared: Comparison,
    task: Task,
    source: str,
    models: Mapping[str, ModelInfo],
    metric: str,
) -> str:
    rows, tests = _test_rows(compared.metrics, task, metric), compared.paired_tests
    tests = tests[(tests["task"] == task.name) & (tests["metric"] == metric)]
    tests = tests[tests["split"] == "test"].set_index("model")
    if tests.empty:
        return f"**{task.title}** ({source}): there is nothing to compare."
    reference, known = tests["reference"].iloc[0], names(models, task)
    lead = (
        f"**{task.title}** ({source}, {rows.loc[reference, 'n']:,} test texts). "
        f"{METRIC_NAMES[metric]} of *{known.get(reference, reference)}*: "
        f"{_cell(rows.loc[reference])}."
    )
    wanted = [reference.removesuffix("-ft"), "zero-shot", "tfidf-lr", "embeddings-lr"]
    lines = [
        f"- against *{known.get(other, other)}* ({rows.loc[other, 'value']:.3f}): "
        f"{_verdict(tests.loc[other], metric)}"
        for other in wanted
        if other in tests.index and other != reference
    ]
    return "\n".join([lead, "", *lines])


def differences(paired_tests: pd.DataFrame, tasks: Iterable[Task]) -> pd.DataFrame:
    """Main scores of every model minus those of the reference, with interval and p-values."""
    columns = ["task", "split", "metric", "reference"]
    columns += ["model", "difference", "p_value", "p_holm", "test"]
    wanted = [(task.name, metric) for task in tasks for metric in READ[task.label_type]]
    pairs = list(zip(paired_tests["task"], paired_tests["metric"], strict=True))
    rows = paired_tests[[pair in wanted for pair in pairs]]
    cells = [f"{r.difference:+.3f} [{r.ci_low:+.3f}, {r.ci_high:+.3f}]" for r in rows.itertuples()]
    table = rows.assign(difference=cells)[columns].set_index(columns[:4])
    return table.map(lambda x: f"{x:.2g}" if isinstance(x, float) else x)


def _verdict(row: pd.Series, metric: str) -> str:
    """Reference minus model (the table has model minus reference), and what it means."""
    difference, low, high = -row["difference"], -row["ci_high"], -row["ci_low"]
    numbers = f"{difference:+.3f} [{low:+.3f}, {high:+.3f}], p = {row['p_holm']:.2g} (Holm)"
    if not row["p_holm"] < 0.05:
        return f"{numbers}; these texts do not tell the two apart"
    better = (difference > 0) != (metric in LOWER_IS_BETTER)
    return f"{numbers}; the fine-tuned model is {'better' if better else 'worse'}"


def _test_rows(metrics: pd.DataFrame, task: Task, metric: str) -> pd.DataFrame:
    mask = (metrics["task"] == task.name) & (metrics["metric"] == metric)
    return metrics[mask & (metrics["split"] == "test")].set_index("model")


def _best(rows: pd.DataFrame, metric: str) -> str:
    ascending = metric in LOWER_IS_BETTER
    return str(rows.sort_values("value", ascending=ascending, kind="stable").index[0])


def _cell(row: pd.Series) -> str:
    if pd.isna(row.value):
        return "undefined"
    if pd.isna(row.ci_low):
        return f"{row.value:.3f}"
    return f"{row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]"
