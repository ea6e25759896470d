"""What is pushed can be loaded elsewhere and served: real weights, fresh processes."""

import os
import re
import signal
import subprocess
import sys

import pandas as pd
import psutil
import pytest
import yaml
from share_example import finished_run

from helpers import offline_model
from helpers.data.prepared import read_task
from helpers.labelling import wire
from helpers.labelling.endpoint import EndpointLabeller
from helpers.labelling.label import label_texts
from helpers.labelling.methods import method
from helpers.labelling.questions import Asked
from helpers.labelling.store import ResponseStore
from helpers.plans import Endpoint, Labeller
from helpers.prediction import predict
from helpers.profiles import PROFILES, load_profile
from helpers.share import ShareError, find, serving, write_folder
from helpers.share.card import write_card
from helpers.share.licences import licence_of
from helpers.tasks import load_task

CAP = load_task("cap")
TEXTS = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose model is a real one (untrained: it answers, if not well)."""
    base = offline_model.build(2, tmp_path_factory.mktemp("base") / "minilm-2l")
    return finished_run(tmp_path_factory.mktemp("runs"), weights=base)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    trained = find(run, "cap")
    card = write_card(trained, "merged", licence_of(trained.spec))
    return write_folder(trained, "merged", tmp_path_factory.mktemp("shared") / "model", card)


def code_of(folder):
    """The Python lines of a card, with the folder in its place."""
    blocks = re.findall(r"```python\n(.+?)```", (folder / "README.md").read_text(), re.DOTALL)
    return [block.replace('"FOLDER"', repr(str(folder))) for block in blocks]


def test_the_card_s_lines_give_the_answers_of_the_run(run, folder):
    texts = read_task(run, CAP)[:TEXTS]
    ours = predict(CAP, texts, find(run, "cap").part("merged"))
    with_package = code_of(folder)[0].replace("texts = ", "shown = ", 1)
    names = {"texts": texts}
    exec(with_package, names)
    assert names["found"]["labels"].tolist() == ours["labels"].tolist()
    assert len(set(ours["labels"])) > 1  # one answer for all texts would prove nothing


@pytest.mark.full
def test_without_the_package_transformers_gives_the_same_free_answers(run, folder, tmp_path):
    texts = read_task(run, CAP)[:TEXTS]
    free = predict(CAP, texts, folder, constrained=False, max_new_tokens=8)
    start, asked = code_of(folder)[1].split("prompt = ")
    asked = asked.replace('"The text to be coded."', "text")
    lines = "\n".join(f"    {line}" for line in f"prompt = {asked}".splitlines())
    script = tmp_path / "alone.py"
    hide = 'import sys, json\nsys.modules["helpers"] = None\n'
    script.write_text(f"{hide}{start}\nfor text in json.load(sys.stdin):\n{lines}\n")
    alone = subprocess.run(
        [sys.executable, str(script)],
        input=pd.Series(texts["text"]).to_json(orient="values"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr
    written = [line.split() for line in alone.stdout.splitlines()]
    assert len(written) == TEXTS
    assert written == [answer.split() for answer in free["answer"]]


# --- the server -----------------------------------------------------------------------------------

HEALTHY = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_ends_with_its_block_and_holds_its_port_until_then(
    run, tmp_path, port, monkeypatch
):
    model = serving.from_run(find(run, "cap"))
    started = [sys.executable, "-c", HEALTHY, str(port)]
    monkeypatch.setattr(serving, "command_of", lambda *_: started)
    monkeypatch.setattr(serving, "_has_cuda", lambda: False)
    with (
        pytest.raises(KeyboardInterrupt),
        serving.running(model, tmp_path / "log", port=port) as process,
    ):
        with pytest.raises(ShareError, match=f"port {port} cannot be used.*--port {port + 1}"):
            serving.check_port("127.0.0.1", port)
        raise KeyboardInterrupt
    assert process.poll() is not None
    serving.check_port("127.0.0.1", port)
    assert (tmp_path / "served" / "cap-minilm-2l-ft").is_symlink()


def test_vllm_is_taken_where_it_can_serve_the_model(run, tmp_path, monkeypatch):
    own = serving.from_run(find(run, "cap"))
    stock = serving.Model("ann/model", own.told)
    adapter = serving.Model("ann/model", own.told, tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"r": 64}')
    monkeypatch.setattr(serving, "find_spec", lambda _: object())
    monkeypatch.setattr(serving, "_has_cuda", lambda: True)
    assert serving.choose_engine(own, "auto") == ("transformers", "cuda")
    assert serving.choose_engine(adapter, "auto") == ("vllm", "cuda")
    with pytest.raises(ShareError, match="does not know the offline model's architecture"):
        serving.choose_engine(own, "vllm")
    line = " ".join(serving.command_of(adapter, "vllm", "cuda", "127.0.0.1", 8001))
    assert f"--model ann/model --dtype float32 --enable-lora --lora-modules {own.name}=" in line
    assert line.endswith("--max-lora-rank 64") and "--host 127.0.0.1" in line
    monkeypatch.setattr(serving, "_has_cuda", lambda: False)
    assert serving.choose_engine(stock, "auto") == ("transformers", "cpu")
    with pytest.raises(ShareError, match="merge it first"):
        serving.choose_engine(adapter, "auto")
    with pytest.raises(ShareError, match="needs an NVIDIA GPU"):
        serving.choose_engine(stock, "vllm")


def test_a_folder_that_was_not_pushed_is_not_served(folder, tmp_path):
    assert serving.from_folder(folder).name == "cap-minilm-2l-ft"
    with pytest.raises(ShareError, match=r"is no shared model: it has no sharing\.json"):
        serving.from_folder(tmp_path)


def test_the_lines_that_are_printed_make_a_labeller(run, tmp_path):
    lines = yaml.safe_load(serving.profile_lines(serving.from_run(find(run, "cap")), 8001))
    content = yaml.safe_load((PROFILES / "demo.yaml").read_text(encoding="utf-8"))
    content["name"] = "mine"
    content["labelling"] |= lines["labelling"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    plan = load_profile(tmp_path / "mine.yaml").labelling
    name = "cap-minilm-2l-ft"
    endpoint, labeller = plan.endpoints[name], plan.labellers[name]
    assert (endpoint.prompt, labeller.model, plan.crowd["cap"]) == ("short", name, [name])
    text = Asked("a", "A question.", _question(labeller, endpoint))
    sent = wire.body(text, labeller, endpoint)
    assert sent["prompt"] == "A question. topic :" and "stop" not in sent


def _question(labeller, endpoint):
    steps = method(labeller.method, CAP, style=endpoint.prompt)()
    return next(steps)[0]


@pytest.mark.full
def test_a_labeller_gets_real_answers_and_ctrl_c_ends_the_server(run, folder, tmp_path, port):
    command = [sys.executable, "-m", "helpers.share", "serve", "--folder", str(folder)]
    server = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        said = []
        while not said or "Ctrl-C ends it" not in said[-1]:
            said.append(server.stdout.readline())
            assert server.poll() is None, "".join(said)
        children = psutil.Process(server.pid).children()
        texts = read_task(run, CAP)[:TEXTS]
        name = "cap-minilm-2l-ft"
        assert any(f"http://127.0.0.1:{port}/v1" in line for line in said)
        labeller = Labeller(kind="endpoint", endpoint="x", model=name, method="direct")
        labeller = labeller.model_copy(update={"max_tokens": 8})
        endpoint = Endpoint(serve="finetuned", api="completions", concurrency=2)
        with ResponseStore(tmp_path / "store.sqlite") as store:
            url = f"http://127.0.0.1:{port}/v1"
            options = {"name": "x", "base_url": url, "identity": "x", "offline": True}
            backend = EndpointLabeller(labeller, endpoint, store, **options)
            found = label_texts(CAP, texts, labeller, backend, name="x", style="short")
        free = predict(CAP, texts, folder, constrained=False, max_new_tokens=8)
        valid = free["status"] == "ok"
        # Free answers: the same ones are labels here and there, and those are the same labels.
        assert (found["status"] == "ok").tolist() == valid.tolist()
        assert found.loc[valid, "labels"].tolist() == free.loc[valid, "labels"].tolist()
        os.kill(server.pid, signal.SIGINT)
        assert server.wait(30) == 130
        gone, alive = psutil.wait_procs(children, timeout=30)
        assert gone and not alive
    finally:
        server.kill()
        server.communicate()
