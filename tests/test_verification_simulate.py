"""Simulated coders err as often as stated, and never pass for people."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.tasks import load_task
from helpers.verification.assignment import assign
from helpers.verification.decisions import read_logs
from helpers.verification.simulate import (
    SimulationError,
    save_simulated,
    simulate,
    simulated_names,
)

CAP, DATAVERSE, FLOURISHING = map(load_task, ("cap", "dataverse", "flourishing"))
CODERS = simulated_names(["ann", "bob"])


def study(task, n=400, audit=200, seed=5):
    """Gold labels, proposals of which about half are right, and an assignment."""
    rng = np.random.default_rng(seed)
    gold, proposals = [], []
    for i in range(n):
        names = rng.choice(task.labels, 1 if task.label_type == "single" else 3, replace=False)
        items = [(str(name), str(rng.choice(task.levels)) if task.levels else "") for name in names]
        labels = {"single": items[0][0], "multi": [label for label, _ in items]}
        labels = task.check_labels(labels.get(task.label_type, dict(items)))
        gold.append((f"t{i}", task.dumps(labels)))
        wrong = str(rng.choice([label for label in task.labels if label not in names]))
        proposed = {wrong: task.levels[0] if task.levels else ""}
        if rng.random() < 0.7:
            proposed |= dict(items[:2])
        proposals += [(f"t{i}", label, level, "[]", 1) for label, level in proposed.items()]
    columns = ["id", "label", "level", "labellers", "votes"]
    return (
        pd.DataFrame(gold, columns=["id", "labels"]),
        pd.DataFrame(proposals, columns=columns),
        assign([i for i, _ in gold], CODERS, overlap=0, audit=audit, seed=1),
    )


def items(cell):
    labels = json.loads(cell)
    if isinstance(labels, dict):
        return set(labels.items())
    return {(label, "") for label in ([labels] if isinstance(labels, str) else labels)}


def simulated(task, mode="reject", error_rate=0.1, seed=1):
    gold, proposals, assignment = study(task)
    decisions = simulate(
        task, gold, proposals, assignment, error_rate=error_rate, seed=seed, mode=mode
    )
    return {i: items(cell) for i, cell in gold.to_numpy()}, proposals, decisions


def near(count, n, p):
    return abs(count - n * p) < 4 * np.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("task", [CAP, DATAVERSE, FLOURISHING], ids=lambda task: task.name)
def test_decisions_on_proposals_are_wrong_as_often_as_stated(task):
    truth, proposals, decisions = simulated(task)
    judged = [d for d in decisions if d.action in ("accept", "reject")]
    wrong = [
        d for d in judged if ((d.label, d.level) in truth[d.text_id]) != (d.action == "accept")
    ]
    assert len(judged) == len(proposals)
    assert near(len(wrong), len(judged), 0.1)
    assert not any(d.blind for d in judged)


@pytest.mark.parametrize("task", [DATAVERSE, FLOURISHING], ids=lambda task: task.name)
def test_missing_labels_are_added_in_correct_mode(task):
    truth, proposals, decisions = simulated(task, "correct")
    pool = set(proposals[["id", "label", "level"]].itertuples(index=False, name=None))
    missing = {(i, *item) for i, gold in truth.items() for item in gold} - pool
    added = [(d.text_id, d.label, d.level) for d in decisions if d.action == "correct"]
    assert set(added) <= missing
    assert near(len(added), len(missing), 0.9)


def test_a_coder_who_corrects_settles_on_one_label():
    truth, proposals, decisions = simulated(CAP, "correct")
    final = [d for d in decisions if d.action in ("accept", "correct")]
    assert len(final) == len({d.text_id for d in final}) == len(truth)
    wrong = [d for d in final if (d.label, "") not in truth[d.text_id]]
    assert near(len(wrong), len(final), 0.1)
    assert sum(d.action in ("accept", "reject") for d in decisions) == len(proposals)


@pytest.mark.parametrize("task", [CAP, DATAVERSE, FLOURISHING], ids=lambda task: task.name)
def test_blind_coders_err_as_often_too(task):
    truth, _, decisions = simulated(task)
    coded = {}
    for d in decisions:
        if d.blind:
            assert d.action == "code"
            coded.setdefault(d.text_id, set()).add((d.label, d.level))
    assert len(coded) == 200
    missed = sum(len(truth[i] - given) for i, given in coded.items())
    total = sum(len(truth[i]) for i in coded)
    assert near(missed, total, 0.1)
    known = {i: {label for label, _ in gold} for i, gold in truth.items()}
    added = sum(label not in {*known[i], ""} for i, given in coded.items() for label, _ in given)
    assert near(added, total, 0.1)
    assert all(len(given) == 1 for given in coded.values()) or task is not CAP


@pytest.mark.parametrize("mode", ["reject", "correct"])
def test_a_coder_without_errors_gives_the_gold_labels(mode):
    truth, _, decisions = simulated(FLOURISHING, mode, error_rate=0)
    kept, blind = {}, {}
    for d in decisions:
        if d.action != "reject":
            (blind if d.blind else kept).setdefault(d.text_id, set()).add((d.label, d.level))
    assert all(truth[i] == given for i, given in blind.items())
    if mode == "correct":
        assert kept == truth
    else:
        assert all(given <= truth[i] for i, given in kept.items())


def test_decisions_do_not_depend_on_the_order_of_rows():
    gold, proposals, assignment = study(DATAVERSE, n=80, audit=20)
    first = simulate(DATAVERSE, gold, proposals, assignment, error_rate=0.2, seed=1)
    shuffled = proposals.sample(frac=1, random_state=1)
    some = assignment[assignment["coder"] == CODERS[0]]
    second = simulate(DATAVERSE, gold[::-1], shuffled, some, error_rate=0.2, seed=1)
    assert set(second) == {d for d in first if d.coder == CODERS[0]}
    other = simulate(DATAVERSE, gold, proposals, assignment, error_rate=0.2, seed=2)
    assert set(other) != set(first)


def test_simulated_decisions_are_marked_and_hold_no_times(tmp_path):
    gold, proposals, assignment = study(CAP, n=20, audit=5)
    decisions = simulate(CAP, gold, proposals, assignment, error_rate=0.1, seed=1)
    paths = save_simulated(tmp_path, "cap", decisions)
    assert [path.name for path in paths] == ["simulated-ann.jsonl", "simulated-bob.jsonl"]
    before = [path.read_bytes() for path in paths]
    save_simulated(tmp_path, "cap", decisions)
    assert [path.read_bytes() for path in paths] == before
    saved = read_logs(tmp_path, "cap")
    assert len(saved) == len(decisions)
    assert {(d.session, d.time, d.seconds) for d in saved} == {("simulated", "", None)}
    with pytest.raises(SimulationError, match="another simulation"):
        save_simulated(tmp_path, "cap", decisions[1:])


def test_what_cannot_be_simulated_is_refused():
    gold, proposals, assignment = study(CAP, n=20, audit=5)
    for change, message in [
        ({"assignment": assignment.replace({"coder": {CODERS[0]: "ann"}})}, "coder ann: simulated"),
        ({"gold": gold[1:]}, "no gold labels, first t0"),
        ({"error_rate": 1.2}, "give a probability"),
        ({"task": load_task("conflict")}, "numeric"),
    ]:
        given = {"task": CAP, "gold": gold, "proposals": proposals, "assignment": assignment}
        with pytest.raises(SimulationError, match=message):
            simulate(**({**given, "error_rate": 0.1} | change), seed=1)
