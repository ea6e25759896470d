"""The sides of the training benchmark: each trains once, in a process of its own.

``published``         what the authors' scripts do, on stock TRL and a CPU: float32, loss on the
                      whole text, gradient checkpointing, random order, LoRA r=64 on query and
                      value, learning rate 2e-4;
``published-answers`` the same with the loss on the answer, as TRL offers;
``full-logits``       ``published`` with cross-entropy over all logits, as TRL had it before it
                      fused head and loss;
``trl-cli``           the command ``trl sft`` with its defaults (all weights, bfloat16), and
                      ``--use_cpu``, without which it refuses a machine without GPU;
``published-same``    ``published``, loss on the whole text included, in this package's trainer;
``ours-same``         ``published-answers`` in this package's trainer, texts grouped by length:
                      model, adapters and loss are the same, only the way of computing differs;
``ours``              `helpers.finetuning` with its defaults;
``...-fast``          in bfloat16 where the processor has it (``autocast: auto``); ``ours-fast``
                      also lets only the head's rows for answers learn (``head_rows: answers``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import material
import pandas as pd
from common import CORES, peak_memory

WARM_TEXTS = 16
STOCK = ("published", "published-answers", "full-logits")


@dataclass(frozen=True)
class Spec:
    """One training: side, texts, layers, epochs, learning rate (None: the side's own)."""

    side: str
    texts: int
    layers: int
    epochs: int = 1
    learning_rate: float | None = None
    score: bool = False  # also answer the held-out texts; stock TRL: after every epoch
    asked: int = material.HELD_OUT  # how many of them
    column: str = "text"  # whole texts, or titles (title)
    names: bool = True  # ours: also train on the codebook's names, as is the default
    warm: bool = False  # a step that nobody times
    quick: bool = False  # no warm-up, without the codebook's names


def run(spec: Spec) -> dict[str, Any]:
    """Train, and return what it took.

    Returns
    -------
    seconds : of the training itself, as the trainer counts them.
    whole : of everything from a base model on disk to a trained one in memory.
    tokens, supervised : tokens of the texts, and those with a loss, of one epoch.
    peak_memory : MiB.
    accuracies, clocks : on held-out texts and seconds at that moment, if asked for.
    """
    import torch

    torch.set_num_threads(CORES)
    os.environ["OMP_NUM_THREADS"] = str(CORES)
    if spec.side == "trl-cli":
        return _command_line(spec)
    side = _stock if spec.side in STOCK else _ours
    if not spec.quick:
        side(replace(spec, texts=WARM_TEXTS, epochs=1, score=False, warm=True))
        _forget()
    return side(spec) | {"peak_memory": peak_memory()}


def _forget() -> None:
    """Empty what the package keeps in a process, so that the warm-up saves nothing."""
    from helpers.finetuning import frozen, preparation

    frozen._KEPT.clear()
    preparation._READ.clear()


def published_settings(spec: Spec) -> Any:
    """Return the settings of the published scripts, for the examples and our own trainer."""
    from helpers.finetuning import FinetuningSettings

    return FinetuningSettings(
        epochs=spec.epochs,
        learning_rate=spec.learning_rate or 2e-4,
        scheduler="constant",
        warmup_ratio=0.0,
        max_grad_norm=0.3,
        weight_decay=0.001,
        train_layers=None,
        lora_r=64,
        lora_alpha=16,
        lora_dropout=0.1,
        target_modules=["query", "value"],
        modules_to_save=[],
        answer_rows="as_is",
        codebook_rows=False,
        loss_on="completion" if spec.side == "published-answers" else "all",
        group_by_length=False,
        threads=CORES,
    )


def _stock(spec: Spec) -> dict[str, Any]:
    """Train with TRL's own SFTTrainer; nothing of ours but the tokens of the examples."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, Trainer, set_seed
    from trl import SFTConfig, SFTTrainer

    from helpers.finetuning import build_examples
    from helpers.language_models import load_model, load_tokenizer
    from helpers.tasks import load_task

    class FullLogits(SFTTrainer):  # the loss of transformers' Trainer: the model's own
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            return Trainer.compute_loss(self, *args, **kwargs)

    began = time.perf_counter()
    set_seed(0)
    folder, settings = material.base("causal", spec.layers), published_settings(spec)
    tokenizer = load_tokenizer(folder)
    frame = material.training_texts(spec.texts, spec.column)
    examples = build_examples(load_task("cap"), frame, tokenizer, settings)
    with tempfile.TemporaryDirectory() as out:
        config = SFTConfig(
            output_dir=out,
            num_train_epochs=spec.epochs,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            lr_scheduler_type=settings.scheduler,
            max_grad_norm=settings.max_grad_norm,
            weight_decay=settings.weight_decay,
            gradient_checkpointing=True,
            bf16=False,
            max_length=None,
            train_sampling_strategy="random",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = (FullLogits if spec.side == "full-logits" else SFTTrainer)(
            model=load_model(folder),
            args=config,
            train_dataset=Dataset.from_list(examples),
            processing_class=tokenizer,
            peft_config=LoraConfig(
                r=settings.lora_r,
                lora_alpha=settings.lora_alpha,
                lora_dropout=settings.lora_dropout,
                target_modules=settings.target_modules,
                bias="none",
                task_type="CAUSAL_LM",
            ),
        )
        trainer.remove_callback(PrinterCallback)
        scores = _Scores(began, lambda: _accuracy(trainer.model, tokenizer, spec), spec.score)
        trainer.add_callback(scores.callback())
        trainer.train()
    return {
        "seconds": trainer.state.log_history[-1]["train_runtime"] - scores.paused,
        "whole": time.perf_counter() - began - scores.paused,
        "tokens": sum(len(example["input_ids"]) for example in examples),
        "supervised": sum(sum(x != -100 for x in example["labels"][1:]) for example in examples),
        "accuracies": scores.accuracies,
        "clocks": scores.clocks,
    }


class _Scores:
    """Scores a model after each epoch, with the clock stopped."""

    def __init__(self, began: float, score: Callable[[], float], wanted: bool) -> None:
        self.began, self.score, self.wanted = began, score, wanted
        self.paused = 0.0
        self.accuracies: list[float] = []
        self.clocks: list[float] = []

    def callback(self) -> Any:
        from transformers import TrainerCallback

        scores = self

        class AfterEpoch(TrainerCallback):
            def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if scores.wanted:
                    scores.take()
                    kwargs["model"].train()

        return AfterEpoch()

    def take(self) -> None:
        now = time.perf_counter()
        self.clocks.append(now - self.began - self.paused)
        self.accuracies.append(self.score())
        print(f"    {self.clocks[-1]:.0f} s: accuracy {self.accuracies[-1]:.3f}", flush=True)
        self.paused += time.perf_counter() - now


def _accuracy(model: Any, tokenizer: Any, spec: Spec) -> float:
    """Return the accuracy on held-out texts; only labels of the task can be answered."""
    from helpers.prediction import answer
    from helpers.tasks import load_task

    frame = material.held_out(spec.asked, spec.column)
    found = answer(load_task("cap"), frame, model, tokenizer)
    return float((found["labels"] == frame["labels"]).mean())


def ours_settings(spec: Spec) -> Any:
    """Return the package's settings for a side."""
    from helpers.finetuning import FinetuningSettings

    own: dict[str, Any] = {"autocast": "auto"} if spec.side.endswith("fast") else {}
    if spec.side == "published-same":
        return published_settings(spec)
    if spec.side.startswith("ours-same"):
        own |= {"loss_on": "completion", "group_by_length": True}
        return published_settings(spec).model_copy(update=own)
    if spec.side == "ours-fast":
        own["head_rows"] = "answers"
    if spec.learning_rate is not None:
        own["learning_rate"] = spec.learning_rate
    own["codebook_rows"] = spec.names and not (spec.warm or spec.quick)
    if spec.warm or spec.quick:
        own["answer_rows"] = "as_is"
    return FinetuningSettings(epochs=spec.epochs, threads=CORES, **own)


def _ours(spec: Spec) -> dict[str, Any]:
    from helpers.finetuning import build_examples
    from helpers.finetuning.fit import fit
    from helpers.tasks import load_task

    began = time.perf_counter()
    task, settings = load_task("cap"), ours_settings(spec)
    folder = material.base("causal" if "same" in spec.side else "prefix", spec.layers)
    frame = material.training_texts(spec.texts, spec.column)
    with tempfile.TemporaryDirectory() as out:
        fitted = fit(task, frame, None, folder, settings, Path(out), checkpoints=False)
    whole = time.perf_counter() - began
    examples = build_examples(task, frame, fitted.tokenizer, settings)
    accuracy = [_accuracy(fitted.merged(settings), fitted.tokenizer, spec)] if spec.score else []
    return {
        "seconds": fitted.trainer.state.log_history[-1]["train_runtime"],
        "whole": whole,
        "tokens": sum(len(example["input_ids"]) for example in examples),
        "supervised": sum(sum(x != -100 for x in example["labels"]) for example in examples),
        "accuracies": accuracy,
        "clocks": [whole] if accuracy else [],
    }


def _command_line(spec: Spec) -> dict[str, Any]:
    """Run ``trl sft`` on a JSON Lines file; everything not named is TRL's default."""
    import resource

    from helpers.language_models import load_model, load_tokenizer
    from helpers.tasks import load_task

    folder, task = material.base("causal", spec.layers), load_task("cap")
    frame = material.training_texts(spec.texts, spec.column)
    rows = [
        {"prompt": str(task.prompt(text, "short")), "completion": task.completion(task.loads(cell))}
        for text, cell in zip(frame["text"], frame["labels"], strict=True)
    ]
    tokenizer = load_tokenizer(folder)
    for line in rows:  # the model has 512 positions, and the command cuts at 1,024
        assert len(tokenizer(line["prompt"])["input_ids"]) < 500
    with tempfile.TemporaryDirectory() as place:
        data, out = Path(place) / "data", Path(place) / "out"
        data.mkdir()
        pd.DataFrame(rows).to_json(data / "train.jsonl", orient="records", lines=True)
        command = [str(Path(sys.executable).parent / "trl"), "sft"]
        command += ["--model_name_or_path", str(folder), "--dataset_name", str(data)]
        command += ["--num_train_epochs", str(spec.epochs), "--output_dir", str(out)]
        command += ["--use_cpu"]
        env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(CORES)}
        env |= {"HF_DATASETS_CACHE": str(Path(place) / "cache")}
        began = time.perf_counter()
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        whole = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"trl sft failed:\n{done.stderr[-2000:]}")
        lines = [line for line in done.stdout.splitlines() if "train_runtime" in line]
        seconds = float(json.loads(lines[-1].replace("'", '"'))["train_runtime"])
        accuracy = [_accuracy(load_model(out), load_tokenizer(out), spec)] if spec.score else []
    unit = 2**20 if sys.platform == "darwin" else 1024
    tokens = [len(tokenizer(line["prompt"] + line["completion"])["input_ids"]) for line in rows]
    return {
        "seconds": seconds,
        "whole": whole,
        "tokens": sum(tokens) + len(tokens),
        "supervised": 2 * len(rows),
        "peak_memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit,
        "accuracies": accuracy,
        "clocks": [whole] if accuracy else [],
    }
