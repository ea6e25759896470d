"""Costs: unknown is never free, a budget is never passed, and somebody has to agree."""

from __future__ import annotations

import json
import math
import sys
import threading
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import yaml
from batch_server import PRICE, QUESTION, make_setup, questions
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.labelling.cost_tables import Planned, actual_costs, estimate, total_usd
from helpers.labelling.costs import (
    Budget,
    BudgetReached,
    CostNotConfirmed,
    PriceError,
    Prices,
    confirm,
    dollars,
    load_prices,
)
from helpers.labelling.questions import Asked
from helpers.labelling.store import ResponseStore
from helpers.labelling.wire import row_of
from helpers.plans import Endpoint

OPENAI = "https://api.openai.com/v1"
PAID = "https://api.example.org/v1"


# --- the price table ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "prompt", "completion"),
    [
        ("gpt-4-0613", 30, 60),
        ("gpt-4-turbo-2024-04-09", 10, 30),
        ("gpt-4o-2024-08-06", 2.5, 10),
        ("gpt-4o-mini-2024-07-18", 0.15, 0.6),
        ("gpt-4.1-2025-04-14", 2, 8),
        ("gpt-4.1-mini-2025-04-14", 0.4, 1.6),
        ("gpt-4.1-nano-2025-04-14", 0.1, 0.4),
    ],
)
def test_shipped_prices_a_batch_for_half(model, prompt, completion):
    prices = load_prices()
    direct = prices.price(model, "direct", 2_000_000, 1_000_000, base_url=OPENAI)
    assert direct == pytest.approx(2 * prompt + completion)
    batch = prices.price(model, "batch", 2_000_000, 1_000_000, base_url=OPENAI)
    assert batch == pytest.approx(direct / 2)


def test_each_shipped_price_has_a_day_and_a_source():
    for row in load_prices().prices:
        assert date(2023, 1, 1) < row.as_of <= date.today()
        assert row.source.startswith("https://")


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-9", OPENAI),
        ("ft:gpt-4o-mini-2024-07-18:me::abc", OPENAI),
        ("gpt-4o-audio-preview", OPENAI),
        ("gpt-4o", "https://gateway.example.org/v1"),
        ("gpt-4o", "http://127.0.0.1.example.org/v1"),
    ],
)
def test_an_unknown_price_is_unknown(model, base_url):
    assert load_prices().price(model, "direct", 1, 1, base_url=base_url) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000"])
def test_this_computer_is_free_unless_a_row_says_otherwise(host):
    address = f"http://{host}/v1"
    assert load_prices().price("gpt-4o", "direct", 10**6, 0, base_url=address) == 0
    name = host.split(":")[0] if "::" not in host else "::1"
    gateway = Prices.model_validate({"prices": [{**PRICE, "hosts": [name]}]})
    assert gateway.price("small", "direct", 10**6, 0, base_url=address) == 10


def test_the_longest_prefix_counts_and_an_exact_name_beats_it():
    rows = [
        {**PRICE, "models": models, "prompt": prompt}
        for models, prompt in ((["m-*"], 1), (["m-large-*"], 2), (["m-large-1"], 3))
    ]
    prices = Prices.model_validate({"prices": rows})
    found = {m: prices.find(m) for m in ("m-small", "m-large-2", "m-large-1", "n")}
    assert {m: row and row.prompt for m, row in found.items()} == {
        "m-small": 1,
        "m-large-2": 2,
        "m-large-1": 3,
        "n": None,
    }


def test_no_discount_means_no_batch_price():
    prices = Prices.model_validate({"prices": [{**PRICE, "batch_discount": None}]})
    assert prices.price("small", "batch", 1, 1) is None
    assert prices.price("small", "direct", 1, 1) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"promt": 1.0}, r"prices\.0\.promt"),
        ({"prompt": -1}, r"prices\.0\.prompt"),
        ({"batch_discount": 50}, r"prices\.0\.batch_discount"),
        ({"as_of": None}, r"prices\.0\.as_of"),
        ({"models": []}, r"prices\.0\.models"),
    ],
)
def test_a_wrong_price_table_is_refused_with_row_and_key(tmp_path, change, message):
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump({"prices": [{**PRICE, **change}]}))
    with pytest.raises(PriceError, match=message):
        load_prices(path)


