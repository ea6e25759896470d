"""A coder's sitting: the queue, what is saved when, and what the widget says to the browser."""

import itertools
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from review_example import example, frames

from helpers.tasks import load_task
from helpers.verification.decisions import Decision, DecisionError, DecisionLog, log_path
from helpers.verification.session import Draft, ReviewSession, SessionError
from helpers.verification.widget import ReviewWidget, review


def made(folder: Path, labels: dict[str, list[tuple[str, str]]], name: str = "cap", **options):
    """A session on texts with stated proposals; an id that ends in ``!`` is coded blind."""
    texts = [key.removesuffix("!") for key in labels]
    rows = [
        {"id": i, "label": label, "level": level, "labellers": '["x"]', "votes": 9 - n}
        for i, pairs in zip(texts, labels.values(), strict=True)
        for n, (label, level) in enumerate(pairs)
    ]
    columns = ["id", "label", "level", "labellers", "votes"]
    unique = list(dict.fromkeys(texts))
    return ReviewSession(
        load_task(name),
        pd.DataFrame({"id": unique, "text": [f"text of {i}" for i in unique]}),
        pd.DataFrame(rows, columns=columns).drop_duplicates(["id", "label", "level"]),
        pd.DataFrame(
            {
                "id": texts,
                "coder": "ann",
                "blind": [key.endswith("!") for key in labels],
                "position": range(len(texts)),
            }
        ),
        DecisionLog(log_path(folder, name, "ann")),
        "ann",
        **options,
    )


def ids(session: ReviewSession) -> list[str]:
    """Confirm all open texts as they are; return them in the order shown."""
    shown = []
    while item := session.current():
        shown.append(item.text_id)
        session.decide(session.ticket)
    return shown


def facts(decisions: list[Decision]) -> list[tuple]:
    return [(d.text_id, d.action, d.label, d.level, d.blind) for d in decisions]


# --- what is shown ------------------------------------------------------------------------------


def test_texts_come_in_the_order_of_the_assignment(tmp_path):
    content, proposals, assignment = frames("cap", 6)
    assignment["position"] = [3, 1, 2, 6, 5, 4]
    log = DecisionLog(tmp_path / "ann.jsonl")
    session = ReviewSession(load_task("cap"), content, proposals, assignment, log, "ann")
    wanted = assignment.sort_values("position")["id"].tolist()
    assert ids(session) == wanted
    assert session.current() is None


def test_hidden_proposals_stand_in_the_order_of_the_codebook_and_tell_no_votes(tmp_path):
    pairs = [("20", ""), ("3", ""), ("10", "")]
    hidden = made(tmp_path / "a", {"t1": pairs}).current()
    assert [p.label for p in hidden.proposals] == ["3", "10", "20"]
    assert {(p.votes, p.labellers) for p in hidden.proposals} == {(0, ())}
    shown = made(tmp_path / "b", {"t1": pairs}, show_proposers=True).current()
    assert [(p.label, p.votes) for p in shown.proposals] == [("20", 9), ("3", 8), ("10", 7)]
    assert shown.proposals[0].labellers == ("x",)


def test_a_blind_text_has_no_proposals_even_if_the_crowd_made_some(tmp_path):
    item = made(tmp_path, {"t1!": [("3", "")]}).current()
    assert item.mode == "blind" and item.proposals == ()


def test_texts_without_proposals_are_left_out_of_rejecting_but_not_of_correcting(tmp_path):
    labels = {"t1": [], "t2": [("3", "")]}
    session = made(tmp_path / "a", labels)
    assert session.left_out == ("t1",)
    assert (session.current().text_id, session.progress().total) == ("t2", 1)
    session = made(tmp_path / "b", labels, mode="correct")
    assert (session.left_out, session.current().text_id) == ((), "t1")


# --- decisions ----------------------------------------------------------------------------------


