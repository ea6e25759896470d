"""The loss at supervised positions is the plain loss, for every kind of causal model."""

import pytest
import torch
from finetuning_worker import KINDS, LORA, PAD, make_trainer, one_step, random_examples, tiny_model

from helpers.finetuning.losses import supervised_loss
from helpers.finetuning.trainer import OURS, Collator


def plain_loss(model, batch):
    """The sum over full logits, as transformers computes it from labels."""
    items = (batch["labels"][:, 1:] != -100).sum()
    return model(**batch, num_items_in_batch=items).loss * items


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {
        n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for n, p in model.named_parameters()
    }


def assert_same(model, batch):
    plain = plain_loss(model, batch)
    expected = gradients(model, plain)
    ours, tokens = supervised_loss(model, batch)
    found = gradients(model, ours)
    assert tokens == (batch["labels"][:, 1:] != -100).sum()
    assert torch.allclose(plain, ours, rtol=1e-5)
    largest = max(float(g.abs().max()) for g in expected.values())
    assert largest > 1e-2
    for name, gradient in expected.items():
        assert torch.allclose(gradient, found[name], atol=1e-5 * max(largest, 1.0)), name


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_full_logits(kind):
    assert_same(tiny_model(kind), Collator(PAD, prefix=False)(random_examples(6)))


def test_what_follows_the_head_matters_here():
    """Without capping or scaling the loss differs: the test above would see it missing."""
    batch = Collator(PAD, prefix=False)(random_examples(6))
    for kind, name in (
        ("gemma2-capped", "final_logit_softcapping"),
        ("cohere-scaled", "logit_scale"),
    ):
        model = tiny_model(kind)
        right, _ = supervised_loss(model, batch)
        with torch.no_grad():
            hidden = model.base_model(**{k: v for k, v in batch.items() if k != "labels"})
            chosen = batch["labels"][:, 1:] != -100
            logits = model.get_output_embeddings()(hidden.last_hidden_state[:, :-1][chosen])
            wanted = batch["labels"][:, 1:][chosen]
            direct = torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
        assert abs(right.item() - direct.item()) > 0.01 * right.item(), name


@pytest.mark.parametrize("kind", ["llama", "gpt2-tied", "llama-tied", "bert-generation"])
@pytest.mark.parametrize("saved", [None, ["lm_head"]])
def test_with_adapters_on_own_and_tied_heads(kind, saved):
    from peft import LoraConfig, get_peft_model

    targets = LORA.get(kind, ["q_proj", "v_proj"])
    config = LoraConfig(
        r=4,
        target_modules=targets,
        modules_to_save=saved,
        task_type="CAUSAL_LM",
        init_lora_weights=False,
    )
    torch.manual_seed(1)
    assert_same(
        get_peft_model(tiny_model(kind), config).eval(),
        Collator(PAD, prefix=False)(random_examples(6)),
    )


def test_a_model_that_does_not_call_its_head_gets_the_same_loss(monkeypatch):
    """Slower, since all logits are there, but right."""
    model = tiny_model("llama")
    batch = Collator(PAD, prefix=False)(random_examples(6))
    expected, _ = supervised_loss(model, batch)
    head = model.lm_head
    monkeypatch.setattr(
        type(model),
        "forward",
        lambda self, **kwargs: type("Output", (), {"logits": self._direct(kwargs)})(),
    )
    type(model)._direct = lambda self, kwargs: (
        self.model(**kwargs).last_hidden_state @ head.weight.T
    )
    found, _ = supervised_loss(model, batch)
    del type(model)._direct
    assert torch.allclose(expected, found, atol=1e-5)


def test_a_batch_without_supervised_tokens_adds_nothing():
    model = tiny_model("llama")
    batch = Collator(PAD, prefix=False)(random_examples(3))
    batch["labels"].fill_(-100)
    loss, tokens = supervised_loss(model, batch)
    assert loss == 0 and tokens == 0
    assert all(not g.any() for g in gradients(model, loss).values())


@pytest.mark.parametrize("case", ["llama", "gpt2", "gemma2"])
def test_accumulated_batches_take_the_step_of_one_large_batch(case, tmp_path):
    """Answers differ in length: a mean of the batches' means would be another step."""
    large = one_step(case, tmp_path, batch_size=8)
    small = one_step(case, tmp_path, batch_size=2, accumulation=4)
    assert all((large[name] - small[name]).abs().max() < 1e-5 for name in large)


def test_the_trainer_takes_the_step_of_the_plain_loss(tmp_path):
    model, twin = tiny_model("gemma2-capped"), tiny_model("gemma2-capped")
    trainer = make_trainer(model, tmp_path, batch_size=8)
    trainer.train()
    assert trainer.loss_name == OURS and trainer.state.global_step == 1
    twin.train()
    batch = Collator(PAD, prefix=False)(random_examples(8))
    items = (batch["labels"][:, 1:] != -100).sum()
    step = gradients(twin, plain_loss(twin, batch) / items)
    for name, parameter in twin.named_parameters():
        moved = parameter - 0.5 * step[name]
        assert torch.allclose(moved, model.get_parameter(name), atol=1e-5), name
    assert 0 < trainer.padding_share() < 0.5
