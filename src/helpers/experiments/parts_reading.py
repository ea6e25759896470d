"""Read chapter 07: short tables, sentences, and the words behind some predictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from helpers.data.prepared import read_task
from helpers.encoders.dictionary import fit_predict_length
from helpers.encoders.dictionary_words import Dictionary, learn_dictionary
from helpers.encoders.occlusion import compare_words, highlighted
from helpers.experiments.what_to_finetune import explained, parts_work
from helpers.figures import part_name
from helpers.figures.parts import readable_share
from helpers.metrics import METRIC_NAMES, numeric_counts
from helpers.metrics.counts import Floats
from helpers.metrics.tidy import DECIMALS
from helpers.metrics.two_level import two_level
from helpers.runs import Run
from helpers.tasks import load_task

SCHEMES = {
    "fold": "cross-validation",
    "group": "whole groups left out",
    "split": "test texts",
}
UNDERLINED = 200
"""All words have a score, most of them next to none: so many of the weightiest are marked."""


def length_scores(run: Run, task: str) -> pd.DataFrame:
    """Scores of the number of words alone, in the rows of `parts_scores`; empty for classes."""
    loaded = load_task(task)
    rows = []
    if loaded.label_type != "numeric":
        return pd.DataFrame()
    by_scheme: dict[str, list[tuple[Floats, Floats]]] = {}
    for work in (w for w in parts_work(run, task) if w.method == "mean"):
        texts = work.texts["text"].tolist()
        truth = np.array([loaded.loads(labels) for labels in work.texts["labels"]], dtype=float)
        guess = np.full(len(texts), np.nan)
        for cell in work.cells:
            train, test = list(cell.train), list(cell.test)
            asked = [texts[i] for i in test]
            guess[test] = fit_predict_length([texts[i] for i in train], truth[train], asked)
        known = np.argsort(work.texts["id"].to_numpy(), kind="stable")
        known = known[~np.isnan(guess[known])]  # in the order of ids, as the other methods
        by_scheme.setdefault(work.cells[0].scheme, []).append((truth[known], guess[known]))
    for scheme, repeats in by_scheme.items():
        counts = [numeric_counts(y, p, np.ones(len(y), dtype=bool)) for y, p in repeats]
        found = two_level(counts, run.profile.bootstrap, run.profile.seed)
        for metric, score in found.items():
            row = {"task": task, "scheme": scheme, "method": "length", "metric": metric}
            values = [score.value, score.ci_low, score.ci_high, score.sd_seeds]
            names = ["value", "ci_low", "ci_high", "sd_repeats"]
            row |= dict(zip(names, np.round(values, DECIMALS) + 0.0, strict=True))
            rows.append(row | {"repeats": score.n_seeds, "n": counts[0].n})
    return pd.DataFrame(rows)


def parts_board(scores: pd.DataFrame, task: str) -> pd.DataFrame:
    """Scores of a task with their intervals: a row a scheme and method, best first.

    Returns
    -------
    DataFrame
        Index evaluated on, method; share of the parameters that learn; a column per metric, cells
        such as "0.51 [0.45, 0.57]"; n texts.
    """
    rows = scores[scores["task"] == task]
    first = rows["metric"].iloc[0]
    cells = rows.assign(cell=[_cell(row) for row in rows.itertuples()])
    metrics = list(dict.fromkeys(rows["metric"]))
    keys = ["scheme", "method"]
    table = cells.pivot(index=keys, columns="metric", values="cell")[metrics]
    main = rows[rows["metric"] == first].set_index(keys)
    learn = [f"{readable_share(s)}" if pd.notna(s) else "" for s in main["trainable_share"]]
    table.insert(0, "learns", pd.Series(learn, main.index))
    table["n"] = main["n"]
    order = main.sort_values("value", ascending=False, kind="stable").sort_index(
        level="scheme", sort_remaining=False, kind="stable"
    )
    table = table.loc[order.index].rename(columns=METRIC_NAMES).rename_axis(columns=None)
    table.index = pd.MultiIndex.from_tuples(
        [(SCHEMES.get(scheme, scheme), part_name(method)) for scheme, method in table.index],
        names=["evaluated on", "method"],
    )
    return table


def _cell(row: Any) -> str:
    limits = "" if pd.isna(row.ci_low) else f" [{row.ci_low:.2f}, {row.ci_high:.2f}]"
    return f"{row.value:.2f}{limits}"


def parts_reading(scores: pd.DataFrame, gains: pd.DataFrame, task: str) -> str:
    """Say in words (Markdown) what a task's scores and gains show, a paragraph a scheme."""
    mine, won = scores[scores["task"] == task], gains[gains["task"] == task]
    lines = []
    for scheme in dict.fromkeys(mine["scheme"]):
        rows = mine[mine["scheme"] == scheme]
        metric = rows["metric"].iloc[0]
        rows = rows[rows["metric"] == metric].set_index("method")
        sized = rows.dropna(subset=["trainable_share"])
        best = sized["value"].astype(float).idxmax()
        share = readable_share(float(sized.loc[best, "trainable_share"]))
        name = METRIC_NAMES.get(metric, metric)
        name = name if name.startswith("R") else name[0].lower() + name[1:]
        line = (
            f"**{SCHEMES.get(scheme, scheme)}.** Of the encoders, {part_name(str(best))} ({share} "
            f"of the parameters) has the highest {name}: {sized.loc[best, 'value']:.2f}."
        )
        here = won[(won["scheme"] == scheme) & (won["metric"] == metric)]
        said = [_against(row, name) for row in here.itertuples() if row.method in ("frozen", "all")]
        lines.append(" ".join([line, *said]))
    return "\n\n".join(lines)


