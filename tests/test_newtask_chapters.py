"""A task of one's own in the chapters: profile found, texts read, other chapters left out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import messy
import numpy as np
import pandas as pd
import pytest

from helpers import chapters, profiles, tasks
from helpers.baselines import predict_baseline
from helpers.chapters import ChapterError, chapter_inputs, load_chapters, wanted_chapters
from helpers.data import embedded, prepared
from helpers.experiments import first_questions
from helpers.newtask import Request, make_task
from helpers.profiles import profile_for
from helpers.runs import REPO, open_run
from helpers.tasks import Task, TaskFile, load_task


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A repository of its own with the task ``requests``; returns its run."""
    file = messy.write_requests(tmp_path / "requests.xlsx")
    make_task(Request("requests", file, ["request"], "needs", id="id"), tmp_path)
    for module in (tasks, embedded, chapters):
        monkeypatch.setattr(module, "REPO", tmp_path)
    monkeypatch.setattr(tasks, "TASKS", tmp_path / "config" / "tasks")
    monkeypatch.setattr(profiles, "PROFILES", tmp_path / "config" / "profiles")
    shutil.copy(REPO / "config" / "chapters.yaml", tmp_path / "config")
    load_task.cache_clear()
    yield open_run("requests", root=tmp_path / "runs")
    load_task.cache_clear()


def test_the_profile_of_the_tasks_name_is_taken_where_none_is_named(own):
    assert profile_for("requests") == "requests" == profile_for([" requests "])
    assert profile_for("cap") == "demo" == profile_for("")
    assert profile_for("requests,cap") == "demo" == profile_for(None)


def test_own_texts_are_loaded_split_and_not_shown(own):
    task = load_task("requests")
    loaded = prepared.load(own, task)
    assert len(loaded.frame) == 200 and loaded.frame["id"].iloc[0] == "1"
    drawn = prepared.split_texts(own, task, loaded.frame)
    assert set(drawn.frame["split"]) == {"train", "validation", "test"} and drawn.rare.empty
    assert prepared.source_title(own, task) == "own texts"
    assert not prepared.may_show(own, task) and not prepared.of_the_paper(own)
    assert prepared.of_the_paper(open_run(REPO / "config/profiles/demo.yaml"))


def test_a_run_does_the_chapters_of_its_profile(own):
    wanted = wanted_chapters(own)
    assert wanted[0] == "01_data" and wanted[-1] == "09_estimates"
    assert not {"07_what_to_finetune", "08_published_results"} & set(wanted)
    assert wanted_chapters(own, ["08_published_results"]) == ["08_published_results"]
    assert wanted_chapters(open_run(REPO / "config/profiles/demo.yaml")) == list(load_chapters())
    with pytest.raises(ChapterError, match="no chapter 10_more"):
        wanted_chapters(own, ["10_more"])
    for name in wanted:  # what is left out is needed by none of them
        assert set(load_chapters()[name].needs) <= set(wanted)


def test_a_chapter_is_stale_when_own_texts_or_names_change(own, tmp_path):
    before = chapter_inputs("01_data", own)["files"]
    folder = tmp_path / "data" / "own" / "requests"
    assert {"data/own/requests/texts.jsonl", "data/own/requests/codebook.csv"} <= set(before)
    (folder / "report.md").write_text("read and understood", encoding="utf-8")
    assert chapter_inputs("01_data", own)["files"] == before
    with open(folder / "codebook.csv", "a", encoding="utf-8") as book:
        book.write("More,More,6\n")
    assert chapter_inputs("01_data", own)["files"] != before


def test_what_is_shown_of_a_short_prompt_is_shown_once(own):
    (shown,) = first_questions(load_task("requests")).values()
    lines = [line for line in shown.splitlines() if line.strip()]
    assert len(lines) == len(set(lines)) and "[the text]" in shown and "1: Children" in shown


def two_classes(rows: list[tuple[str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["text", "labels"])
    frame["labels"] = '"' + frame["labels"] + '"'
    return frame.assign(id=[f"t{i}" for i in range(len(frame))], split="train")


@pytest.fixture
def pair(tmp_path) -> Task:
    (tmp_path / "book.csv").write_text("label,name,code\na,A,1\nb,B,2\n", encoding="utf-8")
    book = {"file": str(tmp_path / "book.csv"), "key": "label", "name": "name", "code": "code"}
    prompts = {"short": {"head": "", "tail": " :"}, "full": {"head": "", "tail": ""}}
    content = {"name": "pair", "title": "t", "question": "?", "label_type": "single", "data": {}}
    return Task(TaskFile.model_validate(content | {"codebook": book, "prompts": prompts}))


def test_a_class_with_one_text_does_not_stop_a_regression(pair):
    frame = two_classes([(f"word{i} and", "a") for i in range(24)] + [("other", "b")])
    found = predict_baseline(
        "embeddings-lr", pair, frame, lambda texts: np.array([[len(t), 1.0] for t in texts])
    )
    assert found["labels"].value_counts().to_dict().get('"a"', 0) >= 24


def test_texts_without_a_word_in_common_do_not_stop_tf_idf(pair):
    frame = two_classes([(f"w{i}", "ab"[i % 2]) for i in range(20)])
    found = predict_baseline("tfidf-lr", pair, frame)
    assert set(found["labels"]) <= {'"a"', '"b"'} and len(found) == 20


@pytest.mark.full
@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_make_new_task_and_all_its_chapters(tmp_path, kind):
    """In a copy of the repository, as a user would: two commands."""
    for name in ("src", "config", "notebooks"):
        shutil.copytree(REPO / name, tmp_path / name)
    ignored = shutil.ignore_patterns("own", "upstream", "demo")
    for name in ("data", "figures"):
        shutil.copytree(REPO / name, tmp_path / name, ignore=ignored)
    if kind == "labels":
        columns = {"--file": messy.write_requests(tmp_path / "f.xlsx"), "--text": "request"}
        columns |= {"--label": "needs"}
    else:
        frame = messy.complaints(150)
        frame["score"] = frame["text"].str.len() / 7
        frame.to_csv(tmp_path / "f.csv", index=False)
        columns = {"--file": tmp_path / "f.csv", "--text": "text", "--label": "score"}
    call(
        tmp_path, "helpers.newtask", "--name", "mine", *(str(x) for p in columns.items() for x in p)
    )
    if kind == "numbers":  # one method is enough
        profile = tmp_path / "config/profiles/mine.yaml"
        text = profile.read_text(encoding="utf-8")
        profile.write_text(text.replace("frozen, top-1, all]", "frozen]"), encoding="utf-8")
    out = call(tmp_path, "helpers", "replicate", "--profile", "mine", "--tasks", "mine")
    done = sorted(path.stem for path in (tmp_path / "runs/mine/chapters").glob("*.json"))
    expected = {"labels": 7, "numbers": 2}[kind]
    assert len(done) == expected, out
    assert not (tmp_path / "runs/mine/tables/published_summary.csv").exists()


def call(repo: Path, module: str, *arguments: str) -> str:
    env = os.environ | {"PYTHONPATH": str(repo / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=repo, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout
