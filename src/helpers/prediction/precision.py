"""Fewer bits: linear layers in 8 bits, and what fewer bits do to answers."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pandas as pd

from helpers.metrics import (
    counts_from_frames,
    metric_names,
    paired_bootstrap,
    scores,
    wilson_interval,
)
from helpers.prediction.speed import PredictionError
from helpers.tasks import Task


def agreement(
    task: Task,
    truth: pd.DataFrame,
    reference: pd.DataFrame,
    others: dict[str, pd.DataFrame],
    *,
    metric: str | None = None,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare predictions of one model in several precisions (or engines) with a reference.

    Parameters
    ----------
    task : whose score is compared.
    truth : columns id and labels (JSON).
    reference : predictions as `helpers.prediction.predict` returns them, e.g. in float32.
    others : name -> predictions of the same texts.
    metric : score to compare (default: the first of the label type, for single labels accuracy).
    n_resamples, seed : of the bootstrap over texts.

    Returns
    -------
    One row a prediction: name, n, equal (share of texts with the same labels and status),
    equal_low, equal_high (95% Wilson interval), metric, score, reference (its score), difference,
    ci_low, ci_high (95%, paired bootstrap), p_value.

    Raises
    ------
    PredictionError
        If texts are missing from a prediction.
    """
    first = _with_truth(task, truth, reference, "the reference")
    counts = counts_from_frames(task, first)
    metric = metric or metric_names(task.label_type)[0]
    rows = []
    for name, frame in others.items():
        other = _with_truth(task, truth, frame, name)
        same = int(((other[["labels", "status"]] == first[["labels", "status"]]).all(axis=1)).sum())
        low, high = wilson_interval(same, len(other))
        paired = paired_bootstrap(counts_from_frames(task, other), counts, n_resamples, seed)
        scored = scores(counts_from_frames(task, other))[metric]
        rows.append(
            {
                "name": name,
                "n": len(other),
                "equal": same / len(other),
                "equal_low": low,
                "equal_high": high,
                "metric": metric,
                "score": scored,
                "reference": scored - paired[metric].difference,
                **vars(paired[metric]),
            }
        )
    return pd.DataFrame(rows)


def _with_truth(task: Task, truth: pd.DataFrame, frame: pd.DataFrame, name: str) -> pd.DataFrame:
    known = truth.set_index("id")["labels"].rename("truth")
    missing = set(known.index) ^ set(frame["id"])
    if missing or len(frame) != len(known):
        raise PredictionError(
            f"task {task.name}: {name} and the truth are not about the same texts "
            f"(e.g. {sorted(map(str, missing))[:3]}): predict all of them once"
        )
    return frame.set_index("id").loc[known.index].join(known).reset_index()


def to_int8(model: Any) -> Any:
    """Keep the weights of a model's linear layers in 8 bits, and its inputs as well, as it runs.

    The head stays as it is: it is small for scoring and where answers are decided. Memory shrinks
    to a quarter of float32. Without compilation this is slower than float32, and much slower than
    bfloat16 in hardware: it is for models that do not fit into memory otherwise.

    Raises
    ------
    PredictionError
        Without torchao, or on a GPU.
    """
    import torch

    if find_spec("torchao") is None:
        raise PredictionError(
            "quantise: int8 needs torchao (the extra [int8]): python -m pip install torchao, or "
            "set quantise: none"
        )
    if model.device.type != "cpu":
        raise PredictionError("quantise: int8 is for CPUs: set quantise: none, or method qlora")
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    head = model.get_output_embeddings()

    def chosen(module: Any, name: str) -> bool:
        return isinstance(module, torch.nn.Linear) and module is not head

    quantize_(model, Int8DynamicActivationInt8WeightConfig(), filter_fn=chosen)
    return model
