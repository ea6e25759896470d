"""Agreement of labellers and coders, and how right a crowd is: by hand and against libraries."""

import json
import warnings

import krippendorff
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats import inter_rater
from statsmodels.stats.proportion import proportion_confint

from helpers.metrics import (
    MetricsError,
    accuracy_given_agreement,
    coder_agreement,
    count_texts,
    crowd_shares,
    evaluate,
    labeller_scores,
    mcnemar_exact,
    neighbour_confusion,
    overall_agreement,
    pairwise_kappa,
    prompt_groups,
    prompt_sensitivity,
    wilson_interval,
)
from helpers.metrics.reliability import Ratings, alpha_of, alpha_parts
from helpers.plans import Labeller
from helpers.tasks import load_task

CAP, SUBJECTS, POSTS = load_task("cap"), load_task("dataverse"), load_task("flourishing")
FEW = {"n_resamples": 50, "seed": 1}
A, B, C = CAP.labels[:3]
X, Y, Z = SUBJECTS.labels[:3]


def answers(task, table):
    """Long frame from {labeller: [labels or None or a status]}; None is a missing row."""
    rows = []
    for name, column in table.items():
        for place, labels in enumerate(column):
            if isinstance(labels, str) and labels.startswith("status "):
                rows.append((f"t{place}", name, labels.removeprefix("status "), None))
            elif labels is not None:
                rows.append((f"t{place}", name, "ok", task.dumps(labels)))
    return pd.DataFrame(rows, columns=["id", "labeller", "status", "labels"])


def golden(task, labels):
    return pd.Series({f"t{place}": task.dumps(x) for place, x in enumerate(labels)})


def single(codes):
    """Answers to a single-label task from codes, (texts, labellers); -1 is missing.

    Missing is a row with an error for the first labeller, no row at all for the others.
    """
    table = {}
    for rater, column in enumerate(codes.T):
        missing = None if rater else "status error"
        table[f"m{rater}"] = [missing if k < 0 else CAP.labels[k] for k in column]
    return answers(CAP, table)


def multi(cells):
    """Answers to a multi-label task from presence, (texts, labellers, labels)."""
    table = {}
    for rater in range(cells.shape[1]):
        table[f"m{rater}"] = [
            [SUBJECTS.labels[k] for k in np.flatnonzero(row)] for row in cells[:, rater]
        ]
    return answers(SUBJECTS, table)


def value_of(table, **where):
    """The one row with these entries."""
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    assert len(table) == 1
    return table.iloc[0]


def sklearn_kappa(a, b):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sk.cohen_kappa_score(a, b)


codes = arrays(
    np.int_, st.tuples(st.integers(2, 25), st.integers(2, 5)), elements=st.integers(0, 3)
)
gaps = arrays(
    np.int_, st.tuples(st.integers(2, 25), st.integers(2, 5)), elements=st.integers(-1, 3)
)
cells = arrays(
    np.bool_, st.tuples(st.integers(2, 10), st.integers(2, 4), st.just(len(SUBJECTS.labels)))
)


# --- pairwise kappa -------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(gaps)
def test_kappa_is_that_of_sklearn_on_the_common_texts(values):
    values[0] = 0  # every labeller answers something
    for row in pairwise_kappa(CAP, single(values), **FEW).itertuples():
        a, b = values[:, int(row.a[1:])], values[:, int(row.b[1:])]
        both = (a >= 0) & (b >= 0)
        assert row.n == both.sum()
        assert row.agreement == pytest.approx((a == b)[both].mean(), abs=1e-6)
        wanted = sklearn_kappa(a[both], b[both])
        assert row.kappa == pytest.approx(wanted, abs=1e-6, nan_ok=True)
        assert np.isnan(row.ci_low) == (np.isnan(row.kappa) or row.n < 2)


@settings(max_examples=15, deadline=None)
@given(cells)
def test_kappa_of_label_sets_is_that_of_their_cells(present):
    table = pairwise_kappa(SUBJECTS, multi(present), **FEW)
    for row in table.itertuples():
        a, b = (present[:, int(name[1:])].ravel() for name in (row.a, row.b))
        assert row.kappa == pytest.approx(sklearn_kappa(a, b), abs=1e-6, nan_ok=True)
        assert row.n == len(present)


