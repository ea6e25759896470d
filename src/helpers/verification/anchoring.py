"""Anchoring: do coders follow proposals because they see them?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from helpers.verification.aggregate import Item, judged_texts
from helpers.verification.audit import COLUMNS, blind_labels, items_by_text, ratio_interval
from helpers.verification.events import Decision

ANCHORING = (
    "accepted though not coded blind",
    "rejected though coded blind",
    "accepted though another reviewer rejected",
    "same labels as blind",
    "coded blind but not in the review",
)


def anchoring(
    proposals: pd.DataFrame,
    decisions: Sequence[Decision],
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare what coders decide with proposals in sight with what others code without.

    Parameters
    ----------
    proposals : frame (id, label, level).
    decisions : of all coders. Texts count that one coder coded blind and another reviewed.

    Returns
    -------
    frame as of `pool_recall`, `texts` being the texts that contribute:

    - ``accepted though not coded blind``: share accepted of the proposals that the blind coder
      did not give;
    - ``rejected though coded blind``: share rejected of the proposals that the blind coder gave;
    - ``accepted though another reviewer rejected``: the same between two reviewers, both with
      proposals in sight (the texts of the overlap);
    - ``same labels as blind``: share of texts whose accepted labels equal those coded blind;
    - ``coded blind but not in the review``: share of the blind coder's labels that the review
      lacks, mostly because nobody proposed them.

    Notes
    -----
    Coders who err at the same rate, each by chance, would accept about as many of the proposals
    that a blind colleague did not give as of those that a reviewing colleague rejected. Anchoring
    shows where the first share is larger than the third, beyond what the intervals allow: people
    who look at the same proposals agree with each other more than with one who does not.

    What this cannot say: a proposal that the blind coder did not give need not be wrong (blind
    coders overlook labels; seeing a proposal can also help), so the first share is not all
    anchoring; nor is a third share of the same size proof that there is none.
    """
    proposed = items_by_text(proposals)
    coded: dict[tuple[str, str], set[Item]] = {}
    for coder in sorted({d.coder for d in decisions if d.blind}):
        own = blind_labels([d for d in decisions if d.coder == coder])
        coded |= {(text_id, coder): items for text_id, items in own.items()}
    rows: dict[str, list[tuple[str, int, int]]] = {name: [] for name in ANCHORING}
    texts = judged_texts(decisions)
    for (text_id, blind_coder), given in coded.items():
        text = texts.get(text_id)
        for reviewer in text.coders if text else []:
            if text and reviewer != blind_coder:
                verdicts = {i: v[reviewer] for i, v in text.votes.items() if reviewer in v}
                _compare(rows, text_id, verdicts, given, proposed.get(text_id, set()))
    for text_id, text in texts.items():
        for item in proposed.get(text_id, set()) & set(text.votes):
            yes, no = text.yes(item), text.no(item)
            # Each rejecting coder, paired with each of the others.
            rows[ANCHORING[2]].append((text_id, no * yes, no * (yes + no - 1)))
    table = []
    for name, parts in rows.items():
        frame = pd.DataFrame(parts, columns=["id", "top", "bottom"]).groupby("id").sum()
        frame = frame[frame["bottom"] > 0]
        top, bottom = frame["top"].to_numpy(float), frame["bottom"].to_numpy(float)
        interval = ratio_interval(
            top, bottom, confidence=confidence, n_resamples=n_resamples, seed=seed
        )
        table.append((name, *interval, int(top.sum()), int(bottom.sum()), len(frame)))
    return pd.DataFrame(table, columns=COLUMNS)


def _compare(
    rows: dict[str, list[tuple[str, int, int]]],
    text_id: str,
    verdicts: dict[Item, bool],
    given: set[Item],
    proposed: set[Item],
) -> None:
    judged = [item for item in proposed if item in verdicts]
    without = [verdicts[item] for item in judged if item not in given]
    within = [verdicts[item] for item in judged if item in given]
    final = {item for item, accepted in verdicts.items() if accepted}
    rows[ANCHORING[0]].append((text_id, sum(without), len(without)))
    rows[ANCHORING[1]].append((text_id, len(within) - sum(within), len(within)))
    rows[ANCHORING[3]].append((text_id, int(final == given), 1))
    rows[ANCHORING[4]].append((text_id, len(given - final), len(given)))
