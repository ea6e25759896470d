"""For each claim of the article: does it hold, and which figure decides?

Claims, in our words, and where the article makes them: ``data/published/claims.csv``. Each has a
rule (`claim_models`, `claim_cases`, `claim_measures`) that computes the verdict from tables, so
that it may change when more files of the archive are there.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from helpers.audit.claims.cases import CASE_RULES
from helpers.audit.claims.evidence import Evidence
from helpers.audit.claims.measures import MEASURE_RULES
from helpers.audit.claims.models import MODEL_RULES
from helpers.published.panel import PUBLISHED, PublishedError

CLAIMS_FILE = "claims.csv"
RULES = {**MODEL_RULES, **CASE_RULES, **MEASURE_RULES}
CLAIM_COLUMNS = ("claim_id", "claim", "where", "verdict", "figure", "needs")


def published_claims(folder: Path = PUBLISHED) -> pd.DataFrame:
    """Return the claims (claim_id, claim, where), all str.

    Raises
    ------
    PublishedError
        If the file is missing, lacks a column, or its claims are not those that have a rule.
    """
    path = folder / CLAIMS_FILE
    where, remedy = f"data/published/{CLAIMS_FILE}", "restore the file from the repository"
    if not path.is_file():
        raise PublishedError(f"{where} is missing: {remedy}")
    table = pd.read_csv(path, dtype="str", keep_default_na=False)
    if missing := [name for name in CLAIM_COLUMNS[:3] if name not in table.columns]:
        raise PublishedError(f"{where} lacks column(s) {', '.join(missing)}: {remedy}")
    listed = table["claim_id"].tolist()
    if sorted(listed) != sorted(RULES):
        odd = sorted(set(listed) ^ set(RULES)) or [name for name in RULES if listed.count(name) > 1]
        raise PublishedError(
            f"{where}: claim {odd[0]} must stand there once and have a rule; {remedy}"
        )
    return table[list(CLAIM_COLUMNS[:3])]


def judged_claims(evidence: Evidence, folder: Path = PUBLISHED) -> pd.DataFrame:
    """Judge every claim by what is at hand.

    Parameters
    ----------
    evidence : tables, any of them missing.
    folder : holds ``claims.csv``.

    Returns
    -------
    DataFrame, columns `CLAIM_COLUMNS`: `verdict` is one of `claim_evidence.VERDICTS`, `figure` what
    decides it, with interval and n (empty where a table is missing), `needs` what a firmer verdict
    would need (empty where nothing).
    """
    table = published_claims(folder)
    found = pd.DataFrame([RULES[name](evidence) for name in table["claim_id"]])
    return pd.concat([table, found], axis=1)[list(CLAIM_COLUMNS)]
