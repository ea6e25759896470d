"""The corrected tables: known answers, same posts for all, baselines, intervals that cover."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.audit.corrected.coders import coder_intervals, coder_units, unit_weights
from helpers.audit.corrected.counts import (
    MAJORITY,
    NOTHING,
    majority_levels,
    resample,
    score_counts,
    score_values,
    with_baselines,
)
from helpers.audit.corrected.dimensions import corrected_per_dimension
from helpers.audit.corrected.scores import (
    METRICS,
    PAIRED_METRICS,
    REFERENCE,
    corrected_paired,
    corrected_scores,
    corrected_tables,
)
from helpers.metrics import multi_label_counts, paired_bootstrap, percentile_interval
from helpers.published.archive import DROPPED_COLUMNS, Archive, Posts, open_archive, posts
from helpers.published.panel import PublishedError, published_flourishing
from helpers.tasks import load_task

SMALL = "classified-L2-7B-FT"
NONE_DROPPED = pd.DataFrame(columns=list(DROPPED_COLUMNS))
TRUTH = np.array([[3, 0, 1, 0], [0, 2, 0, 0], [1, 0, 0, 0]], dtype=np.uint8)
ANSWERS = np.array([[3, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=np.uint8)
# By hand, all posts: TP 2 (one with the right level), FP 1, FN 2, TN 7; wrong cells 2, 0, 1.
SAME = {
    "dimension_accuracy": 9 / 12,
    "hamming_loss": 3 / 12,
    "jaccard": (1 / 3 + 1 + 0) / 3,
    "rescaled_accuracy": (2 / 5 + 1 + 3 / 5) / 3,
    "intensity_accuracy": 1 / 2,
    "accuracy_with_intensity": 8 / 12,
    "micro_f1": 4 / 7,
    "macro_f1": (2 / 3 + 2 / 3 + 0) / 3,  # the fourth dimension occurs nowhere
    "mcc": (2 * 7 - 1 * 2) / np.sqrt(3 * 4 * 8 * 9),
    "exact_match": 1 / 3,
}
# Without the third post: TP 2, FP 1, FN 1, TN 4.
PUBLISHED = {
    "dimension_accuracy": 6 / 8,
    "hamming_loss": 2 / 8,
    "jaccard": (1 / 3 + 1) / 2,
    "rescaled_accuracy": (2 / 5 + 1) / 2,
    "intensity_accuracy": 1 / 2,
    "accuracy_with_intensity": 5 / 8,
    "micro_f1": 4 / 6,
    "macro_f1": (1 + 2 / 3 + 0) / 3,
    "mcc": (2 * 4 - 1 * 1) / np.sqrt(3 * 3 * 5 * 5),
    "exact_match": 1 / 2,
}


def made_up(truth=TRUTH, split="train", **predicted):
    ids = tuple(str(i) for i in range(len(truth)))
    return Posts(split, ids, truth, predicted or {SMALL: ANSWERS}, NONE_DROPPED)


def random_levels(rng, n, width=5, share=0.3):
    return ((rng.random((n, width)) < share) * rng.integers(1, 4, (n, width))).astype(np.uint8)


def random_posts(seed, n=200, models=(SMALL, REFERENCE)):
    """Return posts that have a label each; every model leaves some unanswered."""
    rng = np.random.default_rng(seed)
    truth = random_levels(rng, n)
    truth[truth.sum(axis=1) == 0, 0] = 1
    predicted = {}
    for fname in models:
        keep = rng.random(truth.shape) < 0.7
        answers = np.where(keep, truth, random_levels(rng, n))
        answers[rng.random(n) < 0.2] = 0
        predicted[fname] = answers.astype(np.uint8)
    return made_up(truth, **predicted)


def value(table, column="value", **keys):
    for name, wanted in keys.items():
        table = table[table[name] == wanted]
    assert len(table) == 1, keys
    return table[column].iloc[0]


# --- scores --------------------------------------------------------------------------------------


def test_every_metric_by_hand():
    table = corrected_scores(resample(made_up(), 50))
    for texts, expected in (("same", SAME), ("published", PUBLISHED)):
        rows = table[table["texts"] == texts].set_index("metric")
        assert set(rows.index) == set(METRICS) == set(expected)
        for metric, wanted in expected.items():
            assert rows.loc[metric, "value"] == pytest.approx(wanted), (texts, metric)
    assert value(table, "n", texts="same", metric="jaccard") == 3
    assert value(table, "n", texts="published", metric="jaccard") == 2
    assert set(table["n_answered"]) == {2}
    row = table.iloc[0]
    assert (row["model"], row["parameters_billion"], row["fine_tuned"]) == (
        "Llama 2 7B FT",
        7,
        True,
    )


def test_the_scores_are_those_of_scikit_learn():
    from sklearn import metrics

    wanted = random_posts(1)
    truth, answers = wanted.truth, wanted.predicted[SMALL]
    t, p = truth > 0, answers > 0
    table = corrected_scores(resample(wanted, 20)).query(f"fname == '{SMALL}' and texts == 'same'")
    rows = table.set_index("metric")["value"]
    assert rows["mcc"] == pytest.approx(metrics.matthews_corrcoef(t.ravel(), p.ravel()))
    assert rows["micro_f1"] == pytest.approx(metrics.f1_score(t, p, average="micro"))
    assert rows["macro_f1"] == pytest.approx(metrics.f1_score(t, p, average="macro"))
    assert rows["jaccard"] == pytest.approx(metrics.jaccard_score(t, p, average="samples"))
    assert rows["hamming_loss"] == pytest.approx(metrics.hamming_loss(t, p))
    assert rows["exact_match"] == pytest.approx(metrics.accuracy_score(t, p))
    found = t & p
    assert rows["intensity_accuracy"] == pytest.approx((truth == answers)[found].mean())


def test_the_published_selection_is_the_answered_posts_alone():
    whole = random_posts(2)
    used = whole.published_selection(SMALL)
    assert 0 < used.sum() < len(used)
    part = made_up(whole.truth[used], **{SMALL: whole.predicted[SMALL][used]})
    one = corrected_scores(resample(whole, 4000, seed=1)).query(f"fname == '{SMALL}'")
    two = corrected_scores(resample(part, 4000, seed=2)).query("texts == 'same'")
    one = one[one["texts"] == "published"].set_index("metric")
    two = two.set_index("metric")
    assert np.allclose(one["value"], two["value"])
    for limit in ("ci_low", "ci_high"):  # other draws, same distribution
        assert np.allclose(one[limit], two[limit], atol=0.02)


def test_models_are_scored_on_the_same_posts():
    table = corrected_scores(resample(random_posts(3), 20)).query("metric == 'jaccard'")
    assert set(table[table["texts"] == "same"]["n"]) == {200}
    published = table[table["texts"] == "published"]
    assert (published["n"] == published["n_answered"]).all()
    assert published["n"].nunique() == 2
    # What is unanswered earns nothing: the score on all posts can't be higher.
    same = table[table["texts"] == "same"].set_index("fname")["value"]
    assert (same < published.set_index("fname")["value"]).all()


def test_bootstrap_intervals_cover():
    """95% intervals of MCC and Jaccard hold the value of a large sample in 90 to 99% of cases."""
    rng = np.random.default_rng(0)

    def draw(n):
        truth = random_levels(rng, n, share=0.35)
        truth[truth.sum(axis=1) == 0, 0] = 1
        keep = rng.random(truth.shape) < 0.75
        answers = np.where(keep, truth, random_levels(rng, n)).astype(np.uint8)
        return truth, answers

    truth, answers = draw(100_000)
    true_values = score_values(score_counts(truth, answers, (answers > 0).any(axis=1)).total())
    hits = dict.fromkeys(("mcc", "jaccard"), 0)
    for seed in range(200):
        truth, answers = draw(100)
        drawn = resample(made_up(truth, **{SMALL: answers}), 250, seed=seed)
        spread = score_values(drawn.samples[SMALL]["same"])
        for metric in hits:
            low, high = percentile_interval(spread[metric])
            hits[metric] += low <= true_values[metric] <= high
    assert all(180 <= found <= 198 for found in hits.values()), hits


def test_results_do_not_depend_on_the_other_models():
    whole = random_posts(4)
    alone = replace(whole, predicted={SMALL: whole.predicted[SMALL]})
    one = corrected_scores(resample(whole, 100)).query(f"fname == '{SMALL}'")
    pd.testing.assert_frame_equal(
        one.reset_index(drop=True), corrected_scores(resample(alone, 100)).reset_index(drop=True)
    )


def test_the_seed_alone_decides_on_the_draws():
    one, same, other = (corrected_scores(resample(random_posts(9), 50, seed)) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not np.allclose(one["ci_low"], other["ci_low"])
    post, coder = np.array([0, 1, 1]), np.array([0, 0, 1])
    assert (unit_weights(post, coder, 9, seed=3) == unit_weights(post, coder, 9, seed=3)).all()


def test_one_post_is_too_few():
    with pytest.raises(PublishedError, match=r"1 train post\(s\): too few"):
        resample(made_up(TRUTH[:1], **{SMALL: ANSWERS[:1]}))


# --- baselines -----------------------------------------------------------------------------------


def test_majority_takes_what_more_than_half_of_the_posts_have():
    truth = np.array([[1, 3, 0], [1, 3, 0], [2, 0, 0], [0, 2, 1]], dtype=np.uint8)
    assert majority_levels(truth).tolist() == [1, 3, 0]
    # None in more than half: the most frequent one, lower levels first among equals.
    truth = np.array([[0, 3, 0], [0, 2, 0], [1, 0, 0], [0, 0, 1]], dtype=np.uint8)
    assert majority_levels(truth).tolist() == [0, 2, 0]


def test_baselines_are_fitted_to_the_training_posts_and_answer_all():
    test = replace(random_posts(5), split="test")
    training = np.zeros((10, 5), dtype=np.uint8)
    training[:, 4] = 3
    table = corrected_scores(resample(with_baselines(test, training), 100))
    rows = table[table["fname"] == MAJORITY]
    assert not rows["in_sample"].any()
    assert set(rows["n_answered"]) == set(rows["n"]) == {200}
    share = (test.truth[:, 4] > 0).mean()
    assert value(rows, texts="same", metric="micro_f1") == pytest.approx(
        2 * share / (1 + (test.truth > 0).sum() / 200)
    )
    nothing = table[(table["fname"] == NOTHING) & (table["texts"] == "same")].set_index("metric")
    assert nothing.loc["dimension_accuracy", "value"] == pytest.approx((test.truth == 0).mean())
    assert nothing.loc["jaccard", "value"] == 0
    undefined = nothing.loc[["mcc", "intensity_accuracy"], ["value", "ci_low", "ci_high"]]
    assert undefined.isna().all(axis=None)
    assert np.isnan(rows["parameters_billion"]).all()
    # Without training posts there is no majority: it is never fitted to the posts it is scored on.
    assert MAJORITY not in with_baselines(test, None).predicted


# --- paired differences --------------------------------------------------------------------------


def test_paired_differences_are_those_of_the_metrics_module():
    wanted = random_posts(6)
    table = corrected_paired(resample(wanted, 500, seed=7))

    def counts(fname):
        mask = wanted.published_selection(fname)
        return multi_label_counts(wanted.truth, wanted.predicted[fname], mask, intensity=True)

    expected = paired_bootstrap(counts(SMALL), counts(REFERENCE), 500, 7)
    for metric in ("jaccard", "hamming_loss", "micro_f1", "macro_f1"):
        row = table[table["metric"] == metric].iloc[0]
        for name in ("difference", "ci_low", "ci_high", "p_value"):
            assert row[name] == pytest.approx(getattr(expected[metric], name)), (metric, name)
    assert set(table["metric"]) == set(PAIRED_METRICS)
    assert set(table["n"]) == {200}


def test_equal_models_do_not_differ_and_holm_adjusts_within_a_metric():
    wanted = random_posts(8, models=(SMALL, REFERENCE, "classified-L2-13B"))
    wanted.predicted[SMALL][:] = wanted.predicted[REFERENCE]
    table = corrected_paired(resample(with_baselines(wanted, wanted.truth), 400))
    same = table[table["fname"] == SMALL]
    assert (same[["difference", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert (same["p_value"] == 1).all()
    rows = table[table["metric"] == "jaccard"].set_index("fname")
    assert rows.loc[NOTHING, "p_value"] == pytest.approx(2 / 401)
    assert rows.loc[NOTHING, "p_holm"] == pytest.approx(4 * 2 / 401)  # four comparisons
    nothing = table[(table["fname"] == NOTHING) & (table["metric"] == "mcc")].iloc[0]
    assert np.isnan(nothing["difference"])
    assert np.isnan(nothing["p_holm"])
    assert REFERENCE not in set(table["fname"])


def test_without_chatgpt4_the_table_says_why_it_is_empty():
    table = corrected_paired(resample(with_baselines(made_up(), TRUTH), 20))
    assert set(table["status"]) == {f"not run: flourishing/{REFERENCE}.csv is absent"}
    assert table[["difference", "ci_low", "p_value", "p_holm"]].isna().all(axis=None)
    assert set(table["fname"]) == {SMALL, NOTHING, MAJORITY}


# --- coders --------------------------------------------------------------------------------------


def archive_of(rows, split="train"):
    task = load_task("flourishing")
    codings = pd.DataFrame(rows, columns=["id", "dimension", "value", "coder"])
    codings = codings.assign(accepted=True)
    return Archive(task, Path(), {split: codings}, {}, NONE_DROPPED)


def test_units_are_posts_as_one_coder_saw_them():
    first, second = load_task("flourishing").labels[:2]
    archive = archive_of(
        [("0", first, "low", "a"), ("0", first, "high", "b"), ("0", second, "low", "b"),
         ("1", second, "medium", "a")]
    )  # fmt: skip
    wanted = posts(archive, "train")
    wanted = replace(wanted, predicted={SMALL: wanted.truth})
    units, post, coder = coder_units(archive, wanted)
    assert (post.tolist(), coder.tolist()) == ([0, 1, 0], [0, 0, 1])
    assert units.truth[:, :2].tolist() == [[1, 0], [0, 2], [3, 1]]
    assert units.predicted[SMALL][:, :2].tolist() == [[3, 1], [0, 2], [3, 1]]
    assert units.ids == ("0", "1", "0")


def test_a_unit_counts_as_often_as_its_post_and_its_coder():
    post, coder = np.array([0, 1, 1, 2]), np.array([0, 0, 1, 2])
    weights = unit_weights(post, coder, 3000, seed=1)
    assert weights[0].tolist() == [1, 0.5, 0.5, 1]
    # Posts and coders are drawn independently: 1 draw per post, 2 draws among 3 coders.
    assert np.allclose(weights[1:].mean(axis=0), weights[0] * 2 / 3, atol=0.06)


def test_drawing_one_coder_less_makes_the_variance_that_of_a_mean():
    """The variance over coders is s²/k, s² with k - 1; draws of k would give (k-1)/k of it."""
    by_coder, each = np.array([0.2, 0.4, 0.5, 0.9]), 300
    coder = np.repeat(np.arange(4), each)
    score = by_coder[coder]  # no differences between posts of a coder
    weights = unit_weights(np.arange(4 * each), coder, 3000, seed=2)[1:]
    means = (weights @ score) / weights.sum(axis=1)
    assert means.var() == pytest.approx(by_coder.var(ddof=1) / 4, rel=0.08)


def test_coders_who_differ_make_the_interval_wider_and_one_coder_none():
    names = load_task("flourishing").labels[:3]
    rng = np.random.default_rng(3)
    rows = []
    for number in range(150):
        coder = "abc"[number % 3]
        kept = 1 if coder == "a" else 3  # a is strict
        rows += [(str(number), name, "low", coder) for name in names[:kept]]
    archive = archive_of(rows)
    wanted = posts(archive, "train")
    answers = np.zeros_like(wanted.truth)
    answers[:, 0] = rng.random(150) < 0.9
    drawn = resample(replace(wanted, predicted={SMALL: answers}), 400)
    table = corrected_scores(drawn, coder_intervals(archive, drawn, n_resamples=400))
    row = table[(table["metric"] == "jaccard") & (table["texts"] == "same")].iloc[0]
    assert row["n_coders"] == 3
    assert row["ci_low_coders"] < row["ci_low"] < row["value"] < row["ci_high"]
    assert row["ci_high"] < row["ci_high_coders"]
    single = archive_of([(*row[:3], "a") for row in rows])
    assert coder_intervals(single, drawn).empty
    alone = corrected_scores(drawn, coder_intervals(single, drawn))
    assert alone["ci_low_coders"].isna().all()


# --- dimensions ----------------------------------------------------------------------------------


def test_each_dimension_by_hand_and_as_printed():
    names = ["a", "b", "c", "d"]
    wanted = with_baselines(made_up(), TRUTH)
    drawn = resample(wanted, 200)
    table = corrected_per_dimension(drawn, names, made_up())
    rows = table[table["fname"] == SMALL].set_index("dimension")
    assert rows.loc["a", ["support", "named", "n", "n_answered"]].tolist() == [2, 1, 3, 2]
    assert rows.loc["a", ["sensitivity", "specificity", "precision"]].tolist() == [0.5, 1, 1]
    assert rows.loc["a", ["f1", "balanced_accuracy"]].tolist() == pytest.approx([2 / 3, 3 / 4])
    assert rows.loc["b", ["sensitivity", "precision"]].tolist() == [1, 0.5]
    # Never found: F1 is 0, precision has no denominator.
    assert rows.loc["c", ["f1", "sensitivity"]].tolist() == [0, 0]
    assert rows.loc["c", ["precision", "precision_low"]].isna().all()
    assert rows.loc["d", ["f1", "balanced_accuracy", "f1_low"]].isna().all()
    # As printed, on the two answered posts: precision is recall, sensitivity is precision.
    assert rows.loc["b", ["printed_prec", "printed_sens"]].tolist() == [1, 0.5]
    assert rows.loc["a", "printed_balAcc"] == 1  # precision and negative predictive value
    assert np.isnan(rows.loc["b", "printed_balAcc"])  # no true negative, no missed post
    assert table[table["fname"].isin([NOTHING, MAJORITY])]["printed_prec"].isna().all()
    assert corrected_per_dimension(drawn, names)["printed_prec"].isna().all()


def test_rates_at_the_edge_keep_an_interval():
    """Two of two found is no certainty: Wilson's interval of 2 of 2 starts at 0.342."""
    truth = np.zeros((30, 1), dtype=np.uint8)
    truth[:2] = 1
    table = corrected_per_dimension(resample(made_up(truth, **{SMALL: truth}), 200), ["a"])
    row = table.iloc[0]
    assert row["sensitivity"] == row["f1"] == row["balanced_accuracy"] == 1
    assert row["sensitivity_low"] == pytest.approx(0.3424, abs=1e-4)
    assert row["f1_low"] == pytest.approx(2 * 0.3424 / 1.3424, abs=1e-4)
    spread = np.hypot(1 - 0.3424, 1 - row["specificity_low"]) / 2
    assert row["balanced_accuracy_low"] == pytest.approx(1 - spread, abs=1e-4)
    assert row["balanced_accuracy_high"] == 1


