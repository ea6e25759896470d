"""Uploads to a stand-in for the model hub, with what goes wrong there."""

import hub_server
import pytest
from hub_server import TOKEN
from huggingface_hub import constants
from share_example import finished_run

from helpers.share import ShareError, command, find, upload, write_folder
from helpers.share.card import write_card
from helpers.share.licences import licence_of

REPO = "ann/cap"


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in speaks LFS alone
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    with hub_server.running() as running:
        yield running


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def folder(run, tmp_path):
    trained = find(run, "cap")
    card = write_card(trained, "merged", licence_of(trained.spec), repo=REPO)
    return write_folder(trained, "merged", tmp_path / "model", card)


def sent(folder, hub, **options):
    return upload(folder, REPO, TOKEN, endpoint=hub.url, **options)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_files_arrive_in_one_commit(folder, hub):
    done = sent(folder, hub)
    assert hub.repos[REPO] == {"private": False, "files": content(folder)}
    assert hub.steps.count("commit") == 1
    assert (done.url, done.commit, done.private) == (f"{hub.url}/{REPO}", "a" * 40, False)
    assert len(hub.objects) == 1  # the codebook is larger than the limit and went by itself
    assert hub.metadata == [(folder / "README.md").read_text()]


def test_a_private_repository_is_asked_for(folder, hub):
    assert sent(folder, hub, private=True).private
    assert hub.repos[REPO]["private"]


def test_a_token_that_is_not_accepted(folder, hub):
    before = content(folder)
    with pytest.raises(ShareError, match=r"does not accept the token.*complete and unchanged") as e:
        upload(folder, REPO, "hf_secret", endpoint=hub.url)
    assert "hf_secret" not in str(e.value)
    assert content(folder) == before and hub.repos == {}


def test_a_repository_that_exists_is_not_written_into_unasked(folder, hub):
    hub.repos[REPO] = {"private": False, "files": {}}
    with pytest.raises(ShareError, match=r"exists on the hub already.*add --update"):
        sent(folder, hub)
    assert hub.repos[REPO]["files"] == {}
    sent(folder, hub, update=True)
    assert hub.repos[REPO]["files"] == content(folder)


def test_an_update_goes_neither_to_another_audience_nor_to_something_else(folder, hub):
    hub.repos[REPO] = {"private": False, "files": {}}
    with pytest.raises(ShareError, match="is public on the hub, and you asked for private"):
        sent(folder, hub, update=True, private=True)
    hub.repos[REPO] = {"private": False, "files": {"pytorch_model.bin": b"somebody's"}}
    with pytest.raises(ShareError, match="something that this command did not make"):
        sent(folder, hub, update=True)
    assert "commit" not in hub.steps
    with pytest.raises(ShareError, match="finds no such place"):
        upload(folder, "ann/nothing", TOKEN, endpoint=hub.url, update=True)


@pytest.mark.parametrize("step", ["preupload", "batch", "put"])
def test_a_connection_that_breaks_once_is_tried_again(folder, hub, step):
    hub.faults = {step: 0}
    sent(folder, hub)
    assert hub.steps.count(step) == 2 and hub.repos[REPO]["files"] == content(folder)


@pytest.mark.parametrize(
    ("step", "fault"), [("create", 0), ("commit", 0), ("commit", 500), ("batch", 403)]
)
def test_what_is_not_tried_again_is_said_and_nothing_is_lost(folder, hub, step, fault):
    hub.faults, before = {step: fault}, content(folder)
    expected = "may not write there" if fault == 403 else "Run the same command again"
    with pytest.raises(ShareError, match=expected):
        sent(folder, hub)
    assert content(folder) == before
    assert not hub.repos.get(REPO, {}).get("files")  # nothing half is visible
    already = step != "create"
    puts = hub.steps.count("put")
    sent(folder, hub, update=already)
    assert hub.repos[REPO]["files"] == before
    assert hub.steps.count("put") == max(puts, 1)  # what had arrived is not sent again


def test_nothing_unexpected_is_uploaded(folder, hub):
    (folder / "diary.md").write_text("private")
    with pytest.raises(ShareError, match=r"holds diary\.md"):
        sent(folder, hub)
    (folder / "diary.md").unlink()
    (folder / "vocab.json").write_text("{}")  # allowed, but not what was made
    with pytest.raises(ShareError, match=r"vocab\.json, which is not in SHA256SUMS"):
        sent(folder, hub)
    assert hub.steps == []


# --- the command ----------------------------------------------------------------------------------


def push(run, hub, monkeypatch, *options):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("helpers.runs.open_run", lambda *_: run)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    return command.main(["push", "--task", "cap", "--repo", REPO, *options])


def test_what_becomes_public_is_listed_and_has_to_be_agreed_to(run, hub, monkeypatch, capsys):
    assert push(run, hub, monkeypatch) == 1  # nobody to ask
    told = capsys.readouterr()
    assert "to be seen by EVERYBODY" in told.out and "model.safetensors" in told.out
    assert "add --yes" in told.err and hub.repos == {}

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert push(run, hub, monkeypatch) == 0 and hub.repos == {}

    assert push(run, hub, monkeypatch, "--yes", "--private") == 0
    assert "private" in capsys.readouterr().out.splitlines()[-1]
    assert hub.repos[REPO]["private"] and "README.md" in hub.repos[REPO]["files"]
