"""Decisions: what was acknowledged is there after a kill, nothing is overwritten."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from filelock import FileLock

from helpers.verification import decisions as module
from helpers.verification.decisions import (
    Decision,
    DecisionError,
    DecisionLog,
    TornLineWarning,
    decisions_frame,
    effective,
    log_path,
    read_logs,
)


def accept(text_id="t1", label="a", **more):
    return Decision("ann", text_id, more.pop("action", "accept"), label, **more)


def undo(number):
    return Decision("ann", "t1", "undo", undoes=number)


@pytest.fixture
def log(tmp_path):
    return DecisionLog(log_path(tmp_path, "cap", "ann"))


def test_decisions_come_back_as_they_were_given(log):
    comment = 'so "what"?\nÜber \u2028 #torn'
    saved = log.append(accept(seconds=1.5), accept("t2", comment=comment, blind=True))
    assert [d.number for d in saved] == [1, 2]
    assert all(d.time.endswith("+00:00") for d in saved)
    assert DecisionLog(log.path).read() == saved
    assert saved[1].comment == comment
    assert log.append(accept("t3"))[0].number == 3
    assert log.path.name == "ann.jsonl"
    assert log.path.parent.name == "cap"


def test_simulated_decisions_carry_no_time(log):
    assert log.append(accept(session="simulated"))[0].time == ""


def test_a_line_is_never_changed(log):
    log.append(accept())
    before = log.path.read_bytes()
    log.append(accept(action="reject"), undo(1))
    assert log.path.read_bytes().startswith(before)


def test_of_several_decisions_on_a_proposal_the_last_counts(log):
    log.append(accept(), accept("t2"), accept(action="reject"), accept(label="b"))
    assert [(d.text_id, d.label, d.action) for d in log.effective()] == [
        ("t2", "a", "accept"),
        ("t1", "a", "reject"),
        ("t1", "b", "accept"),
    ]


def test_blind_and_reviewing_decisions_do_not_replace_each_other(log):
    log.append(accept(), accept(action="code", blind=True))
    assert len(log.effective()) == 2


def test_an_undo_brings_back_what_was_decided_before(log):
    log.append(accept(), accept(action="reject"), undo(2))
    assert [d.action for d in log.effective()] == ["accept"]
    log.append(undo(1))
    assert log.effective() == []
    assert len(log.read()) == 4


@pytest.mark.parametrize("number", [2, 3, 9])
def test_an_undo_of_nothing_is_refused(log, number):
    log.append(accept(), undo(1))
    size = log.path.stat().st_size
    with pytest.raises(DecisionError, match=f"takes back number {number}"):
        log.append(undo(number))
    with pytest.raises(DecisionError, match="number 1"):
        log.append(undo(1))
    assert log.path.stat().st_size == size


def test_coded_labels_replace_each_other_where_they_contradict():
    def code(label, level="", number=0):
        return Decision("ann", "t1", "code", label, level, blind=True, number=number)

    def kept(*events):
        return [(d.label, d.level) for d in effective(events)]

    assert kept(code("a", "low"), code("b", "low"), code("a", "high")) == [
        ("b", "low"),
        ("a", "high"),
    ]
    assert kept(code("a"), code("b"), code("")) == [("", "")]
    assert kept(code(""), code("b"), code("c")) == [("b", ""), ("c", "")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "maybe"},
        {"action": "reject", "label": ""},
        {"action": "code", "label": "", "level": "low"},
        {"action": "accept", "undoes": 1},
        {"action": "undo"},
        {"text_id": ""},
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(DecisionError):
        accept(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"seconds": float("nan")}, {"text_id": 5}, {"comment": b"x"}, {"comment": "\ud800"}]
)
def test_what_could_not_be_read_back_is_not_written(log, wrong):
    with pytest.raises(DecisionError):
        log.append(accept(), accept(**wrong))
    assert log.read() == []


def test_a_log_belongs_to_one_coder(log):
    log.append(accept())
    with pytest.raises(DecisionError, match=r"ann\.jsonl is the log of ann: decisions of bob"):
        log.append(Decision("bob", "t1", "accept", "a"))


@pytest.mark.parametrize("name", ["", "../ann", "a b", ".ann", "a/b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(DecisionError, match="starts with a letter"):
        log_path(tmp_path, "cap", name)


def test_a_torn_last_line_is_reported_and_ignored_and_the_next_starts_anew(log):
    first = log.append(accept())
    whole = log.path.read_bytes()
    for cut in range(1, len(whole) - 1):
        log.path.write_bytes(whole + whole[:cut])
        fresh = DecisionLog(log.path)
        with pytest.warns(TornLineWarning, match=r"ann\.jsonl, line 2"):
            assert fresh.read() == first
        with pytest.warns(TornLineWarning):
            second = fresh.append(accept("t2"))
        assert log.path.read_bytes().startswith(whole + whole[:cut])
        with pytest.warns(TornLineWarning, match="line 2"):
            assert DecisionLog(log.path).read() == [*first, *second]


def test_a_repair_that_is_itself_cut_off_is_repaired(log):
    first = log.append(accept())
    whole = log.path.read_bytes()
    for rest in (b"#", b"#torn", b'#torn\n{"coder', b"\0\0\0\0"):
        log.path.write_bytes(whole + whole[:9] + rest)
        with pytest.warns(TornLineWarning):
            second = DecisionLog(log.path).append(accept("t2"))
        with pytest.warns(TornLineWarning):
            assert DecisionLog(log.path).read() == [*first, *second]


def test_a_whole_last_line_without_its_end_counts(log):
    saved = log.append(accept(), accept("t2"))
    log.path.write_bytes(log.path.read_bytes().rstrip())
    fresh = DecisionLog(log.path)
    assert fresh.read() == saved
    assert fresh.append(accept("t3"))[0].number == 3
    assert len(DecisionLog(log.path).read()) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "line 2 is no decision"),
        ("", "line 2 is no decision"),
        ('{"coder": "a"', "line 2 is no decision"),
        (None, "line 2 has number 1, expected 2"),
        ({"number": 2, "extra": 1}, "Unexpected keyword argument of extra"),
        ({"number": 2, "action": "perhaps"}, "of action"),
        ({"number": 2, "label": ""}, "needs the proposed label"),
    ],
)
def test_any_other_bad_line_is_an_error_with_file_and_line(log, line, message):
    log.append(accept())
    first = log.path.read_text()
    if line is None:
        line = first.strip()
    elif isinstance(line, dict):
        line = json.dumps(json.loads(first) | line)
    log.path.write_text(first + line + "\n" + first)
    with pytest.raises(DecisionError, match=r"ann\.jsonl, line 2") as error:
        DecisionLog(log.path).read()
    assert message in str(error.value)
    assert "from a copy" in str(error.value)


def test_a_full_disk_leaves_the_log_as_it_was(log, monkeypatch):
    log.append(accept())
    before = log.path.read_bytes()
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda handle, data: write(handle, data[:7]))
    with pytest.raises(DecisionError, match="could not be saved"):
        log.append(accept("t2"))
    monkeypatch.undo()
    assert log.path.read_bytes() == before
    assert log.append(accept("t2"))[0].number == 2


def test_logs_of_all_coders_are_read_in_order(tmp_path):
    for coder in ("bob", "ann"):
        log = DecisionLog(log_path(tmp_path, "cap", coder))
        log.append(Decision(coder, "t1", "accept", "a"), Decision(coder, "t1", "reject", "a"))
    frame = decisions_frame(read_logs(tmp_path, "cap"))
    assert frame["coder"].tolist() == ["ann", "bob"]
    assert frame["action"].tolist() == ["reject", "reject"]
    assert read_logs(tmp_path, "other") == []


# --- several writers, and kills ---------------------------------------------------------------

WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from helpers.verification.decisions import Decision, DecisionLog

    log, name = DecisionLog(Path(sys.argv[1])), sys.argv[2]
    for number in range(int(sys.argv[3])):
        log.append(Decision("ann", f"{name}-{number}", "accept", "a" * (1 + number % 90)))
        print(f"{name}-{number}", flush=True)
    """
)


def writer(path, name, n):
    command = [sys.executable, "-W", "ignore", "-c", WRITER, str(path), name, str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_of_a_coder_share_a_log(log):
    processes = [writer(log.path, name, 40) for name in "xy"]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    saved = log.read()
    assert [d.number for d in saved] == list(range(1, 81))
    assert {d.text_id for d in saved} == {f"{name}-{i}" for name in "xy" for i in range(40)}


def test_threads_share_a_log(log):
    def work(name):
        for number in range(20):
            log.append(accept(f"{name}-{number}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({d.text_id for d in log.read()}) == 60


def kill_while_appending(path, rounds):
    """Kill a writer at a random moment, again and again; return what it had acknowledged."""
    rng = random.Random(1)
    acknowledged = []
    for number in range(rounds):
        process = writer(path, f"r{number}", 100_000)
        assert process.stdout is not None
        acknowledged.append(process.stdout.readline().strip())
        time.sleep(rng.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        acknowledged += process.communicate()[0].split("\n")[:-1]
        assert process.returncode == -signal.SIGKILL
    return acknowledged


@pytest.mark.parametrize("rounds", [3, pytest.param(30, marks=pytest.mark.full)])
@pytest.mark.filterwarnings("ignore::helpers.verification.decisions.TornLineWarning")
def test_what_was_acknowledged_is_there_after_a_kill(log, rounds):
    acknowledged = kill_while_appending(log.path, rounds)
    saved = [d.text_id for d in log.read()]
    assert len(acknowledged) > rounds
    assert [text_id for text_id in saved if text_id in set(acknowledged)] == acknowledged
    # Beyond these at most the one that was being saved at each kill.
    assert len(saved) <= len(acknowledged) + rounds


def test_log_held_by_another_process_is_an_error_and_saves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.05)
    log = DecisionLog(tmp_path / "ann.jsonl")
    with FileLock(tmp_path / ".ann.jsonl.lock"), pytest.raises(DecisionError, match="held by"):
        log.append(Decision("ann", "t1", "accept", "6"))
    assert log.read() == []
