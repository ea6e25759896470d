"""Estimators against ppi_py, statsmodels and theory."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.estimates import EstimatesError, coded_sample, regression, shares
from helpers.estimates.core import Data, scaled_weights, solve
from helpers.estimates.library import library
from helpers.estimates.methods import classical, dsl, naive, ppi
from helpers.estimates.shares import share_data


def people(n_all: int = 600, n: int = 150, *, seed: int = 0, unequal: bool = False):
    """A population with a noisy prediction, and a coded sample of it."""
    rng = np.random.default_rng(seed)
    year = rng.integers(1994, 2022, n_all)
    truth = (rng.random(n_all) < 0.25 + 0.3 * (year > 2008)).astype(float)
    wrong = rng.random(n_all) < np.where(year > 2012, 0.3, 0.1)
    predicted = np.where(wrong, 1 - truth, truth)
    population = pd.DataFrame({
        "id": [f"t{i}" for i in range(n_all)], "year": year, "predicted": predicted,
        "kind": rng.choice(["E", "H", "O"], n_all), "y": 1 + 2 * truth + rng.normal(size=n_all),
    })  # fmt: skip
    chance = np.full(n_all, n / n_all)
    if unequal:
        chance = np.clip(n * (1 + predicted) / (1 + predicted).sum(), 0, 1)
        rows = np.flatnonzero(rng.random(n_all) < chance)
    else:
        rows = rng.choice(n_all, n, replace=False)
    coded = pd.DataFrame(
        {"id": population["id"].iloc[rows], "truth": truth[rows], "probability": chance[rows]}
    )
    return population, coded_sample(population, coded, predicted=None), truth, rows


def by_method(frame: pd.DataFrame, method: str, column: str = "estimate") -> np.ndarray:
    return frame.loc[frame["method"] == method, column].to_numpy()


# --- the kept library ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ppi_py():
    module = library()
    if module is None:
        pytest.skip("needs ppi-python")
    return module


def test_tuned_mean_is_that_of_ppi_py(ppi_py):
    population, coded, truth, rows = people()
    table = shares(population, coded, [0.0, 1.0], methods=["ppi"])
    rest = np.setdiff1d(np.arange(len(population)), rows)
    guess = population["predicted"].to_numpy()
    theirs = ppi_py.ppi_mean_pointestimate(truth[rows], guess[rows], guess[rest])
    assert table["estimate"].iloc[1] == pytest.approx(theirs[0], abs=1e-12)


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("lam", [0.0, 0.4, 1.0])
def test_closed_forms_are_those_of_ppi_py(ppi_py, monkeypatch, unequal, lam):
    population, coded, truth, rows = people(unequal=unequal)
    guess = population["predicted"].to_numpy()
    x = np.column_stack([np.ones(len(population)), (population["year"] - 2008) / 8])
    w = scaled_weights(coded.probability.to_numpy(), len(population))
    monkeypatch.setattr("helpers.estimates.methods.tuned", lambda *_: np.float64(lam))
    data = share_data(guess, truth[rows], guess[rows], coded.probability.to_numpy())
    theirs = ppi_py.ppi_mean_pointestimate(truth[rows], guess[rows], guess, lam=lam, w=w)
    assert ppi(data).value == pytest.approx(theirs, abs=1e-12)
    data = Data(x, guess, x[rows], truth[rows], x[rows], guess[rows], w)
    theirs = ppi_py.ppi_ols_pointestimate(x[rows], truth[rows], guess[rows], x, guess, lam=lam, w=w)
    assert ppi(data).value == pytest.approx(theirs, abs=1e-10)


def test_the_library_serves_and_leaves_warnings_on(ppi_py, monkeypatch):
    population, coded, *_ = people()
    arguments = {"outcome": "predicted", "covariates": ["year", "kind"], "methods": ["ppi"]}
    with_it = regression(population, coded, **arguments)
    shown = shares(population, coded, [0.0, 1.0], methods=["ppi"])
    monkeypatch.setattr("helpers.estimates.library.library", lambda: None)
    pd.testing.assert_frame_equal(with_it, regression(population, coded, **arguments), rtol=1e-7)
    pd.testing.assert_frame_equal(
        shown, shares(population, coded, [0.0, 1.0], methods=["ppi"]), rtol=1e-10
    )
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", stacklevel=1)


def test_interval_of_the_mean_is_near_that_of_ppi_py(ppi_py):
    population, coded, truth, rows = people(6000, 1000)
    guess = population["predicted"].to_numpy()
    rest = np.setdiff1d(np.arange(len(population)), rows)
    low, high = ppi_py.ppi_mean_ci(truth[rows], guess[rows], guess[rest], alpha=0.05)
    table = shares(population, coded, [0.0, 1.0], methods=["ppi"])
    assert table["ci_low"].iloc[1] == pytest.approx(low[0], abs=0.002)
    assert table["ci_high"].iloc[1] == pytest.approx(high[0], abs=0.002)


# --- statsmodels -----------------------------------------------------------------------------


@pytest.mark.parametrize("unequal", [False, True])
def test_classical_is_weighted_least_squares_with_hc3(unequal):
    population, coded, truth, rows = people(unequal=unequal)
    table = regression(population, coded, outcome="predicted", covariates=["year", "kind"])
    dummies = pd.get_dummies(population["kind"], drop_first=True).astype(float)
    x = sm.add_constant(pd.concat([population[["year"]], dummies], axis=1)).iloc[rows]
    weights = 1 / coded.probability.to_numpy()
    fit = sm.WLS(truth[rows], x.to_numpy(float), weights=weights).fit(cov_type="HC3", use_t=True)
    assert list(table["term"].unique()) == ["intercept", "year", "kind[H]", "kind[O]"]
    assert by_method(table, "classical") == pytest.approx(fit.params, rel=1e-6)
    # The two parts of the variance add up to the sandwich, whatever the weights.
    assert by_method(table, "classical", "std_error") == pytest.approx(fit.bse, rel=1e-5)
    assert by_method(table, "classical", "ci_low") == pytest.approx(fit.conf_int()[:, 0], rel=1e-5)


def test_naive_is_least_squares_on_predictions():
    population, coded, *_ = people()
    table = regression(population, coded, outcome="predicted", covariates=["year"])
    x = sm.add_constant(population[["year"]].to_numpy(float))
    fit = sm.OLS(population["predicted"].to_numpy(), x).fit(cov_type="HC1", use_t=True)
    assert by_method(table, "naive") == pytest.approx(fit.params, rel=1e-6)
    assert by_method(table, "naive", "std_error") == pytest.approx(fit.bse, rel=1e-5)


@pytest.mark.parametrize("role", ["outcome", "covariate"])
def test_dsl_with_all_rows_coded_is_the_regression_on_the_truth(role):
    population, _, truth, _ = people()
    everything = population[["id"]].assign(truth=truth, probability=1.0)
    coded = coded_sample(population, everything)
    if role == "outcome":
        table = regression(population, coded, outcome="predicted", covariates=["year"])
        x, y = population[["year"]].to_numpy(float), truth
    else:
        table = regression(
            population, coded, outcome="y", covariates=["predicted", "year"], predicted_role=role
        )
        x, y = np.column_stack([truth, population["year"]]), population["y"]
    fit = sm.OLS(y, sm.add_constant(x)).fit(cov_type="HC3", use_t=True)
    for method in ("classical", "ppi", "dsl"):
        assert by_method(table, method) == pytest.approx(np.asarray(fit.params), rel=1e-6)
    assert by_method(table, "dsl", "std_error") == pytest.approx(np.asarray(fit.bse), rel=1e-5)
    certain = regression(
        population, coded, outcome="y" if role == "covariate" else "predicted",
        covariates=["predicted", "year"] if role == "covariate" else ["year"],
        predicted_role=role, methods=["classical", "dsl"], target="population",
    )  # fmt: skip
    assert (certain["std_error"] == 0).all()


def test_classical_logit_is_that_of_statsmodels():
    population, coded, truth, rows = people(unequal=True)
    table = regression(population, coded, outcome="predicted", covariates=["year"], family="logit")
    x = sm.add_constant(population[["year"]].to_numpy(float)[rows] - 2000)
    weights = scaled_weights(coded.probability.to_numpy(), len(rows))
    fit = sm.GLM(truth[rows], x, sm.families.Binomial(), freq_weights=weights).fit()
    assert by_method(table, "classical")[1] == pytest.approx(fit.params[1], rel=1e-6)
    everywhere = sm.Logit(
        population["predicted"].to_numpy(), sm.add_constant(population[["year"]] - 2000)
    ).fit(disp=0)
    assert by_method(table, "naive")[1] == pytest.approx(everywhere.params["year"], rel=1e-6)


def test_dsl_logit_solves_its_moments():
    population, coded, truth, rows = people(unequal=True)
    table = regression(
        population, coded, outcome="predicted", covariates=["year"], family="logit", methods=["dsl"]
    )
    guess, w = population["predicted"].to_numpy(), scaled_weights(coded.probability.to_numpy(), 600)
    pseudo = guess.copy()
    pseudo[rows] += w * (truth[rows] - guess[rows])
    x = sm.add_constant(population[["year"]].to_numpy(float))
    fitted = 1 / (1 + np.exp(-(x @ table["estimate"].to_numpy())))
    assert x.T @ (pseudo - fitted) == pytest.approx([0, 0], abs=1e-4)


def test_dsl_outcome_is_the_regression_of_the_pseudo_outcome():
    population, coded, truth, rows = people(unequal=True)
    guess, w = population["predicted"].to_numpy(), scaled_weights(coded.probability.to_numpy(), 600)
    pseudo = guess.copy()
    pseudo[rows] += w * (truth[rows] - guess[rows])
    fit = sm.OLS(pseudo, sm.add_constant(population[["year"]].to_numpy(float))).fit("pinv")
    table = regression(population, coded, outcome="predicted", covariates=["year"])
    assert by_method(table, "dsl") == pytest.approx(fit.params, rel=1e-6)


# --- invariance ------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50), scale=st.floats(0.1, 100))
def test_units_of_a_covariate_do_not_matter(seed, shift, scale):
    population, coded, *_ = people(200, 60, seed=seed)
    one = regression(population, coded, outcome="predicted", covariates=["year"])
    changed = population.assign(year=(population["year"] - shift) * scale)
    other = regression(changed, coded, outcome="predicted", covariates=["year"])
    slope = one["term"] == "year"
    for column in ("estimate", "std_error", "ci_low"):
        rescaled = other.loc[slope, column].to_numpy() * scale
        assert rescaled == pytest.approx(one.loc[slope, column].to_numpy(), rel=1e-6, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), unequal=st.booleans())
def test_order_of_rows_and_names_of_labels_do_not_matter(seed, unequal):
    population, coded, *_ = people(300, 80, seed=seed, unequal=unequal)
    one = shares(population, coded, [0.0, 1.0])
    mixed = population.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(one, shares(mixed, coded, [0.0, 1.0]), rtol=1e-9)
    named = population.assign(predicted=population["predicted"].map({0.0: "no", 1.0: "yes"}))
    renamed = coded.__class__(
        coded.ids, coded.truth.map({0.0: "no", 1.0: "yes"}), coded.probability
    )
    other = shares(named, renamed, ["no", "yes"])
    assert other["estimate"].to_numpy() == pytest.approx(one["estimate"].to_numpy())
    for method in ("naive", "classical", "dsl"):  # the shares of all labels sum to one
        assert by_method(one, method).sum() == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_useless_predictions_leave_ppi_with_the_classical_estimate(seed):
    _, coded, truth, rows = people(300, 80, seed=seed)
    data = share_data(1 - truth, truth[rows], 1 - truth[rows], coded.probability.to_numpy())
    assert ppi(data).lam == pytest.approx(0)
    assert ppi(data).value == pytest.approx(classical(data).value)
    constant = share_data(np.ones(300), truth[rows], np.ones(80), coded.probability.to_numpy())
    assert ppi(constant).value == pytest.approx(classical(constant).value)


def test_right_predictions_leave_nothing_but_the_population_to_chance():
    _, coded, truth, rows = people()
    data = share_data(truth, truth[rows], truth[rows], coded.probability.to_numpy())
    for estimate in (naive, dsl):
        assert estimate(data).value == pytest.approx(truth.mean())
    assert ppi(data).value == pytest.approx(truth.mean(), abs=1e-3)  # lambda of ppi_py: 599 / 600
    exact = dsl(data, target="population")
    assert exact.std_error == pytest.approx(0)


def test_dsl_is_unbiased_when_predictions_are_all_wrong():
    _, _, truth, _ = people(400, 100)
    rng = np.random.default_rng(5)
    rows = np.array([rng.choice(400, 100, replace=False) for _ in range(4000)])
    wrong = 1 - truth
    data = share_data(wrong, truth[rows], wrong[rows], np.full(rows.shape, 0.25))
    found = dsl(data).value[:, 0]
    assert naive(data).value[0] == pytest.approx(1 - truth.mean())
    assert abs(found.mean() - truth.mean()) < 4 * found.std() / np.sqrt(4000)


def test_several_labels_in_a_cell_and_none():
    population, coded, *_ = people()
    several = population.assign(
        predicted=[["a", "b"] if i % 3 == 0 else ["b"] if i % 3 == 1 else None for i in range(600)]
    )
    marked = coded.__class__(coded.ids, pd.Series([["a"]] * len(coded)), coded.probability)
    table = shares(several, marked, ["a", "b"], methods=["naive", "classical"])
    assert table["estimate"].tolist() == pytest.approx([1 / 3, 1, 2 / 3, 0])


def test_groups_are_estimated_from_their_own_rows():
    population, coded, truth, rows = people(600, 150)
    table = shares(population, coded, [0.0, 1.0], by="kind")
    kinds = population["kind"].to_numpy()
    for kind in "EHO":
        inside = kinds[rows] == kind
        row = table.query("kind == @kind and label == 1 and method == 'classical'").iloc[0]
        assert row["estimate"] == pytest.approx(truth[rows][inside].mean())
        assert (row["n"], row["n_coded"]) == ((kinds == kind).sum(), inside.sum())


def test_a_group_with_few_coded_rows_gets_no_interval():
    population, coded, _, rows = people()
    group = np.array(["rest"] * 600, dtype=object)
    group[rows[:7]] = "few"
    group[np.setdiff1d(np.arange(600), rows)[:5]] = "none"
    table = shares(population.assign(group=group), coded, [0.0, 1.0], by="group")
    table = table[table["label"] == 1.0].set_index(["group", "method"])
    assert table.loc[("few", "dsl"), "note"] == "7 coded rows, fewer than 20: no interval"
    assert np.isfinite(table.loc[("few", "dsl"), "estimate"])
    assert np.isnan(table.loc[("few", "classical"), "ci_low"])
    assert np.isnan(table.loc[("none", "ppi"), "estimate"])
    assert np.isfinite(table.loc[("none", "naive"), "ci_low"])
    assert np.isfinite(table.loc[("rest", "dsl"), "ci_low"])


def test_no_coded_row_with_the_label_does_not_mean_certainty():
    population, coded, *_ = people()
    nobody = coded.__class__(coded.ids, coded.truth * 0, coded.probability)
    table = shares(population.assign(predicted=0.0), nobody, [0.0, 1.0])
    high = table[table["label"] == 1.0].set_index("method")["ci_high"]
    assert (high[["classical", "ppi", "dsl"]] > 0.01).all()  # the rule of three: 3 / 150 = 0.02


def test_a_rare_covariate_gets_no_interval():
    population, coded, *_ = people()
    rare = coded.truth * 0
    rare.iloc[:3] = 1.0
    few = coded.__class__(coded.ids, rare, coded.probability)
    table = regression(
        population, few, outcome="y", covariates=["predicted"], predicted_role="covariate"
    )
    assert np.isnan(by_method(table, "dsl", "ci_low")).all()
    assert np.isfinite(by_method(table, "naive", "ci_low")).all()
    assert table.loc[table["method"] != "naive", "note"].ne("").all()
    assert table["note"].str.contains("3 coded rows of one value").any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"covariates": ["age"]}, "no column 'age'"),
        ({"covariates": ["empty"]}, "row 4 .id 't3'. and 1 more"),
        ({"covariates": ["year", "twice"]}, "is a sum of others"),
        ({"covariates": ["flat"]}, "same value in all rows"),
        ({"outcome": "y", "predicted_role": "covariate"}, "not among the covariates"),
        ({"family": "probit"}, "choose one of ols, logit"),
        ({"methods": ["dls"]}, "choose one of naive, classical"),
        ({"label": "1"}, "check its type"),
        ({"outcome": "kind"}, "not a number in row 1"),
        ({"covariates": [f"x{i}" for i in range(40)]}, "code at least 205"),
    ],
)
def test_regressions_that_cannot_be(changes, message):
    population, coded, *_ = people()
    empty = population["year"].astype(float)
    empty.iloc[[3, 9]] = np.nan
    noise = np.random.default_rng(1).normal(size=(600, 40))
    many = pd.DataFrame(noise, columns=[f"x{i}" for i in range(40)])
    population = pd.concat(
        [population.assign(empty=empty, flat=1.0, twice=2 * population["year"]), many], axis=1
    )
    arguments = {"outcome": "predicted", "covariates": ["year"]} | changes
    with pytest.raises(EstimatesError, match=message):
        regression(population, coded, **arguments)


def test_separated_classes_have_no_logit():
    x = np.column_stack([np.ones(40), np.arange(40.0) - 20])
    theta, _ = solve([(x, (x[:, 1] > 0).astype(float), 1.0)], "logit")
    assert np.isnan(theta).all()
