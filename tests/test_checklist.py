"""Checklists are answered from a run's files where they can be; the rest is the author's."""

import gzip
import re

import pandas as pd
import pytest
from share_example import finish, finished_run

from helpers.checklist import ITEMS, ChecklistError, answered, page, read_facts, static_lines
from helpers.checklist.__main__ import main
from helpers.checklist.answers import ANSWERS
from helpers.checklist.facts import listed
from helpers.checklist.page import AUTHOR, VARIES
from helpers.plans import Endpoint
from helpers.runs import REPO, open_run, write_json

DOC = REPO / "docs" / "checklist.md"
REFORMS = {1: 3, 2: 5, 3: 7, 4: 3, 5: 6, 6: 3, 7: 3, 8: 2}  # module -> items, as published


def items():
    return [item for modules in ITEMS.values() for part in modules.values() for item in part]


@pytest.fixture
def run(tmp_path):
    """A run of chapters 01, 04 and 05, on 12 training and 8 test texts."""
    run = finished_run(tmp_path / "runs")
    write_json(
        run.root / "data" / "cap" / "manifest.json",
        {"splits": {"train": 12, "test": 8}, "sha256": "e" * 64, "source": "embedded", "texts": 20},
    )
    tables = {
        "data_splits": [
            {"task": "cap", "split": "train", "texts": 12},
            {"task": "cap", "split": "test", "texts": 8},
        ],
        "data_leaks": [{"task": "cap", "reason": "equal to a test text", "count": 3, "ids": "a"}],
    }
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(run.root / "tables" / f"{name}.csv", index=False)
    metrics = pd.read_csv(run.root / "tables" / "metrics.csv")
    metrics["fine_tuned"] = metrics["model"] == "minilm-2l-ft"
    metrics.to_csv(run.root / "tables" / "metrics.csv", index=False)
    finish(run)
    return run


def part(text, number):
    """What the page says under an item."""
    found = re.search(rf"\*\*{number}\. .+?\*\*\n\n(.+?)(?=\n\n\*\*|\n\n#|\Z)", text, re.DOTALL)
    return found[1]


# --- the lists ------------------------------------------------------------------------------------


def test_reforms_has_its_32_items_in_eight_modules():
    reforms = ITEMS["REFORMS"]
    counts = {int(module[0]): len(part) for module, part in reforms.items()}
    assert counts == REFORMS and sum(counts.values()) == 32
    numbers = [item.number for part in reforms.values() for item in part]
    letters = "abcdefg"
    assert numbers == [f"{m}{letters[i]}" for m, n in REFORMS.items() for i in range(n)]


def test_every_item_is_answered_or_left_to_somebody():
    assert set(ANSWERS) == {item.number for item in items()}
    for item in items():
        assert item.asks.endswith("?")
        assert item.think or ANSWERS[item.number].__name__ != "nothing", item.number


# --- answers --------------------------------------------------------------------------------------


def test_answers_come_from_the_run_s_files(run):
    text = page(read_facts(run))
    assert "20 texts, source `embedded`, SHA-256 of the split texts eeee" in part(text, "2a")
    assert "cap: 20 texts: 12 train, 8 test" in part(text, "3e")
    assert "cap: 3 (equal to a test text)" in part(text, "4a")
    assert "of 0.7 or more): 3 here" in part(text, "6b")
    assert "fine-tuned minilm-2l-ft 0.600 [0.550, 0.650]" in part(text, "5f")
    assert "2,000 resamples" in part(text, "7b")
    assert "rank" not in part(text, "5a") and "lora (r = 16)" in part(text, "5a")
    assert "**simulated**" in part(text, "3a")
    assert f"make replicate PROFILE={run.profile.name}" in part(text, "2e")
    assert "2 of 9 chapters were finished; not: 01_data" in part(text, "2e")

    splits = run.root / "tables" / "data_splits.csv"
    splits.write_text(splits.read_text().replace("12", "13"))
    assert "cap: 21 texts: 13 train, 8 test" in part(page(read_facts(run)), "3e")


def test_what_a_run_did_not_do_is_left_to_the_author(run):
    text = page(read_facts(run))
    for number in ("1b", "5b", "C4"):
        assert part(text, number).startswith(f"- {AUTHOR}")
    assert part(text, "B3") == f"- {AUTHOR} This run has no results for it."
    assert part(text, "D2") == f"- {AUTHOR} This run has no results for it."
    counts = answered(read_facts(run))
    assert sum(counts.values()) == len(items()) and min(counts.values()) > 0
    assert "nan" not in text


