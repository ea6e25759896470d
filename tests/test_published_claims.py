"""Verdicts on the article's claims follow from the numbers, and flip when these flip."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from helpers.audit.claims.evidence import (
    CAVEAT,
    CHATGPT4,
    FAILS,
    HOLDS,
    UNKNOWN,
    VERDICTS,
    Evidence,
    published_difference,
    worst,
)
from helpers.audit.claims.judged import CLAIM_COLUMNS, RULES, judged_claims, published_claims
from helpers.audit.corrected.dimensions import corrected_per_dimension
from helpers.audit.corrected.scores import corrected_tables
from helpers.published.answers import GUESSED_SIZE
from helpers.published.archive import open_archive, posts
from helpers.published.panel import (
    PUBLISHED,
    PublishedError,
    published_flourishing,
    published_headlines,
)
from helpers.published.statistics import published_statistics
from helpers.tasks import load_task


def verdict(claim, **tables):
    return RULES[claim](Evidence(**tables)).verdict


def limits(value, half, **more):
    return {"value": value, "ci_low": value - half, "ci_high": value + half, "n": 400} | more


def cap(metric, value, half, **more):
    return pd.DataFrame([limits(value, half, metric=metric, **more)])


# --- the table -----------------------------------------------------------------------------------


def test_without_anything_every_claim_says_what_is_missing():
    table = judged_claims(Evidence())
    assert list(table.columns) == list(CLAIM_COLUMNS)
    assert set(table["verdict"]) == {UNKNOWN}
    assert (table["needs"] != "").all()
    missing = table.set_index("claim_id")["needs"]
    assert "flourishing/verified.csv" in missing["small_models_match"]
    assert "cap/classification_test" in missing["cap_fine_tuning"]


@pytest.mark.parametrize("name", [f for f in Evidence.__dataclass_fields__ if f != "guessed"])
def test_any_table_may_be_missing(name, everything):
    table = judged_claims(replace(everything, **{name: None}))
    assert len(table) == len(RULES)
    assert set(table["verdict"]) <= set(VERDICTS)


def test_claims_and_rules_must_match(tmp_path):
    text = (PUBLISHED / "claims.csv").read_text(encoding="utf-8")
    path = tmp_path / "claims.csv"
    with pytest.raises(PublishedError, match=r"claims.csv is missing: restore"):
        published_claims(tmp_path)
    path.write_text(text.replace("size_helps,", "sizes_help,"), encoding="utf-8")
    with pytest.raises(PublishedError, match="claim size_helps must stand there once"):
        published_claims(tmp_path)
    path.write_text(text + text.splitlines()[1] + "\n", encoding="utf-8")
    with pytest.raises(PublishedError, match="claim small_models_match must stand there once"):
        published_claims(tmp_path)
    path.write_text(text.replace("claim_id,claim,where", "claim_id,claim,place"), encoding="utf-8")
    with pytest.raises(PublishedError, match=r"lacks column\(s\) where"):
        published_claims(tmp_path)


def test_the_least_favourable_verdict_counts():
    assert worst([HOLDS, CAVEAT]) == CAVEAT
    assert worst([CAVEAT, FAILS, UNKNOWN]) == FAILS


def test_intervals_of_published_means_are_wide_enough():
    """No distribution on [0, 1] with mean m has a larger variance than m(1-m): a coin's."""
    found = published_difference((0.3, 100), (0.1, 400))
    half = 1.96 * np.sqrt(0.3 * 0.7 / 100 + 0.1 * 0.9 / 400)
    assert (found.value, found.high - found.value) == pytest.approx((0.2, half))


# --- models --------------------------------------------------------------------------------------


def paired(split="test", low=0.01, half=0.01, metrics=("jaccard", "micro_f1", "mcc"), **more):
    row = {"fname": "classified-L2-7B-FT", "model": "Llama 2 7B FT", "parameters_billion": 7.0}
    row |= {"fine_tuned": True, "split": split, "n": 2000, "status": "ok"} | more
    return pd.DataFrame(
        [
            row | {"metric": m, "difference": low + half, "ci_low": low, "ci_high": low + 2 * half}
            for m in metrics
        ]
    )