def test_a_model_stands_once_in_a_price_table(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump({"prices": [PRICE, {**PRICE, "prompt": 1.0}]}))
    with pytest.raises(PriceError, match=r"prices\.1: 'small' at 127\.0\.0\.1"):
        load_prices(path)
    with pytest.raises(PriceError, match="cannot be read"):
        load_prices(tmp_path / "none.yaml")


@given(st.text(max_size=300), st.integers(1, 500))
def test_no_request_costs_more_than_its_worst_case(text, tokens):
    prices = Prices.model_validate({"prices": [PRICE]})
    body = {"model": "small", "messages": [{"role": "user", "content": text}], "max_tokens": tokens}
    size = len(json.dumps(body, ensure_ascii=False).encode())
    most = prices.worst_case(body, "direct", size=size)
    # A byte-level tokenizer makes at most one token of a byte.
    assert most >= prices.price("small", "direct", len(text.encode()), tokens)


# --- the budget -----------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    st.floats(0.5, 20),
    st.floats(0, 0.5),
    st.lists(st.tuples(st.floats(0.001, 1), st.floats(0, 1)), min_size=1, max_size=60),
)
def test_threads_together_never_pass_the_budget(limit, spent, requests):
    budget = Budget(limit, spent)
    todo, lock = list(requests), threading.Lock()
    highest, paid, refused = [0.0], [spent], []

    def work() -> None:
        while True:
            with lock:
                if not todo:
                    return
                most, share = todo.pop()
            try:
                reserved = budget.reserve(most)
            except BudgetReached:
                refused.append(most)
                continue
            with lock:
                highest.append(limit - budget.left)
            budget.settle(reserved, most * share)
            with lock:
                paid[0] += most * share

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(highest) <= limit + 1e-9
    assert budget.spent == pytest.approx(paid[0]) and budget.spent <= limit + 1e-9
    assert budget.left == pytest.approx(limit - budget.spent)
    if sum(most for most, _ in requests) + spent <= limit - 1e-9:
        assert not refused


def test_a_reached_budget_says_what_to_do():
    budget = Budget(1.0, spent=0.5)
    budget.reserve(0.25)
    with pytest.raises(BudgetReached) as caught:
        budget.reserve(0.3)
    for part in (
        "$0.50 of $1.00 spent",
        "$0.25 reserved",
        "up to $0.30",
        "Raise labelling.budget_usd",
        "nothing is asked twice",
    ):
        assert part in str(caught.value)
    assert caught.value.in_flight == 0.25
    budget.settle(0.25, 0.1)
    assert budget.reserve(0.3) == 0.3


def test_a_running_request_counts_but_is_not_refused():
    budget = Budget(1.0)
    assert budget.reserve(5.0, force=True) == 5.0
    with pytest.raises(BudgetReached):
        budget.reserve(0.01)
    budget.settle(5.0, 0.2)
    assert budget.reserve(0.8) == 0.8


def test_an_unknown_price_has_no_place_in_a_budget():
    with pytest.raises(PriceError, match=r"config/prices\.yaml"):
        Budget(1.0).reserve(None)
    assert Budget(None).reserve(None) == 0.0
    assert Budget(None).left == math.inf
    assert Budget(None).reserve(1e9) == 1e9


# --- consent --------------------------------------------------------------------------------------


def answer_with(monkeypatch, typed: str | None, *, notebook: bool = False) -> list[str]:
    """Put a person there (None: nobody); return what that person is asked."""
    asked: list[str] = []

    def type_in(question: str) -> str:
        asked.append(question)
        return typed or ""

    stdin = SimpleNamespace(isatty=lambda: typed is not None and not notebook)
    kernel = SimpleNamespace(_allow_stdin=typed is not None)
    shell = SimpleNamespace(kernel=kernel) if notebook else None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr("builtins.input", type_in)
    return asked


@pytest.mark.parametrize("agreed", ["2", "2.00", "$2.5", "inf"])
def test_an_agreed_cost_needs_no_question(monkeypatch, agreed):
    asked = answer_with(monkeypatch, None)
    monkeypatch.setenv("AGREED_COST", agreed)
    confirm(2.0)
    assert not asked


