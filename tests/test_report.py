"""The report page: made from any run's tables, self-contained, honest about what is missing."""

from __future__ import annotations

import errno
import itertools
import json
import math
import re
import tomllib
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from report_example import TASK, made_up, write_notebook

from helpers import chapters, replicate, runs
from helpers.profiles import HelpersError
from helpers.report import PAGE, make_report
from helpers.report.__main__ import main
from helpers.report.pictures import embed, slim
from helpers.report.words import count, decimal, duration, interval, p_value, percent_interval
from helpers.runs import REPO, open_run

VOID = {"meta", "link", "img", "br", "hr", "input"}
HOSTILE = '<script>alert(1)</script> & "><img src=x onerror=alert(2)>'


class Nesting(HTMLParser):
    """Checks that every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.wrong.append(f"<{tag}> has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")


def read(run) -> tuple[str, BeautifulSoup]:
    text = make_report(run).read_text(encoding="utf-8")
    return text, BeautifulSoup(text, "html.parser")


def shown(soup) -> str:
    """Return what a reader sees, with plain blanks."""
    return " ".join(soup.get_text(" ").replace("\u00a0", " ").split())


def rows_of(soup, caption: str) -> dict[str, list[str]]:
    """Return the rows of the table whose caption has these words: first cell -> other cells."""
    table = next(t for t in soup.find_all("table") if caption in shown(t.caption))
    rows = [[shown(c) for c in row.find_all(["th", "td"])] for row in table.tbody.find_all("tr")]
    return {row[0]: row[1:] for row in rows}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of the made-up run: (run, text, soup)."""
    run = made_up(tmp_path_factory.mktemp("report"))
    return run, *read(run)


def test_the_numbers_on_the_page_are_those_of_the_tables(page):
    run, _, soup = page
    scores = pd.read_csv(run.root / "tables" / "metrics.csv")
    found = rows_of(soup, "scores on the test texts")
    assert len(found) == len(scores) == 6
    for (name, cells), (_, row) in zip(
        found.items(), scores.sort_values("value", ascending=False).iterrows(), strict=True
    ):
        assert row["model"].removesuffix("-ft") in name.lower() or row["model"] in (
            "embeddings-lr",
            "majority",
        )
        assert f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]" in cells
        assert cells[-1] == "315"
    words = shown(soup)
    for known in ("31.8% [30.1%, 33.5%] of 2,753 proposals", "0.457 [0.400, 0.511] (n = 818)"):
        assert known in words, known
    assert "11 of 21" in words and "20 of 21" in words
    assert "0.718 [0.661, 0.769]" in words


def test_other_tables_give_another_page(tmp_path):
    run = made_up(tmp_path)
    _, soup = read(run)
    assert "the fine-tuned model is better" in shown(soup)
    path = run.root / "tables" / "paired_tests.csv"
    tests = pd.read_csv(path).assign(p_holm=0.4)
    tests.to_csv(path, index=False)
    _, soup = read(run)
    assert "the fine-tuned model is better" not in shown(soup)
    assert "p = 0.4 (Holm); these texts do not tell the two apart" in shown(soup)
    tests.assign(p_holm=0.01, difference=0.2, ci_low=0.1, ci_high=0.3).to_csv(path, index=False)
    _, soup = read(run)
    assert "−0.200 [−0.300, −0.100], p = 0.01 (Holm); the fine-tuned model is worse" in shown(soup)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (decimal(-0.0004, 3, sign=True), "0.000"),
        (decimal(-0.0006, 3, sign=True), "−0.001"),
        (decimal(0.0304, 3, sign=True), "+0.030"),
        (decimal(math.inf), "unbounded"),
        (decimal(math.nan), "–"),
        (interval(0.5, math.nan, math.nan), "0.500"),
        (percent_interval(0.3178, 0.3007, 0.3354), "31.8% [30.1%,\u00a033.5%]"),
        (count(1, "text"), "1\u00a0text"),
        (count(2753), "2,753"),
        (duration(3900), "1 h 5 min"),
        (duration(105.9), "1 min 46 s"),
        (p_value(0.0004), "p\u00a0<\u00a00.001"),
    ],
)
def test_each_kind_of_number_has_one_form(number, words):
    assert number == words


