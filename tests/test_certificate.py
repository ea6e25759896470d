"""The certificate: exact, within rounding, differs, not recomputable; and nothing in between."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

from helpers.data import UpstreamError
from helpers.data.manifest import git_blob_sha1, read_manifest
from helpers.published.archive import Archive, open_archive
from helpers.published.certificate import (
    certificate,
    certificate_counts,
    check_published,
    compared,
)
from helpers.published.panel import PUBLISHED, PublishedError
from helpers.published.per_dimension import STATISTICS
from helpers.published.recomputed import LAST_VERSION, needed_files, recomputed_values
from helpers.published.values import DIMENSION_FILES, POSTS, published_values
from helpers.tasks import load_task

TASK = load_task("flourishing")
GPT4, OLDER = "classified-chatgpt4", "classified-L2-7B-FT"
STATS = DIMENSION_FILES["train"]


def pick(table, column="verdict", **where):
    rows = table
    for name, wanted in where.items():
        rows = rows[rows[name] == wanted]
    assert len(rows) == 1
    return rows[column].iloc[0]


@pytest.fixture
def values_folder(tmp_path):
    """Copy our published values, to be changed."""
    return shutil.copytree(PUBLISHED, tmp_path / "published")


@pytest.fixture
def archive_folder(tmp_path, upstream_folder):
    """Link the authors' files into a folder, to be replaced or taken away."""
    folder = tmp_path / "upstream"
    for row in read_manifest():
        if (upstream_folder / row.local_path).is_file():
            link = folder / row.local_path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((upstream_folder / row.local_path).resolve())
    return folder


@pytest.fixture(scope="module")
def opened(upstream_folder):
    return open_archive(TASK, upstream_folder)


@pytest.fixture(scope="module")
def found(upstream_folder, opened):
    return recomputed_values(upstream_folder, opened)


@pytest.fixture(scope="module")
def table(upstream_folder, found):
    return certified(published_values(upstream=upstream_folder), found, upstream_folder)


def certified(values, found, folder):
    """Certify values against what was recomputed before."""
    here = [row.local_path for row in read_manifest() if (folder / row.local_path).exists()]
    return compared(values, found, here)


def change(folder, file, where, column, cell):
    frame = pd.read_csv(folder / file, dtype=str, keep_default_na=False)
    rows = frame.index[(frame[list(where)] == list(where.values())).all(axis=1)]
    assert len(rows) == 1
    frame.loc[rows[0], column] = cell
    frame.to_csv(folder / file, index=False)


def replace_file(folder, name, content):
    path = folder / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def with_made_up(file, path):
    """The manifest, with another content of one file taken for the authors'."""
    return [
        dataclasses.replace(row, git_blob_sha1=git_blob_sha1(path))
        if row.local_path == file
        else row
        for row in read_manifest()
    ]


# --- without the archive -------------------------------------------------------------------------


def test_without_an_archive_nothing_is_run(tmp_path):
    for folder in (None, tmp_path, tmp_path / "none"):
        table = certificate(folder)
        assert set(table["verdict"]) == {"not run: archive absent"}
        assert table["recomputed"].isna().all()
        status, report = check_published(folder)
        assert status == 1
        assert "Nothing could be recomputed" in report
        assert "make data" in report
        assert "flourishing/verified.csv: 163" in report
    assert len(table) == len(published_values())


def test_every_value_has_its_place_and_unit():
    values = published_values()
    assert set(values["unit"]) == {"share", "percent", "count"}
    assert (values["source"] != "").all()
    undefined = values[values["value"].isna()]
    assert set(undefined["kind"]) == {"archived", "earlier"}  # never a printed one
    posts_rows = values[values["exhibit"].str.startswith("models, ")]
    assert len(posts_rows) == 2 * 18 * len(POSTS)
    earlier = values["kind"] == "earlier"
    assert values.loc[earlier, "exhibit"].str.endswith("not printed").all()
    assert not values.loc[~earlier, "exhibit"].str.contains("not printed").any()


