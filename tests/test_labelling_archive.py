"""The archive of responses: exact both ways, the same bytes each time, and checked line by line."""

import gzip
import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_worker import response

from helpers.labelling.archive import (
    ArchiveError,
    export_responses,
    file_name,
    import_responses,
)
from helpers.labelling.questions import Response, sha256
from helpers.labelling.store import ResponseStore

FILE = Path("cap", "a--model-8b", "v4-majors.jsonl.gz")


@pytest.fixture
def store(tmp_path):
    with ResponseStore(tmp_path / "responses.sqlite") as opened:
        yield opened


@pytest.fixture
def empty(tmp_path):
    with ResponseStore(tmp_path / "empty.sqlite") as opened:
        yield opened


def archive_of(folder, *responses, name="store", **options):
    """Save responses to a new store and export it."""
    with ResponseStore(folder / f"{name}.sqlite") as store:
        store.add(responses).result()
        return export_responses(store, folder / "archive", **options)


def lines_of(path):
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def rewrite(path, lines):
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


# --- export ---------------------------------------------------------------------------------


def test_a_file_for_each_task_model_and_step(tmp_path, store):
    store.add(
        [
            response(1),
            response(2),
            response(3, model="gpt-4-0613"),
            response(4, method="v1", step="topic 6"),
            response(5, task="dataverse"),
        ]
    ).result()
    files = export_responses(store, tmp_path / "archive")
    assert [path.relative_to(tmp_path / "archive").as_posix() for path in files] == [
        "cap/a--model-8b/v1-topic-6.jsonl.gz",
        "cap/a--model-8b/v4-majors.jsonl.gz",
        "cap/gpt-4-0613/v4-majors.jsonl.gz",
        "dataverse/a--model-8b/v4-majors.jsonl.gz",
    ]
    assert [len(lines_of(path)) for path in files] == [1, 2, 1, 1]
    assert export_responses(store, tmp_path / "other", "dataverse") == [
        tmp_path / "other" / "dataverse" / FILE.relative_to("cap")
    ]


def test_a_line_is_a_response_without_the_text(tmp_path):
    (path,) = archive_of(tmp_path, response(1, text_sha256=sha256("The secret text.")))
    (line,) = lines_of(path)
    row = json.loads(line)
    assert row == asdict(response(1, text_sha256=sha256("The secret text.")))
    assert row["model"] == "a/model:8b"
    assert "secret" not in line


def test_the_same_responses_give_the_same_bytes(tmp_path):
    some = [response(n) for n in range(200)]
    (one,) = archive_of(tmp_path / "a", *some)
    (two,) = archive_of(tmp_path / "b", *random.Random(1).sample(some, len(some)))
    assert one.read_bytes() == two.read_bytes()
    keys = [json.loads(line)["key"] for line in lines_of(one)]
    assert keys == sorted(keys)


def test_exporting_again_adds_what_is_new(tmp_path, store):
    folder = tmp_path / "archive"
    store.save(response(1)).result()
    (path,) = export_responses(store, folder)
    first = path.read_bytes()
    assert export_responses(store, folder) == [path]
    assert path.read_bytes() == first
    store.save(response(2)).result()
    export_responses(store, folder)
    assert len(lines_of(path)) == 2
    assert [p for p in folder.rglob("*") if p.is_file()] == [path]


def test_errors_are_exported_on_request_only(tmp_path, store, empty):
    failed = response(2, status="error", content=None, error="HTTP 500", step="topic 6")
    store.add([response(1), failed]).result()
    assert [path.name for path in export_responses(store, tmp_path / "a")] == [FILE.name]
    assert len(export_responses(store, tmp_path / "b", errors=True)) == 2
    assert import_responses(empty, tmp_path / "b") == 2
    assert empty.get([failed.key])[failed.key] == failed


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("meta-llama/Llama-3.1-8B", "meta-llama--Llama-3.1-8B"),
        ("llama3.1:8b", "llama3.1-8b"),
        ("../../etc", "--..--etc"),
        ("..", "-"),
        ("", "-"),
        ("C:\\models\\a b", "C--models-a-b"),
        ("mödel", "m-del"),
    ],
)
def test_names_are_safe_for_folders(model, folder):
    path = file_name("cap", model, "v4", "0123")
    assert path == Path("cap", folder, "v4-0123.jsonl.gz")