# --- the archive ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_archive(upstream_folder):
    archive = open_archive(load_task("flourishing"), upstream_folder)
    if "train" not in archive.codings or REFERENCE not in archive.raw:
        pytest.skip("codings or ChatGPT-4's answers are not here: run `make data`")
    return archive


@pytest.fixture(scope="module")
def archive(whole_archive):
    """Three models are enough for what does not ask for all."""
    few = [*sorted(whole_archive.raw)[:2], REFERENCE]
    return replace(whole_archive, raw={name: whole_archive.raw[name] for name in few})


@pytest.fixture(scope="module")
def tables(archive):
    return corrected_tables(archive, "train", n_resamples=200)


def test_as_published_the_published_selection_gives_the_published_values(whole_archive):
    scores = corrected_scores(resample(posts(whole_archive, "train"), 2))
    scores = scores[scores["texts"] == "published"]
    wide = scores.pivot(index="fname", columns="metric", values="value")
    published = published_flourishing().query("split == 'train'").set_index("fname")
    models = [fname for fname in wide.index if fname in published.index]
    assert len(models) >= 1
    for metric, column in {
        "dimension_accuracy": "accD",
        "accuracy_with_intensity": "accI",
        "jaccard": "jac",
        "rescaled_accuracy": "jac2",
        "hamming_loss": "ham",
    }.items():
        assert np.allclose(wide.loc[models, metric], published.loc[models, column], atol=1e-9)


