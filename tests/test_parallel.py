"""Work side by side: results in order, failures named, the rest kept."""

import os

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
