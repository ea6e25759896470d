"""Labelling through an endpoint: nothing lost, nothing asked twice, nothing leaked."""

import asyncio
import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from openai_server import Server, running

from helpers.labelling import endpoint as endpoint_module
from helpers.labelling.archive import export_responses
from helpers.labelling.costs import Budget, BudgetReached, Prices
from helpers.labelling.endpoint import (
    EndpointError,
    EndpointLabeller,
    MissingResponses,
    OfflineError,
)
from helpers.labelling.network import is_loopback
from helpers.labelling.questions import Asked, Option, Question
from helpers.labelling.retries import Fault, Hopeless, Pace, Refused, retry_after, status_fault
from helpers.labelling.store import ResponseStore, StoreError
from helpers.plans import Endpoint, Labeller
from helpers.runs import REPO

CODES = ("1", "2", "3", "6")
QUESTION = Question(
    "cap",
    "v4",
    "majors",
    "".join(f"{code}: topic {code}\n" for code in CODES),
    "\nCode:",
    tuple(Option(code, f"topic {code}") for code in CODES),
)
LABELLER = Labeller(kind="endpoint", method="v4", model="m", endpoint="e")
CANARY = "sk-canary-5f2b7c/with+signs="


@pytest.fixture(scope="module")
def shared():
    with running(latency=0.005, hang=30) as server:
        yield server


@pytest.fixture
def server(shared):
    shared.reset()
    return shared


@pytest.fixture
def store(tmp_path):
    with ResponseStore(tmp_path / "responses.sqlite") as opened:
        yield opened


def texts(number: int, marker: str = "") -> list[Asked]:
    return [Asked(f"t{i}", f"Text {i}. {marker}", QUESTION) for i in range(number)]


def make(server: Server, store: ResponseStore, labeller: Labeller = LABELLER, **options):
    names = set(Endpoint.model_fields)
    settings = {name: options.pop(name) for name in names & set(options)}
    endpoint = Endpoint(**{"base_url": server.url, "concurrency": 4, **settings})
    return EndpointLabeller(
        labeller, endpoint, store, **{"name": "x", "first_wait": 0.01, **options}
    )


def test_every_question_is_answered_in_its_place_and_only_once(server, store):
    asked = texts(20) + texts(5)
    first = make(server, store).responses(asked)
    again = make(server, store).answer(asked)
    assert [r.text_id for r in first] == [one.text_id for one in asked]
    assert {r.status for r in first} == {a.status for a in again} == {"ok"}
    assert [a.chosen[0][0] for a in again] == [r.content.strip() for r in first]
    log = server.log()
    assert list(log["served"].values()) == [1] * 20
    assert log["peak"] <= 4


def test_a_response_is_saved_with_all_that_is_known(server, store):
    make(server, store, logprobs=True).responses(texts(1))
    (row,) = store.rows()
    assert (row.task, row.method, row.step, row.text_id) == ("cap", "v4", "majors", "t0")
    assert (row.endpoint, row.model, row.served_model) == (server.url, "m", "m-served")
    assert json.loads(row.sampling)["temperature"] == 0
    assert (row.attempts, row.cost, row.finish_reason) == (1, 0.0, "stop")
    assert row.confidence == pytest.approx(0.6065, abs=1e-4)
    assert row.seconds > 0 and datetime.fromisoformat(row.asked_at).tzinfo
    assert row.prompt_tokens and row.completion_tokens == 2
    assert "Text 0" not in str(row)


@pytest.mark.parametrize("structured", ["json_schema", "json_object", "none"])
def test_structured_answers_are_read(server, store, structured):
    answers = make(server, store, structured=structured).answer(texts(8))
    assert {a.status for a in answers} == {"ok"}
    assert {a.chosen[0][0] for a in answers} <= set(CODES)


def test_base_models_answer_plain_prompts(server, store):
    answers = make(server, store, api="completions").answer(texts(3))
    assert {a.status for a in answers} == {"ok"}
    assert server.log()["last"]["prompt"].endswith("Code:")


