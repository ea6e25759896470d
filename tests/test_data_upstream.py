"""The authors' real texts: sizes and joins, and that no sentence of them is in this repository."""

import html
import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from helpers.data import (
    DataError,
    accepted_labels,
    cap_questions,
    dataverse_labels,
    find_sentences,
    load_embedded,
    load_texts,
    make_split,
    show_texts,
)
from helpers.data.display import NOT_SHOWN
from helpers.data.upstream import parse_answer
from helpers.runs import REPO
from helpers.tasks import load_task, task_names


@pytest.fixture(scope="session")
def posts(upstream_folder):
    return load_texts(load_task("flourishing"), "upstream", upstream_folder)


@pytest.fixture(scope="session")
def questions(upstream_folder):
    return load_texts(load_task("cap"), "upstream", upstream_folder)


def test_the_annotated_posts(posts):
    frame, dropped, notes = posts
    assert len(frame) == 2404
    assert notes["labels"] == 8855
    assert frame["id"].str.fullmatch(r"\d{19}").all()
    assert dict(zip(dropped["reason"].str.split(":").str[0], dropped["count"], strict=True)) == {
        "not annotated": 7591,
        "further row of an id in sample.csv": 5,
    }


def test_the_labels_of_the_posts_agree_with_the_coders_decisions(posts):
    notes = posts.notes
    assert notes["posts_recomputed_highest"] == notes["posts_recomputed_first"] == 2404
    assert notes["dimensions_equal_highest"] == 2404
    assert (notes["posts_equal_highest"], notes["labels_equal_highest"]) == (2387, 8837)
    assert (notes["posts_equal_first"], notes["labels_equal_first"]) == (2404, 8855)


def test_the_questions_with_verified_codes(questions):
    frame, dropped, notes = questions
    assert len(frame) == 193
    assert frame["paper_split"].value_counts().to_dict() == {"train": 145, "test": 48}
    assert notes["same_question_number"] == 193
    assert dropped["count"].tolist() == [1001 - 193, 1272 + 424 - 193]


def test_the_papers_test_questions_stay_the_test_split(questions):
    frame = make_split(questions.frame, load_task("cap"), seed=1).frame
    counts = frame["split"].value_counts().to_dict()
    assert counts["test"] == 48
    assert counts["train"] + counts["validation"] == 145
    assert counts["validation"] == pytest.approx(145 * 0.10 / 0.75, abs=3)


def test_all_questions_and_their_parties(upstream_folder):
    frame = cap_questions(upstream_folder)
    assert len(frame) == frame["id"].nunique() == 1001
    assert (frame["party"] != "").sum() == 983
    assert frame["year"].between(1994, 2024).all()


def test_the_subjects_of_the_dataverse_test_set(upstream_folder):
    frame, dropped, notes = dataverse_labels(load_task("dataverse"), upstream_folder)
    assert notes["rows"] == 32619
    assert dropped["count"].tolist() == [21]
    assert len(frame) == frame["id"].nunique() == 32619 - 21


def test_rules_for_levels_that_were_accepted_differently():
    rows = [("low", "Y"), ("high", "N"), ("medium", "Y"), ("low", "Y")]
    codings = pd.DataFrame(rows, columns=["value", "accepted"]).assign(id="1", dimension="x")
    assert accepted_labels(codings, "first") == {"1": {"x": "low"}}
    assert accepted_labels(codings, "highest") == {"1": {"x": "medium"}}


def test_answers_are_read_without_losing_a_dimension():
    assert parse_answer("{ 'a' : 'high', 'b (c, d)' : 'low' }") == {"a": "high", "b (c, d)": "low"}
    for wrong in ("{'a': 'high', 'a': 'low'}", "{'a': 'high'", "['a']", "f()"):
        with pytest.raises(DataError, match=r"answers\.csv"):
            parse_answer(wrong)


# --- what is shown ------------------------------------------------------------------------------

# Something that HTML, repr or JSON escapes stands in every stretch of 40 characters.
SECRET = 'Ann\'s cat & I saw <9> herons by the "old" weir; it\'s 3 < 4 & so "we\'d" say > no & left'
TEXTS = pd.DataFrame({"id": ["s1", "s2", "s3"], "text": [SECRET, "short one", "unrelated " * 9]})
TEXTS["labels"] = "[]"


