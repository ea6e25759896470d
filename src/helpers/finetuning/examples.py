"""Training examples: prompt and answer as tokens, and the codebook's names as short texts."""

from __future__ import annotations

from typing import Any

import pandas as pd

from helpers.finetuning.settings import FinetuningSettings
from helpers.language_models import completion_tokens, prompt_tokens
from helpers.tasks import Task

IGNORED = -100  # label of a token that the loss leaves out


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
    examples = []
    for text, cell in zip(frame["text"], frame["labels"], strict=True):
        prompt = task.prompt(text, settings.prompt_style)
        asked = prompt_tokens(tokenizer, prompt, settings.max_prompt_tokens)
        answer = completion_tokens(tokenizer, task.completion(task.loads(cell)))
        learnt = [IGNORED] * len(asked) if settings.loss_on == "completion" else asked
        examples.append({"input_ids": asked + answer, "labels": learnt + answer})
    return examples
