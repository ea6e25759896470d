"""What the review says about the crowd and the coders: acceptance, effort, conflicts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from helpers.tasks import Task
from helpers.verification.aggregate import items_of, judged_texts
from helpers.verification.events import Decision, decisions_frame

ALL = "all"


def judgements(proposals: pd.DataFrame, decisions: Sequence[Decision]) -> pd.DataFrame:
    """Return each coder's verdict on each proposal: frame (id, label, level, coder, accepted).

    The input of `helpers.metrics.agreement`. Labels that coders gave themselves are left out:
    they were no proposals; so is blind coding.
    """
    proposed = set(proposals[["id", "label", "level"]].itertuples(index=False, name=None))
    rows = [
        (d.text_id, d.label, d.level, d.coder, d.action == "accept")
        for d in decisions
        if not d.blind
        and d.action in ("accept", "reject")
        and (d.text_id, d.label, d.level) in proposed
    ]
    return pd.DataFrame(rows, columns=["id", "label", "level", "coder", "accepted"])


def acceptance_rates(
    proposals: pd.DataFrame, decisions: Sequence[Decision], *, confidence: float = 0.95
) -> pd.DataFrame:
    """Return the share of accepted proposals, by labeller and by coder.

    Returns
    -------
    frame (labeller, coder, accepted, judged, rate, ci_low, ci_high): all together, each labeller,
    each coder, each pair; ``all`` stands for every one. A proposal of several labellers counts
    for each of them and once in the total; one judged by two coders counts twice. Wilson
    intervals, as if judgements were independent.
    """
    verdicts = judgements(proposals, decisions)
    names = proposals[["id", "label", "level"]].assign(
        labeller=[json.loads(cell) for cell in proposals["labellers"]]
    )
    by_labeller = verdicts.merge(names.explode("labeller"), on=["id", "label", "level"])
    parts = [verdicts.assign(labeller=ALL, coder=ALL), by_labeller.assign(coder=ALL)]
    parts += [verdicts.assign(labeller=ALL), by_labeller]
    tables = [
        part.groupby(["labeller", "coder"])["accepted"].agg(accepted="sum", judged="size")
        for part in parts
    ]
    table = pd.concat(tables).reset_index()
    table["accepted"] = table["accepted"].astype(int)
    table["rate"] = table["accepted"] / table["judged"]
    low, high = proportion_confint(
        table["accepted"], table["judged"], alpha=1 - confidence, method="wilson"
    )
    return table.assign(ci_low=np.asarray(low), ci_high=np.asarray(high))


def decision_counts(task: Task, decisions: Sequence[Decision]) -> pd.DataFrame:
    """Count decisions, and compare them with coding the same texts from scratch.

    Returns
    -------
    frame (coder, part, texts, accepted, rejected, given, decisions, full_coding, share): for each
    coder and ``all``, for the ``review`` and the ``blind`` coding. A text of two coders counts
    twice. `given`: labels that the coder named. `full_coding`: decisions for as many texts
    without a crowd, one choice a text with one label, one yes or no for each label of the
    codebook with several. `share` = decisions / full_coding.

    Notes
    -----
    A yes or no to a proposal is less work than a choice among all labels of the codebook: in
    single-label tasks `share` overstates the effort of a review. `review_times` has the seconds,
    where people decided.
    """
    frame = decisions_frame(decisions)
    frame = frame[frame["action"] != "note"]
    frame["part"] = np.where(frame["blind"].astype(bool), "blind", "review")
    per_text = len(task.labels) if task.label_type != "single" else 1
    rows = []
    for coder in [ALL, *sorted(frame["coder"].unique())]:
        own = frame if coder == ALL else frame[frame["coder"] == coder]
        for part, group in own.groupby("part", sort=False):
            texts = len(group[["coder", "text_id"]].drop_duplicates())
            actions = group["action"].value_counts()
            given = actions.get("correct", 0) + actions.get("code", 0)
            counts = (actions.get("accept", 0), actions.get("reject", 0), given, len(group))
            full = per_text * texts
            rows.append((coder, part, texts, *map(int, counts), full, len(group) / full))
    columns = ["coder", "part", "texts", "accepted", "rejected", "given", "decisions"]
    table = pd.DataFrame(rows, columns=[*columns, "full_coding", "share"])
    return table.sort_values("part", ascending=False, kind="stable", ignore_index=True)


def review_times(decisions: Sequence[Decision]) -> pd.DataFrame:
    """Return how long texts and decisions took, where it was measured.

    Returns
    -------
    frame (coder, part, texts, decisions, q25, median, q75, seconds_per_decision): quartiles of
    the seconds per text; all decisions on a text carry the time of the text. Empty for simulated
    coders. Times belong into ``performance/``, not into result tables.
    """
    frame = decisions_frame(decisions).dropna(subset="seconds")
    frame = frame[frame["action"] != "note"]
    frame["part"] = np.where(frame["blind"].astype(bool), "blind", "review")
    keys = ["coder", "part"]
    texts = frame.groupby([*keys, "text_id"])["seconds"].agg(["max", "size"]).reset_index()
    rows = [
        (
            *key,
            len(group),
            int(group["size"].sum()),
            *group["max"].quantile([0.25, 0.5, 0.75]),
            group["max"].sum() / group["size"].sum(),
        )
        for key, group in texts.groupby(keys)
    ]
    columns = [*keys, "texts", "decisions", "q25", "median", "q75", "seconds_per_decision"]
    return pd.DataFrame(rows, columns=columns)


def conflicts(
    proposals: pd.DataFrame, decisions: Sequence[Decision], verified: pd.DataFrame
) -> pd.DataFrame:
    """Return each label on which coders disagreed, and what became of it.

    Parameters
    ----------
    verified : of `helpers.verification.aggregate.verified_labels`, of the same decisions.

    Returns
    -------
    frame (id, label, level, votes, accepted_by, rejected_by, outcome, resolved_by): `votes` of
    the crowd (0: given by a coder); `outcome` is ``kept``, ``left out`` or ``text dropped``.
    """
    votes = proposals.set_index(["id", "label", "level"])["votes"].to_dict()
    final = verified.set_index("id")
    rows = []
    for text_id, text in judged_texts(decisions).items():
        if text_id not in final.index:
            continue
        labels = json.loads(final.at[text_id, "labels"])
        for (label, level), verdicts in text.votes.items():
            yes = sorted(coder for coder, accepted in verdicts.items() if accepted)
            no = sorted(coder for coder, accepted in verdicts.items() if not accepted)
            if not yes or not no:
                continue
            outcome = "text dropped" if labels is None else "left out"
            if (label, level) in items_of(labels):
                outcome = "kept"
            sides = ("; ".join(yes), "; ".join(no))
            resolved = final.at[text_id, "resolved_by"]
            count = votes.get((text_id, label, level), 0)
            rows.append((text_id, label, level, count, *sides, outcome, resolved))
    columns = ["id", "label", "level", "votes", "accepted_by", "rejected_by"]
    return pd.DataFrame(rows, columns=[*columns, "outcome", "resolved_by"])
