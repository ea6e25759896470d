"""Made-up decisions of coders, with known right answers."""

import numpy as np
import pandas as pd

from helpers.published.archive import Posts

LABELS = [f"label {i}" for i in range(8)]
COLUMNS = ["id", "dimension", "value", "coder", "accepted", "llm"]


def decisions(rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def planted(
    n_posts, error, *, seed, double=1.0, share=0.4, sensitivity=None, specificity=None, coders="ab"
):
    """Make up decisions with known right answers; return both.

    Each coder of a post errs independently; a share `double` of the posts has two coders.
    """
    rng = np.random.default_rng(seed)
    se = dict.fromkeys(coders, 1 - error) if sensitivity is None else sensitivity
    sp = dict.fromkeys(coders, 1 - error) if specificity is None else specificity
    prevalence = {"GPT4": share + 0.3, "LLAMA2": share - 0.1}
    rows, right = [], {}
    for post in range(n_posts):
        llm = "GPT4" if rng.random() < 0.5 else "LLAMA2"
        truth = rng.random(len(LABELS)) < prevalence[llm]
        right[str(post)] = truth
        who = rng.permutation(list(coders))[: 2 if rng.random() < double else 1]
        for coder in who:
            p = np.where(truth, se[coder], 1 - sp[coder])
            accepted = rng.random(len(LABELS)) < p
            rows += [
                (str(post), label, "low", coder, bool(yes), llm)
                for label, yes in zip(LABELS, accepted, strict=True)
            ]
    return decisions(rows), right


def as_posts(rows, predicted):
    ids = tuple(sorted(rows.loc[rows["accepted"], "id"].unique()))
    truth = np.zeros((len(ids), len(LABELS)), dtype=np.uint8)
    for row in rows[rows["accepted"]].itertuples():
        truth[ids.index(row.id), LABELS.index(row.dimension)] = 1
    levels = {
        name: np.array([answer[key] for key in ids], np.uint8) for name, answer in predicted.items()
    }
    return Posts("train", ids, truth, levels | {"memory": truth}, pd.DataFrame())
