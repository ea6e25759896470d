"""What Wang (2024) published about fine-tuning all of an encoder, for a place beside our gains."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from helpers.published.panel import PUBLISHED, PublishedError

FILE = "wang_2024.csv"
COLUMNS = ("quantity", "value", "unit", "source")
GAIN = "gain_"


def published_gains(folder: Path = PUBLISHED) -> pd.DataFrame:
    """Published gains of a BERT with all parameters trained over the domain dictionary.

    Wang (2024, Political Analysis 32(3), 379-383), on the conflict reports of Häffner et al.
    (2023): real reports, not ours.

    Returns
    -------
    DataFrame
        metric (r2, mse), value (percent; below 0: less), source.

    Raises
    ------
    PublishedError
        If the file is missing, lacks a column, or has no gains in percent.
    """
    path = folder / FILE
    where = f"data/published/{FILE}"
    if not path.is_file():
        raise PublishedError(f"{where} is missing: restore it from the repository")
    frame = pd.read_csv(path)
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise PublishedError(f"{where} lacks column(s) {', '.join(missing)}: restore the file")
    gains = frame[frame["quantity"].str.startswith(GAIN)]
    if gains.empty or (gains["unit"] != "percent").any():
        raise PublishedError(f"{where} must have gains in percent: restore the file")
    metric = gains["quantity"].str.removeprefix(GAIN)
    source = gains["source"].str.split(",").str[0]
    return pd.DataFrame({"metric": metric, "value": gains["value"].astype(float), "source": source})