def test_each_proposal_gets_a_decision_that_is_on_disk_at_once(tmp_path):
    clock = itertools.count(100.0, 2.5).__next__
    session = made(tmp_path, {"t1": [("3", ""), ("6", "")], "t2": [("3", "")]}, clock=clock)
    session.current()
    assert session.decide(session.ticket, rejected=[1])
    lines = [json.loads(line) for line in log_path(tmp_path, "cap", "ann").open()]
    assert [(d["text_id"], d["action"], d["label"]) for d in lines] == [
        ("t1", "accept", "3"),
        ("t1", "reject", "6"),
    ]
    assert {(d["coder"], d["seconds"], d["session"]) for d in lines} == {
        ("ann", 2.5, session.session)
    }
    assert datetime.now(UTC) - datetime.fromisoformat(lines[0]["time"]) < timedelta(minutes=1)
    assert session.current().text_id == "t2"


def test_a_message_that_comes_twice_does_not_decide_the_next_text(tmp_path):
    session = made(tmp_path, {"t1": [("3", "")], "t2": [("3", "")]})
    ticket = session.ticket
    assert session.decide(ticket)
    assert not session.decide(ticket)
    assert session.undo(ticket) is None
    assert not session.skip(ticket)
    assert not session.note(ticket, "late")
    assert not session.mark(ticket, Draft((0,)))
    assert session.current().text_id == "t2"
    assert facts(session.log.read()) == [("t1", "accept", "3", "", False)]


def test_correcting_saves_what_is_rejected_and_what_is_given(tmp_path):
    session = made(tmp_path, {"t1": [("3", ""), ("6", "")]}, mode="correct")
    session.decide(session.ticket, rejected=[0, 1], given=[("10", "")])
    assert set(facts(session.log.effective())) == {
        ("t1", "correct", "10", "", False),
        ("t1", "reject", "3", "", False),
        ("t1", "reject", "6", "", False),
    }


def test_blind_coding_saves_labels_with_levels_or_that_none_applies(tmp_path):
    session = made(tmp_path, {"a!": [], "b!": []}, name="flourishing")
    session.decide(session.ticket, given=[("happiness", "high"), ("having hope", "low")])
    session.decide(session.ticket, none=True)
    assert facts(session.log.effective()) == [
        ("a", "code", "happiness", "high", True),
        ("a", "code", "having hope", "low", True),
        ("b", "code", "", "", True),
    ]


@pytest.mark.parametrize(
    ("name", "mode", "marks", "said"),
    [
        ("cap", "reject", {"given": [("10", "")]}, "only accepted or rejected"),
        ("cap", "reject", {"rejected": [2]}, "no proposal 3"),
        ("cap", "correct", {}, "one label here"),
        ("cap", "correct", {"rejected": [0, 1]}, "or press 0 if none applies"),
        ("cap", "correct", {"rejected": [0, 1], "given": [("999", "")]}, "not in the codebook"),
        ("cap", "correct", {"rejected": [0], "none": True}, "contradicts"),
        ("flourishing", "correct", {"given": [("happiness", "")]}, "choose a level"),
        ("flourishing", "correct", {"given": [("vitality", "low")]}, "there twice"),
    ],
)
def test_a_decision_that_is_not_complete_is_refused_and_nothing_is_saved(
    tmp_path, name, mode, marks, said
):
    pairs = [("3", ""), ("6", "")] if name == "cap" else [("vitality", "high")]
    session = made(tmp_path, {"t1": pairs}, name=name, mode=mode)
    with pytest.raises(SessionError, match=said):
        session.decide(session.ticket, **marks)
    assert session.current().text_id == "t1"
    assert session.log.read() == []


def test_if_saving_fails_the_text_stays_and_can_be_decided_again(tmp_path):
    session = example(tmp_path, texts=2)
    before = session.current()
    (tmp_path / "full").touch()
    with pytest.raises(OSError, match="No space left"):
        session.decide(session.ticket)
    assert session.current() is before and session.progress().done == 0
    (tmp_path / "full").unlink()
    assert session.decide(session.ticket)
    assert session.progress().done == 1


# --- undo, skip, notes --------------------------------------------------------------------------


