"""Chapter 07: which cells a profile asks for, that they are kept, and what the tables say."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from helpers.data import DataError, load_embedded
from helpers.data.prepared import read_task, save_task
from helpers.encoders import cells as cells_module
from helpers.encoders.cells import run_work, spread
from helpers.experiments import parts_tables, what_to_finetune
from helpers.experiments.parts_tables import (
    parts_by_group,
    parts_gains,
    parts_performance,
    parts_scores,
)
from helpers.experiments.what_to_finetune import (
    explained,
    parts_methods,
    parts_work,
    run_parts,
    settings_of,
)
from helpers.metrics import MetricsError
from helpers.plans import PartsPlan, PartsStudy
from helpers.runs import ProfileError, open_run, write_frame
from helpers.tasks import load_task

SHORT = {"epochs": 1, "max_tokens": 8}


@cache
def texts_of(name):
    return load_embedded(load_task(name)).frame


def make_run(root, name="conflict", methods=("frozen", "top-1"), n=40, explained=2, **plan):
    """Return a run with a small task of short texts, split and with folds, and its 07 plan."""
    run, task = open_run("demo", root=root), load_task(name)
    changes = {"settings": {m: SHORT for m in methods if m in ("frozen", "top-1", "all")}} | plan
    plans = {name: PartsPlan(layers=2, methods=list(methods), **changes)}
    study = PartsStudy(tasks=plans, explained=explained)
    run = replace(run, profile=run.profile.model_copy(update={"what_to_finetune": study}))
    texts = texts_of(name)
    texts = texts.iloc[:: len(texts) // n].head(n)
    texts = texts.assign(
        text=[" ".join(text.split()[:8]) for text in texts["text"]],
        split=(["train"] * 3 + ["test"]) * (n // 4),
    ).reset_index(drop=True)
    save_task(run, task, texts)
    return run


@pytest.fixture
def in_process(monkeypatch):
    """Run work one after the other in this process."""

    def one_by_one(function, items, **options):
        return {name: function(item) for name, item in items.items()}

    monkeypatch.setattr(what_to_finetune, "side_by_side", one_by_one)
    cells_module._corpus.cache_clear()


def contents(run):
    """Return what cells hold, without times: path -> bytes."""
    return {
        path.relative_to(run.root).as_posix(): path.read_bytes()
        for name in ("predictions.parquet", "config.json", "words.parquet")
        for path in sorted((run.root / "parts").rglob(name))
    }


# --- cells -----------------------------------------------------------------------------------


def test_cells_of_a_plan(tmp_path):
    run = make_run(tmp_path, repeats=2, groups=True)
    work = parts_work(run, "conflict")
    assert len(work) == 2 * 2 * 4  # schemes, repeats, methods with the two baselines
    assert parts_methods(run, "conflict") == ["mean", "embeddings-ridge", "frozen", "top-1"]
    country = read_task(run, load_task("conflict"))["country"].to_numpy()
    for item in work:
        tested = [row for cell in item.cells for row in cell.test]
        assert sorted(tested) == list(range(40))
        for cell in item.cells:
            assert sorted([*cell.train, *cell.test]) == list(range(40))
            if cell.scheme == "group":
                assert not set(country[list(cell.train)]) & set(country[list(cell.test)])
    seeds = {(c.scheme, c.repeat, c.fold): c.seed for w in work for c in w.cells}
    assert len({seeds[("fold", r, f)] for r in range(2) for f in range(5)}) == 10
    for item in work:  # methods share it
        assert all(seeds[(c.scheme, c.repeat, c.fold)] == c.seed for c in item.cells)


def test_split_of_a_single_label_task(tmp_path):
    run = make_run(tmp_path, "cap", folds=False, repeats=3)
    work = parts_work(run, "cap")
    split = read_task(run, load_task("cap"))["split"]
    for item in work:
        (cell,) = item.cells
        assert set(split.iloc[list(cell.train)]) == {"train"}
        assert set(split.iloc[list(cell.test)]) == {"test"}
    assert len({item.cells[0].seed for item in work}) == 3


def test_explained_texts_are_spread_over_the_target():
    truth = [5.0, 1.0, 4.0, 2.0, 3.0, 9.0]
    places = spread(truth, list("abcdef"), 3)
    assert [truth[i] for i in places] == [1, 3, 9]
    assert spread([1, 1], ["b", "a"], 5) == [1, 0]


@pytest.mark.parametrize(
    ("plan", "error", "message"),
    [
        ({"methods": ["bert"]}, ProfileError, "no method 'bert'.*dictionary-forest"),
        ({"settings": {"top-1": {"epoch": 3}}}, ProfileError, "epoch.*known settings"),
        ({"settings": {"top-1": {"encoder": "some/bert"}}}, ProfileError, "offline"),
    ],
)
def test_a_wrong_plan_is_refused(tmp_path, plan, error, message):
    run = make_run(tmp_path, **plan)
    with pytest.raises(error, match="(?s)" + message):
        parts_work(run, "conflict")


def test_tasks_and_folds_that_are_not_there_are_named(tmp_path):
    run = make_run(tmp_path)
    with pytest.raises(ProfileError, match=r"what_to_finetune\.tasks\.cap"):
        parts_work(run, "cap")
    (run.root / "data" / "conflict" / "folds.parquet").unlink()
    with pytest.raises(DataError, match="folds: false"):
        parts_work(run, "conflict")
    several = make_run(tmp_path / "several", "flourishing", folds=False)
    with pytest.raises(ProfileError, match="multi_intensity"):
        parts_work(several, "flourishing")


def test_folds_that_were_not_drawn_are_named(tmp_path):
    run = make_run(tmp_path, repeats=2)
    path = run.root / "data" / "conflict" / "folds.parquet"
    folds = pd.read_parquet(path)
    write_frame(path, folds[folds["repeat"] == 0])
    with pytest.raises(DataError, match=r"draw 1 of the stratified folds.*repeats"):
        parts_work(run, "conflict")


def test_settings_come_from_method_plan_and_profile(tmp_path):
    run = make_run(tmp_path, settings={"top-1": {"learning_rate": 0.5}})
    settings = settings_of(run, "conflict", "top-1")
    assert (settings.learning_rate, settings.layers, settings.trainable) == (0.5, 2, "top-1")
    assert settings.threads == run.profile.threads


# --- kept and resumed ------------------------------------------------------------------------


def test_finished_cells_are_kept_and_a_damaged_one_is_made_again(tmp_path, in_process):
    run = make_run(tmp_path)
    made = run_parts(run, progress=False)
    assert made[["cells", "made"]].to_numpy().tolist() == [[5, 5]] * 4
    before = contents(run)
    assert len(before) == 4 * 5 * 2
    assert not run_parts(run, progress=False)["made"].any()
    path = run.root / "parts/conflict/top-1/fold-r0-f2/predictions.parquet"
    path.write_bytes(b"cut short")
    shutil.rmtree(run.root / "parts/conflict/frozen/fold-r0-f4")
    cells_module._corpus.cache_clear()
    again = run_parts(run, progress=False).set_index("method")["made"]
    assert again[again > 0].to_dict() == {"top-1": 1, "frozen": 1}
    assert contents(run) == before


def test_other_settings_or_labels_make_new_cells(tmp_path, in_process):
    run = make_run(tmp_path, methods=("frozen",))
    run_parts(run, progress=False)
    other = make_run(tmp_path, methods=("frozen",), settings={"frozen": SHORT | {"epochs": 2}})
    again = run_parts(other, progress=False).set_index("method")["made"]
    assert again.to_dict() == {"mean": 0, "embeddings-ridge": 0, "frozen": 5}
    texts = read_task(run, load_task("conflict"))
    texts.loc[0, "labels"] = "9.5"
    save_task(run, load_task("conflict"), texts)
    assert run_parts(other, progress=False)["made"].tolist() == [5, 5, 5]


def test_predictions_are_those_of_texts_left_out(tmp_path, in_process):
    run = make_run(tmp_path, methods=("frozen",))
    run_parts(run, progress=False)
    work = {item.method: item for item in parts_work(run, "conflict")}
    y = read_task(run, load_task("conflict"))["labels"].map(json.loads)
    for cell in work["mean"].cells:
        frame = pd.read_parquet(cell.out / "predictions.parquet")
        assert frame.columns.tolist() == ["id", "split", "status", "answer", "labels"]
        expected = y.iloc[list(cell.train)].mean()
        assert frame["labels"].map(json.loads).tolist() == pytest.approx([expected] * 8, abs=1e-6)
        assert set(frame["split"]) == {"cross-validation"}


def test_classes_and_words_of_the_class_predicted(tmp_path, in_process):
    run = make_run(tmp_path, "cap", methods=("all",), folds=False)
    run_parts(run, progress=False)
    frame = pd.read_parquet(run.root / "parts/cap/all/split-r0-f0/predictions.parquet")
    assert set(frame["split"]) == {"test"}
    assert {json.loads(cell) for cell in frame["labels"]} <= set(load_task("cap").labels)
    words = explained(run, "cap")
    texts = read_task(run, load_task("cap")).set_index("id")
    assert words["id"].nunique() == 2
    assert set(texts.loc[words["id"], "split"]) == {"test"}
    assert words["effect"].between(-1, 1).all() and words["effect"].any()
    for row in words.itertuples():
        assert texts.loc[row.id, "text"][row.start : row.end] == row.word
    scores = parts_scores(run, "cap")
    assert scores["metric"].unique().tolist() == ["accuracy", "macro_f1"]


def test_explained_texts_need_the_method_and_a_run(tmp_path):
    with pytest.raises(DataError, match=r"method 'all'.*methods"):
        explained(make_run(tmp_path / "a"), "conflict")
    with pytest.raises(DataError, match="run_parts"):
        explained(make_run(tmp_path / "b", methods=("all",)), "conflict")


def test_the_explained_cell_is_the_last_of_the_first_draw(tmp_path):
    run = make_run(tmp_path, methods=("all", "frozen"), repeats=2, groups=True)
    found = [
        (w.method, c.name) for w in parts_work(run, "conflict") for c in w.cells if c.explained
    ]
    assert found == [("all", "fold-r0-f4")]


# --- tables ----------------------------------------------------------------------------------


def write_cells(run, task, guess):
    """Write made-up predictions: guess(method, scheme, repeat, y) -> numbers for all texts."""
    y = read_task(run, load_task(task))["labels"].map(json.loads).to_numpy()
    for work in parts_work(run, task):
        for cell in work.cells:
            rows = list(cell.test)
            value = guess(work.method, cell.scheme, cell.repeat, y)[rows]
            frame = pd.DataFrame({"id": work.texts["id"].iloc[rows].to_numpy(), "split": "x"})
            frame = frame.assign(status="ok", answer="", labels=[json.dumps(v) for v in value])
            cell.out.mkdir(parents=True)
            write_frame(cell.out / "predictions.parquet", frame)
            size = {"trainable_parameters": 25, "total_parameters": 100}
            config = size if work.settings else {}
            (cell.out / "config.json").write_text(json.dumps(config), encoding="utf-8")
            spent = {"seconds": 2.0 + cell.fold, "peak_memory_mb": 100 + cell.fold}
            (cell.out / "performance.json").write_text(json.dumps(spent), encoding="utf-8")
    return y


METHODS = ("dictionary-forest", "dictionary-boosting", "frozen", "all")
NOISE = {"dictionary-forest": 1.0, "dictionary-boosting": 1.2, "frozen": 1.1, "all": 0.5}


def noisy(method, scheme, repeat, y):
    if method not in NOISE:
        return np.full(len(y), y.mean())
    rng = np.random.default_rng([len(method), repeat])
    return (y + NOISE[method] * rng.normal(size=len(y))).round(6)


@pytest.fixture
def made_up(tmp_path):
    run = make_run(tmp_path, methods=METHODS, repeats=3, groups=True)
    return run, write_cells(run, "conflict", noisy)


def r2(y, guess):
    return 1 - ((guess - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()


def test_scores_by_hand(made_up):
    run, y = made_up
    table = parts_scores(run, "conflict").set_index(["scheme", "method", "metric"])
    by_repeat = [r2(y, noisy("all", "fold", repeat, y)) for repeat in range(3)]
    row = table.loc[("fold", "all", "r2")]
    assert row["value"] == pytest.approx(np.mean(by_repeat), abs=1e-5)
    assert row["sd_repeats"] == pytest.approx(np.std(by_repeat, ddof=1), abs=1e-5)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert (row["repeats"], row["n"], row["trainable_share"]) == (3, 40, 0.25)
    assert table.loc[("fold", "mean", "r2"), "value"] == pytest.approx(0, abs=1e-5)
    assert pd.isna(table.loc[("fold", "mean", "r2"), "trainable_share"])
    assert len(table) == 2 * 6 * 3


def test_gains_as_wang_computes_them(made_up):
    run, y = made_up
    table = parts_gains(run, "conflict").set_index(["scheme", "method", "metric"])
    assert set(table["dictionary"]) == {"dictionary-forest"}  # the better one

    def mean(score, method):
        return np.mean([score(y, noisy(method, "fold", repeat, y)) for repeat in range(3)])

    for metric, score in (("r2", r2), ("mse", lambda a, b: ((a - b) ** 2).mean())):
        new, old = mean(score, "all"), mean(score, "dictionary-forest")
        row = table.loc[("fold", "all", metric)]
        assert row["gain"] == pytest.approx((new - old) / old, abs=1e-5)
        assert row["difference"] == pytest.approx(new - old, abs=1e-5)
    assert table.loc[("fold", "all", "r2"), "gain_low"] > 0
    assert table.loc[("fold", "all", "mse"), "gain_high"] < 0
    frozen = table.loc[("fold", "frozen", "r2")]
    assert frozen["difference_low"] < frozen["difference"] < frozen["difference_high"]
    assert "dictionary-forest" not in table.index.get_level_values("method")


def test_no_ratio_to_a_dictionary_that_explains_nothing(tmp_path):
    run = make_run(tmp_path, methods=METHODS)
    write_cells(run, "conflict", lambda m, *_, y=None: noisy("all" if m == "all" else "mean", *_))
    table = parts_gains(run, "conflict").set_index(["method", "metric"])
    assert table.loc[("all", "r2"), ["gain", "gain_low", "gain_high"]].isna().all()
    assert table.loc[("all", "r2"), "difference_low"] > 0
    assert table.loc[("all", "mse"), "gain_high"] < 0


def test_without_a_dictionary_there_are_no_gains(tmp_path):
    run = make_run(tmp_path, methods=("all",))
    write_cells(run, "conflict", noisy)
    assert parts_gains(run, "conflict").empty


def test_errors_of_each_group(made_up):
    run, y = made_up
    table = parts_by_group(run, "conflict")
    country = read_task(run, load_task("conflict"))["country"]
    assert set(table["group"]) == set(country) and set(table["metric"]) == {"mse", "mae"}
    group = country.iloc[0]
    inside = (country == group).to_numpy()
    row = table.set_index(["group", "method", "metric"]).loc[(group, "all", "mse")]
    expected = np.mean([((noisy("all", "group", r, y) - y)[inside] ** 2).mean() for r in range(3)])
    assert row["value"] == pytest.approx(expected, abs=1e-5)
    assert row["n"] == inside.sum()
    assert parts_by_group(replace_plan(run, groups=False), "conflict").empty


def replace_plan(run, **changes):
    study = run.profile.what_to_finetune
    plan = study.tasks["conflict"].model_copy(update=changes)
    study = study.model_copy(update={"tasks": {"conflict": plan}})
    return replace(run, profile=run.profile.model_copy(update={"what_to_finetune": study}))


def test_times_are_added_up(made_up):
    table = parts_performance(made_up[0], "conflict").set_index(["scheme", "method"])
    row = table.loc[("fold", "all")]
    assert row.drop("task").to_dict() == {
        "cells": 15,
        "seconds": 60,
        "seconds_a_cell": 4,
        "peak_memory_mb": 104,
    }


def test_a_missing_or_strange_prediction_is_named(made_up):
    run, _ = made_up
    path = run.root / "parts/conflict/all/fold-r1-f2/predictions.parquet"
    frame = pd.read_parquet(path)
    write_frame(path, frame.assign(id=["cf-9999", *frame["id"].iloc[1:]]))
    with pytest.raises(MetricsError, match=r"all .*not those of the texts"):
        parts_scores(run, "conflict")
    path.unlink()
    with pytest.raises(MetricsError, match=r"all for fold-r1-f2.*run_parts"):
        parts_scores(run, "conflict")


def test_tables_know_every_label_type_that_has_cells():
    assert set(parts_tables.METRICS) == {"numeric", "single"}


# --- killed ----------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_what_to_finetune import make_run
from helpers.experiments.what_to_finetune import run_parts
if __name__ == "__main__":
    run = make_run(Path({root!r}))
    run_parts(run, progress=False)
"""


