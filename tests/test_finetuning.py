"""Fine-tuning: the right tokens are learnt, the loss is the model's own, kills cost nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from helpers import offline_model
from helpers.finetuning import (
    FinetuningSettings,
    Job,
    build_examples,
    codebook_frame,
    finetune_all,
    train,
)
from helpers.finetuning.cell import train_and_answer
from helpers.finetuning.fit import FinetuningError
from helpers.finetuning.trainer import Collator, LengthBatchedSampler, supervised_loss
from helpers.language_models import LanguageModelError, load_model, load_tokenizer
from helpers.parallel import WorkFailed
from helpers.prediction import predict
from helpers.profiles import REPO
from helpers.tasks import load_task

CAP = load_task("cap")
TINY = FinetuningSettings(epochs=2, batch_size=8, codebook_rows=False, lora_r=4, seed=3)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return offline_model.build(2, tmp_path_factory.mktemp("models") / "minilm-2l")


@pytest.fixture(scope="module")
def texts():
    rows = pd.read_json(REPO / "data" / "embedded" / "cap.jsonl", lines=True).head(32)
    labels = [CAP.dumps(str(major)) for major in rows["major"]]
    frame = pd.DataFrame({"id": rows["id"], "text": rows["subject"], "labels": labels})
    return frame.assign(split="train")


@pytest.fixture(scope="module")
def trained(base, texts, tmp_path_factory):
    return train(CAP, texts[:24], texts[24:], base, TINY, tmp_path_factory.mktemp("trained"))


def weights(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


def test_only_the_text_is_cut(base):
    tokenizer = load_tokenizer(base)
    frame = pd.DataFrame({"text": ["fish " * 300], "labels": [CAP.dumps("6")]})
    settings = TINY.model_copy(update={"max_prompt_tokens": 40})
    (example,) = build_examples(CAP, frame, tokenizer, settings)
    assert len(example["input_ids"]) == 42
    written = tokenizer.decode(example["input_ids"])
    assert written.startswith("[CLS] fish") and written.endswith("topic : 6 [SEP]")
    assert example["labels"] == [-100] * 40 + tokenizer("6")["input_ids"][1:] + [102]


def test_a_prompt_without_room_for_text_is_refused(base):
    frame = pd.DataFrame({"text": ["fish"], "labels": [CAP.dumps("6")]})
    settings = TINY.model_copy(update={"max_prompt_tokens": 3})
    with pytest.raises(LanguageModelError, match="raise max_prompt_tokens"):
        build_examples(CAP, frame, load_tokenizer(base), settings)


def test_loss_is_that_of_the_model_that_generates(base, texts):
    """Supervised positions only: value and gradients equal those over full logits."""
    model, tokenizer = load_model(base).eval(), load_tokenizer(base)
    batch = Collator(0, prefix=True)(build_examples(CAP, texts[:6], tokenizer, TINY))
    gradients = []
    for use_full in (True, False):
        model.zero_grad()
        if use_full:
            plain = {k: batch[k] for k in ("input_ids", "attention_mask", "labels")}
            loss = model(**plain).loss
        else:
            total, tokens = supervised_loss(model, batch)
            loss = total / tokens
        loss.backward()
        gradients.append((loss.item(), [p.grad.clone() for p in model.parameters()]))
    (full, of_full), (few, of_few) = gradients
    assert abs(full - few) < 1e-5
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(of_full, of_few, strict=True))


def test_kept_states_of_frozen_layers_change_nothing(base, texts):
    from helpers.finetuning.frozen import LowerStates

    model, tokenizer = load_model(base).eval(), load_tokenizer(base)
    examples = build_examples(CAP, texts[:6], tokenizer, TINY)
    collator = Collator(0, prefix=True)
    with torch.no_grad():
        direct, _ = supervised_loss(model, collator(examples))
        collator.lower = LowerStates(model, 1)
        kept, _ = supervised_loss(model, collator(examples))
    assert len(model.bert.encoder.layer) == 3
    assert abs(direct - kept) < 1e-4


def test_kept_states_of_a_text_do_not_depend_on_what_else_was_read(base, texts, monkeypatch):
    from helpers.finetuning import frozen

    model, tokenizer = load_model(base).eval(), load_tokenizer(base)
    examples = [e["input_ids"] for e in build_examples(CAP, texts[:6], tokenizer, TINY)]
    alone = frozen.LowerStates(model, 1).of(examples[3], 5)
    together = frozen.LowerStates(model, 1)
    together.batch([(tokens, len(tokens)) for tokens in examples], max(map(len, examples)))
    assert torch.equal(together.of(examples[3], 5), alone)
    assert not torch.equal(together.of(examples[3], 6)[:5], alone[:5])  # another prompt
    monkeypatch.setattr(frozen, "MOST_BYTES", 2 * alone.nbytes)
    small = frozen.LowerStates(model, 1)
    for tokens in examples:
        small.of(tokens, 5)
    assert len(small._states) < 3 and torch.equal(small.of(examples[3], 5), alone)


def test_a_cell_answers_as_the_saved_model_does(base, texts, tmp_path):
    """In memory, from kept states: the answers of `train` and `predict`."""
    settings = TINY.model_copy(update={"train_layers": 2, "epochs": 1})
    made = train_and_answer(CAP, texts[:24], texts[24:], base, settings, tmp_path, free=True)
    saved = train(CAP, texts[:24], None, base, settings, tmp_path / "saved")
    expected = predict(CAP, texts[24:], saved / "model", threads=1)
    pd.testing.assert_frame_equal(made.constrained, expected)
    free = predict(CAP, texts[24:], saved / "model", threads=1, constrained=False)
    pd.testing.assert_frame_equal(made.free, free)
    assert made.sizes["trainable_parameters"] < made.sizes["total_parameters"]
    assert not list(tmp_path.glob("checkpoints/*"))


def test_the_same_cell_again_in_a_used_process_gives_the_same(base, texts, tmp_path):
    settings = TINY.model_copy(update={"train_layers": 2, "epochs": 1})
    first = train_and_answer(CAP, texts[:24], texts[24:], base, settings, tmp_path)
    other = settings.model_copy(update={"seed": 9})
    train_and_answer(CAP, texts[4:20], texts[24:], base, other, tmp_path)
    again = train_and_answer(CAP, texts[:24], texts[24:], base, settings, tmp_path)
    pd.testing.assert_frame_equal(first.history, again.history)
    pd.testing.assert_frame_equal(first.constrained, again.constrained)


def test_result_folder(trained):
    names = {path.name for path in trained.iterdir()}
    assert names == {"adapter", "model", "history.csv", "manifest.json", "performance.json"}
    history = pd.read_csv(trained / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert history[["loss", "eval_loss"]].notna().all(axis=None)
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["settings"]["seed"] == 3 and manifest["data"]["n_train"] == 24
    assert not {"seconds", "peak_memory_mb"} & set(manifest)
    performance = json.loads((trained / "performance.json").read_text())
    assert 0 < performance["trainable_parameters"] < performance["total_parameters"]
    assert performance["tokens_per_second"] > 0


def test_frozen_layers_stay(base, trained):
    """train_layers: 3 of 3 leaves embeddings alone; the adapters changed the layers."""
    before, after = load_model(base), load_model(trained / "model")
    old, new = before.get_input_embeddings().weight, after.get_input_embeddings().weight
    assert torch.equal(old, new)
    first = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(before.get_parameter(first), after.get_parameter(first))


def test_same_seed_same_bytes(base, texts, trained, tmp_path):
    again = train(CAP, texts[:24], texts[24:], base, TINY, tmp_path / "again")
    assert weights(again) == weights(trained)


def test_full_fine_tuning_freezes_below(base, texts, tmp_path):
    settings = TINY.model_copy(
        update={
            "method": "full",
            "epochs": 1,
            "learning_rate": 1e-4,
            "train_layers": 1,
            "head_learning_rate": 1e-3,
        }
    )
    out = train(CAP, texts[:16], None, base, settings, tmp_path / "full")
    before, after = load_model(base), load_model(out / "model")
    frozen = "bert.encoder.layer.1.output.dense.weight"
    learnt = "bert.encoder.layer.2.attention.output.dense.weight"
    assert torch.equal(before.get_parameter(frozen), after.get_parameter(frozen))
    assert not torch.equal(before.get_parameter(learnt), after.get_parameter(learnt))
    assert not (out / "adapter").exists()


KILLED = """
import sys, pandas as pd
from pathlib import Path
from helpers.finetuning import FinetuningSettings, train
from helpers.tasks import load_task
frame = pd.read_json(sys.argv[1])
settings = FinetuningSettings.model_validate_json(sys.argv[2])
train(load_task("cap"), frame[:24], frame[24:], sys.argv[3], settings, Path(sys.argv[4]))
"""


def test_a_killed_training_resumes_to_the_same_weights(base, texts, tmp_path):
    settings = TINY.model_copy(update={"epochs": 8, "save_every": 4})
    whole = train(CAP, texts[:24], texts[24:], base, settings, tmp_path / "whole")
    texts.to_json(tmp_path / "texts.json", orient="records")
    out = tmp_path / "killed"
    arguments = [tmp_path / "texts.json", settings.model_dump_json(), base, out]
    command = [sys.executable, "-c", KILLED, *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/checkpoint-*/complete")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "model").exists()
    partial = out / "checkpoints" / "checkpoint-99999"
    partial.mkdir()  # what a kill during saving leaves behind
    resumed = train(CAP, texts[:24], texts[24:], base, settings, out)
    assert weights(resumed) == weights(whole)
    assert not (out / "checkpoints").exists()


def test_predictions_are_the_same_in_a_fresh_process(trained, texts):
    here = predict(CAP, texts, trained / "model", threads=1)
    code = (
        "import sys, pandas as pd\n"
        "from helpers.prediction import predict\n"
        "from helpers.tasks import load_task\n"
        "frame = pd.read_json(sys.argv[1])\n"
        "done = predict(load_task('cap'), frame, sys.argv[2], threads=1)\n"
        "print(done.to_json(orient='records'))"
    )
    path = trained.parent / "fresh.json"
    texts.to_json(path, orient="records")
    command = [sys.executable, "-c", code, str(path), str(trained / "model")]
    env = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    there = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert json.loads(there) == json.loads(here.to_json(orient="records"))


def test_prefix_model_refuses_loss_on_the_prompt(base, texts, tmp_path):
    settings = TINY.model_copy(update={"loss_on": "all"})
    with pytest.raises(FinetuningError, match="loss_on: completion"):
        train(CAP, texts, None, base, settings, tmp_path)


def test_qlora_says_what_is_missing(base, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = TINY.model_copy(update={"method": "qlora"})
    with pytest.raises(LanguageModelError, match="NVIDIA GPU"):
        train(CAP, texts, None, base, settings, tmp_path)


def test_one_failing_job_keeps_the_others(base, texts, tmp_path):
    settings = TINY.model_copy(update={"epochs": 1})
    held_out = texts[24:]
    good = Job("good", "cap", texts[:16], held_out, base, settings, tmp_path / "good")
    bad = Job("bad", "cap", texts[:0], held_out, base, settings, tmp_path / "bad")
    with pytest.raises(WorkFailed, match=r"1 of 2 .*\n  bad: FinetuningError"):
        finetune_all([bad, good], progress=False)
    assert (tmp_path / "good" / "model").is_dir()
    (result,) = finetune_all([good], progress=False)
    assert not result.made
    changed = Job("good", "cap", texts[:17], held_out, base, settings, tmp_path / "good")
    assert changed.inputs() != good.inputs()


def test_codebook_frame():
    cap = codebook_frame(CAP)
    assert len(cap) == 2 * len(CAP.subtopics)
    assert {CAP.loads(cell) for cell in cap["labels"]} == set(CAP.labels)
    flourishing = load_task("flourishing")
    row = codebook_frame(flourishing).iloc[0]
    assert flourishing.loads(row["labels"]) == {row["text"]: "high"}


def test_sampler_groups_lengths_and_depends_on_the_epoch():
    lengths = [i % 50 for i in range(203)]
    sampler = LengthBatchedSampler(lengths, 8, seed=1, group=True)
    first = list(sampler)
    assert sorted(first) == list(range(203)) and first == list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    spread = [
        max(b) - min(b) for b in ([lengths[i] for i in first[j : j + 8]] for j in range(0, 200, 8))
    ]
    assert sum(spread) / len(spread) < 10