def test_small_models_are_judged_on_test_posts_with_true_labels():
    def judge(*frames):
        return verdict("small_models_match", paired=pd.concat(frames))

    assert judge(paired(low=-0.015)) == HOLDS
    assert judge(paired(low=-0.06, half=0.05), paired(low=0.01, model="Llama 2 13B FT")) == CAVEAT
    assert judge(paired(low=-0.06, half=0.01)) == FAILS
    assert judge(paired(low=-0.06, half=0.05)) == UNKNOWN  # neither as good nor worse
    # In-sample rows and large models decide nothing.
    assert judge(paired(split="train")) == UNKNOWN
    assert judge(paired(low=-0.06, half=0.01), paired(parameters_billion=70.0)) == FAILS
    scores = pd.DataFrame(
        [
            limits(0.85, 0.01, fname="classified-L2-7B-FT", model="Llama 2 7B FT",
                   fine_tuned=True, parameters_billion=7.0),
            limits(0.87, 0.01, fname="predict-nothing", model="", fine_tuned=False,
                   parameters_billion=np.nan),
        ]
    ).assign(split="test", texts="same", metric="dimension_accuracy")  # fmt: skip
    tables = {"paired": paired(low=-0.015), "scores": scores}
    assert verdict("small_models_match", **tables) == CAVEAT  # below predict-nothing
    text = RULES["small_models_match"](Evidence(**tables)).figure
    assert "predict-nothing 0.870" in text


def test_published_values_alone_can_only_support_with_a_caveat():
    table = published_flourishing()
    assert verdict("small_models_match", published=table) == CAVEAT
    finding = RULES["small_models_match"](Evidence(published=table))
    assert finding.needs == "flourishing/verified.csv"
    better = table.copy()
    small = better["fine_tuned"] & (better["split"] == "test")
    better.loc[small, ["jac", "accD"]] = [0.9, 0.99]
    assert verdict("small_models_match", published=better) == CAVEAT
    better.loc[small, ["jac", "accD"]] = [0.01, 0.5]
    assert verdict("small_models_match", published=better) == FAILS


def nothing(split, gain, base=0.92):
    scores = pd.DataFrame(
        [limits(base, 0.001, fname="predict-nothing"), limits(base + gain, 0.001, fname=CHATGPT4)]
    ).assign(split=split, texts="same", metric="dimension_accuracy")
    row = paired(split, gain - 0.001, 0.001, ["hamming_loss"], fname="predict-nothing")
    return scores, row


def test_accuracy_is_judged_by_the_errors_of_predicting_nothing():
    def judge(*pairs):
        scores, rows = (pd.concat(frames) for frames in zip(*pairs, strict=True))
        return verdict("accuracy_is_good", scores=scores, paired=rows)

    assert judge(nothing("train", 0.05)) == HOLDS  # of 0.08
    assert judge(nothing("train", 0.02)) == CAVEAT
    assert judge(nothing("train", -0.01)) == FAILS
    assert judge(nothing("train", 0.05), nothing("test", -0.01)) == FAILS


def test_size_and_fine_tuning_by_published_values():
    table = published_flourishing()
    base = ~table["fine_tuned"] & (table["fname"] != CHATGPT4)
    for slope, wanted in ((1, HOLDS), (-1, FAILS)):
        flipped = table.copy()
        rank = table["parameters_billion"].rank(method="dense") / 100
        flipped.loc[base, "jac"] = flipped.loc[base, "accD"] = 0.5 + slope * rank[base]
        assert verdict("size_helps", published=flipped) == wanted
    assert verdict("size_helps", published=table[table["fname"] == CHATGPT4]) == UNKNOWN
    test_small = table["fine_tuned"] & (table["split"] == "test")
    for level, wanted in ((0.95, CAVEAT), (0.05, FAILS)):
        flipped = table.copy()
        flipped.loc[test_small, ["jac", "accD"]] = level
        assert verdict("fine_tuning_beats_size", published=flipped) == wanted
    # The training posts, where fine-tuned models are in-sample, decide nothing.
    flipped = table.copy()
    flipped.loc[table["fine_tuned"] & (table["split"] == "train"), ["jac", "accD"]] = 0.01
    same = verdict("fine_tuning_beats_size", published=table)
    assert verdict("fine_tuning_beats_size", published=flipped) == same


# --- cases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "half", "wanted"),
    [(0.864, 0.02, CAVEAT), (0.864, 0.03, UNKNOWN), (0.80, 0.02, FAILS)],
)
def test_cap_against_a_published_rival(value, half, wanted):
    tables = {"cap": cap("mean_balanced_accuracy", value, half), "headlines": published_headlines()}
    assert verdict("cap_passes_chatgpt4", **tables) == wanted


