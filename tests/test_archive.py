"""The archive of a run: complete, the same each time, described, and free of what is private."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from archive_example import CHAPTER, POST, small_archive, small_repo, small_run, stamp

from helpers.archive import codebook
from helpers.archive.contents import code_files
from helpers.archive.deposit import PLACEHOLDER_EMAIL, load_deposit, reference_text
from helpers.archive.errors import ArchiveError
from helpers.archive.exhibits import chapter_of
from helpers.archive.rights import rights_of
from helpers.archive.sums import NAME, check_sums
from helpers.chapters import load_chapters
from helpers.profiles import REPO, load_profile
from helpers.runs import file_sha256, open_run

SECTIONS = [
    "## Overview",
    "## Data Availability and Provenance Statements",
    "### Statement about Rights",
    "### License for Data",
    "### Summary of Availability",
    "### Details on each Data Source",
    "## Dataset list",
    "## Computational requirements",
    "### Software Requirements",
    "### Controlled Randomness",
    "### Memory, Runtime, Storage Requirements",
    "#### Summary",
    "#### Details",
    "## Description of programs/code",
    "### License for Code",
    "## Instructions to Replicators",
    "### Details",
    "## List of tables and programs",
    "## References",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An archive of the small run; its repository and run."""
    folder = tmp_path_factory.mktemp("archive")
    repo = small_repo(folder / "repo")
    run = small_run(folder / "elsewhere" / "runs")
    return small_archive(run, repo, folder / "out"), run, repo


@pytest.fixture
def example(tmp_path):
    """A repository and a run of its own, for tests that change them."""
    return small_repo(tmp_path / "repo"), small_run(tmp_path / "elsewhere" / "runs")


def test_archive_holds_code_data_and_results_but_nothing_private(made):
    archive, _, _ = made
    names = {p.relative_to(archive.folder).as_posix() for p in archive.folder.rglob("*")}
    assert {
        "README.md",
        "LICENSE",
        "CITATION.cff",
        "Makefile",
        "code/README.md",
        "code/requirements.txt",
        "code/environment.yml",
        "code/data/embedded/cap.jsonl",
        "results/tables/data_label_counts.csv",
        "results/figures/01_label_frequencies_cap.png",
        f"results/notebooks/{CHAPTER}.ipynb",
        f"results/notebooks/{CHAPTER}.html",
        "results/predictions/cap/tfidf-lr.parquet",
        "results/predictions/training_size.parquet",
        "results/responses/cap/m/v4.jsonl.gz",
        "results/chapters/01_data.json",
        "results/models.csv",
        "codebooks/tables.csv",
    } <= names
    private = ("code/data/upstream", "code/data/own", "code/runs")
    assert not [name for name in names if name.startswith(private)]
    assert not [n for n in names if n.endswith((".sqlite", ".token", ".lock", ".tmp"))]
    assert archive.tables == 1 and not archive.to_fill and not archive.undescribed


def test_same_run_gives_the_same_zip(made, tmp_path):
    archive, run, repo = made
    again = small_archive(run, repo, tmp_path)
    assert file_sha256(again.file) == file_sha256(archive.file)
    # And once more over what is there.
    assert file_sha256(small_archive(run, repo, tmp_path).file) == file_sha256(archive.file)


def test_sums_are_those_of_sha256sum_and_name_what_differs(made, tmp_path):
    archive, run, repo = made
    done = subprocess.run(["sha256sum", "-c", "--quiet", NAME], cwd=archive.folder, check=False)
    assert done.returncode == 0
    copy = small_archive(run, repo, tmp_path).folder
    assert not check_sums(copy)
    table = copy / "results" / "tables" / "data_label_counts.csv"
    table.write_bytes(table.read_bytes().replace(b"3", b"4"))
    (copy / "README.md").unlink()
    (copy / "results" / "more.csv").write_text("x")
    found = check_sums(copy)
    assert found.changed == ("results/tables/data_label_counts.csv",)
    assert found.missing == ("README.md",) and found.extra == ("results/more.csv",)


