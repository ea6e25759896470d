"""From saved predictions to the three tables."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from helpers.comparison import (
    ComparisonError,
    best_pair,
    compare,
    compare_task,
    default_reference,
    differences,
    names,
    overview,
    reading,
    scoreboard,
)
from helpers.metrics import METRIC_COLUMNS, MetricsError, ModelInfo, holm, tidy
from helpers.runs import Run
from helpers.tasks import load_task

MODELS = {
    "tiny": ModelInfo(1000),
    "tiny-ft": ModelInfo(1000, True),
    "big-ft": ModelInfo(5000, True),
}
RIGHT = {"tiny": 0.1, "tiny-ft": 0.5, "big-ft": 0.8, "majority": 0.2}


def write_case(root, task, n=60):
    """Write texts and predictions of four models that are right with known chances."""
    rng = np.random.default_rng(1)
    options = {
        "cap": ["1", "3", "6"],
        "flourishing": [{}, {"happiness": "high"}, {"happiness": "low", "resilience": "low"}],
        "conflict": [0.5, 2.0, 5.0],
    }[task.name]
    drawn = rng.integers(0, 3, n)
    texts = pd.DataFrame(
        {
            "id": [f"t{i}" for i in range(n)],
            "text": "words",
            "labels": [task.dumps(options[k]) for k in drawn],
            "split": ["train" if i % 2 else "test" for i in range(n)],
        }
    )
    folder = root / "predictions" / task.name
    folder.mkdir(parents=True)
    (root / "data" / task.name).mkdir(parents=True)
    texts.to_parquet(root / "data" / task.name / "texts.parquet")
    for name, chance in RIGHT.items():
        guess = [options[k] if rng.random() < chance else options[(k + 1) % 3] for k in drawn]
        frame = texts[["id", "split"]].assign(
            status="ok", answer="", labels=[*map(task.dumps, guess)]
        )
        if name == "tiny":
            frame.loc[:5, ["status", "labels"]] = ["unparsed", task.dumps(task.empty)]
        frame.sample(frac=1, random_state=0).to_parquet(folder / f"{name}.parquet")
    return texts, folder


@pytest.fixture
def run(tmp_path):
    return Run(SimpleNamespace(bootstrap=200, seed=3), tmp_path / "run", tmp_path)


def digest(run):
    files = sorted((run.root / "tables").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_tables_have_the_agreed_form_and_repeat_byte_for_byte(run):
    tasks = [load_task(name) for name in ("cap", "flourishing", "conflict")]
    for task in tasks:
        write_case(run.root, task)
    found = compare(run, tasks, MODELS)
    first = digest(run)
    assert list(first) == [
        f"{name}.{kind}"
        for name in ("metrics", "paired_tests", "per_class")
        for kind in ("csv", "parquet")
    ]
    compare(run, tasks, MODELS)
    assert digest(run) == first
    metrics = found.metrics
    assert list(metrics.columns) == METRIC_COLUMNS
    assert set(metrics["task"]) == {"cap", "flourishing", "conflict"}
    assert set(metrics["split"]) == {"train", "test"}
    assert (metrics["n"] == 30).all()
    key = ["task", "split", "model", "metric"]
    assert not metrics.duplicated(key).any()
    bounded = metrics.dropna(subset=["value", "ci_low", "ci_high"])
    assert (bounded["ci_low"] <= bounded["ci_high"]).all()
    assert not pd.read_csv(run.root / "tables" / "metrics.csv").empty


def test_rows_say_what_each_model_is(tmp_path):
    task = load_task("cap")
    texts, folder = write_case(tmp_path, task)
    metrics, per_class = tidy(task, texts, folder, MODELS, n_resamples=50)
    rows = metrics[(metrics["split"] == "test") & (metrics["metric"] == "accuracy")]
    rows = rows.set_index("model")
    assert rows.loc["big-ft", "parameters"] == 5000
    assert rows.loc["big-ft", "fine_tuned"]
    assert pd.isna(rows.loc["majority", "parameters"])
    assert rows.loc["tiny", "n_answered"] == 27
    truth = texts.set_index("id")["labels"]
    frame = pd.read_parquet(folder / "big-ft.parquet").query("split == 'test'")
    right = (frame["labels"] == frame["id"].map(truth)).mean()
    assert rows.loc["big-ft", "value"] == pytest.approx(right, abs=1e-6)
    one = per_class.query("split == 'test' and model == 'big-ft' and metric == 'f1'")
    assert one["label"].tolist() == task.labels
    assert one["support"].sum() == 30
    averaged = metrics.query("model == 'big-ft' and split == 'test'").set_index("metric")["value"]
    assert averaged["n_classes_mean_f1"] == one["value"].notna().sum()
    assert averaged["mean_f1"] == pytest.approx(one["value"].mean(), abs=1e-5)


def test_paired_tests_hold_every_model_against_the_reference(tmp_path):
    task = load_task("cap")
    texts, folder = write_case(tmp_path, task)
    found = compare_task(task, texts, folder, MODELS, n_resamples=200).paired_tests
    assert set(found["reference"]) == {"big-ft"}
    assert set(found["metric"]) == {"accuracy", "macro_f1"}
    for _, family in found.groupby("metric"):
        assert set(family["model"]) == set(RIGHT) - {"big-ft"}
        np.testing.assert_allclose(family["p_holm"], holm(family["p_value"].tolist()), rtol=1e-3)
    exact = found[found["metric"] == "accuracy"].set_index("model")
    assert set(exact["test"]) == {"McNemar exact"}
    gap = (exact["only_model"] - exact["only_reference"]) / exact["n"]
    np.testing.assert_allclose(exact["difference"], gap.astype(float), atol=1e-6)
    assert exact.loc["tiny", "p_holm"] < 0.01
    assert exact.loc["tiny", "difference"] < 0


def test_reference_can_be_named(tmp_path):
    task = load_task("flourishing")
    texts, folder = write_case(tmp_path, task)
    found = compare_task(task, texts, folder, MODELS, reference="majority", n_resamples=50)
    assert set(found.paired_tests["reference"]) == {"majority"}
    assert "big-ft" in set(found.paired_tests["model"])
    with pytest.raises(ComparisonError, match="majorty"):
        compare_task(task, texts, folder, MODELS, reference="majorty", n_resamples=50)


def test_default_reference_is_the_largest_fine_tuned_model():
    assert default_reference(MODELS, RIGHT) == "big-ft"
    assert default_reference(MODELS, ["tiny", "tiny-ft"]) == "tiny-ft"
    with pytest.raises(ComparisonError, match="name a reference"):
        default_reference(MODELS, ["tiny", "majority"])


def test_damaged_predictions_are_named(tmp_path):
    task = load_task("cap")
    texts, folder = write_case(tmp_path, task)
    path = folder / "tiny.parquet"
    good = pd.read_parquet(path).reset_index(drop=True)

    def complaint(frame):
        frame.to_parquet(path)
        with pytest.raises(MetricsError) as caught:
            tidy(task, texts, folder, n_resamples=10)
        return str(caught.value)

    assert "tiny.parquet: column(s) status missing" in complaint(good.drop(columns="status"))
    double = complaint(pd.concat([good, good.iloc[[7]]]))
    assert "cap/tiny.parquet, row 60" in double
    assert "occurs twice" in double
    assert "row 2: id 'zz' is not among" in complaint(good.replace({"id": {good["id"][2]: "zz"}}))
    assert "another split" in complaint(good.assign(split="validation"))
    missing = complaint(good.drop(index=good.index[good["split"] == "test"][0]))
    assert "1 of 30 test texts" in missing
    assert "predict them too" in missing


def test_missing_inputs_are_named(run):
    task = load_task("cap")
    with pytest.raises(ComparisonError, match="run 01_data first"):
        compare(run, [task], MODELS)
    _, folder = write_case(run.root, task)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(MetricsError, match="no predictions in cap"):
        compare(run, [task], MODELS)


def test_a_model_without_a_split_is_left_out_of_it(tmp_path):
    task = load_task("cap")
    texts, folder = write_case(tmp_path, task)
    path = folder / "tiny.parquet"
    pd.read_parquet(path).query("split == 'test'").to_parquet(path)
    metrics, _ = tidy(task, texts, folder, n_resamples=10)
    models = metrics.groupby("split")["model"].agg(set)
    assert models["test"] - models["train"] == {"tiny"}


def test_cross_validated_predictions_get_rows_of_their_own(run):
    task = load_task("cap")
    texts, folder = write_case(run.root, task)
    folds = texts.assign(split="cross-validation")
    other = run.root / "predictions" / "cap-folds"
    other.mkdir()
    for name in ("big-ft", "majority"):
        frame = pd.read_parquet(folder / f"{name}.parquet").assign(split="cross-validation")
        frame.to_parquet(other / f"{name}.parquet")
    found = compare(run, [task], MODELS, {"cap": folds})
    whole = found.metrics.query("split == 'cross-validation'")
    assert set(whole["model"]) == {"big-ft", "majority"}
    assert set(whole["n"]) == {60}
    paired = found.paired_tests.groupby("split")["model"].agg(set)
    assert paired["cross-validation"] == {"majority"}
    assert paired["test"] == {"majority", "tiny", "tiny-ft"}
    # Words are about the test texts; the table of differences has both.
    assert "30 test texts" in reading(found, task, "embedded texts", MODELS)
    assert set(differences(found.paired_tests, [task]).reset_index()["split"]) == set(paired.index)
    assert scoreboard(found.metrics, task).index[0] == "big-ft"


def test_readings_say_what_the_tables_say(tmp_path):
    task = load_task("cap")
    texts, folder = write_case(tmp_path, task)
    found = compare_task(task, texts, folder, MODELS, n_resamples=200)
    table = overview(found.metrics, [task])
    assert table.index.get_level_values("model")[0] == "big-ft"
    assert list(table.columns) == ["train", "test"]
    value = found.metrics.query("metric == 'accuracy' and split == 'test' and model == 'big-ft'")
    assert table.loc[("cap", "accuracy", "big-ft"), "test"].startswith(
        f"{value['value'].item():.3f} ["
    )
    assert best_pair(found.metrics, task, MODELS) == ["big-ft", "majority"]
    served = found.metrics[found.metrics["model"] == "big-ft"].assign(model="served")
    with_served = pd.concat([found.metrics, served])  # behind an endpoint: no baseline
    assert best_pair(with_served, task, MODELS) == ["big-ft", "majority"]
    assert names(MODELS, task)["tiny-ft"] == "tiny, fine-tuned"
    models = {"tiny": MODELS["tiny"], "tiny-ft": MODELS["tiny-ft"]}
    against_base = compare_task(task, texts, folder, models, reference="tiny-ft", n_resamples=200)
    text = reading(against_base, task, "embedded texts", models)
    assert text.startswith(f"**{task.title}** (embedded texts, 30 test texts).")
    row = against_base.paired_tests.query("metric == 'accuracy' and model == 'tiny'").iloc[0]
    assert f"{-row['difference']:+.3f} [{-row['ci_high']:+.3f}, {-row['ci_low']:+.3f}]" in text
    assert ("do not tell the two apart" in text) == (row["p_holm"] >= 0.05)
