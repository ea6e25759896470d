"""Batch mode: each question is submitted once and no result is lost, whatever happens."""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import batch_server
import pytest
from batch_server import FAST, PRICE, BatchServer, make_setup, questions
from hypothesis import given
from hypothesis import strategies as st

from helpers.labelling import batch_api
from helpers.labelling.batch_api import BatchError, BatchReport, Limits, Patience, fetch_batch
from helpers.labelling.batch_results import read_results
from helpers.labelling.costs import Budget, BudgetReached, PriceError, Prices
from helpers.labelling.endpoint import EndpointLabeller
from helpers.labelling.network import OfflineError
from helpers.labelling.store import ResponseStore

CANARY = "sk-canary-0123456789"


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with batch_server.running() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResponseStore]:
    with ResponseStore(tmp_path / "responses.sqlite") as opened:
        yield opened


def fetch(server: BatchServer, store: ResponseStore, number: int, **more: Any) -> BatchReport:
    texts = {name: more.pop(name) for name in list(more) if name.startswith("t")}
    limits = more.pop("limits", None)
    setup = make_setup(server.url, **more)
    asked = questions(setup, number, **texts)
    return fetch_batch(setup, store, asked, patience=FAST, limits=limits)


def table(store: ResponseStore) -> list[tuple[Any, ...]]:
    """All that decides results: no times, no names of batches."""
    return [(r.key, r.text_id, r.status, r.content, r.error, r.cost) for r in store.rows()]


def test_results_in_any_order_reach_their_questions(server, store):
    report = fetch(server, store, 12)
    assert (report.submitted, report.answered, report.errors) == (1, 12, 0)
    assert server.sizes() == [12]
    [batch] = server.batches.values()
    output = server.files[batch["output_file_id"]].splitlines()
    assert [json.loads(line)["custom_id"] for line in output] != list(report.responses)
    for line in map(json.loads, output):
        row = report.responses[line["custom_id"]]
        assert row.content == line["response"]["body"]["choices"][0]["message"]["content"]
        assert (row.served_model, row.fingerprint) == ("small-served", "fp_test")
        assert row.extra["batch"] == "batch-0"
        # Half of the price per million tokens.
        assert row.cost == pytest.approx(
            0.5 * (10 * row.prompt_tokens + 30 * row.completion_tokens) / 1e6
        )
    assert [r.text_id for r in report.responses.values()] == [f"t{i}" for i in range(12)]


def test_what_is_answered_is_not_asked_again(server, store):
    fetch(server, store, 4)
    before = list(server.log)
    again = fetch(server, store, 4)
    assert server.log == before
    assert (again.submitted, again.answered) == (0, 0)
    assert [r.status for r in again.responses.values()] == ["ok"] * 4
    fetch(server, store, 6)
    assert server.sizes() == [4, 2]


@pytest.mark.parametrize(
    ("limits", "sizes"), [(Limits(requests=4), [4, 4, 2]), (Limits(size=1200), [3, 3, 3, 1])]
)
def test_files_are_split_by_their_limits(server, store, limits, sizes):
    fetch(server, store, 10, limits=limits)
    assert server.sizes() == sizes
    inputs = [server.files[batch["input_file_id"]] for batch in server.batches.values()]
    assert all(len(content) <= limits.size for content in inputs)
    assert set(server.asked.values()) == {1} and len(server.asked) == 10


def test_a_text_too_large_for_any_file_is_named(server, store):
    with pytest.raises(BatchError, match="text 't1' alone is larger"):
        fetch(server, store, 2, limits=Limits(size=2000), t1="x" * 3000)
    assert not server.batches


def test_errors_of_single_requests_are_errors_and_are_asked_again(server, store):
    report = fetch(server, store, 6, t2="[[400 0]]", t4="[[500 0]]", t5="[[length 0]]")
    assert (report.answered, report.errors) == (4, 2)
    statuses = {r.text_id: (r.status, r.error) for r in report.responses.values()}
    assert statuses["t2"][0] == "error" and statuses["t2"][1].startswith("HTTP 400: as told")
    assert statuses["t4"][1].startswith("HTTP 500")
    assert statuses["t5"] == ("truncated", None)
    fetch(server, store, 6, t2="[[400 0]]", t4="[[500 0]]", t5="[[length 0]]")
    assert server.sizes() == [6, 2]


