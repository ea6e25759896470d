"""The response store: nothing acknowledged is lost, nothing is asked for twice."""

import functools
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest
import store_worker as worker
from store_worker import noted, response

from helpers.labelling import leases, writer
from helpers.labelling.questions import Response, sha256
from helpers.labelling.store import Conflict, ResponseStore, StoreError
from helpers.runs import HelpersError

TESTS = Path(__file__).parent


@pytest.fixture
def path(tmp_path):
    return tmp_path / "responses.sqlite"


@pytest.fixture
def store(path):
    with ResponseStore(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def processes():
    """Give a context whose processes are forked from one that has imported the store already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)]))
        context = get_context("forkserver")
        context.set_forkserver_preload(["store_worker"])
        yield context


def keys_of(names):
    return [sha256(str(name)) for name in names]


def saved(store, *responses):
    for future in [store.save(one) for one in responses]:
        future.result()


def rows_on_disk(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT COUNT(*) FROM responses").fetchone()[0]
    finally:
        connection.close()


class Blocked:
    """Hold the writer's thread, so that work queues up."""

    def __init__(self, store):
        self.go, started = threading.Event(), threading.Event()
        self.done = store._writer.submit(lambda _: (started.set(), self.go.wait()))
        started.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go.set()
        self.done.result()


# --- what is kept ---------------------------------------------------------------------------


def test_the_table_has_the_fields_of_a_response(store):
    with store._reading() as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(responses)")]
    assert columns == [field.name for field in fields(Response)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"content": None, "status": "error", "error": "HTTP 500", "cost": None},
        {"content": "a\0b\n\u2028ü😀", "confidence": None, "extra": {}},
    ],
    ids=["full", "error", "odd characters"],
)
def test_a_response_comes_back_as_it_was(path, changes):
    with ResponseStore(path) as store:
        saved(store, response(1, **changes))
    with ResponseStore(path) as store:
        assert store.get(keys_of([1])) == {sha256("1"): response(1, **changes)}


def test_an_acknowledged_response_is_on_disk_and_others_are_not_acknowledged(store, path):
    with Blocked(store):
        future = store.save(response(1))
        assert not future.done()
        assert rows_on_disk(path) == 0
    future.result()
    assert rows_on_disk(path) == 1


def test_commits_are_flushed_to_disk(store):
    connection = store._writer._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_an_answer_is_never_replaced(store):
    saved(store, response(1, content="first"), response(1, content="second"))
    saved(store, response(1, status="error", content=None, error="late"))
    assert store.get(keys_of([1]))[sha256("1")] == response(1, content="first")


@pytest.mark.parametrize("status", ["refused", "truncated"])
def test_a_refused_or_truncated_answer_is_an_answer(store, status):
    saved(store, response(1, status=status, content="no"), response(1))
    assert store.get(keys_of([1]))[sha256("1")].status == status
    assert store.claim(keys_of([1])).result() == set()


def test_an_error_is_replaced_and_its_attempts_and_costs_are_kept(store):
    failed = response(1, status="error", content=None, error="timeout", attempts=6, cost=None)
    saved(store, failed, replace(failed, error="HTTP 500", cost=0.5))
    found = store.get(keys_of([1]))[sha256("1")]
    assert (found.error, found.attempts, found.cost) == ("HTTP 500", 12, 0.5)
    saved(store, response(1, attempts=2, cost=0.25))
    found = store.get(keys_of([1]))[sha256("1")]
    assert (found.status, found.error, found.attempts, found.cost) == ("ok", None, 14, 0.75)
    assert store.spent() == 0.75


def test_text_and_numbers_that_no_file_can_hold_do_not_cost_the_answer(store):
    saved(store, response(1, content="half \ud83d", confidence=float("nan"), extra={"x": "\udc00"}))
    found = store.get(keys_of([1]))[sha256("1")]
    assert (found.content, found.confidence, found.extra) == ("half \\ud83d", None, {"x": "?"})


