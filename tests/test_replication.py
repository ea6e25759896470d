"""The whole package at work: all chapters on tiny subsets, as `make replicate` runs them."""

import json
import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from helpers.archive.codebook import undescribed
from helpers.chapters import load_chapters
from helpers.labelling.archive import import_responses
from helpers.labelling.store import ResponseStore
from helpers.metrics import METRIC_COLUMNS
from helpers.profiles import load_profile
from helpers.tasks import load_task

PROFILE = load_profile("smoke")
TASKS = PROFILE.tasks


def replicate(root, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "helpers", "replicate", "--root", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """One run of all chapters with the profile `smoke`; returns its folder and its output."""
    root = tmp_path_factory.mktemp("runs")
    done = replicate(root, "--profile", "smoke")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return root / "smoke", done.stdout


@pytest.mark.replication
def test_every_chapter_is_executed_and_exported(smoke):
    folder, _ = smoke
    for name in load_chapters():
        notebook = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code if cell.source.strip())
        assert "seed 20241101" in json.dumps(notebook)
        assert (folder / "notebooks" / f"{name}.html").stat().st_size > 50_000


@pytest.mark.replication
def test_every_column_of_every_table_is_described(smoke):
    assert undescribed(smoke[0]) == []


@pytest.mark.replication
def test_the_run_ends_with_its_main_results_and_where_to_look(smoke):
    _, printed = smoke
    for words in ("cap: accuracy", "dataverse: Jaccard", "flourishing: Hamming loss", "read:"):
        assert words in printed


@pytest.mark.replication
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_base_fine_tuned_and_baseline_rows_with_intervals(smoke, task):
    folder, _ = smoke
    metrics = pd.read_csv(folder / "tables" / "metrics.csv")
    assert metrics.columns.tolist() == METRIC_COLUMNS
    rows = metrics[(metrics["task"] == task) & (metrics["split"] == "test")]
    wanted = {"majority", "tfidf-lr", "embeddings-lr", "zero-shot", "minilm-2l", "minilm-2l-ft"}
    assert wanted <= set(rows["model"])
    scores = rows[rows["metric"].isin(["accuracy", "jaccard", "hamming_loss"])]
    assert len(scores) and scores[["value", "ci_low", "ci_high"]].notna().all(axis=None)
    assert ((scores["ci_low"] <= scores["value"]) & (scores["value"] <= scores["ci_high"])).all()
    assert (rows["n"] == 32).all()


@pytest.mark.replication
@pytest.mark.parametrize("task", TASKS)
def test_predictions_come_first_and_cover_every_text(smoke, task):
    folder, _ = smoke
    texts = pd.read_parquet(folder / "data" / task / "texts.parquet")
    for path in (folder / "predictions" / task).glob("*.parquet"):
        frame = pd.read_parquet(path)
        assert frame.columns.tolist() == ["id", "split", "status", "answer", "labels"]
        # Models trained on other labels, and those behind endpoints, answer about test texts alone,
        # the crowd and untuned models also about training texts.
        splits = {"train", "validation", "test"}
        if "@" in path.stem or path.stem.startswith("served-"):
            splits = {"test"}
        elif path.stem in ("crowd-majority", "minilm-2l", "minilm-4l"):
            splits = {"train", "test"}
        assert set(frame["id"]) == set(texts.loc[texts["split"].isin(splits), "id"])


@pytest.mark.replication
@pytest.mark.parametrize("task", TASKS)
def test_the_crowd_labels_everything_but_the_validation_texts(smoke, task):
    folder, _ = smoke
    texts = pd.read_parquet(folder / "data" / task / "texts.parquet")
    asked = texts.loc[texts["split"] != "validation", "id"]
    labelled = pd.read_parquet(folder / "labelling" / task / "labelled.parquet")
    names = PROFILE.labelling.crowd[task]
    assert labelled["labeller"].drop_duplicates().tolist() == names
    for name in names:
        assert set(labelled.loc[labelled["labeller"] == name, "id"]) == set(asked)
    train = set(texts.loc[texts["split"] == "train", "id"])
    proposals = pd.read_parquet(folder / "labelling" / task / "proposals.parquet")
    assert len(proposals) and set(proposals["id"]) <= train
    verified = pd.read_parquet(folder / "verification" / task / "verified.parquet")
    assert 10 < len(verified) <= len(train) and set(verified["id"]) <= train
    assert verified["labels"].map(load_task(task).loads).map(bool).all()