def test_later_chapters_are_read_where_they_were_run(run):
    agreement = {"task": "cap", "a": "all", "b": "all", "statistic": "alpha", "value": 0.5}
    agreement |= {"ci_low": 0.4, "ci_high": 0.6, "n": 9, "n_texts": 9}
    pd.DataFrame([agreement]).to_csv(run.root / "tables/verification_agreement.csv", index=False)
    other = {"task": "dataverse", "predictor": "crowd", "method": "naive", "labels": 4}
    mine = {**other, "task": "cap"}
    rows = [r | {"mean_error": 0.05, "holds_truth": 1, "mean_width": 0.1} for r in (other, mine)]
    pd.DataFrame(rows).to_csv(run.root / "tables" / "estimates_summary.csv", index=False)
    with gzip.open(run.path("responses", "cap", "m", "v4.jsonl.gz"), "wt") as lines:
        lines.write("{}\n{}\n")
    text = page(read_facts(run))
    assert "cap: alpha 0.500 [0.400, 0.600] on 9 texts" in part(text, "B3")
    assert "by 5.0 points on average" in part(text, "D2") and "dataverse" not in part(text, "D2")
    assert "cap, m: 2 raw answers" in part(text, "A5")


def test_remote_endpoints_are_named(run):
    plan = run.profile.labelling
    remote = {"remote": Endpoint(base_url="https://api.example.org/v1")}
    asked = {"far": plan.labellers["one"].model_copy(update={"kind": "endpoint"})}
    asked["far"] = asked["far"].model_copy(update={"endpoint": "remote", "model": "gpt"})
    update = {"endpoints": remote, "labellers": plan.labellers | asked, "crowd": {"cap": ["far"]}}
    profile = run.profile.model_copy(
        update={"labelling": plan.model_copy(update=update), "offline": False}
    )
    object.__setattr__(run, "profile", profile)
    facts = read_facts(run)
    assert "texts were sent to: remote" in part(page(facts), "E2")
    assert "far: gpt at endpoint `remote`" in part(page(facts), "A2")


def test_a_run_that_is_not_there_is_refused(tmp_path, capsys):
    with pytest.raises(ChecklistError, match="make replicate PROFILE=smoke"):
        read_facts(open_run("smoke", root=tmp_path))
    assert main(["--profile", "smoke", "--root", str(tmp_path)]) == 1
    assert "has no results" in capsys.readouterr().err


def test_the_command_writes_beside_the_run_or_where_it_is_told(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("helpers.checklist.__main__.open_run", lambda *_, **__: run)
    assert main([]) == 0
    assert "answered from the run" in capsys.readouterr().out
    own = (run.root / "checklist.md").read_text()
    assert main(["--write", str(tmp_path / "elsewhere.md")]) == 0
    assert (tmp_path / "elsewhere.md").read_text() == own


def test_long_lists_are_cut():
    assert listed(range(10), 3) == "0, 1, 2 and 7 more"


# --- the committed page ---------------------------------------------------------------------------


def test_the_committed_page_has_all_static_lines_in_order():
    remaining = iter(DOC.read_text(encoding="utf-8").splitlines())
    missing = next((line for line in static_lines() if line not in remaining), None)
    assert missing is None, "python -m helpers.checklist --profile demo --write docs/checklist.md"


def test_the_committed_page_adds_nothing_but_answers_to_items():
    text = DOC.read_text(encoding="utf-8")
    assert "Profile `demo`" in text and "nan" not in text.split()
    known = set(static_lines())
    other = [line for line in text.splitlines() if line.strip() and line not in known]
    assert all(
        line.startswith(("- ", "|", "**Profile `demo`**", "The texts were")) for line in other
    )


def test_the_committed_page_is_what_the_demo_gives():
    run = open_run("demo")
    if not (run.root / "chapters" / "09_estimates.json").is_file():
        pytest.skip("no finished demo here: make replicate")
    facts = read_facts(run)
    if len(facts.done) < 9:
        pytest.skip("the demo is not finished here: make replicate")

    def steady(text):
        return [line for line in text.splitlines() if not line.startswith(f"- {VARIES}")]

    assert steady(DOC.read_text(encoding="utf-8")) == steady(page(facts))