@pytest.mark.parametrize(("value", "wanted"), [(0.748, CAVEAT), (0.60, FAILS), (0.30, FAILS)])
def test_cap_fine_tuning(value, wanted):
    tables = {"cap": cap("accuracy", value, 0.04), "headlines": published_headlines()}
    assert verdict("cap_fine_tuning", **tables) == wanted


def test_cap_takes_the_right_row_and_shares_only():
    right = cap("accuracy", 0.748, 0.04, split="test", model="Llama 2 7B FT", version="v2")
    others = [
        right.assign(value=0.1, ci_low=0.05, ci_high=0.15, **{name: wanted})
        for name, wanted in (("split", "train"), ("model", "majority"), ("version", "x"))
    ]
    tables = {"cap": pd.concat([*others, right]), "headlines": published_headlines()}
    finding = RULES["cap_fine_tuning"](Evidence(**tables))
    assert finding.verdict == CAVEAT
    assert "majority 0.100" in finding.figure
    tables["cap"] = cap("accuracy", 74.8, 4)
    with pytest.raises(ValueError, match="must be a share"):
        RULES["cap_fine_tuning"](Evidence(**tables))


@pytest.mark.parametrize(("value", "wanted"), [(0.8475, CAVEAT), (0.83, UNKNOWN), (0.80, FAILS)])
def test_dataverse_5000(value, wanted):
    row = limits(value, 0.004, n_empty=2124) | {"n": 32_619}
    row |= {"model": "llama-2-7b-small-dv", "scope": "all", "definition": "any"}
    tables = {"dataverse": pd.DataFrame([row]), "headlines": published_headlines()}
    assert verdict("dataverse_5000", **tables) == wanted


@pytest.mark.parametrize(
    ("share", "low", "high", "wanted"),
    [(0.7, 0.03, 0.10, HOLDS), (0.3, 0.03, 0.10, CAVEAT), (0.3, -0.02, 0.10, UNKNOWN),
     (0.3, -0.10, -0.02, FAILS)],
)  # fmt: skip
def test_dataverse_76110(share, low, high, wanted):
    parts = pd.DataFrame(
        [
            {"part": part, "n": 100, "difference": 0.1, "difference_low": 0.09,
             "difference_high": 0.11, "share": share, "share_low": share - 0.05,
             "share_high": share + 0.05}
            for part in ("all", "usable")
        ]
    )  # fmt: skip
    bounds = pd.DataFrame(
        [
            {"assumption": name, "difference": x, "ci_low": x - 0.01, "ci_high": x + 0.01}
            for name, x in (("for_small", low), ("for_large", high))
        ]
    )
    assert verdict("dataverse_76110", decomposition=parts, bounds=bounds) == wanted


# --- measures and coders -------------------------------------------------------------------------


def test_the_intensity_axis():
    table = published_flourishing()
    row = {"fname": CHATGPT4, "split": "train"}
    published = table[(table["fname"] == CHATGPT4) & (table["split"] == "train")]["accI"].iloc[0]

    def judge(cells, conditional):
        scores = pd.DataFrame([limits(conditional, 0.01, **row, model="ChatGPT-4")])
        scores = scores.assign(texts="published", metric="intensity_accuracy")
        summary = pd.DataFrame([row | {"accI": cells}])
        return verdict("intensity_axis", published=table, scores=scores, summary=summary)

    assert judge(published, 0.7) == FAILS
    assert judge(0.8, published + 0.001) == HOLDS
    assert judge(0.8, 0.7) == UNKNOWN


def test_the_jaccard_axis():
    table = published_flourishing()
    assert verdict("jaccard_axis", published=table) == FAILS
    assert verdict("jaccard_axis", published=table.assign(jac2=table["jac"])) == HOLDS
    assert verdict("jaccard_axis", published=table.assign(jac2=0.5)) == UNKNOWN


@pytest.mark.parametrize(
    ("agree", "half", "wanted"),
    [(0.705, 0.03, FAILS), (0.82, 0.01, HOLDS), (0.82, 0.05, CAVEAT), (0.90, 0.01, FAILS)],
)
def test_coders_disagree(agree, half, wanted):
    assert verdict("coders_disagree", agreement=limits(agree, half)) == wanted


