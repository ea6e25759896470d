"""From a crowd's proposals to verified labels: assigned, decided, brought together, repeatable."""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
from run_example import CROWD, small_run

from helpers import experiments
from helpers.data import DataError, prepared
from helpers.experiments import review
from helpers.experiments.review import ReviewError, assignment_of
from helpers.plans import Labelling, Verification
from helpers.tasks import load_task
from helpers.verification.decisions import Decision, DecisionLog, read_logs
from helpers.verification.session import SessionError

CAP = load_task("cap")
FLOURISHING = load_task("flourishing")
PEOPLE = {"coders": "logs", "names": ["ann", "bob"]}


def content_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def with_verification(run, **settings):
    plan = Verification(**(run.profile.verification.model_dump() | settings))
    return replace(run, profile=run.profile.model_copy(update={"verification": plan}))


# --- who reviews what -----------------------------------------------------------------------------


@pytest.mark.parametrize("coders", [1, 2, 3])
@pytest.mark.parametrize("pool", [4, 8, 9, 30])
@pytest.mark.parametrize("overlap", [0.2, 1.0])
def test_every_text_is_reviewed_and_the_audit_is_blind(tmp_path, coders, pool, overlap):
    names = [f"coder-{i}" for i in range(coders)]
    settings = {"names": names, "audit": 8, "overlap": overlap}
    run = small_run(tmp_path, train=pool, verification=settings)
    table = assignment_of(run, CAP)
    train = prepared.read_task(run, CAP).query("split == 'train'")["id"]
    reviewed, blind = table[~table["blind"]], table[table["blind"]]
    assert set(reviewed["id"]) == set(train) == set(train) | set(blind["id"])
    assert len(blind) == blind["id"].nunique() == min(8, pool)
    assert blind["probability"].tolist() == [min(8, pool) / pool] * len(blind)
    twice = sum(count == 2 for count in Counter(reviewed["id"]).values())
    # Two coders: who codes a text blind does not review it, so no audited text is reviewed twice.
    most = {1: 0, 2: pool - min(8, pool), 3: pool}[coders]
    assert twice == min(round(overlap * pool), most)
    if coders > 1:
        pairs = set(zip(reviewed["id"], reviewed["coder"], strict=True))
        assert not pairs & set(zip(blind["id"], blind["coder"], strict=True))
    assert set(table["coder"]) == {f"simulated-{name}" for name in names}


def test_the_assignment_depends_on_seed_and_names_alone(tmp_path):
    run = small_run(tmp_path)
    assert assignment_of(run, CAP).equals(assignment_of(run, CAP))
    other = replace(run, profile=run.profile.model_copy(update={"seed": 3}))
    assert not assignment_of(run, CAP).equals(assignment_of(other, CAP))
    people = assignment_of(with_verification(run, coders="logs"), CAP)
    columns = ["id", "blind", "probability", "position"]
    assert people[columns].equals(assignment_of(run, CAP)[columns])
    assert set(people["coder"]) == {"coder-1", "coder-2"}


# --- simulated coders -----------------------------------------------------------------------------


def test_a_simulated_review_ends_in_verified_labels(tmp_path):
    run = small_run(tmp_path)
    done = experiments.review_task(run, CAP)
    saved = pd.read_parquet(run.root / "verification" / "cap" / "verified.parquet")
    kept = done.verified[done.verified["dropped"] == ""]
    assert saved.columns.tolist() == ["id", "labels"]
    assert saved["id"].tolist() == kept["id"].tolist() and len(saved) > 10
    texts = prepared.read_task(run, CAP)
    train = texts.loc[texts["split"] == "train", "id"].tolist()
    assert done.verified["id"].tolist() == train
    # Of the first text nobody said anything; nothing is made up for it.
    first = done.verified.iloc[0]
    assert (first["labels"], first["dropped"]) == ("null", "no proposals")
    proposed = set(zip(done.proposals["id"], done.proposals["label"], strict=True))
    assert {(i, CAP.loads(x)) for i, x in saved.itertuples(index=False)} <= proposed
    assert {d.coder for d in done.decisions} == {"simulated-coder-1", "simulated-coder-2"}
    assert not (run.root / "decisions").exists()
    assert experiments.train_texts(run, CAP, "verified")["id"].tolist() == saved["id"].tolist()