def test_undo_brings_the_last_text_back_with_its_marks_and_keeps_the_log(tmp_path):
    session = made(tmp_path, {"t1": [("3", ""), ("6", "")], "t2": [("3", "")]})
    session.decide(session.ticket, rejected=[1])
    session.mark(session.ticket, Draft((0,)))
    assert session.undo(session.ticket) == "t1"
    assert (session.current().text_id, session.draft) == ("t1", Draft((1,)))
    assert [d.action for d in session.log.read()] == ["accept", "reject", "undo", "undo"]
    assert session.log.effective() == []
    session.decide(session.ticket)
    assert (session.current().text_id, session.draft) == ("t2", Draft((0,)))
    assert session.undo(session.ticket) == "t1"
    assert session.undo(session.ticket) is None


def test_undo_reaches_into_an_earlier_sitting(tmp_path):
    labels = {"t1!": [], "t2": [("3", "")]}
    first = made(tmp_path, labels)
    first.decide(first.ticket, given=[("12", "")])
    first.decide(first.ticket)
    later = made(tmp_path, labels)
    assert later.current() is None
    assert [later.undo(later.ticket), later.undo(later.ticket)] == ["t2", "t1"]
    assert later.draft == Draft(given=(("12", ""),))


def test_a_skipped_text_comes_again_at_the_end_with_its_marks(tmp_path):
    session = made(tmp_path, {i: [("3", "")] for i in ("t1", "t2", "t3")})
    session.mark(session.ticket, Draft((0,)))
    assert session.skip(session.ticket)
    assert session.progress().skipped == 1
    session.decide(session.ticket)
    session.decide(session.ticket)
    assert (session.current().text_id, session.draft) == ("t1", Draft((0,)))
    assert not session.skip(session.ticket)
    assert made(tmp_path, {i: [("3", "")] for i in ("t1", "t2", "t3")}).progress().done == 2


def test_notes_are_saved_and_shown_with_their_text_only(tmp_path):
    session = made(tmp_path, {"t1": [("3", "")], "t1!": [], "t2": [("3", "")]})
    assert session.note(session.ticket, "  two topics\nat once ")
    assert not session.note(session.ticket, " ")
    assert session.notes() == ["two topics\nat once"]
    session.decide(session.ticket)
    assert (session.current().text_id, session.notes()) == ("t1", [])
    assert [d.comment for d in session.log.effective() if d.action == "note"] == [
        "two topics\nat once"
    ]


# --- resuming -----------------------------------------------------------------------------------


def test_a_new_session_goes_on_where_the_log_ends(tmp_path):
    first = example(tmp_path, texts=5)
    for _ in range(2):
        first.decide(first.ticket)
    second = example(tmp_path, texts=5)
    assert second.progress().done == 2
    assert second.current() == first.current()
    assert second.ticket != first.ticket


def test_two_windows_of_one_coder_do_not_decide_a_text_twice(tmp_path):
    first, second = example(tmp_path, texts=3), example(tmp_path, texts=3)
    stale = second.ticket
    shown = second.current().text_id
    assert first.decide(first.ticket)
    assert not second.decide(stale)
    assert second.current().text_id != shown
    assert second.decide(second.ticket)
    assert first.undo(first.ticket) is None, "it must show first that the log went on"
    assert len({d.text_id for d in first.log.effective()}) == 2


def test_a_proposal_that_came_later_opens_the_text_again(tmp_path):
    first = made(tmp_path, {"t1": [("3", ""), ("6", "")]})
    first.decide(first.ticket, rejected=[1])
    later = made(tmp_path, {"t1": [("3", ""), ("6", ""), ("10", "")]})
    assert (later.current().text_id, later.draft.rejected) == ("t1", (1,))


