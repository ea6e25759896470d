"""Take over the task of a shared model: what `helpers.classify` needs besides the weights."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import yaml
from pydantic import ValidationError

from helpers.runs import REPO
from helpers.share.errors import ShareError
from helpers.share.folder import ABOUT, CODEBOOK, TASK, check_sums
from helpers.tasks import TASKS, TaskFile

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def take(folder: Path, tasks: Path = TASKS, root: Path = REPO) -> str:
    """Put a shared model's task and codebook where they belong, unless they are there already.

    Parameters
    ----------
    folder : a shared model.
    tasks, root : folder of task files, and what the paths in them are relative to.

    Returns
    -------
    What was done and how to classify with the model, for the user.

    Raises
    ------
    ShareError
        If the folder is damaged, or a task or codebook of the same name says something else.
    """
    check_sums(folder)
    told = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    raw = (folder / TASK).read_text(encoding="utf-8")
    try:
        content = TaskFile.model_validate(yaml.safe_load(raw))
    except (ValidationError, yaml.YAMLError) as error:
        raise ShareError(f"{folder.name}/{TASK} is no task: {error}") from error
    if not NAME.fullmatch(content.name):
        raise ShareError(f"{folder.name}/{TASK}: '{content.name}' is no name of a task")
    target = tasks / f"{content.name}.yaml"
    if target.is_file():
        _check_same(content, folder, target, root)
        done = f"the task {content.name} is here already, with the same codebook and prompts"
    else:
        done = _add(content, folder, raw, target, root)
    return f"{done}\n{command(folder, told)}"


def command(folder: Path, told: dict[str, object]) -> str:
    """Return the command that classifies with a shared model."""
    model, first = f"--model {folder}", ""
    if told["what"] == "adapter":
        base = told["base_model"]
        if told["layers"]:  # made from an installed package, not downloaded
            make = f"build({told['layers']}, Path('{base}'))"
            first = 'python -c "from pathlib import Path; from helpers.offline_model import build; '
            first += f'{make}"\n'
        revision = f" --revision {told['base_revision']}" if told["base_revision"] else ""
        model = f"--model {base}{revision} --adapter {folder}"
    return (
        f"{first}python -m helpers.classify --input texts.csv --output labelled "
        f"--task {told['task']} {model} --prompt-style {told['prompt_style']} "
        f"--max-prompt-tokens {told['max_prompt_tokens']}"
    )


def _add(content: TaskFile, folder: Path, raw: str, target: Path, root: Path) -> str:
    if content.codebook:
        name = Path(content.codebook.file).name
        book = root / "data" / "codebooks" / name
        if content.codebook.file != f"data/codebooks/{name}":
            raise ShareError(f"{folder.name}/{TASK}: a codebook lies in data/codebooks/")
        if book.is_file() and book.read_bytes() != (folder / CODEBOOK).read_bytes():
            raise ShareError(
                f"data/codebooks/{name} is there and differs from that of the model: rename it"
            )
        book.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / CODEBOOK, book)
    target.write_text(raw, encoding="utf-8")
    return f"added: the task {content.name} (config/tasks/{target.name}) and its codebook"


def _check_same(content: TaskFile, folder: Path, target: Path, root: Path) -> None:
    """Refuse a task of the same name that asks or codes otherwise: answers would mean others."""
    other = TaskFile.model_validate(yaml.safe_load(target.read_text(encoding="utf-8")))
    differ = [n for n in ("label_type", "levels", "prompts") if _get(content, n) != _get(other, n)]
    if content.codebook:
        there = root / (other.codebook.file if other.codebook else "")
        if not there.is_file() or there.read_bytes() != (folder / CODEBOOK).read_bytes():
            differ.append("codebook")
    if differ:
        raise ShareError(
            f"config/tasks/{target.name} is another task than the model's ({', '.join(differ)} "
            "differ): rename yours, and run the same command again"
        )


def _get(content: TaskFile, name: str) -> object:
    return content.model_dump()[name]