def test_models_whose_folders_fall_together_are_both_kept(tmp_path, empty):
    some = [response(n, model=model) for n, model in enumerate(["a:b", "a-b", "A-b"])]
    (path,) = archive_of(tmp_path, *some)
    assert len(lines_of(path)) == 3
    assert import_responses(empty, tmp_path / "archive") == 3
    assert {row.model for row in empty.rows()} == {"a:b", "a-b", "A-b"}


@pytest.mark.parametrize("other", [None, {"content": "other"}, {"status": "error"}])
def test_an_archive_that_knows_more_is_not_overwritten(tmp_path, store, other):
    (path,) = archive_of(tmp_path, response(1), response(2))
    before = path.read_bytes()
    store.add([response(1), *([response(2, **other)] if other else [])]).result()
    with pytest.raises(ArchiveError, match=r"line \d: this answer is not in the store .*Import"):
        export_responses(store, tmp_path / "archive", errors=True)
    assert path.read_bytes() == before


# --- import ---------------------------------------------------------------------------------


def test_an_archive_comes_back_as_it_was(tmp_path, empty):
    some = [response(n, model=f"m{n % 3}", content="ü\n\u2028\0😀") for n in range(50)]
    archive_of(tmp_path, *some)
    assert import_responses(empty, tmp_path / "archive") == 50
    assert import_responses(empty, tmp_path / "archive") == 0
    assert empty.get([row.key for row in some]) == {row.key: row for row in some}
    again = export_responses(empty, tmp_path / "again")
    for path in again:
        first = tmp_path / "archive" / path.relative_to(tmp_path / "again")
        assert first.read_bytes() == path.read_bytes()


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.none() | st.integers(0, 2**62)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | TEXT, st.lists, max_leaves=5)
RESPONSES = st.builds(
    replace,
    st.just(response(1)),
    content=TEXT,
    finish_reason=st.none() | TEXT,
    error=st.none() | TEXT,
    sampling=TEXT,
    text_id=TEXT,
    status=st.sampled_from(["ok", "refused", "truncated"]),
    confidence=NUMBER,
    cost=NUMBER,
    seconds=st.floats(0, 1e9),
    prompt_tokens=COUNT,
    attempts=st.integers(1, 100),
    extra=st.dictionaries(TEXT, JSON, max_size=3),
)


@given(st.lists(RESPONSES, min_size=1, max_size=12))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_response_survives_store_archive_and_store(tmp_path_factory, some):
    folder = tmp_path_factory.mktemp("any")
    given_rows = {sha256(str(n)): replace(row, key=sha256(str(n))) for n, row in enumerate(some)}
    archive_of(folder, *given_rows.values())
    with ResponseStore(folder / "second.sqlite") as store:
        import_responses(store, folder / "archive")
        assert store.get(list(given_rows)) == given_rows


def changed(**values):
    return lambda row: json.dumps({**row, **values})