FAULTS = ["429", "408", "409", "500", "503", "drop", "garbage", "shape", "empty"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_asked_again(server, store, fault):
    found = make(server, store).responses(texts(2, f"[[{fault} 2]]"))
    assert [(r.status, r.attempts) for r in found] == [("ok", 3)] * 2
    assert server.log()["behaved"] == {fault: 4, "ok": 2}


def test_a_request_without_an_answer_in_time_is_asked_again(server, store):
    (found,) = make(server, store, timeout=0.5, attempts=9).responses(texts(1, "[[hang 2]]"))
    assert found.status == "ok"
    assert found.attempts >= 3  # more where the machine is slow
    assert server.log()["behaved"]["hang"] == 2


@pytest.mark.parametrize("fault", ["500", "drop", "garbage", "429"])
def test_a_lasting_fault_is_an_error_that_the_next_run_asks_again(server, store, fault):
    tries = 15 if fault == "429" else 3  # being told to come later may happen more often
    asked = texts(1, f"[[{fault} {tries} 0.01]]")
    (failed,) = make(server, store, attempts=3).responses(asked)
    assert (failed.status, failed.attempts, failed.content) == ("error", tries, None)
    assert failed.error
    assert make(server, store, replay=True).answer(asked)[0].status == "error"
    (answered,) = make(server, store, attempts=3).responses(asked)
    assert answered.status == "ok"
    assert next(store.rows()).attempts == tries + 1


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [("refuse", "refused"), ("filter", "refused"), ("length", "truncated"), ("400", "error"),
     ("413", "error"), ("422", "error")],
)  # fmt: skip
def test_what_no_second_try_would_change_is_not_asked_again(server, store, behaviour, status):
    asked = [*texts(1, f"[[{behaviour} 0]]"), *texts(3)]
    answers = make(server, store).answer(asked)
    assert [a.status for a in answers] == [status, "ok", "ok", "ok"]
    assert answers[0].chosen == ()
    assert server.log()["behaved"] == {behaviour: 1, "ok": 3}


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [("401", "environment variable TEST_KEY"), ("403", "TEST_KEY may not use"),
     ("404", "model's name 'm'"), ("quota", "no credit"), ("setting", "Change temperature"),
     ("307", "redirects elsewhere"), ("429 0 86400", "asks to wait 86400 s")],
)  # fmt: skip
def test_what_refuses_every_request_stops_the_labeller(server, store, monkeypatch, behaviour, says):
    monkeypatch.setenv("TEST_KEY", CANARY)
    behaviour = behaviour if " " in behaviour else f"{behaviour} 0"
    asked = [*texts(30), *texts(1, f"[[{behaviour}]]"), *texts(400)[31:]]
    with pytest.raises(EndpointError) as raised:
        make(server, store, api_key_env="TEST_KEY").answer(asked)
    assert "endpoint 'e' at http://127.0.0.1" in str(raised.value)
    assert says in str(raised.value)
    assert CANARY not in "".join(traceback.format_exception(raised.value))
    good = [key for key, number in server.log()["served"].items() if number]
    assert 30 <= len(list(store.rows())) == len(good) < 400
    assert store.claim([row.key for row in store.rows()]).result() == set()


def test_an_endpoint_that_is_not_there_is_named(store):
    endpoint = Endpoint(base_url="http://127.0.0.1:9/v1", attempts=2)
    labeller = EndpointLabeller(LABELLER, endpoint, store, name="x", first_wait=0.01)
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9.* Is the server running"):
        labeller.answer(texts(3))


def test_a_redirect_or_a_proxy_does_not_carry_a_text_away(store, monkeypatch):
    with running() as other, running(redirect=other.url + "/chat/completions") as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        assert make(server, store).answer(texts(1))[0].status == "ok"
        for status in ("301", "302", "307", "308"):
            with pytest.raises(EndpointError, match="redirects elsewhere"):
                make(server, store).answer(texts(1, f"[[{status} 0]]"))
        assert other.log()["tries"] == {}
        assert server.log()["behaved"]["ok"] == 1


