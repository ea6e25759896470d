"""Solutions run on small data, also where tables or tasks are missing, and change no file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from run_example import small_run

from helpers import experiments, pages
from helpers.data import describe, prepared, readable
from helpers.exercises import kept_labels, review_again
from helpers.experiments.review import Review
from helpers.runs import REPO, Run
from helpers.tasks import Task, load_task
from helpers.verification import summary
from helpers.verification.aggregate import RULES
from helpers.verification.simulate import SimulationError

TASKS = [load_task(name) for name in ("cap", "dataverse", "flourishing")]


class Shown(list):
    """Takes the place of `display`: keeps what it is given."""

    def __call__(self, *things: Any) -> None:
        self.extend(things)


def solutions(name: str) -> list[str]:
    cells = nbformat.read(REPO / "notebooks" / f"{name}.ipynb", as_version=4).cells
    tagged = [cell for cell in cells if pages.SOLUTION in cell.metadata.get("tags", [])]
    return [cell.source for cell in tagged if cell.cell_type == "code"]


def run_solutions(name: str, known: dict[str, Any]) -> Shown:
    """Execute the solutions of a chapter in one namespace, as a notebook does."""
    shown = Shown()
    space = {"display": shown, "pd": pd, **known}
    for source in solutions(name):
        exec(compile(source, f"{name}: {source.splitlines()[0]}", "exec"), space)
    return shown


def content_of(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory) -> tuple[Run, dict[str, Review]]:
    run = small_run(tmp_path_factory.mktemp("run"))
    return run, {"cap": experiments.review_task(run, TASKS[0])}


def test_another_rule_keeps_the_decisions(reviewed):
    run, reviews = reviewed
    first = reviews["cap"]
    before = content_of(run.root)
    every = review_again(run, first, rule="any")
    all_agree = review_again(run, first, rule="unanimous")
    assert every.decisions == all_agree.decisions == first.decisions
    assert len(kept_labels(every)) >= len(kept_labels(all_agree))
    assert kept_labels(review_again(run, first)).equals(kept_labels(first))
    assert content_of(run.root) == before


def test_coders_who_never_err_leave_only_gold_labels(reviewed):
    run, reviews = reviewed
    gold = prepared.read_task(run, TASKS[0]).set_index("id")["labels"]
    right = kept_labels(review_again(run, reviews["cap"], error_rate=0.0))
    assert len(right) and (right == gold.reindex(right.index)).all()
    wrong = kept_labels(review_again(run, reviews["cap"], error_rate=1.0))
    assert not (wrong == gold.reindex(wrong.index)).any()
    corrected = kept_labels(review_again(run, reviews["cap"], mode="correct", error_rate=0.0))
    assert len(corrected) > len(right)  # also where nobody had proposed the right label


def test_people_cannot_be_asked_again_by_a_program(reviewed):
    run, reviews = reviewed
    people = reviews["cap"].assignment.assign(coder="ann")
    with pytest.raises(SimulationError):
        review_again(run, replace(reviews["cap"], assignment=people), error_rate=0.2)


@pytest.mark.parametrize("simulated", [True, False])
def test_chapter_03(reviewed, simulated: bool):
    run, reviews = reviewed
    row = {"task": "cap", "quantity": "labels found", "ci_low": 0.5, "ci_high": 0.7, "texts": 100}
    before = content_of(run.root)
    run_solutions(
        "03_verification",
        {
            "run": run,
            "reviews": reviews,
            "missed": pd.DataFrame([row]),
            "simulated": simulated,
            "summary": summary,
            "experiments": experiments,
            "prepared": prepared,
            "RULES": RULES,
        },
    )
    assert content_of(run.root) == before


def of_chapter_01(run: Run, tasks: list[Task]) -> dict[str, Any]:
    split = {task.name: prepared.read_task(run, task) for task in tasks}
    return {
        "run": run,
        "studied": tasks,
        "coded": [task for task in tasks if task.labels],
        "texts": {name: frame.drop(columns="split") for name, frame in split.items()},
        "split": split,
        "describe": describe,
        "prepared": prepared,
        "readable": readable,
    }


def test_chapter_01(reviewed, capsys):
    run, _ = reviewed
    shown = run_solutions("01_data", of_chapter_01(run, TASKS[:1]))
    assert "for every text is right in" in capsys.readouterr().out
    assert any("width_of_interval" in table for table in shown if isinstance(table, pd.DataFrame))


def test_chapter_08_without_the_authors_files(capsys):
    table = pd.DataFrame({"verdict": ["not recomputable"], "exhibit": ["CAP"]})
    claims = pd.DataFrame({"claim": ["a"], "verdict": ["can't be judged"], "needs": ["a file"]})
    missing = {"right": {}, "choices": {}, "human": {}}
    shown = run_solutions("08_published_results", missing | {"table": table, "claims": claims})
    assert len(shown) >= 3
    assert "Jaccard falls" in capsys.readouterr().out


def test_chapters_06_and_07_with_nothing_studied():
    scores = pd.DataFrame(
        columns=["task", "model", "labels", "metric", "n_train", "n_seeds", "value"]
    )
    scores[["ci_low", "ci_high", "sd_seeds"]] = 0.0
    run_solutions("06_training_size", {"studied": [], "scores": scores, "levels": {}})
    run_solutions("07_what_to_finetune", {"studied": [], "prepared": prepared})


def test_chapter_09_without_a_pool(tmp_path: Path, capsys):
    run = Run(small_run(tmp_path).profile, tmp_path / "empty", tmp_path)
    run_solutions("09_estimates", {"run": run, "pool": None, "shares": pd.DataFrame()})
    assert "chapter 05 has not been run" in capsys.readouterr().out
