"""A model of a finished run becomes a folder with a card; what may not be shared is refused."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard
from share_example import edit_table, finished_run, read_json

from helpers.models import get_model
from helpers.share import ShareError, find, write_folder
from helpers.share.card import UNSTATED, check_publishable, write_card
from helpers.share.command import main
from helpers.share.folder import ABOUT, architecture, check_content, check_sums
from helpers.share.licences import check_licence, licence_of
from helpers.share.scores import read_scores
from helpers.share.take import take


@pytest.fixture
def run(tmp_path):
    return finished_run(tmp_path / "runs")


def written(run, out, what="merged", **options):
    trained = find(run, run.profile.tasks[0])
    card = write_card(trained, what, licence_of(trained.spec), **options)
    return write_folder(trained, what, out, card)


# --- the folder and its card ----------------------------------------------------------------------


def test_a_card_holds_the_test_scores_with_intervals_and_is_valid_for_the_hub(run, tmp_path):
    folder = written(run, tmp_path / "out", repo="ann/cap")
    card = ModelCard.load(folder / "README.md")
    data = card.data.to_dict()
    assert (data["license"], data["language"], data["library_name"]) == (
        *("apache-2.0", "en", "transformers"),
    )
    assert data["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert data["base_model_revision"].startswith("sha256:")
    results = card.data.eval_results
    assert {r.dataset_split for r in results} == {"test"}
    accuracy = results[0]
    assert (accuracy.metric_type, accuracy.metric_value) == ("accuracy", 0.6)
    assert accuracy.metric_args == {"interval_95": [0.55, 0.65], "n": 8, "n_answered": 8}
    text = card.text
    assert "0.999" not in text  # the training texts' score
    assert "| **this model** | **0.600 [0.550, 0.650]** |" in text
    assert "| Sentence embeddings + logistic regression | 0.400 [0.350, 0.450] |" in text
    assert "A demonstration" in text and "biased" in text and "ann/cap" in text
    assert "Never tested, since no test text has them: Macroeconomics." in text
    assert "2 simulated coders" in text and "chapter 09" in text
    assert str(tmp_path) not in (folder / "README.md").read_text()


def test_what_is_in_the_folder_is_listed_and_complete(run, tmp_path):
    folder = written(run, tmp_path / "out")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("README.md", "SHA256SUMS", "sharing.json", "task.yaml", "codebook.csv", "config.json"),
        *("model.safetensors", "tokenizer.json", "tokenizer_config.json", "modeling_prefix_lm.py"),
    }
    assert set(check_sums(folder)) == names - {"SHA256SUMS"}
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ShareError, match=r"out/model\.safetensors is missing or was changed"):
        check_sums(folder)


def test_an_adapter_names_its_base_model_and_no_folder_of_this_machine(run, tmp_path):
    folder = written(run, tmp_path / "out", "adapter")
    config = read_json(folder / "adapter_config.json")
    assert config["base_model_name_or_path"] == "minilm-2l"
    card = (folder / "README.md").read_text()
    assert "adapter=folder" in card and "build(2, " in card
    assert "base_model_relation: adapter" in card and "library_name: peft" in card
    assert not (folder / "modeling_prefix_lm.py").exists()


def test_the_same_model_is_written_again_and_another_one_refused(run, tmp_path):
    out = tmp_path / "out"
    first = (written(run, out) / "README.md").read_bytes()
    (out / "README.md").write_text("edited")
    assert (written(run, out) / "README.md").read_bytes() == first
    with pytest.raises(ShareError, match=r"out holds another model \(cap/minilm-2l-ft, merged\)"):
        written(run, out, "adapter")
    other = finished_run(tmp_path / "more", "dataverse")
    with pytest.raises(ShareError, match="out holds another model"):
        written(other, out)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(ShareError, match="photos holds other files"):
        written(run, tmp_path / "photos")
    assert (tmp_path / "photos" / "me.jpg").exists()


@pytest.mark.parametrize("task", ["dataverse", "flourishing"])
def test_tasks_with_several_labels_get_their_own_scores(tmp_path, task):
    folder = written(finished_run(tmp_path / "runs", task), tmp_path / "out")
    card = ModelCard.load(folder / "README.md")
    assert card.data.eval_results[0].metric_type == "jaccard"
    assert "multi-label" in card.data.tags


def test_a_card_says_whose_texts_were_read(run, tmp_path):
    posts = replace(run, profile=run.profile.model_copy(update={"data": "upstream"}))
    trained = find(posts, "cap")
    with pytest.raises(ShareError, match=r"weights can give away training texts.*--rights"):
        check_publishable(trained, "", "en")
    check_publishable(trained, "ours", "en")
    card = write_card(trained, "merged", licence_of(trained.spec))
    assert "Weights can remember texts" in card and "A demonstration" not in card
    check_publishable(find(run, "cap"), "", "")
    own = replace(run, profile=run.profile.model_copy(update={"data": "own"}))
    with pytest.raises(ShareError, match="in which language"):
        check_publishable(find(own, "cap"), "ours", "")


# --- what is refused ------------------------------------------------------------------------------


def test_a_training_that_is_not_finished_is_named_with_those_that_are(run):
    with pytest.raises(ShareError, match=r"minilm-6l-ft is not a finished.*finished: minilm-2l-ft"):
        find(run, "cap", "minilm-6l")
    with pytest.raises(ShareError, match=r"minilm-2l-ft@gold is not a finished training"):
        find(run, "cap", labels="gold")
    assert find(run, "cap", labels="verified").name == "minilm-2l-ft"


def test_a_seed_that_was_not_trained_is_refused(run):
    assert find(run, "cap", seed=7).settings["seed"] == 7
    with pytest.raises(ShareError, match="trained with seed 7, not 8"):
        find(run, "cap", seed=8)


def test_changed_weights_are_refused(run):
    path = run.root / "models" / "cap" / "minilm-2l-ft" / "model" / "model.safetensors"
    path.write_bytes(b"other")
    with pytest.raises(
        ShareError, match=r"model/model\.safetensors is not what the training wrote"
    ):
        find(run, "cap")


def test_scores_of_other_weights_are_refused(run):
    stamp = run.root / "chapters" / "05_comparison.json"
    content = read_json(stamp)
    content["inputs"]["earlier"]["models/cap/minilm-2l-ft/model/model.safetensors"] = "f" * 64
    stamp.write_text(json.dumps(content))
    with pytest.raises(ShareError, match="chapter 05 scored other weights"):
        find(run, "cap")
    stamp.unlink()
    with pytest.raises(ShareError, match="05_comparison of the run 'demo' is not finished"):
        find(run, "cap")


def test_a_table_that_was_edited_by_hand_is_refused(run):
    path = run.root / "tables" / "metrics.csv"
    path.write_text(path.read_text().replace("0.6,", "0.9,"))
    with pytest.raises(ShareError, match=r"tables/metrics\.csv is not what 05_comparison wrote"):
        find(run, "cap")


@pytest.mark.parametrize("column", ["ci_low", "ci_high", "value"])
def test_a_score_without_interval_makes_no_card(run, column):
    edit_table(run, "metrics", lambda t: t.assign(**{column: t[column].where(t.index != 1)}))
    with pytest.raises(ShareError, match="no value with an interval of macro_f1 for cap/minilm-2l"):
        read_scores(find(run, "cap"))


def test_a_card_without_baseline_is_not_written(run):
    edit_table(run, "metrics", lambda t: t[t["model"] == "minilm-2l-ft"])
    with pytest.raises(ShareError, match="no baseline with an interval"):
        read_scores(find(run, "cap"))


@pytest.mark.parametrize("key", ["llama-2-7b-chat", "llama-3.2-1b-instruct"])
def test_merged_weights_of_a_model_with_terms_are_refused(key):
    spec = get_model(key)
    with pytest.raises(ShareError, match=r"Community License.*--what adapter"):
        check_licence(spec, "merged")
    notice = check_licence(spec, "adapter").notice
    assert notice.startswith("Llama 3.2 is licensed" if "3.2" in key else "Llama 2 is licensed")


def test_the_name_that_a_licence_asks_for():
    spec = get_model("llama-3.2-1b-instruct")
    with pytest.raises(ShareError, match="--repo ann/Llama-topics"):
        check_licence(spec, "adapter", "ann/topics")
    assert check_licence(spec, "adapter", "ann/Llama-topics").hub == "llama3.2"
    unknown = spec.model_copy(update={"licence": "Somebody's own"})
    with pytest.raises(ShareError, match="--what adapter"):
        check_licence(unknown, "merged")


@pytest.mark.parametrize("name", ["notes.txt", ".env", "texts.parquet", "optimizer.pt"])
def test_a_folder_with_anything_unexpected_is_refused(run, tmp_path, name):
    folder = written(run, tmp_path / "out")
    (folder / name).touch()
    with pytest.raises(ShareError, match=f"out holds {name}, which does not belong to a model"):
        check_content(folder)


def test_links_and_folders_are_refused(run, tmp_path):
    folder = written(run, tmp_path / "out")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ShareError, match=r"holds config\.json"):
        check_content(folder)
    shutil.rmtree(folder)
    folder = written(run, folder)
    (folder / "model").mkdir()
    with pytest.raises(ShareError, match="holds model,"):
        check_content(folder)


def test_a_folder_of_this_machine_in_a_file_is_refused(run, tmp_path):
    folder = written(run, tmp_path / "out")
    (folder / "task.yaml").write_text(f"file: {run.root}/x.csv")
    with pytest.raises(ShareError, match=r"task\.yaml names a folder of this machine"):
        check_content(folder, [str(run.root)])


# --- taking it over -------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path):
    """An installation that lacks the task."""
    (tmp_path / "else" / "config" / "tasks").mkdir(parents=True)
    return tmp_path / "else"


def test_a_shared_task_is_taken_over_and_the_same_one_left_alone(run, tmp_path, elsewhere):
    folder, tasks = written(run, tmp_path / "out"), elsewhere / "config" / "tasks"
    said = take(folder, tasks, elsewhere)
    assert said.startswith("added: the task cap")
    assert f"--model {folder} --prompt-style short --max-prompt-tokens 256" in said
    book = elsewhere / "data" / "codebooks" / "cap_codes.csv"
    assert book.read_bytes() == (folder / "codebook.csv").read_bytes()
    assert take(folder, tasks, elsewhere).startswith("the task cap is here already")
    assert take(folder).startswith("the task cap is here already")  # this repository has it

    content = yaml.safe_load((tasks / "cap.yaml").read_text())
    content["prompts"]["short"]["tail"] = " other :"
    (tasks / "cap.yaml").write_text(yaml.safe_dump(content))
    book.write_text("changed")
    with pytest.raises(ShareError, match=r"another task than the model's \(prompts, codebook"):
        take(folder, tasks, elsewhere)
    (tasks / "cap.yaml").unlink()
    with pytest.raises(ShareError, match=r"cap_codes\.csv is there and differs"):
        take(folder, tasks, elsewhere)
    assert book.read_text() == "changed"


def test_an_adapter_is_used_with_its_base_model(run, tmp_path):
    said = take(written(run, tmp_path / "out", "adapter"))
    assert "build(2, Path('minilm-2l'))" in said
    assert f"--model minilm-2l --adapter {tmp_path / 'out'} " in said


@pytest.mark.parametrize("change", [{"name": "../cap"}, {"codebook": {"file": "../../x.csv"}}])
def test_a_shared_task_writes_nowhere_else(run, tmp_path, elsewhere, change):
    from helpers.share.folder import write_sums

    folder = written(run, tmp_path / "out")
    content = yaml.safe_load((folder / "task.yaml").read_text())
    if "codebook" in change:
        content["codebook"] |= change["codebook"]
    else:
        content |= change
    (folder / "task.yaml").write_text(yaml.safe_dump(content))
    write_sums(folder)
    with pytest.raises(ShareError, match=r"is no name of a task|lies in data/codebooks/"):
        take(folder, elsewhere / "config" / "tasks", elsewhere)
    assert [p for p in elsewhere.rglob("*") if p.is_file()] == []


# --- the command ----------------------------------------------------------------------------------


def test_without_a_token_the_folder_stays_and_the_command_is_shown(run, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("helpers.runs.open_run", lambda *_: run)
    assert main(["push", "--task", "cap", "--repo", "ann/cap", "--private"]) == 0
    said = capsys.readouterr().out
    folder = run.root / "share" / "cap-minilm-2l-ft-merged"
    assert read_json(folder / ABOUT)["identity"]["what"] == "merged"
    assert "nothing was uploaded" in said
    assert "push --profile demo --task cap --what merged --private --repo ann/cap" in said
    assert UNSTATED not in (folder / "README.md").read_text()


def test_errors_become_one_message(run, monkeypatch, capsys):
    monkeypatch.setattr("helpers.runs.open_run", lambda *_: run)
    assert main(["push"]) == 1
    assert "say of which task: --task cap" in capsys.readouterr().err
    assert main(["push", "--task", "cap", "--model", "minilm-4l"]) == 1
    assert "not a finished training" in capsys.readouterr().err


def test_the_architecture_file_needs_nothing_of_this_package():
    code = architecture()
    compile(code, "modeling_prefix_lm.py", "exec")
    assert "helpers." not in code.split('"""', 2)[2]
    assert code.count("exist_ok=True") == 2
