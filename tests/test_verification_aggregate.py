"""Aggregation: stated rules, conflicts reported, and the published rule on the real archive."""

import json

import pandas as pd
import pytest

from helpers.data.upstream import parse_answer
from helpers.tasks import load_task
from helpers.verification.aggregate import (
    RULES,
    AggregationError,
    dropped_counts,
    verified_labels,
)
from helpers.verification.events import Decision
from helpers.verification.summary import (
    acceptance_rates,
    conflicts,
    decision_counts,
    judgements,
    review_times,
)

CAP, DATAVERSE, FLOURISHING = map(load_task, ("cap", "dataverse", "flourishing"))
HAPPY, HOPE = "happiness", "life satisfaction"


def proposed(*rows):
    frame = pd.DataFrame(rows, columns=["id", "label", "level", "votes"])
    labellers = [json.dumps([f"m{i}" for i in range(votes)]) for votes in frame["votes"]]
    return frame.assign(labellers=labellers)


def says(coder, action, label="", level="", text_id="t", **more):
    return Decision(coder, text_id, action, label, level, **more)


def outcome(task, proposals, decisions, rule="majority"):
    row = verified_labels(task, proposals, decisions, rule=rule).iloc[0]
    return json.loads(row["labels"]), row["conflict"], row["resolved_by"], row["dropped"]


TWO = proposed(("t", "6", "", 2), ("t", "1", "", 1))


def test_rules_on_a_label_that_two_coders_see_differently():
    decisions = [says("a", "accept", "6"), says("b", "reject", "6")]
    decisions += [says(coder, "reject", "1") for coder in "ab"]
    conflict = "conflict: no label survives the rule"
    assert outcome(CAP, TWO, decisions) == (None, True, "majority", conflict)
    assert outcome(CAP, TWO, decisions, "unanimous") == (None, True, "unanimous", conflict)
    for rule in ("any", "first-accepted", "high-wins"):
        assert outcome(CAP, TWO, decisions, rule) == ("6", True, rule, "")
    decisions += [says("c", "accept", "6"), says("c", "reject", "1")]
    assert outcome(CAP, TWO, decisions) == ("6", True, "majority", "")


def test_coders_who_agree_are_no_conflict():
    decisions = [
        says(c, "accept" if label == "6" else "reject", label) for c in "ab" for label in "61"
    ]
    for rule in RULES:
        assert outcome(CAP, TWO, decisions, rule) == ("6", False, "", "")


def test_several_surviving_labels_are_reduced_to_one_and_reported():
    decisions = [says("a", "accept", "1"), says("a", "accept", "6")]
    assert outcome(CAP, TWO, decisions) == ("6", True, "most votes of the crowd", "")
    assert outcome(CAP, TWO, decisions, "first-accepted") == ("1", True, "accepted first", "")
    even = TWO.assign(votes=1)
    assert outcome(CAP, even, decisions[::-1]) == ("1", True, "first of the codebook", "")
    decisions += [says("b", "accept", "1"), says("b", "reject", "6")]
    assert outcome(CAP, TWO, decisions, "any") == ("1", True, "any; most coders", "")


def test_a_text_is_dropped_with_its_reason():
    proposals = proposed(*[(i, "6", "", 1) for i in "abcd"], ("b", "1", "", 1))
    decisions = [says("x", "reject", "6", text_id="a"), says("x", "accept", "6", text_id="b")]
    decisions += [says("x", "accept", "6", text_id="c", blind=True)]
    decisions += [says("x", "accept", "6", text_id="d")]
    frame = verified_labels(CAP, proposals, decisions, ids=list("abcde"))
    assert frame.set_index("id")["dropped"].to_dict() == {
        "a": "no label survives",
        "b": "not fully reviewed",
        "c": "not reviewed",
        "d": "",
        "e": "no proposals",
    }
    assert frame["labels"].tolist() == ["null", "null", "null", '"6"', "null"]
    counts = dropped_counts(frame).set_index("outcome")["texts"]
    assert counts.sum() == 5
    assert counts["kept"] == 1


