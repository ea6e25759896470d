"""The human coding behind the true labels: acceptance, agreement, and what noise leaves."""

import numpy as np
import pandas as pd
import pytest
from coding_example import LABELS, as_posts, decisions, planted

from helpers.audit.coding.acceptance import acceptance, coder_strictness
from helpers.audit.coding.agreement import agreement_table
from helpers.audit.coding.ceiling import beside_ceiling, ceiling_table, scores_by_posts
from helpers.audit.coding.coder_as_model import best_sets, coder_as_model
from helpers.audit.coding.identification import identification
from helpers.audit.coding.latent import latent_table
from helpers.audit.coding.memorisation import named_by_agreement
from helpers.audit.coding.noise import (
    best_possible,
    decision_correlation,
    error_rate,
    graded_right,
    noise_bounds,
    pair_bound,
    published_disagreement,
    symmetric_right,
)
from helpers.audit.coding.overlap import (
    agreement_by_definition,
    coder_pairs,
    item_decisions,
    overlap_selection,
    self_consistency,
)
from helpers.audit.coding.right_labels import NOISE
from helpers.metrics import coder_agreement
from helpers.published.archive import open_archive, posts
from helpers.published.panel import PublishedError
from helpers.tasks import load_task


def hand_made():
    """Six items of three posts, judged by a and b; one is judged by c too, two by one alone."""
    wanted = [
        ("1", "happiness", "GPT4", "a1 b1"),
        ("1", "anxiety", "GPT4", "a1 b0"),
        ("1", "hope", "LLAMA2", "a0 b0"),
        ("2", "happiness", "LLAMA2", "a1 b1 c1"),
        ("2", "anxiety", "LLAMA2", "a0 b1"),
        ("3", "hope", "GPT4", "a1"),
        ("3", "anxiety", "LLAMA2", "b0"),
    ]
    return decisions(
        [
            (post, label, "high", who[0], who[1] == "1", llm)
            for post, label, llm, judged in wanted
            for who in judged.split()
        ]
    )


@pytest.fixture(scope="module")
def noisy():
    return planted(500, 0.15, seed=11, double=0.5)


@pytest.fixture(scope="module")
def train(upstream_folder):
    return open_archive(load_task("flourishing"), upstream_folder)


@pytest.fixture(scope="module")
def codings(train):
    if "train" not in train.codings:
        pytest.skip("the archive's codings of the training posts are not here")
    return train.codings["train"]


def one(table, column="value", **keys):
    for name, wanted in keys.items():
        table = table[table[name] == wanted]
    assert len(table) == 1, f"{len(table)} rows of {keys}"
    return table[column].iloc[0]


# --- acceptance ----------------------------------------------------------------------------------


def test_acceptance_counts_every_group():
    table = acceptance(hand_made(), n_resamples=200)
    assert table.iloc[0][["n", "n_posts", "accepted"]].tolist() == [13, 3, 8]
    by_coder = {"grouping": "coder", "coder": "a"}
    assert one(table, "n", **by_coder) == 6
    assert one(table, "share", **by_coder) == pytest.approx(4 / 6)
    assert one(table, "accepted", grouping="dimension x llm", dimension="anxiety", llm="GPT4") == 1
    for _, rows in table.groupby("grouping"):
        assert (rows["n"].sum(), rows["accepted"].sum()) == (13, 8)
    assert (table["ci_low"] <= table["share"]).all()
    assert (table["share"] <= table["ci_high"]).all()
    never = table[(table["grouping"] == "dimension x llm") & (table["share"] == 0)]
    assert len(never)
    assert (never["ci_high"] > 0.5).all()  # Wilson over one or two posts, not a point


def test_acceptance_without_models():
    table = acceptance(hand_made().drop(columns="llm"), n_resamples=50)
    assert set(table["llm"]) == {"all"}
    assert set(table["grouping"]) == {"all", "coder", "dimension"}
    with pytest.raises(PublishedError, match="no decisions"):
        acceptance(hand_made().iloc[:0])


