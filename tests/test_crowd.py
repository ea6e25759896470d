"""The crowd of the profile `api`, against a local server: asked once, paid once, replayed."""

import gzip
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml
from openai_server import running
from run_example import CROWD, small_run

from helpers import experiments, parallel
from helpers.data import DataError, prepared
from helpers.experiments import crowd
from helpers.labelling.archive import ArchiveError
from helpers.labelling.costs import BudgetReached, CostNotConfirmed
from helpers.labelling.endpoint import MissingResponses
from helpers.labelling.prices import Prices
from helpers.profiles import PROFILES, REPO
from helpers.runs import ProfileError, Run, open_run
from helpers.tasks import load_task

CAP = load_task("cap")
CANARY = "sk-canary-3d9a1f7e"
MINI, OTHERS = "gpt-4o-mini-v4", ["gpt-4o-v1", "gpt-4o-v2", "gpt-4o-v3", "gpt-4o-v4"]
PRICE = {"hosts": ["127.0.0.1"], "prompt": 2.5, "completion": 10.0}
PRICE |= {"models": ["gpt-4o*"], "as_of": "2025-11-13", "source": "made up"}


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as changes:
        yield changes


@pytest.fixture(scope="module")
def priced(patch):
    """The local server costs money, and there is a key."""
    for module in ("helpers.labelling.endpoint", "helpers.experiments.costs"):
        patch.setattr(f"{module}.load_prices", lambda: Prices.model_validate({"prices": [PRICE]}))
    patch.setenv("OPENAI_API_KEY", CANARY)
    patch.delenv("AGREED_COST", raising=False)


def open_api(root: Path, url: str, **labelling) -> Run:
    """Open a run of the profile `api` on few texts, with the endpoint at `url`."""
    content = yaml.safe_load((PROFILES / "api.yaml").read_text())
    shipped = yaml.safe_load((REPO / "config" / "labellers.yaml").read_text())
    fast = {"base_url": url, "requests_per_minute": None, "tokens_per_minute": None}
    openai = shipped["endpoints"]["openai"] | fast
    content["limit"] = {"train": 24, "validation": 4, "test": 12}
    crowd = {"cap": ["encoder-v4", MINI]}
    content["labelling"] |= {"endpoints": {"openai": openai}, "crowd": crowd} | labelling
    root.mkdir(parents=True, exist_ok=True)
    path = root / "api.yaml"
    path.write_text(yaml.safe_dump(content))
    return open_run(path, root=root)


def save_texts(run: Run, marker: str = "") -> None:
    frame = prepared.split_texts(run, CAP, prepared.load(run, CAP).frame).frame
    frame.loc[0, "text"] += marker
    prepared.save_task(run, CAP, frame)


@dataclass
class Recorded:
    """A finished run, and what was seen on the way."""

    run: Run
    estimate: pd.DataFrame
    agreed: str
    asked_before: dict
    estimate_after: pd.DataFrame
    actual: pd.DataFrame
    log: dict
    others: dict
    archived: list[Path]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, priced, patch):
    """The crowd's work and what chapter 05 asks, recorded; the server is gone afterwards."""
    with running() as server:
        run = open_api(tmp_path_factory.mktemp("first"), server.url)
        save_texts(run, "[[echo]]")  # the reply to this text repeats the key
        estimate = experiments.crowd_cost(run)
        with pytest.raises(CostNotConfirmed) as error:
            experiments.confirm_cost(estimate)
        before = server.log()["tries"]
        patch.setenv("AGREED_COST", "5")
        experiments.confirm_cost(estimate)
        experiments.label_crowd(run, progress=False)
        others = experiments.answers_of_others(run, progress=False)
        return Recorded(
            run=run,
            estimate=estimate,
            agreed=str(error.value),
            asked_before=before,
            estimate_after=experiments.crowd_cost(run),
            actual=experiments.actual_cost(run),
            log=server.log(),
            others=others,
            archived=experiments.archive_responses(run),
        )


