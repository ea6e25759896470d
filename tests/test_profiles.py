"""Profiles refuse what they do not know; every shipped profile is valid."""

from types import SimpleNamespace

import pytest
import yaml

from helpers.experiments import settings_for
from helpers.models import get_model
from helpers.plans import Speed
from helpers.profiles import PROFILES, ProfileError, load_profile, profile_names
from helpers.runs import open_run
from helpers.tasks import load_task


@pytest.fixture
def demo() -> dict:
    return yaml.safe_load((PROFILES / "demo.yaml").read_text())


def write(tmp_path, content: dict):
    path = tmp_path / f"{content.get('name', 'demo')}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("name", profile_names())
def test_shipped_profiles_are_valid_and_name_known_tasks(name):
    profile = load_profile(name)
    run = open_run(name)
    for task in profile.tasks:
        load_task(task)
        for key in profile.plan(task).models:
            settings = settings_for(run, task, get_model(key))
            assert (settings.seed, settings.threads) == (profile.seed, profile.threads)


def test_the_default_profile_needs_no_network_and_fixes_its_arithmetic(demo):
    assert demo["offline"] is True
    assert demo["device"] == "cpu"
    assert demo["dtype"] == "float32" and isinstance(demo["threads"], int)


def test_a_misspelt_key_is_refused_and_named(tmp_path, demo):
    demo["bootstraps"] = demo.pop("bootstrap")
    with pytest.raises(ProfileError, match=r"bootstraps: unknown key") as error:
        load_profile(write(tmp_path, demo))
    assert "bootstrap: Field required" in str(error.value)


@pytest.mark.parametrize(
    ("cores", "gib", "workers"), [(1, 64, 1), (2, 64, 2), (16, 64, 16), (16, 4, 2), (2, 0.5, 1)]
)
def test_workers_follow_cores_and_memory(cores, gib, workers, monkeypatch):
    free = SimpleNamespace(available=int(gib * 2**30), total=2**40)
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    monkeypatch.setattr("helpers.limits._read", lambda _: "")  # no container's limits
    for name in ("MEM_LIMIT", "CPU_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert load_profile("demo").workers == workers


def test_how_predictions_are_computed_is_a_setting(tmp_path, demo):
    demo["prediction"] = {"autocast": "auto", "batch_tokens": 512}
    assert load_profile(write(tmp_path, demo)).prediction == Speed(
        autocast="auto", batch_tokens=512
    )
    demo["prediction"] = {"autocats": "auto"}
    with pytest.raises(ProfileError, match=r"prediction\.autocats: unknown key"):
        load_profile(write(tmp_path, demo))


def test_a_misspelt_nested_key_is_refused_and_named(tmp_path, demo):
    demo["limit"] = {"trian": 5}
    with pytest.raises(ProfileError, match=r"limit\.trian: unknown key"):
        load_profile(write(tmp_path, demo))


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(ProfileError, match=r"no profile 'dmeo': choose one of .*demo"):
        load_profile("dmeo")


def test_a_task_without_plan_is_refused(tmp_path):
    with pytest.raises(ProfileError, match=r"no finetuning\.tasks\.weather"):
        load_profile("demo", ["weather"])


def test_the_name_must_be_that_of_the_file(tmp_path, demo):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(demo))
    with pytest.raises(ProfileError, match=r"must be that of the file"):
        load_profile(path)


STUDIES = {
    "no such task": (
        {"training_size": {"models": {"weather": ["minilm-6l"]}}},
        r"training_size\.models names weather, which is no task",
    ),
    "labels of no task": (
        {"training_size": {"labels": {"weather": ["verified"]}}},
        r"training_size\.labels names weather",
    ),
    "model without plan": (
        {"training_size": {"models": {"cap": ["minilm-12l"]}}},
        r"only name models of finetuning\.tasks\.cap, not minilm-12l",
    ),
    "parts of no task": (
        {"what_to_finetune": {"tasks": {"weather": {"methods": ["all"]}}}},
        r"what_to_finetune\.tasks names weather",
    ),
    "variant without plan": (
        {"what_to_finetune": {"causal": {"cap": {"model": "gpt-5", "variants": {"a": {}}}}}},
        r"only name models of finetuning\.tasks\.cap, not gpt-5",
    ),
    "too few sizes": ({"training_size": {"sizes": 2}}, r"training_size\.sizes"),
    "misspelt": ({"training_size": {"seed": 2}}, r"training_size\.seed: unknown key"),
}


@pytest.mark.parametrize("case", STUDIES)
def test_a_study_of_what_the_profile_lacks_is_refused_by_name(tmp_path, demo, case):
    changed, message = STUDIES[case]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(demo | {"name": "mine"} | changed))
    with pytest.raises(ProfileError, match=message):
        load_profile(path)