def _against(row: Any, name: str) -> str:
    low, high = row.difference_low, row.difference_high
    if low > 0:
        verdict = "better than the better dictionary"
    elif high < 0:
        verdict = "worse than the better dictionary"
    else:
        verdict = "not to be told from the better dictionary"
    who = part_name(row.method)
    return (
        f"Trained {who}: {verdict} (difference of {name} "
        f"{row.difference:+.2f} [{low:+.2f}, {high:+.2f}])."
    ).replace("-", "−")


class Explained(NamedTuple):
    """A text whose prediction was taken apart, and the dictionary of the same training texts."""

    id: str
    text: str
    words: pd.DataFrame
    predicted: str
    truth: str
    dictionary: Dictionary


def explained_texts(run: Run, task: str) -> Iterator[Explained]:
    """Yield the texts of `explained`; for classes the dictionary is that of the predicted class.

    Raises
    ------
    DataError
        If no method of the plan is explained, or it has not been run.
    """
    words, loaded = explained(run, task), load_task(task)
    work, cell = next((w, c) for w in parts_work(run, task) for c in w.cells if c.explained)
    training = work.texts.iloc[list(cell.train)]
    truth = [loaded.loads(labels) for labels in training["labels"]]
    answers = pd.read_parquet(cell.out / "predictions.parquet").set_index("id")["labels"]
    texts = read_task(run, loaded).set_index("id")
    learned: dict[str, Dictionary] = {}
    for name in dict.fromkeys(words["id"]):
        guess, gold = loaded.loads(answers[name]), loaded.loads(texts.loc[name, "labels"])
        numeric = loaded.label_type == "numeric"
        key = "" if numeric else str(guess)
        if key not in learned:
            y = truth if numeric else [float(label == guess) for label in truth]
            target = np.array(y, dtype=float)
            learned[key] = learn_dictionary(list(training["text"]), target, seed=cell.seed)
        shown = [
            f"{item:.2f}" if numeric else loaded.label_names[str(item)] for item in (guess, gold)
        ]
        own = words[words["id"] == name].reset_index(drop=True)
        text = str(texts.loc[name, "text"])
        yield Explained(str(name), text, own, shown[0], shown[1], learned[key])


def words_side_by_side(run: Run, task: str, n: int = 6) -> pd.DataFrame:
    """The encoder's weightiest words beside the dictionary's, for each explained text."""
    parts = [compare_words(item.words, item.dictionary, n) for item in explained_texts(run, task)]
    return pd.concat(parts, ignore_index=True)


def coloured_texts(run: Run, task: str) -> list[str]:
    """HTML of each explained text, on one scale of colours; dictionary words underlined."""
    items = list(explained_texts(run, task))
    strongest = max(float(item.words["effect"].abs().max()) for item in items)
    return [
        highlighted(
            item.words,
            item.text,
            heading=f"{item.id}: predicted {item.predicted}, true {item.truth}",
            dictionary=item.dictionary.first(UNDERLINED),
            strongest=strongest,
        )
        for item in items
    ]
