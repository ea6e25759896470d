"""Teaching material: exercises have hidden solutions, and the documents say what the tables say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import pages
from helpers.chapters import load_chapters

REPO = Path(__file__).resolve().parents[1]
NOTEBOOKS = REPO / "notebooks"
CHAPTERS = list(load_chapters())
DOCS = REPO / "docs"
MINE = (DOCS / "teaching.md", DOCS / "glossary.md", REPO / "binder" / "README.md")
# What changes a file or a folder; a solution may do none of it.
WRITES = re.compile(
    r"write_\w+\(|\.to_(?:csv|parquet|json|excel|pickle)\(|save_\w+\(|run\.path\(|\.mkdir\(|"
    r"open\([^)]*[\"'][wax]|\.unlink\(|os\.replace|shutil\.|np\.save|review_task\("
)


def cells_of(name: str) -> list:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells


def is_solution(cell) -> bool:
    return pages.SOLUTION in cell.metadata.get("tags", [])


@pytest.mark.parametrize("name", CHAPTERS)
def test_each_exercise_is_followed_by_its_solution(name: str):
    cells = cells_of(name)
    start = next(i for i, cell in enumerate(cells) if cell.source.startswith("## Exercises"))
    assert "## Takeaways" in "".join(cell.source for cell in cells[:start])
    assert "folded away" in cells[start].source
    rest = cells[start + 1 :]
    exercises, solutions = rest[::2], rest[1::2]
    assert 3 <= len(exercises) == len(solutions) <= 5
    for number, (exercise, solution) in enumerate(zip(exercises, solutions, strict=True), 1):
        assert exercise.cell_type == "markdown"
        assert exercise.source.startswith(f"**Exercise {number}")
        assert "*You learn: " in exercise.source
        assert is_solution(solution)
    assert not any(is_solution(cell) for cell in cells[:start])


@pytest.mark.parametrize("name", CHAPTERS)
def test_solutions_are_hidden_and_write_nothing(name: str):
    for cell in filter(is_solution, cells_of(name)):
        if cell.cell_type == "markdown":  # needs a new training
            assert cell.source.startswith("<details><summary>Solution</summary>")
            assert cell.source.rstrip().endswith("</details>")
            assert re.search(r"measured", cell.source, re.IGNORECASE)
            continue
        assert cell.metadata["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
        first, *rest = cell.source.splitlines()
        assert re.match(r"# Solution \d: ", first)  # the bar in JupyterLab shows this line
        assert len(rest) <= 22
        assert not WRITES.search(cell.source), first


def test_what_counts_as_writing():
    for line in ("frame.to_csv(x)", "runs.write_table(run, t)", "open('a', 'w')", "run.path('a')"):
        assert WRITES.search(line), line
    assert not WRITES.search("with gzip.open(archived[0], 'rt', encoding='utf-8') as file:")
    assert not WRITES.search("pd.read_csv(run.root / 'tables' / 'metrics.csv')")


def test_a_page_folds_solutions_away_and_nothing_else():
    hidden = {"jupyter": {"source_hidden": True, "outputs_hidden": True}, "tags": ["solution"]}
    answer = [new_output("stream", text="forty-two")]
    notebook = new_notebook(
        cells=[
            new_markdown_cell("**Exercise 1.**"),
            new_code_cell("# Solution 1: a <b> & c\nprint(6 * 7)", metadata=hidden, outputs=answer),
            new_code_cell("shown = 1", outputs=[new_output("stream", text="seen")]),
        ]
    )
    page = pages.page(notebook)
    folded = re.findall(r'<details class="solution">.*?</details>', page, re.DOTALL)
    assert len(folded) == 1
    assert "<summary>Solution 1: a &lt;b&gt; &amp; c</summary>" in folded[0]
    assert "forty-two" in folded[0]
    assert "<details open" not in page
    rest = page.replace(folded[0], "")
    assert "forty-two" not in rest and "seen" in rest


def test_a_page_takes_nothing_from_the_web():
    bar = {pages.WIDGET: {"model_id": "b", "version_major": 2}, "text/plain": "trainings:   0%"}
    outputs = [new_output("stream", text="done"), new_output("display_data", data=bar)]
    code = new_code_cell("1", outputs=outputs)
    notebook = new_notebook(cells=[new_markdown_cell("a $x^2$"), code])
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    page = pages.page(notebook)
    assert "done" in page and "trainings" not in page  # a bar needs a script
    assert page == pages.page(notebook) and len(code.outputs) == 2
    assert not re.findall(r"<script(?! type=\"application/vnd\.)", page)  # but a widget's data
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//|@import|url\((?:https?:)?//", page)


def test_the_handout_without_solutions_can_be_made():
    from nbconvert.preprocessors import TagRemovePreprocessor

    remove = TagRemovePreprocessor(enabled=True, remove_cell_tags=[pages.SOLUTION])
    notebook = nbformat.read(NOTEBOOKS / "01_data.ipynb", as_version=4)
    before = sum(map(is_solution, notebook.cells))
    left, _ = remove.preprocess(notebook, {})
    assert before and not any(map(is_solution, left.cells))


# --- the documents ---------------------------------------------------------------------------


def misreadings() -> str:
    text = (DOCS / "teaching.md").read_text(encoding="utf-8")
    return text.partition("## Common misreadings")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def numbers() -> pd.DataFrame:
    return pd.read_csv(DOCS / "numbers.csv", dtype={"text": str})


def test_numbers_in_the_documents_are_those_of_the_tables(numbers: pd.DataFrame):
    text = misreadings().replace("\n", " ")
    for row in numbers.itertuples():
        found = pd.read_csv(REPO / row.file).query(row.query)
        assert len(found) == 1, f"{row.query} is no single row of {row.file}"
        assert format(float(found[row.column].iloc[0]), row.format) == row.text, row.query
        assert row.text in text, f"{row.text} is not in {row.document}"


def test_every_decimal_number_of_the_misreadings_is_checked(numbers: pd.DataFrame):
    said = re.findall(r"-?\d+\.\d+", misreadings())
    assert said
    assert not set(said) - set(numbers["text"])


def test_numbers_of_solutions_that_were_not_run_here_stand_in_the_tuning_notes():
    notes = (DOCS / "tuning.md").read_text(encoding="utf-8")
    for name in CHAPTERS:
        for cell in cells_of(name):
            if is_solution(cell) and cell.cell_type == "markdown":
                for number in re.findall(r"\b0(\.\d{3})\b", cell.source):
                    assert number in notes, f"{name}: 0{number}"


def test_times_of_the_plan_are_the_measured_ones():
    text = (DOCS / "teaching.md").read_text(encoding="utf-8")
    block = text.partition("<!-- times: begin -->")[2].partition("<!-- times: end -->")[0]
    said = re.findall(r"^\| (\d\d_\w+) \| (\d+) \| (\d+) \|", block, re.MULTILINE)
    times = pd.read_csv(DOCS / "times.csv").pivot(
        index="chapter", columns="profile", values="seconds"
    )
    assert [name for name, _, _ in said] == CHAPTERS
    for name, demo, smoke in said:
        assert (int(demo), int(smoke)) == tuple(
            round(times.loc[name, profile]) for profile in ("demo", "smoke")
        )


def test_five_sessions_of_ninety_minutes():
    text = (DOCS / "teaching.md").read_text(encoding="utf-8")
    sessions = re.split(r"^### \d · ", text.partition("## Assessment")[0], flags=re.MULTILINE)[1:]
    assert len(sessions) == 5
    for session in sessions:
        minutes = [int(n) for n in re.findall(r"^\| (\d+) \|", session, re.MULTILINE)]
        assert sum(minutes) == 90, session.splitlines()[0]


def test_exercises_named_in_the_plan_exist():
    text = (DOCS / "teaching.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(0[1-9])\.(\d)\b", text.partition("## Assessment")[0]))
    assert len(named) > 20
    for chapter, number in named:
        name = next(name for name in CHAPTERS if name.startswith(chapter))
        sources = [cell.source for cell in cells_of(name)]
        assert any(s.startswith(f"**Exercise {number}") for s in sources), f"{chapter}.{number}"


def test_exhibits_named_in_the_plan_exist():
    text = (DOCS / "teaching.md").read_text(encoding="utf-8")
    for pattern in re.findall(r"`(0[1-9]_[\w*]+)`", text.partition("## The five sessions")[2]):
        if pattern in CHAPTERS:
            continue
        found = [*(REPO / "figures" / "demo").glob(f"{pattern}.png")]
        assert found, pattern


@pytest.mark.parametrize("path", MINE, ids=lambda path: path.name)
def test_links_of_the_documents_resolve(path: Path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        file = (path.parent / name) if name else path
        assert file.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert heading in slugs, target


def test_links_of_the_notebooks_resolve():
    for name in ["00_start_here", *CHAPTERS]:
        for cell in cells_of(name):
            if cell.cell_type == "markdown":
                for target in re.findall(r"\]\(((?!https?:)[^)#]+)[^)]*\)", cell.source):
                    assert (NOTEBOOKS / target).exists(), f"{name}: {target}"


def test_the_glossary_is_sorted_and_its_terms_are_used():
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^\*\*(.+?)\.\*\* (.+?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    terms = [term for term, _ in entries]
    assert len(terms) >= 35
    assert terms == sorted(terms, key=str.lower)
    used = (DOCS / "teaching.md").read_text(encoding="utf-8")
    used += "\n".join(cell.source for name in CHAPTERS for cell in cells_of(name))
    used = " ".join(used.lower().split())
    for term, meaning in entries:
        assert re.search(r"\((?:0\d(?:, )?)+\)$", meaning.strip(". \n")), f"{term}: which chapter?"
        words = re.findall(r"[\w+-]+", re.sub(r"\(.*?\)|'s?", "", term).lower())
        assert words and all(word.rstrip("s") in used for word in words), term


def test_notebooks_say_what_the_teacher_is_told():
    """The landing page and the plan name each other, so that neither is found by luck only."""
    landing = json.dumps([cell.source for cell in cells_of("00_start_here")])
    assert "docs/teaching.md" in landing and "docs/glossary.md" in landing
    assert "00_start_here" in (DOCS / "teaching.md").read_text(encoding="utf-8")
