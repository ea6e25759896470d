"""The models and hub data sets that a profile may name, read from ``config/models.yaml``.

Hub content is pinned to a commit: a branch name would let results change without notice. This
module knows what a model needs; it loads none (and imports nothing heavy).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import Field, PositiveInt, StringConstraints, ValidationError, model_validator

from helpers.profiles import REPO, HelpersError, Strict

MODELS = REPO / "config" / "models.yaml"

Entry = TypeVar("Entry", bound=Strict)
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class ModelError(HelpersError):
    """A model or hub data set is unknown, badly described, or cannot be used here."""


class HubDataset(Strict):
    """A data set on the model hub, pinned to a commit."""

    key: str
    repository: str
    task: str
    revision: Revision | None
    revision_checked: str | None

    @property
    def page(self) -> str:
        """Address of the data set's page."""
        return f"https://huggingface.co/datasets/{self.repository}"


class ModelSpec(Strict):
    """What is known of a model before it is loaded; the keys are explained in the YAML."""

    key: str
    title: str
    source: Literal["offline", "hub"]
    layers: PositiveInt | None = None
    repository: str | None = None
    revision: Revision | None = None
    revision_checked: str | None = None
    parameters: PositiveInt | None = None
    licence: str
    gated: bool = False
    chat_template: bool
    context: PositiveInt
    prompt: Literal["short", "full"]
    needs: list[Literal["cuda"]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_source(self) -> ModelSpec:
        if self.source == "offline" and (self.layers is None or self.repository):
            raise ValueError("an offline model has 'layers' and no 'repository'")
        if self.source == "hub" and (self.repository is None or self.layers):
            raise ValueError("a hub model has a 'repository' and no 'layers'")
        return self

    @property
    def page(self) -> str:
        """Address of the model's page (hub models)."""
        return f"https://huggingface.co/{self.repository}"


def load_models(path: Path = MODELS) -> dict[str, ModelSpec]:
    """Return all models by key, in the order of the file.

    Raises
    ------
    ModelError
        If the file is missing or no valid YAML, or an entry has an unknown, missing or ill-typed
        key: each is named.
    """
    return {key: _entry(ModelSpec, path, key, e) for key, e in _section(path, "models").items()}


def load_datasets(path: Path = MODELS) -> dict[str, HubDataset]:
    """Return all hub data sets by key; raise `ModelError` as `load_models` does."""
    return {key: _entry(HubDataset, path, key, e) for key, e in _section(path, "datasets").items()}


def get_model(key: str, path: Path = MODELS) -> ModelSpec:
    """Return the model `key`; an unknown one raises `ModelError` with the nearest names."""
    models = load_models(path)
    if key not in models:
        raise ModelError(_unknown("model", key, models))
    return models[key]


def get_dataset(key: str, path: Path = MODELS) -> HubDataset:
    """Return the hub data set `key`; an unknown one raises `ModelError` with the nearest names."""
    datasets = load_datasets(path)
    if key not in datasets:
        raise ModelError(_unknown("data set", key, datasets))
    return datasets[key]


def pinned_revision(spec: ModelSpec | HubDataset) -> str:
    """Return the commit to load; without one raise `ModelError` with the remedy."""
    if spec.revision is None:
        raise ModelError(_unpinned(spec))
    return spec.revision


def _unpinned(spec: ModelSpec | HubDataset) -> str:
    return (
        f"{spec.key} has no pinned revision in config/models.yaml, so its results could not be "
        f"repeated: copy the 40-digit commit from {spec.page}/commits/main to 'revision'"
    )


def revision_not_found(spec: ModelSpec | HubDataset) -> ModelError:
    """Return the error to raise when the hub does not know the pinned commit."""
    checked = spec.revision_checked or "never confirmed"
    return ModelError(
        f"{spec.key}: the hub does not know commit {spec.revision} of {spec.repository} "
        f"(revision_checked: {checked}). Look at {spec.page}/commits/main, put the commit you "
        "want into config/models.yaml, and report it with your results"
    )


def obstacles(
    specs: Iterable[ModelSpec],
    *,
    cuda: bool,
    online: bool,
    token: bool,
    cached: Collection[str] = (),
) -> list[str]:
    """Return what keeps this machine from using some models, one line a cause (empty: nothing).

    Parameters
    ----------
    cuda, online, token : whether there is an NVIDIA GPU, the hub can be reached, and a hub token
        is set. The caller finds out, so that this needs no torch and no network.
    cached : keys of models whose pinned revision is already on this machine; they need neither
        network nor token.
    """
    specs = list(specs)
    absent = [spec for spec in specs if spec.source == "hub" and spec.key not in cached]
    found = []
    if big := [spec.key for spec in specs if "cuda" in spec.needs and not cuda]:
        found.append(f"an NVIDIA GPU (CUDA) is needed for {', '.join(big)}")
    for spec in specs:
        if spec.source == "hub" and spec.revision is None:
            found.append(_unpinned(spec))
    if absent and not online:
        keys = ", ".join(spec.key for spec in absent)
        found.append(f"the model hub (huggingface.co) cannot be reached to download {keys}")
    if (gated := [spec for spec in absent if spec.gated]) and not token:
        pages = "".join(f"\n      {spec.page}" for spec in gated)
        found.append(
            "no hub token is set, and these models are gated: accept their licences, then run "
            f"`hf auth login` or set HF_TOKEN{pages}"
        )
    return found


def _section(path: Path, name: str) -> dict[str, dict[str, object]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.name} is missing: restore it from the repository") from error
    except yaml.YAMLError as error:
        raise ModelError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(content, dict) or set(content) != {"models", "datasets"}:
        raise ModelError(f"{path.name} must have the two sections 'models' and 'datasets'")
    section = content[name]
    if not isinstance(section, dict) or not all(isinstance(e, dict) for e in section.values()):
        raise ModelError(
            f"{path.name}: every entry of '{name}' must be a mapping of keys to values"
        )
    return section


def _entry(kind: type[Entry], path: Path, key: str, entry: dict[str, object]) -> Entry:
    try:
        return kind.model_validate({"key": key, **entry})
    except ValidationError as error:
        lines = [f"{path.name}: '{key}' has {error.error_count()} problem(s)"]
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            unknown = item["type"] == "extra_forbidden"
            what = "unknown key (misspelt?)" if unknown else item["msg"]
            lines.append(f"  {where}: {what}" if where else f"  {what}")
        lines.append(f"  known keys: {', '.join(k for k in kind.model_fields if k != 'key')}")
        raise ModelError("\n".join(lines)) from error


def _unknown(what: str, key: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(key, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return f"no {what} '{key}' in config/models.yaml: {hint}"