def test_the_estimate_comes_before_anything_is_sent(recorded):
    rows = recorded.estimate.set_index("labeller")
    assert rows.index.tolist() == [MINI, *OTHERS]
    # V1: 20 topics with subtopics or more of 12 texts, and a last question.
    assert rows.loc[[MINI, "gpt-4o-v3", "gpt-4o-v4"], "requests"].tolist() == [36, 12, 12]
    assert rows.loc["gpt-4o-v1", "requests"] > 20 * 12
    assert (rows["usd"] > 0).all() and (rows["in_store"] == 0).all()
    assert recorded.asked_before == {}
    assert "set AGREED_COST=" in recorded.agreed


def test_nothing_is_asked_twice_and_everything_is_counted(recorded):
    requests = recorded.actual["requests"].sum()
    assert list(recorded.log["served"].values()) == [1] * requests
    assert recorded.actual["answered"].sum() == requests
    assert (recorded.actual["usd"] > 0).all()
    # The longest completions were assumed.
    assert recorded.actual["usd"].sum() < recorded.estimate["usd"].sum()
    # A second run needs nobody's consent: there is nothing left to pay for.
    after = recorded.estimate_after
    assert after["usd"].tolist() == [0.0] * 5 and after["requests"].equals(after["in_store"])
    assert after["requests"].sum() == requests


def test_the_closed_model_labels_beside_the_encoders(recorded):
    folder = recorded.run.root / "labelling" / "cap"
    labelled = pd.read_parquet(folder / "labelled.parquet")
    names = recorded.run.profile.labelling.crowd["cap"]
    assert labelled["labeller"].drop_duplicates().tolist() == names
    assert (labelled.groupby("labeller").size() == 36).all()
    assert (labelled["status"] == "ok").sum() >= 71  # the reply with the key may not be readable
    assert labelled.loc[labelled["labeller"] == MINI, "confidence"].notna().all()
    texts = prepared.read_task(recorded.run, CAP)
    proposed = pd.read_parquet(folder / "proposals.parquet")
    assert set(proposed["id"]) == set(texts.loc[texts["split"] == "train", "id"])
    assert proposed["labellers"].map(json.loads).map(len).tolist() == proposed["votes"].tolist()
    assert len(pd.read_parquet(folder / "majority.parquet")) == 36


def test_compared_models_answer_for_the_test_texts_in_the_form_of_predictions(recorded):
    folder = recorded.run.root / "predictions" / "cap"
    assert {path.stem for path in folder.glob("*.parquet")} == {"crowd-majority", *OTHERS}
    assert list(recorded.others["cap"]) == ["crowd-majority", *OTHERS]
    assert recorded.others["cap"]["gpt-4o-v1"] == "gpt-4o-2024-08-06, V1 (endpoint)"
    texts = prepared.read_task(recorded.run, CAP)
    for name in OTHERS:
        frame = pd.read_parquet(folder / f"{name}.parquet")
        assert frame.columns.tolist() == ["id", "split", "status", "answer", "labels"]
        assert frame["id"].tolist() == texts.loc[texts["split"] == "test", "id"].tolist()
        right = frame[frame["status"] == "ok"]
        assert [CAP.codes[CAP.loads(cell)] for cell in right["labels"]] == right["answer"].tolist()


def test_the_key_is_in_no_file_of_the_run(recorded):
    assert "Bearer " + CANARY in recorded.log["headers"]["authorization"]
    assert recorded.log["behaved"]["echo"]
    files = [path for path in recorded.run.root.rglob("*") if path.is_file()]
    assert any(path.name.endswith(".jsonl.gz") for path in files)
    for path in files:
        content = path.read_bytes()
        content += gzip.decompress(content) if path.suffix == ".gz" else b""
        assert CANARY.encode() not in content, path


# --- the same again, from the archive ------------------------------------------------------------


@pytest.fixture
def keyless(recorded, monkeypatch, tmp_path):
    """Give a function that opens a second run which replays an archive; there is no key."""
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("AGREED_COST")

    def replay(archive: Path, **labelling) -> Run:
        url = recorded.run.profile.labelling.endpoints["openai"].base_url
        settings = {"responses": "replay", "archive": str(archive)} | labelling
        run = open_api(tmp_path / "second", url, **settings)
        # What the encoder makes is no matter of the archive.
        for part in ("data", "embeddings", "labelling/cap/labellers"):
            shutil.copytree(recorded.run.root / part, run.root / part)
        return run

    return replay


