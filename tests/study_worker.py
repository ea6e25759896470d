"""Run a small study in a process that a test may kill: python study_worker.py <root>."""

import sys
from pathlib import Path

from run_example import study_run

from helpers import experiments

if __name__ == "__main__":
    run = study_run(Path(sys.argv[1]))
    experiments.run_study(run, progress=False)
