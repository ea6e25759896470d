"""Every analytic choice: values by hand, known rankings, and the authors' files."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau
from sklearn.metrics import matthews_corrcoef

from helpers.audit.sensitivity.effects import (
    ALL,
    choice_effects,
    kendall_tau,
    one_at_a_time,
)
from helpers.audit.sensitivity.scores import METRICS, PostCounts, metric_values
from helpers.audit.sensitivity.specifications import (
    AS_PUBLISHED,
    CHOICES,
    NOTHING,
    REFERENCE,
    SPECIFICATION_COLUMNS,
    PreparedSplit,
    prepare,
    specifications,
)
from helpers.audit.sensitivity.tables import (
    option_shares,
    rank_ranges,
    rank_shares,
    specification_counts,
    specification_differences,
)
from helpers.metrics import multi_label_counts, paired_bootstrap, scores
from helpers.published.archive import Archive, open_archive
from helpers.published.panel import PublishedError, published_flourishing
from helpers.tasks import load_task

TUNED = "classified-L2-7B-FT"
COMBINATIONS = 8 * 3 * 5 * 3 * 3


@pytest.fixture(scope="module")
def task():
    return load_task("flourishing")


def made_up(task, decisions, answers):
    """Build an archive of (id, dimension, level, accepted) and of fname -> (id, words, level)."""
    first, second = task.labels[:2]
    words = {"A": first, "B": second}
    codings = pd.DataFrame(decisions, columns=["id", "dimension", "value", "accepted"])
    codings = codings.assign(dimension=codings["dimension"].map(words), coder="x")
    raw = {}
    for fname, rows in answers.items():
        frame = pd.DataFrame(rows, columns=["id", "dimension", "value"], dtype="str")
        raw[fname] = frame.assign(dimension=frame["dimension"].replace(words))
    dropped = pd.DataFrame(columns=["file", "reason", "rows", "posts"])
    return Archive(task, None, {"train": codings}, raw, dropped)


@pytest.fixture(scope="module")
def small(task):
    """Four posts: 1 has A low and medium, 2 A high, 3 B low, 4 B medium (rejected once)."""
    decisions = [
        ("1", "A", "low", True),
        ("1", "A", "medium", True),
        ("2", "A", "high", True),
        ("3", "B", "low", True),
        ("4", "B", "medium", True),
        ("4", "B", "medium", False),
    ]
    answers = {
        REFERENCE: [("1", "A", "medium"), ("2", "A", "low"), ("3", "B", "low"), ("3", "A", "low")],
        TUNED: [("1", "A", "low"), ("2", "A", "high"), ("4", "B", "medium"), ("9", "B", "high")],
    }
    return made_up(task, decisions, answers)


def pick(table, fname=None, **options):
    wanted = AS_PUBLISHED | options
    for name, value in wanted.items():
        table = table[table[name] == value]
    if fname is None:
        return table.set_index("fname")
    rows = table[table["fname"] == fname]
    assert len(rows) == 1
    return rows.iloc[0]


def random_levels(seed, n=60, width=46, share=0.1):
    rng = np.random.default_rng(seed)
    return (rng.integers(1, 4, (n, width)) * (rng.random((n, width)) < share)).astype(np.uint8)


# --- metrics -------------------------------------------------------------------------------------


def test_metrics_by_hand():
    truth = np.array([[2, 0, 0, 0], [3, 1, 0, 0]], dtype=np.uint8)
    answer = np.array([[2, 1, 0, 0], [1, 0, 0, 0]], dtype=np.uint8)
    values = metric_values(*PostCounts.of(truth, answer).summed(np.ones(2)))
    by_name = dict(zip(METRICS, values, strict=True))
    # 8 cells: TP 2, FP 1, FN 1, TN 4; one of the two levels is right; F1: 1 and 0.
    assert by_name == pytest.approx(
        {
            "dimension_accuracy": 6 / 8,
            "accuracy_with_intensity": 5 / 8,
            "rescaled_accuracy": (3 / 5 + 3 / 5) / 2,
            "jaccard": (1 / 2 + 1 / 2) / 2,
            "micro_f1": 4 / 6,
            "macro_f1": (1 + 0) / 2,
            "mcc": (2 * 4 - 1) / (3 * 3 * 5 * 5) ** 0.5,
            "intensity_accuracy": 1 / 2,
        }
    )
    high = metric_values(*PostCounts.of(truth, answer, level=3).summed(np.array([1, 0])))
    # Nothing is high in the first post: two empty sets agree, and there is no F1.
    expected = [1, 1, 1, 1, np.nan, np.nan, np.nan, np.nan]
    assert high == pytest.approx(expected, nan_ok=True)


def test_metrics_agree_with_the_house_and_scikit_learn():
    truth, answer = random_levels(0), random_levels(1)
    answer[truth > 0] = np.where(random_levels(2, share=0.5) > 0, truth, answer)[truth > 0]
    chosen = np.arange(60) % 3 > 0
    values = metric_values(*PostCounts.of(truth, answer).summed(np.array([chosen, ~chosen])))
    for place, rows in enumerate((chosen, ~chosen)):
        mine = dict(zip(METRICS, values[:, place], strict=True))
        counts = multi_label_counts(truth[rows], answer[rows], np.ones(rows.sum()), intensity=True)
        house = scores(counts)
        for name in (
            "dimension_accuracy",
            "jaccard",
            "micro_f1",
            "macro_f1",
            "intensity_accuracy",
        ):
            assert mine[name] == pytest.approx(house[name], abs=1e-12)
        cells = [(matrix[rows] > 0).ravel() for matrix in (truth, answer)]
        assert mine["mcc"] == pytest.approx(matthews_corrcoef(*cells), abs=1e-12)


# --- specifications ------------------------------------------------------------------------------


def test_evaluation_sets_and_the_baseline_by_hand(small):
    specs = specifications(prepare(small))
    assert tuple(specs.columns) == SPECIFICATION_COLUMNS
    assert len(specs) == COMBINATIONS * 3
    published = pick(specs)
    assert published["n"].to_dict() == {REFERENCE: 3, TUNED: 3, NOTHING: 4}
    assert (pick(specs, evaluation="same")["n"] == 4).all()
    assert (pick(specs, evaluation="common")["n"] == 2).all()
    # A threshold changes what is counted, not the posts; an unanimous truth lacks post 4.
    assert pick(specs, threshold="high")["n"].to_dict() == {REFERENCE: 3, TUNED: 3, NOTHING: 4}
    unanimous = pick(specs, conflict="unanimous")["n"].to_dict()
    assert unanimous == {REFERENCE: 3, TUNED: 2, NOTHING: 3}
    assert published.loc[REFERENCE, "value"] == pytest.approx(1 - 1 / (3 * 46))
    assert published.loc[TUNED, "value"] == 1
    assert published.loc[TUNED, "nothing"] == pytest.approx(1 - 3 / (3 * 46))
    same = pick(specs, evaluation="same")
    assert same.loc[[REFERENCE, TUNED], "value"].tolist() == pytest.approx(
        [1 - 2 / (4 * 46), 1 - 1 / (4 * 46)]
    )
    assert same["nothing"].tolist() == pytest.approx([1 - 4 / (4 * 46)] * 3)
    assert published["rank"].tolist() == pytest.approx([2, 1, np.nan], nan_ok=True)
    assert published["in_sample"].to_dict() == {REFERENCE: False, TUNED: True, NOTHING: False}
    assert published["beats_nothing"].tolist() == [True, True, pd.NA]


def test_conflict_rules_reach_the_levels(small):
    specs = specifications(prepare(small))
    right = {
        rule: pick(specs, TUNED, metric="intensity_accuracy", conflict=rule)["value"]
        for rule in CHOICES["conflict"]
    }
    # The tuned model says low of post 1, where low and medium were accepted.
    expected = {"published": 2 / 3, "comment": 1, "lowest": 1, "first": 1, "unanimous": 1 / 2}
    assert right == pytest.approx(expected)


def test_cleaning_reaches_the_answers(task):
    suffering = "suffering"
    assert suffering in task.labels
    decisions = [("1", "A", "low", True), ("2", "B", "low", True)]
    answers = {
        REFERENCE: [("1", "A", "Low"), ("2", suffering, "low")],
        TUNED: [("1", "A", "true"), ("2", "B", "low")],
    }
    specs = specifications(prepare(made_up(task, decisions, answers)))
    sizes = {
        rule: pick(specs, cleaning=rule)["n"].drop(NOTHING).tolist() for rule in CHOICES["cleaning"]
    }
    # The published rules read 'true' as low; the codebook's own words do not.
    assert sizes == {"published": [2, 2], "corrected": [2, 2], "strict": [2, 1]}
    prepared = prepare(made_up(task, decisions, answers))["train"]
    found = {
        rule: models[REFERENCE][1, task.labels.index(suffering)]
        for rule, models in prepared.predicted.items()
    }
    assert found == {"published": 0, "corrected": 1, "strict": 1}


def test_undefined_and_redundant_specifications_are_counted(small):
    specs = specifications(prepare(small))
    levels = specs[(specs["metric"] == "intensity_accuracy") & (specs["threshold"] == "high")]
    assert levels["value"].isna().all()
    assert not levels["distinct"].any()
    counts = specification_counts(specs).iloc[0]
    assert counts["combinations"] == COMBINATIONS
    assert counts["undefined"] + counts["redundant"] + counts["distinct"] == COMBINATIONS
    assert counts["undefined"] >= len(levels) / 3
    # From low on the rule for levels can't move presence; with one level left accI is accD.
    group = pick(specs, TUNED)["group"]
    assert pick(specs, TUNED, conflict="lowest")["group"] == group
    same = {"evaluation": "same"}
    strict = pick(specs, TUNED, conflict="unanimous", **same)["group"]
    assert strict != pick(specs, TUNED, **same)["group"]
    accuracy = pick(specs, TUNED, threshold="high")
    with_level = pick(specs, TUNED, threshold="high", metric="accuracy_with_intensity")
    assert with_level["group"] == accuracy["group"]
    assert (accuracy["distinct"], with_level["distinct"]) == (True, False)


def test_equal_models_tie_and_a_perfect_one_leads():
    truth = random_levels(3)
    good = truth.copy()
    good[::4] = 0
    models = {"perfect": truth, "good": good, "twin": good.copy()}
    split = PreparedSplit(
        "test",
        dict.fromkeys(CHOICES["conflict"], truth),
        dict.fromkeys(CHOICES["cleaning"], models),
    )
    specs = specifications({"test": split})
    assert not specs["in_sample"].any()
    same = specs[(specs["evaluation"] == "same") & (specs["metric"] != "intensity_accuracy")]
    assert (same.loc[same["fname"] == "perfect", "rank"] == 1).all()
    assert (same.loc[same["fname"].isin(["good", "twin"]), "rank"] == 2.5).all()
    assert (same["n_ranked"] == 3).all()
    # On the posts that all answered nobody is wrong.
    common = specs[(specs["evaluation"] == "common") & (specs["metric"] == "micro_f1")]
    assert (common.loc[common["fname"] != NOTHING, "rank"] == 2).all()
    table = rank_shares(specs).set_index(["fname", "rank"])["share"]
    assert table["perfect", 1] + table["perfect", 2] + table["perfect", 3] == pytest.approx(1)
    assert table["good", 2] == pytest.approx(table["twin", 2])
    assert table.groupby("rank").sum().tolist() == pytest.approx([1, 1, 1])
    ranges = rank_ranges(specs).set_index("fname")
    assert ranges["share_beats_reference"].isna().all()
    assert ranges["printed_rank"].isna().all()


def test_nothing_to_analyse(task, small):
    empty = Archive(task, None, {}, small.raw, small.dropped)
    specs = specifications(prepare(empty))
    assert specs.empty
    for table in (specification_counts, rank_ranges, rank_shares, choice_effects):
        assert table(specs).empty
    nobody = Archive(task, None, small.codings, {}, small.dropped)
    specs = specifications(prepare(nobody))
    assert set(specs["fname"]) == {NOTHING}
    assert len(specs) == COMBINATIONS
    assert rank_ranges(specs).empty
    assert one_at_a_time(prepare(nobody), specs)["difference"].isna().all()
    with pytest.raises(PublishedError, match=f"no specification of {TUNED}, {REFERENCE}"):
        specification_differences(specs, TUNED)


# --- summaries -----------------------------------------------------------------------------------


def known(worse_with="mcc"):
    """Build specifications where a is ahead of the reference, save with one metric."""
    index = pd.MultiIndex.from_product(CHOICES.values(), names=list(CHOICES))
    grid = index.to_frame(index=False).assign(split="train", group=range(len(index)))
    parts = []
    for fname, value in (("a", 0.8), (REFERENCE, 0.6), ("b", 0.2), (NOTHING, 0.5)):
        part = grid.assign(fname=fname, value=value, in_sample=fname == "a", n=10, distinct=True)
        if fname == "a":
            part.loc[part["metric"] == worse_with, "value"] = 0.4
        part["nothing"] = 0.5
        part["beats_nothing"] = part["value"] > 0.5
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    models = table["fname"] != NOTHING
    table["rank"] = table[models].groupby("group")["value"].rank(ascending=False)
    return table.assign(n_ranked=3)[list(SPECIFICATION_COLUMNS)]


def test_effects_of_choices_with_a_known_answer():
    effects = choice_effects(known()).set_index(["choice", "option"])
    swapped = effects.loc[("metric", "mcc")]
    assert swapped["n_pairs"] == COMBINATIONS / 8
    assert swapped["share_changed"] == 1
    assert swapped["mean_rank_change"] == pytest.approx(2 / 3)  # two of three models by one rank
    assert swapped["largest_rank_change"] == 1
    assert swapped["mean_tau"] == pytest.approx(1 / 3)
    assert swapped["share_flips"] == pytest.approx(1 / 2)
    assert swapped["published_tau"] == pytest.approx(1 / 3)
    pooled = effects.loc[("metric", ALL)]
    assert pooled["n_pairs"] == 7 * COMBINATIONS / 8
    assert pooled["share_changed"] == pytest.approx(1 / 7)
    rest = effects.drop(index=[("metric", "mcc"), ("metric", ALL)])
    assert (rest["share_changed"] == 0).all()
    assert (rest["mean_tau"] == 1).all()


def test_pairs_without_all_models_are_left_out_and_counted():
    specs = known()
    lost = (specs["fname"] == "b") & (specs["threshold"] == "high")
    specs.loc[lost, ["value", "rank"]] = np.nan
    effects = choice_effects(specs).set_index(["choice", "option"])
    high = effects.loc[("threshold", "high")]
    assert (high["n_pairs"], high["n_undefined"]) == (0, COMBINATIONS / 3)
    assert np.isnan(high["mean_rank_change"])
    assert effects.loc[("cleaning", "strict"), "n_undefined"] == COMBINATIONS / 9
    assert rank_ranges(specs).set_index("fname").loc["b", "n_undefined"] == COMBINATIONS / 3
    assert specification_counts(specs)["partly_undefined"].tolist() == [COMBINATIONS / 3]


def test_kendall_tau_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.integers(1, 6, (2, 40, 7)).astype(float)
    a[0] = 1
    expected = [kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert kendall_tau(a, b) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(expected[0])


def test_ranges_and_shares_with_a_known_answer():
    specs = known()
    ranges = rank_ranges(specs).set_index("fname")
    assert list(ranges.index) == ["a", REFERENCE, "b"]
    assert ranges.loc["a", ["best", "median", "worst"]].tolist() == [1, 1, 2]
    assert ranges.loc["a", "share_beats_reference"] == pytest.approx(7 / 8)
    assert ranges.loc["a", "share_beats_nothing"] == pytest.approx(7 / 8)
    assert ranges.loc[REFERENCE, "n_against_reference"] == 0
    assert ranges["in_sample"].to_dict() == {"a": True, REFERENCE: False, "b": False}
    shares = rank_shares(specs).set_index(["fname", "rank"])["share"]
    assert shares["a"].tolist() == pytest.approx([7 / 8, 1 / 8, 0])
    differences = specification_differences(specs, "a")
    assert (differences["difference"] > 0).mean() == pytest.approx(7 / 8)
    options = option_shares(differences).set_index(["choice", "option"])
    assert options.loc[("all", "all"), ["n", "n_beats"]].tolist() == [COMBINATIONS, 945]
    assert options.loc[("metric", "mcc"), "share"] == 0
    assert options.loc[("metric", "jaccard"), "share"] == 1
    assert options.loc[("threshold", "any"), "share"] == pytest.approx(7 / 8)


def test_redundant_specifications_share_a_place_on_the_curve(small):
    differences = specification_differences(specifications(prepare(small)), TUNED)
    for _, part in differences.groupby("metric"):
        places = part.drop_duplicates("group").sort_values("place")
        assert places["place"].tolist() == list(range(1, len(places) + 1))
        assert places["difference"].is_monotonic_increasing
    assert (differences.groupby(["metric", "group"])["place"].nunique() == 1).all()


# --- intervals -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn():
    truth = random_levels(5, n=120)
    truth[:, 0] = np.maximum(truth[:, 0], 1)
    models = {
        REFERENCE: np.where(random_levels(6, n=120, share=0.7) > 0, truth, 0).astype(np.uint8),
        TUNED: np.maximum(truth, random_levels(7, n=120, share=0.05)),
    }
    models[REFERENCE][:, 0] = truth[:, 0]  # every post is answered
    models["twin"] = models[REFERENCE].copy()
    split = PreparedSplit(
        "train",
        dict.fromkeys(CHOICES["conflict"], truth),
        dict.fromkeys(CHOICES["cleaning"], models),
    )
    return {"train": split}


def test_intervals_are_those_of_the_paired_bootstrap(drawn):
    split = drawn["train"]
    table = one_at_a_time(drawn, specifications(drawn), n_resamples=200, seed=4)
    assert len(table) == (1 + 7 + 2 + 4 + 2 + 2) * 4
    counts = {
        name: multi_label_counts(split.truth["published"], levels, np.ones(120), intensity=True)
        for name, levels in split.predicted["published"].items()
    }
    # All models answer all posts here, so that the published sets of posts are the same.
    paired = paired_bootstrap(counts[TUNED], counts[REFERENCE], 200, 4)
    for name in ("dimension_accuracy", "jaccard", "micro_f1", "macro_f1", "intensity_accuracy"):
        rows = table[(table["fname"] == TUNED) & (table["metric"] == name)]
        row = rows[rows["choice"].isin(["none", "metric"])].iloc[0]
        got = row[["difference", "ci_low", "ci_high"]].astype(float).tolist()
        wanted = paired[name]
        expected = [wanted.difference, wanted.ci_low, wanted.ci_high]
        assert got == pytest.approx(expected, abs=1e-11)
    twin = table.loc[table["fname"] == "twin", ["difference", "ci_low", "ci_high"]].dropna()
    assert (twin == 0).all().all()
    assert table.loc[table["fname"] == REFERENCE, "ci_low"].isna().all()


def test_intervals_keep_each_model_to_the_posts_that_it_answered(drawn):
    truth = drawn["train"].truth["published"]
    models = {name: levels.copy() for name, levels in drawn["train"].predicted["strict"].items()}
    models[TUNED][::2] = 0
    split = PreparedSplit(
        "train",
        dict.fromkeys(CHOICES["conflict"], truth),
        dict.fromkeys(CHOICES["cleaning"], models),
    )
    table = one_at_a_time({"train": split}, specifications({"train": split}), n_resamples=2000)
    row = table[(table["fname"] == TUNED) & (table["choice"] == "none")].iloc[0]
    right = {name: ((levels > 0) == (truth > 0)).mean(axis=1) for name, levels in models.items()}
    rng = np.random.default_rng(1)
    slow = []
    for _ in range(2000):
        rows = rng.integers(0, 120, 120)
        answered = rows[rows % 2 == 1]
        slow.append(right[TUNED][answered].mean() - right[REFERENCE][rows].mean())
    assert row["n"] == 60
    assert row["difference"] == pytest.approx(right[TUNED][1::2].mean() - right[REFERENCE].mean())
    limits = np.quantile(slow, [0.025, 0.975])
    width = limits[1] - limits[0]
    assert row[["ci_low", "ci_high"]].tolist() == pytest.approx(limits.tolist(), abs=width / 15)


def test_one_choice_at_a_time_leaves_the_others(drawn):
    table = one_at_a_time(drawn, specifications(drawn), n_resamples=20)
    for row in table.itertuples():
        expected = dict(AS_PUBLISHED)
        if row.choice != "none":
            assert row.option != AS_PUBLISHED[row.choice]
            expected[row.choice] = row.option
        assert {name: getattr(row, name) for name in CHOICES} == expected
    again = one_at_a_time(drawn, specifications(drawn), n_resamples=20)
    pd.testing.assert_frame_equal(table, again)


# --- the archive ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archived(task, upstream_folder):
    archive = open_archive(task, upstream_folder)
    if "train" not in archive.codings or REFERENCE not in archive.raw:
        pytest.skip("the archive's codings or ChatGPT-4's answers are not here: run `make data`")
    return specifications(prepare(archive))


def test_the_published_specification_gives_the_printed_values(archived):
    printed = published_flourishing().set_index(["split", "fname"])
    names = {
        "dimension_accuracy": "accD",
        "accuracy_with_intensity": "accI",
        "rescaled_accuracy": "jac2",
        "jaccard": "jac",
    }
    compared = 0
    for metric, column in names.items():
        table = archived[(archived["metric"] == metric) & (archived["fname"] != NOTHING)]
        for name in list(CHOICES)[1:]:
            table = table[table[name] == AS_PUBLISHED[name]]
        for row in table.itertuples():
            assert row.value == pytest.approx(printed.loc[(row.split, row.fname), column], abs=1e-9)
            assert row.n == printed.loc[(row.split, row.fname), "ntext"]
            compared += 1
    assert compared >= 4


def test_the_archive_says_which_choice_matters(archived):
    train = archived[archived["split"] == "train"]
    counts = specification_counts(train).iloc[0]
    assert counts["combinations"] == COMBINATIONS
    assert counts["undefined"] == COMBINATIONS / 8 / 3  # intensity accuracy from high on
    ranges = rank_ranges(train)
    assert ranges["published_rank"].tolist() == ranges["printed_rank"].tolist()
    effects = choice_effects(train).set_index(["choice", "option"])["mean_rank_change"]
    assert effects["metric", ALL] > effects["evaluation", ALL] > effects["conflict", ALL]
    options = option_shares(specification_differences(train, TUNED))
    shares = options.set_index(["choice", "option"])["share"]
    # Which of the two is ahead is a matter of the metric.
    assert shares["metric", "macro_f1"] == 1
    assert shares["metric", "intensity_accuracy"] == 0
    assert 0 < shares["metric", "dimension_accuracy"] < 1
