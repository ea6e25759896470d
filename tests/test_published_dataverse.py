"""The two archived Dataverse models: the published figures again, and what they are made of."""

import ast

import numpy as np
import pandas as pd
import pytest

from helpers.data import UpstreamMissing
from helpers.figures import FigureError, save_figure, training_size_published
from helpers.published import (
    DATAVERSE_MODELS,
    PublishedError,
    dataverse_answers,
    dataverse_decomposition,
    dataverse_emptiness,
    dataverse_models,
    dataverse_sensitivity,
    published_cleaning,
    published_headlines,
    read_dataverse,
)

SMALL, LARGE = DATAVERSE_MODELS
SUBJECTS = ["Law", "Medicine, Health and Life Sciences", "N/A", "Physics", "Social Sciences"]
# true subjects, answer of the small model, answer of the large model, how many such texts
MADE_UP = [
    (["Law"], ["Law"], ["Law"], 40),
    (["Law"], ["Physics"], ["Law"], 10),
    (["Physics"], ["Physics"], ["Law"], 4),
    (["Physics"], [], ["Physics"], 12),
    (["Physics"], [], ["Law"], 2),
    (["Law", "Physics"], ["/"], ["Law", "Physics"], 6),
    (["Law", "Physics"], ["Law"], [], 3),
    (["N/A"], [], ["Law"], 1),
    (["Social Sciences"], [], [], 2),
]


def raw(rows=MADE_UP):
    frames = {SMALL: [], LARGE: []}
    for place, (truth, small, large, copies) in enumerate(rows):
        for copy in range(copies):
            for key, answer in ((SMALL, small), (LARGE, large)):
                right = str(bool(set(truth) & set(answer)))
                name = f"doi:10.{place % 2}/{place}-{copy}"
                frames[key].append((name, name, str(truth), str(answer), right))
    columns = ["id", "doi", "trueSubject", "predicted", "isCorrect"]
    return {key: pd.DataFrame(part, columns=columns, dtype="str") for key, part in frames.items()}


@pytest.fixture(scope="module")
def made_up():
    return dataverse_answers(raw())


@pytest.fixture(scope="module")
def archive(upstream_folder):
    if missing := [
        m.file for m in DATAVERSE_MODELS.values() if not (upstream_folder / m.file).is_file()
    ]:
        pytest.skip(f"the archive's {missing} are not here: run `make data`")
    return read_dataverse(upstream_folder)


def value(table, column="value", **keys):
    for name, wanted in keys.items():
        table = table[table[name] == wanted]
    assert len(table) == 1
    return table[column].iloc[0]


@pytest.mark.parametrize(
    ("cell", "cleaned"),
    [
        ("['Law']", {"Law"}),
        ("['[Law', 'Physics, Law']", {"Law", "Physics"}),  # anywhere in the cell counts
        ("['Medicine, Health and Life Sciences']", {"Medicine, Health and Life Sciences"}),
        ("['Medicine']", {"N/A"}),
        ("['social sciences']", {"N/A"}),  # case matters
        ("['/']", {"N/A"}),
        ("[]", {"N/A"}),
        ("['[']", {"N/A"}),
    ],
)
def test_the_published_cleaning(cell, cleaned):
    assert published_cleaning(cell, SUBJECTS) == cleaned


def test_each_definition_counts_what_it_says(made_up):
    table = dataverse_models(made_up)

    def right(model, definition, scope="all"):
        keys = {"model": model, "definition": definition, "scope": scope}
        return value(table, "n_right", **keys)

    assert right(SMALL, "any") == 40 + 4 + 3
    assert right(SMALL, "any_cleaned") == 40 + 4 + 3 + 1  # an empty answer to a text without one
    assert right(SMALL, "exact") == 40 + 4 + 1
    # One label, none needed: empty answers have the right number of subjects.
    assert right(SMALL, "equal_number") == 40 + 10 + 4 + 12 + 2 + 1 + 2
    assert (
        value(table, "n_right_unnamed", model=SMALL, definition="equal_number", scope="all") == 17
    )
    assert right(LARGE, "exact") == 40 + 10 + 12 + 6
    assert (right(SMALL, "answered"), right(LARGE, "answered")) == (63, 75)
    assert (right(SMALL, "usable"), right(LARGE, "usable")) == (57, 75)
    assert right(LARGE, "any", "both_answered") == 56
    assert right(LARGE, "any", "both_usable") == 50
    assert set(table["n"][table["scope"] == "both_usable"]) == {54}
    rows = table[table["model"] == SMALL]
    assert (rows["n_answered"] + rows["n_empty"] == rows["n"]).all()
    assert (table["ci_low"] <= table["value"]).all()
    assert (table["value"] <= table["ci_high"]).all()


