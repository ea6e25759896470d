"""Chapter 08's tables: with the archive, without it, and with a part of it."""

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from helpers.data import UpstreamError
from helpers.experiments import published_results as chapter
from helpers.parallel import in_background
from helpers.runs import open_run

SUMMARY = ["fname", "split", "n", "ntext", "accD", "accI", "FN", "FP", "jac", "jac2", "ham"]
DIMENSION = ["acc", "f1", "prec", "recall", "spec", "sens", "balAcc"]


def everything(run):
    opened = chapter.open_published(run)
    recomputed = chapter.as_published(run, opened)
    certificate = chapter.certified(run, opened)
    right = chapter.done_right(run, opened)
    choices = chapter.all_choices(run, opened)
    human = chapter.human_coding(run, opened)
    claims = chapter.judged(run, opened, recomputed, right, human)
    return opened, recomputed, certificate, right, choices, human, claims


def tables(run):
    return {path.stem for path in run.path("tables", "x").parent.glob("*.csv")}


def test_without_the_archive_nothing_is_recomputed_and_nothing_stale_stays(tmp_path):
    run = open_run("smoke", tmp_path / "runs", upstream=tmp_path / "nothing")
    for name in ("tables/published_summary.csv", "figures/08_ranks.png", "tables/metrics.csv"):
        run.path(*name.split("/")).write_text("of an earlier run")
    opened, recomputed, certificate, right, choices, human, claims = everything(run)
    assert opened.archive is None and not opened.cap and not opened.subjects
    assert (opened.files["status"] == "absent").all()
    assert not recomputed and not right and not choices and not human
    assert set(certificate["certificate"]["verdict"]) == {"not run: archive absent"}
    # Some claims can be judged by the published values alone, none by what is not here.
    assert len(claims) == 15 and (claims.loc[claims["figure"] == "", "needs"] != "").all()
    assert not (run.root / "figures" / "08_ranks.png").exists()
    assert tables(run) == {
        *("archive_files", "certificate", "certificate_counts", "claims", "metrics"),
    }


@pytest.fixture(scope="module")
def done(upstream_folder, tmp_path_factory):
    run = open_run("smoke", tmp_path_factory.mktemp("08"), upstream=upstream_folder)
    return run, *everything(run)


def test_the_tables_have_the_published_names(done):
    run, _, recomputed, *_ = done
    assert list(recomputed["summary"]) == SUMMARY
    assert list(recomputed["per_dimension"]) == ["fname", "split", "dimension", *DIMENSION]
    assert len(recomputed["per_dimension"]) == 46 * len(recomputed["summary"])
    saved = pd.read_csv(run.root / "tables" / "published_summary.csv")
    pd.testing.assert_frame_equal(saved, recomputed["summary"], rtol=0, atol=1e-14)
    assert {"corrected_scores", "corrected_per_dimension", "archive_dropped"} <= tables(run)


def test_every_corrected_table_has_baselines_intervals_and_denominators(done):
    right = done[4]
    scores = right["scores"]
    for _, part in scores.groupby(["split", "texts"]):
        assert {"predict-nothing", "majority"} <= set(part["fname"])
    defined = scores["value"].notna()
    assert scores.loc[defined, ["ci_low", "ci_high", "n", "n_answered"]].notna().all(axis=None)
    same = scores[scores["texts"] == "same"]
    assert same.groupby("split")["n"].nunique().eq(1).all()
    assert right["cap"].groupby(["version", "split"])["model"].nunique().eq(2).all()


def test_the_second_worker_makes_the_same_tables(done, upstream_folder):
    opened, human = done[1], done[6]
    assert opened.coding is not None
    here = chapter.coding_tables(upstream_folder)
    assert list(here) == list(human)
    for name, frame in here.items():
        pd.testing.assert_frame_equal(human[name], frame)


def test_times_stand_apart_from_results(done):
    run, opened, recomputed, *_ = done
    seconds = chapter.time_models(run, opened)
    assert set(seconds["fname"]) == set(recomputed["summary"]["fname"])
    assert (run.root / "performance" / "published_models.csv").is_file()
    assert "published_models" not in tables(run)


def test_part_of_the_archive_is_enough_for_part_of_the_chapter(upstream_folder, tmp_path):
    folder = tmp_path / "files"
    (folder / "cap").mkdir(parents=True)
    name = "classification_test-L2-7B-cap-verified-v2.csv"
    shutil.copy(upstream_folder / "cap" / name, folder / "cap")
    run = open_run("smoke", tmp_path / "runs", upstream=folder)
    _, recomputed, certificate, right, choices, human, claims = everything(run)
    assert list(recomputed) == ["cap"] and set(right) == {"cap", "cap_codes"}
    assert not choices and not human
    verdicts = certificate["certificate"].groupby("task")["verdict"].unique()
    assert "within rounding" in verdicts["cap"]
    assert set(verdicts["flourishing"]) == {"not recomputable"}
    assert claims.set_index("claim_id").loc["cap_fine_tuning", "figure"]


def test_a_file_of_another_version_stops_the_chapter(upstream_folder, tmp_path):
    (tmp_path / "flourishing").mkdir()
    last = upstream_folder / "flourishing" / "classified-L2-7B-FT.csv"
    shutil.copy(last, tmp_path / "flourishing" / "classified-L2-7B-FT@9d7ff68.csv")
    run = open_run("smoke", tmp_path / "runs", upstream=tmp_path)
    with pytest.raises(UpstreamError, match=r"classified-L2-7B-FT@9d7ff68\.csv: git blob id"):
        chapter.open_published(run)


def test_the_chapter_imports_no_torch(tmp_path):
    code = (
        "import sys; from helpers import experiments, figures, published, runs; "
        "from helpers.audit import claims, coding, corrected, sensitivity; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def divide(number):
    return 1 / number, os.getpid()


def test_work_in_the_background_runs_elsewhere_and_raises_here():
    value, process = in_background(divide, 4).result(timeout=60)
    assert value == 0.25 and process != os.getpid()
    with pytest.raises(ZeroDivisionError):
        in_background(divide, 0).result(timeout=60)