def test_a_replay_gives_the_same_bytes_without_key_and_server(recorded, keyless):
    run = keyless(recorded.run.root / "responses")
    cost = experiments.crowd_cost(run)
    experiments.confirm_cost(cost)
    assert cost.columns.tolist() == recorded.estimate.columns.tolist() and cost.empty
    experiments.label_crowd(run, progress=False)
    assert experiments.answers_of_others(run, progress=False) == recorded.others
    found = {path.relative_to(run.root) for path in run.root.rglob("*.parquet")}
    first = {path.relative_to(recorded.run.root) for path in recorded.run.root.rglob("*.parquet")}
    assert found == first and len(found) == 10
    for path in found:
        assert (run.root / path).read_bytes() == (recorded.run.root / path).read_bytes(), path
    pd.testing.assert_frame_equal(experiments.actual_cost(run), recorded.actual)
    assert experiments.archive_responses(run) == recorded.archived


def test_a_replay_names_what_the_archive_lacks(recorded, keyless, tmp_path):
    archive = tmp_path / "archive"
    for path in recorded.archived:
        target = archive / path.relative_to(recorded.run.root / "responses")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (path,) = (archive / "cap" / "gpt-4o-mini-2024-07-18").iterdir()
    first, *kept = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(kept)))
    run = keyless(archive, crowd={"cap": [MINI]})
    with pytest.raises(MissingResponses) as error:
        experiments.label_crowd(run, progress=False)
    lost = json.loads(first)["text_id"]
    for words in (f"labeller '{MINI}'", "task cap", "1 answers", lost, "labelling.archive"):
        assert words in str(error.value)
    assert not (run.root / "labelling" / "cap" / "majority.parquet").exists()


def test_a_replay_without_an_archive_says_so(recorded, keyless, tmp_path):
    run = keyless(tmp_path / "nowhere", crowd={"cap": [MINI]})
    with pytest.raises(ArchiveError, match=r"no archive of responses at .*nowhere"):
        experiments.label_crowd(run, progress=False)


def test_an_archive_is_looked_for_from_the_repository(recorded, keyless):
    run = keyless(Path("somewhere/responses"))
    assert experiments.endpoints.archive_folder(run) == REPO / "somewhere" / "responses"


# --- budget ---------------------------------------------------------------------------------------


def test_a_budget_stops_the_crowd_and_a_higher_one_goes_on(priced, tmp_path):
    # The longest answers to one request cost 0.0016 dollars or so, those received a third.
    with running() as server:
        options = {"crowd": {"cap": [MINI]}, "compared": {}, "splits": ["test"]}
        run = open_api(tmp_path, server.url, budget_usd=0.01, **options)
        save_texts(run)
        with pytest.raises(BudgetReached, match=r"Raise labelling\.budget_usd"):
            experiments.label_crowd(run, progress=False)
        spent = experiments.actual_cost(run)
        assert 0 < spent["requests"].sum() < 12 and 0 < spent["usd"].sum() <= 0.01
        run = open_api(tmp_path, server.url, budget_usd=1.0, **options)
        labelled = experiments.label_crowd(run, progress=False)["cap"]
        assert (labelled["status"] == "ok").all() and len(labelled) == 12
        assert list(server.log()["served"].values()) == [1] * 12


def test_a_crowd_of_endpoints_alone_starts_no_other_process(monkeypatch, recorded, keyless):
    monkeypatch.setattr(parallel.ProcessPoolExecutor, "submit", lambda *_: pytest.fail("started"))
    run = keyless(recorded.run.root / "responses", crowd={"cap": [MINI]})
    labelled = experiments.label_crowd(run, progress=False)["cap"]
    assert labelled["labeller"].unique().tolist() == [MINI]


# --- what models learn from -----------------------------------------------------------------------


@pytest.fixture
def labelled_run(tmp_path):
    run = small_run(tmp_path, plan={"label_sources": ["gold", "gold-same", "majority-same"]})
    train = prepared.read_task(run, CAP).query("split == 'train'")
    verified = train[["id", "labels"]].iloc[5:15].assign(labels='"6"')
    path = run.path("verification", "cap", "verified.parquet")
    verified.to_parquet(path, index=False)
    return run, train, verified