def test_the_interval_holds_dependence_within_posts():
    """Copying every decision of a post must not make anything look more certain."""
    rows, _ = planted(60, 0.1, seed=5)
    once = acceptance(rows, n_resamples=500).iloc[0]
    thrice = acceptance(pd.concat([rows] * 3), n_resamples=500).iloc[0]
    assert thrice["n"] == 3 * once["n"]
    assert thrice["ci_high"] - thrice["ci_low"] == pytest.approx(once["ci_high"] - once["ci_low"])


def test_strictness_is_freed_of_the_mix_of_proposals():
    """Coder b accepts like a, and saw the better model more often."""
    rng = np.random.default_rng(2)
    rows = []
    for post in range(600):
        coder = "ab"[post % 2]
        llm = "GPT4" if rng.random() < (0.2 if coder == "a" else 0.8) else "LLAMA2"
        for label in LABELS[:4]:
            yes = rng.random() < (0.8 if llm == "GPT4" else 0.3)
            rows.append((str(post), label, "low", coder, bool(yes), llm))
    table = coder_strictness(decisions(rows))
    crude = table[table["adjusted_for"] == "nothing"]
    fair = table[table["adjusted_for"] == "llm"]
    assert crude["p_equal"].iloc[0] < 1e-6
    assert fair["p_equal"].iloc[0] > 0.05
    gap = fair.set_index("coder")["share"]
    assert abs(gap["a"] - gap["b"]) < 0.06
    assert crude.set_index("coder")["share"]["b"] - crude.set_index("coder")["share"]["a"] > 0.2
    assert table.groupby("adjusted_for")["coder"].first().eq("all").all()


def test_crude_strictness_is_the_share_itself():
    rows, _ = planted(80, 0.1, seed=7)
    table = coder_strictness(rows)
    crude = table[table["adjusted_for"] == "nothing"].set_index("coder")["share"]
    for coder, part in rows.groupby("coder"):
        assert crude[coder] == pytest.approx(part["accepted"].mean())


# --- agreement -----------------------------------------------------------------------------------


def test_agreement_by_hand():
    table = agreement_table(hand_made(), min_items=1, n_resamples=100)
    overall = {"group": "all"}
    assert one(table, "n", statistic="agreement", **overall) == 5
    assert one(table, statistic="agreement", **overall) == pytest.approx(3 / 5)
    # Pooled decisions: 7 accepted of 11, so D_e = 2*7*4/(11*10); D_o: two items disagree.
    expected = 1 - (4 / 11) / (2 * 7 * 4 / 110)
    assert one(table, statistic="alpha", **overall) == pytest.approx(expected)
    # Items: accepted shares 1, 1/2, 0, 1, 1/2, so 3/5; chance 9/25 + 4/25.
    assert one(table, statistic="accepted", **overall) == pytest.approx(3 / 5)
    assert one(table, statistic="chance", **overall) == pytest.approx(13 / 25)
    assert one(table, statistic="pabak", **overall) == pytest.approx(1 / 5)
    assert one(table, statistic="ac1", **overall) == pytest.approx((3 / 5 - 12 / 25) / (13 / 25))
    assert one(table, "n", statistic="kappa", name="a, c") == 1
    assert np.isnan(one(table, statistic="kappa", name="a, c"))
    assert one(table, statistic="agreement", name="a, b") == pytest.approx(3 / 5)


def test_agreement_is_that_of_the_metrics(noisy):
    rows, _ = noisy
    items = item_decisions(rows)
    theirs = coder_agreement(
        items.assign(label=items["dimension"], level=items["value"] + items["llm"]),
        n_resamples=300, seed=4,
    )  # fmt: skip
    ours = agreement_table(rows, n_resamples=300, seed=4)
    for statistic, name, a, b in (
        ("agreement", "all", "all", "all"), ("alpha", "all", "all", "all"),
        ("agreement", "a, b", "a", "b"), ("kappa", "a, b", "a", "b"),
    ):  # fmt: skip
        mine = ours[(ours["statistic"] == statistic) & (ours["name"] == name)]
        other = theirs[(theirs["statistic"] == statistic) & (theirs["a"] == a) & (theirs["b"] == b)]
        for column in ("value", "ci_low", "ci_high", "n"):
            assert mine[column].iloc[0] == pytest.approx(other[column].iloc[0], abs=1e-5)


