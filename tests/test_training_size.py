"""A study of training sizes: cells are made once, kept, resumed after a kill, and read back."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_example import STUDY, study_run

from helpers import comparison, experiments
from helpers.data.prepared import read_task
from helpers.experiments import training_size
from helpers.experiments.cells import make_cell
from helpers.plans import CausalParts, PartsStudy, SizeStudy
from helpers.profiles import HelpersError
from helpers.runs import frame_artifact, write_frame
from helpers.study import curves, reading
from helpers.tasks import load_task

CAP = load_task("cap")
# 30 training texts, 28 of them verified: 8, 15 and 30 (28).
SIZES = {"gold": [8, 15, 30], "verified": [8, 15, 28], "noise-20": [8, 15, 30]}


def with_study(run, **changed):
    plan = SizeStudy(**(STUDY | changed))
    return replace(run, profile=run.profile.model_copy(update={"training_size": plan}))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    run = study_run(tmp_path_factory.mktemp("study"))
    table = experiments.run_study(run, progress=False)
    return run, table


def base_of(run):
    return run.root / "models" / "base"


def predictions(run):
    folder = run.root / "study"
    found = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.parquet")}
    return found | {p.relative_to(folder): p.read_bytes() for p in folder.rglob("config.json")}


def test_the_grid_is_what_the_profile_asks_for(done):
    run, table = done
    cells = experiments.study_cells(run)
    seen = {}
    for cell in cells:
        key = cell.key
        seen.setdefault((key.model, key.labels), {}).setdefault(key.n, []).append(key.seed)
    assert {k: sorted(v) for (m, k), v in seen.items() if m == "embeddings-lr"} == SIZES
    assert sorted(seen["minilm-2l", "gold"]) == SIZES["gold"]
    assert ("minilm-2l", "verified") not in seen and ("tfidf-lr", "noise-20") not in seen
    assert all(sorted(s) == [0, 1] for s in seen["minilm-2l", "gold"].values())
    # A simple method has nothing to vary at the full size, unless the labels are drawn.
    simple = {n: sorted(seeds) for n, seeds in seen["embeddings-lr", "gold"].items()}
    assert simple == {8: [0, 1], 15: [0, 1], 30: [0]}
    assert sorted(seen["embeddings-lr", "noise-20"][30]) == [0, 1]
    assert table["made"].sum() == len(cells) == table["cells"].sum()


def test_cells_learn_from_nested_texts_and_answer_the_test_texts(done):
    run, _ = done
    texts = read_task(run, CAP)
    train, test = (set(texts.loc[texts["split"] == s, "id"]) for s in ("train", "test"))
    ids = {}
    for cell in experiments.study_cells(run):
        config = json.loads((cell.out / "config.json").read_text())
        assert config["n"] == len(config["train_ids"]) == cell.key.n
        ids[cell.key] = set(config["train_ids"])
        assert ids[cell.key] <= train
        frame = pd.read_parquet(cell.out / "predictions.parquet")
        assert frame["id"].tolist() == sorted(test) and (frame["status"] == "ok").all()
    gold = {(k.n, k.seed): v for k, v in ids.items() if k.labels == "gold" and "mini" in k.model}
    assert gold[8, 0] < gold[15, 0] < gold[30, 0] and gold[15, 0] != gold[15, 1]
    simple = {(k.n, k.seed): v for k, v in ids.items() if k.labels == "gold" and "tfidf" in k.model}
    assert all(simple[key] == gold[key] for key in simple)  # methods are compared on the same texts


def test_no_test_label_reaches_a_cell(done, tmp_path):
    """Other labels of the test texts, the same answers."""
    run, _ = done
    other = study_run(tmp_path, base_of(run))
    texts = read_task(other, CAP)
    changed = texts["labels"].mask(texts["split"] == "test", CAP.dumps("1"))
    write_frame(other.path("data", "cap", "texts.parquet"), texts.assign(labels=changed))
    cells = {cell.key: cell for cell in experiments.study_cells(other)}
    for cell in experiments.study_cells(run):
        if cell.key.n == 15 and cell.key.seed == 0 and cell.key.labels == "gold":
            make_cell(cells[cell.key])
            before, after = (
                pd.read_parquet(c.out / "predictions.parquet") for c in (cell, cells[cell.key])
            )
            pd.testing.assert_frame_equal(before, after)


def test_finished_cells_are_kept_and_a_grid_grows(done):
    run, _ = done
    assert experiments.run_study(run, progress=False)["made"].sum() == 0
    grown = with_study(run, simple_seeds=3, label_models=["tfidf-lr"])
    cells = {str(cell.key) for cell in experiments.study_cells(run)}
    new = [cell for cell in experiments.study_cells(grown) if str(cell.key) not in cells]
    assert {cell.key.model for cell in new} == {"tfidf-lr", "embeddings-lr"}
    assert experiments.run_study(grown, progress=False)["made"].sum() == len(new) > 0


def test_changed_settings_make_causal_cells_anew_and_no_others(done):
    run, _ = done
    plan = run.profile.plan("cap")
    settings = plan.settings | {"learning_rate": 5e-4}
    tuning = run.profile.finetuning.model_copy(
        update={"tasks": {"cap": plan.model_copy(update={"settings": settings})}}
    )
    changed = replace(run, profile=run.profile.model_copy(update={"finetuning": tuning}))
    before = {c.key: c.all_inputs() for c in experiments.study_cells(run)}
    after = {c.key: c.all_inputs() for c in experiments.study_cells(changed)}
    differ = {key.model for key in before if before[key] != after[key]}
    assert differ == {"minilm-2l"}


def test_answers_of_an_equal_training_of_chapter_04_are_taken_over(done, tmp_path):
    run = study_run(tmp_path, base_of(done[0]), seeds_of_all=1)
    texts = read_task(run, CAP)
    (cell,) = [
        c for c in experiments.study_cells(run) if c.key.model == "minilm-2l" and c.key.n == 30
    ]
    assert cell.copy_from is None
    # As chapters 04 and 05 leave it: a record of the training, and its answers.
    validation = texts[texts["split"] == "validation"]
    train = texts[texts["split"] == "train"]
    job = experiments.trainings.job_of(run, "cap", "minilm-2l", "x", train, validation)
    folder = run.path("models", "cap", "minilm-2l-ft@gold")
    folder.mkdir(parents=True)
    (folder / "artifact.json").write_text(json.dumps({"inputs": job.inputs()}))
    asked = texts[texts["split"] == "test"]
    answers = pd.DataFrame(
        {"id": asked["id"], "split": "test", "status": "ok", "answer": " 7", "labels": '"7"'}
    )
    path = run.path("predictions", "cap", "minilm-2l-ft@gold.parquet")
    frame_artifact(path, {}, lambda: answers)
    cells = experiments.study_cells(run)
    (reused,) = [c for c in cells if c.copy_from is not None]
    assert reused.key == cell.key and make_cell(reused)
    made = pd.read_parquet(reused.out / "predictions.parquet")
    assert (made["labels"] == '"7"').all() and made["id"].tolist() == cell.asked["id"].tolist()


def test_scores_are_means_over_seeds_with_intervals(done):
    run, _ = done
    scored = experiments.read_study(run, CAP)
    scores, points = experiments.study_scores(run, scored)
    rows = scores[(scores["metric"] == "accuracy") & (scores["labels"] == "gold")]
    means = points[points["metric"] == "accuracy"].groupby(["model", "labels", "n_train"])["value"]
    for row in rows.itertuples():
        mean = means.get_group((row.model, row.labels, row.n_train)).mean()
        assert row.value == pytest.approx(mean, abs=1e-6)
        assert row.ci_low <= row.value <= row.ci_high and row.n == 20 and row.answered == 1
    shown = reading.by_size(scores, CAP, "accuracy")
    assert shown.columns.tolist() == [8, 15, 28, 30]
    assert shown.index[0] == ("gold", "minilm-2l")


def test_a_missing_cell_is_named(done, tmp_path):
    run = study_run(tmp_path, base_of(done[0]))
    with pytest.raises(HelpersError, match=r"cells of the study are missing \(first: study"):
        experiments.read_study(run, CAP)


def test_unknown_labels_are_refused(done):
    run, _ = done
    with pytest.raises(HelpersError, match="'silver' is unknown: use verified"):
        experiments.study_cells(with_study(run, labels={"cap": ["silver"]}))


def test_curves_tables_and_reading_come_from_the_same_numbers(done):
    run, _ = done
    scored = experiments.read_study(run, CAP)
    scores, _ = experiments.study_scores(run, scored)
    every = experiments.study_curves(run, scored, "accuracy")
    assert {(c.model, c.labels) for c in every} >= {("minilm-2l", "gold"), ("tfidf-lr", "gold")}
    table, worth = curves.curve_table(every), curves.next_labels(every, extra=5)
    gold = [c for c in every if c.labels == "gold"]
    needed = curves.labels_needed(gold, {"a half": 0.5})
    text = reading.labels_reading(CAP, scores, table, needed, worth, comparison.HEADLINES)
    assert "20 test texts" in text and "to reach a half (0.500):" in text
    causal = scores[(scores["model"] == "minilm-2l") & (scores["metric"] == "accuracy")]
    assert f"{causal['value'].iloc[0]:.3f}" in text
    exchange = experiments.worth_in_gold(every)
    assert set(exchange["labels"]) == {"verified", "noise-20"}
    assert (exchange["n_train"] / exchange["gold_needed"]).round(6).equals(exchange["exchange"])


def test_levels_pair_with_the_curves(done, tmp_path):
    run = study_run(tmp_path, base_of(done[0]), target={"cap": 0.9})
    texts = read_task(run, CAP)
    test = texts[texts["split"] == "test"]
    frame = pd.DataFrame(
        {"id": test["id"], "split": "test", "status": "ok", "answer": "", "labels": test["labels"]}
    )
    write_frame(run.path("predictions", "cap", "zero-shot.parquet"), frame)
    bands, targets = experiments.study_levels(run, CAP, "accuracy")
    assert bands["value"].tolist() == [1.0]
    (name,) = bands["name"]
    assert targets[name].samples.shape == (200,) and (targets[name].samples == 1).all()
    assert targets["accuracy 0.9"].value == 0.9


def test_form_is_told_apart_from_content(done):
    run, _ = done
    scored = experiments.read_study(run, CAP)
    forms = experiments.answer_forms(run, CAP, scored)
    assert set(forms["model"]) == {"minilm-2l"}
    wide = forms.pivot_table(index="n_train", columns="metric", values="value")
    valid, given = wide["valid"], wide.get("accuracy_given_valid")
    assert valid.between(0, 1).all()
    if given is not None:
        both = (valid * given).dropna()
        np.testing.assert_allclose(wide.loc[both.index, "accuracy"], both, atol=1e-5)


def test_variants_of_the_causal_model_are_trained_as_they_say(done):
    run, _ = done
    assert experiments.causal_parts(run, progress=False).empty
    variants = {"adapters": {"lora_r": 2}, "all-weights": {"method": "full"}}
    plan = PartsStudy(causal={"cap": CausalParts(model="minilm-2l", variants=variants)})
    run = replace(run, profile=run.profile.model_copy(update={"what_to_finetune": plan}))
    table = experiments.causal_parts(run, progress=False).set_index("variant")
    assert table["settings"].to_dict() == {"adapters": "lora_r 2", "all-weights": "method full"}
    assert (table["n"] == 20).all() and table["value"].between(0, 1).all()
    share = table["trainable_share"]
    assert 0 < share["adapters"] < share["all-weights"] < 1  # the lower layers stay frozen
    before = {p: p.read_bytes() for p in (run.root / "parts").rglob("*.parquet")}
    assert len(before) == 2
    pd.testing.assert_frame_equal(
        experiments.causal_parts(run, progress=False).set_index("variant"), table
    )


FEW = {"seeds": 1, "simple": ["embeddings-lr"], "simple_seeds": 1, "labels": {}}


def killed(root: Path, base: Path, changed: dict, after: int) -> int:
    """Kill a study, with its workers, once `after` cells are there; return how many are then."""
    worker = str(Path(__file__).with_name("study_worker.py"))
    command = [sys.executable, worker, str(root), str(base), json.dumps(changed)]
    process = subprocess.Popen(command, start_new_session=True)
    while process.poll() is None and len(finished(root)) < after:
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return len(finished(root))


def finished(root: Path) -> list[Path]:
    return list(root.glob("demo/study/*/*/*/n*/artifact.json"))


def resume_after_kills(done, root, changed, rounds):
    run, _ = done
    counts = [killed(root, base_of(run), changed, after) for after in rounds]
    assert counts == sorted(counts) and counts[-1] >= rounds[-1]
    again = study_run(root, base_of(run), **changed)
    table = experiments.run_study(again, progress=False)
    assert table["made"].sum() == table["cells"].sum() - counts[-1]
    uninterrupted = with_study(run, **changed)
    made = predictions(again)
    assert made == {path: predictions(uninterrupted)[path] for path in made}
    tables = [
        experiments.study_scores(r, experiments.read_study(r, CAP))[0]
        for r in (uninterrupted, again)
    ]
    pd.testing.assert_frame_equal(*tables)


def test_a_killed_grid_resumes_to_the_same_table(done, tmp_path):
    resume_after_kills(done, tmp_path, FEW, [2])


@pytest.mark.full
def test_a_grid_killed_many_times_resumes_to_the_same_table(done, tmp_path):
    resume_after_kills(done, tmp_path, {}, [1, 2, 4, 6, 9, 12, 15, 18])


def test_every_cell_stands_in_the_summary_of_performance(done):
    run, _ = done
    table = experiments.study_performance(run)
    causal = [c for c in experiments.study_cells(run) if c.settings is not None]
    assert len(table) == len(causal) and (table["seconds"] > 0).all()
    assert set(training_size.study_performance(run)["model"]) == {"minilm-2l"}
