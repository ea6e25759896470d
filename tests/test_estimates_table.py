"""The user's own files, by function and by command."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from helpers.estimates import EstimatesError, coded_sample, estimate_table, shares
from helpers.estimates.__main__ import main


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    n = 500
    truth = rng.choice(["x", "y"], n, p=[0.7, 0.3])
    guess = np.where(rng.random(n) < 0.15, "x", truth)
    population = pd.DataFrame({
        "id": np.arange(n), "predicted": guess, "group": rng.choice(["g", "h"], n),
        "age": rng.normal(40, 10, n), "outcome": rng.normal(size=n) + (truth == "y"),
    })  # fmt: skip
    rows = rng.choice(n, 150, replace=False)
    coded = pd.DataFrame({"id": rows, "truth": truth[rows], "probability": 150 / n})
    population.to_csv(tmp_path / "all.csv", index=False)
    population.to_parquet(tmp_path / "all.parquet", index=False)
    coded.to_csv(tmp_path / "coded.csv", index=False)
    return tmp_path


def command(files, *more: str, population: str = "all.csv") -> list[str]:
    paths = ["--population", population, "--coded", "coded.csv", "--output", "out.csv"]
    return [str(files / part) if "." in part else part for part in paths] + list(more)


def test_shares_from_files(files, capsys):
    assert main(command(files, "--by", "group")) == 0
    written = pd.read_csv(files / "out.csv")
    population, coded = (pd.read_csv(files / name) for name in ("all.csv", "coded.csv"))
    expected = shares(population, coded_sample(population, coded), ["x", "y"], by="group")
    pd.testing.assert_frame_equal(
        written.drop(columns="note"), expected.drop(columns="note"), rtol=1e-8
    )
    assert "written:" in capsys.readouterr().out


def test_regressions_from_files(files):
    assert main(command(files, "--covariates", "age", "group", "--label", "y")) == 0
    table = pd.read_csv(files / "out.csv")
    assert table["term"].unique().tolist() == ["intercept", "age", "group[h]"]
    more = ["--outcome", "outcome", "--covariates", "predicted", "age", "--label", "y"]
    assert main(command(files, *more, "--methods", "dsl", population="all.parquet")) == 0
    row = pd.read_csv(files / "out.csv").query("term == 'predicted'").iloc[0]
    assert row["ci_low"] < 1 < row["ci_high"]


def test_labels_that_are_numbers(files):
    population, coded = (pd.read_csv(files / name) for name in ("all.csv", "coded.csv"))
    population.assign(predicted=population["predicted"].map({"x": 1, "y": 2})).to_csv(
        files / "all.csv", index=False
    )
    coded.assign(truth=coded["truth"].map({"x": 1, "y": 2})).to_csv(
        files / "coded.csv", index=False
    )
    table = estimate_table(files / "all.csv", files / "coded.csv", labels=["1", "2"])
    assert table["label"].unique().tolist() == [1, 2]
    assert main(command(files, "--covariates", "age", "--label", "2")) == 0


def test_ids_of_two_types_are_compared_as_text(files):
    coded = pd.read_csv(files / "coded.csv")
    coded.assign(id=coded["id"].astype(str)).to_parquet(files / "coded.parquet")
    assert len(estimate_table(files / "all.csv", files / "coded.parquet")) == 8


def test_errors_name_the_files_and_leave_the_old_output(files, capsys):
    (files / "out.csv").write_text("old")
    coded = pd.read_csv(files / "coded.csv")
    coded.loc[3, "probability"] = np.nan
    coded.to_csv(files / "coded.csv", index=False)
    assert main(command(files)) == 2
    said = capsys.readouterr().err
    assert "all.csv, coded.csv: column 'probability' is missing or not a number in row 4" in said
    assert "n / N = 0.3 in every row" in said
    assert (files / "out.csv").read_text() == "old"
    assert [path.name for path in files.glob(".*")] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"population": "none.csv"}, "none.csv: there is no such file"),
        ({"population": "all.xlsx"}, "all.xlsx: give a file that ends in .csv or .parquet"),
        ({"output": "out.txt"}, "out.txt: give a file"),
        ({"predicted": "guess"}, "no column 'guess'"),
        ({"truth": "gold"}, "no column 'gold'"),
        ({"probability": "weight"}, "no column 'weight': give each the probability"),
        ({"covariates": ["age"], "label": "z"}, "no row of 'predicted' has the label 'z'"),
        ({"labels": ["x"]}, "'y' in row"),
        ({"balance": ["height"]}, "no column 'height' to balance on"),
    ],
)
def test_what_is_refused(files, changes, message):
    arguments = {"population": "all.csv", "coded": "coded.csv"} | changes
    for name in ("population", "coded", "output"):
        if name in arguments:
            arguments[name] = files / arguments[name]
    with pytest.raises(EstimatesError, match=message):
        estimate_table(arguments.pop("population"), arguments.pop("coded"), **arguments)


def test_empty_and_broken_files(files):
    (files / "empty.csv").write_text("id,predicted\n")
    (files / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(EstimatesError, match=r"empty\.csv has no rows"):
        estimate_table(files / "empty.csv", files / "coded.csv")
    with pytest.raises(EstimatesError, match=r"broken\.parquet cannot be read"):
        estimate_table(files / "broken.parquet", files / "coded.csv")
    (files / "nothing.csv").write_text("")
    with pytest.raises(EstimatesError, match=r"nothing\.csv cannot be read"):
        estimate_table(files / "nothing.csv", files / "coded.csv")