def test_the_parts_add_up_to_the_difference(made_up):
    table = dataverse_decomposition(made_up, n_resamples=300, seed=3).set_index("part")
    assert table.loc["all", "difference"] == pytest.approx((68 - 47) / 80)
    assert table["n"].to_dict() == {
        "all": 80,
        "answered": 60,
        "empty": 20,
        "no_subject": 6,
        "usable": 54,
    }
    assert table.loc["usable", "contribution"] == pytest.approx((50 - 44) / 80)
    assert table.loc["no_subject", "contribution"] == pytest.approx(6 / 80)
    assert table.loc["empty", "contribution"] == pytest.approx((12 - 3) / 80)
    parts = table.loc[["empty", "no_subject", "usable"]]
    assert parts["contribution"].sum() == pytest.approx(table.loc["all", "contribution"])
    assert parts["share"].sum() == pytest.approx(1)
    assert (table.loc["usable", ["only_small", "only_large"]] == [4, 10]).all()
    assert (table["contribution_low"] <= table["contribution"]).all()
    assert (table["contribution"] <= table["contribution_high"]).all()


def test_the_multinomial_draw_is_the_bootstrap_over_texts(made_up):
    fast = dataverse_decomposition(made_up, n_resamples=4000, seed=1).set_index("part")
    gain = np.array(
        [
            large - small
            for small, large in zip(
                *(made_up.outcomes[key]["any"].astype(int) for key in (SMALL, LARGE)), strict=True
            )
        ]
    )
    rng = np.random.default_rng(2)
    slow = [gain[rng.integers(0, len(gain), len(gain))].mean() for _ in range(4000)]
    low, high = np.quantile(slow, [0.025, 0.975])
    assert fast.loc["all", "difference_low"] == pytest.approx(low, abs=0.02)
    assert fast.loc["all", "difference_high"] == pytest.approx(high, abs=0.02)


def test_assumptions_about_empty_answers(made_up):
    table = dataverse_sensitivity(made_up, n_resamples=200).set_index("assumption")
    small, large = table["small"], table["large"]
    assert small["published"] == pytest.approx(47 / 80)
    assert small["at_random"] == pytest.approx((47 + 17 * 47 / 63) / 80)
    assert small["all_right"] == pytest.approx((47 + 17) / 80)
    assert large["all_right"] == pytest.approx((68 + 5) / 80)
    # Empty ones: 14 texts of physics (4 of 4 others right), 3 without any like them (47 of 63).
    expected = 47 + 14 * 1 + 3 * 47 / 63
    assert small["at_random_given_subjects"] == pytest.approx(expected / 80)
    # The large model was right on 12 of them, wrong on 3, empty on 2.
    expected = 47 + 12 * 40 / 56 + 3 * 4 / 4 + 2 * 3 / 3
    assert small["at_random_given_other"] == pytest.approx(expected / 80)
    difference = table["difference"]
    assert difference["for_small"] == difference.min()
    assert difference["for_large"] == difference.max()
    assert (table["ci_low"] < difference).all()
    assert (difference < table["ci_high"]).all()


def test_where_answers_are_empty(made_up):
    table = dataverse_emptiness(made_up)
    row = {"model": SMALL, "feature": "true subject", "value": "Physics"}
    assert value(table, "n", **row) == 27
    assert value(table, "n_empty", **row) == 14
    assert value(table, "of_empty", **row) == pytest.approx(14 / 17)
    assert value(table, "of_answered", **row) == pytest.approx(13 / 63)
    assert value(table, "n_empty", model=SMALL, feature="other model", value="empty") == 2
    for feature in ("number of true subjects", "repository", "other model"):
        part = table[(table["feature"] == feature) & (table["model"] == LARGE)]
        assert (part["n"].sum(), part["n_empty"].sum()) == (80, 5)
    assert set(table[table["feature"] == "repository"]["value"]) == {"others (under 100 texts)"}


def test_a_model_without_empty_answers_has_no_share_of_them():
    answers = dataverse_answers(raw([(["Law"], ["Law"], ["Law"], 3), (["Law"], ["Law"], ["/"], 2)]))
    table = dataverse_decomposition(answers, n_resamples=50).set_index("part")
    assert table.loc["empty", "n"] == 0
    assert table.loc["empty", "contribution"] == 0
    assert np.isnan(table.loc["empty", "difference"])
    assert np.isnan(dataverse_emptiness(answers)["of_empty"]).all()


def test_wrong_files_are_refused(tmp_path):
    frames = raw()
    frames[LARGE] = frames[LARGE].drop(columns="predicted")
    with pytest.raises(PublishedError, match=r"llama-2-7b-dv lack column\(s\) predicted"):
        dataverse_answers(frames)
    frames = raw()
    frames[LARGE] = frames[LARGE].iloc[::-1].reset_index(drop=True)
    with pytest.raises(PublishedError, match="different texts or subjects"):
        dataverse_answers(frames)
    for bad in ("Law", "{'Law': 1}", "['Law'"):
        frames = raw()
        frames[SMALL].loc[3, "predicted"] = bad
        with pytest.raises(PublishedError, match="is no list"):
            dataverse_answers(frames)
    frames = raw()
    frames[SMALL].loc[3, "isCorrect"] = "1"
    with pytest.raises(PublishedError, match="isCorrect must be True or False"):
        dataverse_answers(frames)
    with pytest.raises(PublishedError, match="no text is left in the scope 'answered'"):
        dataverse_models(dataverse_answers(raw([(["Law"], [], ["Law"], 3)])))
    with pytest.raises(UpstreamMissing, match="make data"):
        read_dataverse(tmp_path)


