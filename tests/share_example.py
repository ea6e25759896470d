"""A finished run for tests of sharing: real texts, made-up scores, weights of a few bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from run_example import small_run

from helpers.comparison.reading import SHOWN
from helpers.finetuning import FinetuningSettings
from helpers.runs import REPO, Run, artifact, file_sha256, frame_sha256, versions, write_json
from helpers.tasks import load_task

TOKENIZER = {"tokenizer_class": "TokenizersBackend", "model_max_length": 512}
BESIDE = ("majority", "embeddings-lr", "crowd-majority", "minilm-2l")


def finished_run(
    root: Path, task: str = "cap", key: str = "minilm-2l", weights: Path | None = None, **plan: Any
) -> Run:
    """Return a run in which `key` was trained on `task` and scored, as chapters 04 and 05 leave it.

    `weights`: folder of a real model (default: files of a few bytes).
    """
    run = small_run(root, task, train=12, test=8, plan={"models": [key], **plan})
    write_json(
        run.root / "data" / task / "manifest.json",
        {"splits": {"train": 12, "test": 8}, "sha256": "0" * 64, "source": "embedded"},
    )
    artifact(run.root / "models" / task / f"{key}-ft", {}, lambda f: _train(f, task, key, weights))
    _score(run, task, f"{key}-ft")
    finish(run)
    return run


def _train(folder: Path, task: str, key: str, weights: Path | None) -> None:
    if weights is not None:
        shutil.copytree(weights, folder / "model")
    else:
        for part, name in (("model", "model"), ("adapter", "adapter_model")):
            (folder / part).mkdir()
            (folder / part / f"{name}.safetensors").write_bytes(key.encode())
            (folder / part / "README.md").write_text("not filled in", encoding="utf-8")
            write_json(folder / part / "tokenizer_config.json", TOKENIZER)
            write_json(folder / part / "tokenizer.json", {})
        write_json(folder / "model" / "config.json", {"model_type": "prefix-lm"})
        base = {"base_model_name_or_path": str(folder / "base"), "r": 16}
        write_json(folder / "adapter" / "adapter_config.json", base)
    texts = pd.DataFrame({"text": ["a"], "labels": ["b"]})
    settings = FinetuningSettings(seed=7).model_dump()
    data = {"train": frame_sha256(texts), "n_train": 12}
    manifest = {"task": task, "base_model": key, "revision": None, "settings": settings}
    manifest |= {"data": data, "versions": versions(), "used": {"processes": 1}}
    write_json(folder / "manifest.json", manifest)
    performance = {"seconds": 3.0, "train_seconds": 2.0, "peak_memory_mb": 900}
    performance |= {"trainable_parameters": 10, "total_parameters": 100}
    write_json(folder / "performance.json", performance)


def _score(run: Run, task: str, tuned: str) -> None:
    """Write tables in which nothing but the names means anything."""
    kind, rows = load_task(task).label_type, []
    for place, model in enumerate((tuned, *BESIDE)):
        for metric in SHOWN[kind]:
            value = 0.6 - place / 10
            row = {"task": task, "split": "test", "model": model, "metric": metric}
            rows.append(
                row | {"value": value, "ci_low": round(value - 0.05, 6), "ci_high": value + 0.05}
            )
    # What a card must not show: scores of training texts.
    rows.append(rows[0] | {"split": "train", "value": 0.999, "ci_low": 0.998, "ci_high": 1.0})
    frame = pd.DataFrame(rows).assign(n=8, n_answered=8)
    classes = [
        {"task": task, "split": "test", "model": tuned, "label": key, "name": name, "metric": "f1"}
        | {"value": place / 50, "ci_low": 0.0, "ci_high": 1.0, "support": int(place > 0), "n": 8}
        for place, (key, name) in enumerate(load_task(task).label_names.items())
    ]
    (run.root / "tables").mkdir(exist_ok=True)
    frame.to_csv(run.root / "tables" / "metrics.csv", index=False)
    pd.DataFrame(classes).to_csv(run.root / "tables" / "per_class.csv", index=False)


def finish(run: Run) -> None:
    """Stamp chapters 04 and 05 as done with what lies there now."""
    code = {f"src/helpers/{n}": file_sha256(REPO / "src" / "helpers" / n) for n in ("runs.py",)}
    models = [p for p in (run.root / "models").rglob("*") if p.is_file() and p.suffix != ".lock"]
    tables = [run.root / "tables" / f"{name}.csv" for name in ("metrics", "per_class")]
    for name, outputs in (("04_finetuning", models), ("05_comparison", tables)):
        sums = {p.relative_to(run.root).as_posix(): file_sha256(p) for p in outputs}
        earlier = {p.relative_to(run.root).as_posix(): file_sha256(p) for p in models}
        stamp = {"inputs": {"files": code, "earlier": earlier}, "outputs": sums}
        write_json(run.path("chapters", f"{name}.json"), stamp)


def edit_table(run: Run, name: str, change: Any) -> None:
    """Change a table and stamp it as what chapter 05 wrote."""
    path = run.root / "tables" / f"{name}.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)
    finish(run)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