def test_a_second_review_gives_identical_files(tmp_path):
    run = small_run(tmp_path)
    experiments.review_task(run, CAP)
    before = content_of(run.root)
    again = experiments.review_task(run, CAP)
    assert content_of(run.root) == before and len(before) >= 7
    elsewhere = small_run(tmp_path / "elsewhere")
    assert experiments.review_task(elsewhere, CAP).verified.equals(again.verified)
    assert content_of(elsewhere.root) == before


def test_coders_who_never_err_leave_the_gold_labels_that_were_proposed(tmp_path):
    run = small_run(tmp_path, verification={"error_rate": 0.0})
    done = experiments.review_task(run, CAP)
    gold = experiments.gold_labels(run, CAP)
    saved = done.verified[done.verified["dropped"] == ""].set_index("id")["labels"]
    assert saved.equals(gold.reindex(saved.index).rename("labels"))
    quality = experiments.label_quality(run, {"cap": done}).set_index("source")
    assert quality.loc["verified", ["exact", "jaccard"]].tolist() == [1.0, 1.0]
    assert 0.3 < quality.loc["majority", "exact"] < 1.0
    assert quality["texts"].tolist() == [len(saved)] * 2
    # The share of gold labels that stand in the pool, by hand; the first text has no proposal.
    assert experiments.true_recall(run, done) == pytest.approx(len(saved) / len(gold), abs=1e-6)


def test_other_settings_replace_the_earlier_simulation(tmp_path):
    run = small_run(tmp_path, verification={"names": ["a", "b", "c"]})
    experiments.review_task(run, CAP)
    two = with_verification(run, names=["a", "b"], error_rate=0.3)
    found = experiments.review_task(two, CAP)
    fresh = small_run(tmp_path / "fresh", verification={"names": ["a", "b"], "error_rate": 0.3})
    assert {d.coder for d in found.decisions} == {"simulated-a", "simulated-b"}
    assert found.verified.equals(experiments.review_task(fresh, CAP).verified)


@pytest.mark.parametrize("mode", ["reject", "correct"])
def test_a_task_is_reviewed_in_its_own_mode(tmp_path, mode):
    settings = {"mode_of_task": {"flourishing": mode}, "error_rate": 0.0}
    run = small_run(tmp_path, "flourishing", verification=settings)
    done = experiments.review_task(run, FLOURISHING)
    actions = Counter(d.action for d in done.decisions if not d.blind)
    assert bool(actions["correct"]) == (mode == "correct")
    quality = experiments.label_quality(run, {"flourishing": done}).set_index("source")
    if mode == "correct":  # what nobody proposed is added
        assert quality.loc["verified", "exact"] == 1.0
        assert quality.loc["verified", "texts"] > 20
    assert quality.loc["verified", "jaccard"] > quality.loc["majority", "jaccard"]


def test_a_crowd_that_is_never_right_leaves_nothing_to_train_on(tmp_path):
    run = small_run(tmp_path, verification={"error_rate": 0.0})
    path = run.root / "labelling" / "cap" / "proposals.parquet"
    gold = experiments.gold_labels(run, CAP).map(CAP.loads)
    proposals = pd.read_parquet(path)
    proposals[proposals["label"] != proposals["id"].map(gold)].to_parquet(path, index=False)
    with pytest.raises(ReviewError, match="no text of cap kept a label"):
        experiments.review_task(run, CAP)
    assert not (run.root / "verification" / "cap" / "verified.parquet").exists()


def test_without_proposals_the_chapter_to_run_is_named(tmp_path):
    run = small_run(tmp_path)
    (run.root / "labelling" / "cap" / "proposals.parquet").unlink()
    with pytest.raises(DataError, match=r"labelling/cap/proposals is missing.*run 02_labelling"):
        experiments.review_task(run, CAP)


