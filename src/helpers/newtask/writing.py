"""Put a new task in its place, all of it or nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from helpers.newtask.errors import NewTaskError
from helpers.newtask.profile_file import profile_yaml
from helpers.newtask.report import Report
from helpers.newtask.shape import Shape
from helpers.newtask.sizing import Plan
from helpers.newtask.task_file import task_yaml
from helpers.runs import atomic_path, write_frame, write_json

NAME = re.compile(r"[a-z][a-z0-9_-]{1,39}")
OWN = Path("data") / "own"


def check_name(name: str, root: Path, *, force: bool) -> None:
    """Refuse a name that is none, or is taken.

    Raises
    ------
    NewTaskError
        Names what is there already.
    """
    task = root / "config" / "tasks" / f"{name}.yaml"
    if not NAME.fullmatch(name):
        raise NewTaskError(
            f"'{name}' is no name for a task: use lower-case letters, digits, _ and -, for example "
            "speeches or my-survey"
        )
    if not task.is_file():
        if (root / "config" / "profiles" / f"{name}.yaml").is_file():
            raise NewTaskError(f"there is a profile '{name}' already: choose another name")
        return
    content = yaml.safe_load(task.read_text(encoding="utf-8"))
    if "own" not in content.get("data", {}):
        raise NewTaskError(f"the task '{name}' comes with this package: choose another name")
    if not force:
        raise NewTaskError(
            f"the task '{name}' exists already: choose another name, or make it anew with "
            "OPTIONS=--force; its YAML files are then kept as .yaml.old"
        )


def write_task(
    root: Path,
    shape: Shape,
    plan: Plan,
    frame: pd.DataFrame,
    book: pd.DataFrame | None,
    report: Report,
) -> dict[str, Path]:
    """Check all files in a folder of their own, then put them in place; the task's YAML comes last.

    Where that is, the task exists: a command that was killed before can simply be given again.
    """
    folder = root / OWN / shape.name
    staged = folder.parent / f".{shape.name}.partial"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    columns = ["id", "text", "labels", *shape.keep]
    texts = "".join(
        json.dumps(record, ensure_ascii=False) + "\n"
        for record in frame[columns].to_dict("records")
    )
    (staged / "texts.jsonl").write_text(texts, encoding="utf-8")
    if book is not None:
        write_frame(staged / "codebook.csv", book)
    title = f"Task {shape.name}: what was found in {shape.file}"
    (staged / "report.md").write_text(report.markdown(title), encoding="utf-8")
    write_json(staged / "report.json", report.facts)
    config = {"tasks": task_yaml(shape), "profiles": profile_yaml(shape, plan)}
    check_files(shape, config, staged)
    _exchange(staged, folder)
    files = {"texts": folder / "texts.jsonl", "report": folder / "report.md"}
    if book is not None:
        files["codebook"] = folder / "codebook.csv"
    for kind in ("profiles", "tasks"):
        path = root / "config" / kind / f"{shape.name}.yaml"
        if path.is_file():
            os.replace(path, path.with_name(f"{path.name}.old"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(config[kind], encoding="utf-8")
        files[kind] = path
    return files


def _exchange(staged: Path, folder: Path) -> None:
    old = folder.parent / f".{folder.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(staged, folder)
    shutil.rmtree(old, ignore_errors=True)


def check_files(shape: Shape, config: Mapping[str, str], staged: Path) -> None:
    """Load the new task as the chapters will; an error here is a bug of this package.

    Raises
    ------
    TaskError, DataError, ProfileError
        If a file that was made is not valid.
    """
    from helpers.data.embedded import load_embedded
    from helpers.profiles import load_profile
    from helpers.tasks import Task, TaskFile

    content: dict[str, Any] = yaml.safe_load(config["tasks"])
    if content.get("codebook"):  # not yet where the task says
        content["codebook"]["file"] = str(staged / "codebook.csv")
    task = Task(TaskFile.model_validate(content))
    load_embedded(task, "own", staged / "texts.jsonl")
    profile = staged / f"{shape.name}.yaml"
    profile.write_text(config["profiles"], encoding="utf-8")
    load_profile(profile)
    profile.unlink()