def test_labels_come_from_the_source_that_is_named(labelled_run):
    run, train, verified = labelled_run
    voted = pd.read_parquet(run.root / "labelling" / "cap" / "majority.parquet")
    voted = voted[voted["status"] == "ok"].set_index("id")["labels"]
    gold = train.set_index("id")["labels"]
    found = {
        source: experiments.train_texts(run, CAP, source).set_index("id")["labels"]
        for source in ("gold", "verified", "majority", "gold-same", "majority-same")
    }
    assert found["gold"].equals(gold)
    assert found["verified"].to_dict() == dict.fromkeys(verified["id"], '"6"')
    # All labellers failed at the first text: it has no majority.
    assert found["majority"].index.tolist() == gold.index.tolist()[1:]
    assert found["majority"].to_dict() == voted.reindex(gold.index[1:]).to_dict()
    assert found["gold-same"].equals(gold.reindex(verified["id"]))
    assert found["majority-same"].equals(voted.reindex(verified["id"]))
    assert not found["majority-same"].equals(found["gold-same"])


def test_other_columns_stay_and_held_out_texts_never_come(labelled_run):
    run, train, _ = labelled_run
    for source in ("verified", "majority", "majority-same"):
        frame = experiments.train_texts(run, CAP, source)
        assert frame.columns.tolist() == train.columns.tolist()
        assert set(frame["split"]) == {"train"}


@pytest.mark.parametrize(
    ("source", "lost", "chapter"),
    [
        ("verified", "verification", "03_verification"),
        ("gold-same", "verification", "03_verification"),
        ("majority", "labelling", "02_labelling"),
        ("majority-same", "labelling", "02_labelling"),
    ],
)
def test_labels_that_are_not_there_name_the_chapter_that_makes_them(
    labelled_run, source, lost, chapter
):
    run, *_ = labelled_run
    shutil.rmtree(run.root / lost)
    with pytest.raises(DataError, match=f"{lost}/cap/.* is missing.*run {chapter} first"):
        experiments.train_texts(run, CAP, source)


@pytest.mark.parametrize(
    ("labels", "sources"),
    [("verified", []), ("majority", ["gold"]), ("gold", ["majority-same"]), ("gold", ["verified"])],
)
def test_labels_of_no_crowd_are_refused(tmp_path, labels, sources):
    run = small_run(
        tmp_path, labelling={"crowd": {}}, train_labels=labels, plan={"label_sources": sources}
    )
    wanted = {labels, *sources} - {"gold"}
    with pytest.raises(ProfileError, match=rf"{wanted.pop()} labels.*labelling\.crowd\.cap"):
        experiments.check_train_labels(run)


def test_gold_labels_need_no_crowd(tmp_path):
    run = small_run(tmp_path, labelling={"crowd": {}}, train_labels="gold")
    experiments.check_train_labels(run)
    assert crowd.members(run, "cap") == {}


def test_trainings_on_other_labels_have_names_of_their_own(labelled_run, monkeypatch):
    run, train, verified = labelled_run
    jobs = {job.name: job for job in experiments.training_jobs(run)}
    assert {name: len(job.train) for name, job in jobs.items()} == {
        "cap/minilm-2l-ft": len(verified),
        "cap/minilm-2l-ft@gold": len(train),
        "cap/minilm-2l-ft@gold-same": len(verified),
        "cap/minilm-2l-ft@majority-same": len(verified),
    }
    assert all(job.out.name == name.split("/")[1] for name, job in jobs.items())


def test_the_crowd_sees_no_labels(tmp_path):
    run = small_run(tmp_path)
    texts = experiments.crowd_texts(run, "cap")
    assert texts.columns.tolist() == ["id", "text"] and len(texts) == 40
    assert list(CROWD) == list(crowd.members(run, "cap"))


@pytest.mark.parametrize(
    ("task", "steps"),
    [("cap", ["v1", "v3", "v4"]), ("dataverse", ["direct"]), ("flourishing", ["direct"])],
)
def test_every_task_shows_the_questions_of_methods_that_fit_it(task, steps):
    shown = experiments.first_questions(load_task(task))
    assert [name.split(",")[0] for name in shown] == steps
    assert all("[the text]" in question for question in shown.values())