# --- rates ----------------------------------------------------------------------------------------


def test_retry_after_is_read_in_all_its_forms():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    date = format_datetime(now + timedelta(seconds=7), usegmt=True)
    assert retry_after({"retry-after": "3"}) == 3
    assert retry_after({"retry-after": date}, now) == 7
    assert retry_after({"retry-after": date}, now + timedelta(hours=1)) == 0
    assert retry_after({"retry-after-ms": "120", "retry-after": "3"}) == pytest.approx(0.12)
    for odd in ("", "soon", "-3", "nan", "inf", "1e400"):
        assert retry_after({"retry-after": odd}) is None


def test_a_status_is_judged():
    quota = {"error": {"code": "insufficient_quota"}}
    assert isinstance(status_fault(429, {}, quota), Hopeless)
    assert isinstance(status_fault(502, {}, "<html>"), Fault)
    assert isinstance(status_fault(400, {}, {"message": "too long"}), Refused)
    assert isinstance(status_fault(400, {}, {"message": "no", "param": "seed"}), Hopeless)
    assert isinstance(status_fault(405, {}, None), Hopeless)
    assert status_fault(503, {"retry-after": "2"}, None).limited
    assert not status_fault(503, {}, None).limited


@pytest.mark.parametrize("detail", ["0.6", "date"])
def test_too_many_requests_pause_the_whole_endpoint(server, store, detail):
    make(server, store).answer([*texts(1, f"[[429 1 {detail}]]"), *texts(60)])
    log = server.log()
    gaps = [b - a for a, b in zip(log["arrivals"], log["arrivals"][1:], strict=False)]
    assert max(gaps) > 0.4
    # All but those that were in flight came after the pause.
    assert sum(t > log["arrivals"][gaps.index(max(gaps))] for t in log["arrivals"]) > 50


@pytest.mark.parametrize(("limit", "amounts"), [(60, [1] * 200), (1000, [300, 50, 999, 1] * 40)])
def test_no_minute_holds_more_than_the_limit(limit, amounts):
    pace, now, booked = Pace(limit), 100.0, []
    for amount in amounts:
        now += 0.01
        booked.append((now + pace.book(amount, now), amount))
    for start, first in booked:
        later = [amount for moment, amount in booked if start <= moment < start + 60 - 1e-6]
        # What is booked at `start` uses the time after it; the last one may reach beyond.
        assert sum(later[:-1]) <= limit + 1e-6 or sum(later) == first


def test_labellers_of_one_endpoint_share_its_rate(server, store):
    other = LABELLER.model_copy(update={"model": "n"})
    for labeller in (LABELLER, other):
        make(server, store, labeller, requests_per_minute=1200).answer(texts(6))
    arrivals = server.log()["arrivals"]
    assert len(arrivals) == 12
    assert arrivals[-1] - arrivals[0] > 11 * 0.05 - 0.04  # 20 a second, none at once


def test_tokens_a_minute_slow_down(server, store):
    make(server, store, tokens_per_minute=60_000).answer(texts(6))
    arrivals = server.log()["arrivals"]  # over 64 tokens each, 1,000 a second
    assert arrivals[-1] - arrivals[0] > 5 * 0.064 - 0.04


# --- budget, replay, offline ----------------------------------------------------------------------


@pytest.fixture
def priced(monkeypatch):
    """A dollar a token of the answer, and the prompt for nothing, on this computer."""
    row = {"models": ["m"], "hosts": ["127.0.0.1"], "prompt": 0.0, "completion": 1e6,
           "as_of": "2026-01-01", "source": "test"}  # fmt: skip
    prices = Prices.model_validate({"prices": [row]})
    monkeypatch.setattr(endpoint_module, "load_prices", lambda: prices)


