"""Rules for the article's claims about models on the flourishing posts; see `claim_evidence`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.audit.claims.evidence import (
    CAVEAT,
    CHATGPT4,
    FAILS,
    HOLDS,
    MARGIN,
    SMALL,
    TEST_TRUTH,
    TRAINING_TRUTH,
    UNKNOWN,
    Evidence,
    Finding,
    Limits,
    Rule,
    of_row,
    pick,
    published_difference,
    unknown,
    worst,
)


def small_models_match(e: Evidence) -> Finding:
    """Judge on the test posts, where no model was trained, fine-tuned models up to `SMALL` billion.

    Recomputed (paired differences of Jaccard, micro F1 and MCC): holds if every such model is as
    good as ChatGPT-4 in all three; with a caveat if one is in one; does not hold if none is and
    every upper limit is below 0. Without the test posts' true labels: published Jaccard and
    accuracy, by the same rule, at best with a caveat. It also takes a caveat if no such model's
    accuracy is above predict-nothing's.
    """
    rows = pick(e.paired, split="test", fine_tuned=True, status="ok")
    if len(rows):
        rows = rows[
            (rows["parameters_billion"] <= SMALL)
            & rows["metric"].isin(["jaccard", "micro_f1", "mcc"])
        ]
        found = {(r["model"], r["metric"]): of_row(r, "difference") for _, r in rows.iterrows()}
        source, needs = (
            f"recomputed on the same {int(rows['n'].max() if len(rows) else 0)} posts",
            "",
        )
    else:
        found = _published_against_chatgpt4(e.published)
        source, needs = "published values, each model on other posts", TEST_TRUTH
    if not found:
        return unknown(f"{TEST_TRUTH} and answers of the fine-tuned small models")
    good = [limits.low > -MARGIN for limits in found.values()]
    verdict = HOLDS if all(good) else CAVEAT if any(good) else UNKNOWN
    if not any(good) and all(limits.high < 0 for limits in found.values()):
        verdict = FAILS
    if verdict == HOLDS and (needs or _none_above_nothing(e)):
        verdict = CAVEAT
    jaccard = {model: limits for (model, metric), limits in found.items() if metric == "jaccard"}
    names = ", ".join(sorted({metric for _, metric in found}))
    listed = "; ".join(f"{model} {limits.text('+')}" for model, limits in jaccard.items())
    worse = sum(limits.high < 0 for limits in found.values())
    figure = (
        f"Test posts, {source}. Jaccard minus ChatGPT-4's: {listed}. Of {len(good)} comparisons "
        f"({names}) {sum(good)} are surely not worse by more than {MARGIN}, {worse} surely worse. "
        "The training posts can't tell: fine-tuned models were trained on them."
    )
    return Finding(verdict, figure + _nothing_text(e), needs)


def _published_against_chatgpt4(table: pd.DataFrame | None) -> dict[tuple[str, str], Limits]:
    test = pick(table, split="test")
    if test.empty or CHATGPT4 not in set(test["fname"]):
        return {}
    reference = test[test["fname"] == CHATGPT4].iloc[0]
    small = test[test["fine_tuned"] & (test["parameters_billion"] <= SMALL)]
    return {
        (row["model"], metric): published_difference(
            (row[column], row["ntext"]), (reference[column], reference["ntext"])
        )
        for _, row in small.iterrows()
        for metric, column in (("jaccard", "jac"), ("accuracy", "accD"))
    }


def _test_accuracy(e: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = pick(e.scores, split="test", texts="same", metric="dimension_accuracy")
    if rows.empty:
        return rows, rows
    small = rows[rows["fine_tuned"] & (rows["parameters_billion"] <= SMALL)]
    return rows[rows["fname"] == "predict-nothing"], small


def _none_above_nothing(e: Evidence) -> bool:
    nothing, small = _test_accuracy(e)
    return bool(len(nothing) and len(small) and (small["value"].max() <= nothing["value"].iloc[0]))


def _nothing_text(e: Evidence) -> str:
    nothing, small = _test_accuracy(e)
    if nothing.empty or small.empty:
        return ""
    base, best = nothing.iloc[0], small.sort_values("value").iloc[-1]
    return (
        f" Accuracy on dimensions there: at best {of_row(best).text()} ({best['model']}), "
        f"predict-nothing {of_row(base).text()}."
    )


def accuracy_is_good(e: Evidence) -> Finding:
    """Judge ChatGPT-4, which was trained on neither split, against predict-nothing.

    Per split with true labels: holds if the lower limit of the difference in accuracy is at least
    half of predict-nothing's error (half of its errors avoided); with a caveat if it is above 0;
    otherwise does not hold. The worse split counts.
    """
    rows = pick(e.paired, fname="predict-nothing", metric="hamming_loss", status="ok")
    if rows.empty or e.scores is None:
        return unknown(f"{TRAINING_TRUTH} or {TEST_TRUTH}, and flourishing/{CHATGPT4}.csv")
    verdicts, texts = [], []
    for _, row in rows.iterrows():
        own = pick(e.scores, split=row["split"], texts="same", metric="dimension_accuracy")
        base, model = (own[own["fname"] == name].iloc[0] for name in ("predict-nothing", CHATGPT4))
        gain = of_row(row, "difference")
        error = 1 - base["value"]
        verdicts.append(HOLDS if gain.low >= error / 2 else CAVEAT if gain.low > 0 else FAILS)
        texts.append(
            f"{row['split']} posts (n {int(row['n'])}): predict-nothing {of_row(base).text()}, "
            f"ChatGPT-4 {of_row(model).text()}, gain {gain.text('+')}, which is "
            f"{gain.value / error:.0%} of predict-nothing's errors"
        )
    needs = "" if "test" in set(rows["split"]) else TEST_TRUTH
    return Finding(worst(verdicts), "Accuracy on dimensions, " + "; ".join(texts) + ".", needs)


def size_helps(e: Evidence) -> Finding:
    """Judge by the rank correlation of size with published Jaccard and accuracy of base models.

    ChatGPT-4, whose size is a guess, is left out. Interval: Fisher's z with the variance of Bonett
    & Wright (2000), Psychometrika 65, 23-28; the models are its sample. Holds if all
    four (two splits) have a lower limit above 0, with a caveat if some have, does not hold if none
    has an upper limit above 0.
    """
    from scipy.stats import spearmanr

    base = pick(e.published, fine_tuned=False)
    base = base[~base["fname"].isin(e.guessed | {CHATGPT4})] if len(base) else base
    if len(base) < 2 * 4:
        return unknown("data/published/flourishing.csv with four base models or more")
    found = {}
    for split, rows in base.groupby("split", sort=False):
        for name, column in (("Jaccard", "jac"), ("accuracy", "accD")):
            r = float(spearmanr(rows["parameters_billion"], rows[column]).statistic)
            z = np.arctanh(np.clip(r, -0.999999, 0.999999))
            half = 1.96 * np.sqrt((1 + r**2 / 2) / (len(rows) - 3))
            found[f"{split}, {name}"] = Limits(r, *(float(np.tanh(z + s * half)) for s in (-1, 1)))
    lower = [limits.low > 0 for limits in found.values()]
    verdict = HOLDS if all(lower) else CAVEAT if any(lower) else UNKNOWN
    if all(limits.high <= 0 for limits in found.values()):
        verdict = FAILS
    texts = "; ".join(f"{name} {limits.text('+')}" for name, limits in found.items())
    n = base["fname"].nunique()
    figure = f"Rank correlation with size, {n} base models, published values: {texts}."
    return Finding(verdict, figure, "answers of all base models and " + TEST_TRUTH)


def fine_tuning_beats_size(e: Evidence) -> Finding:
    """Judge small fine-tuned models against the base 70B model of their family, test posts.

    Published Jaccard and accuracy. Holds with a caveat if more differences have a lower limit above
    0 than have an upper limit below 0; does not hold if fewer; can't be judged if as many. The
    training posts, where fine-tuned models are in-sample, are shown and don't count.
    """
    if e.published is None:
        return unknown("data/published/flourishing.csv")
    found = {}
    for split, rows in e.published.groupby("split", sort=False):
        large = rows[(rows["parameters_billion"] == 70) & ~rows["fine_tuned"]].set_index("family")
        small = rows[rows["fine_tuned"] & (rows["parameters_billion"] <= SMALL)]
        found[split] = [
            published_difference((row[m], row["ntext"]), (other[m], other["ntext"]))
            for _, row in small[small["family"].isin(large.index)].iterrows()
            for other in [large.loc[row["family"]]]
            for m in ("jac", "accD")
        ]
    if not found.get("test"):
        return unknown("published values of the test posts")
    counts = {
        split: (sum(x.low > 0 for x in limits), sum(x.high < 0 for x in limits), len(limits))
        for split, limits in found.items()
    }
    up, down, _ = counts["test"]
    texts = "; ".join(
        f"{split} posts{' (in-sample)' if split == 'train' else ''}: {a} better, {b} worse, "
        f"{n - a - b} undecided of {n}, differences {min(x.value for x in found[split]):+.3f} to "
        f"{max(x.value for x in found[split]):+.3f}"
        for split, (a, b, n) in counts.items()
    )
    figure = f"Fine-tuned up to {SMALL}B minus base 70B, Jaccard and accuracy, intervals: {texts}."
    verdict = CAVEAT if up > down else FAILS if up < down else UNKNOWN
    return Finding(verdict, figure, "answers of the base 70B models and " + TEST_TRUTH)


MODEL_RULES: dict[str, Rule] = {
    "small_models_match": small_models_match,
    "accuracy_is_good": accuracy_is_good,
    "size_helps": size_helps,
    "fine_tuning_beats_size": fine_tuning_beats_size,
}
