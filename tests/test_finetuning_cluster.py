"""Fine-tuning by several processes: same texts, same losses, one voice, and no work lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
import torch
import yaml
from accelerate.data_loader import BatchSamplerShard, DataLoaderShard, skip_first_batches
from safetensors.torch import load_file
from torch.utils.data import BatchSampler

from helpers import offline_model
from helpers.finetuning import FinetuningError, FinetuningSettings, Job, processes
from helpers.finetuning.__main__ import main
from helpers.finetuning.order import Filled, KeepEpoch, LengthBatchedSampler
from helpers.finetuning.processes import with_global_batch
from helpers.finetuning.record import check_folder, record_of
from helpers.finetuning.tables import labelled_texts
from helpers.profiles import REPO
from helpers.tasks import load_task

CAP = load_task("cap")
CONFIGS = REPO / "config" / "accelerate"
TINY = {"epochs": 4, "save_every": 100, "codebook_rows": False, "lora_r": 4, "train_layers": 2}
LONG = {"epochs": 8, "save_every": 3}  # checkpoints within an epoch too
TEXTS, STEP = 27, 16  # two steps an epoch, the second incomplete


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The offline model without dropout, whose random numbers depend on the split."""
    folder = offline_model.build(2, tmp_path_factory.mktemp("models") / "minilm-2l")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.0}))
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A folder with train.parquet, validation.csv and settings.yaml."""
    folder = tmp_path_factory.mktemp("tables")
    rows = pd.read_json(REPO / "data" / "embedded" / "cap.jsonl", lines=True).head(TEXTS + 21)
    frame = pd.DataFrame({"text": rows["subject"], "labels": rows["major"].astype(str)})
    frame[:TEXTS].assign(labels=frame["labels"].map(CAP.dumps)).to_parquet(folder / "train.parquet")
    frame[TEXTS:].to_csv(folder / "validation.csv", index=False)
    (folder / "settings.yaml").write_text(yaml.safe_dump(TINY))
    return folder


def options(tables, base, out, **changed):
    given = {
        "task": "cap",
        "train": tables / "train.parquet",
        "validation": tables / "validation.csv",
        "model": base,
        "settings": tables / "settings.yaml",
        "out": out,
    } | changed
    return [part for key, value in given.items() for part in (f"--{key}", str(value))]


def launch(given, config="cpu-2", program=("-m", "helpers.finetuning"), extra=()):
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    command += ["--config_file", str(CONFIGS / f"{config}.yaml"), *extra, *program, *given]
    env = {**os.environ, "PYTHONPATH": str(REPO / "src"), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=env, text=True, **pipes)


def finished(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    return out


def kill_one_after_a_checkpoint(process, out):
    """Kill process 1 of 2 once there is a checkpoint; its launcher ends the other. Return which."""
    deadline = time.monotonic() + 240
    while not list(out.glob("checkpoints/checkpoint-*/complete")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    (victim,) = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.environ().get("RANK") == "1"
    ]
    victim.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert not (out / "model").exists()
    complete = out.glob("checkpoints/checkpoint-*/complete")
    return max(int(file.parent.name.split("-")[1]) for file in complete)


def losses(folder):
    return pd.read_csv(folder / "history.csv").set_index("epoch")[["loss", "eval_loss"]]


def largest_loss_difference(one, other, but=()):
    first, second = (losses(folder).drop(index=list(but)) for folder in (one, other))
    assert first.index.equals(second.index) and first.notna().all(axis=None)
    return (first - second).abs().max(axis=None)


def weights_file(folder):
    return folder / "model" / "model.safetensors"


def largest_difference(one, other):
    first, second = load_file(weights_file(one)), load_file(weights_file(other))
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


# --- what a step learns from -------------------------------------------------------------------


def steps(lengths, size, times, n, group):
    """What each step of an epoch learns from, as the trainer and accelerate deal it out."""
    several = size * n if n > 1 else 1
    dealt = []
    for rank in range(n):
        sampler = LengthBatchedSampler(lengths, size * times * n, 5, group, several)
        sampler.set_epoch(2)
        batches = BatchSampler(sampler, size, drop_last=False)
        dealt.append(list(BatchSamplerShard(batches, n, rank) if n > 1 else batches))
    assert len({len(batches) for batches in dealt}) == 1
    number = len(dealt[0])
    return [
        [i for batches in dealt for batch in batches[start : start + times] for i in batch]
        for start in range(0, number, times)
    ]


@pytest.mark.parametrize("group", [True, False])
@pytest.mark.parametrize("n", [61, 64, 7])
def test_a_step_learns_from_the_same_texts_however_it_is_split(group, n):
    lengths = [(17 * i) % 40 + 3 for i in range(n)]
    alone = steps(lengths, 16, 1, 1, group)
    assert sorted(i for step in alone for i in step) == list(range(n))
    for size, times, count in [(4, 4, 1), (8, 1, 2), (4, 2, 2), (4, 1, 4), (2, 2, 4)]:
        split = steps(lengths, size, times, count, group)
        real = [sorted(i for i in step if i < n) for step in split]
        assert real == [sorted(step) for step in alone]
        filled = [i for step in split for i in step if i >= n]
        assert len(filled) == (-n % (size * count) if count > 1 else 0)


def test_empty_examples_teach_nothing():
    filled = Filled([{"input_ids": [5, 6], "labels": [-100, 6]}], token=0)
    assert len(filled) == 1
    assert filled[0]["labels"] == [-100, 6] and set(filled[3]["labels"]) == {-100}


# --- one process and two, and a kill -----------------------------------------------------------


@pytest.fixture(scope="module")
def trained(base, tables, tmp_path_factory):
    """What two processes and one made, in folders ``two`` and ``one``, and what the two said."""
    folder = tmp_path_factory.mktemp("trained")
    given = {"batch-size": 8, "global-batch": STEP}
    said = finished(launch(options(tables, base, folder / "two", **given)))
    assert main(options(tables, base, folder / "one", **{"global-batch": STEP})) == 0
    return folder, said


def test_two_processes_learn_what_one_does(trained):
    """Kept states of frozen layers and an incomplete last step included."""
    one, two = trained[0] / "one", trained[0] / "two"
    fall = losses(one)["loss"].iloc[0] - losses(one)["loss"].iloc[-1]
    assert fall > 0.5 and len(losses(one)) == TINY["epochs"]
    assert largest_loss_difference(one, two) < 1e-3
    assert largest_difference(one, two) < 1e-3
    used = json.loads((two / "manifest.json").read_text())["used"]
    assert (used["processes"], used["global_batch"], used["weights"]) == (2, STEP, "whole (DDP)")
    assert not (two / "checkpoints").exists()


def test_the_main_process_alone_speaks(trained):
    said = trained[1]
    assert said.count("cap/minilm-2l: 27 texts, 16 a step (8 × 1 × 2 process(es), cpu)") == 1
    assert said.count("epoch 4: training loss") == said.count("saved in") == 1


def test_a_finished_training_is_not_repeated_and_another_is_refused(
    trained, base, tables, tmp_path, capsys
):
    two = trained[0] / "two"
    made = (two / "performance.json").stat().st_mtime_ns
    same = {"batch-size": 4, "global-batch": STEP}  # another split is the same training
    assert main(options(tables, base, two, **same)) == 0
    assert "done before" in capsys.readouterr().out
    other = {"settings": tmp_path / "short.yaml", "global-batch": STEP}
    other["settings"].write_text(yaml.safe_dump(TINY | {"epochs": 1}))
    assert main(options(tables, base, two, **other)) == 1
    said = capsys.readouterr().err
    assert "settings.epochs: 4 then, 1 now" in said and "another --out" in said
    assert main(options(tables, base, tmp_path, **other)) == 1
    assert "holds other files (short.yaml)" in capsys.readouterr().err
    assert (two / "performance.json").stat().st_mtime_ns == made


def test_the_epoch_reaches_the_sampler_where_processes_resume_within_one():
    """accelerate 1.15 loses it; once that is mended, `KeepEpoch` is not needed."""
    sampler = LengthBatchedSampler([3] * 16, 4, seed=0, group=False)
    shard = BatchSamplerShard(BatchSampler(sampler, 2, drop_last=False), 2, 0)
    skipped = skip_first_batches(DataLoaderShard(range(16), batch_sampler=shard), 1)
    skipped.set_epoch(1)
    assert sampler.epoch == 0
    KeepEpoch(sampler).on_epoch_begin(None, SimpleNamespace(epoch=1.25), None)
    assert sampler.epoch == 1


@pytest.mark.full
def test_killed_processes_resume_to_the_same_weights(base, tables, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump(TINY | LONG))
    given = {"settings": settings, "batch-size": 8, "global-batch": STEP}
    whole, killed, alone = (tmp_path / name for name in ("whole", "killed", "alone"))
    finished(launch(options(tables, base, whole, **given)))
    step = kill_one_after_a_checkpoint(launch(options(tables, base, killed, **given)), killed)
    partial = killed / "checkpoints" / "checkpoint-99999"
    partial.mkdir()  # what a kill during saving leaves behind
    shutil.copytree(killed, alone)
    finished(launch(options(tables, base, killed, **given)))
    assert weights_file(killed).read_bytes() == weights_file(whole).read_bytes()
    # The loss of an epoch within which it resumed is the mean of the steps since.
    since = [step // 2 + 1] if step % 2 else []
    assert largest_loss_difference(whole, killed, but=since) == 0
    # Another split of the same global batch: one process alone goes on.
    assert main(options(tables, base, alone, settings=settings, **{"global-batch": STEP})) == 0
    assert largest_difference(alone, whole) < 1e-3


# --- FSDP --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama(base, tmp_path_factory):
    """A model that reads from left to right, two layers, with the offline model's tokenizer."""
    import transformers

    folder = tmp_path_factory.mktemp("models") / "llama"
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=101,
        eos_token_id=102,
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