def test_each_value_knows_its_files():
    values = published_values()
    files = {tuple(row[["task", "split", "model", "quantity"]]): needed_files(row)
             for _, row in values.iterrows()}  # fmt: skip
    known = {row.local_path for row in read_manifest()}
    assert {name for needed in files.values() for name in needed} <= known
    train = files["flourishing", "train", OLDER, "jac"]
    assert train == ("flourishing/all-llms-codings.csv", f"flourishing/{OLDER}@9d7ff68.csv")
    test = files["flourishing", "test", OLDER, "jac"]
    assert test == ("flourishing/verified.csv", f"flourishing/{OLDER}.csv")
    assert files["cap", "test", "ChatGPT-4", "mean_balanced_accuracy"] == ()
    assert files["cap", "test", "Llama 2 7B", "accuracy"] == ()  # zero-shot: never archived
    base = files["dataverse", "test", "Llama 2 70B", "any_right"]
    assert base == ("dataverse/classification_results-70B-NO-FT.csv",)


# --- by hand -------------------------------------------------------------------------------------


def frame(rows, columns):
    return pd.DataFrame(rows, columns=columns, dtype="str")


def test_recomputed_from_made_up_posts_of_both_splits(tmp_path):
    columns = ["id", "dimension", "value", "coder", "llm"]
    train = frame(
        [
            ("1", "happiness", "high", "1", "GPT4"),
            ("1", "happiness", "high", "2", "GPT4"),
            ("1", "anxiety", "low", "1", "LLAMA2"),
            ("2", "anxiety", "low", "1", "GPT4"),
            ("2", "anxiety", "low", "2", "GPT4"),
        ],
        columns,
    ).assign(accepted=[True, True, False, True, False])
    test = frame([("7", "happiness", "high", "9", "GPT4")], columns).assign(accepted=True)
    said = frame(
        [("1", "happiness", "low"), ("1", "vitality", "low"), ("7", "happiness", "high")],
        ["id", "dimension", "value"],
    )
    none = pd.DataFrame(columns=["file", "reason", "rows", "posts"])
    archive = Archive(TASK, tmp_path, {"train": train, "test": test}, {GPT4: said}, none)
    table = recomputed_values(tmp_path, archive)

    def got(quantity, split="train", model=GPT4, item=""):
        about = {"quantity": quantity, "split": split, "model": model, "item": item}
        return pick(table, "recomputed", **about)

    assert got("ntext") == 1  # post 2 has no answer
    assert got("n") == 46
    assert got("accD") == pytest.approx(45 / 46)
    assert got("accI") == pytest.approx(44 / 46)  # the level of happiness is wrong
    assert got("jac") == 1 / 2
    assert got("jac2") == pytest.approx(45 / 47)
    assert got("ham", split="test") == 0
    assert got("acc", item="vitality") == 0
    assert got("prec", item="happiness") == 1  # as named: the recall
    assert np.isnan(got("f1", item="vitality"))
    assert got("posts_with_truth", model="") == 2
    assert got("posts_with_truth", split="test", model="") == 1
    people = {"model": "", "split": "train"}
    assert got("codings", **people) == 5
    assert got("accepted", **people) == 3
    assert got("coders", **people) == 2
    assert got("acceptance", item="GPT4", **people) == 75
    assert got("acceptance", item="LLAMA2", **people) == 0
    assert got("acceptance_lowest_coder", item="GPT4", **people) == 50
    assert got("acceptance_highest_coder", item="GPT4", **people) == 100
    assert got("items_of_several_coders", **people) == 2
    assert got("agreement", **people) == 50


# --- the archive ---------------------------------------------------------------------------------


def test_all_seven_training_rows_are_exact(table):
    rows = table[(table["exhibit"] == "models, training posts") & (table["version"] == "")]
    done = rows[rows["recomputed"].notna()]
    seven = {
        *("classified-L2-7B-FT", "classified-L2-13B-FT", "classified-L2-70B-FT", GPT4),
        *("classified-L3-70B-FT", "classified-L31-405B", "classified-L32-1B-FT"),
    }
    assert seven <= set(done["model"])
    done = done[done["model"].isin(seven)]
    assert len(done) == 7 * len(POSTS)  # n and ntext too
    assert (done["difference"].abs() <= 1e-9).all()
    assert set(done["verdict"]) == {"exact"}
    rest = rows[rows["recomputed"].isna()]
    assert set(rest["verdict"]) <= {"not recomputable"}
    assert rest["why"].str.startswith("missing: flourishing/classified-").all()


