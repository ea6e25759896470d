"""Several processes that train together take the step that one would take alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from finetuning_worker import CASES, PAD, make_trainer, one_step, random_examples, tiny_model

from helpers.finetuning.losses import supervised_loss
from helpers.finetuning.trainer import Collator
from helpers.profiles import REPO

WORKER = Path(__file__).with_name("finetuning_worker.py")


def check(cases, folder):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    env = {**os.environ, "PYTHONPATH": str(REPO / "src"), "OMP_NUM_THREADS": "1"}
    command += [str(WORKER), str(folder), *cases]
    made = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-3000:]
    for case in cases:
        alone = one_step(case, folder, batch_size=8)
        first, other = torch.load(folder / f"{case}.pt"), torch.load(folder / f"{case}-other.pt")
        before = one_step_not_taken(case, folder)
        moved = max(float((alone[name] - before[name]).abs().max()) for name in alone)
        assert moved > 1e-3
        for name, expected in alone.items():
            assert torch.equal(first[name], other[name])
            assert (first[name] - expected).abs().max() < 1e-5


def one_step_not_taken(case, folder):
    options = dict(CASES[case])
    model = tiny_model(options.pop("kind"))
    trainer = make_trainer(model, folder, batch_size=8, **options)
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def test_gradients_pass_through_the_wrapper_that_synchronises_them(tmp_path):
    """In this process alone: a loss that went past the wrapper would leave no trace there."""
    from torch.nn.parallel import DistributedDataParallel

    batch = Collator(PAD, prefix=False)(random_examples(6))
    model, seen = tiny_model("llama"), []

    def hook(state, bucket):
        seen.append(bucket.buffer().abs().sum())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(model)
        wrapped.register_comm_hook(None, hook)
        loss, _ = supervised_loss(wrapped, batch, model.get_output_embeddings())
        loss.backward()
    finally:
        torch.distributed.destroy_process_group()
    assert seen and all(total > 0 for total in seen)
    twin = tiny_model("llama")
    supervised_loss(twin, batch)[0].backward()
    pairs = zip(model.parameters(), twin.parameters(), strict=True)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-5) for a, b in pairs)


def test_the_loss_of_one_of_two_processes_counts_double(tmp_path, monkeypatch):
    """Gradients are averaged over processes, but the loss is divided by the tokens of all."""
    trainer = make_trainer(tiny_model("llama"), tmp_path, batch_size=8)
    batch = Collator(PAD, prefix=False)(random_examples(8))
    alone = trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(40))
    monkeypatch.setattr(type(trainer.accelerator), "num_processes", 2)
    one_of_two = trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(40))
    assert torch.equal(one_of_two, 2 * alone)


@pytest.mark.full
def test_two_processes_take_the_step_of_one(tmp_path):
    check(["llama", "gpt2", "gemma2"], tmp_path)
