"""A made-up run for the tests of the report page: small tables, two figures, one notebook."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import yaml
from nbconvert import HTMLExporter

from helpers.runs import Run, open_run

TASK = "notes"
SVG = (
    '<?xml version="1.0"?>\n<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="648pt" '
    'height="216pt" viewBox="0 0 648 216" xmlns="http://www.w3.org/2000/svg">\n<metadata>'
    "<a>http://creativecommons.org/ns#</a></metadata>\n"
    '<path d="M 200.755396 95.738538 \nL 551.056722 9 \n" style="stroke: #000"/>\n'
    '<text x="10" y="50">drawn</text>\n</svg>'
)
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)
SCORES = [  # model, parameters, fine-tuned, value, low, high
    ("small-ft", 1e7, True, 0.6543, 0.6011, 0.7022),
    ("large-ft", 4e7, True, 0.7177, 0.6612, 0.7688),
    ("large", 4e7, False, 0.0544, 0.0321, 0.0833),
    ("small", 1e7, False, 0.0411, 0.0222, 0.0655),
    ("embeddings-lr", None, False, 0.5655, 0.5077, 0.6199),
    ("majority", None, False, 0.0899, 0.0622, 0.1211),
]


def profile(task: str, **more: Any) -> dict[str, Any]:
    """Return the settings of a run of one task."""
    return {
        "name": "tried",
        "title": "a trial",
        "data": "embedded",
        "tasks": [task],
        "seed": 1,
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "workers": 2,
        "offline": True,
        "bootstrap": 2000,
        "baselines": ["majority", "embeddings-lr"],
        "finetuning": {"tasks": {task: {"models": ["minilm-2l"]}}},
    } | more


def tables(task: str, label: str = "Health") -> dict[str, pd.DataFrame]:
    """Return result tables as the chapters write them, by name."""
    score = ["value", "ci_low", "ci_high"]
    models = pd.DataFrame(SCORES, columns=["model", "parameters", "fine_tuned", *score])
    metrics = models.assign(task=task, split="test", metric="accuracy", n=315, n_answered=315)
    tests = metrics[metrics["model"] != "large-ft"].assign(reference="large-ft", p_holm=0.0123)
    tests["difference"] = tests["value"] - 0.7177
    tests["ci_low"], tests["ci_high"] = tests["difference"] - 0.05, tests["difference"] + 0.05
    classes = pd.DataFrame(
        {
            "task": task,
            "split": "test",
            "model": "large-ft",
            "label": ["1", "2"] * 2,
            "name": [label, "Law"] * 2,
            "metric": ["sensitivity", "sensitivity", "f1", "f1"],
            "value": [0.81, 0.42, 0.7, 0.5],
            "ci_low": [0.7, 0.3, 0.6, 0.4],
            "ci_high": [0.9, 0.5, 0.8, 0.6],
            "support": [20, 10] * 2,
        }
    )
    interval = {"value": 0.4567, "ci_low": 0.3999, "ci_high": 0.5111, "n": 818}
    return {
        "metrics": metrics,
        "paired_tests": tests,
        "per_class": classes,
        "data_overview": _frame(
            task=task, label_type="single", texts=1259, labels_in_codebook=2, labels_per_text=1.0
        ),
        "data_splits": pd.DataFrame(
            {"task": task, "split": ["train", "test"], "texts": [818, 315]}
        ),
        "labelling_agreement": _frame(
            task=task, statistic="krippendorff_alpha", n_labellers=6, **interval
        ),
        "verification_acceptance": _frame(
            task=task, labeller="all", coder="all", accepted=875, judged=2753, rate=0.3178,
            ci_low=0.3007, ci_high=0.3354,
        ),
        "training_size_scores": pd.DataFrame(
            {
                "task": task, "model": "embeddings-lr", "labels": "gold", "n_train": [25, 818],
                "metric": "accuracy", "value": [0.1866, 0.6633], "ci_low": [0.1177, 0.6099],
                "ci_high": [0.2444, 0.7144], "n_seeds": [3, 1], "n": 315,
            }
        ),
        "estimates_summary": pd.DataFrame(
            {
                "task": task, "predictor": "crowd", "method": ["naive", "ppi"], "labels": 21,
                "mean_error": [0.02, 0.01], "holds_truth": [11, 20], "mean_width": [0.03, 0.08],
            }
        ),
        "claims": _frame(
            claim=f"A claim about {label}.", verdict="does not hold", figure="0.1", needs=""
        ),
    }  # fmt: skip


def _frame(**row: Any) -> pd.DataFrame:
    return pd.DataFrame([row])


def made_up(root: Path, task: str = TASK, label: str = "Health", **settings: Any) -> Run:
    """Write a made-up run below `root` and return it."""
    file = root / "tried.yaml"
    root.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(profile(task, **settings)), encoding="utf-8")
    run = open_run(file, root / "runs")
    for name, table in tables(task, label).items():
        path = run.path("tables", f"{name}.csv")
        table.to_csv(path, index=False)
    for name in (f"05_headline_{task}", f"05_size_{task}_accuracy", f"05_per_class_{task}"):
        run.path("figures", f"{name}.svg").write_text(SVG, encoding="utf-8")
    run.path("figures", "05_headline_gone.svg").write_text(SVG, encoding="utf-8")
    run.path("figures", f"06_learning_curve_{task}.png").write_bytes(PNG)
    write_notebook(run)
    stamp = {"machine": {"processor": "Made-up 3000", "cores": 2, "memory_gib": 15.5}}
    run.path("chapters", "05_comparison.json").write_text(json.dumps(stamp), encoding="utf-8")
    times = pd.DataFrame(
        {"chapter": ["05_comparison"], "seconds": [105.9], "peak_memory_mib": [2048]}
    )
    times.to_csv(run.path("performance", "chapters.csv"), index=False)
    return run


def write_notebook(run: Run, takeaways: str = "- Look at the *baselines* first.") -> None:
    """Write chapter 05 as if it had been executed."""
    content = _notebook(takeaways)
    path = run.path("notebooks", "05_comparison.ipynb")
    path.write_text(content, encoding="utf-8")
    path.with_suffix(".html").write_text(_exported(content), encoding="utf-8")


def _notebook(takeaways: str) -> str:
    cells = [
        _cell("markdown", "# 5 · Compared"),
        _cell("markdown", "## Are they real?\n\nWords."),
        _cell("code", 'write_table(run, "metrics", x)\nf"05_headline_{task.name}"'),
        _cell("markdown", f"## Takeaways\n\n{takeaways}\n\n## Exercises\n\n1. Try it."),
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@cache
def _exported(content: str) -> str:
    """The page that nbconvert makes of it, as `helpers.chapters` does."""
    body, _ = HTMLExporter().from_notebook_node(nbformat.reads(content, as_version=4))
    return str(body)


def _cell(kind: str, source: str) -> dict[str, Any]:
    cell = {"cell_type": kind, "metadata": {}, "source": source, "id": f"c{len(source)}"}
    return cell | ({"outputs": [], "execution_count": 1} if kind == "code" else {})
