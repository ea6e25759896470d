"""Who reviews which text, and which texts are coded blind: drawn once, with a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers.plans import HelpersError


class AssignmentError(HelpersError):
    """Texts cannot be assigned to the coders as asked."""


def assign(
    texts: Sequence[str], coders: Sequence[str], *, overlap: float, audit: int, seed: int
) -> pd.DataFrame:
    """Draw who reviews which text, and the blind audit.

    Parameters
    ----------
    texts : ids of the pool that the crowd labelled, whether or not it found a label.
    coders : their names.
    overlap : share of the texts that two coders review.
    audit : number of texts that are also coded blind, without proposals: a simple random sample
        of the pool without replacement.
    seed : of all draws. The order in which `texts` come does not matter.

    Returns
    -------
    frame (id, coder, blind, probability, position), by coder and position. Each text has one row
    with ``blind`` False (two in the overlap). Texts of the audit have one more with ``blind``
    True and their inclusion probability n/N (else NaN). `position` counts from 0 for each coder.

    Notes
    -----
    Two coders' shares, and pairs of coders in the overlap, differ by at most one text. A larger
    audit contains a smaller one of the same seed. The blind coder of a text never reviews it, so
    that anchoring can be estimated; with two coders the overlap is therefore drawn outside the
    audit. A coder sees blind texts first: who has not yet seen the crowd's habits cannot follow
    them. With ONE coder the same person codes blind first and reviews later; pool recall can be
    estimated then, anchoring cannot.

    Raises
    ------
    AssignmentError
        If a name or id comes twice, there are fewer texts than coders, the audit is larger than
        the pool, or overlap and audit ask for more coders than there are.
    """
    ids = _checked(texts, coders, overlap, audit)
    n, k = len(ids), len(coders)
    drawn = np.random.default_rng([seed, 1]).permutation(n)[:audit]
    in_audit = np.zeros(n, dtype=bool)
    in_audit[drawn] = True
    order = np.random.default_rng([seed, 2]).permutation(n)
    order = order[np.argsort(in_audit[order], kind="stable")]  # the audit last: see Notes
    twice = round(overlap * n)
    if k == 2 and twice > n - audit:
        raise AssignmentError(
            f"{twice} texts with two reviewers and {audit} blind ones do not fit into {n} texts "
            "with two coders: name a third coder, or lower `overlap` or `audit`"
        )
    reviewers: dict[int, list[int]] = {}
    for rank, text in enumerate(order):
        reviewers[text] = [rank % k]
        if rank < twice:
            reviewers[text].append((rank + 1 + rank // k % (k - 1)) % k)
    rows = [(ids[t], who, False, np.nan) for t, both in reviewers.items() for who in both]
    load = [0] * k
    for text in drawn:
        free = [who for who in range(k) if who not in reviewers[text]] or [0]
        who = min(free, key=lambda candidate: load[candidate])
        load[who] += 1
        rows.append((ids[text], who, True, audit / n))
    return _ordered(rows, coders, seed)


def _checked(texts: Sequence[str], coders: Sequence[str], overlap: float, audit: int) -> list[str]:
    ids = sorted(map(str, texts))
    for what, names in (("text", pd.Index(ids)), ("coder", pd.Index(list(coders)))):
        if names.has_duplicates:
            raise AssignmentError(
                f"{what} {names[names.duplicated()][0]!r} is given twice: give each once"
            )
    if not coders or len(ids) < len(coders):
        raise AssignmentError(
            f"{len(ids)} texts for {len(coders)} coders: name at least one coder, and at most as "
            "many as there are texts"
        )
    if not 0 <= overlap <= 1 or (overlap > 0 and len(coders) == 1):
        raise AssignmentError(
            f"an overlap of {overlap:g} with {len(coders)} coder(s): it is a share between 0 and "
            "1, and needs at least two coders; set `overlap: 0` for one"
        )
    if not 0 <= audit <= len(ids):
        raise AssignmentError(
            f"an audit of {audit} texts out of {len(ids)}: set `audit` to at most {len(ids)}"
        )
    return ids


def _ordered(
    rows: list[tuple[str, int, bool, float]], coders: Sequence[str], seed: int
) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["id", "who", "blind", "probability"])
    frame = frame.sort_values(["who", "id", "blind"], ignore_index=True)
    frame["key"] = np.random.default_rng([seed, 3]).permutation(len(frame))
    frame = frame.sort_values(["who", "blind", "key"], ascending=[True, False, True])
    frame["position"] = frame.groupby("who").cumcount()
    frame["coder"] = [coders[who] for who in frame["who"]]
    columns = ["id", "coder", "blind", "probability", "position"]
    return frame[columns].reset_index(drop=True)
