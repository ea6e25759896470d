"""Benchmarks: turns, tables and report; and what start-up may load."""

import subprocess
import sys

import pandas as pd
import pytest

from helpers.profiles import REPO

sys.path.insert(0, str(REPO / "bench"))

import accuracy
import common
import report
import scaling
import startup

LIGHT_CHAPTERS = [name for name in startup.chapters() if name[:2] in ("01", "03", "08")]
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "llama_cpp", "vllm", "torchao")


def test_sides_take_turns_and_the_warm_up_does_not_count():
    order = []

    def side(name):
        def once(number):
            order.append(f"{name}{number}")
            return {"seconds": float(number)}

        return once

    found = common.take_turns({"a": side("a"), "b": side("b")}, 2)
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert found["a"]["seconds"] == [1.0, 2.0]
    order.clear()
    common.take_turns({"a": side("a")}, 1, warm_up=False)
    assert order == ["a1"]


def test_ratios_are_taken_round_by_round():
    line = common.ratio("slow over fast", "fast", [10.0, 30.0, 20.0], [1.0, 10.0, 4.0], "≥ 4")
    assert (line["median"], line["min"], line["max"]) == (5.0, 3.0, 10.0)
    assert (line["rounds"], line["unit"], line["target"]) == (3, "times", "≥ 4")


def test_a_table_names_the_machine_and_the_report_shows_it(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "LOAD", 5.0)
    rows = [common.row("one epoch", "ours", [3.0, 2.0, 2.5], "s", "≤ 3", "a note")]
    rows.append(common.ratio("theirs over ours", "ours", [25000.0], [2.0]))
    common.save("training", rows, ("torch", "no-such-package"), str(tmp_path), texts=8)
    table = pd.read_csv(tmp_path / "training.csv")
    assert set(table["cores"]) == {common.CORES} and not table["idle"].any()
    assert (table["no-such-package"] == "none").all() and (table["texts"] == 8).all()
    shown = report.report(tmp_path, "no-such-profile")
    assert "| side | one epoch | theirs over ours |" in shown
    assert "| ours | 2.5 s (2 to 3), wanted ≤ 3 [a note] | 12,500× |" in shown
    assert "NOT idle: load 5.0" in shown and "torch 2" in shown


def test_measures_that_few_sides_have_are_listed(tmp_path):
    rows = [common.row(f"measure {i}", f"side {i}", [2.0], "s", "", "") for i in range(4)]
    common.save("other", rows, ("torch",), str(tmp_path))
    shown = report.report(tmp_path, "no-such-profile")
    assert "| measure | side | median (range) | wanted |" in shown
    assert "| measure 3 | side 3 | 2 s |  |" in shown


def test_documents_show_the_committed_measurements():
    for path, text in report.documents().items():
        found = path.read_text(encoding="utf-8")
        assert found == text, f"{path.name}: run python bench/report.py --write"
        assert "≥ 12" in found and "×" in found


def test_a_document_without_marks_is_refused(tmp_path):
    (tmp_path / "a.md").write_text("no marks")
    with pytest.raises(ValueError, match=r"a\.md needs the lines"):
        report.written(tmp_path / "a.md", "text")


def test_the_report_holds_the_chapters_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "REPO", tmp_path)
    folder = tmp_path / "runs" / "demo" / "performance"
    folder.mkdir(parents=True)
    rows = [["01_data", 15.2, 611], ["02_labelling", 113.4, 2757]]
    columns = ["chapter", "seconds", "peak_memory_mib"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "chapters.csv", index=False)
    shown = report.report(tmp_path, "demo")
    assert "| 02_labelling | 113 | 2.7 GiB |" in shown
    assert "| sum, largest | 129 | 2.7 GiB |" in shown


def test_the_slope_of_a_power_law_is_its_exponent():
    sizes = {n: [2 * n**0.9, 2.02 * n**0.9] for n in (500, 1000, 2000, 4000)}
    middle, low, high = scaling.slope(sizes)
    assert abs(middle - 0.9) < 0.001 and low < middle < high < 0.92


def test_the_recipe_that_is_timed_is_the_published_one_where_it_learns():
    rows = {
        "side": ["published", "published", "published-answers", "published-answers"],
        "learning_rate": [1e-3, 2e-3, 1e-3, 2e-3],
        "accuracy": [0.06, 0.3, 0.5, 0.4],
    }
    table = pd.DataFrame(rows)
    assert accuracy.tuned(table, 0.06) == ("published", 2e-3, "")
    side, rate, note = accuracy.tuned(table.replace(0.3, 0.08), 0.06)
    assert (side, rate) == ("published-answers", 1e-3) and "at most 0.080" in note


def test_no_light_chapter_and_no_table_of_ours_loads_torch():
    """One process for all: what the chapters without a model import."""
    imports = "\n".join(startup.chapter_imports(name) for name in LIGHT_CHAPTERS)
    code = f"import sys\n{imports}\nimport helpers.replicate, helpers.preflight, helpers.cli\n"
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    assert len(LIGHT_CHAPTERS) == 3
    assert fresh(code) == "[]"


def test_every_part_can_be_imported_without_torch():
    modules = [f"import {name}" for name in startup.MODULES]
    imports = [startup.chapter_imports(name) for name in startup.chapters()]
    code = "import sys\n" + "\n".join([*modules, *imports])
    assert fresh(f"{code}\nprint([name for name in {HEAVY} if name in sys.modules])") == "[]"


@pytest.mark.parametrize("module", ["helpers.data", "helpers.metrics", "helpers.published"])
def test_reading_tables_needs_no_statistics_package(module):
    names = ("pandera", "sklearn", "scipy", "statsmodels", "krippendorff", "matplotlib")
    code = f"import sys, {module}\nprint([name for name in {names} if name in sys.modules])"
    assert fresh(code) == "[]"


def fresh(code):
    """Run code in a fresh process; return what it prints."""
    env = common.os.environ | {"PYTHONPATH": str(REPO / "src")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout[:-1]


def test_labelling_runs(tmp_path, capfd):
    import labelling

    labelling.main(["--quick", "--out", str(tmp_path)])
    table = pd.read_csv(tmp_path / "labelling.csv")
    assert {"bare", "aiohttp", "labeller"} == set(table["side"]) and table["quick"].all()


@pytest.mark.full
@pytest.mark.parametrize("name", ["training", "accuracy", "prediction", "scaling", "startup"])
def test_a_benchmark_runs_as_a_command(name, tmp_path):
    command = [sys.executable, str(REPO / "bench" / f"{name}.py"), "--quick", "--out", tmp_path]
    subprocess.run(command, check=True, cwd=tmp_path)
    table = pd.read_csv(tmp_path / f"{name}.csv")
    assert table["quick"].all() and (table["median"].notna()).all()
    assert len(report.report(tmp_path, "no-such-profile")) > 300