def test_a_write_torn_by_a_crash_leaves_its_text_open(tmp_path):
    first = made(tmp_path, {"t1": [("3", ""), ("6", "")], "t2": [("3", "")]}, mode="correct")
    first.decide(first.ticket, rejected=[0, 1], given=[("10", "")])
    whole = first.log.path.read_bytes()
    first.log.path.write_bytes(whole[:-20])
    with pytest.warns(UserWarning, match="cut off"):
        later = made(tmp_path, {"t1": [("3", ""), ("6", "")], "t2": [("3", "")]}, mode="correct")
        assert (later.current().text_id, later.progress().done) == ("t1", 0)
        later.decide(later.ticket, rejected=[0, 1], given=[("12", "")])
    wanted = {("t1", "correct", "12"), ("t1", "reject", "3"), ("t1", "reject", "6")}
    assert {(d.text_id, d.action, d.label) for d in later.log.effective()} == wanted


STEP = st.sampled_from(["decide", "decide", "reject", "undo", "skip", "note", "restart", "twice"])


@settings(max_examples=20, deadline=None)
@given(steps=st.lists(STEP, max_size=20))
def test_whatever_the_coder_does_the_log_holds_the_decisions_that_count(steps):
    with tempfile.TemporaryDirectory() as folder:
        session = example(folder, texts=5, blind=1)
        decided: dict[str, tuple] = {}
        notes = 0
        for step in steps:
            item, ticket = session.current(), session.ticket
            if step == "undo":
                last = list(decided)[-1] if decided else None
                assert session.undo(ticket) == last
                decided.pop(last, None)
            elif step == "restart":
                session = example(folder, texts=5, blind=1)
            elif item is None:
                continue
            elif step == "skip":
                session.skip(ticket)
            elif step == "note":
                notes += session.note(ticket, "a note")
            else:
                marks = {"given": [("3", "")]} if item.blind else {}
                if step == "reject" and not item.blind:
                    marks = {"rejected": range(len(item.proposals))}
                for _ in range(2 if step == "twice" else 1):
                    session.decide(ticket, **marks)
                verdict = "reject" if "rejected" in marks else "accept"
                decided[item.text_id] = (
                    [("code", "3")] if item.blind else [(verdict, p.label) for p in item.proposals]
                )
        found: dict[str, list] = {}
        kept = session.log.effective()
        for d in kept:
            if d.action != "note":
                found.setdefault(d.text_id, []).append((d.action, d.label))
        assert found == decided
        assert sum(d.action == "note" for d in kept) == notes
        assert session.progress().done == len(decided)


def test_progress_counts_today_only_for_the_pace(tmp_path):
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    labels = {f"t{i}": [("3", ""), ("6", "")] for i in range(6)}
    log = DecisionLog(log_path(tmp_path, "cap", "ann"))
    earlier = [Decision("ann", "t0", "accept", x, seconds=500.0, time=old) for x in ("3", "6")]
    log.append(*earlier)
    ticks = iter([0.0, 4.0, 10.0, 20.0, 30.0, 90.0])
    session = made(tmp_path, labels, clock=lambda: next(ticks))
    assert (session.progress().done, session.progress().seconds) == (1, None)
    for _ in range(3):
        session.current()
        session.decide(session.ticket)
    progress = session.progress()
    assert (progress.done, progress.total, progress.today) == (4, 6, 3)
    assert (progress.seconds, progress.left) == (10.0, 20.0)


# --- refusals -----------------------------------------------------------------------------------


def test_texts_that_may_not_be_shown_need_an_explicit_yes(tmp_path):
    with pytest.raises(SessionError, match="show_texts=True"):
        example(tmp_path, show_texts=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"assignment": {"coder": "bob"}}, "there are texts for bob"),
        ({"texts": {"id": ["other", "cap-0002", "cap-0003"]}}, "cap-0001: pass the texts"),
        ({"proposals": {"label": "99"}}, "'99' '' is not in the codebook"),
        ({"proposals": {"level": "high"}}, "'high' is not in the codebook"),
        ({"proposals": {"id": "cap-0001", "label": "3"}}, "same proposal twice"),
    ],
)
def test_frames_that_do_not_fit_are_refused(tmp_path, change, said):
    names = ("texts", "proposals", "assignment")
    found = [
        frame.assign(**change.get(name, {}))
        for name, frame in zip(names, frames("cap", 3), strict=True)
    ]
    if change.get("proposals", {}).keys() == {"label"}:  # the same label, but once a text
        found[1] = found[1].drop_duplicates("id")
    log = DecisionLog(tmp_path / "ann.jsonl")
    with pytest.raises(SessionError, match=said):
        ReviewSession(load_task("cap"), *found, log, "ann")