def test_dimensions_are_exact_where_undefined_too(table):
    rows = table[table["exhibit"] == "dimensions, training posts"]
    rows = rows[(rows["model"] == GPT4) & (rows["version"] == "")]
    assert len(rows) == 46 * len(STATISTICS)
    assert set(rows["verdict"]) == {"exact"}
    assert rows["published"].isna().any()
    assert (rows["published"].isna() == rows["recomputed"].isna()).all()


def test_the_other_studies(table):
    model = {"model": "Llama 2 7B FT", "split": "test"}
    assert pick(table, quantity="mean_balanced_accuracy", kind="printed", **model) == (
        "within rounding"
    )
    assert pick(table, quantity="accuracy", kind="about", **model) == "within rounding"
    assert pick(table, quantity="f1", item="12", **model) == "exact"  # undefined on both sides
    categories = {"quantity": "exact_categories"}
    assert pick(table, **categories) == "exact"
    why = pick(table, "why", **categories)
    assert "before rounding 90.39, with the right subjects 85.50" in why
    zero_shot = {"task": "cap", "model": "Llama 2 7B", "quantity": "accuracy"}
    assert pick(table, **zero_shot) == "not recomputable"
    assert pick(table, "why", **zero_shot) == "no file in the archive"
    claim = {"quantity": "disagreement_low"}
    assert pick(table, **claim) == "not recomputable"
    assert "table of claims" in pick(table, "why", **claim)
    for about in (
        {"quantity": "agreement"},
        {"quantity": "acceptance", "item": "GPT4"},
        {"quantity": "items_of_several_coders"},
    ):
        assert pick(table, **about) in ("exact", "within rounding")


def test_the_last_version_of_a_file_is_listed_beside(table):
    last = table[(table["version"] == LAST_VERSION) & (table["item"] == "")]
    assert set(last["model"]) == {OLDER}
    assert last["quantity"].tolist() == list(POSTS)
    assert pick(last, "recomputed", quantity="ntext") == 2401
    assert set(last["verdict"]) == {"differs"}
    assert last["why"].str.contains("earlier version").all()
    assert last["files"].str.endswith(f"{OLDER}.csv").all()


def test_the_archive_passes(upstream_folder, table):
    status, report = check_published(upstream_folder)
    assert status == 0
    assert report.startswith(certificate_counts(table).to_string(index=False))
    assert "No recomputable value differs" in report
    assert f"{LAST_VERSION} of a file" in report


def test_counts_add_up(table):
    counts = certificate_counts(table).set_index("exhibit")
    verdicts = counts.drop(columns="values")
    assert (verdicts.sum(axis=1) == counts["values"]).all()
    assert counts.loc["all", "values"] == (table["version"] == "").sum()
    assert counts.loc["all", "differs"] == 0
    assert counts.loc[f"models, training posts ({LAST_VERSION})", "differs"] == len(POSTS)
    apart = counts.index.str.endswith(f"({LAST_VERSION})") | (counts.index == "all")
    assert (verdicts[~apart].sum() == verdicts.loc["all"]).all()


# --- changed values and files --------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_changed_copy_of_a_value_differs(upstream_folder, values_folder, split, found):
    where = {"fname": GPT4, "split": split}
    change(values_folder, "flourishing.csv", where, "jac", "0.5")
    values = published_values(values_folder, upstream_folder)
    table = certified(values, found, upstream_folder)
    row = {"model": GPT4, "split": split, "quantity": "jac", "item": ""}
    # The test posts need files that may be missing, but the authors' own table is here.
    assert pick(table, **row) == "differs"
    assert pick(table, "why", **row).startswith("data/published says 0.5, flourishing/")
    assert certificate_counts(table).set_index("exhibit").loc["all", "differs"] == 1