def test_texts_are_shown_only_where_that_is_allowed():
    shown = show_texts(TEXTS, allowed=True, n=2, seed=1)
    assert set(shown["text"]) <= set(TEXTS["text"])
    assert len(shown) == 2
    hidden = show_texts(TEXTS, allowed=False, n=9, seed=1)
    assert hidden["id"].tolist() == ["s1", "s2", "s3"]
    assert set(hidden["text"]) == {NOT_SHOWN}
    assert hidden["words"].tolist() == TEXTS["text"].str.split().str.len().tolist()
    again = show_texts(TEXTS.iloc[::-1], allowed=True, n=2, seed=1)
    pd.testing.assert_frame_equal(again, shown)


def notebook(path, source="", **data):
    cell = {"cell_type": "code", "source": [source]}
    cell["outputs"] = [{"output_type": "display_data", "data": data}]
    path.write_text(json.dumps({"cells": [cell], "nbformat": 4, "nbformat_minor": 5}))
    return path


FRAME = pd.DataFrame({"note": [SECRET]})
LEAKS = {
    "plain": {"text/plain": ["before ", SECRET, " after"]},
    "in two pieces": {"text/plain": [SECRET[:30], SECRET[30:]]},
    "a window of it": {"text/plain": "x" * 33 + SECRET[40:84] + "y" * 20},
    "html": {"text/html": FRAME.to_html()},
    "html, twice escaped": {"text/html": FRAME.to_html().replace("&", "&amp;")},
    "marked up": {"text/html": html.escape(SECRET).replace(" ", "<br> ")},
    "wrapped": {"text/plain": SECRET.replace(" ", "\n   ")},
    "repr": {"text/plain": repr([SECRET])},
    "json": {"application/json": {"rows": [{"text": json.dumps(SECRET)}]}},
    "svg": {"image/svg+xml": f"<svg><text>{SECRET}</text></svg>"},
    "upper case": {"text/plain": SECRET.upper()},
}


@pytest.mark.parametrize("data", LEAKS.values(), ids=LEAKS.keys())
def test_a_text_in_an_output_is_found(tmp_path, data):
    found = find_sentences(notebook(tmp_path / "n.ipynb", **data), TEXTS)
    assert found["id"].tolist() == ["s1"]
    assert SECRET[:20] not in found.to_string()


def test_a_text_in_a_source_or_a_file_is_found(tmp_path):
    found = find_sentences(notebook(tmp_path / "n.ipynb", source=f"text = {SECRET!r}"), TEXTS)
    assert found["place"].tolist() == ["n.ipynb, cell 1, source"]
    page = tmp_path / "report.html"
    page.write_text(FRAME.to_html())
    assert find_sentences(page, TEXTS)["id"].tolist() == ["s1"]


def test_shorter_pieces_and_short_texts_are_not_reported(tmp_path):
    harmless = SECRET[:35] + " ... " + SECRET[40:74] + " short one"
    path = notebook(tmp_path / "n.ipynb", **{"text/plain": harmless, "image/png": SECRET})
    assert find_sentences(path, TEXTS).empty


def test_pieces_that_stand_in_own_texts_do_not_count(tmp_path):
    path = notebook(tmp_path / "n.ipynb", **{"text/plain": SECRET[40:84]})
    assert find_sentences(path, TEXTS, formulas=[f"We saw {SECRET[40:84]}."]).empty
    path = notebook(tmp_path / "n.ipynb", **{"text/plain": SECRET})
    assert find_sentences(path, TEXTS, formulas=[SECRET[40:84]])["id"].tolist() == ["s1"]


def executed_notebooks() -> list[Path]:
    return sorted((REPO / "runs").glob("**/*.ipynb")) + sorted((REPO / "notebooks").glob("*.ipynb"))


def test_no_notebook_holds_a_text_of_the_authors(posts, questions, upstream_folder):
    texts = pd.concat([posts.frame, cap_questions(upstream_folder)], ignore_index=True)
    paths = executed_notebooks()
    if not paths:
        pytest.skip("no notebooks yet: `make replicate` makes them")
    known = [task for task in map(load_task, task_names()) if "embedded" in task.data]
    own = pd.concat([load_embedded(task).frame for task in known])
    found = find_sentences(paths, texts, formulas=own["text"])
    assert found.empty, found.to_string()


def test_no_committed_file_holds_a_text_of_the_authors(posts, upstream_folder):
    texts = pd.concat([posts.frame, cap_questions(upstream_folder)], ignore_index=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    textual = {".py", ".md", ".yaml", ".csv", ".jsonl", ".ipynb", ".txt", ".toml", ".svg", ".html"}
    paths = [REPO / name for name in listed if Path(name).suffix in textual]
    # Set phrases of questions reach 57 characters in the corpus that was written for this package.
    found = find_sentences([path for path in paths if path.is_file()], texts, window=80)
    assert found.empty, found.to_string()