def test_an_expired_batch_keeps_its_results_and_the_next_run_asks_the_rest(server, store):
    server.expire_after = 6
    with pytest.warns(UserWarning, match=r"\(expired\): 4 requests have no result"):
        report = fetch(server, store, 10)
    assert (report.answered, report.errors, report.unanswered) == (6, 0, 4)
    assert len(list(store.rows())) == 6
    assert sum(r.status == "error" for r in report.responses.values()) == 4
    assert len(server.batches) == 1
    server.expire_after = None
    assert fetch(server, store, 10).answered == 4
    assert server.sizes() == [10, 4]
    assert set(server.asked.values()) == {1} and len(server.asked) == 10


def start(server: BatchServer, store: ResponseStore, number: int, stage: str = "") -> Any:
    """Run a process that asks, and kills itself at a stage (none: it ends by itself)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["openai", "helpers.labelling.batch_api"])  # read them once
    arguments = (server.url, str(store.path), number, stage)
    process = context.Process(target=batch_server.ask, args=arguments)
    process.start()
    return process


def wait_for(server: BatchServer, entry: str, times: int) -> None:
    while server.count(entry) < times:
        time.sleep(0.01)


def uninterrupted(tmp_path: Path, number: int) -> list[tuple[Any, ...]]:
    with (
        batch_server.running() as server,
        ResponseStore(tmp_path / "whole.sqlite") as store,
    ):
        fetch(server, store, number)
        return table(store)


def test_a_process_killed_while_waiting_picks_its_batch_up(server, store, tmp_path):
    server.hold.set()
    process = start(server, store, 8)
    wait_for(server, "GET /batches/", 2)
    process.kill()
    process.join()
    assert not list(store.rows())
    server.hold.clear()
    report = fetch(server, store, 8)
    assert (report.submitted, report.resumed, report.answered) == (0, 1, 8)
    assert server.sizes() == [8]
    assert table(store) == uninterrupted(tmp_path, 8)


@pytest.mark.parametrize(
    ("stage", "uploads", "resumed"),
    [
        ("after upload", 2, 0),
        ("before create", 2, 0),
        ("after create", 1, 1),
        ("reading", 1, 1),
        ("before done", 1, 0),
    ],
)
def test_a_process_killed_between_two_steps_submits_nothing_twice(
    server, store, tmp_path, stage, uploads, resumed
):
    process = start(server, store, 8, stage)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    report = fetch(server, store, 8)
    assert report.resumed == resumed
    assert server.count("POST /files") == uploads
    assert server.sizes() == [8]
    assert set(server.asked.values()) == {1}
    assert table(store) == uninterrupted(tmp_path, 8)
    assert all(r.attempts == 1 for r in store.rows())


def test_a_batch_is_found_by_its_token_among_many(server, store):
    start(server, store, 3, "after create").join()
    for other in ("a", "b", "c"):
        server.create(
            {
                "endpoint": "/v1/chat/completions",
                "input_file_id": "file-0",
                "completion_window": "24h",
                "metadata": {"token": other},
            }
        )
    assert fetch(server, store, 3).resumed == 1
    assert server.count("POST /batches") == 1


def test_two_processes_ask_nothing_twice(server, store):
    server.hold.set()
    processes = [start(server, store, 6) for _ in range(2)]
    wait_for(server, "GET /batches/", 4)
    server.hold.clear()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert set(server.asked.values()) == {1} and len(server.asked) == 6
    assert [row.status for row in store.rows()] == ["ok"] * 6


def test_a_batch_that_a_living_process_is_creating_is_left_to_it(server, store, monkeypatch):
    server.gate = threading.Event()
    process = start(server, store, 4)
    wait_for(server, "POST /batches", 1)
    pause = time.sleep

    def see_that_it_waits(seconds: float) -> None:
        server.gate.set()
        pause(seconds)

    monkeypatch.setattr(batch_api.time, "sleep", see_that_it_waits)
    fetch(server, store, 4)
    process.join()
    assert server.sizes() == [4]
    assert server.count("POST /files") == 1


def test_an_interrupt_leaves_the_batch_running(server, store, monkeypatch):
    server.hold.set()

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(batch_api.time, "sleep", interrupt)
        fetch(server, store, 3)
    server.hold.clear()
    assert fetch(server, store, 3).resumed == 1
    assert server.sizes() == [3]


def test_faults_of_the_server_are_outlasted_and_a_lost_reply_creates_no_second_batch(server, store):
    server.faults = {
        "POST /files": [503],
        "POST /batches": ["drop", 500],
        "GET /batches/": ["drop", 429, "garbage"],
        "GET /files": [500],
    }
    report = fetch(server, store, 5)
    assert (report.submitted, report.answered) == (1, 5)
    assert server.sizes() == [5]
    assert server.count("POST /batches") == 1
    assert not any(queue for start, queue in server.faults.items() if start != "POST /batches")


def test_a_server_that_is_gone_leaves_a_message_and_the_batch(server, store):
    server.faults = {"GET /batches/": [503] * 1000}
    setup = make_setup(server.url)
    asked = questions(setup, 2)
    with pytest.raises(BatchError, match=r"HTTP 503.*Batches that it has go on"):
        fetch_batch(setup, store, asked, patience=Patience(0.01, 0.02, unreachable=0.1))
    server.faults = {}
    assert fetch(server, store, 2).resumed == 1
    assert server.sizes() == [2]


def test_a_refused_file_is_explained_and_can_be_sent_again(server, store):
    server.refuse = ["Unsupported parameter: 'seed'"]
    with pytest.raises(BatchError, match=r"line 2 \(text 't1'\): Unsupported parameter") as caught:
        fetch(server, store, 3)
    assert "none of it was asked or charged" in str(caught.value)
    assert not list(store.rows())
    assert fetch(server, store, 3).answered == 3
    assert server.sizes() == [3, 3]


def test_a_refused_file_does_not_cost_the_other_batches(server, store):
    server.refuse = ["enqueued token limit reached"]
    with pytest.raises(BatchError, match="token limit reached"):
        fetch(server, store, 6, limits=Limits(requests=3))
    assert len(list(store.rows())) == 3
    assert fetch(server, store, 6).answered == 3
    assert set(server.asked.values()) == {1} and len(server.asked) == 6


def test_a_wrong_key_is_refused_at_once(server, store):
    server.faults = {"POST /files": [401] * 5}
    with pytest.raises(BatchError, match="environment variable CANARY"):
        fetch(server, store, 2, key=CANARY)
    assert server.count("POST /files") == 1


def test_lost_batches_and_results_are_explained(server, store):
    server.hold.set()
    server.faults = {"GET /batches/": [404]}
    with pytest.raises(BatchError, match="account that submitted it"):
        fetch(server, store, 2)
    server.hold.clear()
    server.faults = {"GET /files": [404]}
    with pytest.raises(BatchError, match="no longer on the server"):
        fetch(server, store, 2)
    server.faults = {}
    assert fetch(server, store, 2).answered == 2
    assert server.sizes() == [2, 2]


def test_useless_lines_are_counted_and_cost_nothing(server, store):
    unknown = {"custom_id": "nobody", "response": {"status_code": 200, "body": {}}, "error": None}
    server.more_lines = [b"{half a li", json.dumps(unknown).encode(), b"[]"]
    with pytest.warns(UserWarning, match="1 results name no request of ours, and 2 lines"):
        report = fetch(server, store, 3)
    assert (report.answered, report.unknown, report.broken) == (3, 1, 2)


def test_results_nobody_asks_for_now_can_be_read_later(server, store):
    server.hold.set()
    process = start(server, store, 8)
    wait_for(server, "GET /batches/", 1)
    process.kill()
    process.join()
    server.hold.clear()
    assert fetch(server, store, 3).answered == 3
    assert fetch(server, store, 8).answered == 5
    assert server.sizes() == [8]


def test_a_budget_is_kept_and_what_is_left_of_it_is_used(server, store):
    limit = 0.008
    budget = Budget(limit)
    report = fetch(server, store, 9, budget=budget)
    assert report.answered == 9
    assert server.sizes()[0] < 9  # all that the worst case allowed at first
    assert len(server.sizes()) == report.submitted
    assert budget.spent == pytest.approx(store.spent())
    assert 0 < budget.spent <= limit
    assert budget.left == pytest.approx(limit - budget.spent)


def test_a_batch_picked_up_counts_in_the_budget_before_more_is_submitted(server, store):
    server.hold.set()
    process = start(server, store, 8)
    wait_for(server, "GET /batches/", 1)
    process.kill()
    process.join()
    server.hold.clear()
    fetch(server, store, 12, budget=Budget(0.01))
    read = next(i for i, entry in enumerate(server.log) if entry.startswith("GET /files"))
    assert server.log[:read].count("POST /batches") == 1
    assert len(server.asked) == 12 and set(server.asked.values()) == {1}


def test_a_budget_stops_cleanly_and_a_raised_one_goes_on(server, store):
    budget = Budget(0.006)
    with pytest.raises(BudgetReached, match=r"Raise labelling\.budget_usd and run again"):
        fetch(server, store, 40, budget=budget)
    spent = len(list(store.rows()))
    assert 0 < spent < 40
    assert 0 < store.spent() <= 0.006
    fetch(server, store, 40, budget=Budget(1.0, store.spent()))
    assert set(server.asked.values()) == {1} and len(server.asked) == 40


def test_a_budget_counts_the_most_where_the_server_does_not_say(server, store):
    server.usage = False
    budget = Budget(1.0)
    fetch(server, store, 2, budget=budget)
    assert all(row.cost is None for row in store.rows())
    assert budget.spent > 2 * 300 * 0.5 * 10 / 1e6


def test_a_budget_needs_a_price(server, store):
    prices = Prices.model_validate({"prices": [{**PRICE, "batch_discount": None}]})
    setup = replace(make_setup(server.url, budget=Budget(1.0)), prices=prices)
    with pytest.raises(PriceError, match="price of this model is unknown"):
        fetch_batch(setup, store, questions(setup, 2), patience=FAST)
    assert not server.log


def test_the_key_is_sent_and_never_kept(server, store, caplog):
    caplog.set_level("DEBUG")
    server.more_lines = [b"{half a li"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fetch(server, store, 4, key=CANARY, t1="[[400 0]]", t2="[[echo 0]]")
        server.refuse = [f"you sent {CANARY}"]
        with pytest.raises(BatchError) as refused:
            fetch(server, store, 6, key=CANARY, t1="[[400 0]]", t2="[[echo 0]]")
    assert server.keys == {CANARY}
    said = [str(refused.value), *(str(one.message) for one in caught), caplog.text]
    said += [repr(row) for row in store.rows()]
    assert not any(CANARY in text for text in said)
    assert any("[API key]" in (row.content or "") for row in store.rows())
    store.close()
    for file in store.path.parent.iterdir():
        assert CANARY.encode() not in file.read_bytes()


replies = st.builds(
    lambda key, kind: (key, kind),
    st.sampled_from(["a", "b", "c", "stranger"]),
    st.sampled_from(["reply", "error", "expired"]),
)


@given(st.lists(replies), st.randoms())
def test_lines_in_any_order_give_the_same_statuses(lines, random):
    def written(key: str, kind: str) -> bytes:
        reply = {"status_code": 200, "body": {"choices": [{"text": "\u2028 6"}]}}
        error = {"code": "batch_expired" if kind == "expired" else "other", "message": "m"}
        line = {"custom_id": key, "response": None, "error": error}
        if kind == "reply":
            line = {"custom_id": key, "response": reply, "error": None}
        return json.dumps(line, ensure_ascii=False).encode()

    shuffled = list(lines)
    random.shuffle(shuffled)
    content = b"\n".join(written(*line) for line in shuffled)
    results = read_results([content], ["a", "b", "c"])
    assert results.unknown == sum(key == "stranger" for key, _ in lines)
    assert results.broken == 0
    assert set(results.found) == {key for key, _ in lines} - {"stranger"}
    for key, result in results.found.items():
        assert result.is_reply == ((key, "reply") in lines)


def test_a_labeller_in_batch_mode_answers_like_any_other(server, store, monkeypatch):
    monkeypatch.setattr(batch_api, "Patience", lambda: FAST)
    setup = make_setup(server.url)
    asked = list(questions(setup, 5, t3="[[400 0]]").values())
    labeller = EndpointLabeller(setup.labeller, setup.endpoint, store, name="crowd-1", offline=True)
    answers = labeller.answer([*asked, asked[0]])
    assert [a.status for a in answers] == ["ok", "ok", "ok", "error", "ok", "ok"]
    assert answers[0] == answers[-1]
    assert server.sizes() == [5]
    assert all(row.cost == 0 for row in store.rows() if row.status == "ok")  # on this computer


def test_an_offline_profile_sends_no_batch_away(store):
    setup = make_setup("https://api.openai.com/v1")
    with pytest.raises(OfflineError, match=r"api\.openai\.com is not on this computer"):
        EndpointLabeller(setup.labeller, setup.endpoint, store, name="crowd-1", offline=True)
