"""Coverage where the truth is known, and the simulation against the library's functions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from helpers.estimates import Design, EstimatesError, coded_sample, regression, shares, simulate
from helpers.estimates.draws import with_errors
from helpers.estimates.replications import estimands
from helpers.estimates.simulate import _estimate, _truths

LABELS = list("abcdef")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """1,000 rows; the model takes many of `a` for `b`, more so in late years."""
    rng = np.random.default_rng(11)
    n = 1000
    year = rng.integers(1994, 2022, n)
    truth = rng.choice(LABELS, n, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1]).astype(object)
    lost = (truth == "a") & (rng.random(n) < np.where(year > 2007, 0.5, 0.2))
    other = rng.random(n) < 0.05
    predicted = np.where(lost, "b", np.where(other, rng.choice(LABELS, n), truth))
    return pd.DataFrame({
        "truth": truth, "predicted": predicted, "year": year,
        "kind": rng.choice(["E", "O"], n, p=[0.7, 0.3]),
    })  # fmt: skip


ALL = ("share", "share_by_group", "outcome", "covariate")


@pytest.mark.filterwarnings("ignore:only:UserWarning")
@pytest.mark.parametrize("target", ["superpopulation", "population"])
@pytest.mark.parametrize("probabilities", ["equal", "unequal"])
def test_one_replication_is_what_the_library_gives(table, target, probabilities):
    design = Design(
        table, "a", covariate="year", group="kind", estimands=ALL, target=target,
        probabilities=probabilities,
    )  # fmt: skip
    truth, _ = next(_truths(design, 0))
    rng, noise = np.random.default_rng(1), np.random.default_rng(2).normal(size=len(table))
    seen = []
    for estimand, _, data in estimands(design, truth, 150, 3, noise, rng):
        seen.append(estimand)
        for r in range(3):
            population, coded, options = as_frames(estimand, data, r)
            for method in design.methods:
                ours = [part[r] for part in _estimate(design, data, method, estimand)]
                settings = {"methods": [method], "target": target}
                if options is None:
                    found = shares(population, coded, [0.0, 1.0], **settings).iloc[1]
                else:
                    found = regression(population, coded, **options, **settings).iloc[1]
                theirs = found[["estimate", "ci_low", "ci_high"]].to_numpy(dtype=float)
                assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9), (estimand, method)
    assert seen == ["share", "share: kind = E", "share: kind = O", "outcome", "covariate"]


def as_frames(estimand, data, r):
    """Tables as a user has them: the population of replication r, and its coded rows."""
    weight = data.weight[r]
    kept = weight > 0
    y_all = data.y_all[r] if data.y_all.ndim == 2 else data.y_all
    x_all = data.x_all[r] if data.x_all.ndim == 3 else data.x_all
    population = pd.DataFrame({"id": np.arange(len(y_all)), "predicted": y_all})
    truth, options = data.y[r][kept], None
    if estimand == "outcome":
        population["x"] = x_all[:, 1]
        options = {"outcome": "predicted", "covariates": ["x"]}
    if estimand == "covariate":
        population = population.assign(predicted=x_all[:, 1], x=x_all[:, 2], y=y_all)
        truth = data.x[r][kept, 1]
        options = {"outcome": "y", "covariates": ["predicted", "x"], "predicted_role": "covariate"}
    # Coded rows are found again by what is known of them.
    key = [np.asarray(population[c]).tolist() for c in population.columns if c != "id"]
    free: dict[tuple, list[int]] = {}
    for i, values in enumerate(zip(*key, strict=True)):
        free.setdefault(values, []).append(i)
    if estimand == "covariate":
        x_hat = data.x_hat[r][kept]
        known = zip(x_hat[:, 1], x_hat[:, 2], data.y[r][kept], strict=True)
    elif estimand == "outcome":
        known = zip(data.y_hat[r][kept], data.x_hat[r][kept, 1], strict=True)
    else:
        known = ((value,) for value in data.y_hat[r][kept])
    ids = [free[tuple(values)].pop() for values in known]
    coded = pd.DataFrame({"id": ids, "truth": truth, "probability": 1 / weight[kept]})
    return population, coded_sample(population, coded, predicted=None), options


def test_coverage(table):
    """The acceptance: naive below 80%, the others within 93 to 97%, over 1,000 replications."""
    design = Design(
        table, "a", covariate="year", estimands=("share", "outcome", "covariate"), n_coded=(200,)
    )
    found = simulate(design, replications=1000, seed=1).set_index(["estimand", "method"])
    assert (found["failed"] == 0).all()
    for estimand in ("share", "outcome", "covariate"):
        coverage = found.loc[estimand, "coverage"]
        assert coverage["naive"] < 0.80
        # Two Monte-Carlo standard errors are 1.4 points.
        assert coverage[["classical", "ppi", "dsl"]].between(0.93, 0.97).all(), coverage
        bias = found.loc[estimand].loc[["classical", "ppi", "dsl"]]
        assert (bias["bias"].abs() < 4 * bias["bias_se"]).all()
        assert found.loc[(estimand, "ppi"), "effective_n"] > 210
        width = found.loc[estimand, "mean_width"]
        assert width["ppi"] < width["classical"]


def test_poor_predictions_of_a_covariate_leave_dsl_without_an_estimate():
    """All rows predicted alike but by chance: the corrected moments are mostly noise."""
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b"], 1000, p=[0.1, 0.9])
    poor = pd.DataFrame({
        "truth": truth, "predicted": rng.choice(["a", "b"], 1000), "year": rng.normal(size=1000)
    })  # fmt: skip
    design = Design(poor, "a", covariate="year", estimands=("covariate",), n_coded=(80,))
    found = simulate(design, replications=300, seed=1).set_index("method")
    assert found.loc["dsl", "failed"] > found.loc["classical", "failed"] + 20
    assert found.loc["dsl", "mean_width"] < 20


@pytest.mark.parametrize("probabilities", ["equal", "unequal"])
def test_coverage_of_a_finite_population(table, probabilities):
    design = Design(
        table, "a", covariate="year", estimands=("share", "outcome", "covariate"),
        n_coded=(300,), target="population", probabilities=probabilities,
    )  # fmt: skip
    found = simulate(design, replications=1000, seed=2)
    honest = found[found["method"] != "naive"]
    assert honest["coverage"].between(0.93, 0.97).all(), honest[["estimand", "method", "coverage"]]
    assert (found.loc[found["method"] == "naive", "coverage"] == 0).all()


def test_shares_of_groups_cover(table):
    design = Design(table, "a", group="kind", estimands=("share_by_group",), n_coded=(200,))
    found = simulate(design, replications=1000, seed=3)
    assert found["estimand"].unique().tolist() == ["share: kind = E", "share: kind = O"]
    honest = found[found["method"] != "naive"]
    assert honest["coverage"].between(0.93, 0.975).all(), honest[["method", "coverage"]]


def test_the_same_seed_gives_the_same_table(table):
    design = Design(table, "a", n_coded=(50, 100), accuracy=(0.6, None, 0.95))
    one = simulate(design, replications=30, seed=4)
    pd.testing.assert_frame_equal(one, simulate(design, replications=30, seed=4))
    assert not one["bias"].equals(simulate(design, replications=30, seed=5)["bias"])
    assert len(one) == 2 * 3 * 4
    assert one["accuracy"].unique().tolist()[::2] == pytest.approx([0.6, 0.95])


def test_accuracy_is_set_exactly_and_keeps_the_kind_of_error(table):
    rng = np.random.default_rng(0)
    for accuracy in (0.5, 0.99):
        made = with_errors(table["truth"], table["predicted"], accuracy, rng)
        assert (made == table["truth"].to_numpy()).mean() == pytest.approx(accuracy)
    worse = with_errors(table["truth"], table["predicted"], 0.5, rng)
    wrong = worse[worse != table["truth"].to_numpy()]
    assert (wrong == "b").mean() > 0.5


def test_differential_errors_are_where_the_covariate_is_high(table):
    design = Design(table, "a", covariate="year", differential=(0.0, 0.5), estimands=("outcome",))
    (plain, _), (turned, _) = _truths(design, 0)
    high = plain.covariate > np.median(plain.covariate)
    assert (plain.predicted[~high] == turned.predicted[~high]).all()
    assert turned.predicted[high].mean() > plain.predicted[high].mean() + 0.3
    assert turned.realised < turned.accuracy == plain.accuracy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimands": ("outcome",)}, "need `covariate`"),
        ({"estimands": ("share_by_group",)}, "need `group`"),
        ({"estimands": ("median",)}, "estimand is 'median'"),
        ({"differential": (0.1,)}, "differential error needs"),
        ({"covariate": "age"}, "a column 'age' without empty cells"),
        ({"label": "A"}, "'A' is in no row of 'truth'"),
        ({"probabilities": "some"}, "choose one of equal, unequal"),
    ],
)
def test_designs_that_are_refused(table, changes, message):
    with pytest.raises(EstimatesError, match=message):
        Design(table, **({"label": "a"} | changes))


def test_more_coded_rows_than_there_are(table):
    with pytest.raises(EstimatesError, match="2000 rows cannot be coded in a population of 1000"):
        simulate(Design(table, "a", n_coded=(2000,)), replications=10)
