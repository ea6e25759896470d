"""Hours and money for a corpus, from a measured number of rows a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from helpers.classify.settings import ClassifyError

CORPORA = (1_000_000, 100_000_000, 2_600_000_000)
WORKERS = (1, 8, 64)


def sizing(
    rate: float,
    price: float | None = None,
    *,
    rows: Iterable[int] = CORPORA,
    workers: Sequence[int] = WORKERS,
    start: float = 0.0,
    efficiency: float = 1.0,
) -> pd.DataFrame:
    """Return what corpora cost in hours and money.

    Parameters
    ----------
    rate : rows a second of one worker (a GPU, or a core), measured.
    price : of a worker for an hour (None: no money in the table).
    rows : sizes of corpora.
    workers : numbers of workers.
    start : seconds until a worker works: start of Ray, loading of the model.
    efficiency : rate of a worker among many over its rate alone.

    Returns
    -------
    One row a corpus and number of workers: rows, workers, hours, cost (where there is a price).
    ``hours = (start + rows / (rate * workers * efficiency)) / 3600``; ``cost = hours * workers *
    price``.

    Raises
    ------
    ClassifyError
        If a number is not positive, or `efficiency` is above 1.
    """
    if rate <= 0 or not 0 < efficiency <= 1 or start < 0 or (price is not None and price < 0):
        raise ClassifyError(
            f"rate {rate}, efficiency {efficiency}, start {start} and price {price}: a rate is "
            "above 0, an efficiency above 0 and at most 1, nothing else below 0"
        )
    lines = []
    for size in rows:
        for number in workers:
            hours = (start + size / (rate * number * efficiency)) / 3600
            money = {} if price is None else {"cost": hours * number * price}
            lines.append({"rows": size, "workers": number, "hours": hours, **money})
    return pd.DataFrame(lines)
