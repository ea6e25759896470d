"""A model served on this machine: answers over HTTP, and ends with whoever started it."""

import contextlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from run_example import small_run

from helpers import offline_model
from helpers.experiments import archive_responses, crowd_cost, crowd_texts, endpoints
from helpers.experiments.answers import endpoint_title
from helpers.labelling import serving
from helpers.labelling.endpoint import EndpointLabeller, MissingResponses
from helpers.labelling.label import label_texts
from helpers.labelling.serving import ServingError, identity_of, serve
from helpers.labelling.store import ResponseStore
from helpers.plans import Endpoint, Labeller
from helpers.tasks import load_task

CAP = load_task("cap")
NAME = "codebook-minilm-2l"
MEMBER = Labeller(
    kind="endpoint", endpoint="served", model="minilm-2l", method="v4", view="subject", max_tokens=4
)
ENDPOINT = Endpoint(serve="codebook", api="completions", concurrency=2)
PARENT = """
import sys
from pathlib import Path
from helpers.labelling import serving
with serving.serve(Path(sys.argv[1]), "tiny", Path(sys.argv[2])) as served:
    print(served.base_url, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return offline_model.build(2, tmp_path_factory.mktemp("models") / "minilm-2l")


@pytest.fixture(scope="module")
def served(folder, tmp_path_factory):
    """One server for all tests of this module; that it ends is looked at when they are done."""
    with serve(folder, NAME, tmp_path_factory.mktemp("logs") / "server.log") as running:
        (process,) = servers(psutil.Process())
        yield running
    assert ended(process)


def servers(parent: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [p for p in parent.children() if "helpers.labelling.serving" in p.cmdline()]
    return []


def ended(process: psutil.Process, wait: float = 60) -> bool:
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(wait)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_the_served_model_labels_over_http(served, tmp_path):
    texts = crowd_texts(small_run(tmp_path, train=6, test=2), "cap")
    with ResponseStore(tmp_path / "store.sqlite") as store:
        labeller = MEMBER.model_copy(update={"model": NAME})
        backend = EndpointLabeller(
            labeller,
            ENDPOINT,
            store,
            name="x",
            base_url=served.base_url,
            identity=served.identity,
            offline=True,
        )
        found = label_texts(CAP, texts, labeller, backend, name="x", style="short")
        rows = list(store.rows())
    assert len(found) == len(rows) == len(texts)
    # It has learnt nothing: what it writes is seldom a label, and then no label is made of it.
    assert set(found["status"]) <= {"ok", "off_list", "unparsed", "truncated"}
    assert {row.status for row in rows} <= {"ok", "truncated"}
    assert {row.endpoint for row in rows} == {served.identity}
    assert all(row.prompt_tokens and row.completion_tokens <= 4 and row.cost == 0 for row in rows)
    assert str(served.log.parent) not in str(rows)


def test_a_model_is_known_by_its_content_not_its_place(folder, served, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert identity_of(copy) == identity_of(folder) == served.identity
    assert served.base_url.split(":")[-1].split("/")[0] not in served.identity
    with open(copy / "tokenizer.json", "a") as handle:
        handle.write("\n")
    assert identity_of(copy) != served.identity


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ServingError, match=r"no model in cap/: run the chapter that trains it"):
        identity_of(tmp_path / "cap")


def test_a_broken_model_shows_what_the_server_said(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    before = servers(psutil.Process())
    with (
        pytest.raises(ServingError, match=r"(?s)server ended at once.*safetensors") as error,
        serve(broken, "tiny", tmp_path / "logs" / "server.log"),
    ):
        pytest.fail("the server has no model to serve")
    assert (tmp_path / "logs" / "server.log").read_text().splitlines()[-1] in str(error.value)
    assert servers(psutil.Process()) == before


def test_a_server_that_does_not_answer_in_time_is_ended(folder, tmp_path):
    before = servers(psutil.Process())
    with (
        pytest.raises(ServingError, match="did not answer within 0 s"),
        serve(folder, "tiny", tmp_path / "server.log", wait=0),
    ):
        pytest.fail("nobody waited")
    assert servers(psutil.Process()) == before


def test_an_error_in_the_block_ends_the_server(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "_wait_until_up", lambda *_: None)
    before, started = servers(psutil.Process()), []
    with (
        pytest.raises(ZeroDivisionError),
        serve(folder, "tiny", tmp_path / "server.log"),
    ):
        started = [p for p in servers(psutil.Process()) if p not in before]
        raise ZeroDivisionError
    assert len(started) == 1 and ended(started[0], 0)


@pytest.mark.parametrize("when", ["while it starts", "when it answers"])
def test_the_server_ends_when_its_parent_is_killed(folder, tmp_path, when):
    command = [sys.executable, "-c", PARENT, str(folder), str(tmp_path / "server.log")]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if when == "when it answers":
            assert parent.stdout.readline().startswith("http://127.0.0.1:")
        while not (found := servers(psutil.Process(parent.pid))):
            assert parent.poll() is None
        parent.kill()
        parent.wait()
        assert ended(found[0])
    finally:
        parent.kill()
        parent.communicate()


# --- as a member of a crowd -----------------------------------------------------------------------


@pytest.fixture
def member_run(folder, tmp_path):
    """A run whose crowd is the served model; gives a function that opens one below a folder."""

    def opened(name: str, **labelling):
        plan = {"endpoints": {"served": ENDPOINT}, "labellers": {"served": MEMBER}, **labelling}
        plan |= {"crowd": {"cap": ["served"]}, "budget_usd": 0}
        return small_run(tmp_path / name, train=5, test=2, labelling=plan)

    return opened


def ask(run):
    with endpoints.open_store(run) as store:
        texts = crowd_texts(run, "cap")
        return endpoints.ask_endpoint(run, CAP, "served", texts, store, progress=False)


def test_a_server_is_started_only_for_answers_that_are_not_there(
    member_run, folder, served, monkeypatch
):
    started = []

    @contextlib.contextmanager
    def instead(model, name, log, **options):
        started.append((Path(model), name, options))
        yield served

    monkeypatch.setattr(endpoints, "serve", instead)
    run = member_run("first")
    assert crowd_cost(run)["usd"].tolist() == [0.0]
    model = endpoints.codebook_folder(run, "cap", "minilm-2l") / "model"
    shutil.copytree(folder, model)
    first = ask(run)
    assert started == [(model, NAME, {"threads": 1, "device": "cpu"})]
    assert ask(run).equals(first)
    assert len(started) == 1
    cost = crowd_cost(run)
    assert cost[["requests", "in_store", "usd"]].iloc[0].tolist() == [7, 7, 0.0]
    archive_responses(run)

    # Elsewhere there is no model at all, only what it said.
    archive = run.root / "responses"
    again = member_run("second", responses="replay", archive=str(archive))
    assert ask(again).equals(first)
    assert len(started) == 1

    # Another model's answers beside them: which one is meant?
    with open(model / "tokenizer_config.json", "a") as handle:
        handle.write("\n")
    monkeypatch.setattr(endpoints, "serve", lambda *a, **k: contextlib.nullcontext(replace(served)))
    ask(run)
    archive_responses(run)
    third = member_run("third", responses="replay", archive=str(archive))
    with pytest.raises(MissingResponses, match=rf"answers of 2 versions of {NAME} for cap"):
        ask(third)
    fourth = member_run("fourth", responses="replay", archive=str(folder))
    with pytest.raises(MissingResponses, match=f"answers of 0 versions of {NAME}"):
        ask(fourth)


def test_stand_ins_are_named_as_what_they_are(member_run):
    tuned = Endpoint(serve="finetuned", api="completions")
    run = member_run("run")
    assert endpoint_title(run, "served") == "minilm-2l, codebook only, over HTTP"
    plan = run.profile.labelling.model_copy(update={"endpoints": {"served": tuned}})
    run = replace(run, profile=run.profile.model_copy(update={"labelling": plan}))
    assert endpoint_title(run, "served") == "minilm-2l, fine-tuned, over HTTP (stand-in)"
    folder = endpoints.served_folder(run, "cap", MEMBER)
    assert folder.relative_to(run.root).as_posix() == "models/cap/minilm-2l-ft/model"
