"""The blind audit: its intervals cover, and it sees what a review cannot."""

import numpy as np
import pandas as pd
import pytest

from helpers.tasks import load_task
from helpers.verification.anchoring import ANCHORING, anchoring
from helpers.verification.assignment import assign
from helpers.verification.audit import AuditError, blind_labels, pool_recall, ratio_interval
from helpers.verification.events import Decision
from helpers.verification.simulate import simulate, simulated_names

CAP, DATAVERSE, FLOURISHING = map(load_task, ("cap", "dataverse", "flourishing"))


def pool(task, n, recall, seed):
    """Gold labels of a pool, and proposals that hold each with probability `recall`."""
    rng = np.random.default_rng(seed)
    gold, proposals = [], []
    for i in range(n):
        size = 1 if task.label_type == "single" else int(rng.integers(0, 4))
        names = rng.choice(task.labels, size, replace=False)
        found = names[rng.random(size) < recall]
        others = rng.choice([x for x in task.labels if x not in names], 1)
        labels = names[0] if task.label_type == "single" else list(map(str, names))
        gold.append((str(i), task.dumps(task.check_labels(labels))))
        proposals += [(str(i), str(label), "", 1, "[]") for label in (*found, *others)]
    columns = ["id", "label", "level", "votes", "labellers"]
    return pd.DataFrame(gold, columns=["id", "labels"]), pd.DataFrame(proposals, columns=columns)


def audited(task, gold, proposals, audit, seed, error_rate=0.0):
    names = simulated_names(["a", "b"])
    assignment = assign(gold["id"], names, overlap=0, audit=audit, seed=seed)
    blind = assignment[assignment["blind"]]
    decisions = simulate(task, gold, proposals, blind, error_rate=error_rate, seed=seed)
    return pool_recall(task, proposals, decisions, assignment, n_resamples=400).set_index(
        "quantity"
    )


def true_recall(task, gold, proposals):
    pairs = set(zip(proposals["id"], proposals["label"], strict=True))
    labels = [task.loads(cell) for cell in gold["labels"]]
    labels = [[item] if isinstance(item, str) else item for item in labels]
    hits = [[(i, x) in pairs for x in own] for i, own in zip(gold["id"], labels, strict=True)]
    labelled = [own for own in hits if own]
    return sum(map(sum, hits)) / sum(map(len, hits)), np.mean([not any(own) for own in labelled])


@pytest.mark.parametrize("task", [CAP, DATAVERSE], ids=lambda task: task.name)
def test_the_audit_estimates_recall_and_texts_without_a_right_proposal(task):
    gold, proposals = pool(task, 1500, 0.8, 1)
    table = audited(task, gold, proposals, 400, 1)
    for name, truth in zip(
        ("labels found", "texts without a right proposal"),
        true_recall(task, gold, proposals),
        strict=True,
    ):
        row = table.loc[name]
        assert row["estimate"] == pytest.approx(truth, abs=0.06)  # about three standard errors
        assert row["ci_low"] < row["estimate"] < row["ci_high"]
        assert row["estimate"] == pytest.approx(row["numerator"] / row["denominator"], abs=1e-6)
        assert row["ci_high"] - row["ci_low"] < 0.1
    assert (table["texts"] == 400).all()


@pytest.mark.parametrize("task", [CAP, DATAVERSE], ids=lambda task: task.name)
@pytest.mark.parametrize("recall", [0.6, 0.93])
def test_intervals_cover_the_truth(task, recall):
    rng = np.random.default_rng(2)
    gold, proposals = pool(task, 1000, recall, 2)
    pairs = set(zip(proposals["id"], proposals["label"], strict=True))
    labels = [task.loads(cell) for cell in gold["labels"]]
    labels = [[item] if isinstance(item, str) else item for item in labels]
    bottom = np.array([len(own) for own in labels], dtype=float)
    found = [sum((i, x) in pairs for x in own) for i, own in zip(gold["id"], labels, strict=True)]
    top = np.array(found, dtype=float)
    covered = 0
    for repetition in range(300):
        drawn = rng.permutation(1000)[:150]
        _, low, high = ratio_interval(
            top[drawn],
            bottom[drawn],
            np.full(150, 1000 / 150),
            n_resamples=300,
            seed=repetition,
            shrink=np.sqrt(1 - 150 / 1000),
        )
        covered += low <= top.sum() / bottom.sum() <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_an_audit_of_the_whole_pool_leaves_no_doubt():
    gold, proposals = pool(DATAVERSE, 60, 0.7, 3)
    row = audited(DATAVERSE, gold, proposals, 60, 3).loc["labels found"]
    assert row["ci_low"] == row["ci_high"] == row["estimate"]
    assert row["estimate"] == pytest.approx(true_recall(DATAVERSE, gold, proposals)[0])