@pytest.mark.replication
def test_the_crowd_and_the_served_stand_in_are_scored_beside_the_models(smoke):
    folder, _ = smoke
    metrics = pd.read_csv(folder / "tables" / "metrics.csv")
    rows = metrics[(metrics["task"] == "cap") & (metrics["split"] == "test")]
    other = {"crowd-majority", "served-finetuned", "minilm-2l-ft@majority-same"}
    assert other <= set(rows["model"])
    sources = pd.read_csv(folder / "tables" / "label_sources_cap.csv").set_index("source")
    assert sources.index.tolist() == ["verified", "majority-same"]
    assert sources.loc["verified", "decisions"] == sources.loc["verified", "weighed"] > 0
    assert sources.loc["majority-same", "decisions"] == 0
    assert sources.loc["verified", "n_train"] == sources.loc["majority-same", "n_train"]


@pytest.mark.replication
def test_only_servers_of_this_run_were_asked_and_every_response_is_archived(smoke, tmp_path):
    folder, _ = smoke
    with ResponseStore(folder / "responses" / "store.sqlite") as store:
        rows = list(store.rows())
        assert rows and all(re.fullmatch("served:[0-9a-f]{16}", row.endpoint) for row in rows)
        assert store.spent() == 0
    assert {row.model for row in rows} == {"codebook-minilm-2l", "finetuned-minilm-2l"}
    with ResponseStore(tmp_path / "store.sqlite") as archived:
        import_responses(archived, folder / "responses")
        assert list(archived.rows()) == [row for row in rows if row.status != "error"]
    assert not (folder / "decisions").exists()  # nobody was asked, and nobody is said to have been


@pytest.mark.replication
def test_every_result_of_crowd_and_review_is_a_table(smoke):
    folder, _ = smoke
    found = {path.stem for path in (folder / "tables").glob("*.csv")}
    labelling = "status pairwise agreement scores shares given_agreement confusions"
    verification = "assignment decisions acceptance agreement outcome conflicts pool_recall"
    wanted = {f"labelling_{name}" for name in [*labelling.split(), "prompt_sensitivity"]}
    wanted |= {f"verification_{name}" for name in [*verification.split(), "anchoring", "quality"]}
    assert wanted <= found
    for name in wanted - {"verification_conflicts"}:
        table = pd.read_csv(folder / "tables" / f"{name}.csv")
        # In posts all labellers but the centred one are asked alike.
        tasks = TASKS[:2] if name == "labelling_prompt_sensitivity" else TASKS
        assert table["task"].drop_duplicates().tolist() == tasks, name


@pytest.mark.replication
def test_the_study_covers_its_grid(smoke):
    folder, _ = smoke
    scores = pd.read_csv(folder / "tables" / "training_size_scores.csv")
    rows = scores[(scores["labels"] == "gold") & scores["metric"].isin(["accuracy", "jaccard"])]
    found = rows.groupby(["task", "model"])["n_train"].apply(list).to_dict()
    simple = {(task, model) for task in TASKS for model in ("tfidf-lr", "embeddings-lr")}
    assert set(found) == simple | {("cap", "minilm-2l")}
    assert all(sizes == [16, 32, 64] for sizes in found.values())
    inner = rows[rows["n_train"] < 64]
    assert (inner["n_seeds"] == 2).all() and (rows["n"] == 32).all()
    assert ((rows["ci_low"] <= rows["value"]) & (rows["value"] <= rows["ci_high"])).all()
    needed = pd.read_csv(folder / "tables" / "training_size_needed.csv")
    assert {"Zero-shot encoder", "AI crowd, majority vote"} <= set(needed["target"])
    exchange = pd.read_csv(folder / "tables" / "training_size_exchange.csv")
    assert set(exchange["labels"]) == {"majority", "noise-20"}


