"""Labellers and endpoints of a profile: merged with those of the package, checked by name."""

import pytest
import yaml

from helpers.data.prepared import load
from helpers.labelling.label import viewed
from helpers.labelling.methods import method
from helpers.models import get_model
from helpers.plans import Endpoint, Labelling, Verification
from helpers.profiles import PROFILES, REPO, ProfileError, load_profile, profile_names
from helpers.runs import open_run
from helpers.tasks import load_task


def load_demo(folder, **labelling):
    """Load the demo's profile with other settings under `labelling`."""
    content = yaml.safe_load((PROFILES / "demo.yaml").read_text())
    content["labelling"] |= labelling
    path = folder / "demo.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_profile(path)


def test_a_profile_adds_to_the_shipped_labellers_and_may_replace_them(tmp_path):
    shipped = yaml.safe_load((REPO / "config" / "labellers.yaml").read_text())
    own = {"encoder-v4": {"kind": "encoder", "method": "v2"}}
    own["mine"] = {"kind": "endpoint", "endpoint": "here", "model": "m", "method": "v4"}
    plan = load_demo(
        tmp_path, labellers=own, endpoints={"here": {"base_url": "http://localhost:1/v1"}}
    ).labelling
    assert set(plan.labellers) == {*shipped["labellers"], "mine"}
    assert set(plan.endpoints) == {*shipped["endpoints"], "here"}
    assert plan.labellers["encoder-v4"].method == "v2"
    assert plan.labellers["mine"].endpoint == "here"
    assert plan.budget_usd == 0 and plan.crowd["cap"][-1] == "served-codebook"


def test_a_profile_without_a_word_about_labelling_has_the_shipped_labellers(tmp_path):
    content = yaml.safe_load((PROFILES / "demo.yaml").read_text())
    del content["labelling"]
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump(content))
    plan = load_profile(path).labelling
    assert plan.labellers == load_profile("demo").labelling.labellers
    assert plan.crowd == plan.compared == {}


WRONG = {
    "crowd": ({"crowd": {"cap": ["encoder-v1", "encoder-v9"]}}, r"'cap': no labeller encoder-v9"),
    "compared": ({"compared": {"cap": ["gpt-9"]}}, r"'cap': no labeller gpt-9"),
    "endpoint": (
        {"labellers": {"x": {"kind": "endpoint", "endpoint": "opnai", "method": "v4"}}},
        r"labeller 'x': no endpoint 'opnai'",
    ),
    "tuned on gold": (
        {"crowd": {"cap": ["served-finetuned"]}},
        r"crowd of 'cap': a model that was tuned on gold labels may not label.*under compared",
    ),
    "no endpoint": (
        {"compared": {"cap": ["encoder-v1"]}},
        r"compared of 'cap': encoder-v1 has no endpoint",
    ),
    "task": (
        {"crowd": {"capp": ["encoder-v1"]}},
        r"labelling.crowd names capp, which is no task of this profile: use cap, dataverse",
    ),
    "misspelt": ({"budget": 3}, r"labelling\.budget: unknown key"),
    "misspelt labeller": (
        {"labellers": {"x": {"kind": "encoder", "method": "v4", "viev": "text"}}},
        r"labelling\.labellers\.x\.viev: unknown key",
    ),
    "misspelt endpoint": (
        {"endpoints": {"x": {"base_url": "http://localhost:1", "api_key": "sk"}}},
        r"labelling\.endpoints\.x\.api_key: unknown key",
    ),
    "list": ({"labellers": ["encoder-v1"]}, r"labelling\.labellers: Input should be a valid dict"),
    "method": (
        {"labellers": {"x": {"kind": "encoder", "method": "v5"}}},
        r"labelling\.labellers\.x\.method: Input should be 'v1'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_exist_is_refused_by_name(tmp_path, case):
    settings, message = WRONG[case]
    with pytest.raises(ProfileError, match=message):
        load_demo(tmp_path, **settings)


@pytest.mark.parametrize("both", [{}, {"base_url": "http://localhost:1/v1", "serve": "codebook"}])
def test_an_endpoint_has_an_address_or_is_served(both):
    with pytest.raises(ValueError, match="give either base_url or serve"):
        Endpoint(**both)


def test_tasks_may_be_reviewed_in_a_mode_of_their_own():
    plan = Verification(mode="reject", mode_of_task={"flourishing": "correct"})
    assert [plan.mode_for(task) for task in ("cap", "flourishing")] == ["reject", "correct"]
    with pytest.raises(ValueError, match="reject"):
        Verification(mode_of_task={"cap": "rejct"})
    assert Labelling().responses == "live"


# Of the package: not those that `make new-task` made.
SHIPPED = [name for name in profile_names() if load_profile(name).data != "own"]


# The profile `published` runs chapter 08 alone and labels nothing.
@pytest.mark.parametrize("name", sorted(set(SHIPPED) - {"published"}))
def test_every_shipped_labeller_fits_the_tasks_that_it_labels(name):
    run = open_run(name)
    plan = run.profile.labelling
    assert set(plan.crowd) <= set(run.profile.tasks) >= set(plan.compared)
    for task_name in run.profile.tasks:
        task = load_task(task_name)
        assert plan.crowd[task_name]
        for labeller_name in plan.crowd[task_name] + plan.compared.get(task_name, []):
            labeller = plan.labellers[labeller_name]
            style = "full"
            if labeller.kind == "local" or (
                labeller.endpoint and plan.endpoints[labeller.endpoint].serve
            ):
                style = get_model(labeller.model).prompt
            questions = next(method(labeller.method, task, style=style)())
            assert questions and all(q.task == task_name for q in questions)
            if labeller.view == "subject":
                # Of the other sources not all texts have a subject line, or none.
                assert run.profile.source(task_name) == "embedded"
                assert all(viewed(load(run, task).frame, "subject"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_compared_labeller_is_behind_an_endpoint(name):
    plan = load_profile(name).labelling
    compared = [plan.labellers[x] for names in plan.compared.values() for x in names]
    assert all(labeller.kind == "endpoint" for labeller in compared)