def test_predict_nothing_is_nearly_as_accurate_as_chatgpt4(tables):
    row = {"texts": "same", "metric": "dimension_accuracy"}
    assert value(tables.scores, fname=NOTHING, **row) == pytest.approx(0.920, abs=5e-4)
    assert value(tables.scores, "n", fname=REFERENCE, **row) == 2404
    assert value(tables.scores, "n_answered", fname=REFERENCE, **row) == 2288
    gap = tables.paired[tables.paired["fname"] == NOTHING].set_index("metric").loc["hamming_loss"]
    assert 0.019 < gap["ci_low"] < gap["difference"] < gap["ci_high"] < 0.024


def test_tables_of_the_archive_are_complete_and_orderly(archive, tables):
    scores = tables.scores
    assert len(scores) == (len(archive.raw) + 2) * 2 * len(METRICS)
    facts = scores.drop_duplicates("fname").set_index("fname")
    assert facts["in_sample"].equals(facts["fine_tuned"])  # on the training posts
    defined = scores.dropna(subset="value")
    assert (defined["ci_low"] <= defined["value"]).all()
    assert (defined["value"] <= defined["ci_high"]).all()
    wider = defined["ci_high_coders"] - defined["ci_low_coders"] >= (
        defined["ci_high"] - defined["ci_low"]
    )
    assert wider.mean() > 0.9
    assert set(scores["n_coders"]) == {5}


def test_the_two_dimensions_are_back(archive, tables):
    task = load_task("flourishing")
    table = corrected_per_dimension(tables.resampled, task.labels, posts(archive, "train"))
    rows = table[table["fname"] == REFERENCE].set_index("dimension")
    gone = rows[(rows["support"] > 0) & (rows["named_published"] == 0)]
    assert set(gone.index) == {"suffering", "expressing job satisfaction"}
    assert (gone["named"] > 0).all()
    assert (gone["f1_low"] > 0).all()
    # Where a dimension is seldom named, the swap turns a coin's balanced accuracy into a high one.
    assert (rows["printed_balAcc"] - rows["balanced_accuracy"]).max() > 0.4