def test_kappa_by_hand():
    # Agreement 3 of 4; chance (2/4 x 3/4) + (2/4 x 1/4) = 1/2: kappa = (3/4 - 1/2)/(1 - 1/2).
    table = answers(CAP, {"one": [A, A, B, B], "two": [A, A, A, B]})
    row = pairwise_kappa(CAP, table).iloc[0]
    assert (row["agreement"], row["kappa"]) == (0.75, 0.5)
    assert row["ci_low"] < 0.5 < row["ci_high"] <= 1


def test_kappa_interval_matches_a_plain_bootstrap():
    rng = np.random.default_rng(3)
    a = rng.integers(0, 3, 80)
    b = np.where(rng.random(80) < 0.6, a, rng.integers(0, 3, 80))
    row = pairwise_kappa(CAP, single(np.stack([a, b], axis=1)), n_resamples=1000).iloc[0]
    drawn = rng.integers(0, 80, (500, 80))
    low, high = np.quantile([sklearn_kappa(a[i], b[i]) for i in drawn], [0.025, 0.975])
    assert row["ci_low"] == pytest.approx(low, abs=0.04)
    assert row["ci_high"] == pytest.approx(high, abs=0.04)


def test_order_of_rows_decides_nothing_and_names_decide_the_order():
    rng = np.random.default_rng(0)
    table = single(rng.integers(0, 3, (30, 3)))
    names = ["m2", "m0", "m1"]
    first = pairwise_kappa(CAP, table, names, **FEW)
    shuffled = pairwise_kappa(CAP, table.sample(frac=1, random_state=1), names, **FEW)
    pd.testing.assert_frame_equal(first, shuffled)
    assert list(zip(first["a"], first["b"], strict=True)) == [
        ("m2", "m0"), ("m2", "m1"), ("m0", "m1"),
    ]  # fmt: skip


