"""What the archive says about each claim of the article."""

from helpers.audit.claims.evidence import Evidence
from helpers.audit.claims.judged import judged_claims

__all__ = ["Evidence", "judged_claims"]