def test_tasks_without_a_crowd_are_left_out_and_none_at_all_is_an_error(tmp_path):
    run = small_run(tmp_path)
    assert experiments.reviewed_tasks(run) == [CAP]
    bare = replace(run, profile=run.profile.model_copy(update={"labelling": Labelling()}))
    with pytest.raises(ReviewError, match=r"no labellers for cap.*labelling\.crowd"):
        experiments.reviewed_tasks(bare)


# --- people ---------------------------------------------------------------------------------------


def test_nothing_decided_yet_says_what_to_do(tmp_path):
    run = small_run(tmp_path, verification=PEOPLE)
    with pytest.raises(ReviewError, match=r"no decisions about cap yet.*ann, bob.*widget or in"):
        experiments.review_task(run, CAP)
    assert not (run.root / "verification").exists()


def test_people_are_not_asked_where_coders_are_simulated(tmp_path):
    run = small_run(tmp_path)
    with pytest.raises(ReviewError, match=r"simulated coders: copy it, set verification\.coders"):
        experiments.review_session(run, CAP, "coder-1")


def test_what_people_decide_becomes_the_labels(tmp_path):
    run = small_run(tmp_path, train=12, verification=PEOPLE | {"audit": 2, "overlap": 0.0})
    gold = experiments.gold_labels(run, CAP).map(CAP.loads)
    for coder in ("ann", "bob"):
        session = experiments.review_session(run, CAP, coder)
        assert session.mode == "reject"
        while (item := session.current()) is not None:
            if item.mode == "blind":
                session.decide(session.ticket, given=[(gold[item.text_id], "")])
            else:
                wrong = [i for i, p in enumerate(item.proposals) if p.label != gold[item.text_id]]
                session.decide(session.ticket, rejected=wrong)
    done = experiments.review_task(run, CAP)
    perfect = small_run(
        tmp_path / "simulated", train=12, verification={"audit": 2, "overlap": 0.0, "error_rate": 0}
    )
    expected = experiments.review_task(perfect, CAP)
    assert done.verified[["id", "labels", "dropped"]].equals(
        expected.verified[["id", "labels", "dropped"]]
    )
    logs = {path.name for path in (run.root / "decisions" / "cap").iterdir()}
    assert {"ann.jsonl", "bob.jsonl"} <= logs
    assert all(d.time and d.session != "simulated" for d in done.decisions)


def test_a_coder_who_is_not_in_the_profile_gets_no_texts(tmp_path):
    run = small_run(tmp_path, verification=PEOPLE)
    with pytest.raises(SessionError, match="carl"):
        experiments.review_session(run, CAP, "carl")


def test_peoples_logs_survive_a_simulation(tmp_path):
    run = small_run(tmp_path, verification=PEOPLE)
    path = run.root / "decisions" / "cap" / "ann.jsonl"
    text = review.crowd_proposals(run, CAP)["id"].iloc[0]
    DecisionLog(path).append(Decision("ann", text, "accept", "6"))
    before = path.read_bytes()
    experiments.review_task(with_verification(run, coders="simulated"), CAP)
    assert path.read_bytes() == before
    assert [d.coder for d in read_logs(run.root / "decisions", "cap")] == ["ann"]


def test_acceptance_follows_how_often_a_labeller_is_right(tmp_path):
    from helpers.verification import summary

    run = small_run(tmp_path, train=60, verification={"error_rate": 0.0})
    done = experiments.review_task(run, CAP)
    rates = summary.acceptance_rates(done.proposals, done.decisions)
    found = rates[rates["coder"] == "all"].set_index("labeller")["rate"]
    labelled = pd.read_parquet(run.root / "labelling" / "cap" / "labelled.parquet")
    gold = experiments.gold_labels(run, CAP)
    usable = labelled[(labelled["status"] == "ok") & labelled["id"].isin(gold.index)]
    right = usable["labels"] == usable["id"].map(gold)
    expected = right.groupby(usable["labeller"]).mean()
    # Texts of the overlap count twice: close, not equal.
    for name in CROWD:
        assert found[name] == pytest.approx(expected[name], abs=0.1)