CASES: dict[str, dict] = {
    "adapter": {"head_rows": "answers", "target_modules": ["q_proj", "v_proj"]},
    "whole head": {"target_modules": ["q_proj", "v_proj"], "head_learning_rate": 0.01},
    "all weights": {"method": "full", "gradient_checkpointing": True},
}
LLAMA = TINY | {"train_layers": None, "answer_rows": "as_is", "epochs": 4, "save_every": 3}


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_processes_that_share_a_model_learn_what_one_process_does(case, llama, tables, tmp_path):
    worker = REPO / "tests" / "finetuning_worker.py"
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump(LLAMA | CASES[case]))
    given = {"settings": settings, "batch-size": 4, "global-batch": STEP}
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    start = {"config": "fsdp", "extra": ["--num_processes", "2"]}
    start["program"] = (str(worker), "as-on-gpus")
    process = launch(options(tables, llama, shared, **given), **start)
    step = 0
    if case == "adapter":
        step = kill_one_after_a_checkpoint(process, shared)
        process = launch(options(tables, llama, shared, **given), **start)
    finished(process)
    assert main(options(tables, llama, alone, **given)) == 0
    since = [step // 2 + 1] if step % 2 else []
    assert largest_loss_difference(alone, shared, but=since) < 1e-3
    assert largest_difference(alone, shared) < 1e-3
    used = json.loads((shared / "manifest.json").read_text())["used"]
    assert used["weights"] == "cut up (FSDP)"
    if case != "all weights":
        first, second = (
            load_file(f / "adapter" / "adapter_model.safetensors") for f in (alone, shared)
        )
        assert first.keys() == second.keys()
        assert all((first[k] - second[k]).abs().max() < 1e-3 for k in first)


def environment(config, *given):
    """What `accelerate launch` would tell the processes that it starts."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    file = str(CONFIGS / f"{config}.yaml")
    command = ["--config_file", file, *given, "-m", "helpers.finetuning", "--task", "cap"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    return arguments, prepare_multi_gpu_env(arguments)


def test_accelerate_reads_our_configurations(monkeypatch):
    arguments, _ = environment("cpu-2")
    assert (arguments.multi_gpu, arguments.nproc_per_node) == (True, "2")
    arguments, told = environment("ddp", "--num_processes", "4")
    assert arguments.nproc_per_node == "4" and told["ACCELERATE_MIXED_PRECISION"] == "no"
    with pytest.raises(ValueError, match="num_processes"):
        environment("ddp")
    machines = ["--num_processes", "8", "--num_machines", "2", "--machine_rank", "1"]
    arguments, _ = environment(
        "ddp", *machines, "--main_process_ip", "node1", "--main_process_port", "29500"
    )
    assert (arguments.nproc_per_node, arguments.nnodes, arguments.node_rank) == ("4", "2", 1)


def test_accelerate_makes_of_our_fsdp_configuration_what_it_says(monkeypatch, recwarn):
    from accelerate import FullyShardedDataParallelPlugin

    arguments, told = environment("fsdp", "--num_processes", "2")
    assert arguments.use_fsdp and told["ACCELERATE_USE_FSDP"] == "true"
    for name, value in told.items():
        if name.startswith("FSDP_"):
            monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy"
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert not plugin.cpu_ram_efficient_loading


def launched_with(monkeypatch, **environment):
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", **environment}.items():
        monkeypatch.setenv(name, value)


def test_fsdp_is_refused_where_it_would_not_be_or_would_not_help(monkeypatch):
    shares = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    launched_with(monkeypatch, **shares)
    processes.prepare(FinetuningSettings())
    with pytest.raises(FinetuningError, match=r"cpu-2\.yaml"):
        processes.check(SimpleNamespace(is_fsdp_enabled=False))
    with pytest.raises(FinetuningError, match="method: lora"):
        processes.prepare(FinetuningSettings(method="qlora", device="cuda"))
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(FinetuningError, match="fsdp_version: 2"):
        processes.prepare(FinetuningSettings())


def test_more_processes_than_gpus_are_refused_with_numbers(monkeypatch):
    launched_with(monkeypatch, LOCAL_RANK="3", LOCAL_WORLD_SIZE="4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(FinetuningError, match=r"4 processes .* 2 GPU"):
        processes.prepare(FinetuningSettings(device="cuda"))
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    processes.prepare(FinetuningSettings(device="cuda"))
    assert chosen == [3]


# --- the command line --------------------------------------------------------------------------


def test_global_batch():
    settings = FinetuningSettings(batch_size=16)
    assert with_global_batch(settings, None, 3) == settings
    assert with_global_batch(settings, 64, 2).gradient_accumulation == 2
    with pytest.raises(FinetuningError, match=r"48 texts at a time.*--global-batch 48 or 96"):
        with_global_batch(settings, 64, 3)
    with pytest.raises(FinetuningError, match=r"--batch-size 12: 12 × 2 time\(s\) × 2 = 48"):
        with_global_batch(settings, 48, 2)
    with pytest.raises(FinetuningError, match=r"--batch-size 8: 8 × 1 time\(s\) × 2 = 16"):
        with_global_batch(settings, 16, 2)
    with pytest.raises(FinetuningError, match="cannot be split"):
        with_global_batch(settings, 0, 2)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_tables_name_file_row_column_and_remedy(suffix, tmp_path):
    path = tmp_path / f"own{suffix}"
    write = {
        ".csv": lambda f: f.to_csv(path, index=False),
        ".jsonl": lambda f: f.to_json(path, orient="records", lines=True),
        ".parquet": lambda f: f.to_parquet(path),
    }[suffix]
    write(pd.DataFrame({"text": ["fish", "tax"], "labels": ["4", "1"], "other": [1, 2]}))
    assert labelled_texts(path, CAP)["labels"].tolist() == ['"4"', '"1"']
    write(pd.DataFrame({"text": ["fish", " ", "tax"], "labels": ["4", "1", "99"]}))
    with pytest.raises(FinetuningError) as caught:
        labelled_texts(path, CAP)
    first = 2 if suffix == ".csv" else 1
    unit = "row" if suffix == ".parquet" else "line"
    assert f"own{suffix} has 2 problem(s)" in str(caught.value)
    assert f"{unit} {first + 1}, column text: is empty: fill it in" in str(caught.value)
    assert f"{unit} {first + 2}, column labels: unknown label '99'" in str(caught.value)
    write(pd.DataFrame({"words": ["fish"], "labels": ["4"]}))
    with pytest.raises(FinetuningError, match=rf"own{suffix} has no column 'text'.*words.*rename"):
        labelled_texts(path, CAP)


def test_tables_hold_every_kind_of_label(tmp_path):
    flourishing, path = load_task("flourishing"), tmp_path / "own.csv"
    level = '{"suffering": "high"}'
    pd.DataFrame({"text": ["a"], "labels": [level]}).to_csv(path, index=False)
    assert json.loads(labelled_texts(path, flourishing)["labels"][0]) == {"suffering": "high"}
    dataverse = load_task("dataverse")
    two = dataverse.labels[:2]
    path = tmp_path / "own.parquet"
    pd.DataFrame({"text": ["a", "b", "c"], "labels": [two[::-1], two, []]}).to_parquet(path)
    assert labelled_texts(path, dataverse)["labels"].map(json.loads).tolist() == [two, two, []]
    path = tmp_path / "own.csv"
    pd.DataFrame({"text": ["a"], "labels": [f"{two[1]}; {two[0]}"]}).to_csv(path, index=False)
    assert json.loads(labelled_texts(path, dataverse)["labels"][0]) == two


def test_wrong_commands_say_what_is_missing(tables, tmp_path, capsys):
    own = ["--task", "cap", "--out", str(tmp_path / "out")]
    table = ["--train", str(tables / "train.parquet"), "--model", "minilm"]
    (tmp_path / "wrong.yaml").write_text("epoch: 3\n")
    for given, expected in [
        (own, "--train and --model, or --profile and --key"),
        ([*own, *table, "--profile", "demo"], "--train and --model, or --profile and --key"),
        ([*own, "--profile", "demo"], "--profile and --key"),
        ([*own, "--train", "nowhere.parquet", "--model", "x"], "nowhere.parquet is missing"),
        ([*own, *table, "--settings", str(tmp_path / "wrong.yaml")], "known settings: method"),
        ([*own, *table, "--settings", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        ([*own, *table, "--global-batch", "20"], "--batch-size 10: 10 × 2 time(s) × 1 = 20"),
        ([*own, "--profile", "demo", "--key", "minilm-6l", "--root", str(tmp_path)], "01_data"),
    ]:
        assert main(given) == 1
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_s_own_texts_and_settings_are_used(tables, tmp_path, capsys):
    """Profile, task and model key: what chapter 04 would train, into a folder of one's own."""
    from helpers.experiments.trainings import settings_for
    from helpers.finetuning.__main__ import _parser, read_job
    from helpers.models import get_model
    from helpers.runs import open_run

    run = open_run("smoke", tmp_path)
    frame = pd.read_parquet(tables / "train.parquet").reset_index(drop=True)
    split = ["train"] * 20 + ["validation"] * 7
    frame = frame.assign(id=[f"t{i}" for i in frame.index], split=split)
    frame.to_parquet(run.path("data", "cap", "texts.parquet"))
    key = run.profile.plan("cap").models[0]
    given = ["--task", "cap", "--profile", "smoke", "--key", key, "--root", str(tmp_path)]
    given += ["--labels", "gold", "--out", str(tmp_path / "out"), "--batch-size", "4"]
    job = read_job(_parser().parse_args(given))
    assert (len(job.train), len(job.validation), job.out) == (20, 7, tmp_path / "out")
    assert job.settings == settings_for(run, "cap", get_model(key), batch_size=4)
    assert (job.model / "config.json").is_file()


def test_other_processes_do_not_repeat_an_error(tables, tmp_path, monkeypatch, capsys):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    launched_with(monkeypatch, RANK="1")
    own = ["--task", "cap", "--out", str(tmp_path / "out")]
    assert main(own) == 1
    assert waited and "error in process 1:" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--unknown"])
    assert capsys.readouterr().err == ""


def test_a_folder_may_change_its_split_and_nothing_else(tmp_path, monkeypatch):
    frame = pd.DataFrame({"text": ["a"], "labels": ['"1"']})
    settings = FinetuningSettings(batch_size=8, gradient_accumulation=2)
    job = Job("cap/x", "cap", frame, frame, "x", settings, tmp_path / "out")
    record = record_of(job)
    assert not check_folder(job, record)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "job.json").write_text(json.dumps(record))
    launched_with(monkeypatch)
    split = settings.model_copy(update={"gradient_accumulation": 1})
    other = Job("cap/x", "cap", frame, frame, "x", split, tmp_path / "out")
    assert record_of(other) == record and not check_folder(other, record_of(other))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(FinetuningError, match="fsdp: False then, True now"):
        check_folder(other, record_of(other))
