"""A small study in a process that a test may kill: study_worker.py <root> <base> <changes>."""

import json
import sys
from pathlib import Path

from run_example import study_run

from helpers import experiments

if __name__ == "__main__":
    run = study_run(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
    experiments.run_study(run, progress=False)