def test_an_interval_without_width_is_explained(tmp_path):
    run = made_up(tmp_path)
    assert "interval without width" not in shown(read(run)[1])
    path = run.root / "tables" / "metrics.csv"
    frame = pd.read_csv(path)
    frame.loc[1, ["value", "ci_low", "ci_high"]] = 1.0
    frame.to_csv(path, index=False)
    assert "interval without width" in shown(read(run)[1])


def test_the_page_says_what_it_is_not(page, tmp_path):
    _, _, soup = page
    warning = shown(soup.find("aside"))
    assert "not the paper's results" in warning and "written for this package" in warning
    assert "coders are simulated" in warning and "10.0M to 40.0M" not in warning
    assert "10M to 40M parameters" in warning
    own = made_up(tmp_path, data="own", verification={"coders": "logs"}, limit={"train": 64})
    warning = shown(read(own)[1].find("aside"))
    assert "written for this package" not in warning and "simulated" not in warning
    assert "paper" not in warning
    assert "limited to 64 train texts" in warning


def test_nothing_is_loaded_from_anywhere(page):
    _, text, soup = page
    assert not soup.find_all(["script", "iframe", "object", "embed", "base", "form"])
    for element in soup.find_all(src=True):
        assert element["src"].startswith("data:image/")
    assert [link["href"] for link in soup.find_all("link")] == ["data:,"]
    for link in soup.find_all("a"):
        assert not re.match(r"(?i)[a-z]+:|//", link["href"]), link["href"]
    style = soup.style.string
    assert "url(" not in style and "@import" not in style and "expression(" not in style
    policy = soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert "default-src 'none'" in policy
    assert not re.search(r"\son\w+\s*=", re.sub(r'src="data:[^"]*"', "", text))
    svg = [image["src"] for image in soup.find_all("img") if "svg" in image["src"]]
    assert svg and len(text) < 200_000


def test_the_html_is_well_formed(page):
    _, text, soup = page
    nesting = Nesting()
    nesting.feed(text)
    assert nesting.wrong == [] and nesting.open == []
    assert text.startswith("<!doctype html>") and soup.html["lang"] == "en"
    ids = [element["id"] for element in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))


