"""The published values: as archived, and consistent in themselves."""

import numpy as np
import pandas as pd
import pytest

from helpers.published import PublishedError, published_flourishing, published_headlines

RATES = ["accD", "accI", "FN", "FP", "jac", "jac2", "ham"]


@pytest.mark.parametrize(
    ("split", "source"), [("train", "summaryOld.csv"), ("test", "verifyOld.csv")]
)
def test_values_are_those_of_the_archive(upstream_folder, split, source):
    ours = published_flourishing()
    ours = ours[ours["split"] == split].set_index("fname")
    theirs = pd.read_csv(upstream_folder / "flourishing" / source).set_index("fname")
    assert set(ours.index) == set(theirs.index)
    theirs = theirs.loc[ours.index]
    for name in ["n", "ntext", *RATES]:
        assert (ours[name] == theirs[name]).all(), name
    assert (ours["parameters_billion"] == theirs["bpar"]).all()
    assert (ours["fine_tuned"] == (theirs["ft"] == "YES")).all()
    assert (ours["source"] == f"flourishing/{source}").all()


def test_every_model_of_the_archive_is_there(upstream_folder):
    models = pd.read_csv(upstream_folder / "flourishing" / "models.csv", skipinitialspace=True)
    assert set(published_flourishing()["fname"]) == set(models["fname"].str.strip())


def test_the_statistics_mean_what_the_readme_says():
    frame = published_flourishing()
    assert (frame["n"] == 46 * frame["ntext"]).all()
    np.testing.assert_allclose(frame["accD"], 1 - frame["ham"], atol=1e-9)
    np.testing.assert_allclose(frame["ham"], frame["FN"] + frame["FP"], atol=1e-9)
    assert (frame["accI"] <= frame["accD"]).all()
    assert frame[RATES].stack().between(0, 1).all()
    test_rows = frame[frame["split"] == "test"]
    assert test_rows["accD"].max() < 0.87
    assert frame.groupby("split")["ntext"].agg(["min", "max"]).loc["train"].tolist() == [1047, 2404]


def test_headlines():
    frame = published_headlines().set_index(["task", "model", "metric"])["value"]
    assert frame["cap", "Llama 2 7B FT", "mean_balanced_accuracy"] == 86.4
    assert frame["cap", "ChatGPT-4", "mean_balanced_accuracy"] == 83.4
    assert frame["dataverse", "Llama 2 7B FT (76110 texts)", "any_right"] == 94.6
    assert not frame.index.duplicated().any()


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(PublishedError, match=r"flourishing\.csv is missing"):
        published_flourishing(tmp_path)
    frame = published_flourishing()
    frame.drop(columns="jac").to_csv(tmp_path / "flourishing.csv", index=False)
    with pytest.raises(PublishedError, match=r"lacks column\(s\) jac"):
        published_flourishing(tmp_path)
    frame.head(35).to_csv(tmp_path / "flourishing.csv", index=False)
    with pytest.raises(PublishedError, match="18 models"):
        published_flourishing(tmp_path)