def test_without_the_authors_table_the_recomputed_value_tells(archive_folder, values_folder):
    where = {"fname": GPT4, "split": "train"}
    change(values_folder, "flourishing.csv", where, "jac", "0.56962")  # 7e-6 off
    (archive_folder / "flourishing/summaryOld.csv").unlink()
    status, report = check_published(archive_folder, published=values_folder)
    assert status == 1
    assert "1 value(s) differ:" in report
    assert f"{GPT4}, jac: published 0.56962, recomputed 0.5696272296" in report
    assert "recomputed from flourishing/all-llms-codings.csv; flourishing/" in report


@pytest.mark.parametrize(
    ("value", "decimals", "kind", "verdict"),
    [
        ("74.8", "1", "printed", "within rounding"),
        ("74.7", "1", "printed", "differs"),
        ("74.76", "2", "printed", "within rounding"),
        ("75", "0", "about", "within rounding"),
        ("70", "-1", "about", "within rounding"),
        ("80", "-1", "about", "differs"),
        ("NA", "1", "printed", "differs"),
    ],
)
def test_printed_values_count_with_their_decimals(
    upstream_folder, values_folder, found, value, decimals, kind, verdict
):
    where = {"split": "test", "item": "", "quantity": "accuracy"}
    for column, cell in (("value", value), ("decimals", decimals)):
        change(values_folder, "cap.csv", where, column, cell)
    change(values_folder, "cap.csv", where, "kind", kind)
    # A second value of the same kind for the same thing would be refused.
    headline = pd.read_csv(values_folder / "headline.csv", dtype=str)
    headline[headline["metric"] != "accuracy"].to_csv(values_folder / "headline.csv", index=False)
    table = certified(published_values(values_folder), found, upstream_folder)
    assert pick(table, task="cap", split="test", quantity="accuracy") == verdict


def test_a_file_of_another_commit_is_refused_and_not_scored(archive_folder):
    last = (archive_folder / f"flourishing/{OLDER}.csv").read_bytes()
    replace_file(archive_folder, f"flourishing/{OLDER}@9d7ff68.csv", last)
    for attempt in (certificate, check_published):
        with pytest.raises(
            UpstreamError, match=rf"(?s){OLDER}@9d7ff68\.csv: git blob id .*make data"
        ):
            attempt(archive_folder)


