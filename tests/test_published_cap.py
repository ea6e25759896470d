"""CAP and Dataverse answers: by the authors' definitions to the digit, and done right."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from helpers.data import UpstreamError
from helpers.data.manifest import git_blob_sha1, read_manifest
from helpers.published.cap import (
    MODEL,
    CapRun,
    cap_corrected,
    cap_published,
    cap_runs,
    check_cap,
    published_rates,
)
from helpers.published.panel import PublishedError
from helpers.tasks import load_task

TASK = load_task("cap")
TRUTH = ["1", "1", "1", "1", "2", "2", "2", "4"]
# Code 21 is never true: as published its text is in no cell. 0 is no code: no answer was read.
NAMED = ["1", "1", "2", "21", "2", "2", "1", "1"]


def raw(truth=TRUTH, named=NAMED):
    frame = pd.DataFrame({"trueCat": truth, "predicted": named}, dtype="str")
    frame.insert(0, "idCoding", [str(1000 + i) for i in range(len(frame))])
    frame.insert(1, "idOrig", "X")
    right = frame["trueCat"] == frame["predicted"]
    return frame.assign(isCorrect=right.map({True: "True", False: "False"}))


def run(truth=TRUTH, named=NAMED, split="test"):
    return CapRun("v2", split, "made up", check_cap(TASK, raw(truth, named), "made up"))


def pick(table, column="value", **where):
    rows = table
    for name, wanted in where.items():
        rows = rows[rows[name] == wanted]
    assert len(rows) == 1
    return rows[column].iloc[0]


def test_the_published_rates_of_made_up_answers():
    rates = published_rates(run().texts)
    assert rates.index.tolist() == ["1", "2", "4"]
    assert rates["sensitivity"].tolist() == pytest.approx([2 / 3, 2 / 3, 0])
    assert rates["specificity"].tolist() == pytest.approx([2 / 4, 3 / 4, 6 / 6])
    assert rates["f1"].tolist()[:2] == pytest.approx([4 / 7, 2 / 3])
    assert np.isnan(rates.loc["4", "f1"])  # nothing is called 4
    table = cap_published([run()])
    expected = {
        "accuracy": (50, 0),  # the text in no cell counts as wrong here
        "mean_sensitivity": ((66.7 + 66.7 + 0) / 3, 3),  # rounded first
        "mean_specificity": ((50 + 75 + 100) / 3, 3),
        "mean_f1": ((57.1 + 66.7) / 2, 2),
        "mean_balanced_accuracy": ((58.3 + 70.8 + 50) / 3, 3),
    }
    for metric, (value, classes) in expected.items():
        assert pick(table, metric=metric) == pytest.approx(value, abs=1e-9)
        assert pick(table, "n_classes", metric=metric) == classes
    assert pick(table, "printed", metric="mean_sensitivity") == 44.5
    assert set(table["n"]) == {8}
    assert set(table["n_outside"]) == {1}


def test_the_corrected_rates_count_every_text():
    answers = [*NAMED[:-1], "0"]
    scores, codes = cap_corrected(TASK, [run(named=answers)], n_resamples=200)
    ours = scores[scores["model"] == MODEL]
    assert pick(ours, metric="accuracy") == pytest.approx(4 / 8)
    assert set(ours["n"]) == {8}
    assert set(ours["n_answered"]) == {7}
    assert pick(ours, metric="mean_sensitivity") == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)
    f1 = [4 / 7, 4 / 6]  # of the codes 1 and 2; 4 and 21 have no hit
    assert pick(ours, metric="mean_f1") == pytest.approx(sum(f1) / 2)
    assert pick(ours, "n_classes", metric="mean_f1") == 2
    assert pick(ours, metric="macro_f1") == pytest.approx(sum(f1) / 4)
    assert pick(ours, "n_classes", metric="macro_f1") == 4
    four = {"model": MODEL, "label": "4"}
    assert pick(codes, metric="sensitivity", **four) == 0
    assert pick(codes, "ci_high", metric="sensitivity", **four) == pytest.approx(0.7935, abs=1e-4)
    assert pick(codes, "support", metric="sensitivity", **four) == 1
    assert np.isnan(pick(codes, metric="f1", **four))
    assert np.isnan(pick(codes, metric="sensitivity", model=MODEL, label="23"))


def test_the_baseline_always_answers_the_most_frequent_code():
    scores, codes = cap_corrected(TASK, [run(split="train")], n_resamples=200)
    baseline = scores[scores["model"] == "majority"]
    assert pick(baseline, metric="accuracy") == 4 / 8
    assert pick(baseline, metric="mean_balanced_accuracy") == 0.5
    assert pick(codes, model="majority", label="1", metric="sensitivity") == 1
    in_sample = scores.groupby("model")["in_sample"].first()
    assert in_sample[MODEL]
    assert not in_sample["majority"]
    assert not cap_corrected(TASK, [run()], n_resamples=2)[0]["in_sample"].any()


def test_intervals_hold_the_value_and_are_those_of_the_texts():
    rng = np.random.default_rng(4)
    truth = rng.choice(["1", "2", "3", "5"], 300)
    named = np.where(rng.random(300) < 0.7, truth, rng.choice(["1", "2", "3", "5"], 300))
    scores, codes = cap_corrected(TASK, [run(list(truth), list(named))], seed=1)
    for table in (scores, codes.dropna(subset="value")):
        assert (table["ci_low"] <= table["value"] + 1e-12).all()
        assert (table["value"] <= table["ci_high"] + 1e-12).all()
    p = pick(scores, model=MODEL, metric="accuracy")
    width = pick(scores, "ci_high", model=MODEL, metric="accuracy") - p
    assert width == pytest.approx(1.96 * np.sqrt(p * (1 - p) / 300), rel=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"idCoding": "1.64e+05"}, r"row 3: idCoding '1\.64e\+05' is no whole number; take"),
        ({"idCoding": "1000"}, "row 3: idCoding '1000' occurs twice"),
        ({"trueCat": "11"}, "row 3: the true code '11' is not in the codebook"),
        ({"trueCat": "1.0"}, r"the true code '1\.0' .* read codes and ids as text"),
        ({"predicted": "2.0"}, r"the predicted code '2\.0' is no whole number"),
        ({"predicted": ""}, "the predicted code '' is no whole number"),
        ({"isCorrect": "1"}, "isCorrect is '1', not True or False"),
        ({"isCorrect": "True"}, "row 3: isCorrect is True for truth 1 and prediction 2"),
    ],
)
def test_a_wrong_cell_is_named_with_its_row(change, message):
    frame = raw()
    for column, cell in change.items():
        frame.loc[2, column] = cell
    with pytest.raises(PublishedError, match=r"cap/some\.csv, " + "(row 3: )?" + message):
        check_cap(TASK, frame, "cap/some.csv")


def test_a_renamed_column_and_an_empty_file_are_named():
    with pytest.raises(PublishedError, match=r"some\.csv lacks column\(s\) trueCat; take"):
        check_cap(TASK, raw().rename(columns={"trueCat": "truth"}), "some.csv")
    with pytest.raises(PublishedError, match=r"some\.csv has no text"):
        check_cap(TASK, raw().head(0), "some.csv")


def test_only_files_of_the_manifest_are_scored(tmp_path):
    assert cap_runs(TASK, tmp_path) == []
    name = "cap/classification_test-L2-7B-cap-verified-last-and-final.csv"
    path = tmp_path / name
    path.parent.mkdir()
    raw().to_csv(path, index=False)
    assert cap_runs(TASK, tmp_path) == []  # the package's manifest does not know it
    known = dataclasses.replace(
        read_manifest()[0], local_path=name, git_blob_sha1=git_blob_sha1(path)
    )
    (found,) = cap_runs(TASK, tmp_path, [known])
    assert (found.version, found.split) == ("last-and-final", "test")
    assert cap_published([found])["value"].iloc[0] == 50
    path.write_text(path.read_text()[:-20])
    with pytest.raises(UpstreamError, match=r"last-and-final\.csv: git blob id"):
        cap_runs(TASK, tmp_path, [known])


# --- the archive ---------------------------------------------------------------------------------


def test_the_figures_of_the_archive_to_the_printed_digit(upstream_folder):
    runs = cap_runs(TASK, upstream_folder)
    table = cap_published(runs)

    def printed(split, metric):
        return pick(table, "printed", version="v2", split=split, metric=metric)

    assert round(pick(table, version="v2", split="test", metric="accuracy"), 2) == 74.76
    assert printed("train", "accuracy") == 75.4
    means = ["sensitivity", "specificity", "f1", "balanced_accuracy"]
    assert [printed("test", f"mean_{name}") for name in means] == [74.1, 98.7, 73.0, 86.4]
    assert table.groupby("split")["n"].first().to_dict() == {"test": 424, "train": 1272}
    test = next(run for run in runs if (run.version, run.split) == ("v2", "test"))
    rates = published_rates(test.texts)
    assert len(rates) == 20
    assert rates.loc["12", "sensitivity"] == 0
    assert rates.index[rates["f1"].isna()].tolist() == ["12"]


def test_leaving_out_the_code_without_a_hit_flatters_the_mean(upstream_folder):
    runs = [run for run in cap_runs(TASK, upstream_folder) if run.split == "test"]
    scores, _ = cap_corrected(TASK, runs, n_resamples=200)
    ours = scores[(scores["model"] == MODEL) & (scores["version"] == "v2")]
    dropped, counted = (pick(ours, metric=name) for name in ("mean_f1", "macro_f1"))
    assert counted == pytest.approx(dropped * 19 / 20)
    assert pick(ours, "n_classes", metric="macro_f1") == 20
