"""The list for labels made by language models: B to D, what people and estimates say of them."""

from __future__ import annotations

import pandas as pd

from helpers.checklist.facts import Fact, Facts, headline, interval, listed, rows_of
from helpers.comparison.reading import HEADLINES
from helpers.metrics import METRIC_NAMES


def audit(facts: Facts) -> list[Fact]:
    """B1: the blind audit."""
    plan, found = facts.run.profile.verification, []
    for task in facts.tasks:
        rows = facts.of("verification_pool_recall", task)
        if len(rows):
            n = int(rows["texts"].max())
            found.append(
                Fact(
                    f"{task.name}: {n} training texts, drawn at random with known probability, "
                    "coded without proposals",
                    "`tables/verification_pool_recall.csv`, chapter 03",
                )
            )
    if found and plan.coders == "simulated":
        found.append(Fact("**the coders are simulated: no person coded anything**", "chapter 03"))
    return found


def scores(facts: Facts) -> list[Fact]:
    """B2: the best and the worst labeller."""
    found = []
    for task in facts.tasks:
        metric = HEADLINES[task.label_type]
        rows = facts.of("labelling_scores", task)
        rows = rows[rows["metric"] == metric] if len(rows) else rows
        if rows.empty:
            continue
        ordered = rows_of(rows.sort_values("value", ascending=False, kind="stable"))
        best, worst = ordered[0], ordered[-1]
        found.append(
            Fact(
                f"{task.name}, {METRIC_NAMES[metric]} against the source's labels of "
                f"{int(best['n']):,} training texts: best "
                f"{best['labeller']} {interval(best)}, worst {worst['labeller']} {interval(worst)}",
                "`tables/labelling_scores.csv`, chapter 02",
            )
        )
    return found


def coders(facts: Facts) -> list[Fact]:
    """B3: agreement of coders."""
    found = []
    for task in facts.tasks:
        rows = facts.of("verification_agreement", task)
        rows = rows[rows["a"] == "all"] if len(rows) else rows
        each = [f"{row['statistic']} {interval(row)}" for row in rows_of(rows)]
        if each:
            n = int(rows["n_texts"].max())
            where = "`tables/verification_agreement.csv`, chapter 03"
            found.append(Fact(f"{task.name}: {', '.join(each)} on {n} texts", where))
    return found


def anchoring(facts: Facts) -> list[Fact]:
    """B4: reviewed against blind."""
    found = []
    for task in facts.tasks:
        rows = facts.of("verification_anchoring", task)
        each = [
            f"{row['quantity']} {interval(row, 'estimate', 2)}" for row in rows_of(rows.head(2))
        ]
        if each:
            where = "`tables/verification_anchoring.csv`, chapter 03"
            found.append(Fact(f"{task.name}: {'; '.join(each)}", where))
    if found and facts.run.profile.verification.coders == "simulated":
        found.append(Fact("simulated coders cannot be influenced: this shows their errors alone"))
    return found


def missed(facts: Facts) -> list[Fact]:
    """B5: what the crowd did not propose."""
    found = []
    for task in facts.tasks:
        rows = facts.of("verification_pool_recall", task)
        one = rows[rows["quantity"] == "labels found"] if len(rows) else rows
        if len(one):
            row = one.iloc[0]
            found.append(
                Fact(
                    f"{task.name}: the crowd proposed {interval(row, 'estimate', 2)} of the labels "
                    f"that blind coders gave ({int(row['denominator'])} labels)",
                    "`tables/verification_pool_recall.csv`, chapter 03",
                )
            )
    return found


def agreement(facts: Facts) -> list[Fact]:
    """C1: agreement of labellers."""
    found = []
    for task in facts.tasks:
        rows = facts.of("labelling_agreement", task)
        rows = rows[rows["statistic"] == "krippendorff_alpha"] if len(rows) else rows
        if len(rows):
            row = rows.iloc[0]
            found.append(
                Fact(
                    f"{task.name}: Krippendorff's alpha {interval(row)}, "
                    f"{int(row['n_labellers'])} labellers, {int(row['n_texts']):,} texts",
                    "`tables/labelling_agreement.csv`, chapter 02",
                )
            )
    return found


def prompt_sensitivity(facts: Facts) -> list[Fact]:
    """C2: labels that change with the prompt."""
    found = []
    for task in facts.tasks:
        rows = facts.of("labelling_prompt_sensitivity", task)
        if rows.empty:
            continue
        low, high = rows["changed"].min(), rows["changed"].max()
        share = f"{low:.0%}" if len(rows) == 1 else f"{low:.0%} to {high:.0%}"
        right = pd.concat([rows["accuracy_a"], rows["accuracy_b"]])
        found.append(
            Fact(
                f"{task.name}: between two ways of asking the same model, {share} of the "
                f"texts get other labels (pairs: {len(rows)}); exactly right are "
                f"{right.min():.1%} to {right.max():.1%}",
                "`tables/labelling_prompt_sensitivity.csv`, chapter 02",
            )
        )
    return found


def model_sensitivity(facts: Facts) -> list[Fact]:
    """C3: scores by model; the article's conclusion is the author's to vary."""
    found = []
    for task in facts.tasks:
        rows = headline(facts, task)
        tuned = rows[rows["fine_tuned"] == True] if len(rows) else rows  # noqa: E712
        if len(tuned) > 1:
            each = [f"{row['model']} {interval(row)}" for row in rows_of(tuned)]
            where = "`tables/metrics.csv`, chapter 05"
            found.append(Fact(f"{task.name}: {listed(each)}", where))
    return found


def corrected(facts: Facts) -> list[Fact]:
    """D1: corrected estimates and their coverage."""
    found = []
    for task in facts.tasks:
        rows = facts.of("estimates_summary", task)
        if rows.empty:
            continue
        rows = rows[(rows["method"] != "naive") & (rows["predictor"] == "crowd")]
        each = [
            f"{row['method']} {int(row['holds_truth'])} of {int(row['labels'])}"
            for row in rows_of(rows)
            if pd.notna(row["holds_truth"])
        ]
        if each:
            found.append(
                Fact(
                    f"{task.name}: intervals of shares that hold the true one: {', '.join(each)}",
                    "`tables/estimates_summary.csv`, chapter 09",
                )
            )
    table = facts.table("estimates_coverage")
    if table.empty:
        return found
    for estimand, rows in table[table["method"] != "naive"].groupby("estimand", sort=False):
        each = [f"{r['method']} {r['lowest']:.1%} to {r['highest']:.1%}" for r in rows_of(rows)]
        designs = int(rows["designs"].max())
        found.append(
            Fact(
                f"simulated coverage of 95% intervals, {estimand}: {', '.join(each)} (lowest and "
                f"highest of {designs} designs)",
                "`tables/estimates_coverage.csv`, chapter 09",
            )
        )
    return found


def uncorrected(facts: Facts) -> list[Fact]:
    """D2: naive estimates."""
    found = []
    for task in facts.tasks:
        rows = facts.of("estimates_summary", task)
        if rows.empty:
            continue
        rows = rows[(rows["method"] == "naive") & (rows["predictor"] == "crowd")]
        for row in rows_of(rows):
            if pd.notna(row["holds_truth"]):
                found.append(
                    Fact(
                        f"{task.name}: counting the crowd's labels misses shares by "
                        f"{row['mean_error'] * 100:.1f} points on average; its interval holds the "
                        f"true share of {int(row['holds_truth'])} of {int(row['labels'])} labels",
                        "`tables/estimates_summary.csv`, chapter 09",
                    )
                )
    return found
