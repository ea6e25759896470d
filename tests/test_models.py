"""config/models.yaml and its loader: pinned revisions, near names, what a machine lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from helpers import models
from helpers.models import ModelError

READY = {"cuda": True, "online": True, "token": True}


@pytest.fixture
def registry(tmp_path: Path):
    """Write a registry with one changed model entry and return its path."""

    def write(**changes: object) -> Path:
        entry = {
            "title": "A model",
            "source": "hub",
            "repository": "someone/model",
            "revision": "0" * 39 + "a",
            "licence": "MIT",
            "chat_template": True,
            "context": 2048,
            "prompt": "full",
        } | changes
        path = tmp_path / "models.yaml"
        path.write_text(yaml.safe_dump({"models": {"one": entry}, "datasets": {}}))
        return path

    return write


def test_shipped_registry_is_complete():
    loaded = models.load_models()
    assert [key for key, spec in loaded.items() if spec.source == "offline"] == [
        "minilm-2l",
        "minilm-4l",
        "minilm-6l",
    ]
    assert [loaded[f"minilm-{n}l"].layers for n in (2, 4, 6)] == [2, 4, 6]
    hub = [spec for spec in loaded.values() if spec.source == "hub"]
    assert all(spec.parameters and spec.prompt == "full" for spec in hub)
    assert all(spec.gated == ("meta-llama" in spec.page) for spec in hub)
    assert {d.repository for d in models.load_datasets().values()} == {
        "siacus/dv_subject",
        "siacus/cap_pe_verified",
    }


def test_parameters_agree_with_the_models_names():
    named = 0
    for spec in models.load_models().values():
        size = re.search(r"([\d.]+)([mb])(-|$)", spec.key)
        if spec.source == "hub" and size:
            named += 1
            expected = float(size[1]) * {"m": 1e6, "b": 1e9}[size[2]]
            assert spec.parameters == pytest.approx(expected, rel=0.25), spec.key
    assert named == len([s for s in models.load_models().values() if s.source == "hub"])


def test_revisions_are_commits_of_different_repositories():
    specs = [s for s in models.load_models().values() if s.revision]
    assert len({s.revision for s in specs}) == len({s.repository for s in specs}) == len(specs)


def test_every_repository_of_seven_billion_or_more_needs_cuda():
    for spec in models.load_models().values():
        assert ("cuda" in spec.needs) == ((spec.parameters or 0) > 6e9), spec.key


@pytest.mark.parametrize(
    ("wrong", "near"), [("minilm-6", "minilm-6l"), ("llama-2-7b", "llama-2-7b-chat")]
)
def test_unknown_model_names_near_ones(wrong: str, near: str):
    with pytest.raises(ModelError, match=f"no model '{wrong}'.*did you mean.*{near}"):
        models.get_model(wrong)


def test_unknown_dataset_without_near_name_lists_all():
    with pytest.raises(ModelError, match="known: dv_subject, cap_pe_verified"):
        models.get_dataset("zzz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"revison": "x"}, r"'one'.*\n  revison: unknown key"),
        ({"revision": "main"}, r"\n  revision: .*pattern"),
        ({"repository": None}, "a hub model has a 'repository'"),
        ({"source": "offline", "layers": 2}, "an offline model has 'layers' and no"),
        ({"context": 0}, r"\n  context: .*greater than 0"),
        ({"needs": ["tpu"]}, r"\n  needs.0: "),
    ],
)
def test_bad_entry_is_named(registry, changes: dict[str, object], message: str):
    with pytest.raises(ModelError, match=message):
        models.load_models(registry(**changes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("models: [", "not valid YAML"),
        ("models: {}", "two sections"),
        ("models: {one: 3}\ndatasets: {}", "must be a mapping"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, content: str, message: str):
    path = tmp_path / "models.yaml"
    path.write_text(content)
    with pytest.raises(ModelError, match=rf"^models\.yaml.*{message}"):
        models.load_models(path)


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ModelError, match=r"gone\.yaml is missing"):
        models.load_models(tmp_path / "gone.yaml")


def test_model_without_revision_is_refused_with_remedy(registry):
    spec = models.get_model("one", registry(revision=None))
    with pytest.raises(ModelError, match=r"no pinned revision.*someone/model/commits/main"):
        models.pinned_revision(spec)
    assert "no pinned revision" in models.obstacles([spec], **READY, cached=["one"])[0]


def test_unknown_commit_says_whether_it_was_confirmed(registry):
    spec = models.get_model("one", registry())
    message = str(models.revision_not_found(spec))
    assert models.pinned_revision(spec) in message
    assert "never confirmed" in message


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"cuda": False}, ["NVIDIA GPU"]),
        ({"online": False}, ["cannot be reached"]),
        ({"token": False}, ["accept their licences"]),
        ({"cuda": False, "online": False, "token": False}, ["GPU", "reached", "HF_TOKEN"]),
        ({"online": False, "token": False, "cached": ["llama-2-7b-chat"]}, []),
        ({}, []),
    ],
)
def test_obstacles_name_what_the_machine_lacks(machine: dict[str, bool], words: list[str]):
    found = models.obstacles([models.get_model("llama-2-7b-chat")], **(READY | machine))
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_offline_model_runs_anywhere():
    spec = models.get_model("minilm-6l")
    assert models.obstacles([spec], cuda=False, online=False, token=False) == []
