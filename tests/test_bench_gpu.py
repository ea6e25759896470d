"""The GPU benchmark at toy size: every part runs, gaps are said, figures mean what they claim."""

import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

import gpu
import gpu_model
import gpu_training

from helpers.profiles import load_profile


@pytest.fixture(scope="module")
def toy():
    return gpu_training.Training(gpu_training.Recipe("ours"), "toy", "cpu")


@pytest.mark.full
def test_every_part_runs_and_what_is_missing_has_a_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_model, "find_spec", lambda name: None)
    gpu.main(["--toy", "--rounds", "1", "--texts", "4", "--out", str(tmp_path)])
    table = pd.read_csv(tmp_path / "gpu.csv", keep_default_na=False, na_values={"median": [""]})
    assert set(table["shape"]) == {"toy"} and table["device"].all() and table["date"].all()
    gaps = table[table["median"].isna()]
    assert gaps["side"].tolist() == ["QLoRA", "QLoRA, checkpointing"]
    assert gaps["note"].str.contains(r"bitsandbytes is not installed: pip install").all()
    measures = table["measure"].str.replace(r"\d[\d,]*", "#", regex=True)
    found = set(zip(measures, table["side"], strict=True))
    for name in ("LoRA", "LoRA, checkpointing"):
        for end in ("", ": MFU", ": peak memory"):
            assert (f"training, # tokens{end}", name) in found
    assert {"published settings", "ours", "ours / published", "cpu"} <= set(table["side"])
    notes = table.loc[table["side"] == "published settings", "note"]
    assert notes.str.contains("without NF4").any()
    shared = table[table["side"] == "shared / whole"]
    assert shared.loc[shared["unit"] == "%", "median"].tolist() == [100]


def test_without_a_gpu_the_command_says_so(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "torch sees no NVIDIA GPU; --toy runs" in capsys.readouterr().err


def test_half_of_the_peak_is_the_anchors_rate():
    assert gpu_model.parameters("llama-2-7b") == 6_738_415_616
    given = Namespace(shape="llama-2-7b", peak=790.0)
    assert gpu._mfu([14_655], given) == [pytest.approx(50, abs=0.01)]


@pytest.mark.parametrize("four_bit", [False, True], ids=["bfloat16", "NF4"])
def test_a_step_trains_the_adapter_alone(four_bit):
    if four_bit:
        pytest.importorskip("bitsandbytes", reason="needs bitsandbytes: pip install -e '.[gpu]'")
    recipe = gpu_training.Recipe("x", four_bit=four_bit, checkpointing=True, whole_text=True)
    made = gpu_training.Training(recipe, "toy", "cpu")
    before = {name: value.clone() for name, value in made.model.named_parameters()}
    for _ in range(2):  # the second half of an adapter starts at zero
        made.step(gpu_training.full(2, 16, True))
    after = dict(made.model.named_parameters())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("lora_" in name for name in changed)
    layer = made.model.get_base_model().model.layers[0].self_attn.k_proj
    assert layer.weight.dtype == (torch.uint8 if four_bit else torch.bfloat16)


def test_the_largest_batch_is_found_by_doubling_and_leaves_nothing_behind(toy, monkeypatch):
    step, tried = toy.step, []

    def limited(batch):
        tried.append(len(batch["input_ids"]))
        if tried[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(batch)

    monkeypatch.setattr(toy, "step", limited)
    assert gpu_training.largest_batch(toy, 8, most=64) == 2
    assert tried == [1, 2, 4]
    assert all(p.grad is None for p in toy.model.parameters())
    tried[:] = []
    monkeypatch.setattr(toy, "step", lambda batch: limited({"input_ids": [0] * 3}))
    assert gpu_training.largest_batch(toy, 8, most=64) == 0


def test_batches_hold_every_text_once_within_their_limits():
    examples = [[i] * length for i, length in enumerate([9, 3, 7, 7, 2, 5, 8])]
    cut = gpu_training.batches(examples, tokens=18, most=3, whole_text=False)
    seen = sorted(int(row[0]) for batch in cut for row in batch["input_ids"])
    assert seen == list(range(7))
    assert all(batch["input_ids"].numel() <= 18 for batch in cut)
    learnt = [(batch["labels"] != gpu_training.IGNORED).sum(1).tolist() for batch in cut]
    assert all(number <= gpu_training.ANSWER for row in learnt for number in row)
    whole = gpu_training.padded(examples[:2], whole_text=True)
    assert (whole["labels"] != gpu_training.IGNORED).sum(1).tolist() == [9, 3]
    assert whole["attention_mask"].sum(1).tolist() == [9, 3]


def test_the_demo_on_a_gpu_is_the_demo():
    demo, there = load_profile("demo").model_dump(), load_profile("demo-gpu").model_dump()
    assert there.pop("device") == "cuda" and demo.pop("device") == "cpu"
    for key in ("name", "title"):
        demo.pop(key), there.pop(key)
    assert there == demo