def test_the_budget_stops_cleanly_and_a_larger_one_goes_on(server, store, priced):
    budget = Budget(200.0, store.spent())  # 64 dollars at most and 2 in fact, a request
    with pytest.raises(BudgetReached):
        make(server, store, budget=budget).answer(texts(200))
    rows = list(store.rows())
    assert {row.status for row in rows} == {"ok"}
    assert 200 - 64 < store.spent() == 2 * len(rows) == budget.spent <= 200
    answers = make(server, store, budget=Budget(1000.0, store.spent())).answer(texts(200))
    assert {a.status for a in answers} == {"ok"}
    assert set(server.log()["served"].values()) == {1}


def test_a_request_without_an_answer_counts_in_full(server, store, priced):
    budget = Budget(150.0)
    with pytest.raises(BudgetReached):
        make(server, store, budget=budget, attempts=5).answer(texts(1, "[[garbage 0]]"))
    assert budget.spent == 128
    assert server.log()["behaved"] == {"garbage": 2}


def test_replay_needs_no_server_and_names_what_is_missing(server, store, monkeypatch):
    live = make(server, store).answer(texts(5))
    server.reset()
    replay = make(server, store, replay=True, api_key_env="NOT_SET")
    assert replay.answer(texts(5)) == live
    with pytest.raises(MissingResponses) as raised:
        replay.answer(texts(12))
    assert "'x' (m), task cap: 7 answers were never recorded, for 7 texts: t5, t6" in str(
        raised.value
    )
    assert server.log()["tries"] == {}


@pytest.mark.parametrize(
    "address",
    ["https://api.openai.com/v1", "http://localhost.evil.org/v1", "http://127.evil.org/v1",
     "http://128.0.0.1/v1", "http://0.0.0.0/v1", "http://[::2]/v1", "http://[::ffff:127.0.0.1]/v1",
     "http://2130706433/v1", "http://0x7f.1/v1", "http://127.1/v1", "http://localhost./v1",
     "http://127.0.0.1.nip.io/v1", "http://192.168.1.5/v1", "http://LOCALHOST@evil.org/v1",
     "http://evil.org\\@127.0.0.1/v1", "http://evil.org#@127.0.0.1/v1", "http://127.0.0.1 /v1"],
)  # fmt: skip
def test_offline_refuses_every_other_computer(store, address, monkeypatch):
    import openai

    monkeypatch.setattr(openai, "AsyncOpenAI", None)
    with pytest.raises(EndpointError) as raised:
        EndpointLabeller(LABELLER, Endpoint(base_url=address), store, name="x", offline=True)
    assert isinstance(raised.value, OfflineError) or "base_url" in str(raised.value)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "[::1]"])
def test_this_computer_is_known(host):
    assert is_loopback(f"http://{host}:8000/v1")


def test_offline_labels_at_this_computer(server, store):
    assert make(server, store, offline=True).answer(texts(1))[0].status == "ok"


@pytest.mark.parametrize(
    ("address", "says"),
    [("ftp://a/v1", "no http"), ("nonsense", "no http"), ("http://u:p@a/v1", "holds a user"),
     ("http://a/v1?key=3", "holds a user"), ("http://a:99999/v1", "no http")],
)  # fmt: skip
def test_a_wrong_address_is_refused_and_not_repeated(store, address, says):
    with pytest.raises(EndpointError, match=says) as raised:
        EndpointLabeller(LABELLER, Endpoint(base_url=address), store, name="x")
    assert "u:p" not in str(raised.value)
    assert "key=3" not in str(raised.value)


# --- keys -----------------------------------------------------------------------------------------


