"""Classify corpora of any size: ``python -m helpers.classify``.

A corpus is cut into shards (a range of rows of one input file). Workers, on Ray Data or in this
process, read, classify and write one shard after the other; what is done is not done again. See
docs/scale.md.
"""

from helpers.classify.engines import Engine
from helpers.classify.estimate import sizing
from helpers.classify.folder import verify
from helpers.classify.run import Result, classify
from helpers.classify.settings import ClassifyError, Settings

__all__ = ["ClassifyError", "Engine", "Result", "Settings", "classify", "sizing", "verify"]
