"""The wording of the prompt methods' questions.

Instruction and options come first and the text last, so that a server can compute the part that
is the same for all texts once. Questions with all labels have the task's own prompt instead
(``config/tasks/<name>.yaml``).
"""

from __future__ import annotations

from collections.abc import Sequence

from helpers.labelling.questions import NONE_CODE, Option, Question
from helpers.tasks import Task


def ask(
    task: Task,
    method: str,
    step: str,
    options: Sequence[Option],
    *,
    part_of: str = "",
    many: bool = False,
    none: bool = False,
) -> Question:
    """Make a question.

    Parameters
    ----------
    task : its title and levels enter the prompt.
    method, step : where the question comes from.
    options : the possible answers.
    part_of : the topic or group that the options belong to, if they are not all there is.
    many : any number may be chosen (else one); each with one of the task's levels.
    none : none may be chosen.
    """
    levels = tuple(task.levels) if many else ()
    choice = [
        f"Below are categories of the codebook '{task.title}'"
        + (f", all from its part '{part_of}'." if part_of else "."),
        "Name every category that applies to the text at the end."
        if many
        else "Choose the category that the text at the end is mainly about.",
    ]
    if part_of and not many:
        choice.append("Most texts belong to other parts: choose only what clearly fits.")
    listed = [f"{option.code}: {option.name}" for option in options]
    answer = _answer(levels, many, none)
    head = "\n".join([" ".join(choice), answer, "", "Categories:", *listed, "", "Text:\n"])
    return Question(
        task.name, method, step, head, "\n\nAnswer:", tuple(options), many, none, levels
    )


def _answer(levels: tuple[str, ...], many: bool, none: bool) -> str:
    otherwise = f", or with '{NONE_CODE}' if none fits" if none else ""
    if levels:
        strengths = ", ".join(levels[:-1]) + f" or {levels[-1]}"
        form = f"pairs of number and intensity ({strengths}), for example '3 {levels[0]}'"
    else:
        form = "the numbers, separated by spaces" if many else "its number"
    return f"Answer with {form}{otherwise}; write nothing else."