def test_headings_landmarks_tables_and_images_serve_those_who_do_not_see(page):
    _, _, soup = page
    levels = [int(h.name[1]) for h in soup.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert soup.main and soup.header and soup.footer
    assert all(nav.get("aria-label") for nav in soup.find_all("nav"))
    for table in soup.find_all("table"):
        assert shown(table.caption)
        assert {th["scope"] for th in table.thead.find_all("th")} == {"col"}
        assert all(row.th["scope"] == "row" for row in table.tbody.find_all("tr"))
    images = soup.find_all("img")
    assert len(images) == 4
    for image in images:
        assert len(image["alt"]) > 60 and image["decoding"] == "async"
        assert int(image["width"]) > 0 and int(image["height"]) > 0
    assert len({image["alt"] for image in images}) == len(images)


def test_every_link_leads_to_a_file_or_a_place(page):
    run, _, soup = page
    ids = {element["id"] for element in soup.find_all(id=True)}
    links = [link["href"] for link in soup.find_all("a")]
    assert any(href.startswith("notebooks/") and "#" in href for href in links)
    for href in links:
        path, _, place = href.partition("#")
        if not path:
            assert place in ids, href
            continue
        target = run.root / unquote(path)
        assert target.is_file(), href
        if place:
            notebook = BeautifulSoup(target.read_text(encoding="utf-8"), "html.parser")
            assert notebook.find(id=place), href
    figure = soup.find("figure", string=None)
    assert "notebook 5: Are they real?" in shown(figure)


def test_figures_of_tasks_that_are_not_in_the_run_stay_out(page):
    run, _, soup = page
    assert (run.root / "figures" / "05_headline_gone.svg").is_file()
    opened = [a["href"] for a in soup.select("figure > a")]
    assert f"figures/05_headline_{TASK}.svg" in opened
    assert not [href for href in opened if "gone" in href]


def test_labels_and_notebooks_cannot_put_markup_into_the_page(tmp_path):
    run = made_up(tmp_path, label=HOSTILE, title=HOSTILE)
    write_notebook(run, f"- Keep *this*. {HOSTILE} [x](javascript:alert(3))")
    text, soup = read(run)
    assert "<script" not in text and "onerror=alert(2)>" not in text
    assert not soup.find_all("script") and not soup.find_all("img", src="x")
    assert "javascript:" not in text
    assert "<script>alert(1)</script>" in shown(soup.main)  # as words, for the reader
    kept = soup.find(class_="excerpt")
    assert kept.em.string == "this" and not kept.find_all(["img", "a"])
    assert any(HOSTILE in image["alt"] for image in soup.find_all("img"))
    nesting = Nesting()
    nesting.feed(text)
    assert nesting.wrong == []


def test_a_task_of_ones_own_is_shown_by_its_name(tmp_path):
    run = made_up(tmp_path, task="my_own-texts")
    _, soup = read(run)
    assert "my_own-texts" in [shown(h) for h in soup.find_all("h3")]
    assert soup.find(id="comparison-my_own-texts")
    assert f"figures/05_headline_{'my_own-texts'}.svg" in [
        a["href"] for a in soup.select("figure > a")
    ]


def test_a_chapter_that_did_not_run_is_named_with_the_reason(tmp_path):
    run = made_up(tmp_path, chapters=["01_data", "05_comparison"])
    for name in ("metrics", "paired_tests", "per_class", "training_size_scores"):
        (run.root / "tables" / f"{name}.csv").unlink()
    (run.root / "chapters" / "05_comparison.json").unlink()
    (run.root / "notebooks" / "06_training_size.ipynb").write_text("{}")
    _, soup = read(run)
    absent = shown(soup.find(id="absent"))
    assert "Models compared. Not run: chapter 5" in absent and "begun and did not finish" in absent
    assert re.search(r"How many labels\? Not run: chapter 6 \([^)]*\) was begun", absent)
    assert re.search(r"What to fine-tune\. Not run: chapter 7 .* profile leaves it out", absent)
    assert "0 of 2 chapters" in shown(soup.header)
    assert not soup.select(".cards")


@pytest.mark.parametrize("profile", ["demo", "published", "demo-upstream", "smoke"])
def test_an_empty_run_gives_a_page_that_says_so(tmp_path, profile):
    run = open_run(profile, tmp_path)
    run.root.mkdir(parents=True)
    text, soup = read(run)
    assert "0 of " in shown(soup.header) and len(soup.select("#absent li")) >= 8
    nesting = Nesting()
    nesting.feed(text)
    assert nesting.wrong == []


def test_without_a_run_there_is_no_page_but_a_remedy(tmp_path, capsys):
    assert main(["--profile", "smoke", "--root", str(tmp_path)]) == 1
    assert "make replicate PROFILE=smoke" in capsys.readouterr().err
    assert not list(tmp_path.rglob(PAGE))


DAMAGES = {
    "column": lambda path: pd.read_csv(path).drop(columns="ci_high").to_csv(path, index=False),
    "empty": lambda path: path.write_text(""),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00task,metric\n\x00"),
    "quotes": lambda path: path.write_text('task,split\n"notes,test\n'),
    "words": lambda path: path.write_text(
        re.sub(r"0\.\d+", "much", path.read_text(encoding="utf-8")), encoding="utf-8"
    ),
}


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        *(("metrics", damage) for damage in DAMAGES),
        ("per_class", "words"),
        ("verification_acceptance", "column"),
    ],
)
def test_a_damaged_table_costs_its_section_and_says_so(tmp_path, table, damage):
    run = made_up(tmp_path)
    DAMAGES[damage](run.root / "tables" / f"{table}.csv")
    text, soup = read(run)
    missing = " ".join(shown(p) for p in soup.select(".missing"))
    assert f"{table}.csv" in missing or "could not be made" in missing
    assert "A claim about Health." in shown(soup)  # the other sections are there
    nesting = Nesting()
    nesting.feed(text)
    assert nesting.wrong == []


