"""Rules for the claims about what figures show and what coders did; see `claim_evidence`."""

from __future__ import annotations

import numpy as np

from helpers.audit.claims.evidence import (
    CAVEAT,
    CHATGPT4,
    FAILS,
    HOLDS,
    TRAINING_TRUTH,
    UNKNOWN,
    Evidence,
    Finding,
    Limits,
    Rule,
    of_row,
    pick,
    unknown,
)

LABELS = 46
DISAGREEMENT = (0.15, 0.20)
MISSED = 0.05  # share of true labels that a review may miss and still be called enough
EXACT, NEAR = 1e-9, 0.005


def intensity_axis(e: Evidence) -> Finding:
    """Judge by which share the published accI is, among the recomputed rows.

    Does not hold if in most rows it equals the share of all cells that are rightly absent or have
    the right level, recomputed as published. Holds if in most it is the share of right levels among
    the dimensions rightly found, within half a point (this one is recomputed with the corrected
    cleaning). Otherwise can't be judged.
    """
    keys = ["fname", "split"]
    right = pick(e.scores, texts="published", metric="intensity_accuracy")
    if e.published is None or e.summary is None or right.empty:
        return unknown(TRAINING_TRUTH + " and answers of a model")
    rows = right.merge(e.published[[*keys, "accI"]], on=keys)
    rows = rows.merge(e.summary[[*keys, "accI"]], on=keys, suffixes=("", "_cells"))
    if rows.empty:
        return unknown("answers of a model of the article")
    cells = int(((rows["accI"] - rows["accI_cells"]).abs() < EXACT).sum())
    gap = (rows["accI"] - rows["value"]).abs()
    conditional = int((gap < NEAR).sum())
    most = len(rows) / 2
    verdict = FAILS if cells > most else HOLDS if conditional > most else UNKNOWN
    row = rows.loc[gap.idxmax()]
    figure = (
        f"In {cells} of {len(rows)} recomputed rows the drawn value is the share of all cells, "
        f"true negatives included. {row['model']}, {row['split']} posts: drawn {row['accI']:.3f}, "
        f"conditional {of_row(row).text()} (n {int(row['n'])})."
    )
    return Finding(verdict, figure, "")


def jaccard_axis(e: Evidence) -> Finding:
    """Judge whether the values that the figure draws (jac2) are the Jaccard index (jac).

    Holds if they are equal in all published rows. Does not hold if they differ and lie in all rows
    where only a rescaled accuracy has to lie: between accD times 46/47 and accD. Otherwise can't be
    judged.
    """
    if e.published is None:
        return unknown("data/published/flourishing.csv")
    table = e.published
    gap = (table["jac2"] - table["jac"]).abs()
    low, high = table["accD"] * LABELS / (LABELS + 1), table["accD"]
    inside = (table["jac2"] >= low - EXACT) & (table["jac2"] <= high + EXACT)
    if (gap < EXACT).all():
        verdict = HOLDS
    else:
        verdict = FAILS if inside.all() and (gap >= EXACT).all() else UNKNOWN
    row = table.loc[gap.idxmax()]
    figure = (
        f"{int(inside.sum())} of {len(table)} drawn values lie between 46/47 of the accuracy and "
        f"it; {row['model']}, {row['split']} posts (n {int(row['ntext'])}): drawn "
        f"{row['jac2']:.3f}, Jaccard {row['jac']:.3f}."
    )
    recomputed = pick(e.scores, fname=CHATGPT4, texts="published")
    for split in recomputed["split"].unique() if len(recomputed) else ():
        drawn, right = (
            of_row(pick(recomputed, split=split, metric=name).iloc[0]).text()
            for name in ("rescaled_accuracy", "jaccard")
        )
        figure += f" ChatGPT-4 recomputed, {split}: {drawn} and {right}."
    return Finding(verdict, figure, "")


def coders_disagree(e: Evidence) -> Finding:
    """Judge by the share of overlapping training items whose coders don't all agree.

    Holds if its interval lies within the stated range; with a caveat if it overlaps with it; does
    not hold if it lies outside.
    """
    if e.agreement is None:
        return unknown(TRAINING_TRUTH)
    agree = of_row(e.agreement)
    found = Limits(1 - agree.value, 1 - agree.high, 1 - agree.low)
    least, most = DISAGREEMENT
    if found.low > most or found.high < least:
        verdict = FAILS
    else:
        verdict = HOLDS if found.low >= least and found.high <= most else CAVEAT
    figure = (
        f"Coders of the training posts disagree on {found.text()} of the {int(e.agreement['n'])} "
        f"items that several judged; stated: {least:.2f} to {most:.2f}."
    )
    return Finding(verdict, figure, "overlaps drawn at random, and those of the other two cases")