def test_readme_has_the_template_s_sections_in_order_and_no_empty_field(made):
    text = (made[0].folder / "README.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if re.match(r"##+ ", line)]
    assert headings == SECTIONS
    assert not re.search(r"None|\bnan\b|\{\{|\}\}|TODO|\[\]|\| *\| *\|$|Undefined", text)
    for words in ("20241101", "float32", "`01_data` | 0.2 | 0.5", "Last chapter finished on 2026"):
        assert words in text
    figure = "| Label frequencies: cap (figure) | `code/notebooks/01_data.ipynb` |"
    assert f"{figure} `figures/01_label_frequencies_cap.png` |" in text
    assert "Roe, Bo. (2024). A paper. https://doi.org/10.1234/x" in text


def test_machine_paths_are_taken_out_of_notebooks(made):
    archive, run, _ = made
    text = (archive.folder / "results" / "notebooks" / f"{CHAPTER}.ipynb").read_text()
    assert str(run.root.parent) not in text and str(Path.home()) not in text
    notebook = nbformat.reads(text, as_version=4)
    assert notebook.metadata.papermill.output_path == f"runs/smoke/notebooks/{CHAPTER}.ipynb"
    assert notebook.metadata.papermill.input_path == f"./notebooks/{CHAPTER}.ipynb"
    assert notebook.cells[0].source == "root = 'runs'"
    page = (archive.folder / "results" / "notebooks" / f"{CHAPTER}.html").read_text()
    assert str(run.root.parent) not in page


@pytest.mark.parametrize(
    ("planted", "reported"),
    [
        ("see /ho" + "me/ann/data.csv", r"a folder of a machine: /ho" + "me/ann"),
        ("key sk-" + "a1" * 16, r"a key \(OpenAI or similar\): sk-a\.\.\. \(35 "),
        ("token hf_" + "Ab3" * 10, r"a key \(Hugging Face\)"),
        ("it is Val-ue/0f+it", "the value of the environment variable MY_TOKEN"),
    ],
)
def test_planted_path_and_key_are_refused_with_file_and_line(
    example, tmp_path, monkeypatch, planted, reported
):
    monkeypatch.setenv("MY_TOKEN", "Val-ue/0f+it")
    repo, run = example
    (repo / "README.md").write_text(f"# Small\n{planted}\n")
    with pytest.raises(ArchiveError, match=rf"code/README\.md, line 2: {reported}") as caught:
        small_archive(run, repo, tmp_path / "out")
    assert "a1a1a1a1" not in str(caught.value) and "Val-ue" not in str(caught.value)
    assert not [p for p in (tmp_path / "out").rglob("*") if not p.name.endswith(".lock")]


def plant(run, where: str, text: str) -> None:
    """Put a text into a file of the run, as it would come there by mistake."""
    path = run.path(*where.split("/"))
    if path.suffix == ".parquet":
        pd.DataFrame({"id": ["1", "2"], "answer": ["x", text]}).to_parquet(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(f'{{"a": 1}}\n{{"content": {json.dumps(text)}}}\n'.encode()))
    elif path.suffix == ".ipynb":
        page = nbformat.read(path, as_version=4)
        output = nbformat.v4.new_output("display_data", {"text/html": f"<td>{text}</td>"})
        page.cells[0].outputs.append(output)
        nbformat.write(page, path)
    else:
        path.write_text(f"id,note\n1,{text}\n")


@pytest.mark.parametrize(
    ("where", "reported"),
    [
        ("tables/data_dropped.csv", "results/tables/data_dropped.csv, line 2"),
        ("predictions/cap/tfidf-lr.parquet", "results/predictions/cap/tfidf-lr.parquet, line 3"),
        ("responses/cap/m/v4.jsonl.gz", "results/responses/cap/m/v4.jsonl.gz, line 2"),
        (f"notebooks/{CHAPTER}.ipynb", f"results/notebooks/{CHAPTER}.ipynb, line"),
    ],
)
def test_planted_text_of_the_authors_is_refused_wherever_it_is(tmp_path, where, reported):
    repo = small_repo(tmp_path / "repo")
    run = small_run(tmp_path / "runs", upstream=repo / "data" / "upstream")
    # In the prepared data of this profile (embedded) the sentence would be planted too.
    for task in ("cap", "flourishing"):
        run.path("data", task, "texts.parquet").unlink()
    words = POST.replace("gardener", "GARDENER,").replace(" again", "\u00a0again")
    plant(run, where, words)
    stamp(run)
    with pytest.raises(ArchiveError, match=re.escape(reported)) as caught:
        small_archive(run, repo, tmp_path / "out")
    assert "painted" not in str(caught.value)


def test_texts_that_are_not_ours_are_left_out_with_all_that_follows_from_each(tmp_path):
    repo = small_repo(tmp_path / "repo")
    (repo / "config" / "profiles" / "demo-upstream.yaml").write_text("name: demo-upstream\n")
    run = small_run(tmp_path / "runs", "demo-upstream", upstream=tmp_path / "nowhere")
    archive = small_archive(run, repo, tmp_path / "out")
    names = {p.relative_to(archive.folder / "results").as_posix() for p in archive.folder.rglob("*")
             if p.is_relative_to(archive.folder / "results")}  # fmt: skip
    assert "tables/data_label_counts.csv" in names
    kept = [n for n in names if n.startswith(("data/", "responses/", "predictions/"))]
    assert not [n for n in kept if "flourishing" in n]
    text = (archive.folder / "README.md").read_text(encoding="utf-8")
    assert "- [x] Some data **cannot be contained** in this package." in text
    assert "predictions of flourishing | 3 |" in text and "`make data`" in text
    # The prepared texts are known, so a piece of one is found although the originals are absent.
    plant(run, "tables/data_dropped.csv", POST)
    stamp(run)
    with pytest.raises(ArchiveError, match=r"data_dropped\.csv, line 2: words of a text"):
        small_archive(run, repo, tmp_path / "out")


def test_own_texts_are_deposited_only_when_asked_for(example, tmp_path):
    repo, run = example
    without = small_archive(run, repo, tmp_path / "a")
    with_own = small_archive(run, repo, tmp_path / "b", include_own=True)
    assert not (without.folder / "code" / "data" / "own").exists()
    assert (with_own.folder / "code" / "data" / "own" / "mine.csv").is_file()


def test_run_that_is_not_current_is_refused_by_chapter(example, tmp_path):
    repo, run = example
    (run.root / "tables" / "data_label_counts.csv").write_text("changed\n")
    with pytest.raises(ArchiveError, match=r"01_data is not up to date"):
        small_archive(run, repo, tmp_path / "out")
    archive = small_archive(run, repo, tmp_path / "out", allow_stale=True)
    text = (archive.folder / "README.md").read_text(encoding="utf-8")
    assert "This archive was made with `--allow-stale`" in text and "01_data." in text
    (run.root / "notebooks" / f"{CHAPTER}.ipynb").unlink()
    with pytest.raises(ArchiveError, match=r"01_data was never executed"):
        small_archive(run, repo, tmp_path / "out", allow_stale=True)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from archive_example import small_archive
from helpers.archive import making, zipping
from helpers.runs import open_run

def half(folder, target):
    target.with_name("." + target.name).write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "zip":
    making.write_zip = half
else:
    making.write_sums = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
small_archive(open_run("smoke", root=sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
"""


@pytest.mark.parametrize("where", ["zip", pytest.param("files", marks=pytest.mark.full)])
def test_killed_call_leaves_nothing_half_and_the_same_call_finishes(made, tmp_path, where):
    archive, run, repo = made
    out = tmp_path / "out"
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", KILLED, here, where, str(run.root.parent), str(repo), str(out)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPO / "src"), *sys.path])}
    killed = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert not [path for path in out.iterdir() if not path.name.startswith(".")]
    finished = small_archive(run, repo, out)
    assert file_sha256(finished.file) == file_sha256(archive.file)
    assert [p.name for p in out.iterdir() if p.is_dir()] == [finished.folder.name]


def test_crate_is_read_by_rocrate_and_names_what_made_each_exhibit(made):
    from rocrate.rocrate import ROCrate

    folder = made[0].folder
    crate = ROCrate(folder)
    assert crate.root_dataset["datePublished"][:10] == "2026-11-22"
    author = crate.root_dataset["author"][0]
    assert author.type == "Person" and author.id.endswith("0000-0001-2345-6789")
    action = crate.get(f"#run-{CHAPTER}")
    assert action.type == "CreateAction"
    assert action["instrument"][0].id == f"code/notebooks/{CHAPTER}.ipynb"
    results = {entity.id for entity in action["result"]}
    assert "results/tables/data_label_counts.csv" in results
    assert "results/figures/01_label_frequencies_cap.png" in results
    # What RO-Crate 1.1 demands: a flat graph, unique ids, every file there, no dangling reference.
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    ids = [entity["@id"] for entity in graph]
    assert len(ids) == len(set(ids)) and {"./", "ro-crate-metadata.json"} <= set(ids)
    files = [entity for entity in graph if "File" in entity["@type"]]
    assert len(files) > 20 and all((folder / entity["@id"]).is_file() for entity in files)
    assert set(re.findall(r'\{"@id": "([^"]+)"\}', json.dumps(graph))) <= {
        *ids,
        "https://w3id.org/ro/crate/1.1",
    }


def test_dataverse_json_is_valid_and_readable(made):
    from pyDataverse.models import Dataset

    text = (made[0].folder / "dataverse.json").read_text()
    dataset = Dataset()
    dataset.from_json(text, validate=True)
    assert dataset.get()["author"][0]["authorIdentifier"] == "0000-0001-2345-6789"
    assert dataset.get()["datasetContact"][0]["datasetContactEmail"] == "ann@example.org"
    fields = json.loads(text)["datasetVersion"]["metadataBlocks"]["citation"]["fields"]
    needed = {"title", "author", "datasetContact", "dsDescription", "subject"}
    assert needed <= {field["typeName"] for field in fields}


def test_subject_that_dataverse_does_not_have_is_refused(example, tmp_path):
    repo, run = example
    (repo / "config" / "archive" / "deposit.yaml").write_text("subjects: [Sociology]\n")
    with pytest.raises(ArchiveError, match="no subject 'Sociology'"):
        small_archive(run, repo, tmp_path / "out")


def test_placeholders_are_few_and_all_are_listed(example, tmp_path):
    repo, run = example
    (repo / "config" / "archive" / "deposit.yaml").write_text("contact_name: null\n")
    archive = small_archive(run, repo, tmp_path / "out")
    assert [line.split(": ")[1] for line in archive.to_fill] == ["contact_name", "contact_email"]
    holders = [
        path.name
        for path in archive.folder.rglob("*")
        if path.is_file() and PLACEHOLDER_EMAIL.encode() in path.read_bytes()
    ]
    assert holders == ["dataverse.json"]
    # The repository's own: nobody's name is invented, and that is said.
    assert len(load_deposit(REPO).to_fill) == 3


def test_every_column_of_the_committed_tables_is_described():
    missing = []
    for path in sorted((REPO / "figures").glob("*/*.csv")):
        table = codebook.describe_table(path.stem, codebook.header(path))
        missing += [f"{path.name}.{name}" for name in table.undescribed]
    assert not missing


def test_column_that_nobody_described_is_listed(example, tmp_path):
    repo, run = example
    path = run.path("tables", "data_label_counts.csv")
    path.write_text("task,label,name,n,surprise\ncap,1,Money,3,4\n")
    run.path("tables", "data_label_counts.parquet").unlink()
    stamp(run)
    archive = small_archive(run, repo, tmp_path / "out")
    assert archive.undescribed == ["data_label_counts.surprise"]
    assert "`surprise` | integer |  | (not described)" in (
        archive.folder / "codebooks" / "tables.md"
    ).read_text(encoding="utf-8")


def test_kinds_of_columns_all_have_a_tolerance():
    content = yaml.safe_load((codebook.FOLDER / "codebook.yaml").read_text(encoding="utf-8"))
    limits = yaml.safe_load((codebook.FOLDER / "tolerances.yaml").read_text(encoding="utf-8"))
    sections = [content["columns"], *(t.get("columns", {}) for t in content["tables"].values())]
    kinds = {column[0] for section in sections for column in section.values()}
    assert kinds == limits["kinds"].keys()
    assert all(rule["why"] for rule in limits["kinds"].values())
    assert limits["rows"].keys() <= content["tables"].keys()


def test_every_figure_of_the_repository_has_a_title_and_a_chapter():
    stems = {path.stem for path in (REPO / "figures").glob("*/*.png")}
    assert len(stems) > 50
    assert not [stem for stem in stems if codebook.figure_title(stem) == stem]
    named = {chapter_of(f"figures/{stem}.png") for stem in stems if stem[0] == "0"}
    assert named <= load_chapters().keys()


def test_rights_follow_the_source_of_each_task():
    assert not rights_of(load_profile("demo")).restricted
    rights = rights_of(load_profile("published"))
    assert rights.restricted == {"flourishing": "upstream"}
    assert rights.excludes("verification/simulated/flourishing/x.jsonl")
    assert not rights.excludes("tables/flourishing.csv")
    assert not rights.excludes("data/cap/texts.parquet")


def test_code_is_listed_alike_with_and_without_git(tmp_path):
    repo = small_repo(tmp_path / "repo")
    walked = [path.relative_to(repo).as_posix() for path in code_files(repo)]
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    subprocess.run(["git", "-C", str(repo), "add", "--all"], check=True)
    known = [path.relative_to(repo).as_posix() for path in code_files(repo)]
    assert known == walked and "README.md" in known
    assert not {"secret.token", "data/own/mine.csv", "data/upstream/sample.csv"} & set(known)
    (repo / "config" / "profiles").mkdir(parents=True, exist_ok=True)
    (repo / "config" / "profiles" / "mine.yaml").write_text("name: mine\n")
    (repo / "letter.txt").write_text("not for the deposit\n")
    added = {path.relative_to(repo).as_posix() for path in code_files(repo)} - set(known)
    assert added == {"config/profiles/mine.yaml"}  # git knows neither


def test_references_read_like_a_bibliography():
    for entry in load_deposit(REPO).citation["references"]:
        text = reference_text(entry)
        assert entry["title"] in text and "None" not in text
    wang = next(e for e in load_deposit(REPO).citation["references"] if e.get("volume") == 32)
    assert "*Political Analysis* 32(3), 379-383." in reference_text(wang)


def test_run_without_models_lists_them_with_sums_and_refuses_to_deposit_them(example, tmp_path):
    repo, run = example
    path = run.root / "chapters" / f"{CHAPTER}.json"
    content = json.loads(path.read_text())
    content["outputs"]["models/cap/m/adapter/weights.safetensors"] = "ab" * 32
    path.write_text(json.dumps(content))
    archive = small_archive(run, repo, tmp_path / "out", allow_stale=True)
    models = pd.read_csv(archive.folder / "results" / "models.csv")
    assert models["sha256"].tolist() == ["ab" * 32] and not models["deposited"].any()
    assert "| models | 1 | not known |" in (archive.folder / "README.md").read_text()
    with pytest.raises(ArchiveError, match="1 model files are missing"):
        small_archive(run, repo, tmp_path / "out", allow_stale=True, models="adapters")


def test_command_says_what_is_missing(tmp_path, capsys):
    from helpers.archive.command import main

    run = open_run("smoke", root=tmp_path)
    assert main(["make", "--profile", "smoke", "--root", str(tmp_path), "--out", "x"]) == 1
    printed = capsys.readouterr().err
    assert f"the run {run.root} is not complete" in printed and "09_estimates was never" in printed
    assert not Path("x").exists()


def test_notebook_keeps_no_folder_of_the_machine_that_executed_it(tmp_path):
    from helpers.executed import clean_notebook

    page = nbformat.v4.new_notebook()
    warning = f"{sys.prefix}/lib/p.py:1: UserWarning\n/tmp/ipykernel_12/345.py:3: x\n"
    other = f"{REPO}-2/kept and {Path.home()}/x and {tmp_path}/runs/demo/tables/t.csv"
    picture = {"image/png": f"{REPO}/no", "text/plain": f"<{REPO}/src>"}
    page.cells = [nbformat.v4.new_code_cell("1", id="a")]
    page.cells[0].outputs = [
        nbformat.v4.new_output("stream", text=warning + other),
        nbformat.v4.new_output("display_data", picture),
    ]
    path = tmp_path / "n.ipynb"
    nbformat.write(page, path)
    clean_notebook(path, {str(tmp_path / "runs"): "runs"})
    first, second = nbformat.read(path, as_version=4).cells[0].outputs
    assert first.text.startswith("<environment>/lib/p.py:1: UserWarning\n<cell>:3: x\n")
    assert first.text.endswith("runs/demo/tables/t.csv")
    assert "~" in first.text and str(Path.home()) + "/x" not in first.text
    assert second.data["text/plain"] == "<./src>" and second.data["image/png"] == f"{REPO}/no"


def test_profile_that_is_not_in_the_repository_is_refused(example, tmp_path):
    repo, run = example
    (repo / "config" / "profiles" / "smoke.yaml").unlink()
    with pytest.raises(ArchiveError, match=r"config/profiles has no smoke\.yaml"):
        small_archive(run, repo, tmp_path / "out")