@pytest.mark.parametrize("agreed", [None, "", "1.99", "unknown", "nan", "-5", "a lot"])
def test_without_consent_nothing_is_spent(monkeypatch, agreed):
    answer_with(monkeypatch, None)
    if agreed is None:
        monkeypatch.delenv("AGREED_COST", raising=False)
    else:
        monkeypatch.setenv("AGREED_COST", agreed)
    with pytest.raises(CostNotConfirmed, match="AGREED_COST"):
        confirm(2.0)
    confirm(0.0)


def test_the_remedy_is_enough(monkeypatch):
    answer_with(monkeypatch, None)
    monkeypatch.delenv("AGREED_COST", raising=False)
    for amount in (0.0001, 1.231, 1234.5):
        with pytest.raises(CostNotConfirmed) as caught:
            confirm(amount)
        named = str(caught.value).split("AGREED_COST=")[1].split(" ")[0]
        with monkeypatch.context() as patched:
            patched.setenv("AGREED_COST", named)
            confirm(amount)


def test_an_unknown_cost_needs_a_consent_of_its_own(monkeypatch):
    asked = answer_with(monkeypatch, "yes")
    for agreed in ("1000000", "inf", "nan"):
        monkeypatch.setenv("AGREED_COST", agreed)
        with pytest.raises(CostNotConfirmed, match="AGREED_COST=unknown"):
            confirm(math.nan)
    assert "UNKNOWN" in asked[0]
    answer_with(monkeypatch, "yes, unknown")
    confirm(math.nan)
    answer_with(monkeypatch, None)
    monkeypatch.setenv("AGREED_COST", "unknown")
    confirm(math.nan)


@pytest.mark.parametrize("notebook", [False, True])
def test_a_person_may_agree_or_not(monkeypatch, notebook):
    monkeypatch.delenv("AGREED_COST", raising=False)
    asked = answer_with(monkeypatch, " Yes ", notebook=notebook)
    confirm(2.0)
    assert "$2.00" in asked[0]
    for typed in ("", "no", "y"):
        answer_with(monkeypatch, typed, notebook=notebook)
        with pytest.raises(CostNotConfirmed):
            confirm(2.0)
    asked = answer_with(monkeypatch, None, notebook=notebook)
    with pytest.raises(CostNotConfirmed):
        confirm(2.0)
    assert not asked


@pytest.mark.full
def test_a_notebook_that_nobody_watches_spends_nothing(monkeypatch):
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    monkeypatch.delenv("AGREED_COST", raising=False)
    cell = nbformat.v4.new_code_cell("from helpers.labelling.costs import confirm\nconfirm(2.0)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    with pytest.raises(CellExecutionError, match=r"an estimated \$2\.00, and nobody agreed"):
        NotebookClient(notebook, timeout=120).execute()


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (0, "$0.00"),
        (0.00123, "$0.0012"),
        (0.05, "$0.050"),
        (1.5, "$1.50"),
        (12345.678, "$12,345.68"),
    ],
)
def test_dollars(amount, written):
    assert dollars(amount) == written


# --- tables ---------------------------------------------------------------------------------------

PRICES = Prices.model_validate({"prices": [{**PRICE, "hosts": ["api.example.org"]}]})


def plan(number: int, *, name: str = "a", url: str = PAID, **changes: Any) -> Planned:
    setup = make_setup(url, **changes)
    asked = list(questions(setup, number).values())
    return Planned(name, setup.labeller, setup.endpoint, asked, identity=setup.identity)


def save(store: ResponseStore, number: int, *, url: str = PAID, **fields: Any) -> None:
    """Save rows for the first questions, 3 characters a token."""
    setup = make_setup(url)
    for key, one in questions(setup, number).items():
        characters, _ = plan(0).length(one)
        usage = {"prompt_tokens": round(characters / 3), "completion_tokens": 2, "cost": 0.5}
        given = {"status": "ok", **usage, "seconds": 1.5, **fields}
        row = row_of(one, setup.labeller, setup.endpoint, setup.identity, key=key, **given)
        store.save(row).result()


@pytest.fixture
def store(tmp_path: Path):
    with ResponseStore(tmp_path / "responses.sqlite") as opened:
        yield opened