@pytest.mark.replication
def test_every_method_of_chapter_07_is_scored_on_reports_it_has_not_seen(smoke):
    folder, _ = smoke
    scores = pd.read_csv(folder / "tables" / "parts_scores.csv")
    wanted = {"dictionary-forest", "frozen", "top-1", "all", "mean"}
    assert wanted <= set(scores["method"]) and {"r2", "mse", "mae"} <= set(scores["metric"])
    texts = pd.read_parquet(folder / "data" / "conflict" / "texts.parquet")
    assert (scores["n"] == len(texts)).all()
    gains = pd.read_csv(folder / "tables" / "parts_gains.csv")
    assert len(gains) and set(gains["method"]) <= set(scores["method"])


@pytest.mark.replication
def test_result_tables_hold_no_times_hosts_or_paths(smoke):
    folder, _ = smoke
    for path in (folder / "tables").glob("*.csv"):
        content = path.read_text()
        assert str(folder) not in content
        assert not {"seconds", "host", "peak_memory_mb"} & set(pd.read_csv(path).columns)
    kept = {path.stem for path in folder.glob("performance/*.csv")}
    wanted = {"chapters", "finetuning", "labelling", "labelling_cost_estimate", "endpoints"}
    wanted |= {"training_size", "parts"}
    assert wanted | {"verification_times"} <= kept


@pytest.mark.replication
def test_every_figure_is_there_as_png_and_svg(smoke):
    folder, _ = smoke
    stems = {path.stem for path in (folder / "figures").glob("*.png")}
    assert stems == {path.stem for path in (folder / "figures").glob("*.svg")}
    expected = {"04_loss", "05_published_headlines", "05_published_flourishing"}
    expected |= {"03_pool_recall", "05_label_sources_cap", "06_labels_cap_embeddings-lr"}
    per_task = "01_label_frequencies 02_agreement 02_labellers 02_crowd 02_by_agreement"
    per_task += " 02_confusions 03_acceptance 05_headline 05_per_class 06_learning_curve"
    expected |= {f"{name}_{task}" for name in per_task.split() for task in TASKS}
    assert expected <= stems


@pytest.mark.replication
def test_a_second_run_finds_everything_done(smoke):
    folder, _ = smoke
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    again = replicate(folder.parent, "--profile", "smoke")
    assert again.returncode == 0
    assert again.stdout.count("is up to date") == len(load_chapters())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")} == before


@pytest.mark.full
def test_two_runs_give_the_same_bytes(smoke, tmp_path):
    folder, _ = smoke
    assert replicate(tmp_path, "--profile", "smoke").returncode == 0
    tables = sorted((folder / "tables").iterdir())
    assert len(tables) > 10
    for path in tables:
        assert (tmp_path / "smoke" / "tables" / path.name).read_bytes() == path.read_bytes()
    for part in ("labelling", "verification", "predictions"):
        for path in (folder / part).rglob("*.parquet"):
            again = tmp_path / "smoke" / path.relative_to(folder)
            assert again.read_bytes() == path.read_bytes(), path


@pytest.mark.full
def test_real_texts_run_through_and_are_never_shown(upstream_folder, tmp_path):
    from helpers.data import find_sentences
    from helpers.data.prepared import load
    from helpers.runs import open_run
    from helpers.tasks import load_task

    options = ["--profile", "demo-upstream", "--upstream", str(upstream_folder), "01_data"]
    done = replicate(tmp_path, *options)
    assert done.returncode == 0, done.stderr[-2000:]
    run = open_run("demo-upstream", root=tmp_path, upstream=upstream_folder)
    for task in run.profile.tasks:
        texts = load(run, load_task(task)).frame
        assert find_sentences(run.root / "notebooks" / "01_data.ipynb", texts).empty
