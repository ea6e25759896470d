"""Profiles: every setting of a run, read from ``config/profiles/<name>.yaml`` and checked.

A profile says which data, which models and which settings a run uses. Unknown keys are refused,
so that a misspelt setting never silently falls back to a default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, PositiveInt, ValidationError, ValidationInfo, field_validator

from helpers.plans import (
    EstimatesStudy,
    Finetuning,
    HelpersError,
    Labelling,
    Limit,
    PartsStudy,
    SizeStudy,
    Speed,
    Strict,
    TaskPlan,
    Verification,
)

__all__ = [
    "PROFILES",
    "REPO",
    "HelpersError",
    "Profile",
    "ProfileError",
    "Strict",
    "load_profile",
    "profile_for",
    "profile_names",
]

REPO = Path(__file__).resolve().parents[2]
PROFILES = REPO / "config" / "profiles"
DEFAULT = "demo"
WORKER_MEMORY = 2 * 2**30
"""Free memory that ``workers: auto`` sets aside for each: chapters of the demo reach 3.9 GiB with
two, their notebook's process included."""


class ProfileError(HelpersError):
    """A profile is misspelt, incomplete, or asks for what this machine does not have."""


Source = Literal["embedded", "own", "upstream", "hub", "dataverse"]
Baseline = Literal["majority", "predict-nothing", "tfidf-lr", "embeddings-lr", "zero-shot"]


class Profile(Strict):
    """One run's settings. See ``config/profiles/demo.yaml``, where each key is commented."""

    name: str
    title: str
    data: Source
    data_of_task: dict[str, Source] = Field(default_factory=dict)
    tasks: list[str] = Field(min_length=1)
    describe_only: list[str] = Field(default_factory=list)
    chapters: list[str] | Literal["all"] = "all"
    seed: int
    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16"]
    threads: PositiveInt
    workers: PositiveInt
    offline: bool
    train_labels: Literal["gold", "verified", "majority"] = "gold"
    limit: Limit = Limit()
    train_scored: PositiveInt | None = None
    bootstrap: PositiveInt
    baselines: list[Baseline]
    labelling: Labelling = Labelling()
    verification: Verification = Verification()
    finetuning: Finetuning
    prediction: Speed = Speed()
    training_size: SizeStudy = SizeStudy()
    what_to_finetune: PartsStudy = PartsStudy()
    estimates: EstimatesStudy = EstimatesStudy()

    @field_validator("workers", mode="before")
    @classmethod
    def _as_many_as_fit(cls, value: Any, info: ValidationInfo) -> Any:
        """Replace ``auto`` by what this machine has room for; no result depends on it."""
        return room_for_workers(info.data.get("threads", 1)) if value == "auto" else value

    def source(self, task: str) -> Source:
        """Return where the texts of `task` come from."""
        return self.data_of_task.get(task, self.data)

    def plan(self, task: str) -> TaskPlan:
        """Return the fine-tuning plan of `task`; refuse a task that the profile has none for."""
        try:
            return self.finetuning.tasks[task]
        except KeyError:
            raise ProfileError(
                f"profile '{self.name}' has no finetuning.tasks.{task}: add it, or leave the "
                f"task out with TASKS={','.join(self.finetuning.tasks)}"
            ) from None