def test_an_estimate_without_answers_counts_characters(store):
    [row] = estimate([plan(30)], store, PRICES).to_dict("records")
    one = plan(30).asked[10]
    characters = len(QUESTION.head + one.text + QUESTION.tail)
    assert row["prompt_tokens"] == pytest.approx(30 * (characters / 4 + 8), rel=0.02)
    assert row["completion_tokens"] == 30 * 8
    expected = 0.5 * (10 * row["prompt_tokens"] + 30 * row["completion_tokens"]) / 1e6
    assert row["usd"] == pytest.approx(expected)
    assert (row["requests"], row["in_store"], row["mode"]) == (30, 0, "batch")
    assert (row["price_date"], row["labeller"]) == ("2026-01-02", "a")
    assert row["basis"].startswith("estimate: 4 characters")


def test_an_estimate_uses_what_the_store_has(store):
    save(store, 25)
    [row] = estimate([plan(100)], store, PRICES).to_dict("records")
    characters = sum(plan(0).length(one)[0] for one in plan(100).asked[25:])
    assert row["prompt_tokens"] == pytest.approx(characters / 3, rel=0.02)
    assert row["completion_tokens"] == 75 * 2
    assert row["in_store"] == 25
    assert "25 answers of this model" in row["basis"]
    done = estimate([plan(25)], store, PRICES).to_dict("records")[0]
    assert (done["usd"], done["prompt_tokens"], done["basis"]) == (0, 0, "nothing to ask")


def test_an_error_in_the_store_is_still_to_be_asked(store):
    save(store, 5, status="error", cost=None)
    assert estimate([plan(5)], store, PRICES)["in_store"].tolist() == [0]


def test_labellers_that_share_questions_pay_once(store):
    table = estimate([plan(10), plan(15, name="b")], store, PRICES)
    assert table["requests"].tolist() == [10, 5]
    assert total_usd(table) == pytest.approx(
        total_usd(estimate([plan(15)], store, PRICES)), rel=0.02
    )


def test_an_unknown_price_makes_the_total_unknown(store):
    plans = [plan(3), plan(3, name="b", model="other"), plan(3, name="c", url="http://[::1]/v1")]
    table = estimate(plans, store, PRICES)
    assert table["usd"].isna().tolist() == [False, True, False]
    assert table["usd"].iloc[2] == 0
    assert table["price_date"].tolist() == ["2026-01-02", "none", ""]
    assert math.isnan(total_usd(table))


def test_a_server_that_the_run_starts_is_free(store):
    setup = make_setup(PAID)
    endpoint = Endpoint(serve="codebook")
    planned = Planned("a", setup.labeller, endpoint, [Asked("1", "x", QUESTION)], further=4)
    [row] = estimate([planned], store, PRICES).to_dict("records")
    assert (row["usd"], row["requests"]) == (0, 5)


def test_an_estimate_is_the_same_each_time(store):
    first = estimate([plan(400)], store, PRICES, sample=50, seed=3)
    assert first.equals(estimate([plan(400)], store, PRICES, sample=50, seed=3))


def test_actual_costs_sum_what_the_store_holds(store):
    save(
        store,
        3,
        asked_at="2026-01-02T03:04:05+00:00",
        extra={"ended_at": "2026-01-02T03:05:05+00:00"},
    )
    setup = make_setup(PAID)
    failed = questions(setup, 5)
    for key, one in list(failed.items())[3:]:
        fields = {"status": "error", "attempts": 6, "asked_at": "2026-01-02T03:04:00+00:00"}
        row = row_of(one, setup.labeller, setup.endpoint, setup.identity, key=key, **fields)
        store.save(row).result()
    [row] = actual_costs(store, "cap").to_dict("records")
    assert (row["requests"], row["answered"], row["errors"], row["attempts"]) == (5, 3, 2, 15)
    assert (row["usd"], row["seconds"], row["completion_tokens"]) == (1.5, 4.5, 6)
    assert row["wall_seconds"] == 66.5
    assert (row["task"], row["model"], row["method"]) == ("cap", "small", "v4")
    assert actual_costs(store, "other").empty


def test_an_unknown_cost_is_not_summed_as_nothing(store):
    save(store, 2, cost=None)
    assert actual_costs(store)["usd"].isna().tolist() == [True]