def test_a_response_that_cannot_be_saved_does_not_harm_those_beside_it(store):
    with Blocked(store):
        good = [store.save(response(n)) for n in range(3)]
        bad = store.save(response("bad", prompt_tokens=2**70))
        good += [store.save(response(n)) for n in range(3, 6)]
    assert [future.result() for future in good] == [None] * 6
    with pytest.raises(StoreError, match="cannot be saved: Python int too large"):
        bad.result()
    assert len(store.get(keys_of(range(6)))) == 6


def test_get_returns_what_is_there_in_the_order_asked_for(store):
    store.add([response(n) for n in range(2500)]).result()
    wanted = keys_of([*range(2499, -1, -1), "missing"])
    found = store.get(wanted)
    assert list(found) == wanted[:-1]
    assert found[wanted[0]] == response(2499)


def test_rows_have_an_order_and_can_be_chosen(store):
    some = [response(n, task=task, model=m) for n, (task, m) in enumerate(["by", "ax", "bx"] * 3)]
    saved(store, *random.Random(1).sample(some, len(some)))
    in_order = sorted(some, key=lambda r: (r.task, r.model, r.method, r.prompt, r.key))
    assert list(store.rows()) == in_order
    assert list(store.rows("b", model="x")) == [r for r in in_order if r.task + r.model == "bx"]
    assert [group[:2] for group in store.groups()] == [("a", "x"), ("b", "x"), ("b", "y")]
    assert store.groups("a") == [("a", "x", "v4", "majors")]
    assert store.spent() == 9 * 0.25
    with pytest.raises(TypeError, match="no colour"):
        list(store.rows(colour="red"))


def test_an_empty_store_has_spent_nothing(store):
    assert (store.spent(), list(store.rows()), store.get([])) == (0.0, [], {})


# --- the writer -----------------------------------------------------------------------------


def test_what_queues_up_shares_one_commit(store):
    with Blocked(store):
        before = store.commits
        futures = [store.save(response(n)) for n in range(64)]
    for future in futures:
        future.result()
    assert store.commits - before == 2  # the one that blocked, and one for all


def test_64_threads_need_far_fewer_commits_than_saves(store):
    before = store.commits

    def work(thread):
        for number in range(20):
            store.save(response(f"{thread}-{number}")).result()

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(work, range(64)))
    assert sum(1 for _ in store.rows()) == 64 * 20
    assert store.commits - before < 64 * 20 / 4


def test_a_save_that_nobody_waits_for_is_done_and_a_claim_is_not(store):
    with Blocked(store):
        save, claim = store.save(response(1)), store.claim(keys_of([2]))
        assert save.cancel()
        assert claim.cancel()
    store.release([]).result()  # queued after them
    assert list(store.get(keys_of([1]))) == keys_of([1])
    with store._reading() as connection:
        assert connection.execute("SELECT COUNT(*) FROM leases").fetchone() == (0,)


def test_closing_finishes_what_is_queued(path):
    store = ResponseStore(path)
    with Blocked(store):
        futures = [store.save(response(n)) for n in range(20)]
        closing = threading.Thread(target=store.close)
        closing.start()
    closing.join()
    assert [future.result(0) for future in futures] == [None] * 20
    assert rows_on_disk(path) == 20
    assert not path.with_name(path.name + "-wal").exists()
    store.close()
    for use in (lambda: store.save(response(1)), lambda: store.get([])):
        with pytest.raises(StoreError, match="is closed"):
            use()