def test_the_same_run_gives_the_same_bytes_and_no_path_of_the_machine(tmp_path):
    run = made_up(tmp_path, labelling={"archive": f"{tmp_path}/elsewhere/answers"})
    (run.root / "manifest.json").write_text(
        json.dumps({"profile": run.profile.model_dump(), "versions": {"python": "3.11.9"}})
    )
    text, soup = read(run)
    assert (run.root / PAGE).read_text(encoding="utf-8") == make_report(run).read_text("utf-8")
    assert str(tmp_path) not in text and str(REPO) not in text
    assert "archive: (a path)" in text
    assert "Made-up 3000" in shown(soup) and "3.11.9" in shown(soup)


def test_a_full_disk_keeps_the_page_that_was_there(tmp_path, monkeypatch):
    run = made_up(tmp_path)
    before = make_report(run).read_bytes()
    (run.root / "tables" / "claims.csv").unlink()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs.os, "replace", full)
    with pytest.raises(HelpersError, match="disk is full"):
        make_report(run)
    assert (run.root / PAGE).read_bytes() == before
    assert [path.name for path in run.root.glob("*report*")] == [PAGE]


def test_replicate_makes_the_page_names_it_first_and_survives_its_failure(
    tmp_path, monkeypatch, capsys
):
    run = made_up(tmp_path)
    assert replicate._report(run) == 0
    assert replicate.summary(run).splitlines()[0].startswith("look at: ")
    assert PAGE in replicate.summary(run).splitlines()[0]

    def fails(run):
        raise HelpersError("the disk is full")

    monkeypatch.setattr(replicate, "make_report", fails)
    assert replicate._report(run) == 1
    assert "the disk is full" in capsys.readouterr().err


def test_the_page_is_no_input_and_no_output_of_any_chapter(tmp_path):
    run = made_up(tmp_path)
    name = "05_comparison"
    before = chapters.chapter_inputs(name, run)
    page = make_report(run)
    for chapter in chapters.load_chapters().values():
        assert page not in chapters._outputs(chapter, run)
        assert page not in [path for pattern in chapter.reads for path in run.root.glob(pattern)]
    assert chapters.chapter_inputs(name, run) == before


def test_a_slimmed_figure_draws_the_same(tmp_path):
    run = made_up(tmp_path)
    full = (run.root / "figures" / f"05_headline_{TASK}.svg").read_text(encoding="utf-8")
    less = slim(full)
    assert "creativecommons" not in less and "<?xml" not in less and len(less) < len(full)
    numbers = [
        [float(x) for x in re.findall(r"[\d.]+", re.search(r' d="([^"]*)', s)[1])]
        for s in (full, less)
    ]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.005)
    assert (embed(run.root / "figures", f"05_headline_{TASK}").width) == 864
    assert embed(run.root / "figures", f"06_learning_curve_{TASK}").uri.startswith("data:image/png")
    (run.root / "figures" / "bad.svg").write_text("no drawing")
    (run.root / "figures" / "bad.png").write_bytes(b"no picture")
    assert embed(run.root / "figures", "bad") is None


def test_templates_are_package_data():
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["package-data"]["helpers.report"] == ["templates/*"]
    found = {path.name for path in (REPO / "src/helpers/report/templates").iterdir()}
    assert found == {"page.html.j2", "blocks.html.j2", "page.css"}