def test_a_corrected_label_counts_against_those_who_did_not_give_it():
    decisions = [says("a", "correct", "7"), says("a", "reject", "6"), says("a", "reject", "1")]
    assert outcome(CAP, TWO, decisions) == ("7", False, "", "")
    decisions += [says("b", "accept", "6"), says("b", "reject", "1")]
    assert outcome(CAP, TWO, decisions)[3] == "conflict: no label survives the rule"
    assert outcome(CAP, TWO, decisions, "any") == ("6", True, "any; most votes of the crowd", "")
    decisions += [says("c", "correct", "7"), says("c", "reject", "6"), says("c", "reject", "1")]
    assert outcome(CAP, TWO, decisions) == ("7", True, "majority", "")


def test_a_coder_may_say_that_no_label_applies():
    decisions = [says("a", "correct"), says("a", "reject", "6"), says("a", "reject", "1")]
    assert outcome(CAP, TWO, decisions) == (None, False, "", "no label survives")


def test_levels_of_a_label():
    proposals = proposed(("t", HAPPY, "low", 2), ("t", HAPPY, "high", 1), ("t", HOPE, "low", 1))
    decisions = [says("a", "accept", *item) for item in [(HAPPY, "low"), (HAPPY, "high")]]
    decisions += [says("a", "reject", HOPE, "low")]
    assert outcome(FLOURISHING, proposals, decisions)[:3] == (
        {HAPPY: "low"},
        True,
        "most votes of the crowd",
    )
    assert outcome(FLOURISHING, proposals, decisions, "high-wins")[:3] == (
        {HAPPY: "high"},
        True,
        "highest level",
    )
    assert outcome(FLOURISHING, proposals, decisions[::-1], "first-accepted")[:3] == (
        {HAPPY: "high"},
        True,
        "accepted first",
    )
    decisions += [says("a", "correct", HOPE, "medium")]
    assert outcome(FLOURISHING, proposals, decisions)[0] == {HAPPY: "low", HOPE: "medium"}
    corrected = [says("a", "accept", HAPPY, "low"), says("a", "correct", HAPPY, "high")]
    labels = outcome(FLOURISHING, proposals[:1], corrected)
    assert labels == ({HAPPY: "high"}, False, "", "")


def test_several_labels_come_in_the_order_of_the_codebook():
    names = DATAVERSE.labels[3], DATAVERSE.labels[1]
    proposals = proposed(*[("t", name, "", 1) for name in names])
    decisions = [says("a", "accept", name) for name in names]
    assert outcome(DATAVERSE, proposals, decisions)[0] == list(names[::-1])


def test_unknown_rules_and_labels_are_refused():
    with pytest.raises(AggregationError, match="unknown rule 'best'"):
        verified_labels(CAP, TWO, [], rule="best")
    other = proposed(("t", "health", "", 1))
    with pytest.raises(AggregationError, match="'health', which is not in the codebook of cap"):
        verified_labels(CAP, other, [says("a", "accept", "health")])


# --- summaries --------------------------------------------------------------------------------


def test_acceptance_by_labeller_and_coder():
    decisions = [says("a", "accept", "6"), says("a", "reject", "1"), says("b", "reject", "6")]
    decisions += [says("b", "correct", "7"), says("b", "code", "6", blind=True)]
    table = acceptance_rates(TWO, decisions).set_index(["labeller", "coder"])
    assert table.loc[("all", "all"), ["accepted", "judged"]].tolist() == [1, 3]
    assert table.loc[("m0", "all"), ["accepted", "judged"]].tolist() == [1, 3]
    assert table.loc[("m1", "a"), ["accepted", "judged"]].tolist() == [1, 1]
    assert table.loc[("m1", "b"), "rate"] == 0
    assert ((table["ci_low"] <= table["rate"]) & (table["rate"] <= table["ci_high"])).all()
    assert len(judgements(TWO, decisions)) == 3