@pytest.mark.parametrize(
    ("missed", "half", "wanted"), [(0.02, 0.01, HOLDS), (0.05, 0.02, CAVEAT), (0.2, 0.05, FAILS)]
)
def test_rejecting_needs_an_audit(missed, half, wanted):
    codings = pd.DataFrame(
        {
            "id": ["1", "1", "2", "2"],
            "dimension": ["a", "a", "a", "b"],
            "accepted": [True, True, True, False],
            "llm": ["GPT4", "LLAMA2", "LLAMA2", "GPT4"],
        }
    )
    finding = RULES["rejecting_is_enough"](Evidence(codings=codings))
    assert finding.verdict == UNKNOWN
    assert "All 2 true labels" in finding.figure
    assert "GPT4 1, LLAMA2 2" in finding.figure
    assert verdict("rejecting_is_enough", codings=codings, missed=limits(missed, half)) == wanted


def dimension_rows(**changes):
    row = {"fname": CHATGPT4, "split": "train", "dimension": "a", "support": 10, "n": 50}
    row |= {"named": 5, "named_published": 5.0, "printed_prec": 0.4, "printed_sens": 0.8}
    row |= {"printed_balAcc": 0.9, "balanced_accuracy": 0.7}
    row |= {"balanced_accuracy_low": 0.6, "balanced_accuracy_high": 0.8}
    return pd.DataFrame([row | changes])


def test_swapped_names_of_dimensions():
    keys = {"fname": CHATGPT4, "split": "train", "dimension": "a"}

    def judge(prec, balanced):
        printed = pd.DataFrame([keys | {"prec": prec, "balAcc": balanced}])
        return verdict("per_dimension_names", per_dimension=dimension_rows(), printed=printed)

    assert judge(0.4, 0.9) == FAILS  # as the swapped matrix gives them
    assert judge(0.8, 0.7) == HOLDS
    assert judge(0.5, 0.7) == UNKNOWN


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, HOLDS),
        ({"named_published": 0.0}, FAILS),
        ({"named_published": 0.0, "named": 0}, CAVEAT),
        ({"named_published": 0.0, "support": 0}, HOLDS),
        ({"named_published": np.nan}, UNKNOWN),  # baselines alone
    ],
)
def test_dimensions_that_the_cleaning_takes_away(changes, wanted):
    rows = dimension_rows(**changes)
    assert verdict("all_dimensions_count", per_dimension=rows) == wanted


def test_a_guessed_size():
    table = published_flourishing()
    assert verdict("chatgpt4_size", published=table, guessed=GUESSED_SIZE) == UNKNOWN
    assert verdict("chatgpt4_size", published=table) == HOLDS


# --- the archive ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(upstream_folder):
    task = load_task("flourishing")
    archive = open_archive(task, upstream_folder)
    if "train" not in archive.codings or CHATGPT4 not in archive.raw:
        pytest.skip("codings or ChatGPT-4's answers are not here: run `make data`")
    few = {name: archive.raw[name] for name in [*sorted(archive.raw)[:2], CHATGPT4]}
    archive = replace(archive, raw=few)
    tables, plain = corrected_tables(archive, "train", n_resamples=100), posts(archive, "train")
    summary = [
        {"fname": fname, "split": "train", **published_statistics(plain.truth, matrix)}
        for fname, matrix in plain.predicted.items()
    ]
    return Evidence(
        published=published_flourishing(),
        headlines=published_headlines(),
        summary=pd.DataFrame(summary),
        scores=tables.scores,
        paired=tables.paired,
        per_dimension=corrected_per_dimension(tables.resampled, task.labels, plain),
        printed=pd.read_csv(PUBLISHED / "per_dimension_chatgpt4.csv"),
        codings=archive.codings["train"],
        guessed=GUESSED_SIZE,
    )


def test_verdicts_from_the_archive(everything):
    table = judged_claims(everything).set_index("claim_id")
    for claim in ("jaccard_axis", "intensity_axis", "per_dimension_names", "all_dimensions_count"):
        assert table.loc[claim, "verdict"] == FAILS, claim
    assert table.loc["accuracy_is_good", "verdict"] == CAVEAT
    assert "n 2404" in table.loc["accuracy_is_good", "figure"]
    assert table.loc["rejecting_is_enough", "verdict"] == UNKNOWN
    assert "suffering" in table.loc["all_dimensions_count", "figure"]
    decided = table[table["verdict"] != UNKNOWN]
    assert (decided["figure"].str.len() > 30).all()
    assert not table["figure"].str.contains("nan").any()
