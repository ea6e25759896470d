"""The grid of a training-size study: sizes, nested subsets, and labels made worse on purpose."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.runs import HelpersError
from helpers.tasks import Task

NOISE = "noise-"


class StudyError(HelpersError):
    """A study that cannot be made as asked."""


def geometric_sizes(smallest: int, largest: int, count: int) -> list[int]:
    """Return `count` sizes in equal ratios from `smallest` to `largest`, both included.

    Raises
    ------
    StudyError
        If `smallest` is not below `largest`, or `count` is below 2.
    """
    if count < 2 or not 0 < smallest < largest:
        raise StudyError(
            f"no {count} sizes from {smallest} to {largest} training texts: set "
            "training_size.smallest below the number of training texts, and sizes to 3 or more"
        )
    sizes = np.geomspace(smallest, largest, count).round().astype(int)
    return [int(size) for size in dict.fromkeys(sizes.tolist())]


def order_of(texts: pd.DataFrame, seed: int) -> list[str]:
    """Return the ids in the random order in which a researcher of this seed codes the texts.

    The first n form the training set of size n: subsets of a seed are nested, those of different
    seeds are drawn independently. The order depends on the set of ids and the seed alone.
    """
    ids = np.array(sorted(texts["id"]))
    return [str(i) for i in np.random.default_rng([seed, 6]).permutation(ids)]


def subset(labelled: pd.DataFrame, order: list[str], n: int) -> pd.DataFrame:
    """Return the first `n` texts of an order that have labels, in the order of `labelled`.

    Raises
    ------
    StudyError
        If there are fewer than `n`.
    """
    known = set(labelled["id"])
    chosen = [i for i in order if i in known][:n]
    if len(chosen) < n:
        raise StudyError(f"{n} training texts asked for, {len(chosen)} have labels")
    return labelled[labelled["id"].isin(chosen)].reset_index(drop=True)


def noise_share(labels: str) -> float | None:
    """Return the share of wrong labels of a label source: 0.1 for ``noise-10``, else None.

    Raises
    ------
    StudyError
        If the number is no whole percentage between 1 and 99.
    """
    if not labels.startswith(NOISE):
        return None
    percent = labels.removeprefix(NOISE)
    if not percent.isdigit() or not 1 <= int(percent) <= 99:
        raise StudyError(f"label source '{labels}': write noise-10 for 10% of wrong labels")
    return int(percent) / 100


def with_noise(train: pd.DataFrame, share: float, seed: int, task: Task) -> pd.DataFrame:
    """Replace the labels of a share of texts by those of another random text, which differ.

    Wrong labels are thus drawn as often as they occur, and a label set stays a possible one. Noise
    is nested: what is wrong at 10% is wrong in the same way at 20% (same seed).

    Parameters
    ----------
    train : columns id and labels.
    share : expected share of wrong labels, 0 to 1.
    seed : of the draw; it depends on the ids alone, not on the order of rows.
    task : names itself in the error.

    Raises
    ------
    StudyError
        If all texts have the same labels.
    """
    texts = train.sort_values("id", kind="stable")
    labels = texts["labels"].to_numpy(dtype=object)
    if len(set(labels)) < 2:
        raise StudyError(f"task {task.name}: all training texts have the same labels")
    rng = np.random.default_rng([seed, 7])
    drawn = rng.random(len(texts))
    # Candidates for every text, so that a text's wrong labels do not depend on the share.
    others = labels[rng.integers(0, len(texts), size=(len(texts), 32))]
    wrong = labels.copy()
    for row in np.flatnonzero(drawn < share):
        differ = others[row][others[row] != labels[row]]
        wrong[row] = differ[0] if len(differ) else labels[labels != labels[row]][0]
    return train.assign(labels=train["id"].map(dict(zip(texts["id"], wrong, strict=True))))