def without(name):
    return lambda row: json.dumps({k: v for k, v in row.items() if k != name})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda row: json.dumps(row)[:50], "Invalid JSON"),
        (lambda row: "", "Invalid JSON"),
        (lambda row: "[1]", "object"),
        (without("model"), "model: Field required"),
        (changed(colour="red"), "colour: Unexpected"),
        (changed(status="unparsed"), "status: Input should be 'ok', 'refused'"),
        (changed(content=None), "no content"),
        (changed(content=5), "content: Input should be a valid string"),
        (changed(confidence="0.5"), "confidence: Input should be a valid number"),
        (changed(confidence=float("nan")), "confidence: Input should be a finite number"),
        (changed(prompt_tokens=1.5), "prompt_tokens: "),
        (changed(attempts=True), "attempts: Input should be a valid integer"),
        (changed(extra=[]), "extra: "),
        (changed(key="../../etc"), "key: String should match pattern"),
        (changed(text_sha256="ABC"), "text_sha256: String should match pattern"),
        (lambda row: json.dumps({**row, "content": "other"}), "differs from line 3.*same key"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_of_its_file_is_imported(
    tmp_path, empty, damage, message
):
    (path,) = archive_of(tmp_path, *(response(n) for n in range(5)))
    lines = lines_of(path)
    at = 3 if "differs" in message else 2
    lines.insert(at, damage(json.loads(lines[2])))
    rewrite(path, lines)
    with pytest.raises(ArchiveError) as caught:
        import_responses(empty, tmp_path / "archive")
    caught.match(rf"{path}, line {at + 1}: .*{message}")
    caught.match("nothing of (it|this file) was imported")
    assert list(empty.rows()) == []


def test_the_same_line_twice_does_no_harm(tmp_path, empty):
    (path,) = archive_of(tmp_path, response(1))
    rewrite(path, lines_of(path) * 2)
    assert import_responses(empty, tmp_path / "archive") == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip", "empty"])
def test_a_damaged_file_is_named_and_nothing_of_it_is_imported(tmp_path, empty, damage):
    (path,) = archive_of(tmp_path, *(response(n) for n in range(500)))
    packed = bytearray(path.read_bytes())
    if damage == "flipped":
        packed[len(packed) // 2] ^= 255
    path.write_bytes(
        {"cut": packed[:-100], "flipped": packed, "not gzip": b"{}\n", "empty": b""}[damage]
    )
    with pytest.raises(ArchiveError, match=rf"{path}.*[Tt]ake the file from the archive again"):
        import_responses(empty, tmp_path / "archive")
    assert list(empty.rows()) == []


def test_files_before_the_wrong_one_stay_imported(tmp_path, empty):
    first, second = archive_of(tmp_path, response(1, model="a"), response(2, model="b"))
    second.write_bytes(b"no")
    with pytest.raises(ArchiveError):
        import_responses(empty, tmp_path / "archive")
    assert [row.model for row in empty.rows()] == ["a"]
    assert first.exists()


def test_an_answer_that_contradicts_the_store_is_named(tmp_path, empty):
    (path,) = archive_of(tmp_path, *(response(n) for n in range(5)))
    empty.save(response(3, content="other")).result()
    number = [json.loads(line)["text_id"] for line in lines_of(path)].index("3") + 1
    with pytest.raises(
        ArchiveError, match=rf"line {number}: the store .*another answer.*new store"
    ):
        import_responses(empty, tmp_path / "archive")
    assert len(list(empty.rows())) == 1


def test_an_archived_answer_replaces_an_error_of_the_store(tmp_path, empty):
    archive_of(tmp_path, response(1))
    empty.save(response(1, status="error", content=None, error="x", cost=None)).result()
    assert import_responses(empty, tmp_path / "archive") == 1
    (row,) = empty.rows()
    assert (row.status, row.attempts, row.cost) == ("ok", 2, 0.25)


def test_a_missing_archive_is_explained_and_an_empty_one_is_empty(tmp_path, empty):
    with pytest.raises(ArchiveError, match=r"no archive of responses at .*responses: live"):
        import_responses(empty, tmp_path / "nowhere")
    (tmp_path / "archive").mkdir()
    assert import_responses(empty, tmp_path / "archive") == 0
    assert export_responses(empty, tmp_path / "archive") == []


def test_imported_rows_are_responses(tmp_path, empty):
    archive_of(tmp_path, response(1, cost=0, confidence=1))  # written as integers
    import_responses(empty, tmp_path / "archive")
    (row,) = empty.rows()
    assert type(row) is Response
    assert (row.cost, row.confidence) == (0.0, 1.0)
