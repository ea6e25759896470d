"""``config/tasks/<name>.yaml`` of a new task: commented, since it is there to be edited."""

from __future__ import annotations

import json
import textwrap

from helpers.newtask.shape import Shape, listed, quoted

INSTRUCTIONS = {
    "single": (
        "Decide which category of the codebook fits the text best. If several fit, take the one "
        "that the text is mainly about. Answer with its number only.",
        "Which one of the {n} categories does this text belong to?",
        "Category number:",
        "category",
    ),
    "multi": (
        "Choose every category of the codebook that applies to the text. Answer with their "
        'numbers in rising order, separated by spaces, or with "none" if no category applies. '
        "Write nothing else.",
        "Which of the {n} categories apply to this text?",
        "Category numbers:",
        "categories",
    ),
    "multi_intensity": (
        "Name every category of the codebook that applies to the text, with its intensity: "
        '{levels}. Answer with pairs of number and intensity, for example "{example}", or with '
        '"none" if no category applies. Write nothing else.',
        "Which of the {n} categories apply to this text, and how strongly?",
        "Categories:",
        "categories",
    ),
    "numeric": (
        "Estimate the number that belongs to the text ({label}). Answer with one number with one "
        "decimal.",
        "Which number ({label}) belongs to this text?",
        "Number:",
        "number",
    ),
}


def task_yaml(shape: Shape) -> str:
    """Return ``config/tasks/<name>.yaml``."""
    instruction, question, tail, word = INSTRUCTIONS[shape.label_type]
    fill = {"n": shape.labels, "label": shape.label, "levels": " or ".join(shape.levels)}
    if shape.levels:
        fill["example"] = f"1 {shape.levels[-1]}"
    book = [] if shape.label_type == "numeric" else ["", "Codebook:", "{codebook}"]
    head = [f"You code texts: {shape.description}.", instruction.format(**fill), *book, "", "Text:"]
    lines = [
        f"# A task of your own, made from {shape.file} by `make new-task`. Edit what you like:",
        f"# after a change `make replicate TASKS={shape.name}` runs what depends on it again.",
        f"name: {shape.name}",
        f"title: {quoted(shape.description)}   # of figures; also in the prompt",
        f"question: {quoted(question.format(**fill))}",
        f"label_type: {shape.label_type}   # single | multi | multi_intensity | numeric",
    ]
    if shape.levels:
        lines.append(f"levels: {listed(shape.levels)}   # in rising order: check it")
    if shape.label_type != "numeric":
        lines += ["", *_codebook(shape)]
    lines += [
        "",
        "prompts:",
        '  # "full": for instruction-tuned models and endpoints. Say here what your coders were',
        "  # told: it is all that such a model knows of your categories besides their names.",
        "  full:",
        "    head: |",
        *(f"      {line}".rstrip() for part in head for line in textwrap.wrap(part, 90) or [""]),
        f"    tail: {json.dumps(chr(10) * 2 + tail)}",
        '  # "short": for the offline model, which has 512 positions and follows no instruction.',
        "  short:",
        '    head: ""',
        f"    tail: {json.dumps(f' {word} :')}",
        "",
        *_data(shape),
    ]
    return "\n".join(lines) + "\n"


def _codebook(shape: Shape) -> list[str]:
    lines = [
        "# The names in this file are what the models read; improve them there (numbers and",
        "# abbreviations say nothing to a model). The column label must not change.",
        "codebook:",
        f"  file: data/own/{shape.name}/codebook.csv",
        "  key: label",
        "  name: name",
        "  code: code",
    ]
    return lines + (["  sub_key: subcode", "  sub_name: subtopic"] if shape.subtopics else [])


def _data(shape: Shape) -> list[str]:
    lines = [
        "data:",
        "  own:",
        f"    file: data/own/{shape.name}/texts.jsonl",
        "    id: id",
        "    text: [text]",
        "    labels: labels",
    ]
    if shape.keep:
        names = [json.dumps(name, ensure_ascii=False) for name in shape.keep]
        types = [f'{name}: "{kind}"' for name, kind in zip(names, shape.keep.values(), strict=True)]
        lines += [f"    extras: {listed(names)}", f"    types: {{{', '.join(types)}}}"]
    return [
        *lines,
        "    # true: chapters print some texts, and so do their HTML pages. Leave it at false if",
        "    # you share pages and the texts are not yours to share.",
        f"    show_texts: {json.dumps(shape.show_texts)}",
    ]
