"""Archived answers: cleaned rule by rule as the authors did, and their statistics to the digit."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from helpers.data import UpstreamError, UpstreamMissing, read_manifest
from helpers.data.upstream import load_flourishing
from helpers.metrics.tidy import PREDICTION_COLUMNS, counts_from_frames
from helpers.published import (
    PublishedError,
    all_archived_models,
    archived_answers,
    archived_models,
    cleaned_answers,
    level_matrix,
    normalisation_rules,
    normalise,
    published_flourishing,
    published_statistics,
    read_answers,
)
from helpers.published.answers import as_predictions, check_answers
from helpers.published.normalisation import RULES_FILE, SEPARATOR
from helpers.published.panel import PUBLISHED
from helpers.tasks import load_task

TASK = load_task("flourishing")
SHARES = ["accD", "accI", "FN", "FP", "jac", "jac2", "ham"]
UNPREDICTABLE = {"suffering", "expressing job satisfaction"}


def answers(*rows):
    """Rows (dimension, value) or (dimension, value, id)."""
    return pd.DataFrame(
        [(*row, "1") if len(row) == 2 else row for row in rows],
        columns=["dimension", "value", "id"],
        dtype="str",
    )


def clean(dimension, value="high", **options):
    """What one answer becomes; None if it is dropped."""
    frame = normalise(answers((dimension, value)), TASK.labels, **options).frame
    return tuple(frame[["dimension", "value"]].iloc[0]) if len(frame) else None


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("HAPPINESS", "happiness"),  # lower case
        (" \t resilience\n", "resilience"),  # trimmed
        ("PTSD_(post-traumatic stress disorder)", "ptsd (post-traumatic stress disorder)"),
        ("“quality_of-relationships”", "quality of relationships"),  # signs become spaces
        ("feeling hopeful", "having hope"),  # contains
        ("hopeless anxiety", "having hope"),  # the first rule that fits decides ...
        ("inner peace without pain", "peace with thoughts and feelings"),
        ("self-esteem", "self-esteem"),  # the hyphen comes back
        ("concern for others", "expressing empathy"),  # equals
        ("great concern for others", None),  # equals means all of it
        ("well-being", "happiness"),  # ... and a rule sees what the one before left
        ("having trust in God", "belief in god"),
        ("sense of belonging", "belonging to society"),
        ("a new dimension", None),  # not in the codebook
        ("", None),
    ],
)
def test_dimensions_are_cleaned_in_order(raw, cleaned):
    assert clean(raw) == (cleaned and (cleaned, "high"))


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Medium-High", "high"),  # low, high, medium in this order, each replaces the whole
        ("very low", "low"),
        ("medium to low", "low"),
        ("not applicable", "low"),
        ("N/A", "low"),
        ("unavailable", "low"),  # contains "na", as published
        ("null", "low"),
        ("True", "low"),
        ("false", "low"),
        ("strong", None),
        ("", None),
    ],
)
def test_levels_are_cleaned_in_order(raw, cleaned):
    assert clean("happiness", raw) == (cleaned and ("happiness", cleaned))


@pytest.mark.parametrize(
    ("raw", "published", "corrected"),
    [
        ("suffering", "feeling pain", "suffering"),
        ("Suffering of others", "feeling pain", "suffering"),
        ("suffering from pain", "feeling pain", "feeling pain"),
        ("expressing job satisfaction", "life satisfaction", "expressing job satisfaction"),
        ("job satisfaction", "life satisfaction", "expressing job satisfaction"),
        ("satisfaction", "life satisfaction", "life satisfaction"),
        ("life satisfaction", "life satisfaction", "life satisfaction"),
    ],
)
def test_the_two_unpredictable_dimensions_can_be_restored(raw, published, corrected):
    assert clean(raw) == (published, "high")
    assert clean(raw, correct=True) == (corrected, "high")


def test_each_dimension_of_the_codebook_is_left_alone_but_for_two():
    frame = answers(*[(dimension, "high") for dimension in TASK.labels])
    corrected = normalise(frame, TASK.labels, correct=True).frame
    assert corrected["dimension"].tolist() == TASK.labels
    published = normalise(frame, TASK.labels).frame
    changed = published["dimension"] != frame["dimension"]
    assert set(frame.loc[changed, "dimension"]) == UNPREDICTABLE


def test_every_row_is_kept_or_dropped_and_counted():
    frame = answers(
        ("joy", "high"), ("joy", "high"), ("Joy", "so so"), ("weather", "so so"), ("happiness", "x")
    )
    frame.loc[5] = [None, "high", "1"]
    frame.loc[6] = ["happiness", None, "1"]
    frame.index += 100
    kept, dropped, rules = normalise(frame, TASK.labels)
    assert kept["dimension"].tolist() == ["happiness", "happiness"]
    assert kept.index.tolist() == [100, 101]
    assert dropped.index.tolist() == [102, 103, 104, 105, 106]
    kinds = rules.set_index("order")["match"].to_dict()
    reasons = ["keep", "keep_codebook", "keep", "keep_codebook", "keep"]
    assert dropped["rule"].map(kinds).tolist() == reasons
    assert rules.set_index("match")["dropped"][["keep_codebook", "keep"]].tolist() == [2, 3]
    changes = rules[(rules["changed"] > 0)].set_index("pattern")["changed"].to_dict()
    assert changes == {"": 1, "joy": 3}  # "Joy" in lower case; joy to happiness
    assert rules["dropped"].sum() == len(dropped)


def test_no_answers_are_no_problem():
    kept, dropped, rules = normalise(answers(), TASK.labels)
    assert (len(kept), len(dropped), rules["changed"].sum()) == (0, 0, 0)


def test_what_the_caller_gave_is_not_changed():
    frame = answers(("Joy", "Very HIGH"))
    before = frame.copy()
    normalise(frame, TASK.labels)
    pd.testing.assert_frame_equal(frame, before)


def test_a_renamed_column_is_named():
    frame = answers(("joy", "high")).rename(columns={"value": "level"})
    with pytest.raises(PublishedError, match=r"without column\(s\) value"):
        normalise(frame, TASK.labels)
    with pytest.raises(PublishedError, match=r"x lacks column\(s\) value"):
        check_answers(frame, "x")


def test_the_rules_are_complete():
    published, corrected = normalisation_rules(), normalisation_rules(correct=True)
    assert (len(published), len(corrected)) == (57, 58)
    assert set(published["target"]) - {""} <= {*TASK.labels, *TASK.levels}
    assert published["order"].is_monotonic_increasing
    differ = pd.concat([published, corrected]).drop_duplicates(keep=False)
    assert set(differ["version"]) == {"published", "corrected"}


@pytest.mark.parametrize(
    ("column", "cell", "problem"),
    [
        ("order", "7", r"line 4: order '7' where 3 is due"),
        ("match", "startswith", r"line 4: match 'startswith' is none of"),
        ("version", "draft", r"line 4: version 'draft'"),
        ("pattern", "", r"line 4: 'contains' needs a pattern"),
    ],
)
def test_damaged_rules_are_named(tmp_path, column, cell, problem):
    rules = pd.read_csv(PUBLISHED / RULES_FILE, dtype=str, keep_default_na=False)
    rules.loc[2, column] = cell
    rules.to_csv(tmp_path / RULES_FILE, index=False)
    with pytest.raises(PublishedError, match=problem):
        normalisation_rules(tmp_path)
    rules.drop(columns="unless").to_csv(tmp_path / RULES_FILE, index=False)
    with pytest.raises(PublishedError, match=r"lacks column\(s\) unless"):
        normalisation_rules(tmp_path)
    (tmp_path / RULES_FILE).unlink()
    with pytest.raises(PublishedError, match="is missing"):
        normalisation_rules(tmp_path)


# --- predictions ----------------------------------------------------------------------------------

# Neighbours beyond 2^53: as floats these three would be one.
FIRST, SECOND, THIRD = "9007199254740993000", "9007199254740993001", "9007199254740993002"


def test_answers_become_predictions():
    raw = answers(
        ("vitality", "low", FIRST),
        ("happiness", "medium", FIRST),
        ("joy", "high", FIRST),  # happiness again: the first counts
        ("happiness", "so so", SECOND),
        ("weather", "high", SECOND),
        ("weather", "high", THIRD),
        ("happiness", "high", "5"),  # not asked for
    )
    texts = pd.DataFrame({"id": [THIRD, FIRST, "4", SECOND], "split": "test"}, dtype="str")
    frame = as_predictions(TASK, normalise(raw, TASK.labels), texts)
    assert list(frame.columns) == PREDICTION_COLUMNS
    assert frame["id"].tolist() == texts["id"].tolist()
    assert frame["status"].tolist() == ["off_list", "ok", "absent", "unparsed"]
    assert frame["answer"].tolist() == ["", " 1 medium 7 low", "", ""]
    labels = [TASK.loads(cell) for cell in frame["labels"]]
    assert labels == [{}, {"happiness": "medium", "vitality": "low"}, {}, {}]
    for answer, label in zip(frame["answer"], labels, strict=True):
        assert not label or TASK.parse(answer).labels == label


def test_ids_must_be_text():
    texts = pd.DataFrame({"id": [int(FIRST)], "split": "test"})
    with pytest.raises(PublishedError, match="is no text"):
        as_predictions(TASK, normalise(answers(), TASK.labels), texts)
    with pytest.raises(PublishedError, match=r"row 2: id '1\.6e\+18' is no whole number"):
        check_answers(answers(("joy", "high"), ("joy", "high", "1.6e+18")), "x.csv")
    with pytest.raises(PublishedError, match=r"row 1: id .* is no whole number"):
        check_answers(answers(("joy", "high", None)), "x.csv")


def test_a_header_among_the_rows_is_dropped_by_a_rule():
    raw = check_answers(answers(("dimension", "value", "id"), ("joy", "high", FIRST)), "x.csv")
    kept, dropped, _ = normalise(raw, TASK.labels)
    assert (kept["id"].tolist(), dropped["id"].tolist()) == ([FIRST], ["id"])


def test_unknown_tasks_models_and_files(tmp_path):
    texts = pd.DataFrame({"id": [FIRST], "split": "test"}, dtype="str")
    with pytest.raises(PublishedError, match="not for cap"):
        archived_answers(load_task("cap"), tmp_path, "archived-chatgpt4", texts)
    with pytest.raises(PublishedError, match=r"no archived model 'gpt'.*archived-chatgpt4"):
        archived_answers(TASK, tmp_path, "gpt", texts)
    assert archived_models(tmp_path) == {}
    with pytest.raises(UpstreamMissing, match="make data"):
        archived_answers(TASK, tmp_path, "archived-chatgpt4", texts)
    wrong = tmp_path / "flourishing" / "classified-chatgpt4.csv"
    wrong.parent.mkdir()
    wrong.write_text("dimension,value,id\njoy,high,1\n")
    assert list(archived_models(tmp_path)) == ["archived-chatgpt4"]
    with pytest.raises(UpstreamError, match="differ from the authors' pinned version"):
        archived_answers(TASK, tmp_path, "archived-chatgpt4", texts)


def test_every_model_has_a_file_in_the_manifest():
    models = all_archived_models()
    files = {row.local_path for row in read_manifest()}
    assert len(models) == 18
    assert {model.file for model in models.values()} <= files
    assert {model.fname for model in models.values()} == set(published_flourishing()["fname"])
    assert models["archived-l2-7b-ft"].file == "flourishing/classified-L2-7B-FT@9d7ff68.csv"
    chatgpt = models["archived-chatgpt4"]
    assert chatgpt.title == "ChatGPT-4 (archived answers)"
    assert (chatgpt.parameters, chatgpt.size_is_guess) == (1_760_000_000_000, True)
    assert not chatgpt.fine_tuned and not chatgpt.in_sample
    assert models["archived-l31-405b"].parameters == 405_000_000_000
    assert sum(model.in_sample for model in models.values()) == 7


# --- statistics -----------------------------------------------------------------------------------


def test_statistics_by_hand():
    truth = np.zeros((4, 46), dtype=np.uint8)
    guess = truth.copy()
    truth[0, :2], guess[0, :2] = (3, 1), (3, 2)  # both dimensions, one level wrong
    truth[1, :3], guess[1, 2:5] = 2, 2  # one of five shared: two missed, two added
    truth[2, 0] = 1  # no prediction: left out
    guess[3, 0] = 1  # no truth: left out
    found = published_statistics(truth, guess)
    assert (found["n"], found["ntext"]) == (92, 2)
    assert found["accD"] == pytest.approx(88 / 92)
    assert found["accI"] == pytest.approx(87 / 92)
    assert found["FN"] == found["FP"] == pytest.approx(2 / 92)
    assert found["jac"] == pytest.approx((1 + 1 / 5) / 2)
    assert found["jac2"] == pytest.approx((1 + 42 / 47) / 2)
    assert found["ham"] == pytest.approx(4 / 46 / 2)


def test_statistics_of_no_posts_are_undefined():
    nothing = np.zeros((2, 46), dtype=np.uint8)
    found = published_statistics(nothing, nothing)
    assert (found["n"], found["ntext"]) == (0, 0)
    assert all(np.isnan(found[name]) for name in SHARES)


def test_the_first_level_of_a_dimension_is_in_the_matrix():
    rows = answers(("happiness", "low", "b"), ("happiness", "high", "b"), ("vitality", "high", "c"))
    matrix = level_matrix(TASK, rows, ["a", "b"])
    assert matrix.shape == (2, 46)
    assert (matrix.sum(), matrix[1, TASK.labels.index("happiness")]) == (1, 1)


# --- the archive ----------------------------------------------------------------------------------


def by_hand(word, rules):
    """Apply the rules of one field to one word, step by step."""
    for rule in rules:
        parts = rule.pattern.split(SEPARATOR)
        if rule.match == "lowercase":
            word = word.lower()
        elif rule.match == "space":
            word = "".join(" " if c in rule.pattern else c for c in word).strip(" \t\r\n")
        elif (rule.match == "equals" and word in parts) or (
            rule.match == "contains"
            and any(part in word for part in parts)
            and not (rule.unless and rule.unless in word)
        ):
            word = rule.target
    return word


@pytest.mark.parametrize("correct", [False, True])
def test_real_words_are_cleaned_as_step_by_step(upstream_folder, correct):
    rules = normalisation_rules(correct=correct)
    raw = read_answers(upstream_folder, "flourishing/classified-L31-405B.csv")
    raw = raw.drop_duplicates(["dimension", "value"])
    kept, dropped, _ = normalise(raw, TASK.labels, correct=correct)
    cleaned = pd.concat([kept, dropped]).sort_index()
    assert cleaned.index.equals(raw.index)
    for name in ("dimension", "value"):
        mine = list(rules[rules["field"] == name].itertuples())
        assert cleaned[name].tolist() == [by_hand(word, mine) for word in raw[name]]
    assert set(kept["dimension"]) <= set(TASK.labels)
    assert set(kept["value"]) == set(TASK.levels)


def test_the_correction_touches_two_dimensions_alone(upstream_folder):
    present = archived_models(upstream_folder).values()
    for model in present:
        published = cleaned_answers(TASK, upstream_folder, model.file)
        corrected = cleaned_answers(TASK, upstream_folder, model.file, correct=True)
        assert published.frame.index.equals(corrected.frame.index)
        differ = published.frame["dimension"] != corrected.frame["dimension"]
        assert set(corrected.frame.loc[differ, "dimension"]) == UNPREDICTABLE
        assert not set(published.frame["dimension"]) & UNPREDICTABLE
        assert published.rules["dropped"].sum() == len(published.dropped)


def test_archived_answers_to_the_annotated_posts(upstream_folder):
    posts = load_flourishing(TASK, upstream_folder).frame[["id", "labels"]]
    posts = posts.rename(columns={"labels": "truth"}).assign(split="test")
    for key, statuses in {
        "archived-chatgpt4": {"ok": 2288, "absent": 116},
        "archived-l31-405b": {"ok": 1849, "absent": 555},
        "archived-l32-1b-ft": {"ok": 1047, "absent": 1258, "unparsed": 53, "off_list": 46},
    }.items():
        frame = archived_answers(TASK, upstream_folder, key, posts)
        assert frame["id"].tolist() == posts["id"].tolist()
        assert frame["status"].value_counts().to_dict() == statuses
    counts = counts_from_frames(TASK, frame.assign(truth=posts["truth"].to_numpy()))
    assert (counts.n, counts.n_answered) == (2404, 1047)


def test_only_posts_that_are_asked_for_come_back(upstream_folder):
    known = read_answers(upstream_folder, "flourishing/classified-chatgpt4.csv")["id"].iloc[0]
    texts = pd.DataFrame({"id": [known, FIRST], "split": ["test", "validation"]})
    frame = archived_answers(TASK, upstream_folder, "archived-chatgpt4", texts)
    assert frame["status"].tolist() == ["ok", "absent"]
    assert frame["split"].tolist() == ["test", "validation"]


def test_torch_is_not_needed():
    code = "import sys, helpers.published; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
