"""Encoders trained in part: what learns, what is kept, what a result depends on."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from pydantic import ValidationError

from helpers.encoders import method_settings
from helpers.encoders import states as states_module
from helpers.encoders.fit import FitError, batches, fit
from helpers.encoders.model import (
    EMBEDDINGS,
    EncoderError,
    build_model,
    load_encoder,
)
from helpers.encoders.settings import is_encoder_method
from helpers.encoders.states import Corpus
from helpers.encoders.weights import parameter_groups
from helpers.offline_model import source_folder

METHODS = ["frozen", "top-1", "lora", "all", "scratch"]
PLACES = ["Ordzha", "Verkhat", "the Sarvan corridor", "the capital", "two border villages"]
TEXTS = [
    f"Shells {'killed' if i % 2 else 'missed'} people in {PLACES[i % 5]}"
    + ", and the killing went on for days" * (i % 3)
    for i in range(30)
]
Y = np.array([3.0 * (i % 2) + i % 3 for i in range(30)])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folder of a random BERT of three narrow layers with the offline encoder's tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = BertConfig(num_hidden_layers=3, max_position_embeddings=64, **sizes)
    BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source_folder() / name, folder / name)
    return str(folder)


@pytest.fixture
def settings_for(tiny):
    def build(method, **changes):
        base = {"encoder": tiny, "layers": 3, "epochs": 2, "batch_size": 8, "max_tokens": 48}
        return method_settings(method, base | changes)

    return build


def weights(body):
    return {name: p.detach().clone() for name, p in body.named_parameters()}


# --- what learns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "learns"),
    [
        ("frozen", []),
        ("top-1", ["encoder.layer.2."]),
        ("top-2", ["encoder.layer.1.", "encoder.layer.2."]),
        ("lora", ["lora_"]),
        ("all", ["embeddings.", "encoder.layer."]),
    ],
)
def test_only_what_a_method_names_changes(settings_for, method, learns):
    settings = settings_for(method)
    original = weights(load_encoder(settings.encoder, None, 3)[0])
    model = fit(TEXTS, Y, settings).model
    after = weights(model.body)
    changed = {
        name
        for name, value in after.items()
        if "lora_" in name or not value.equal(original[name.replace("base_layer.", "")])
    }
    assert all(any(part in name for part in learns) for name in changed)
    expected = {name for name in after if any(part in name for part in learns)}
    # Keys' biases cancel in attention: they get no gradient worth the name.
    still = {name for name in expected - changed if "key.bias" not in name and "type" not in name}
    assert not still
    trainable = {name for name, p in model.body.named_parameters() if p.requires_grad}
    assert trainable == expected
    assert model.head.weight.any()
    assert load_encoder(settings.encoder, None, 3)[0].embeddings is not model.body.embeddings or (
        method == "frozen"
    )
    pristine = weights(load_encoder(settings.encoder, None, 3)[0])
    assert all(value.equal(original[name]) for name, value in pristine.items())


def test_counts_of_parameters(settings_for):
    models = {m: build_model(settings_for(m), 1) for m in [*METHODS, "top-2"]}
    counts = {method: model.counts() for method, model in models.items()}
    layer = sum(p.numel() for p in models["all"].body.encoder.layer[0].parameters())
    assert counts["frozen"]["trainable_parameters"] == 33  # 32 weights and a bias
    assert counts["top-1"]["trainable_parameters"] == layer + 33
    assert counts["top-2"]["trainable_parameters"] == 2 * layer + 33
    # r x (in + out) for each of six linear maps of a layer.
    adapters = 3 * 8 * (4 * (32 + 32) + 2 * (32 + 64))
    assert counts["lora"]["trainable_parameters"] == adapters + 33
    assert counts["lora"]["total_parameters"] == counts["all"]["total_parameters"] + adapters
    for method in ("all", "scratch"):
        assert counts[method]["trainable_parameters"] == counts[method]["total_parameters"]


def test_words_that_do_not_occur_keep_their_rows(settings_for):
    settings = settings_for("all")
    body, tokenizer = load_encoder(settings.encoder, None, 3)
    model = fit(TEXTS, Y, settings).model
    before, after = body.embeddings.word_embeddings, model.body.embeddings.word_embeddings
    assert after.weight.shape == before.weight.shape
    assert after.padding_idx == before.padding_idx
    used = {number for text in TEXTS for number in tokenizer(text)["input_ids"]}
    rows = (after.weight != before.weight).any(dim=1).nonzero().flatten().tolist()
    assert set(rows) == used


def test_new_weights_are_random_by_the_seed(settings_for):
    def word(**changes):
        return build_model(settings_for("scratch", **changes), 1).body

    known = load_encoder(settings_for("all").encoder, None, 3)[0]
    first, same, other = word(seed=1), word(seed=1), word(seed=2)
    for name, value in weights(first).items():
        assert value.equal(dict(same.named_parameters())[name])
        if value.ndim > 1:
            assert not value.equal(dict(other.named_parameters())[name]), name
            assert not value.equal(dict(known.named_parameters())[name]), name
    assert not first.embeddings.word_embeddings.weight[0].any()  # padding


def test_reinitialised_layers_are_the_top_ones(settings_for):
    known = weights(load_encoder(settings_for("all").encoder, None, 3)[0])
    model = build_model(settings_for("all", reinitialise=2), 1)
    for name, value in weights(model.body).items():
        if value.ndim > 1:
            new = "layer.1." in name or "layer.2." in name
            assert value.equal(known[name]) != new, name


def test_learning_rates_fall_from_layer_to_layer(settings_for):
    settings = settings_for("all", learning_rate=1e-3, layer_decay=0.5, head_learning_rate=0.1)
    model = build_model(settings, 1)
    groups = parameter_groups(model, settings)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    layers = model.body.encoder.layer
    expected = [0.1, 1e-3, 5e-4, 2.5e-4, 1.25e-4]
    parts = [model.head, layers[2], layers[1], layers[0], model.body.embeddings]
    for part, wanted in zip(parts, expected, strict=True):
        assert [rate[id(p)] for p in part.parameters()] == pytest.approx(
            [wanted] * len(list(part.parameters()))
        )
    decayed = {id(p) for g in groups if g["weight_decay"] for p in g["params"]}
    assert decayed == {
        id(p) for p in [*model.body.parameters(), *model.head.parameters()] if p.ndim > 1
    }


# --- what a result depends on ----------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_same_settings_give_the_same_result(settings_for, method):
    first = fit(TEXTS, Y, settings_for(method, dropout=0.1))
    again = fit(TEXTS, Y, settings_for(method, dropout=0.1))
    assert first.history == again.history
    np.testing.assert_array_equal(first.predict(TEXTS), again.predict(TEXTS))
    other = fit(TEXTS, Y, settings_for(method, dropout=0.1, seed=5))
    assert first.history != other.history


@pytest.mark.parametrize("method", ["frozen", "top-1", "top-2"])
def test_kept_states_change_nothing(settings_for, method, monkeypatch):
    kept = fit(TEXTS, Y, settings_for(method))
    assert kept.corpus.states(kept.model.first) is not None
    monkeypatch.setattr(states_module, "MOST_BYTES", 0)
    anew = fit(TEXTS, Y, settings_for(method))
    assert anew.corpus.states(anew.model.first) is None
    np.testing.assert_allclose(kept.history, anew.history, rtol=1e-4)
    np.testing.assert_allclose(kept.predict(TEXTS), anew.predict(TEXTS), atol=1e-4)


def test_states_do_not_depend_on_the_order_of_use(settings_for):
    settings = settings_for("top-1")
    one, other = Corpus(TEXTS, settings), Corpus(TEXTS, settings)
    other.states(3)
    for a, b in zip(one.states(2), other.states(2), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize("method", ["frozen", "top-1", "all"])
def test_a_prediction_is_the_texts_own(settings_for, method):
    fitted = fit(TEXTS, Y, settings_for(method))
    together = fitted.predict(TEXTS)
    np.testing.assert_allclose(fitted.predict(TEXTS[::-1]), together[::-1], atol=1e-5)
    alone = [fitted.predict([text])[0] for text in TEXTS[:4]]
    np.testing.assert_allclose(alone, together[:4], atol=1e-5)
    # A text outside the corpus takes the long way, and gives what a known one gives.
    np.testing.assert_allclose(fitted.predict([TEXTS[1], "unheard of"])[0], together[1], atol=1e-5)


def test_batches_hold_every_text_once_and_differ_by_epoch():
    lengths = list(np.random.default_rng(0).integers(5, 90, 103))
    first, second = list(batches(lengths, 8, 1, 0)), list(batches(lengths, 8, 1, 1))
    assert first == list(batches(lengths, 8, 1, 0)) != second
    for found in (first, second):
        assert sorted(row for batch in found for row in batch) == list(range(103))
        assert max(map(len, found)) == 8
    spans = [np.ptp([lengths[row] for row in batch]) for batch in first]
    assert np.mean(spans) < 20 < np.ptp(lengths)


def test_the_scale_of_the_target_does_not_matter(settings_for):
    plain, moved = (
        fit(TEXTS, Y, settings_for("top-1")),
        fit(TEXTS, 100 * Y - 7, settings_for("top-1")),
    )
    np.testing.assert_allclose(moved.predict(TEXTS), 100 * plain.predict(TEXTS) - 7, rtol=1e-3)
    constant = fit(TEXTS, np.full(len(TEXTS), 4.0), settings_for("frozen"))
    np.testing.assert_allclose(constant.predict(TEXTS), 4.0)


# --- what it learns --------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "least"), [("frozen", 0.3), ("top-1", 0.8), ("all", 0.8)])
def test_the_offline_encoder_learns_a_number(method, least):
    settings = method_settings(method, {"layers": 2, "epochs": 10, "learning_rate": 5e-4})
    guess = fit(TEXTS, Y, settings).predict(TEXTS)
    assert 1 - ((guess - Y) ** 2).sum() / ((Y - Y.mean()) ** 2).sum() > least


def test_classes_get_probabilities_unseen_ones_too():
    settings = method_settings("frozen", {"layers": 2, "epochs": 60})
    labels = np.arange(len(TEXTS)) % 2 + 1  # classes 0 and 3 do not occur
    chance = fit(TEXTS, labels, settings, classes=4).predict(TEXTS)
    assert chance.shape == (30, 4)
    np.testing.assert_allclose(chance.sum(axis=1), 1)
    assert (chance.argmax(axis=1) == labels).mean() > 0.9
    assert chance[:, [0, 3]].max() < 0.2


def test_the_head_starts_at_the_mean(settings_for):
    settings = settings_for("all", learning_rate=1e-12, head_learning_rate=1e-12)
    np.testing.assert_allclose(fit(TEXTS, Y, settings).predict(TEXTS), Y.mean(), atol=1e-6)


# --- what is refused -------------------------------------------------------------------------


def test_a_diverged_loss_names_method_fold_and_remedy(settings_for):
    settings = settings_for("top-1", head_learning_rate=1e9)
    with pytest.raises(FitError, match=r"conflict, top-1, fold-r0-f3.*diverged.*lower") as caught:
        fit(TEXTS, Y, settings, name="conflict, top-1, fold-r0-f3")
    assert "top-1" in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "target"), [(TEXTS[:1], Y[:1]), (TEXTS, Y[:-1]), (TEXTS, np.full(30, np.nan))]
)
def test_training_needs_texts_and_numbers(settings_for, texts, target):
    with pytest.raises(FitError, match="two or more texts"):
        fit(texts, target, settings_for("frozen"))


@pytest.mark.parametrize(
    "changes",
    [
        {"trainable": "bottom-1"},
        {"trainable": "top-0"},
        {"epochss": 3},
        {"trainable": "head", "reinitialise": 1},
        {"trainable": "top-1", "reinitialise": 2},
        {"trainable": "lora", "reinitialise": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(changes):
    from helpers.encoders import EncoderSettings

    with pytest.raises(ValidationError):
        EncoderSettings(**changes)


def test_names_of_methods():
    assert all(map(is_encoder_method, [*METHODS, "top-2", "top-12"]))
    assert not any(map(is_encoder_method, ["top-<k>", "top-0", "top", "head", "dictionary-forest"]))
    assert method_settings("frozen", {}).trainable == "head"


def test_what_the_encoder_lacks_is_said(settings_for, tmp_path):
    with pytest.raises(EncoderError, match="only 3 layers"):
        build_model(settings_for("top-4"), 1)
    with pytest.raises(EncoderError, match="only 3"):
        build_model(settings_for("all", layers=9), 1)
    with pytest.raises(EncoderError, match="2, 4 or 6"):
        build_model(method_settings("all", {"layers": 3}), 1)
    with pytest.raises(EncoderError, match="nothing-there"):
        build_model(settings_for("all", encoder=str(tmp_path / "nothing-there")), 1)
    with pytest.raises(EncoderError, match="target_modules"):
        build_model(settings_for("lora", target_modules=["q_proj"]), 1)


def test_an_encoder_of_another_build_is_refused(tiny, tmp_path):
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(n_layers=1, dim=32, hidden_dim=64, n_heads=2)
    DistilBertModel(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source_folder() / name, tmp_path / name)
    with pytest.raises(EncoderError, match="BERT, RoBERTa or ELECTRA"):
        build_model(method_settings("all", {"encoder": str(tmp_path), "layers": 1}), 1)


def test_the_lowest_part_that_learns(settings_for):
    first = {m: build_model(settings_for(m), 1).first for m in [*METHODS, "top-2"]}
    assert first == {
        "frozen": 3,
        "top-1": 2,
        "top-2": 1,
        "lora": 0,
        "all": EMBEDDINGS,
        "scratch": EMBEDDINGS,
    }