def test_the_key_reaches_the_server_and_nothing_else(server, store, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TEST_KEY", f" {CANARY}\n")
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    labeller = make(server, store, api_key_env="TEST_KEY", attempts=2)
    kinds = ("[[echo 0]]", "[[500 0]]", "[[400 0]]", "[[refuse 0]]", "[[garbage 0]]")
    found = [labeller.responses(texts(2, kind))[0] for kind in kinds]
    assert server.log()["headers"]["authorization"] == f"Bearer {CANARY}"
    assert "[API key]" in found[0].content and "[API key]" in found[0].fingerprint
    assert "[API key]" in found[1].error and "[API key]" in found[2].error
    with pytest.raises(EndpointError, match="API key") as raised:
        labeller.responses(texts(1, "[[401 0]]"))
    store.close()
    with ResponseStore(tmp_path / "responses.sqlite") as again:
        exported = export_responses(again, tmp_path / "archive")
    archived = [gzip.decompress(p.read_bytes()) for p in exported]
    files = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert archived and len(files) >= 2 and caplog.records
    seen = [*archived, *files, caplog.text.encode(), repr(labeller).encode()]
    seen += [repr(vars(labeller)).encode(), str(found).encode()]
    seen.append("".join(traceback.format_exception(raised.value)).encode())
    assert not [content for content in seen if CANARY.encode() in content]


def test_a_server_that_needs_no_key_gets_none(server, store, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, CANARY)
    make(server, store).answer(texts(1))
    assert CANARY not in str(server.log()["headers"])


@pytest.mark.parametrize(
    ("value", "says"),
    [(None, "is not set"), ("  ", "is not set"), ("sk a", "holds bl"), ("sk-é", "holds bl")],
)
def test_a_missing_or_broken_key_is_named_but_not_shown(server, store, monkeypatch, value, says):
    if value is None:
        monkeypatch.delenv("TEST_KEY", raising=False)
    else:
        monkeypatch.setenv("TEST_KEY", value)
    with pytest.raises(EndpointError, match=f"TEST_KEY {says}") as raised:
        make(server, store, api_key_env="TEST_KEY")
    assert not value or value.strip() == "" or value not in str(raised.value)


# --- inside a notebook, interrupted, killed, side by side -----------------------------------------


def test_it_works_inside_a_running_event_loop(server, store):
    async def cell():
        return make(server, store).answer(texts(5))

    assert {a.status for a in asyncio.run(cell())} == {"ok"}


def test_a_store_that_fails_stops_the_labeller(server, store, monkeypatch):
    save, saved = store.save, []

    def full(response):
        saved.append(response)
        if len(saved) > 5:
            raise StoreError("the disk is full")
        return save(response)

    monkeypatch.setattr(store, "save", full)
    with pytest.raises(StoreError, match="the disk is full"):
        make(server, store).answer(texts(200))
    assert len(list(store.rows())) == 5
    assert sum(server.log()["tries"].values()) < 30


CHILD = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from openai_server import Server
from test_labelling_endpoint import make, texts
from helpers.labelling.store import ResponseStore
from pathlib import Path
port, path, number, options = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
with ResponseStore(path) as store:
    labeller = make(Server(port), store, **json.loads(options))
    print("ready", flush=True)
    found = labeller.responses(texts(number))
    print(json.dumps([(r.text_id, r.status, r.content) for r in found]))
"""


def child(server: Server, path: Path, number: int, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, server.port, path, number, json.dumps(options)]
    folders = [str(REPO / "src"), str(REPO / "tests")]
    return subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process: subprocess.Popen) -> list[list[str]]:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(out.splitlines()[-1])


def wait_for(server: Server, number: int) -> None:
    deadline = time.monotonic() + 120
    while sum(server.log()["served"].values()) < number:
        assert time.monotonic() < deadline, "the server was not asked"
        time.sleep(0.02)


def uninterrupted(tmp_path: Path, number: int) -> list[list[str]]:
    with running() as server, ResponseStore(tmp_path / "other.sqlite") as store:
        found = make(server, store, identity="same").responses(texts(number))
        return [[r.text_id, r.status, r.content] for r in found]


def test_an_interrupt_saves_what_is_in_flight(tmp_path):
    path = tmp_path / "responses.sqlite"
    with running(latency=0.2) as server:
        process = child(server, path, 400, concurrency=8)
        wait_for(server, 20)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert "KeyboardInterrupt" in errors
        log = server.log()
    with ResponseStore(path) as store:
        rows = list(store.rows())
        assert {row.status for row in rows} == {"ok"}
        assert 20 <= len(rows) == sum(log["tries"].values()) < 400


def kill_and_resume(tmp_path: Path, number: int, kills: int, concurrency: int) -> int:
    """Kill the labeller again and again, finish, check everything; return the duplicates."""
    path = tmp_path / "responses.sqlite"
    rates = {"429": 0.1, "500": 0.05, "hang": 0.02, "garbage": 0.01}
    options = {"concurrency": concurrency, "timeout": 1.0, "identity": "same", "first_wait": 0.02}
    with running(latency=0.02, rates=rates, retry_after="0.02") as server:
        for kill in range(kills):
            process = child(server, path, number, **options)
            wait_for(server, (kill + 1) * number // (kills + 1))
            process.kill()
            process.communicate()
        found = result_of(child(server, path, number, **options))
        log = server.log()
    with ResponseStore(path) as store:
        rows = {row.text_id: row for row in store.rows()}
    assert [one[0] for one in found] == [f"t{i}" for i in range(number)]
    assert {tuple(one[:2]) for one in found} == {(r.text_id, r.status) for r in rows.values()}
    assert len(rows) == number == len(log["served"])
    assert found == uninterrupted(tmp_path, number)  # all were answered in the end
    duplicates = sum(log["served"].values()) - number
    # In flight, or answered and on the way to disk.
    assert 0 <= duplicates <= kills * (concurrency + concurrency // 2 + 1)
    behaved = log["behaved"]
    print(f"{number} requests, {kills} kills: {duplicates} duplicates, {behaved}")
    assert all(behaved.get(kind, 0) > 0 for kind in rates) or number < 1000
    return duplicates


def test_a_killed_labeller_resumes_without_loss(tmp_path):
    kill_and_resume(tmp_path, number=200, kills=1, concurrency=8)


@pytest.mark.full
def test_two_thousand_requests_survive_faults_and_five_kills(tmp_path):
    kill_and_resume(tmp_path, number=2000, kills=5, concurrency=16)


def test_two_processes_share_the_work(tmp_path):
    path = tmp_path / "responses.sqlite"
    with running(latency=0.05) as server:
        both = [child(server, path, 300, concurrency=4, identity="same") for _ in range(2)]
        first, second = [result_of(process) for process in both]
        log = server.log()
    assert first == second == uninterrupted(tmp_path, 300)
    assert list(log["served"].values()) == [1] * 300
    assert log["peak"] > 4  # they worked at the same time


def test_a_service_that_fails_on_everything_is_given_up_and_asked_again_later(server, store):
    with pytest.raises(EndpointError, match=r"questions in a row failed.*HTTP 500"):
        make(server, store, attempts=2, timeout=5).responses(texts(400, "[[500 9]]"))
    failed = [row for row in store.rows() if row.status == "error"]
    assert 25 <= len(failed) < 60  # those in flight end, nothing more is sent
    server.reset()
    assert {r.status for r in make(server, store).responses(texts(5))} == {"ok"}


def test_errors_of_another_process_are_not_asked_again_at_once(server, store, monkeypatch):
    # Another process holds the key and records an error while this one waits for it.
    asked = texts(1, "[[500 0]]")
    labeller = make(server, store, attempts=2)
    (failed,) = labeller.responses(asked)
    claims = []

    def elsewhere(keys):
        claims.append(keys)
        store.save(failed).result()
        from concurrent.futures import Future

        future = Future()
        future.set_result(set())
        return future

    monkeypatch.setattr(store, "claim", elsewhere)
    (again,) = labeller.responses(asked)
    assert (again.status, again.attempts, len(claims)) == ("error", 4, 1)
    assert sum(server.log()["tries"].values()) == 2


def test_progress_shows_answers_and_cost(server, store, capsys):
    make(server, store, progress=True, name="crowd").answer(texts(5))
    shown = capsys.readouterr().err
    assert "crowd" in shown and "5/5" in shown and "$0.00" in shown