def test_a_program_that_ends_without_closing_saves_what_is_queued(path):
    code = f"""
        import sys
        sys.path[:0] = {[str(TESTS), str(TESTS.parent / "src")]!r}
        from store_worker import ResponseStore, response
        store = ResponseStore({str(path)!r})
        for number in range(50):
            store.save(response(number))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    assert rows_on_disk(path) == 50


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_ever_if_the_writer_has_a_defect(store):
    def fails(_):
        raise RuntimeError("defect")

    with Blocked(store):
        broken, beside = store._writer.submit(fails), store.save(response(1))
        later = store.save(response(2))
    for future in (broken, beside, later):
        with pytest.raises(StoreError, match="its writer has stopped"):
            future.result(60)
    store._writer._thread.join()
    with pytest.raises(StoreError, match="closed"):
        store.save(response(3))


def test_a_forked_process_must_open_the_store_itself(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        for use in (lambda: store.save(response(1)), lambda: store.get([])):
            with pytest.raises(StoreError, match="Open it in the process that uses it"):
                use()


def test_importing_the_store_is_cheap():
    code = """
        import sys, helpers.labelling.store
        heavy = {"torch", "transformers", "openai", "httpx", "sklearn"} & set(sys.modules)
        sys.exit(str(heavy) if heavy else 0)
    """
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent / "src")}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, env=environment)


# --- files that are not as they should be ---------------------------------------------------


def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(path):
    path.write_text("id,text\n" * 1000)
    with pytest.raises(StoreError, match=r"responses.sqlite: .*not a response store. Move it away"):
        ResponseStore(path)
    assert path.read_text() == "id,text\n" * 1000


def test_another_sqlite_file_is_refused_and_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="Choose another path"):
        ResponseStore(path)
    assert path.read_bytes() == before


def test_an_unknown_schema_version_is_refused(path):
    ResponseStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"schema version 99; this package reads version 1\. Exp"):
        ResponseStore(path)


def test_a_store_without_its_log_mode_gets_it_back(path):
    with ResponseStore(path) as store:
        saved(store, response(1))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    with ResponseStore(path) as store:
        assert store._writer._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert len(store.get(keys_of([1]))) == 1


def test_a_damaged_file_is_explained(path):
    with ResponseStore(path) as store:
        saved(store, *(response(n) for n in range(500)))
    content = bytearray(path.read_bytes())
    content[8192:-8192] = random.Random(1).randbytes(len(content) - 16384)
    path.write_bytes(content)
    with ResponseStore(path) as store:
        for use in (lambda: list(store.rows()), store.check):
            with pytest.raises(StoreError, match=r"damaged.*Move it away.*import_responses"):
                use()


def test_a_damaged_row_is_explained(store, path):
    saved(store, response(1))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE responses SET extra = '{\"id\"'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=f"key {sha256('1')} is unreadable. The file is damaged"):
        store.get(keys_of([1]))


def test_a_path_that_cannot_be_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for impossible in (tmp_path / "file" / "responses.sqlite", tmp_path / "folder"):
        with pytest.raises(StoreError, match=r"check the rights of file and folder"):
            ResponseStore(impossible)


def test_a_full_disk_is_explained_and_work_goes_on_when_there_is_space(store):
    saved(store, *(response(n) for n in range(50)))
    connection = store._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    large = [store.save(response(f"large {n}", content="x" * 100_000)) for n in range(5)]
    for future in large:
        with pytest.raises(HelpersError, match=r"disk is full. What was saved before is intact"):
            future.result()
    store.check()
    assert {r.key for r in store.rows()} == set(keys_of(range(50)))
    connection.execute("PRAGMA max_page_count = 1000000")
    saved(store, response("large 0", content="x" * 100_000))
    assert len(store.get(keys_of(["large 0"]))) == 1


def test_files_that_may_not_grow_cost_no_answer(tmp_path, path, processes):
    child = processes.Process(target=worker.save_into_small_space, args=(tmp_path,), daemon=True)
    child.start()
    child.join()
    (error,) = noted(tmp_path / "error")
    assert "What was saved before is intact" in error
    acknowledged = noted(tmp_path / "acknowledged")
    with ResponseStore(path) as store:
        store.check()
        assert len(acknowledged) > 20
        assert len(store.get(keys_of(acknowledged))) == len(acknowledged)


def test_a_program_that_does_not_let_go_of_the_file_is_named(store, path):
    store._writer._connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="Another program has kept it locked"):
        store.save(response(1)).result()
    other.execute("ROLLBACK")
    other.close()
    saved(store, response(1))


def test_a_process_that_does_not_finish_writing_is_named(store, path, monkeypatch):
    monkeypatch.setattr(writer, "WAIT", 0.05)
    with Blocked(store), pytest.raises(StoreError, match="Another program has kept it locked"):
        ResponseStore(path)
    ResponseStore(path).close()


# --- claims ---------------------------------------------------------------------------------


def lease_of(store, key):
    with store._reading() as connection:
        query = "SELECT host, pid, started, expires FROM leases WHERE key = ?"
        return connection.execute(query, (key,)).fetchone()


def give_lease(path, name, owner, expires):
    connection = sqlite3.connect(path)
    values = (sha256(name), *owner, "another store", expires)
    connection.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?)", values)
    connection.commit()
    connection.close()


def test_claims_of_this_process_are_given_again_until_answered(store):
    assert store.claim(keys_of("abc")).result() == set(keys_of("abc"))
    saved(store, response("a"), response("b", status="error", content=None, error="x"))
    assert lease_of(store, sha256("a")) is lease_of(store, sha256("b")) is None
    assert store.claim(keys_of("abc")).result() == set(keys_of("bc"))


def test_claims_hold_against_a_living_process_until_given_back(store, tmp_path, path, processes):
    child = processes.Process(
        target=worker.claim_and_wait, args=(tmp_path, ["a", "b"]), daemon=True
    )
    child.start()
    wait_for(lambda: noted(tmp_path / "claimed"))
    assert store.claim(keys_of("abc")).result() == {sha256("c")}
    store.release(keys_of("a")).result()  # not ours to give back
    assert lease_of(store, sha256("a"))[1] == child.pid
    child.kill()
    child.join()
    assert store.claim(keys_of("abc")).result() == set(keys_of("abc"))  # at once


def test_releasing_and_closing_give_claims_back(path, store):
    with ResponseStore(path) as other:
        other.claim(keys_of("abc")).result()
        other.release(keys_of("a")).result()
        assert lease_of(store, sha256("a")) is None
        assert lease_of(store, sha256("b")) is not None
    assert lease_of(store, sha256("b")) is None


def test_whose_lease_counts(store, path):
    me, now = leases.this_process(), time.time()
    parent = psutil.Process(os.getppid())
    living = leases.Owner(me.host, parent.pid, parent.create_time())
    owners = {
        "living": (living, now + 100),
        "living, not renewed": (living, now - 1),
        "elsewhere": (leases.Owner("another machine", me.pid, me.started), now + 100),
        "elsewhere, not renewed": (leases.Owner("another machine", 1, 1.0), now - 1),
        "number given again": (leases.Owner(me.host, parent.pid, living.started - 1e6), now + 100),
        "clock set": (leases.Owner(me.host, parent.pid, living.started - 5), now + 100),
    }
    for name, (owner, expires) in owners.items():
        give_lease(path, name, owner, expires)
    free = store.claim(keys_of(owners)).result()
    assert {name for name in owners if sha256(name) in free} == {
        "living, not renewed",
        "elsewhere, not renewed",
        "number given again",
    }


def test_a_dead_child_that_nobody_has_buried_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    owner = leases.Owner(leases.this_process().host, child.pid, process.create_time())
    assert not leases.is_dead(owner)
    child.stdin.close()
    wait_for(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert leases.is_dead(owner)
    child.wait()
    assert leases.is_dead(owner)


def test_claims_are_renewed_while_their_process_lives(path):
    with ResponseStore(path, lease=0.3) as store:
        store.claim(keys_of("a")).result()
        first = lease_of(store, sha256("a"))[-1]
        wait_for(lambda: lease_of(store, sha256("a"))[-1] > first + 1)
        assert lease_of(store, sha256("a"))[-1] > time.time()


def wait_for(condition):
    """Wait until something is so; a minute is for machines that do much else."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# --- several processes, and killed ones -----------------------------------------------------