def test_a_log_of_another_coder_is_not_written_to(tmp_path):
    content, proposals, assignment = frames("cap", 3)
    log = DecisionLog(tmp_path / "bob.jsonl")
    log.append(Decision("bob", "cap-0001", "accept", "3"))
    session = ReviewSession(load_task("cap"), content, proposals, assignment, log, "ann")
    with pytest.raises(DecisionError, match="log of bob"):
        session.decide(session.ticket)


# --- the widget, without a browser --------------------------------------------------------------


class Browser:
    """Sends messages to a widget and keeps what it answers."""

    def __init__(self, widget: ReviewWidget, monkeypatch) -> None:
        self.widget, self.answers = widget, []
        monkeypatch.setattr(widget, "send", self.answers.append)

    def __call__(self, kind: str, **content) -> dict:
        count = len(self.answers)
        marks = {"rejected": [], "given": [], "none": False}
        ticket = {"ticket": self.widget.session.ticket}
        self.widget._handle_custom_msg({"kind": kind, **ticket, **marks, **content}, [])
        return json.loads(json.dumps(self.answers[-1])) if len(self.answers) > count else {}


@pytest.fixture
def browser(tmp_path, monkeypatch):
    return Browser(review(example(tmp_path, texts=3, blind=1)), monkeypatch)


def test_the_widget_says_saved_only_when_the_log_has_it(browser, tmp_path):
    ticket = browser("hello")["ticket"]
    state = browser("confirm", given=[["12", ""]])
    assert (state["said"], state["progress"]["done"]) == ("Saved 1", 1)
    assert state["ticket"] != ticket
    assert len(browser.widget.session.log.read()) == 1
    (tmp_path / "full").touch()
    answer = browser("confirm")
    assert answer["kind"] == "error" and "No space left" in answer["message"]
    assert browser("hello")["ticket"] == state["ticket"]
    assert len(browser.widget.session.log.read()) == 1


def test_the_widget_shows_marks_again_after_a_reload(browser):
    browser("confirm", given=[["12", ""]])
    assert browser("mark", rejected=[0]) == {}
    assert browser("hello")["draft"] == {"rejected": [0], "given": [], "none": False}


def test_the_widget_ignores_what_comes_late(browser):
    ticket = browser("hello")["ticket"]
    browser("confirm", given=[["12", ""]], ticket=ticket)
    state = browser("confirm", given=[["12", ""]], ticket=ticket)
    assert (state["said"], state["progress"]["done"]) == ("", 1)
    assert browser("undo", ticket=ticket)["progress"]["done"] == 1
    assert browser("note", ticket=ticket, text="late")["kind"] == "error"


def test_the_widget_undoes_skips_and_notes(browser):
    assert browser("undo")["said"] == "Nothing to undo."
    assert browser("note", text="<i>hm</i>")["notes"] == ["<i>hm</i>"]
    assert browser("skip")["item"]["id"] == "cap-0002"
    browser("confirm")
    state = browser("undo")
    assert (state["item"]["id"], state["said"]) == (
        "cap-0002",
        "Taken back: cap-0002. Decide again.",
    )


def test_no_text_is_part_of_the_state_that_a_notebook_can_save(browser):
    text = browser("hello")["item"]["text"]
    state = browser.widget.get_state()
    assert text[:40] not in json.dumps(state, default=str)
    assert [entry["label"] for entry in state["codebook"]] == load_task("cap").labels
    assert "Unemployment" in state["codebook"][0]["finer"]
