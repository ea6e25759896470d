"""What 4 bits change: the same model as adapter, merged, GGUF f16 and Q4_K_M, on the same texts.

    python bench/parity.py [--items 150] [--rounds 3] [--threads 1] [--folder FOLDER]

Needs the optional part: pip install -e ".[gguf]". Writes ``bench/results/parity.csv``: one row a
form of the model and way to answer, with the machine and the versions.

A small LLAMA-architecture model (5 million weights, no download) is trained on embedded CAP texts,
all weights first, then LoRA on top. It need not be good: the question is whether its forms answer
alike. Share of equal answers: against the adapter on its base model, same way to answer. Rows a
second: one text at a time, as in the paper, and the sides take turns. ``bytes``: what must be kept
to use the form (the adapter needs its base model).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import common
import pandas as pd
import parity_model

from helpers import export
from helpers.data import load_embedded, make_split
from helpers.finetuning import FinetuningSettings, train
from helpers.language_models import load_model, load_tokenizer, prompt_tokens
from helpers.metrics.reliability import wilson_interval
from helpers.prediction import answer
from helpers.tasks import load_task

TASK = load_task("cap")
PROMPT = {"max_prompt_tokens": 256}
FREE_TOKENS = 8
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SEED = 20241101
PACKAGES = ("torch", "transformers", "peft", "llama-cpp-python")
Side = Callable[[pd.DataFrame], pd.DataFrame]


def settings(method: str, epochs: int, rate: float, threads: int, **more: Any) -> Any:
    """Return settings for a model that has no codebook head and no layers to freeze."""
    common = {
        "answer_rows": "as_is",
        "train_layers": None,
        "modules_to_save": [],
        "target_modules": PROJECTIONS,
        "seed": SEED,
        "threads": threads,
    }
    chosen = {"method": method, "epochs": epochs, "learning_rate": rate, **common, **PROMPT, **more}
    return FinetuningSettings(**chosen)


def make_forms(folder: Path, texts: pd.DataFrame, epochs: int, threads: int) -> dict[str, Path]:
    """Train the model, unless `folder` has it, and return each form (and the base model)."""
    learnt = texts[texts["split"] == "train"]
    base, first, second = folder / "random", folder / "first", folder / "second"
    if not (second / "manifest.json").is_file():
        parity_model.build(base, learnt["text"].tolist(), seed=SEED)
        plan = settings("full", epochs, 1e-3, threads, loss_on="all")
        train(TASK, learnt, None, base, plan, first)
        plan = settings("lora", max(1, epochs // 3), 1e-3, threads, codebook_rows=False)
        train(TASK, learnt, None, first / "model", plan, second)
    forms = {"base": first / "model", "adapter": second / "adapter", "merged": second / "model"}
    for kind in ("f16", "Q4_K_M"):
        file = folder / f"cap-{kind}.gguf"
        forms[f"GGUF {kind}"] = export.export_gguf(
            forms["merged"], file, kind, tokenizer_model=base / "tokenizer.model"
        )
    return forms


def size(path: Path) -> int:
    """Return the bytes of a model's weights."""
    files = [path] if path.is_file() else path.glob("*.safetensors")
    return sum(file.stat().st_size for file in files)


def sides(forms: dict[str, Path], threads: int) -> tuple[dict[tuple[str, str], Side], Any]:
    """Load every form; return (form, way to answer) -> function, and the GGUF models."""
    from peft import PeftModel

    tokenizer = load_tokenizer(forms["merged"])
    on_base = PeftModel.from_pretrained(load_model(forms["base"]), forms["adapter"])
    whole = {"adapter": on_base, "merged": load_model(forms["merged"])}
    context = PROMPT["max_prompt_tokens"] + FREE_TOKENS + 1
    files = {
        name: export.inference.load(path, context=context, threads=threads)
        for name, path in forms.items()
        if name.startswith("GGUF")
    }
    free = {"constrained": False, "max_new_tokens": FREE_TOKENS}
    ways: dict[str, dict[str, Any]] = {"labels only": {}, "free": free}
    found: dict[tuple[str, str], Side] = {}
    for way, options in ways.items():
        for name, model in whole.items():
            found[name, way] = bound(answer, model, tokenizer, batch_size=1, **options)
        for name, model in files.items():
            found[name, way] = bound(export.inference.answer_gguf, model, tokenizer, **options)
    for name, model in files.items():
        found[name, "labels only, GBNF"] = bound(
            export.inference.answer_gguf, model, tokenizer, grammar="gbnf", max_new_tokens=8
        )
    return found, files