def test_two_processes_ask_nothing_twice_and_answer_all(tmp_path, path, processes):
    names = [f"text {n}" for n in range(500)]
    start = processes.Barrier(2)
    children = [
        processes.Process(
            target=worker.answer_all, args=(tmp_path, names, label, start), daemon=True
        )
        for label in "ab"
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    asked = [line.split(" ", 1) for line in noted(tmp_path / "asked")]
    assert sorted(name for _, name in asked) == sorted(names)
    assert {label for label, _ in asked} == {"a", "b"}
    with ResponseStore(path) as store:
        assert {r.status for r in store.get(keys_of(names)).values()} == {"ok"}
        assert len(store.get(keys_of(names))) == 500
        store.check()


def grown(path, lines):
    return len(noted(path)) > lines


def kill_at_random(tmp_path, path, processes, rounds):
    """Kill a saving process again and again; return how many answers survived."""
    chance, acknowledged, asked = random.Random(rounds), set(), []
    for number in range(rounds):
        pending = sorted({name for _, name in asked} - acknowledged)
        arguments = (tmp_path, str(number), pending)
        child = processes.Process(target=worker.save_until_killed, args=arguments, daemon=True)
        child.start()
        if chance.random() < 0.8:  # else it may be killed while it opens the store
            wait_for(functools.partial(grown, tmp_path / "asked", len(asked)))
        time.sleep(chance.uniform(0, 0.1))
        child.kill()
        child.join()
        assert child.exitcode == -9
        before, acknowledged = acknowledged, set(noted(tmp_path / "acknowledged"))
        asked = [tuple(line.split(" ")) for line in noted(tmp_path / "asked")]
        now = {name for label, name in asked if label == str(number)}
        assert not now & before, "an acknowledged answer was asked for again"
        if path.exists():
            with ResponseStore(path) as store:
                kept = store.get(keys_of(sorted(acknowledged)))
                assert all(kept[sha256(name)] == response(name) for name in acknowledged)
                store.check()
    # Only what was in flight at a kill (eight threads with five each) was asked for again.
    assert len(asked) - len({name for _, name in asked}) <= rounds * 40
    assert acknowledged
    return len(acknowledged)


def test_killing_the_saving_process_loses_nothing(tmp_path, path, processes):
    assert kill_at_random(tmp_path, path, processes, rounds=8) > 8


@pytest.mark.full
def test_killing_the_saving_process_200_times_loses_nothing(tmp_path, path, processes):
    assert kill_at_random(tmp_path, path, processes, rounds=200) > 2000


# --- batches --------------------------------------------------------------------------------


def test_a_batch_is_recorded_before_it_is_sent_and_until_it_is_done(path):
    with ResponseStore(path) as store:
        store.add_batch("b1", "https://a", "m", ["k1", "k2"])
        store.add_batch("b2", "https://b", "m", ["k3"])
        store.update_batch("b1", batch_id="batch_1", input_file="file_1", status="in_progress")
    with ResponseStore(path) as store:
        first, second = store.batches()
        assert (first.token, first.keys, first.batch_id) == ("b1", ("k1", "k2"), "batch_1")
        assert (first.input_file, first.output_file, first.status) == (
            "file_1",
            None,
            "in_progress",
        )
        assert (second.status, second.batch_id) == ("new", None)
        assert first.created.endswith("+00:00")
        assert store.batches("https://b") == [second]
        for status, is_open in [("completed", True), ("expired", True), ("done", False)]:
            store.update_batch("b1", status=status)
            assert ("b1" in [batch.token for batch in store.batches()]) is is_open
        assert [batch.token for batch in store.batches(open_only=False)] == ["b1", "b2"]


def test_wrong_batches_are_refused(store):
    store.add_batch("b1", "https://a", "m", [])
    with pytest.raises(StoreError, match="UNIQUE constraint failed"):
        store.add_batch("b1", "https://a", "m", [])
    with pytest.raises(StoreError, match="has no batch 'b2'"):
        store.update_batch("b2", status="done")
    with pytest.raises(TypeError, match="a batch has no keys"):
        store.update_batch("b1", keys="[]")


def test_archived_responses_are_added_all_or_none(store):
    failed = response(2, status="error", content=None, error="x")
    saved(store, response(1), failed)
    assert store.add([response(1, seconds=9.0), response(2), response(3)]).result() == 2
    assert store.get(keys_of([1]))[sha256("1")].seconds == 0.5
    assert store.get(keys_of([2]))[sha256("2")].status == "ok"
    with Blocked(store):
        beside = store.save(response(5))
        adding = store.add([response(4), response(3, content="other")])
    with pytest.raises(Conflict, match="another answer") as caught:
        adding.result()
    assert caught.value.key == sha256("3")
    assert beside.result() is None
    assert set(store.get(keys_of([4, 5]))) == set(keys_of([5]))
    assert store.add([replace(failed, key=sha256("3")), failed]).result() == 0