def test_blind_coders_who_err_lower_the_estimate():
    gold, proposals = pool(DATAVERSE, 800, 0.9, 4)
    exact = audited(DATAVERSE, gold, proposals, 400, 4).loc["labels found", "estimate"]
    erring = audited(DATAVERSE, gold, proposals, 400, 4, 0.2).loc["labels found", "estimate"]
    assert erring < exact - 0.05


def test_weights_count_where_probabilities_differ():
    top, bottom = np.array([1.0, 0.0]), np.ones(2)
    assert ratio_interval(top, bottom)[0] == 0.5
    assert ratio_interval(top, bottom, np.array([3.0, 1.0]))[0] == 0.75
    assert np.isnan(ratio_interval(top, np.zeros(2))).all()
    estimate, low, high = ratio_interval(np.full(20, 2.0), np.full(20, 2.0))
    assert (estimate, high) == (1, 1)
    assert 0.8 < low < 0.9


def coded(coder, text_id, action, label="", level="", blind=False):
    return Decision(coder, text_id, action, label, level, blind=blind)


def test_levels_and_texts_without_labels_are_told_apart():
    assignment = pd.DataFrame({"id": list("xyz"), "coder": "b", "blind": True, "probability": 0.5})
    proposals = pd.DataFrame([("x", "happiness", "low")], columns=["id", "label", "level"])
    decisions = [coded("b", i, "code", "happiness", "high", True) for i in "xy"]
    decisions.append(coded("b", "z", "code", blind=True))
    decisions.append(coded("c", "z", "code", "happiness", "low", True))
    assert blind_labels(decisions, dict.fromkeys("xyz", "b"))["z"] == set()
    table = pool_recall(FLOURISHING, proposals, decisions, assignment).set_index("quantity")
    assert table["estimate"].round(3).to_dict() == {
        "labels found": 0.5,
        "labels found with their level": 0,
        "texts without a right proposal": 0.5,
        "texts without a label": 0.333,
    }


def test_an_unfinished_audit_is_refused():
    assignment = pd.DataFrame({"id": ["x"], "coder": "b", "blind": True, "probability": 0.5})
    proposals = pd.DataFrame([("x", "6", "")], columns=["id", "label", "level"])
    with pytest.raises(AuditError, match="1 of 1 audit texts are not coded yet, first x"):
        pool_recall(CAP, proposals, [], assignment)
    with pytest.raises(AuditError, match="no blind audit"):
        pool_recall(CAP, proposals, [], assignment.assign(blind=False))


# --- anchoring --------------------------------------------------------------------------------


def test_anchoring_compares_review_and_blind_coding_of_different_coders():
    proposals = pd.DataFrame(
        [("x", "6", ""), ("x", "1", ""), ("y", "6", "")], columns=["id", "label", "level"]
    )
    decisions = [
        coded("b", "x", "code", "6", blind=True),
        coded("a", "x", "accept", "6"),
        coded("a", "x", "accept", "1"),
        coded("c", "x", "accept", "6"),
        coded("c", "x", "reject", "1"),
        # The same coder blind and with proposals: says nothing about anchoring.
        coded("a", "y", "code", "7", blind=True),
        coded("a", "y", "accept", "6"),
    ]
    table = anchoring(proposals, decisions).set_index("quantity")
    counts = table[["numerator", "denominator", "texts"]]
    assert counts.loc[ANCHORING[0]].tolist() == [1, 2, 1]
    assert counts.loc[ANCHORING[1]].tolist() == [0, 2, 1]
    assert counts.loc[ANCHORING[2]].tolist() == [1, 1, 1]
    assert counts.loc[ANCHORING[3]].tolist() == [1, 2, 1]
    assert counts.loc[ANCHORING[4]].tolist() == [0, 2, 1]


def anchored(share):
    """A study in which a share of the wrong proposals is accepted because they are there."""
    names = simulated_names(["a", "b", "c"])
    gold, proposals = pool(DATAVERSE, 900, 0.8, 5)
    assignment = assign(gold["id"], names, overlap=0.3, audit=300, seed=5)
    decisions = simulate(DATAVERSE, gold, proposals, assignment, error_rate=0.1, seed=5)
    rng = np.random.default_rng(5)
    pulled = {i for i in gold["id"] if rng.random() < share}
    turned = [
        coded(d.coder, d.text_id, "accept", d.label)
        if d.action == "reject" and d.text_id in pulled
        else d
        for d in decisions
    ]
    return anchoring(proposals, turned, n_resamples=300).set_index("quantity")


def test_coders_who_follow_what_they_see_are_noticed():
    free, pulled = anchored(0.0), anchored(0.4)
    name, between = ANCHORING[0], ANCHORING[2]
    assert pulled.loc[name, "ci_low"] > free.loc[name, "ci_high"]
    # Pulled alike, reviewers agree with each other more than with the blind coder.
    assert pulled.loc[name, "ci_low"] > pulled.loc[between, "ci_high"]
    assert free.loc[name, "ci_low"] < free.loc[between, "ci_high"]