@pytest.mark.parametrize(
    "name",
    [
        "flourishing/classified-chatgpt4.csv",
        "flourishing/summaryOld.csv",
        "cap/classification_test-L2-7B-cap-verified-v2.csv",
        "dataverse/classification_results-llama-2-7b-dv.csv",
    ],
)
def test_a_truncated_file_is_refused(archive_folder, name):
    whole = (archive_folder / name).read_bytes()
    replace_file(archive_folder, name, whole[: len(whole) // 2])
    with pytest.raises(UpstreamError, match=r"differ from the authors' pinned version") as error:
        certificate(archive_folder)
    assert name in str(error.value)
    assert "make data" in str(error.value)


def test_damaged_content_is_named_with_its_row(tmp_path):
    name = "cap/classification_test-L2-7B-cap-verified-v2.csv"
    header = "idCoding,idOrig,trueCat,predicted,isCorrect\n"
    for content, message in (
        (header + "164207,E,4,4,True\n1.64e+05,P,5,5,True\n", r"row 2: idCoding '1\.64e\+05'"),
        (header.replace("trueCat", "truth") + "1,E,4,4,True\n", r"lacks column\(s\) trueCat"),
    ):
        path = replace_file(tmp_path, name, content.encode())
        with pytest.raises(PublishedError, match=rf"{name}.*{message}.*; take the file"):
            certificate(tmp_path, manifest=with_made_up(name, path))


def test_a_folder_that_yields_nothing_is_no_success(archive_folder):
    for row in read_manifest():
        if not row.local_path.endswith("summaryOld.csv"):
            (archive_folder / row.local_path).unlink(missing_ok=True)
    status, report = check_published(archive_folder)
    assert status == 1
    assert "Nothing could be recomputed" in report


# --- the authors' tables of dimensions -----------------------------------------------------------


@pytest.fixture(scope="module")
def made_up_table(found):
    """A table in the layout of the authors': right where it can be recomputed, else made up."""
    known = found[(found["item"] != "") & (found["version"] == "")]
    known = known[(known["task"] == "flourishing") & known["quantity"].isin(STATISTICS)]
    known = known[known["split"] == "train"].pivot(
        index=["model", "item"], columns="quantity", values="recomputed"
    )
    known = known.reset_index().rename(columns={"model": "fname", "item": "dimension"})
    fnames = published_values()["model"][lambda names: names.str.startswith("classified-")].unique()
    rng = np.random.default_rng(0)
    parts = [known]
    for fname in sorted(set(fnames) - set(known["fname"])):
        part = pd.DataFrame(rng.random((46, len(STATISTICS))), columns=list(STATISTICS))
        parts.append(part.assign(fname=fname, dimension=TASK.labels))
    table = pd.concat(parts, ignore_index=True)
    return table[["dimension", *STATISTICS, "fname"]].assign(model="LLAMA", bpar=1, ft="NO")


def save(table, folder):
    path = replace_file(folder, STATS, b"")
    table.to_csv(path, index=False, na_rep="NA")
    return with_made_up(STATS, path)


def test_the_authors_table_of_dimensions_is_certified(archive_folder, opened, found, made_up_table):
    manifest = save(made_up_table, archive_folder)
    values = published_values(upstream=archive_folder, manifest=manifest)
    table = certified(values, found, archive_folder)
    rows = table[(table["exhibit"] == "dimensions, training posts") & (table["version"] == "")]
    assert len(rows) == 18 * 46 * len(STATISTICS) == 5796
    present = rows["model"].isin(list(opened.raw))
    assert set(rows.loc[present, "verdict"]) == {"exact"}
    assert set(rows.loc[~present, "verdict"]) <= {"not recomputable"}
    assert rows["source"].str.startswith(STATS).all()
    last = table[(table["version"] == LAST_VERSION) & (table["item"] != "")]
    assert len(last) == 46 * len(STATISTICS)
    wrong = made_up_table.copy()
    wrong.loc[wrong["fname"] == "classified-L32-1B-FT", "acc"] += 1e-6
    values = published_values(upstream=archive_folder, manifest=save(wrong, archive_folder))
    table = certified(values, found, archive_folder)
    apart = table[(table["verdict"] == "differs") & (table["version"] == "")]
    assert len(apart) == 46
    assert set(apart["quantity"]) == {"acc"}


def test_a_damaged_table_of_dimensions_is_named(archive_folder, made_up_table):
    unknown, no_number = made_up_table.copy(), made_up_table.astype("str")
    unknown.loc[4, "dimension"] = "joy"
    no_number.loc[3, "f1"] = "0,5"
    for table, message in (
        (made_up_table.iloc[:-1], "has 827 rows, 828 are due: it is cut"),
        (made_up_table.rename(columns={"prec": "precision"}), r"lacks column\(s\) prec"),
        (unknown, "row 5: unknown dimension 'joy'"),
        (no_number, "row 4: f1 is '0,5', no number"),
    ):
        manifest = save(table, archive_folder)
        with pytest.raises(PublishedError, match=rf"{STATS}.*{message}.*; take the file"):
            certificate(archive_folder, manifest=manifest)


def test_damaged_values_of_ours_are_named(values_folder):
    change(values_folder, "cap.csv", {"split": "train", "quantity": "n"}, "value", "many")
    with pytest.raises(PublishedError, match=r"data/published/cap\.csv, row 1: value is 'many'"):
        published_values(values_folder)
    change(values_folder, "cap.csv", {"split": "train", "quantity": "n"}, "kind", "rumour")
    with pytest.raises(PublishedError, match=r"cap\.csv, row 1: unknown kind 'rumour'"):
        published_values(values_folder)
    shutil.copy(PUBLISHED / "cap.csv", values_folder)
    double = pd.read_csv(values_folder / "cap.csv", dtype=str, keep_default_na=False)
    pd.concat([double, double.head(1)]).to_csv(values_folder / "cap.csv", index=False)
    with pytest.raises(PublishedError, match="two values for cap, train, Llama 2 7B FT, n"):
        published_values(values_folder)
    (values_folder / "cap.csv").unlink()
    with pytest.raises(PublishedError, match=r"data/published/cap\.csv is missing"):
        published_values(values_folder)