def start(root):
    """Start the grid in a process group of its own."""
    script = root / "grid.py"
    root.mkdir(exist_ok=True)
    tests = os.path.dirname(__file__)
    script.write_text(SCRIPT.format(tests=tests, root=str(root)), encoding="utf-8")
    return subprocess.Popen([sys.executable, str(script)], start_new_session=True)


@pytest.mark.full
def test_a_killed_grid_resumes_to_the_same_files(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    process = start(killed)
    parts = killed / "demo" / "parts"
    while process.poll() is None and len(list(parts.rglob("fold-r*/artifact.json"))) < 3:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run, other = make_run(whole), make_run(killed)
    done = len(list(parts.rglob("fold-r*/artifact.json")))
    assert 3 <= done < 20, "killed too late to show anything"
    assert start(killed).wait() == 0
    assert contents(other) == contents(run)
    pd.testing.assert_frame_equal(parts_scores(other, "conflict"), parts_scores(run, "conflict"))


def test_cells_do_not_depend_on_what_else_was_run(tmp_path):
    """What a kill leaves: a resumed process makes the later cells alone, with a fresh memory."""
    whole, resumed = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    for run, groups in ((whole, [[0, 1, 2, 3, 4]]), (resumed, [[3], [4, 0, 1, 2]])):
        for folds in groups:
            cells_module._corpus.cache_clear()
            for work in parts_work(run, "conflict")[2:]:
                run_work(replace(work, cells=[work.cells[k] for k in folds]))
    found = contents(whole)
    assert len(found) == 2 * 5 * 2
    assert contents(resumed) == found
