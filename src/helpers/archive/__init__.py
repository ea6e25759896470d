"""The archive of a run: a folder and a zip to deposit, and the check that they can be repeated.

``python -m helpers.archive make`` packs code, data, results, README and metadata of a finished
run; ``verify`` unpacks the zip elsewhere, runs everything anew and compares every table.
"""

from helpers.archive.comparing import compare_runs
from helpers.archive.making import make_archive
from helpers.archive.verifying import verify_archive

__all__ = ["compare_runs", "make_archive", "verify_archive"]