def room_for_workers(threads: int) -> int:
    """Return how many workers this machine has cores and free memory for; at least one."""
    from helpers import limits

    by_memory = limits.free_memory() // WORKER_MEMORY
    return max(1, min(limits.cores() // threads, by_memory))


def profile_names() -> list[str]:
    """Return the names of the shipped profiles, sorted."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def profile_for(tasks: str | list[str] | None) -> str:
    """Return the profile that is meant where none is named: the task's own, else ``demo``.

    `make new-task` makes a profile with the name of its task.
    """
    names = tasks.split(",") if isinstance(tasks, str) else tasks or []
    found = [name.strip() for name in names if name.strip()]
    if len(found) == 1 and found[0] in profile_names():
        return found[0]
    return DEFAULT


def load_profile(name: str | Path, tasks: list[str] | None = None) -> Profile:
    """Read and check a profile.

    Parameters
    ----------
    name : name of a file in ``config/profiles`` (without ``.yaml``), or a path to a YAML file.
    tasks : keep only these tasks (default: those that the profile names).

    Raises
    ------
    ProfileError
        If the file is missing, is no YAML, has an unknown or ill-typed key (each is named), or
        a task is asked for that the profile does not have.
    """
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise ProfileError(f"no profile '{name}': choose one of {', '.join(profile_names())}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        profile = Profile.model_validate(_with_labellers(content))
    except yaml.YAMLError as error:
        raise ProfileError(f"{path.name} is not valid YAML: {error}") from error
    except ValidationError as error:
        raise ProfileError(_explain(path, error)) from error
    if profile.name != path.stem:
        raise ProfileError(
            f"{path.name} says 'name: {profile.name}': the name must be that of the file, "
            "since results are kept under runs/<name>"
        )
    _check_tasks(path, profile)
    return _only(profile, tasks)


def _check_tasks(path: Path, profile: Profile) -> None:
    """Refuse a crowd or a review of a task that the profile does not have (misspelt?)."""
    named = {
        "labelling.crowd": set(profile.labelling.crowd),
        "labelling.compared": set(profile.labelling.compared),
        "verification.mode_of_task": set(profile.verification.mode_of_task),
        "training_size.models": set(profile.training_size.models),
        "training_size.labels": set(profile.training_size.labels),
        "training_size.target": set(profile.training_size.target),
        "what_to_finetune.causal": set(profile.what_to_finetune.causal),
        "what_to_finetune.tasks": set(profile.what_to_finetune.tasks) - set(profile.describe_only),
    }
    for key, tasks in named.items():
        if unknown := sorted(tasks - set(profile.finetuning.tasks)):
            raise ProfileError(
                f"{path.name}: {key} names {', '.join(unknown)}, which is no task of this "
                f"profile: use {', '.join(profile.finetuning.tasks)}"
            )
    studied = {task: set(keys) for task, keys in profile.training_size.models.items()}
    for task, plan in profile.what_to_finetune.causal.items():
        studied[task] = studied.get(task, set()) | {plan.model}
    for task, keys in studied.items():
        if unknown := sorted(keys - set(profile.plan(task).models)):
            raise ProfileError(
                f"{path.name}: training_size and what_to_finetune.causal may only name models of "
                f"finetuning.tasks.{task}, not {', '.join(unknown)}"
            )


def _with_labellers(content: Any) -> Any:
    """Add the endpoints and labellers that come with the package; a profile's own replace them."""
    if not isinstance(content, dict) or not isinstance(content.get("labelling", {}), dict):
        return content
    own = content.get("labelling", {})
    if not all(isinstance(own.get(key) or {}, dict) for key in ("endpoints", "labellers")):
        return content
    shipped = yaml.safe_load((REPO / "config" / "labellers.yaml").read_text(encoding="utf-8"))
    merged = {key: shipped[key] | (own.get(key) or {}) for key in ("endpoints", "labellers")}
    return content | {"labelling": own | merged}


def _only(profile: Profile, tasks: list[str] | None) -> Profile:
    if not tasks:
        return profile
    for task in tasks:
        profile.plan(task)
    return profile.model_copy(update={"tasks": list(tasks)})


def _explain(path: Path, error: ValidationError) -> str:
    lines = [f"{path.name}: {error.error_count()} problem(s)"]
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        what = "unknown key (misspelt?)" if item["type"] == "extra_forbidden" else item["msg"]
        lines.append(f"  {where}: {what}")
    lines.append(f"  known keys: {', '.join(Profile.model_fields)}")
    return "\n".join(lines)
