"""Rules for the claims about CAP topics and Dataverse subjects; see `claim_evidence`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.audit.claims.evidence import (
    CAVEAT,
    FAILS,
    HOLDS,
    MARGIN,
    UNKNOWN,
    Evidence,
    Finding,
    Limits,
    Rule,
    of_row,
    pick,
    published_difference,
    unknown,
)
from helpers.published.cap import MAJORITY
from helpers.published.cap import MODEL as CAP_MODEL
from helpers.published.dataverse import LARGE, SMALL

CAP_FILE = "cap/classification_test-L2-7B-cap-verified-v2.csv"
CAP_ABSENT = "answers of {} to the CAP test texts, which the archive does not hold"
DATAVERSE_FILES = "dataverse/classification_results-llama-2-7b-{small-dv,dv}.csv"


def _cap(e: Evidence, metric: str, model: str = CAP_MODEL) -> pd.Series | None:
    """Return the row of a model on the test texts, version 2 of the script."""
    rows = pick(e.cap, metric=metric)
    for name, wanted in (("split", "test"), ("model", model), ("version", "v2")):
        rows = rows[rows[name] == wanted] if name in rows.columns else rows
    if rows.empty:
        return None
    row = rows.iloc[0]
    if row["value"] > 1:
        raise ValueError(f"CAP {metric} {row['value']} must be a share between 0 and 1")
    return row


def _headline(e: Evidence, task: str, model: str, metric: str) -> pd.Series | None:
    rows = pick(e.headlines, task=task, model=model, metric=metric)
    return None if rows.empty else rows.iloc[0]


def cap_passes_chatgpt4(e: Evidence) -> Finding:
    """Judge by the recomputed mean balanced accuracy against ChatGPT-4's published one.

    ChatGPT-4's answers are not in the archive; its figure gets the sampling error of the recomputed
    one, as if its texts were others. With a caveat if the difference's lower limit is above 0, does
    not hold if the upper one is below 0, otherwise can't be judged.
    """
    row = _cap(e, "mean_balanced_accuracy")
    other = _headline(e, "cap", "ChatGPT-4", "mean_balanced_accuracy")
    if row is None or other is None:
        return unknown(CAP_FILE)
    own, rival = of_row(row), float(other["value"]) / 100
    gap = own.value - rival
    below, above = (np.sqrt(2) * (own.value - own.low), np.sqrt(2) * (own.high - own.value))
    difference = Limits(gap, gap - below, gap + above)
    verdict = CAVEAT if difference.low > 0 else FAILS if difference.high < 0 else UNKNOWN
    figure = (
        f"Mean balanced accuracy {own.text()} (n {int(row['n'])}, recomputed) against "
        f"ChatGPT-4's published {rival:.3f}: {difference.text('+')} if ChatGPT-4's figure has as "
        "large a sampling error and other texts."
    )
    return Finding(verdict, figure, CAP_ABSENT.format("ChatGPT-4"))


def cap_fine_tuning(e: Evidence) -> Finding:
    """Judge by the recomputed accuracy of the fine-tuned model.

    The zero-shot model's answers are not in the archive, its accuracy is published ("about"). With
    a caveat if the fine-tuned model's interval holds the published figure, or lies above it, and
    the lift's lower limit is above 0. Does not hold if the lift's upper limit is below 0, or the
    interval lies below the published figure. Otherwise can't be judged.
    """
    row = _cap(e, "accuracy")
    before = _headline(e, "cap", "Llama 2 7B", "accuracy")
    after = _headline(e, "cap", "Llama 2 7B FT", "accuracy")
    if e.cap is None or row is None or before is None or after is None:
        return unknown(CAP_FILE)
    own = of_row(row)
    lift = published_difference(
        (own.value, row["n"]), (float(before["value"]) / 100, float(before["n"]))
    )
    stated = float(after["value"]) / 100
    missed = lift.high < 0 or own.high < stated
    verdict = FAILS if missed else CAVEAT if lift.low > 0 else UNKNOWN
    baseline = _cap(e, "accuracy", MAJORITY) if "model" in e.cap else None
    against = "" if baseline is None else f"; majority {of_row(baseline).text()}"
    figure = (
        f"Accuracy after fine-tuning {own.text()} (n {int(row['n'])}, recomputed){against}; before "
        f"about {float(before['value']) / 100:.2f} as published: a lift of {lift.text('+')}."
    )
    return Finding(verdict, figure, CAP_ABSENT.format("the model before fine-tuning"))


def dataverse_5000(e: Evidence) -> Finding:
    """Judge by the recomputed share of texts with at least one right subject.

    The base model's answers are not in the archive, its figure is published. With a caveat if the
    difference's lower limit is above minus `MARGIN`, does not hold if its upper limit is below
    that, otherwise can't be judged.
    """
    rows = pick(e.dataverse, model=SMALL, scope="all", definition="any")
    other = _headline(e, "dataverse", "Llama 2 70B", "any_right")
    if rows.empty or other is None:
        return unknown(DATAVERSE_FILES)
    row, base = rows.iloc[0], float(other["value"]) / 100
    difference = published_difference((row["value"], row["n"]), (base, float(other["n"])))
    verdict = (
        CAVEAT if difference.low > -MARGIN else FAILS if difference.high < -MARGIN else UNKNOWN
    )
    figure = (
        f"At least one subject right: {of_row(row).text()} (n {int(row['n'])}, recomputed) against "
        f"{base:.3f} as published, {difference.text('+')}; {int(row['n_empty'])} answers of the "
        "5,000-text model are empty and count as wrong."
    )
    return Finding(verdict, figure, "answers of the base 70B model to the Dataverse test texts")


def dataverse_76110(e: Evidence) -> Finding:
    """Judge how much of the recomputed gain is about texts, not about empty answers.

    Holds if the lower limit of the share of the gain where both models name a subject is above a
    half. With a caveat if the gain's lower bound, whatever the empty answers would have been, is
    above 0 with its interval. Does not hold if the upper bound's interval is below 0. Otherwise
    can't be judged.
    """
    parts = None if e.decomposition is None else e.decomposition.set_index("part")
    bounds = None if e.bounds is None else e.bounds.set_index("assumption")
    if parts is None or bounds is None:
        return unknown(DATAVERSE_FILES)
    whole, usable = parts.loc["all"], parts.loc["usable"]
    low, high = bounds.loc["for_small"], bounds.loc["for_large"]
    share = of_row(usable, "share", "share")
    if share.low > 0.5:
        verdict = HOLDS
    elif low["ci_low"] > 0:
        verdict = CAVEAT
    else:
        verdict = FAILS if high["ci_high"] < 0 else UNKNOWN
    whole_gain = of_row(whole, "difference", "difference")
    rows = pick(e.dataverse, model=LARGE, scope="all", definition="any")
    level = f" to {of_row(rows.iloc[0]).text()}" if len(rows) else ""
    figure = (
        f"Gain {whole_gain.text('+')}{level} (n {int(whole['n'])}); {share.value:.0%} "
        f"[{share.low:.0%}, {share.high:.0%}] of it where both models name a subject. Whatever the "
        f"empty answers would have been, between {of_row(low, 'difference').text('+')} and "
        f"{of_row(high, 'difference').text('+')}."
    )
    return Finding(verdict, figure, "one length limit of prompts for both models, and other seeds")


CASE_RULES: dict[str, Rule] = {
    "cap_passes_chatgpt4": cap_passes_chatgpt4,
    "cap_fine_tuning": cap_fine_tuning,
    "dataverse_5000": dataverse_5000,
    "dataverse_76110": dataverse_76110,
}
