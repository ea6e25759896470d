"""What makes a training faster, off by default: few rows of the head, bfloat16, mapped examples."""

import json

import pandas as pd
import pytest
import torch
from finetuning_worker import PAD, SIZES, SPECIAL, random_examples, tiny_model

from helpers import offline_model
from helpers.finetuning import FinetuningError, FinetuningSettings, examples, head_rows, train
from helpers.finetuning.cell import train_and_answer
from helpers.finetuning.losses import supervised_loss
from helpers.finetuning.precision import chosen_autocast, chosen_kernels, has_bfloat16
from helpers.finetuning.trainer import Collator, MarkComplete
from helpers.language_models import LanguageModelError, load_model, load_tokenizer
from helpers.prediction import answer, predict
from helpers.profiles import REPO
from helpers.tasks import load_task

CAP = load_task("cap")
TINY = FinetuningSettings(epochs=1, batch_size=8, codebook_rows=False, lora_r=4, seed=3)
ANSWERS = TINY.model_copy(update={"head_rows": "answers", "train_layers": 2})


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
    return train(CAP, texts[:24], texts[24:], base, ANSWERS, tmp_path_factory.mktemp("trained"))


def weights(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


def test_answer_tokens_are_those_an_answer_may_hold(base):
    tokenizer = load_tokenizer(base)
    tokens = head_rows.answer_tokens(CAP, tokenizer)
    assert len(tokens) == len(CAP.labels) + 1 and tokenizer.eos_token_id in tokens
    posts = load_task("flourishing")
    written = posts.completion({posts.labels[3]: posts.levels[0]}).split()
    ids = {i for word in written for i in tokenizer(word, add_special_tokens=False)["input_ids"]}
    assert ids <= set(head_rows.answer_tokens(posts, tokenizer))


@pytest.mark.parametrize("kind", ["llama-tied", "gpt2-tied", "bert-generation", "gemma2-capped"])
def test_loss_and_gradients_are_those_of_constant_other_rows(kind):
    """The rows that learn, and all below the head, get the gradients that the whole head gives."""
    batch = Collator(PAD, prefix=False)(random_examples(6))
    tokens = [2, 7, 30]
    whole, few = tiny_model(kind), tiny_model(kind)
    head_rows.untie(whole)
    head_rows.install(few, tokens)
    losses = []
    for model in (whole, few):
        loss, _ = supervised_loss(model, batch)
        loss.backward()
        losses.append(loss)
    assert torch.allclose(*losses, rtol=1e-6)
    head, new = whole.get_output_embeddings(), few.get_output_embeddings()
    assert new.weight.grad is None
    assert torch.allclose(head.weight.grad[tokens], new.answer_rows.weight.grad, atol=1e-4)
    if head.bias is not None:
        assert torch.allclose(head.bias.grad[tokens], new.answer_rows.bias.grad, atol=1e-4)
    compared = 0
    for name, parameter in whole.base_model.named_parameters():
        other = few.base_model.get_parameter(name)
        if parameter.grad is not None:
            compared += 1
            assert torch.allclose(parameter.grad, other.grad, atol=1e-4), name
    assert compared > 5


def test_only_the_rows_of_answers_have_moved(base, trained):
    tokenizer = load_tokenizer(base)
    start = load_model(base)
    untrained = start.get_output_embeddings().weight.detach().clone()
    after = load_model(trained / "model").get_output_embeddings()
    assert type(after) is torch.nn.Linear
    moved = (after.weight != untrained).any(-1).nonzero().flatten().tolist()
    assert set(moved) <= set(head_rows.answer_tokens(CAP, tokenizer)) and len(moved) > 15
    performance = json.loads((trained / "performance.json").read_text())
    assert performance["trainable_parameters"] < 0.02 * performance["total_parameters"]


def test_the_saved_model_answers_as_the_one_in_memory(base, texts, trained, tmp_path):
    made = train_and_answer(CAP, texts[:24], texts[24:], base, ANSWERS, tmp_path)
    reloaded = predict(CAP, texts[24:], trained / "model", threads=1)
    pd.testing.assert_frame_equal(made.constrained, reloaded)


def test_the_adapter_holds_the_rows(base, trained, texts):
    """Base model plus adapter give the logits of the merged model."""
    tokenizer, merged = load_tokenizer(base), load_model(trained / "model").eval()
    start = load_model(base)
    loaded = head_rows.load_adapter(start, trained / "adapter").eval()
    ids = torch.tensor([tokenizer(texts["text"].iloc[0])["input_ids"]])
    rows = head_rows.answer_tokens(CAP, tokenizer)
    with torch.no_grad():
        expected, found = merged(ids).logits[..., rows], loaded(ids).logits[..., rows]
    assert torch.allclose(expected, found, atol=1e-4)
    assert (trained / "adapter" / "adapter_model.safetensors").stat().st_size < 1_000_000


def test_an_interrupted_training_goes_on_with_its_rows(base, texts, tmp_path, monkeypatch):
    settings = ANSWERS.model_copy(update={"epochs": 2})
    whole = train(CAP, texts[:24], None, base, settings, tmp_path / "whole")
    mark = MarkComplete.on_save

    def stop(self, *args, **kwargs):
        mark(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MarkComplete, "on_save", stop)
        with pytest.raises(KeyboardInterrupt):
            train(CAP, texts[:24], None, base, settings, tmp_path / "stopped")
    resumed = train(CAP, texts[:24], None, base, settings, tmp_path / "stopped")
    assert weights(resumed) == weights(whole)


@pytest.mark.parametrize(
    ("method", "rows"),
    [
        ("lora", "answers"),
        pytest.param("lora", "all", marks=pytest.mark.full),
        pytest.param("full", "all", marks=pytest.mark.full),
        pytest.param("full", "answers", marks=pytest.mark.full),
    ],
)
def test_a_tied_causal_model_answers_the_same_after_reloading(base, texts, tmp_path, method, rows):
    """A Llama whose head shares the embeddings: what its head learns alone is not lost."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    tokenizer = load_tokenizer(base)
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102}
    sizes = SIZES | {"vocab_size": len(tokenizer), "tie_word_embeddings": True}
    AutoModelForCausalLM.from_config(LlamaConfig(**sizes, **(SPECIAL | ids))).save_pretrained(
        tmp_path / "base"
    )
    tokenizer.save_pretrained(tmp_path / "base")
    changed = {"method": method, "head_rows": rows, "target_modules": ["q_proj", "v_proj"]}
    changed |= {"answer_rows": "as_is", "train_layers": None, "learning_rate": 2e-2}
    settings = TINY.model_copy(update=changed)
    model = tmp_path / "base"
    made = train_and_answer(CAP, texts[:24], texts[24:], model, settings, tmp_path / "cell")
    saved = train(CAP, texts[:24], None, model, settings, tmp_path / "saved")
    reloaded = load_model(saved / "model")
    pd.testing.assert_frame_equal(
        made.constrained, answer(CAP, texts[24:], reloaded, load_tokenizer(model))
    )
    assert reloaded.config.tie_word_embeddings == (method == "full" and rows == "all")
    if rows == "answers":
        start, head = load_model(model).lm_head.weight, reloaded.lm_head.weight
        other = [i for i in range(200, 1200) if i not in head_rows.answer_tokens(CAP, tokenizer)]
        assert torch.equal(start[other], head[other])


def test_refusals_of_head_rows(base, texts, tmp_path):
    settings = ANSWERS.model_copy(update={"method": "qlora"})
    with pytest.raises(FinetuningError, match="head_rows: all"):
        train(CAP, texts, None, base, settings, tmp_path)
    model = tiny_model("llama")
    model.lm_head = torch.nn.Sequential(model.lm_head)
    with pytest.raises(LanguageModelError, match="set head_rows: all"):
        head_rows.install(model, [3])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"architecture": "aarch64", "bf16": True}, "bfloat16"),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, "none"),
    ],
)
def test_automatic_mixed_precision_follows_the_processor(monkeypatch, found, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert chosen_autocast(TINY.model_copy(update={"autocast": "auto"})) == expected
    assert chosen_autocast(TINY) == "none"
    assert chosen_autocast(TINY.model_copy(update={"autocast": "bfloat16"})) == "bfloat16"
    assert chosen_autocast(TINY.model_copy(update={"dtype": "bfloat16"})) == "bfloat16"


def test_a_gpu_is_asked_itself(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not has_bfloat16("cuda")


def test_liger_is_refused_where_it_cannot_run(monkeypatch):
    assert chosen_kernels(TINY.model_copy(update={"kernels": "auto"})) == "none"
    with pytest.raises(LanguageModelError, match="liger-kernel"):
        chosen_kernels(TINY.model_copy(update={"kernels": "liger"}))
    monkeypatch.setattr("helpers.finetuning.precision.find_spec", lambda name: name)
    on_gpu = TINY.model_copy(update={"kernels": "auto", "device": "cuda"})
    assert chosen_kernels(on_gpu) == "liger"


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=pytest.mark.full)])
def test_mixed_precision_keeps_weights_and_answers_in_float32(base, texts, tmp_path, method):
    changed = {"autocast": "bfloat16", "method": method, "train_layers": 2}
    if method == "lora":
        changed["head_rows"] = "answers"
    settings = TINY.model_copy(update=changed)
    made = train_and_answer(CAP, texts[:24], texts[24:], base, settings, tmp_path / "cell")
    saved = train(CAP, texts[:24], texts[24:], base, settings, tmp_path / "saved")
    assert load_model(saved / "model").lm_head.weight.dtype == torch.float32
    pd.testing.assert_frame_equal(
        made.constrained, predict(CAP, texts[24:], saved / "model", threads=1)
    )
    used = json.loads((saved / "manifest.json").read_text())["used"]
    assert used["autocast"] == "bfloat16" and used["optimiser"] == "adamw_torch_fused"
    plain = settings.model_copy(update={"autocast": "none"})
    other = train_and_answer(CAP, texts[:24], texts[24:], base, plain, tmp_path / "plain")
    assert not made.history["loss"].equals(other.history["loss"])
    assert (made.history["loss"] - other.history["loss"]).abs().max() < 0.1


def test_many_examples_lie_in_a_mapped_file(base, tmp_path):
    """Twenty thousand texts: tokens are on disk, and no more than a few blocks were in memory."""
    import pyarrow as pa

    frame = pd.DataFrame({"text": ["fish and ships"] * 20_000, "labels": CAP.dumps("6")})
    frame.loc[7, "text"] = "fish"
    tokenizer, file = load_tokenizer(base), tmp_path / "examples.arrow"
    before = pa.total_allocated_bytes()
    mapped = examples.example_set(CAP, frame, tokenizer, TINY, file)
    assert pa.total_allocated_bytes() - before < 100_000 < file.stat().st_size
    assert mapped.cache_files == [{"filename": str(file)}]
    assert mapped[:9] == examples.example_set(CAP, frame[:9], tokenizer, TINY, file)[:9]
    lengths = examples.example_lengths(mapped)
    assert len(lengths) == 20_000 and lengths[6:9] == [len(row) for row in mapped[6:9]["input_ids"]]


def test_mapped_examples_train_to_the_same_bytes(base, texts, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "IN_MEMORY", 5)
    monkeypatch.setattr(examples, "AT_ONCE", 10)
    again = train(CAP, texts[:24], texts[24:], base, ANSWERS, tmp_path / "mapped")
    assert weights(again) == weights(trained)
    assert not (again / "examples").exists()


def test_a_batch_of_padding_alone_is_refused():
    with pytest.raises(AssertionError, match="padding alone"):
        Collator(PAD, prefix=False)([{"input_ids": [], "labels": []}])


def test_padding_share_by_hand(trained):
    performance = json.loads((trained / "performance.json").read_text())
    assert 0 <= performance["padding_share"] < 0.3 and performance["processes"] == 1
