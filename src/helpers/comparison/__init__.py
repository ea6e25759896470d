"""Compare the saved predictions of all models: scores, rates per class, paired tests.

Nothing is predicted here. The input is ``predictions/<task>/<model>.parquet`` and
``data/<task>/texts.parquet``, the output three tables; the same input gives the same bytes.
"""

from helpers.comparison.reading import (
    HEADLINES,
    SIZE_METRICS,
    best_pair,
    differences,
    names,
    overview,
    reading,
    scoreboard,
    without_other_labels,
)
from helpers.comparison.tables import (
    CROSS_VALIDATION,
    PAIRED_COLUMNS,
    Comparison,
    ComparisonError,
    compare,
    compare_task,
    default_reference,
)

__all__ = [
    "CROSS_VALIDATION",
    "HEADLINES",
    "PAIRED_COLUMNS",
    "SIZE_METRICS",
    "Comparison",
    "ComparisonError",
    "best_pair",
    "compare",
    "compare_task",
    "default_reference",
    "differences",
    "names",
    "overview",
    "reading",
    "scoreboard",
    "without_other_labels",
]
