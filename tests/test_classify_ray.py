"""Classification with a real model, in one process and on Ray; what is killed is survived."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pandas as pd
import psutil
import pytest
from classify_example import rows_of

from helpers import offline_model
from helpers.classify import Engine, Settings, classify, verify
from helpers.classify.command import main
from helpers.prediction import predict
from helpers.profiles import REPO
from helpers.tasks import load_task

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason='Ray is not installed: pip install -e ".[scale]"'
)
LONGEST = 240.0
"""Seconds after which a test gives up waiting."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return offline_model.build(2, tmp_path_factory.mktemp("models") / "minilm-2l")


def titles(folder, number):
    """Write short texts, told apart by a number, into two files."""
    rows = pd.read_json(REPO / "data" / "embedded" / "cap.jsonl", lines=True)
    drawn = rows["subject"].sample(number, replace=True, random_state=1).tolist()
    texts = [f"{i} {text}" for i, text in enumerate(drawn)]
    frame = pd.DataFrame({"id": [f"t{i}" for i in range(number)], "text": texts})
    folder.mkdir(parents=True, exist_ok=True)
    frame[: number // 2].to_parquet(folder / "a.parquet")
    frame[number // 2 :].to_csv(folder / "b.csv", index=False)
    return frame


def command(folder, output, model, rows, *more):
    start = [sys.executable, "-m", "helpers.classify", "--input", str(folder)]
    start += ["--output", str(output), "--model", str(model), "--task", "cap"]
    return [*start, "--batch-rows", str(rows), *more]


def started(arguments):
    environment = os.environ | {"PYTHONPATH": str(REPO / "src"), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, env=environment, stdout=pipe, stderr=pipe, text=True)


def wait_for(condition, what):
    until = time.monotonic() + LONGEST
    while not (found := condition()):
        assert time.monotonic() < until, f"waited {LONGEST:.0f} s for {what}"
        time.sleep(0.02)
    return found


def records(output, number):
    """Return the records of shards once there are so many."""
    paths = list((output / "records").glob("[0-9]*.json"))
    return paths if len(paths) >= number else []


def ended(process):
    told, errors = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, errors
    return told, errors


def check(output, frame):
    """Every row stands in the output once, and the output fits its manifest."""
    found = rows_of(output)
    assert sorted(found["id"]) == sorted(frame["id"]) and found["id"].is_unique
    assert verify(output) == []
    return found.set_index("id")["labels"].loc[frame["id"]].tolist()


def test_answers_of_the_command_are_those_of_predict(model, tmp_path, capsys):
    frame = titles(tmp_path / "in", 40)
    fixed = command(tmp_path / "in", tmp_path / "out", model, 16, "--no-ray")[3:]
    assert main([*fixed, "--estimate", "--price", "2"]) == 0
    told = capsys.readouterr().out
    assert "rows/s a worker, measured" in told and "cost" in told
    assert main(fixed) == 0
    told = capsys.readouterr().out
    assert "40 rows: 40 labelled, 0 bad" in told and "8 of them now" in told
    expected = predict(load_task("cap"), frame.assign(split="corpus"), model, threads=1)
    assert check(tmp_path / "out", frame) == expected["labels"].tolist()
    assert main([*fixed, "--verify"]) == 0


@pytest.fixture(scope="module")
def alone(model, tmp_path_factory):
    """A corpus, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("alone")
    frame = titles(folder / "in", 1_200)
    settings = Settings(task="cap", model=str(model), batch_rows=60)
    classify([str(folder / "in")], folder / "out", settings, Engine(ray=False))
    return folder / "in", frame, check(folder / "out", frame)


@needs_ray
def test_a_killed_worker_is_survived_and_ray_answers_as_one_process(model, alone, tmp_path):
    folder, frame, expected = alone
    output = tmp_path / "out"
    process = started(command(folder, output, model, 60, "--workers", "2"))
    done = wait_for(lambda: records(output, 3), "three shards")
    victim = json.loads(done[0].read_text(encoding="utf-8"))["process"]
    assert victim != process.pid
    os.kill(victim, signal.SIGKILL)
    told, errors = ended(process)
    assert "1,200 rows: 1,200 labelled, 0 bad" in told and "1.20k/1.20k" in errors
    assert "raylet" not in told + errors and "WARNING" not in errors
    assert check(output, frame) == expected
    workers = {json.loads(p.read_text(encoding="utf-8"))["process"] for p in records(output, 1)}
    assert len(workers) > 1


@needs_ray
def test_a_killed_driver_is_survived_and_its_workers_end(model, alone, tmp_path):
    folder, frame, expected = alone
    output = tmp_path / "out"
    arguments = command(folder, output, model, 60, "--workers", "2")
    process = started(arguments)
    wait_for(lambda: records(output, 3), "three shards")
    family = psutil.Process(process.pid).children(recursive=True)
    workers = [one for one in family if "MapWorker" in " ".join(one.cmdline())]
    assert len(workers) == 2
    process.kill()
    process.communicate()
    before = len(records(output, 1))
    assert before < 20
    wait_for(lambda: not any(map(alive, workers)), "the end of Ray's workers")
    told, _ = ended(started(arguments))
    assert "1,200 rows: 1,200 labelled" in told and "1,200 of them now" not in told
    assert check(output, frame) == expected


def alive(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@needs_ray
@pytest.mark.full
def test_twenty_thousand_rows_survive_both(model, tmp_path):
    frame = titles(tmp_path / "in", 20_000)
    output = tmp_path / "out"
    arguments = command(tmp_path / "in", output, model, 500, "--workers", "2")
    process = started(arguments)
    done = wait_for(lambda: records(output, 5), "five shards")
    os.kill(json.loads(done[0].read_text(encoding="utf-8"))["process"], signal.SIGKILL)
    wait_for(lambda: records(output, 15), "fifteen shards")
    process.kill()
    process.communicate()
    told, _ = ended(started(arguments))
    assert "20,000 rows: 20,000 labelled" in told
    expected = predict(load_task("cap"), frame.assign(split="corpus"), model, threads=1)
    equal = [a == b for a, b in zip(check(output, frame), expected["labels"], strict=True)]
    assert sum(equal) / len(equal) > 0.999  # other batches: other rounding
