"""Work side by side: results in order, failures named, the rest kept."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from helpers.parallel import WorkFailed, side_by_side


def double(x: int) -> int:
    return 2 * x


def process_id(_: int) -> int:
    return os.getpid()


def fail_on_two(path) -> str:
    if path.name == "2":
        raise ValueError("no two")
    path.write_text("done")
    return path.name


def test_results_come_in_the_order_of_the_items():
    items = {"c": 3, "a": 1, "b": 2}
    assert side_by_side(double, items, workers=2, title="sums", progress=False) == {
        "c": 6,
        "a": 2,
        "b": 4,
    }


def test_a_failure_is_named_and_the_others_are_finished(tmp_path):
    items = {name: tmp_path / name for name in ("1", "2", "3")}
    with pytest.raises(WorkFailed, match=r"1 of 3 sums failed \(the others are kept\):\n  2: Val"):
        side_by_side(fail_on_two, items, workers=1, title="sums", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3"]


def test_processes_are_kept_or_fresh():
    items = {str(i): i for i in range(3)}
    kept = side_by_side(process_id, items, workers=1, title="ids", progress=False)
    fresh = side_by_side(process_id, items, workers=1, title="ids", progress=False, fresh=True)
    assert len(set(kept.values())) == 1
    assert len(set(fresh.values())) == 3


def write_id_and_wait(path) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(60)


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    code = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[1]); from helpers.parallel import *; "
        "import test_parallel as t; p = pathlib.Path(sys.argv[2]); "
        "side_by_side(t.write_id_and_wait, {'a': p}, workers=1, title='x', progress=False)"
    )
    # Not from the command line: a spawned worker imports the main module anew.
    script = tmp_path / "parent.py"
    script.write_text(f"if __name__ == '__main__':\n    {code}\n")
    target = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, script, os.path.dirname(__file__), target])
    while not (target.is_file() and target.read_text()):
        assert parent.poll() is None
        time.sleep(0.05)
    worker = psutil.Process(int(target.read_text()))
    parent.kill()
    parent.wait()
    worker.wait(timeout=30)  # raises if it goes on