def test_kappa_paradox():
    """The same agreement, 0.9: kappa falls with prevalence, AC1 does not."""
    rows = []
    for post in range(100):
        label = "happiness"
        a, b = (True, True) if post < 90 else ((True, False) if post < 95 else (False, True))
        rows += [
            (str(post), label, "low", "a", a, "GPT4"),
            (str(post), label, "low", "b", b, "GPT4"),
        ]
    table = agreement_table(decisions(rows), n_resamples=50)
    assert one(table, statistic="agreement", group="pair") == pytest.approx(0.9)
    assert one(table, statistic="kappa", group="pair") < 0
    assert one(table, statistic="ac1", group="pair") > 0.85


def test_repeated_decisions_are_resolved_and_counted():
    rows = hand_made()
    again = rows.iloc[[0]].assign(accepted=False)  # coder a changes its mind on an item
    both = pd.concat([rows, again, rows.iloc[[1]]])
    table = agreement_by_definition(both, n_resamples=50)
    keys = {"definition": "proposal"}
    assert one(table, "n_repeated", repeated="first", **keys) == 2
    assert one(table, "n_contradicted", repeated="first", **keys) == 1
    assert one(table, "agreement", repeated="first", **keys) == pytest.approx(3 / 5)
    assert one(table, "agreement", repeated="last", **keys) == pytest.approx(2 / 5)
    assert one(table, "agreement", repeated="accepted once", **keys) == pytest.approx(3 / 5)
    assert one(table, "n", repeated="consistent", **keys) == 4
    own = self_consistency(both, n_resamples=50)
    assert one(own, "consistent", coder="all") == pytest.approx(1 / 2)
    assert one(own, "n", coder="c") == 0
    assert np.isnan(one(own, "consistent", coder="c"))


def test_a_label_is_one_item_whoever_proposed_it():
    rows = decisions(
        [
            ("1", "hope", "low", "a", True, "GPT4"),
            ("1", "hope", "high", "b", False, "LLAMA2"),
            ("1", "hope", "low", "b", True, "LLAMA2"),
        ]
    )
    found = agreement_by_definition(rows, n_resamples=20).groupby("definition")["n"].max()
    assert found.to_dict() == {"label": 1, "label and level": 1, "proposal": 0}


def test_pairs_and_selection():
    rows, _ = planted(
        300, 0, seed=3, double=0.5,
        sensitivity={"a": 0.9, "b": 0.6}, specificity={"a": 0.9, "b": 0.95},
    )  # fmt: skip
    pair = coder_pairs(rows, n_resamples=300).iloc[0]
    assert (pair["a"], pair["b"], pair["llm"]) == ("a", "b", "all")
    assert pair["ci_low"] > 0  # a accepts more of the very same proposals
    assert pair["difference"] == pytest.approx(pair["share_a"] - pair["share_b"])
    table = overlap_selection(rows, n_resamples=300)
    first = table.iloc[0]
    assert first["n_overlap"] + first["n_single"] == len(rows)
    assert (first["of_overlap"], first["of_single"]) == (1, 1)
    assert first["ci_low"] < 0 < first["ci_high"]  # drawn at random
    lone = table[(table["coder"] == "a") & (table["llm"] == "all")].iloc[0]
    assert 0 < lone["of_overlap"] < 1


# --- noise ---------------------------------------------------------------------------------------


def test_error_rates_by_hand():
    assert error_rate(0.82) == pytest.approx(0.1)  # 0.9^2 + 0.1^2
    assert error_rate([1.0, 0.5]) == pytest.approx([0, 0.5])
    assert np.isnan(error_rate(0.4))
    low, high = best_possible(0.82)
    assert (low, high) == (pytest.approx(0.82), pytest.approx(0.9))
    assert best_possible(0.6, majority=0.7)[0] == pytest.approx(0.7)
    assert pair_bound(0.82) == pytest.approx(0.91)


def test_the_bounds_hold_for_any_mix_of_items():
    rng = np.random.default_rng(0)
    for shape in (0.2, 1, 5):
        p = rng.beta(shape, 2 * shape, size=100_000)
        agreement = (p**2 + (1 - p) ** 2).mean()
        low, high = best_possible(agreement, max(p.mean(), 1 - p.mean()))
        assert low <= np.maximum(p, 1 - p).mean() <= high


