"""What is refused: subsamples without probabilities, or not of this population."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from helpers.estimates import Coded, EstimatesError, coded_sample, shares
from helpers.estimates.checks import check_balance, check_total

N = 1000
LABELS = ["a", "b", "c"]


@pytest.fixture
def population() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame({
        "id": [f"t{i}" for i in range(N)],
        "predicted": rng.choice(LABELS, N, p=[0.6, 0.3, 0.1]),
        "year": rng.integers(1994, 2022, N),
    })  # fmt: skip


@pytest.fixture
def coded(population: pd.DataFrame) -> pd.DataFrame:
    rows = population.sample(100, random_state=1)
    return pd.DataFrame(
        {"id": rows["id"], "truth": rows["predicted"], "probability": 0.1}
    ).reset_index(drop=True)


def test_a_sample_is_taken_as_it_is(population, coded):
    made = coded_sample(population, coded)
    assert isinstance(made, Coded)
    assert len(made) == 100
    assert made.ids.tolist() == coded["id"].tolist()
    assert made.truth.tolist() == coded["truth"].tolist()
    assert (made.probability == 0.1).all()


def test_names_of_columns_are_free(population, coded):
    names = {"id": "key", "truth": "gold", "probability": "p"}
    made = coded_sample(
        population.rename(columns={"id": "key"}), coded.rename(columns=names),
        id="key", truth="gold", probability="p",
    )  # fmt: skip
    assert len(shares(population.rename(columns={"id": "key"}), made, LABELS)) == 12


def changed(column: str, row: int, value: object):
    def change(population: pd.DataFrame, coded: pd.DataFrame):
        coded = coded.astype({column: object})
        coded.loc[row, column] = value
        return population, coded

    return change


REFUSED = {
    "no probabilities": (
        lambda p, c: (p, c.drop(columns="probability")), "n / N = 100 / 1000 = 0.1 in every row"
    ),
    "a probability is missing": (
        changed("probability", 4, np.nan), "'probability' is missing .* row 5 .id 't"
    ),
    "a probability is text": (changed("probability", 4, "often"), "not a number in row 5"),
    "a probability is 0": (changed("probability", 2, 0.0), "is 0 in row 3.*above 0 and at most 1"),
    "a weight": (changed("probability", 0, 10.0), "is 10 in row 1"),
    "infinite": (changed("probability", 0, np.inf), "missing or not a number in row 1"),
    "unknown id": (changed("id", 7, "t99999"), "not in the population: row 8 .id 't99999'"),
    "no id": (changed("id", 7, None), "no id in row 8"),
    "twice": (lambda p, c: (p, pd.concat([c, c.iloc[[3]]])), "repeat an id in row 101"),
    "population twice": (
        lambda p, c: (pd.concat([p, p.iloc[[0]]]), c), "population repeats an id in row 1001"
    ),
    "population without ids": (lambda p, c: (p.drop(columns="id"), c), "no column 'id'"),
    "no truth": (changed("truth", 9, None), "'truth' is empty in row 10"),
    "no truth column": (lambda p, c: (p, c.drop(columns="truth")), "no column 'truth'"),
    "too few": (lambda p, c: (p, c.head(19).assign(probability=0.019)), "19 coded rows are too"
    ),
    "probabilities of another population": (
        lambda p, c: (p, c.assign(probability=0.2)), "sum of 1 / probability is 500"
    ),
    "part of the sample is lost": (lambda p, c: (p, c.head(60)), "sum of 1 / probability is 600"),
    "said to be all": (lambda p, c: (p, c.assign(probability=1.0)), "is 100, the population has"),
    "early years alone": (
        lambda p, c: (p, convenience(p, p.sort_values("year"))), "mean of 'year' is 199"
    ),
    "one label alone": (
        lambda p, c: (p, convenience(p, p.sort_values("predicted"))), "share of 'predicted' = 'a'"
    ),
}  # fmt: skip


def convenience(population: pd.DataFrame, order: pd.DataFrame) -> pd.DataFrame:
    rows = order.head(100)
    return pd.DataFrame({"id": rows["id"], "truth": rows["predicted"], "probability": 0.1})


@pytest.mark.parametrize("case", REFUSED)
def test_refused(population, coded, case):
    change, message = REFUSED[case]
    population, coded = change(population, coded)
    with pytest.raises(EstimatesError, match=message):
        coded_sample(population, coded, covariates=["year"])


def test_few_rows_are_warned_of(population):
    rows = population.sample(40, random_state=2)
    coded = rows[["id"]].assign(truth="a", probability=0.04)
    with pytest.warns(UserWarning, match="only 40 coded rows"):
        coded_sample(population, coded)


def test_a_covariate_must_exist(population, coded):
    with pytest.raises(EstimatesError, match="no column 'age' to balance on"):
        coded_sample(population, coded, covariates=["age"])


@pytest.mark.parametrize("where", ["truth", "predicted"])
def test_labels_outside_the_set_are_refused(population, coded, where):
    frame = coded if where == "truth" else population
    frame.loc[12, where] = "d"
    made = coded_sample(population, coded, predicted=None)
    with pytest.raises(EstimatesError, match="'d' in row 13 is not one of the 3 labels"):
        shares(population, made, LABELS)


def test_a_sample_of_another_population_is_refused_later_too(population, coded):
    made = coded_sample(population, coded)
    with pytest.raises(EstimatesError, match="not in the population, first"):
        shares(population.head(10), made, LABELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predicted": "guess"}, "no column 'guess'"),
        ({"by": "month"}, "no column 'month'"),
        ({"methods": ["best"]}, "method is 'best'"),
        ({"target": "all"}, "target is 'all'"),
        ({"level": 95}, "such as 0.95"),
        ({"labels": ["a", "a"]}, "different labels"),
        ({"labels": []}, "at least one"),
    ],
)
def test_settings_that_are_refused(population, coded, changes, message):
    made = coded_sample(population, coded)
    with pytest.raises(EstimatesError, match=message):
        shares(population, made, **({"labels": LABELS} | changes))


def test_honest_samples_are_seldom_refused(population):
    """The threshold is one in a thousand, for all means compared and for the total."""
    rng = np.random.default_rng(0)
    score = np.where(population["predicted"] == "a", 1.0, 3.0)
    chance = 150 * score / score.sum()
    refused = {"simple": 0, "unequal": 0}
    for _ in range(150):
        rows = rng.choice(N, 100, replace=False)
        equal = np.full(100, 0.1)
        refused["simple"] += (
            check_balance(population[["predicted", "year"]], rows, equal) is not None
        )
        assert check_total(equal, N) is None
        rows = np.flatnonzero(rng.random(N) < chance)
        drawn = chance[rows]
        problem = check_total(drawn, N) or check_balance(
            population[["predicted", "year"]], rows, drawn
        )
        refused["unequal"] += problem is not None
    assert max(refused.values()) <= 2


def test_wrong_probabilities_are_seen(population):
    """Rows drawn with unequal chances, said to be a simple random sample."""
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(rng.random(N) < np.where(population["predicted"] == "a", 0.1, 0.4))
    said = np.full(len(rows), len(rows) / N)
    assert "share of 'predicted' = 'a'" in check_balance(population[["predicted"]], rows, said)