def test_the_figure_needs_both_models(made_up, tmp_path):
    models, parts = dataverse_models(made_up), dataverse_decomposition(made_up, n_resamples=50)
    figure = training_size_published(models, parts)
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"trained on 5,000 texts", "trained on 76,110 texts", "58.8%", "85.0%"} <= texts
    first = [path.read_bytes() for path in save_figure(figure, tmp_path, "a")]
    again = save_figure(training_size_published(models, parts), tmp_path, "b")
    assert [path.read_bytes() for path in again] == first
    with pytest.raises(FigureError, match="two are compared, the table has 1"):
        training_size_published(models[models["model"] == SMALL], parts)
    with pytest.raises(FigureError, match="no row of any, both_usable"):
        training_size_published(models[models["scope"] != "both_usable"], parts)


# --- the archive ---------------------------------------------------------------------------------


def test_the_published_figures_come_out_again(archive):
    table = dataverse_models(archive)

    def percent(model, definition, scope="all"):
        return 100 * value(table, model=model, definition=definition, scope=scope)

    assert set(table["n"][table["scope"] == "all"]) == {32_619}
    assert percent(LARGE, "any") == pytest.approx(94.56, abs=0.005)
    assert percent(LARGE, "any_cleaned") == pytest.approx(94.70, abs=0.005)
    assert percent(SMALL, "any") == pytest.approx(84.75, abs=0.005)
    assert percent(SMALL, "any_cleaned") == pytest.approx(84.84, abs=0.005)
    assert percent(LARGE, "exact") == pytest.approx(85.5, abs=0.05)
    # The article's 90.3 adds up rounded cells of its table; 90.39 is the value before rounding.
    assert percent(LARGE, "equal_number") == pytest.approx(90.3, abs=0.1)
    everything = {"definition": "any", "scope": "all"}
    assert value(table, "n_empty", model=SMALL, **everything) == 2124
    assert value(table, "n_empty", model=LARGE, **everything) == 110
    assert percent(SMALL, "any", "both_answered") == pytest.approx(90.7, abs=0.05)
    assert percent(LARGE, "any", "both_answered") == pytest.approx(94.8, abs=0.05)
    published = published_headlines()
    published = published[(published["task"] == "dataverse") & (published["metric"] == "any_right")]
    for size, model in ((5000, SMALL), (76110, LARGE)):
        printed = published[published["model"].str.contains(f"({size} texts)", regex=False)][
            "value"
        ]
        assert round(percent(model, "any"), 1) == printed.iloc[0]


def test_the_archive_says_what_the_difference_is_made_of(archive):
    parts = dataverse_decomposition(archive).set_index("part")
    points = 100 * parts["contribution"]
    assert points["all"] == pytest.approx(9.80, abs=0.005)
    assert points["empty"] == pytest.approx(5.94, abs=0.005)
    assert points["no_subject"] == pytest.approx(1.14, abs=0.005)
    assert points["usable"] == pytest.approx(2.72, abs=0.005)
    assert (parts.loc["answered", ["only_small", "only_large"]] == [622, 1883]).all()
    assert parts.loc["usable", "contribution_low"] > 0  # training size still matters
    bounds = dataverse_sensitivity(archive).set_index("assumption")["difference"]
    assert 100 * bounds["for_small"] == pytest.approx(3.29, abs=0.01)
    assert 100 * bounds["for_large"] == pytest.approx(10.14, abs=0.01)
    assert 100 * bounds["at_random"] == pytest.approx(4.22, abs=0.01)


def test_texts_that_the_large_model_lost_the_small_one_lost_too(archive):
    table = dataverse_emptiness(archive)
    row = {"feature": "other model", "value": "empty"}
    assert value(table, "n_empty", model=LARGE, **row) == 91  # of 110: longer prompts are cut twice
    assert value(table, "share_empty", model=LARGE, **row) == pytest.approx(91 / 2124)
    # Equal numbers of subjects are mostly empty answers to texts with one subject.
    models = dataverse_models(archive)
    row = {"definition": "equal_number", "scope": "all"}
    assert value(models, "n_right_unnamed", model=SMALL, **row) == 2280
    assert value(models, model=SMALL, **row) > value(models, model=LARGE, **row)


def test_the_archive_scored_its_answers_as_we_do(upstream_folder, archive):
    for model in DATAVERSE_MODELS.values():
        frame = pd.read_csv(upstream_folder / model.file, dtype=str, keep_default_na=False)
        cells = frame[["trueSubject", "predicted"]].map(lambda cell: set(ast.literal_eval(cell)))
        right = [bool(true & named) for true, named in cells.itertuples(index=False)]
        assert archive.outcomes[model.key]["any"].tolist() == right