def test_probability_of_being_right_by_bayes_and_by_simulation():
    # e = 0.1, a third right: 0.3 + 0.0667 accepted of which 0.3 right.
    q = (1 / 3) * 0.9 + (2 / 3) * 0.1
    found = symmetric_right(0.82, q)
    assert found[1] == pytest.approx(0.3 / q)
    assert found[0] == pytest.approx((1 / 3) * 0.1 / (1 - q))
    assert symmetric_right(0.82, 0.05)[1] == 0  # fewer accepted than errors alone would be
    rng = np.random.default_rng(1)
    p = rng.beta(0.8, 1.2, size=400_000)
    one_coder, two = rng.random((2, len(p))) < p
    correlation = decision_correlation((one_coder == two).mean(), one_coder.mean())
    assert correlation == pytest.approx(1 / 3, abs=0.01)
    for level in (0.4, 0.5):
        found = graded_right(correlation, one_coder.mean(), level)
        assert found[1] == pytest.approx((p[one_coder] > level).mean(), abs=0.01)
        assert found[0] == pytest.approx((p[~one_coder] > level).mean(), abs=0.01)


def test_planted_errors_come_out_again(noisy):
    rows, _ = noisy
    table = noise_bounds(rows, n_resamples=500)
    error = table[(table["items"] == "all") & (table["quantity"] == "symmetric error")].iloc[0]
    assert error["ci_low"] < 0.15 < error["ci_high"]
    assert error["ci_high"] - error["ci_low"] < 0.06
    claimed = published_disagreement(agreement_by_definition(rows, n_resamples=200))
    assert (claimed["disagreement"] - 2 * 0.15 * 0.85).abs().max() < 0.03
    assert set(claimed["verdict"]) == {"above"}
    assert list(error[["n", "n_posts"]]) == [len(rows) - 500 * len(LABELS), error["n_posts"]]


def test_the_interval_of_the_error_covers():
    hits, n_runs = 0, 50
    for run in range(n_runs):
        rows, _ = planted(60, 0.15, seed=100 + run)
        table = noise_bounds(rows, n_resamples=200, seed=run)
        row = table[(table["items"] == "all") & (table["quantity"] == "symmetric error")].iloc[0]
        hits += row["ci_low"] <= 0.15 <= row["ci_high"]
    assert hits >= 0.85 * n_runs  # 95% nominal: fewer than 43 of 50 has probability 0.004


def test_no_agreement_beyond_chance_has_no_error_rate():
    rows = [("1", label, "low", "a", True, "GPT4") for label in LABELS]
    rows += [("1", label, "low", "b", False, "GPT4") for label in LABELS]
    table = noise_bounds(decisions(rows), n_resamples=20)
    assert np.isnan(one(table, items="all", quantity="symmetric error"))
    single = noise_bounds(decisions(rows[:8]), n_resamples=20)
    assert one(single, "n", items="all", quantity="agreement") == 0
    assert single["value"].isna().all()
    verdict = published_disagreement(agreement_by_definition(decisions(rows[:8]), 20))["verdict"]
    assert set(verdict) == {"unknown"}


# --- latent classes ------------------------------------------------------------------------------

SE = {"a": 0.9, "b": 0.7, "c": 0.85}
SP = {"a": 0.8, "b": 0.95, "c": 0.7}


@pytest.fixture(scope="module")
def unequal():
    return planted(900, 0, seed=21, sensitivity=SE, specificity=SP, coders="abc")


def test_latent_classes_recover_planted_coders(unequal):
    table = latent_table(unequal[0], n_resamples=200)
    for parameter, planted_values in (("sensitivity", SE), ("specificity", SP)):
        for coder, true in planted_values.items():
            row = table[(table["parameter"] == parameter) & (table["name"] == coder)].iloc[0]
            assert row["value"] == pytest.approx(true, abs=0.06)
            # A wider net than 95%: six intervals at once.
            width = row["ci_high"] - row["ci_low"]
            assert row["ci_low"] - 0.25 * width < true < row["ci_high"] + 0.25 * width
    assert one(table, parameter="prevalence", name="GPT4") == pytest.approx(0.7, abs=0.06)


