"""Training examples: prompt and answer as tokens, and the codebook's names as short texts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.finetuning.settings import FinetuningSettings
from helpers.language_models import completion_tokens, prompt_tokens
from helpers.tasks import Task

IGNORED = -100  # label of a token that the loss leaves out
IN_MEMORY = 5_000
"""More examples than this are read from a memory-mapped file, so that memory does not grow."""
AT_ONCE = 1_000  # examples that are in memory while such a file is written


def codebook_phrases(task: Task) -> list[tuple[str, str]]:
    """Return (label, phrase) for every name in the codebook.

    With subtopics: each subtopic's name alone and after its label's name; without: the labels'
    names. Numeric tasks have none.
    """
    if len(task.subtopics):
        rows = task.subtopics.itertuples()
        pairs = [(row.label, row.name, task.label_names[row.label]) for row in rows]
        alone = [(label, name) for label, name, _ in pairs]
        return alone + [(label, f"{major}: {name}") for label, name, major in pairs]
    return [(label, task.label_names[label]) for label in task.labels]


def codebook_frame(task: Task) -> pd.DataFrame:
    """Return the codebook's names as labelled texts (columns text, labels).

    Intensities: a text that is nothing but a dimension's name counts as its highest level.
    """
    as_labels = {
        "single": lambda label: label,
        "multi": lambda label: [label],
        "multi_intensity": lambda label: {label: task.levels[-1]},
    }
    rows = [
        {"text": phrase, "labels": task.dumps(as_labels[task.label_type](label))}
        for label, phrase in codebook_phrases(task)
    ]
    return pd.DataFrame(rows, columns=["text", "labels"])


def build_examples(
    task: Task, frame: pd.DataFrame, tokenizer: Any, settings: FinetuningSettings
) -> list[dict[str, Any]]:
    """Turn labelled texts into training examples.

    Parameters
    ----------
    task : gives prompt and completion.
    frame : columns text and labels (JSON), one row a text.
    tokenizer : of the model to be trained.
    settings : prompt_style, max_prompt_tokens and loss_on are used.

    Returns
    -------
    One dict a row: ``input_ids`` (prompt, answer, end of sequence) and ``labels`` (the same, -100
    where no loss is computed). A long prompt loses the end of its text; an answer is never cut.
    """
    return list(_examples(task, frame, tokenizer, settings))


def _examples(
    task: Task, frame: pd.DataFrame, tokenizer: Any, settings: FinetuningSettings
) -> Iterator[dict[str, Any]]:
    for text, cell in zip(frame["text"], frame["labels"], strict=True):
        prompt = task.prompt(text, settings.prompt_style)
        asked = prompt_tokens(tokenizer, prompt, settings.max_prompt_tokens)
        answer = completion_tokens(tokenizer, task.completion(task.loads(cell)))
        learnt = [IGNORED] * len(asked) if settings.loss_on == "completion" else asked
        yield {"input_ids": asked + answer, "labels": learnt + answer}


def example_set(
    task: Task, frame: pd.DataFrame, tokenizer: Any, settings: FinetuningSettings, file: Path
) -> Any:
    """Return training examples as a data set, tokenised once.

    Parameters
    ----------
    task, frame, tokenizer, settings : as in `build_examples`.
    file : where examples go if there are more than `IN_MEMORY`; the data set maps it into memory.
    """
    from datasets import Dataset

    if len(frame) <= IN_MEMORY:
        return Dataset.from_list(build_examples(task, frame, tokenizer, settings))
    import pyarrow as pa

    tokens = pa.list_(pa.int64())
    schema = pa.schema({"input_ids": tokens, "labels": tokens})
    examples = _examples(task, frame, tokenizer, settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(file, schema) as writer:
        while rows := list(islice(examples, AT_ONCE)):
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
    return Dataset.from_file(str(file))


def example_lengths(examples: Any) -> list[int]:
    """Return the number of tokens of each example without reading the tokens."""
    import pyarrow.compute as pc

    return list(pc.list_value_length(examples.data.column("input_ids")).to_pylist())
