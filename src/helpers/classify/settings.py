"""What is asked of a model about a corpus, and what an output folder belongs to."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from helpers.plans import Speed, Strict
from helpers.profiles import REPO, HelpersError
from helpers.runs import file_sha256
from helpers.tasks import TASKS, load_task

CODE = (
    *("prediction", "grammar.py", "language_models.py", "prefix_lm.py", "tasks.py"),
    *("classify/reading.py", "classify/rows.py"),
)
"""Modules that decide answers; those that only move rows about may change during a run."""
PACKAGES = ("torch", "transformers", "tokenizers")


class ClassifyError(HelpersError):
    """A corpus cannot be classified as asked; says what is wrong with which file or setting."""


class Settings(Strict):
    """All that decides answers and the layout of the output.

    Attributes
    ----------
    task : name of a task in ``config/tasks``.
    model, revision, adapter : folder or hub name, commit of a hub model, folder of an adapter.
    text, id : columns of the input.
    engine : ``transformers`` or ``vllm`` (a GPU, where vLLM is installed).
    device, dtype, autocast : as in `helpers.prediction`.
    prompt_style, max_prompt_tokens, max_new_tokens : as in training.
    constrained : allow only answers of the task.
    batch_rows : rows of a shard: what is written at once, and done again after a failure.
    limit : classify only so many rows, the first (None: all).
    """

    task: str
    model: str
    revision: str | None = None
    adapter: str | None = None
    text: str = "text"
    id: str = "id"
    engine: Literal["transformers", "vllm"] = "transformers"
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"
    autocast: Literal["none", "bfloat16", "auto"] = "none"
    prompt_style: Literal["short", "full"] = "short"
    max_prompt_tokens: PositiveInt = 256
    max_new_tokens: PositiveInt = 48
    constrained: bool = True
    batch_rows: PositiveInt = 5_000
    limit: PositiveInt | None = Field(default=None)

    def speed(self) -> Speed:
        """Return the part that `helpers.prediction` calls speed."""
        tokens: Literal["auto"] | None = "auto" if self.device == "cuda" else None
        return Speed(engine=self.engine, autocast=self.autocast, batch_tokens=tokens)


def identity(settings: Settings) -> dict[str, Any]:
    """Return what an output folder belongs to, besides its input files: JSON values.

    A model is known by its files or its commit, not by where it lies, so a folder may be moved.

    Raises
    ------
    ClassifyError
        If the model or the adapter is nowhere to be found.
    TaskError
        If there is no such task.
    """
    load_task(settings.task)
    named = settings.model_dump(exclude={"model", "revision", "adapter"})
    return {
        "settings": named,
        "model": _weights(settings.model, settings.revision),
        "adapter": _weights(settings.adapter, None) if settings.adapter else None,
        "task": _task_sha256(settings.task),
        "code": code_sha256(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def code_sha256() -> str:
    """Return one hash over the code that decides answers."""
    folder = REPO / "src" / "helpers"
    files = [p for name in CODE for p in sorted((folder / name).rglob("*.py")) or [folder / name]]
    return hashlib.sha256("".join(file_sha256(path) for path in files).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package).split("+")[0]
    except PackageNotFoundError:  # vLLM's environment may lack one that it does not use
        return "none"


def _task_sha256(name: str) -> str:
    """Hash a task's file and codebook: its prompts and answers."""
    task = load_task(name)
    content = (TASKS / f"{name}.yaml").read_text(encoding="utf-8")
    return hashlib.sha256(f"{content}\n{task.codes}\n{task.codebook_text()}".encode()).hexdigest()


def _weights(model: str, revision: str | None) -> dict[str, str]:
    """Return name and hash of a model's folder, or name and commit on the hub."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        sums = [
            f"{path.relative_to(folder).as_posix()} {file_sha256(path)}"
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in (".json", ".safetensors", ".bin", ".model", ".txt")
        ]
        if not sums:
            raise ClassifyError(f"the folder {folder.name} holds no model: give the one that does")
        return {"name": folder.name, "sha256": hashlib.sha256("\n".join(sums).encode()).hexdigest()}
    return {"name": model, "commit": _commit(model, revision)}


def _commit(model: str, revision: str | None) -> str:
    from transformers.utils.hub import cached_file, extract_commit_hash

    for name in ("config.json", "adapter_config.json"):
        try:
            path = cached_file(model, name, revision=revision)
        except (OSError, ValueError):
            continue
        if commit := extract_commit_hash(path, None):
            return str(commit)
    raise ClassifyError(
        f"no model {model}: it is neither a folder here nor on the model hub "
        "(or the hub cannot be reached); give a folder, or a hub name and its --revision"
    )