# --- all labellers at once ------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(gaps)
def test_alpha_is_that_of_the_package_and_so_is_the_form_that_is_resampled(values):
    values[0] = 0
    table = overall_agreement(CAP, single(values), **FEW)
    row = value_of(table, statistic="krippendorff_alpha")
    missing = np.where(values < 0, np.nan, values)
    pairable = (values >= 0).sum(axis=1) >= 2
    assert (row["n"], row["n_missing"]) == (pairable.sum(), (values < 0).sum())
    ratings = Ratings(values, np.arange(len(values)), len(values), 4)
    sums = {name: part.sum(axis=0) for name, part in alpha_parts(ratings).items()}
    if len(np.unique(values[pairable][values[pairable] >= 0])) < 2:
        assert np.isnan(row["value"]) and np.isnan(alpha_of(sums)[0])
        return
    wanted = krippendorff.alpha(missing.T, level_of_measurement="nominal")
    assert row["value"] == pytest.approx(wanted, abs=1e-6)
    assert alpha_of(sums)[0] == pytest.approx(wanted, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(codes)
def test_fleiss_kappa_is_that_of_statsmodels(values):
    row = value_of(overall_agreement(CAP, single(values), **FEW), statistic="fleiss_kappa")
    counts, _ = inter_rater.aggregate_raters(values)
    with np.errstate(invalid="ignore"):
        wanted = inter_rater.fleiss_kappa(counts)
    assert row["value"] == pytest.approx(wanted, abs=1e-6, nan_ok=True)


@settings(max_examples=10, deadline=None)
@given(cells)
def test_agreement_on_label_sets_is_that_of_their_cells(present):
    table = overall_agreement(SUBJECTS, multi(present), **FEW)
    units = present.transpose(0, 2, 1).reshape(-1, present.shape[1]).astype(int)
    if len(np.unique(units)) == 2:
        wanted = krippendorff.alpha(units.T, level_of_measurement="nominal")
        row = value_of(table, statistic="krippendorff_alpha")
        assert row["value"] == pytest.approx(wanted, abs=1e-6)
        counts, _ = inter_rater.aggregate_raters(units)
        wanted = inter_rater.fleiss_kappa(counts)
        assert value_of(table, statistic="fleiss_kappa")["value"] == pytest.approx(wanted, abs=1e-6)
    assert set(table["n"]) == {len(present)}


def test_missing_answers_are_counted_and_left_out_where_they_must_be():
    table = answers(
        CAP,
        {
            "one": [A, B, A, "status refused", A],
            "two": [A, B, B, A, None],
            "three": [A, B, A, A, "status off_list"],
        },
    )
    found = overall_agreement(CAP, table, **FEW).set_index("statistic")
    assert found["n"].to_dict() == {
        "krippendorff_alpha": 4,
        "fleiss_kappa": 3,
        "mean_pairwise_agreement": 4,
    }
    assert set(found["n_texts"]) == {5} and set(found["n_missing"]) == {3}
    # Pairs: one-two 2 of 3, one-three 3 of 3, two-three 3 of 4.
    wanted = (2 / 3 + 1 + 3 / 4) / 3
    assert found.loc["mean_pairwise_agreement", "value"] == pytest.approx(wanted, abs=1e-6)


def test_where_nothing_varies_agreement_is_undefined():
    table = answers(CAP, {"one": [A, A, A], "two": [A, A, A]})
    row = pairwise_kappa(CAP, table, **FEW).iloc[0]
    assert row["agreement"] == 1 and row[["kappa", "ci_low", "ci_high"]].isna().all()
    found = overall_agreement(CAP, table, **FEW).set_index("statistic")["value"]
    assert np.isnan(found["krippendorff_alpha"]) and np.isnan(found["fleiss_kappa"])
    assert found["mean_pairwise_agreement"] == 1


def test_labellers_without_common_text_have_no_agreement():
    table = answers(CAP, {"one": [A, B, None, None], "two": [None, None, A, B]})
    row = pairwise_kappa(CAP, table, **FEW).iloc[0]
    assert row["n"] == 0 and row[["agreement", "kappa", "ci_low"]].isna().all()
    found = overall_agreement(CAP, table, **FEW)
    assert set(found["n"]) == {0} and found["value"].isna().all()


def test_a_labeller_alone_and_no_answers_at_all_do_not_crash():
    alone = answers(CAP, {"one": [A, B, C]})
    assert pairwise_kappa(CAP, alone).empty
    found = overall_agreement(CAP, alone, **FEW)
    assert found["value"].isna().all() and set(found["n"]) == {0}
    silent = answers(CAP, {"one": ["status error"] * 2, "two": ["status refused"] * 2})
    assert overall_agreement(CAP, silent, **FEW)["n_missing"].tolist() == [4, 4, 4]
    empty = answers(CAP, {})
    assert pairwise_kappa(CAP, empty).empty
    assert overall_agreement(CAP, empty, **FEW)["n_texts"].tolist() == [0, 0, 0]
    assert set(crowd_shares(CAP, empty, golden(CAP, [A]), **FEW)["n"]) == {0}


def test_alpha_interval_covers_the_population_value():
    rng = np.random.default_rng(5)

    def sample(n):
        truth = rng.integers(0, 3, n)
        noise = rng.integers(0, 3, (n, 3))
        return np.where(rng.random((n, 3)) < 0.6, truth[:, None], noise)

    population = krippendorff.alpha(sample(50_000).T, level_of_measurement="nominal")
    hits = 0
    for seed in range(40):
        table = overall_agreement(CAP, single(sample(120)), n_resamples=300, seed=seed)
        row = value_of(table, statistic="krippendorff_alpha")
        hits += row["ci_low"] <= population <= row["ci_high"]
    assert hits >= 34  # of 40 at 95%: 33 or fewer have probability below 0.001


# --- how right the crowd is -----------------------------------------------------------------------


def test_shares_of_a_crowd_by_hand():
    table = answers(
        CAP,
        {
            "one": [A, A, A, B, "status unparsed"],
            "two": [A, B, A, B, None],
            "three": [A, C, B, B, A],
            "four": [A, A, C, B, B],
        },
    )
    found = crowd_shares(CAP, table, golden(CAP, [A, A, A, A, A]), **FEW).set_index("rule")
    # Texts 1 and 2 and 3: two of four are no majority. Text 5: one of four.
    assert found["value"].to_dict() == {"any": 0.8, "majority": 0.2, "all": 0.2}
    assert set(found["n"]) == {5} and set(found["n_labellers"]) == {4}
    assert (found["ci_low"] <= found["value"]).all() and (found["value"] <= found["ci_high"]).all()


def test_a_share_of_all_or_none_has_an_interval_with_width():
    table = answers(CAP, {"one": [A] * 8, "two": [A] * 8})
    found = crowd_shares(CAP, table, golden(CAP, [A] * 7 + [B]), **FEW).set_index("rule")
    assert found.loc["any", "value"] == 0.875 and found.loc["any", "ci_high"] == 1
    found = crowd_shares(CAP, table, golden(CAP, [A] * 8), **FEW).set_index("rule")
    low, high = proportion_confint(8, 8, method="wilson")
    assert found.loc["all", ["value", "ci_low", "ci_high"]].tolist() == pytest.approx(
        [1, low, high], abs=1e-6
    )
    found = prompt_sensitivity(CAP, table, ["one", "two"], **FEW).iloc[0]
    assert found["changed"] == found["ci_low"] == 0 and 0.3 < found["ci_high"] < 0.35


def test_the_majority_is_of_all_labellers_not_of_those_that_answered():
    table = answers(CAP, {"one": [A], "two": ["status error"], "three": [None]})
    table = pd.concat([table, answers(CAP, {"three": [None, A]})])
    found = crowd_shares(CAP, table, golden(CAP, [A]), **FEW).set_index("rule")["value"]
    assert found.to_dict() == {"any": 1, "majority": 0, "all": 0}


def test_pools_of_label_sets_by_hand():
    table = answers(
        SUBJECTS,
        {"one": [[X, Y], [X], []], "two": [[X], [X], [Z]], "three": [[X, Z], [Y], []]},
    )
    gold = golden(SUBJECTS, [[X, Y], [Y, Z], []])
    found = crowd_shares(SUBJECTS, table, gold, **FEW).set_index(["rule", "statistic"])
    wanted = {
        ("any", "recall"): 3 / 4,  # X, Y of the first text, Y of the second
        ("any", "precision"): 3 / 6,
        ("any", "complete"): 1 / 2,
        ("majority", "recall"): 1 / 4,
        ("majority", "precision"): 1 / 2,
        ("majority", "complete"): 0,
        ("all", "recall"): 1 / 4,
        ("all", "precision"): 1,
        ("all", "complete"): 0,
    }
    assert found["value"].to_dict() == pytest.approx(wanted)
    # A text without gold label cannot be complete or incomplete.
    assert found.loc[("any", "complete"), "n"] == 2 and found.loc[("any", "recall"), "n"] == 3


@settings(max_examples=20, deadline=None)
@given(gaps, st.integers(0, 2**16))
def test_shares_and_scores_agree_with_counting(values, seed):
    values[0] = 0
    truth = np.random.default_rng(seed).integers(0, 4, len(values))
    gold = golden(CAP, [CAP.labels[k] for k in truth])
    right = values == truth[:, None]
    shares = crowd_shares(CAP, single(values), gold, **FEW).set_index("rule")["value"]
    assert shares["any"] == pytest.approx(right.any(axis=1).mean(), abs=1e-6)
    assert shares["majority"] == pytest.approx((right.mean(axis=1) > 0.5).mean(), abs=1e-6)
    assert shares["all"] == pytest.approx(right.all(axis=1).mean(), abs=1e-6)
    scores = labeller_scores(CAP, single(values), gold, **FEW)
    accuracy = scores[scores["metric"] == "accuracy"]
    assert accuracy["value"].tolist() == pytest.approx(right.mean(axis=0), abs=1e-6)
    assert accuracy["n_answered"].tolist() == (values >= 0).sum(axis=0).tolist()
    given_size = accuracy_given_agreement(CAP, single(values), gold, **FEW)
    assert given_size["n"].sum() == len(values)
    assert given_size["share"].sum() == pytest.approx(1, abs=1e-5)


def test_accuracy_by_number_of_agreeing_labellers_by_hand():
    table = answers(
        CAP,
        {
            "one": [A, A, A, A, A],
            "two": [A, A, A, B, B],
            "three": [A, A, B, C, B],
            "four": [A, B, C, None, A],
        },
    )
    gold = golden(CAP, [A, B, A, A, B])
    found = accuracy_given_agreement(CAP, table, gold).set_index("agreeing")
    assert found["n"].to_dict() == {1: 1, 2: 2, 3: 1, 4: 1}
    # One each: the right label is one of three. Two: the third text is right, the fifth a tie.
    assert found["accuracy"].to_dict() == pytest.approx({1: 1 / 3, 2: 0.75, 3: 0, 4: 1}, abs=1e-6)
    assert found["n_tied"].to_dict() == {1: 1, 2: 1, 3: 0, 4: 0}
    low, high = proportion_confint(1.5, 2, method="wilson")
    assert found.loc[2, "ci_low"] == pytest.approx(low, abs=1e-6)
    assert found.loc[2, "ci_high"] == pytest.approx(high, abs=1e-6)


def test_texts_that_nobody_answered_are_shown_but_have_no_accuracy():
    table = answers(CAP, {"one": [A, "status error"], "two": [A, None]})
    found = accuracy_given_agreement(CAP, table, golden(CAP, [A, A])).set_index("agreeing")
    assert found.index.tolist() == [0, 1, 2]
    assert found.loc[0, "n"] == 1 and np.isnan(found.loc[0, "accuracy"])
    assert np.isnan(found.loc[1, "ci_low"]) and found.loc[1, "n"] == 0
    assert found.loc[2, "accuracy"] == 1 and found.loc[2, "ci_low"] < 1


def test_precision_by_number_of_proposers_by_hand():
    table = answers(SUBJECTS, {"one": [[X, Y], [Z]], "two": [[X], [Z]], "three": [[X], [Y]]})
    found = accuracy_given_agreement(SUBJECTS, table, golden(SUBJECTS, [[X], [Y]]), **FEW)
    assert set(found["unit"]) == {"proposals"}
    found = found.set_index("agreeing")
    assert found["n"].to_dict() == {1: 2, 2: 1, 3: 1}
    assert found["accuracy"].to_dict() == {1: 0.5, 2: 0, 3: 1}
    assert found["share"].to_dict() == {1: 0.5, 2: 0.25, 3: 0.25}


# --- one by one -----------------------------------------------------------------------------------


def test_scores_are_those_of_the_metrics_of_models():
    rng = np.random.default_rng(2)
    labels = [
        {POSTS.labels[k]: POSTS.levels[k % 3] for k in rng.choice(46, 3, replace=False)}
        for _ in range(40)
    ]
    guesses = [dict(list(x.items())[: rng.integers(0, 4)]) for x in labels]
    guesses[0] = "status truncated"
    table = labeller_scores(
        POSTS, answers(POSTS, {"one": guesses}), golden(POSTS, labels), n_resamples=200, seed=4
    ).set_index("metric")
    order = sorted(range(40), key=lambda k: f"t{k}")
    answered = np.array([guesses[k] != "status truncated" for k in order])
    guess = POSTS.encode(
        [guesses[k] if ok else None for k, ok in zip(order, answered, strict=True)]
    )
    truth = POSTS.encode([labels[k] for k in order])
    overall, _ = evaluate(count_texts("multi_intensity", truth, guess, answered), 200, 4)
    for metric in ("micro_f1", "jaccard", "intensity_accuracy"):
        wanted = [overall[metric].value, overall[metric].ci_low, overall[metric].ci_high]
        assert table.loc[metric, ["value", "ci_low", "ci_high"]].tolist() == pytest.approx(
            wanted, abs=1e-6
        )
    for metric, function in (("precision", sk.precision_score), ("recall", sk.recall_score)):
        wanted = function(truth > 0, guess > 0, average="micro")
        assert table.loc[f"micro_{metric}", "value"] == pytest.approx(wanted, abs=1e-6)
    assert set(table["n"]) == {40} and set(table["n_answered"]) == {39}


def test_only_texts_with_gold_labels_count():
    table = answers(CAP, {"one": [A, B, C], "two": [B, B, B]})
    frame = pd.DataFrame({"id": ["t1", "elsewhere"], "labels": [json.dumps(B), json.dumps(A)]})
    scores = labeller_scores(CAP, table, frame, **FEW)
    assert set(scores["n"]) == {1} and set(scores["value"]) == {1.0}
    # One text says nothing about the spread between texts.
    assert scores[["ci_low", "ci_high"]].isna().all(axis=None)
    nowhere = labeller_scores(CAP, table, frame.iloc[1:], **FEW)
    assert set(nowhere["n"]) == {0} and nowhere["value"].isna().all()
    assert neighbour_confusion(CAP, table, frame.iloc[1:], **FEW).empty
    given_size = accuracy_given_agreement(CAP, table, frame.iloc[1:], **FEW)
    assert set(given_size["n"]) == {0} and given_size["share"].isna().all()


def test_confusions_by_hand():
    table = answers(
        CAP, {"one": [B, B, C, A, A], "two": [B, A, A, "status refused", B], "three": [A] * 5}
    )
    found = neighbour_confusion(CAP, table, golden(CAP, [A, A, A, A, B]), top=3, **FEW)
    pairs = [tuple(row) for row in found[["gold", "predicted", "n", "n_gold"]].to_numpy()]
    # Eleven usable answers to the four texts of A, three to the one of B.
    assert pairs == [(A, B, 3, 11), (B, A, 2, 3), (A, C, 1, 11)]
    assert found["share"].tolist() == pytest.approx([3 / 11, 2 / 3, 1 / 11], abs=1e-6)
    assert found["gold_name"].tolist()[0] == CAP.label_names[A]


def test_confusions_of_label_sets_pair_what_is_missed_with_what_is_wrong():
    table = answers(SUBJECTS, {"one": [[X, Z]], "two": [[Z]], "three": [[X]]})
    found = neighbour_confusion(SUBJECTS, table, golden(SUBJECTS, [[X, Y]]), **FEW)
    pairs = {(row.gold, row.predicted): row.n for row in found.itertuples()}
    assert pairs == {(Y, Z): 2, (X, Z): 1}


@settings(max_examples=15, deadline=None)
@given(codes)
def test_confusions_are_those_of_sklearn(values):
    truth = values[:, 0]
    table = neighbour_confusion(
        CAP, single(values[:, 1:]), golden(CAP, [CAP.labels[k] for k in truth]), top=99, **FEW
    )
    repeated = np.repeat(truth, values.shape[1] - 1)
    wanted = sk.confusion_matrix(repeated, values[:, 1:].ravel(), labels=range(4))
    np.fill_diagonal(wanted, 0)
    found = {(row.gold, row.predicted): row.n for row in table.itertuples()}
    assert found == {
        (CAP.labels[i], CAP.labels[j]): wanted[i, j] for i, j in zip(*wanted.nonzero(), strict=True)
    }


# --- prompts --------------------------------------------------------------------------------------


def test_labellers_that_differ_in_their_prompt_alone_form_a_group():
    crowd = {
        "v1": Labeller(kind="encoder", method="v1"),
        "v2": Labeller(kind="encoder", method="v2"),
        "subject": Labeller(kind="encoder", method="v1", view="subject"),
        "warm": Labeller(kind="encoder", method="v1", temperature=1.0),
        "local": Labeller(kind="local", method="v1"),
        "other": Labeller(kind="local", method="v4"),
    }
    assert prompt_groups(crowd) == [["v1", "v2", "subject"], ["local", "other"]]


def test_prompt_sensitivity_by_hand():
    one, two = [A, A, B, B, C, None], [A, B, B, C, C, A]
    table = answers(CAP, {"v1": one, "v2": two, "v3": two})
    found = prompt_sensitivity(CAP, table, ["v1", "v2", "v3"], golden(CAP, [A] * 6), **FEW)
    row = found.iloc[0]
    assert (row["a"], row["b"], row["n"], row["changed"]) == ("v1", "v2", 5, 0.4)
    assert (row["only_a"], row["only_b"], row["n_gold"]) == (1, 1, 6)
    assert row["accuracy_a"] == pytest.approx(2 / 6, abs=1e-6) == row["accuracy_b"]
    assert found.iloc[2]["changed"] == 0 and found.iloc[2]["p_value"] == 1


def test_no_answer_is_wrong_even_where_no_label_is_right():
    table = answers(SUBJECTS, {"v1": [[], [X]], "v2": ["status error", [X]]})
    row = prompt_sensitivity(SUBJECTS, table, ["v1", "v2"], golden(SUBJECTS, [[], [X]]), **FEW)
    assert row.loc[0, ["accuracy_a", "accuracy_b", "only_a", "n"]].tolist() == [1, 0.5, 1, 1]


def test_p_values_are_exact_and_adjusted_over_the_pairs():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    wrong = rng.random((300, 3)) < [0.1, 0.3, 0.6]
    values = np.where(wrong, 3, truth[:, None])
    found = prompt_sensitivity(
        CAP, single(values), ["m0", "m1", "m2"], golden(CAP, [CAP.labels[k] for k in truth]), **FEW
    )
    pairs = [(0, 1), (0, 2), (1, 2)]
    exact = [mcnemar_exact(~wrong[:, i], ~wrong[:, j]).p_value for i, j in pairs]
    assert found["p_value"].tolist() == pytest.approx(exact, rel=1e-3)
    assert (found["p_value"] > 0).all()
    order = np.argsort(exact)
    steps = np.maximum.accumulate(np.array(exact)[order] * [3, 2, 1])
    assert found["p_holm"].to_numpy()[order] == pytest.approx(np.minimum(steps, 1), rel=1e-3)


def test_without_gold_there_is_no_test():
    table = answers(POSTS, {"v1": [{"happiness": "low"}] * 2, "v2": [{"happiness": "high"}, {}]})
    found = prompt_sensitivity(POSTS, table, ["v1", "v2"], **FEW)
    assert found.loc[0, "changed"] == 1  # another level is another label
    assert found.loc[0, ["p_value", "p_holm", "accuracy_a"]].isna().all()
    with pytest.raises(MetricsError, match="two or more labellers, got 1"):
        prompt_sensitivity(POSTS, table, ["v1"])


# --- human coders ---------------------------------------------------------------------------------


def decisions(rows):
    return pd.DataFrame(rows, columns=["id", "label", "level", "coder", "accepted"])


@settings(max_examples=20, deadline=None)
@given(
    arrays(np.int_, st.tuples(st.integers(4, 30), st.just(3)), elements=st.integers(-1, 1)),
    st.integers(1, 6),
)
def test_coder_agreement_is_that_of_the_libraries(values, per_text):
    rows = [
        (f"t{item // per_text}", f"l{item % per_text}", "", f"c{coder}", bool(value))
        for (item, coder), value in np.ndenumerate(values)
        if value >= 0
    ]
    found = coder_agreement(decisions(rows), **FEW)
    coders = sorted({row[3] for row in rows})
    shared = values[(values >= 0).sum(axis=1) >= 2]
    overall = found[found["a"] == "all"].set_index("statistic")
    assert overall.loc["agreement", "n"] == len(shared)
    if len(np.unique(shared[shared >= 0])) == 2:
        missing = np.where(shared < 0, np.nan, shared).T
        wanted = krippendorff.alpha(missing, level_of_measurement="nominal")
        assert overall.loc["alpha", "value"] == pytest.approx(wanted, abs=1e-6)
    for i, first in enumerate(coders):
        for second in coders[i + 1 :]:
            a, b = (values[:, int(name[1:])] for name in (first, second))
            both = (a >= 0) & (b >= 0)
            row = value_of(found, a=first, b=second, statistic="kappa")
            assert row["n"] == both.sum()
            wanted = sklearn_kappa(a[both], b[both]) if both.any() else np.nan
            assert row["value"] == pytest.approx(wanted, abs=1e-6, nan_ok=True)


def test_intervals_of_coders_resample_texts_not_items():
    # Ten texts of twenty items each; coders agree on all items of a text or on none.
    rng = np.random.default_rng(0)
    rows = []
    for text in range(10):
        for item in range(20):
            first = bool(rng.integers(0, 2))
            rows.append((f"t{text}", f"l{item}", "", "c1", first))
            rows.append((f"t{text}", f"l{item}", "", "c2", first if text < 7 else not first))
    row = value_of(
        coder_agreement(decisions(rows), n_resamples=2000), a="c1", b="c2", statistic="agreement"
    )
    assert (row["value"], row["n"], row["n_texts"]) == (0.7, 200, 10)
    # Ten texts with p = 0.7: 0.4 to 1; two hundred independent items would give 0.63 to 0.76.
    assert row["ci_low"] == pytest.approx(0.4, abs=0.05)
    assert row["ci_high"] == pytest.approx(1.0, abs=0.05)


def test_coders_without_common_items_have_no_agreement():
    rows = [("t1", "x", "", "c1", True), ("t2", "x", "", "c2", True)]
    found = coder_agreement(decisions(rows), **FEW)
    assert set(found["n"]) == {0} and found["value"].isna().all()
    assert coder_agreement(decisions([]), **FEW)["n"].tolist() == [0, 0]
    # Another level is another item. One text cannot be resampled: Wilson's interval of 1 in 1.
    rows = [("t1", "x", k, c, True) for k, c in (("low", "c1"), ("high", "c2"), ("low", "c3"))]
    found = coder_agreement(decisions(rows), **FEW)
    row = value_of(found, a="c1", b="c3", statistic="agreement")
    assert (row["value"], row["n"]) == (1, 1)
    assert row["ci_low"] == pytest.approx(0.206549, abs=1e-6) and row["ci_high"] == 1
    assert value_of(found, a="c1", b="c2", statistic="kappa")["n"] == 0


def test_decisions_that_cannot_be_compared_are_named():
    rows = [("t1", "x", "", "c1", True), ("t1", "x", "", "c1", False)]
    with pytest.raises(MetricsError, match="c1 judges 'x' of text 't1' twice"):
        coder_agreement(decisions(rows))
    with pytest.raises(MetricsError, match="c1 on 'x' of text 't1' is 'Y'"):
        coder_agreement(decisions([("t1", "x", "", "c1", "Y")]))
    with pytest.raises(MetricsError, match=r"column\(s\) level missing"):
        coder_agreement(decisions(rows).drop(columns="level"))


def test_agreement_of_the_published_codings(upstream_folder):
    path = upstream_folder / "flourishing" / "all-llms-codings.csv"
    codings = pd.read_csv(path, keep_default_na=False)
    codings = codings.drop_duplicates(["id", "dimension", "value", "llm", "coder"])
    frame = codings.rename(columns={"dimension": "label"}).assign(
        level=codings["value"] + " by " + codings["llm"], accepted=codings["accepted"] == "Y"
    )
    row = value_of(coder_agreement(frame, n_resamples=200), a="all", statistic="agreement")
    assert row["n"] == 1070
    assert row["value"] == pytest.approx(0.705, abs=5e-4)
    assert row["ci_low"] < 0.68 and row["ci_high"] > 0.72


# --- small parts, and what is refused -------------------------------------------------------------


@given(st.integers(0, 60), st.integers(0, 60))
def test_wilson_interval_is_that_of_statsmodels(a, b):
    hits, n = min(a, b), max(a, b)
    low, high = wilson_interval(hits, n)
    if n == 0:
        assert np.isnan(low) and np.isnan(high)
        return
    wanted = proportion_confint(hits, n, method="wilson")
    assert (float(low), float(high)) == pytest.approx(wanted)


def test_wilson_interval_of_many_shares_and_by_hand():
    low, high = wilson_interval([0, 5, 3], [10, 10, 0])
    z2 = 1.959964**2
    centre, half = 0.5, (z2 * (10 * 0.25 + z2 / 4)) ** 0.5 / (10 + z2)
    assert (low[1], high[1]) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert low[0] == pytest.approx(0, abs=1e-12) and high[0] == pytest.approx(z2 / (10 + z2))
    assert np.isnan([low[2], high[2]]).all()


def test_answers_that_cannot_be_read_are_named():
    good = answers(CAP, {"one": [A, B], "two": [A, A]})
    with pytest.raises(MetricsError, match="one answers 't0' twice"):
        pairwise_kappa(CAP, pd.concat([good, good.iloc[:1]]))
    with pytest.raises(MetricsError, match="nothing by three; there is one, two"):
        pairwise_kappa(CAP, good, ["one", "three"])
    with pytest.raises(MetricsError, match=r"column\(s\) status missing"):
        overall_agreement(CAP, good.drop(columns="status"))
    for cell in ('"999"', "null", "no json", None):
        bad = good.copy()
        bad.loc[1, "labels"] = cell
        with pytest.raises(MetricsError, match=r"one on 't1': .* is no answer of task cap"):
            pairwise_kappa(CAP, bad)
    with pytest.raises(MetricsError, match="gold labels of 't0'"):
        crowd_shares(CAP, good, pd.Series({"t0": '"no label"'}))
    with pytest.raises(MetricsError, match="id 't0' occurs twice"):
        crowd_shares(CAP, good, pd.Series(['"1"', '"1"'], index=["t0", "t0"]))
    with pytest.raises(MetricsError, match="numeric"):
        overall_agreement(load_task("conflict"), good)


def test_the_same_seed_gives_the_same_table():
    table = single(np.random.default_rng(1).integers(0, 3, (60, 3)))
    first = overall_agreement(CAP, table, n_resamples=100, seed=7)
    pd.testing.assert_frame_equal(first, overall_agreement(CAP, table, n_resamples=100, seed=7))
    other = overall_agreement(CAP, table, n_resamples=100, seed=8)
    assert other["value"].equals(first["value"]) and not other["ci_low"].equals(first["ci_low"])