def rejecting_is_enough(e: Evidence) -> Finding:
    """Judge by the share of true labels that no model proposed, from a blind audit.

    Holds if its upper limit is at most `MISSED`, does not hold if its lower limit is above, with a
    caveat otherwise. Without an audit it can't be judged: a review of proposals sees nothing else.
    """
    figure = ""
    if e.codings is not None and "llm" in e.codings.columns:
        accepted = e.codings[e.codings["accepted"]]
        n = len(accepted.drop_duplicates(["id", "dimension"]))
        shares = accepted.groupby("llm").apply(
            lambda rows: len(rows.drop_duplicates(["id", "dimension"])), include_groups=False
        )
        made = ", ".join(f"{name} {count}" for name, count in shares.items())
        figure = f"All {n} true labels of the training posts were proposed by a model ({made})."
    if e.missed is None:
        needs = "a blind audit: posts drawn at random and labelled without proposals"
        return Finding(UNKNOWN, figure, needs)
    missed = of_row(e.missed)
    verdict = FAILS if missed.low > MISSED else HOLDS if missed.high <= MISSED else CAVEAT
    figure += f" No model proposed {missed.text()} of the true labels (n {int(e.missed['n'])})."
    return Finding(verdict, figure.strip(), "")


def per_dimension_names(e: Evidence) -> Finding:
    """Judge by the printed statistics of ChatGPT-4 beside those of the swapped confusion matrix.

    Does not hold if all printed precisions and balanced accuracies equal the swapped ones; holds if
    all equal the right ones on the published posts; otherwise can't be judged.
    """
    rows = pick(e.per_dimension, fname=CHATGPT4)
    if e.printed is None or rows.empty or rows["printed_prec"].isna().all():
        return unknown(f"{TRAINING_TRUTH} and flourishing/{CHATGPT4}.csv")
    both = rows.merge(e.printed, on=["fname", "split", "dimension"], suffixes=("", "_file"))
    if both.empty:
        return unknown("printed statistics of ChatGPT-4 for a split at hand")

    def equal(ours: str, theirs: str) -> bool:
        return bool(np.allclose(both[ours], both[theirs], atol=EXACT, equal_nan=True))

    swapped = equal("printed_prec", "prec") and equal("printed_balAcc", "balAcc")
    # As printed, sens is TP/(TP+FP): were the names right, it would equal the printed precision.
    right = equal("printed_sens", "prec") and not swapped
    verdict = FAILS if swapped else HOLDS if right else UNKNOWN
    gap = (both["balAcc"] - both["balanced_accuracy"]).abs()
    row = both.loc[gap.idxmax()]
    figure = (
        f"The printed statistics of {len(both)} dimensions {'are' if swapped else 'are not'} those "
        "of a confusion matrix with truth and prediction swapped. Largest effect: "
        f"{row['dimension']} ({int(row['support'])} of {int(row['n'])} posts), balanced accuracy "
        f"printed {row['balAcc']:.3f}, right "
        f"{of_row(row, 'balanced_accuracy', 'balanced_accuracy').text()}."
    )
    return Finding(verdict, figure, "")


def all_dimensions_count(e: Evidence) -> Finding:
    """Judge by dimensions that occur and that no model has after the published cleaning.

    Does not hold if there is one that models named in words the cleaning took away; with a caveat
    if no model ever named it; holds if there is none.
    """
    rows = pick(e.per_dimension)
    rows = rows[rows["named_published"].notna()] if len(rows) else rows
    if rows.empty:
        return unknown(TRAINING_TRUTH + " and answers of a model")
    sums = rows.groupby("dimension", sort=False).agg(
        support=("support", "max"), named=("named", "sum"), left=("named_published", "sum")
    )
    gone = sums[(sums["support"] > 0) & (sums["left"] == 0)]
    verdict = HOLDS if gone.empty else FAILS if (gone["named"] > 0).any() else CAVEAT
    names = "; ".join(
        f"{name} (true of {int(row['support'])} posts, named {int(row['named'])} times before)"
        for name, row in gone.iterrows()
    )
    figure = (
        f"After the published cleaning {len(gone)} of {len(sums)} dimensions are never predicted "
        f"by any of {rows['fname'].nunique()} models{': ' + names if names else ''}."
    )
    return Finding(verdict, figure, "")


def chatgpt4_size(e: Evidence) -> Finding:
    """Judge by whether the size was disclosed: a guess can't be judged from any archive."""
    rows = pick(e.published, fname=CHATGPT4)
    drawn = (
        f"It is drawn at {rows['parameters_billion'].iloc[0]:,.0f} billion." if len(rows) else ""
    )
    if CHATGPT4 in e.guessed:
        return Finding(UNKNOWN, drawn, "a statement by the provider, who never disclosed it")
    return Finding(HOLDS, drawn, "") if drawn else unknown("data/published/flourishing.csv")


MEASURE_RULES: dict[str, Rule] = {
    "intensity_axis": intensity_axis,
    "jaccard_axis": jaccard_axis,
    "coders_disagree": coders_disagree,
    "rejecting_is_enough": rejecting_is_enough,
    "per_dimension_names": per_dimension_names,
    "all_dimensions_count": all_dimensions_count,
    "chatgpt4_size": chatgpt4_size,
}