def test_identification_is_reported(unequal):
    table = identification(unequal[0], n_starts=5, n_simulated=60).set_index("quantity")["value"]
    assert table["rank"] == table["parameters"] == 8
    assert table["starts that reach it"] == 5
    assert table["spread over them"] < 0.01
    assert table["deviance p"] > 0.01
    # Two coders and one model: three shares for five parameters.
    rows, _ = planted(200, 0.1, seed=2)
    short = identification(rows[rows["llm"] == "GPT4"], n_starts=5, n_simulated=10)
    short = short.set_index("quantity")["value"]
    assert (short["parameters"], short["free shares"]) == (5, 3)
    assert short["rank"] == 3
    with pytest.raises(PublishedError, match="no proposal was judged by two coders"):
        latent_table(rows[rows["coder"] == "a"])


# --- ceiling -------------------------------------------------------------------------------------


def true_scores(rows, right):
    """Score the planted right answers against the noisy labels, by hand."""
    accepted = rows[rows["accepted"]].groupby("id")["dimension"].agg(set)
    found = []
    for post, labels in accepted.items():
        truth = np.isin(LABELS, list(labels))
        both, either = (truth & right[post]).sum(), (truth | right[post]).sum()
        found.append(
            (both / either, (truth != right[post]).mean(), both, truth.sum() + right[post].sum())
        )
    jaccard, hamming, both, named = np.array(found).T
    return {
        "jaccard": jaccard.mean(),
        "hamming_loss": hamming.mean(),
        "micro_f1": 2 * both.sum() / named.sum(),
    }


def test_the_ceiling_is_what_the_planted_answers_score():
    rows, right = planted(900, 0.15, seed=31, double=0.3)
    # Single truth, as the ceiling assumes: the second coder's posts only tell the error rate.
    table = ceiling_table(rows, len(LABELS), n_resamples=150, n_draws=20)
    expected = true_scores(rows, right)
    for noise in ("symmetric", "latent classes"):
        part = table[(table["noise"] == noise) & (table["posts"] == "all")].set_index("metric")
        for metric, value in expected.items():
            assert part.loc[metric, "ci_low"] - 0.01 < value < part.loc[metric, "ci_high"] + 0.01
            assert part.loc[metric, "value"] == pytest.approx(value, abs=0.06)
    nothing = table[(table["noise"] == "nothing") & (table["posts"] == "all")].set_index("metric")
    assert nothing.loc["jaccard", "value"] == 0
    shares = 1 - nothing.loc[["hamming_loss"], "value"].iloc[0]
    assert nothing.loc["dimension_accuracy", "value"] == pytest.approx(shares)
    sizes = table[table["noise"] == "nothing"].drop_duplicates("posts").set_index("posts")["n"]
    assert sizes["all"] == sizes["GPT4"] + sizes["LLAMA2"]


def test_without_noise_the_ceiling_is_perfect():
    rows, _ = planted(120, 0, seed=8)
    table = ceiling_table(rows, len(LABELS), n_resamples=20, n_draws=3)
    perfect = table[table["noise"].isin(["symmetric", "latent classes"])]
    assert perfect.loc[perfect["metric"] == "jaccard", "value"].min() > 0.999
    with pytest.raises(PublishedError, match="no proposal was judged by two coders"):
        ceiling_table(rows[rows["coder"] == "a"], len(LABELS))