def test_decisions_are_compared_with_full_coding():
    decisions = [says("a", "accept", "6", seconds=4.0), says("a", "reject", "1", seconds=4.0)]
    decisions += [says("b", "correct", "7", seconds=8.0), says("b", "note", comment="hm")]
    decisions += [says("b", "code", "7", text_id="u", blind=True)]
    table = decision_counts(CAP, decisions).set_index(["coder", "part"])
    assert table.loc[("all", "review")].tolist() == [2, 1, 1, 1, 3, 2, 1.5]
    assert table.loc[("b", "blind")].tolist() == [1, 0, 0, 1, 1, 1, 1.0]
    multi = decision_counts(DATAVERSE, decisions).set_index(["coder", "part"])
    assert multi.loc[("all", "review"), "full_coding"] == 28
    times = review_times(decisions).set_index("coder")
    assert times.loc["a", ["texts", "decisions", "median", "seconds_per_decision"]].tolist() == [
        1,
        2,
        4,
        2,
    ]
    assert review_times([says("a", "accept", "6")]).empty


def test_conflicts_say_how_they_were_resolved():
    decisions = [says("a", "accept", "6"), says("b", "reject", "6")]
    decisions += [says(coder, "reject", "1") for coder in "ab"]
    for rule, expected in [("majority", "text dropped"), ("any", "kept")]:
        verified = verified_labels(CAP, TWO, decisions, rule=rule)
        (row,) = conflicts(TWO, decisions, verified).to_dict("records")
        assert (row["label"], row["accepted_by"], row["rejected_by"]) == ("6", "a", "b")
        assert (row["outcome"], row["resolved_by"], row["votes"]) == (expected, rule, 2)


# --- the archive ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(upstream_folder):
    codings, answers = (
        pd.read_csv(upstream_folder / "flourishing" / name, dtype=str, keep_default_na=False)
        for name in ("all-llms-codings.csv", "answers.csv")
    )
    keys = ["id", "dimension", "value"]
    crowd = codings.groupby(keys, sort=False)["llm"].agg(lambda names: sorted(set(names)))
    proposals = crowd.reset_index().set_axis(["id", "label", "level", "labellers"], axis=1)
    proposals["votes"] = proposals["labellers"].map(len)
    proposals["labellers"] = proposals["labellers"].map(json.dumps)
    decisions = [
        Decision(row.coder, row.id, verdict, row.dimension, row.value)
        for row in codings.itertuples()
        for verdict in ["accept" if row.accepted == "Y" else "reject"]
    ]
    answered = zip(answers["id"], answers["answer"], strict=True)
    published = {i: FLOURISHING.check_labels(parse_answer(cell)) for i, cell in answered}
    return proposals, decisions, published


def test_the_published_rule_gives_the_published_labels(archive):
    proposals, decisions, published = archive
    verified = verified_labels(FLOURISHING, proposals, decisions, rule="first-accepted")
    kept = verified[verified["dropped"] == ""]
    labels = {i: json.loads(cell) for i, cell in zip(kept["id"], kept["labels"], strict=True)}
    assert len(labels) == 2404
    assert sum(map(len, labels.values())) == 8855
    assert labels == published
    assert dropped_counts(verified)["texts"].tolist() == [2404, 30]


def test_the_rule_of_the_published_statistics_differs_in_levels_only(archive):
    proposals, decisions, published = archive
    verified = verified_labels(FLOURISHING, proposals, decisions, rule="high-wins")
    labels = dict(zip(verified["id"], map(json.loads, verified["labels"]), strict=True))
    assert sum(labels[i] == cell for i, cell in published.items()) == 2387
    assert all(set(labels[i]) == set(cell) for i, cell in published.items())


def test_acceptance_in_the_archive(archive):
    table = acceptance_rates(*archive[:2]).set_index(["labeller", "coder"])
    assert table.loc[("all", "all"), ["accepted", "judged"]].tolist() == [10702, 26635]
    # By proposal; facts by row of the archive: 76.3% and 31.5%.
    assert table.loc[("GPT4", "all"), "rate"] == pytest.approx(0.763, abs=0.01)
    assert table.loc[("LLAMA2", "all"), "rate"] == pytest.approx(0.315, abs=0.01)