def bound(how: Callable[..., pd.DataFrame], model: Any, tokenizer: Any, **options: Any) -> Side:
    """Return a function of the texts alone."""
    return lambda items: how(TASK, items, model, tokenizer, **PROMPT, **options)


def take_turns(
    found: dict[tuple[str, str], Side], items: pd.DataFrame, rounds: int
) -> tuple[dict[tuple[str, str], pd.DataFrame], dict[tuple[str, str], list[float]]]:
    """Ask the sides in turn; return the answers and the rows a second of each round."""
    for ask in found.values():
        ask(items.head(4))
    answers, speeds = {}, {key: [] for key in found}
    for number in range(rounds):
        for key, ask in found.items():
            started = time.perf_counter()
            answers[key] = ask(items)
            speeds[key].append(len(items) / (time.perf_counter() - started))
        print(f"round {number + 1} of {rounds} done", flush=True)
    return answers, speeds


def table(
    items: pd.DataFrame,
    answers: dict[tuple[str, str], pd.DataFrame],
    speeds: dict[tuple[str, str], list[float]],
    bytes_of: dict[str, int],
) -> pd.DataFrame:
    """Return one row a side."""
    rows = []
    for (name, way), got in answers.items():
        reference = answers["adapter", "free" if way == "free" else "labels only"]
        equal = (got["answer"].str.strip() == reference["answer"].str.strip()).mean()
        right = int(((got["status"] == "ok") & (got["labels"] == items["labels"])).sum())
        low, high = wilson_interval(right, len(items))
        rows.append(
            {
                "form": name,
                "answers": way,
                "items": len(items),
                "equal_to_adapter": equal,
                "accuracy": right / len(items),
                "low": float(low),
                "high": float(high),
                "valid": (got["status"] == "ok").mean(),
                "distinct_answers": got["answer"].nunique(),
                "rows_per_second": median(speeds[name, way]),
                "slowest": min(speeds[name, way]),
                "fastest": max(speeds[name, way]),
                "bytes": bytes_of[name],
            }
        )
    return pd.DataFrame(rows)


def majority(texts: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Return the row of a labeller that always gives the commonest label of the training texts."""
    commonest = texts.loc[texts["split"] == "train", "labels"].mode()[0]
    right = int((items["labels"] == commonest).sum())
    low, high = wilson_interval(right, len(items))
    found = {"items": len(items), "accuracy": right / len(items), "low": float(low)}
    always = {"form": "always the commonest label", "distinct_answers": 1, "valid": 1.0}
    return pd.DataFrame([{**always, **found, "high": float(high)}])


def same_tokens(items: pd.DataFrame, tokenizer: Any, model: Any) -> float:
    """Return the share of prompts that llama.cpp itself cuts into the tokens of training."""
    prompts = [TASK.prompt(text) for text in items["text"]]
    ours = [prompt_tokens(tokenizer, prompt, 10_000) for prompt in prompts]
    theirs = [model.tokenize(str(prompt).encode("utf-8")) for prompt in prompts]
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(prompts)


def run(folder: Path, items: int, rounds: int, epochs: int, threads: int) -> pd.DataFrame:
    """Make the forms, ask them, return the table."""
    texts = make_split(load_embedded(TASK).frame, TASK, SEED).frame
    about = {"threads": threads, **common.machine(*PACKAGES)}
    forms = make_forms(folder, texts, epochs, threads)
    asked = texts[texts["split"] == "test"].head(items).reset_index(drop=True)
    asking, files = sides(forms, threads)
    answers, speeds = take_turns(asking, asked, rounds)
    adapter = size(forms["adapter"])
    sizes = {"adapter": adapter + size(forms["base"])}
    sizes |= {name: size(path) for name, path in forms.items() if name not in ("adapter", "base")}
    tokens = same_tokens(asked, load_tokenizer(forms["merged"]), files["GGUF f16"])
    about = {"same_tokens": tokens, "adapter_bytes": adapter, **about}
    for model in files.values():
        model.close()
    found = table(asked, answers, speeds, sizes)
    return pd.concat([found, majority(texts, asked)]).round(4).assign(**about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep the models here, or take them from here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        found = run(folder, given.items, given.rounds, given.epochs, given.threads)
    path = common.RESULTS / "parity.csv"
    path.parent.mkdir(exist_ok=True)
    found.to_csv(path, index=False)
    print(found.iloc[:, :13].to_string(index=False))


if __name__ == "__main__":
    main()