def test_the_ceiling_needs_no_models_and_is_reproducible(noisy):
    rows = noisy[0].drop(columns="llm")
    first, again = (ceiling_table(rows, len(LABELS), n_resamples=20, n_draws=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert set(first["posts"]) == {"all"}
    assert set(NOISE) < set(first["noise"])


def test_samples_without_overlap_are_left_out():
    """One post of two coders in forty: a third of the samples has none."""
    rows, _ = planted(40, 0.1, seed=9, double=0)
    second, _ = planted(1, 0.1, seed=10)
    mixed = pd.concat([rows, second.assign(id="twice")])
    table = ceiling_table(mixed, len(LABELS), n_resamples=30, n_draws=3)
    part = table[(table["noise"] == "symmetric") & (table["posts"] == "all")].set_index("metric")
    assert part.loc["jaccard", "ci_low"] > 0.3  # not what one scores who names nothing
    assert part["value"].notna().all()


def test_learning_the_errors_by_heart_shows(noisy):
    rows, right = noisy
    both = as_posts(rows, {"oracle": right})
    ceiling = ceiling_table(rows, len(LABELS), n_resamples=100, n_draws=10)
    scores = scores_by_posts(rows, both, n_resamples=100)
    beside = beside_ceiling(ceiling, scores)
    keys = {"noise": "symmetric", "posts": "all"}
    for metric in ("jaccard", "hamming_loss", "micro_f1"):
        assert one(beside, "verdict", fname="memory", metric=metric, **keys) == "above"
        # The right answers reach the ceiling; the union of two coders is noisier than one.
        assert (
            one(beside, "verdict", fname="oracle", metric=metric, **keys) == "not distinguishable"
        )
    follows = named_by_agreement(rows, both, LABELS, n_resamples=100)
    assert one(follows, fname="memory", llm="all", quantity="follows") == 1
    oracle = follows[(follows["fname"] == "oracle") & (follows["quantity"] == "follows")].iloc[0]
    assert 0.3 < oracle["value"] < 0.7
    assert one(follows, fname="truth", llm="all", quantity="disagree") == 1


def test_scores_beside_the_ceiling_by_hand():
    ceiling = pd.DataFrame(
        [("symmetric", "all", "jaccard", 0.7, 0.66, 0.73, 100, 0.0),
         ("symmetric", "all", "hamming_loss", 0.04, 0.03, 0.05, 100, 0.0)],
        columns=["noise", "posts", "metric", "value", "ci_low", "ci_high", "n", "empty"],
    )  # fmt: skip
    scores = pd.DataFrame(
        [("m", "jaccard", 0.8, 0.77, 0.82), ("m", "hamming_loss", 0.08, 0.07, 0.09),
         ("n", "jaccard", np.nan, np.nan, np.nan)],
        columns=["fname", "metric", "value", "ci_low", "ci_high"],
    )  # fmt: skip
    table = beside_ceiling(ceiling, scores)
    row = table[(table["fname"] == "m") & (table["metric"] == "jaccard")].iloc[0]
    assert row["difference"] == pytest.approx(0.1)
    assert row["ci_low"] == pytest.approx(0.1 - np.hypot(0.03, 0.03))
    assert row["ci_high"] == pytest.approx(0.1 + np.hypot(0.02, 0.04))
    assert row["verdict"] == "above"
    assert one(table, "verdict", fname="m", metric="hamming_loss") == "below"  # more is worse
    assert one(table, "verdict", fname="n") == "unknown"
    with pytest.raises(PublishedError, match=r"lack column\(s\) metric"):
        beside_ceiling(ceiling, scores.drop(columns="metric"))


# --- coders as models ----------------------------------------------------------------------------


def test_one_coder_against_the_other_by_hand():
    rows = hand_made()
    labels = ["happiness", "anxiety", "hope"]
    table = coder_as_model(rows, labels, n_resamples=50)
    # Post 1: {h, x} and {h}. Post 2: a {h}, b {h, x}; with c only happiness is shared: 4 times 1.
    jaccard = {"reference": "other coder", "metric": "jaccard"}
    assert one(table, **jaccard) == pytest.approx((4 * 0.5 + 4 * 1) / 8)
    assert one(table, "n_comparisons", **jaccard) == 8
    assert one(table, "n_posts", **jaccard) == 2
    hamming = one(table, reference="other coder", metric="hamming_loss")
    assert hamming == pytest.approx(4 * (1 / 3) / 8)
    assert one(table, "difference", **jaccard) == 0
    best = one(table, reference="best set for both", metric="jaccard")
    assert best == pytest.approx((4 * 0.75 + 4) / 8)
    assert one(table, reference="nothing", metric="jaccard") == 0
    with pytest.raises(PublishedError, match="nothing can be compared"):
        coder_as_model(rows[rows["coder"] == "a"], labels)


def test_no_set_beats_the_best_one():
    rng = np.random.default_rng(6)
    one_set, two = rng.random((2, 200, 5)) < 0.4
    best = best_sets(one_set, two)
    every = np.array(list(np.ndindex(*[2] * 5)), dtype=bool)

    def jaccard(a, b):
        either = (a | b).sum(axis=-1)
        return (a & b).sum(axis=-1) / np.maximum(either, 1)

    for row in range(200):
        if one_set[row].any() and two[row].any():
            reached = jaccard(best[row], one_set[row]) + jaccard(best[row], two[row])
            most = (jaccard(every, one_set[row]) + jaccard(every, two[row])).max()
            assert reached == pytest.approx(most)
        elif one_set[row].any():
            assert (best[row] == one_set[row]).all()


def test_independent_errors_look_like_the_simulated_coder(noisy):
    table = coder_as_model(noisy[0], LABELS, n_resamples=300)
    rows = table[table["reference"] == "simulated coder"]
    assert ((rows["difference_low"] <= 0.005) & (rows["difference_high"] >= -0.005)).all()


# --- the archive ---------------------------------------------------------------------------------


def test_the_archive_gives_the_known_figures(codings):
    table = acceptance(codings, n_resamples=200)
    assert table.iloc[0][["n", "n_posts", "accepted"]].tolist() == [26_635, 2_434, 10_702]
    assert 100 * one(table, "share", grouping="llm", llm="GPT4") == pytest.approx(76.3, abs=0.05)
    assert 100 * one(table, "share", grouping="llm", llm="LLAMA2") == pytest.approx(31.5, abs=0.05)
    each = table[(table["grouping"] == "coder x llm") & (table["llm"] == "GPT4")]["share"]
    assert (100 * each.min()).round() == 58
    assert (100 * each.max()).round() == 88
    assert (table["grouping"] == "coder").sum() == 5
    assert (table["grouping"] == "dimension").sum() == 46


def test_the_known_agreement_is_that_of_first_decisions(codings):
    table = agreement_by_definition(codings, n_resamples=300)
    known = table[(table["definition"] == "proposal") & (table["repeated"] == "first")].iloc[0]
    assert known["n"] == 1_070
    assert 100 * known["agreement"] == pytest.approx(70.5, abs=0.05)
    # No other rule gives both figures.
    same = (table["n"] == 1_070) & ((100 * table["agreement"]).round(1) == 70.5)
    assert same.sum() == 1
    assert set(published_disagreement(table)["verdict"]) == {"above"}


def test_coders_of_the_archive_differ_on_the_same_proposals(codings):
    strict = coder_strictness(codings)
    assert (strict["p_equal"] < 1e-6).all()
    pairs = coder_pairs(codings, n_resamples=300)
    both = pairs[(pairs["llm"] == "all") & (pairs["a"] == "2") & (pairs["b"] == "9")].iloc[0]
    assert both["ci_high"] < 0


def test_the_ceiling_of_the_archive(train, codings):
    labels = train.task.labels
    both = posts(train, "train")
    table = ceiling_table(codings, len(labels), n_resamples=25, n_draws=8)
    part = table[(table["metric"] == "jaccard") & (table["posts"] == "all")].set_index("noise")
    assert part["n"].unique() == [len(both.ids)]
    ceilings = part.loc[list(NOISE), "value"]
    assert ceilings.between(0.6, 0.8).all()
    # As published: naming nothing is right in 92% of the cells.
    nothing = table[(table["noise"] == "nothing") & (table["posts"] == "all")]
    assert one(nothing, metric="dimension_accuracy") == pytest.approx(0.920, abs=0.001)
    scores = scores_by_posts(codings, both, n_resamples=60)
    tuned = one(scores, fname="classified-L2-70B-FT", posts="all", metric="jaccard")
    assert tuned > ceilings.max()
    human = coder_as_model(codings, labels, both, n_resamples=100).query("metric == 'jaccard'")
    value = human.set_index("reference")["value"]
    assert value["other coder"] < ceilings.max() < value["best set for both"]
