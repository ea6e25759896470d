"""Label scoring behind a long codebook, and the texts that the GPU benchmark takes."""

from __future__ import annotations

import inspect
import time
from functools import partial
from typing import Any

import common
import gpu_model
import pandas as pd

from helpers import offline_model
from helpers.data import load_embedded
from helpers.language_models import completion_tokens, prompt_tokens
from helpers.prediction import answer
from helpers.tasks import Task, TaskFile, load_task

LONGEST = 3500  # tokens of a prompt


class WithSubtopics(Task):
    """A task whose prompt lists the subtopics too: a codebook of the size that coders work with."""

    def codebook_text(self) -> str:
        """Return one line a label, and under it one line a subtopic."""
        lines = []
        for key in self.labels:
            lines.append(f"{self.codes[key]}: {self.label_names[key]}")
            inside = self.subtopics[self.subtopics["label"] == key]
            lines += [f"  {name}" for name in inside["name"]]
        return "\n".join(lines)


def long_task() -> Task:
    """Return CAP with its subtopics in the prompt."""
    import yaml

    path = common.REPO / "config" / "tasks" / "cap.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return WithSubtopics(TaskFile.model_validate(content))


def tokenizer() -> Any:
    """Return the offline model's tokenizer: its 30,522 tokens fit LLAMA-2's 32,000 rows."""
    return offline_model._tokenizer(offline_model.source_folder())


def texts(number: int) -> pd.DataFrame:
    """Return embedded CAP texts, repeated if there are too few."""
    frame = load_embedded(load_task("cap")).frame
    frame = pd.concat([frame] * (1 + number // len(frame)), ignore_index=True).head(number)
    return frame.assign(split="test")


def examples(number: int, longest: int) -> list[list[int]]:
    """Return prompts and answers as tokens, prompts with instruction and majors."""
    task, coder = load_task("cap"), tokenizer()
    style = "full" if longest > 512 else "short"
    found = []
    for row in texts(number).itertuples():
        asked = prompt_tokens(coder, task.prompt(row.text, style), longest - 8)
        found.append(asked + completion_tokens(coder, task.completion(task.loads(row.labels))))
    return found


def sides() -> dict[str, dict[str, Any]]:
    """Return the ways to score, as options of `answer`; one where it cannot keep states."""
    if "speed" not in inspect.signature(answer).parameters:
        return {"whole prompts": {}}
    from helpers.prediction import Speed

    return {
        "whole prompts": {"speed": Speed(share_prefix="off")},
        "shared prefix": {"speed": Speed(share_prefix="on")},
    }


def measure(shape: str, device: str, number: int, rounds: int) -> list[dict[str, Any]]:
    """Return rows a second with and without the codebook's states kept, in turn."""
    task, coder, asked = long_task(), tokenizer(), texts(number)
    model = gpu_model.random_llama(shape, device)
    model.config.use_cache = True
    length = len(prompt_tokens(coder, task.prompt(asked["text"].iloc[0], "full"), LONGEST))
    given: dict[str, dict[str, Any]] = sides()
    got: dict[str, list[str]] = {}

    def score(name: str, _: int) -> dict[str, float]:
        gpu_model.wait(device)
        began = time.perf_counter()
        options = {"prompt_style": "full", "max_prompt_tokens": LONGEST, "batch_size": 16}
        found = answer(task, asked, model, coder, **options, **given[name])
        gpu_model.wait(device)
        got[name] = found["answer"].tolist()
        return {"rows/s": len(asked) / (time.perf_counter() - began)}

    found = common.take_turns({name: partial(score, name) for name in given}, rounds)
    what = f"label scoring, first prompt of {length} tokens"
    rows = [common.row(what, name, values["rows/s"], "rows/s") for name, values in found.items()]
    if "shared prefix" not in found:
        note = "this version of helpers.prediction keeps no states"
        return [*rows, common.row(what, "shared prefix", [float("nan")], "rows/s", note=note)]
    pairs = list(zip(got["whole prompts"], got["shared prefix"], strict=True))
    equal = 100 * sum(a == b for a, b in pairs) / len(pairs)
    over, under = (found[name]["rows/s"] for name in ("shared prefix", "whole prompts"))
    rows.append(common.ratio(what, "shared / whole", over, under, target=">= 2"))
    rows.append(common.row(f"{what}: equal answers", "shared / whole", [equal], "%"))
    return rows
