"""Prediction: one text at a time, in batches, and the package's scoring of labels.

    python bench/prediction.py [--quick] [--texts 315] [--rounds 2]

Writes ``bench/results/prediction.csv`` and ``shared_prefix.csv``. All sides ask one model, in one
process and in turns after a warm-up, about the same held-out CAP questions, first their titles
alone (a dozen tokens), then the whole texts (a hundred, so that one text at a time fills the
processor far better):

* ``one at a time``: as published; up to 50 new tokens, ends at the end-of-sequence token;
* ``batched``: `generate` in batches of 32 texts of similar length;
* ``ours``: one forward pass a batch that scores the labels' tokens, float32;
* ``ours, autocast``: the same with ``autocast: auto`` (float32 where the processor lacks bfloat16);
* ``ours, bfloat16``: the same with the weights in bfloat16;
* ``ours, int8``: the same with 8-bit linear layers, where the extra ``[int8]`` is installed.

The model is the six-layer offline model after one training of this package, so that its answers
mean something. Shares of equal answers are against ``one at a time``; the difference in accuracy
has a 95% bootstrap interval over texts (2,000 draws).

**Shared prefix.** A causal model of the Llama type with random weights and the whole codebook, with
its 250 subtopics, in the prompt (instruction and codebook first, text last): computed once, against
once a text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import common
import material
import pandas as pd
from common import Measured, ratio, row, save, take_turns

PACKAGES = ("torch", "transformers")
FIRST = "one at a time"
TARGETS = {"ours": "≥ 3.5", "ours, bfloat16": "≥ 9"}
KINDS = ("titles", "whole texts")
Answers = dict[str, pd.DataFrame]


def trained(layers: int, texts: int, column: str = "text") -> Path:
    """Train the model that is asked, once; it is kept under ``runs/bench/``.

    `column`: on whole texts (text) or titles (title), whichever it is asked about.
    """
    from helpers.finetuning import FinetuningSettings, train
    from helpers.runs import artifact
    from helpers.tasks import load_task

    settings = FinetuningSettings(threads=common.CORES, codebook_rows=texts > 100)
    base, frame = material.base("prefix", layers), material.training_texts(texts, column)

    def build(folder: Path) -> None:
        train(load_task("cap"), frame, None, base, settings, folder)

    known = {"layers": layers, "texts": texts, "column": column}
    name = f"trained-{layers}l-{texts}-{column}"
    folder, _ = artifact(common.SCRATCH / name, known | {"settings": settings.model_dump()}, build)
    return folder / "model"


def timed(frame: pd.DataFrame, answers: Answers, name: str, ask: Callable[[], Any]) -> Any:
    """Return a side that asks about all texts and keeps the answers."""

    def side(_: int) -> Measured:
        began = time.perf_counter()
        answers[name] = ask()
        return {"rows/s": len(frame) / (time.perf_counter() - began)}

    return side


def ways(frame: pd.DataFrame, folder: Path) -> tuple[dict[str, Any], Answers]:
    """Return the sides of the comparison, and where their answers will stand."""
    import torch
    from published_prediction import one_at_a_time

    from helpers.language_models import load_model, load_tokenizer
    from helpers.prediction import Speed, answer
    from helpers.tasks import load_task

    torch.set_num_threads(common.CORES)
    answers, tokenizer, task = Answers(), load_tokenizer(folder), load_task("cap")
    loaded = load_model(folder), tokenizer
    ask = partial(answer, task, frame, *loaded)
    half = partial(answer, task, frame, load_model(folder, dtype="bfloat16"), tokenizer)
    found: dict[str, Callable[[], Any]] = {
        FIRST: partial(one_at_a_time, task, frame, *loaded),
        "batched": partial(ask, constrained=False, max_new_tokens=50),
        "ours": ask,
        "ours, autocast": partial(ask, speed=Speed(autocast="auto")),
        "ours, bfloat16": half,
    }
    if find_spec("torchao"):
        found["ours, int8"] = partial(ask, speed=Speed(quantise="int8"))
    else:
        print("torchao is not installed (extra [int8]): the side int8 is left out")
    return {name: timed(frame, answers, name, side) for name, side in found.items()}, answers


def compared(frame: pd.DataFrame, answers: Answers, kind: str) -> list[dict[str, Any]]:
    """Return lines on how answers compare with those given one at a time."""
    from helpers.prediction.precision import agreement
    from helpers.tasks import load_task

    truth, one = frame[["id", "labels"]], answers[FIRST]
    others = {name: found for name, found in answers.items() if name != FIRST}
    rows = []
    for line in agreement(load_task("cap"), truth, one, others).itertuples():
        target = "≥ 99.5" if line.name == "ours" else ""
        equal = f"of {line.n}; 95% interval [{line.equal_low:.4f}, {line.equal_high:.4f}]"
        wide = f"95% interval [{100 * line.ci_low:.2f}, {100 * line.ci_high:.2f}]"
        beyond, score = 100 * line.difference, 100 * line.score
        rows += [
            row(f"equal answers, {kind}", line.name, [100 * line.equal], "%", target, equal),
            row(f"accuracy, {kind}", line.name, [score], "%"),
            row(f"accuracy beyond {FIRST}, {kind}", line.name, [beyond], "points", note=wide),
        ]
    first = 100 * (one["labels"] == truth["labels"]).mean()
    return [row(f"accuracy, {kind}", FIRST, [first], "%"), *rows]


def compare(given: Any, kind: str) -> list[dict[str, Any]]:
    """Return the lines of the comparison on the offline model; `kind`: titles or whole texts."""
    column = "title" if kind == "titles" else "text"
    frame = material.held_out(given.texts, column)
    folder = trained(given.layers, given.trained_on, column)
    print(f"{kind}:", flush=True)
    sides, answers = ways(frame, folder)
    rates = {name: v["rows/s"] for name, v in take_turns(sides, given.rounds).items()}
    rows = [row(f"rate, {kind}", name, rate, "rows/s") for name, rate in rates.items()]
    for name in list(rates)[1:]:
        target = TARGETS.get(name, "")
        measure = f"rate over {FIRST}, {kind}"
        rows.append(ratio(measure, name, rates[name], rates[FIRST], target))
    return rows + compared(frame, answers, kind)


def shared_prefix(given: Any) -> list[dict[str, Any]]:
    """Return the lines on computing the codebook once: a Llama-type model, random weights."""
    from helpers.language_models import prompt_tokens
    from helpers.prediction import Speed, answer
    from helpers.tasks import load_task

    task, (model, tokenizer) = deepcopy(load_task("cap")), material.llama(given.quick)
    for label, names in task.subtopics.groupby("label")["name"]:  # the whole codebook
        task.label_names[label] += f" ({'; '.join(names)})"
    frame, answers = material.held_out(given.prefix_texts), Answers()
    length = len(prompt_tokens(tokenizer, task.prompt("", "full"), 10**6))

    how: dict[str, Any] = {"prompt_style": "full", "max_prompt_tokens": 4096, "batch_size": 8}
    ask = partial(answer, task, frame, model, tokenizer, **how)
    names = {"prefix in every prompt": "off", "prefix shared": "on"}
    sides = {
        name: timed(frame, answers, name, partial(ask, speed=Speed(share_prefix=share)))
        for name, share in names.items()
    }
    rates = {name: v["rows/s"] for name, v in take_turns(sides, given.rounds).items()}
    each, once = names
    equal = 100 * (answers[each]["answer"] == answers[once]["answer"]).mean()
    note = f"{length} tokens of prompt beside the text"
    return [
        *(row("rate", name, rate, "rows/s", note=note) for name, rate in rates.items()),
        ratio("rate over prefix in every prompt", once, rates[once], rates[each], "≥ 2"),
        row("equal answers", once, [equal], "%", note=f"of {len(frame)}"),
    ]


def main(argv: list[str] | None = None) -> None:
    parser = common.arguments(__doc__, rounds=2)
    parser.add_argument("--texts", type=int, default=material.HELD_OUT)
    given = parser.parse_args(argv)
    given.layers, given.trained_on, given.prefix_texts = 6, 944, 32
    if given.quick:
        given.texts, given.layers, given.trained_on, given.rounds = 8, 2, 16, 1
        given.prefix_texts = 2
    rows = [line for kind in KINDS for line in compare(given, kind)]
    shared = shared_prefix(given)
    about = {"texts": given.texts, "layers": given.layers, "threads": common.CORES}
    save("prediction", rows, PACKAGES, given.out, quick=given.quick, **about)
    about = {"texts": given.prefix_texts, "threads": common.CORES}
    save("shared_prefix", shared, PACKAGES, given.out, quick=given.quick, **about)


if __name__ == "__main__":
    main()
