"""Planned widths are the widths that come out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from helpers.estimates import EstimatesError, effective_sample_size, labels_needed
from helpers.estimates.methods import t_limits
from helpers.estimates.shares import estimate_shares, share_data


def test_the_textbook_number():
    # 0.25 (1.96 / 0.05)^2 = 384.1, and a little more for t
    assert labels_needed(0.10, share=0.5, n_population=10**6) in range(385, 389)
    finite = labels_needed(0.10, share=0.5, n_population=1000, target="population")
    assert finite in range(278, 281)  # 384.1 / (1 + 384.1 / 1000) = 277.5


def test_better_models_need_fewer_labels():
    def needed(correlation: float, method: str) -> int:
        return labels_needed(
            0.10, share=0.3, n_population=10**5, correlation=correlation, method=method
        )

    classical = labels_needed(0.10, share=0.3, n_population=10**5)
    ppi = [needed(r, "ppi") for r in (0.0, 0.5, 0.8, 0.95)]
    assert ppi == sorted(ppi, reverse=True)
    # In large samples 1 - r^2 of the classical number; here two added errors count.
    assert ppi[0] == pytest.approx(classical, rel=0.03)
    assert classical * (1 - 0.64) < ppi[2] < classical * (1 - 0.64) + 30
    # With lambda fixed at 1 a poor model costs more than it gives.
    assert needed(0.3, "dsl") > classical > needed(0.8, "dsl")


@pytest.mark.parametrize("method", ["classical", "ppi", "dsl"])
@pytest.mark.parametrize("target", ["superpopulation", "population"])
def test_planned_widths_come_out(method, target):
    rng = np.random.default_rng(4)
    n_all = 2000
    truth = (np.arange(n_all) < 600).astype(float)
    wrong = rng.random(n_all) < 0.1
    guess = np.where(wrong, 1 - truth, truth)
    correlation = np.corrcoef(truth, guess)[0, 1]
    n = labels_needed(
        0.08, share=0.3, n_population=n_all, correlation=correlation,
        predicted_share=guess.mean(), method=method, target=target,
    )  # fmt: skip
    rows = np.array([rng.choice(n_all, n, replace=False) for _ in range(300)])
    data = share_data(guess, truth[rows], guess[rows], np.full(rows.shape, n / n_all))
    result, low, high = estimate_shares(data, method, target, 0.95)
    if method != "classical":
        low, high = t_limits(result, 0.95)
    assert (high - low).mean() == pytest.approx(0.08, rel=0.04)


def test_a_pilot_gives_what_is_not_given():
    rng = np.random.default_rng(4)
    truth = (rng.random(200) < 0.3).astype(int)
    pilot = pd.DataFrame(
        {"truth": truth, "predicted": np.where(rng.random(200) < 0.1, 1 - truth, truth)}
    )
    known = np.corrcoef(pilot["truth"], pilot["predicted"])[0, 1]
    from_pilot = labels_needed(0.1, pilot=pilot, n_population=10**4, method="ppi")
    given = labels_needed(
        0.1, share=truth.mean(), correlation=known, n_population=10**4, method="ppi"
    )
    assert from_pilot == given
    useless = pilot.assign(predicted=0)
    assert labels_needed(0.1, pilot=useless, n_population=10**4, method="ppi") >= labels_needed(
        0.1, share=truth.mean(), n_population=10**4
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0.0}, "width between 0 and 1"),
        ({"share": None}, "or a pilot"),
        ({"share": 1.0}, "between 0 and 1"),
        ({"method": "naive"}, "choose one of classical, ppi, dsl"),
        ({"method": "ppi"}, "ppi needs that of prediction and truth"),
        ({"method": "dsl", "correlation": 2.0}, "between -1 and 1"),
        ({"method": "dsl", "correlation": 0.5, "predicted_share": 2.0}, "predicted_share is 2"),
        ({"n_population": 100}, "100 rows, all coded, give 0.18"),
        ({"n_population": 5}, "at least 20 rows"),
        ({"pilot": pd.DataFrame({"truth": [0, 1]})}, "column 'predicted' of 0 and 1"),
        ({"pilot": pd.DataFrame({"truth": [0] * 30, "predicted": [1] * 30})}, "says too little"),
    ],
)
def test_plans_that_are_refused(changes, message):
    arguments = {"width": 0.1, "share": 0.3, "n_population": 10**4} | changes
    with pytest.raises(EstimatesError, match=message):
        labels_needed(arguments.pop("width"), **arguments)


def test_effective_sample_size():
    assert effective_sample_size(0.002, 0.001, 150) == 300
    with pytest.raises(EstimatesError, match="above 0"):
        effective_sample_size(0.002, 0.0, 150)
