"""Write a folder that holds one model and nothing else, and say what may be in it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from helpers.runs import REPO, file_sha256, write_json
from helpers.share.errors import ShareError
from helpers.share.finished import Trained
from helpers.tasks import TASKS

ABOUT, SUMS, CARD, TASK, CODEBOOK, NOTICE = (
    *("sharing.json", "SHA256SUMS", "README.md", "task.yaml", "codebook.csv", "NOTICE"),
)
ARCHITECTURE = "modeling_prefix_lm.py"
"""Code of the offline model's architecture, for those who do not have this package."""
ALLOWED = re.compile(
    r"(README\.md|NOTICE|SHA256SUMS|sharing\.json|task\.yaml|codebook\.csv|modeling_prefix_lm\.py"
    r"|config\.json|generation_config\.json|adapter_config\.json|adapter_model\.safetensors"
    r"|model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json"
    r"|tokenizer\.model|vocab\.json|merges\.txt|chat_template\.jinja)"
)
TEXT = (".json", ".yaml", ".csv", ".md", ".py", ".jinja", ".txt", "")
HEADER = '''"""Architecture of this model: a prefix language model with a pooling layer.

Part of the package "Rethinking Scale, replicated" (helpers/prefix_lm.py, MIT licence). Importing
this file makes the architecture known to transformers, which then loads the model.
"""

'''


def identity(trained: Trained, what: str) -> dict[str, Any]:
    """Return what a folder holds: it is rewritten for the same, and refused for another model."""
    inside = f"{trained.part(what).name}/"
    sums = {path: sha for path, sha in trained.sums.items() if path.startswith(inside)}
    return {"task": trained.task.name, "model": trained.name, "what": what, "files": sums}


def write_folder(trained: Trained, what: str, out: Path, card: str, notice: str = "") -> Path:
    """Write weights, tokenizer, codebook, task, card and checksums; the folder appears at once.

    Parameters
    ----------
    trained : the model.
    what : ``adapter`` or ``merged``.
    out : folder; empty, missing, or with an earlier version of the same model.
    card : content of README.md.
    notice : content of NOTICE (none if empty).

    Raises
    ------
    ShareError
        If `out` holds anything else, or something unexpected or of this machine would get into it.
    """
    wanted = identity(trained, what)
    check_free(out, wanted)
    partial = out.parent / f".{out.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _copy_weights(trained, what, partial)
    _write_task(trained, partial)
    (partial / CARD).write_text(card, encoding="utf-8")
    if notice:
        (partial / NOTICE).write_text(notice.strip() + "\n", encoding="utf-8")
    write_json(partial / ABOUT, about(trained, what) | {"identity": wanted})
    write_sums(partial)
    check_content(partial, [str(trained.run.root), str(REPO), str(Path.home())])
    if out.exists():
        shutil.rmtree(out)
    os.replace(partial, out)
    return out


def check_free(out: Path, wanted: dict[str, Any]) -> None:
    """Refuse a folder that holds anything but an earlier version of the same model."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    record = out / ABOUT
    if not record.is_file():
        raise ShareError(f"{out.name} holds other files: choose an empty --out")
    there = json.loads(record.read_text(encoding="utf-8"))["identity"]
    if there != wanted:
        raise ShareError(
            f"{out.name} holds another model ({there['task']}/{there['model']}, {there['what']}): "
            "choose another --out, or delete it"
        )


def about(trained: Trained, what: str) -> dict[str, Any]:
    """Return what a program needs to use the model, as JSON values."""
    spec, settings = trained.spec, trained.settings
    prompt = trained.task.prompt("", settings["prompt_style"])
    return {
        "task": trained.task.name,
        "name": f"{trained.task.name}-{trained.name}".replace("@", "-"),
        "what": what,
        "base_model": spec.repository or spec.key,
        "base_revision": trained.manifest["revision"],
        "layers": spec.layers,
        "prompt": {"head": prompt.head, "tail": prompt.tail, "chat_template": spec.chat_template},
        "prompt_style": settings["prompt_style"],
        "max_prompt_tokens": settings["max_prompt_tokens"],
        "dtype": settings["dtype"],
        "versions": trained.manifest["versions"],
    }


def _copy_weights(trained: Trained, what: str, folder: Path) -> None:
    for path in sorted(trained.part(what).iterdir()):
        if path.name == CARD:  # PEFT's form, not filled in
            continue
        shutil.copyfile(path, folder / path.name)
    if what == "adapter":
        told = about(trained, what)
        config = _read(folder / "adapter_config.json")
        config |= {"base_model_name_or_path": told["base_model"], "revision": told["base_revision"]}
        write_json(folder / "adapter_config.json", config)
        return
    if _read(folder / "config.json")["model_type"] == "prefix-lm":
        (folder / ARCHITECTURE).write_text(architecture(), encoding="utf-8")


def architecture() -> str:
    """Return the code of the offline model's architecture, which needs nothing of this package."""
    code = (REPO / "src" / "helpers" / "prefix_lm.py").read_text(encoding="utf-8")
    # In a process that knows the package too, the second registration is no error.
    code = code[code.index("from __future__") :].replace("Config)\n", "Config, exist_ok=True)\n")
    return HEADER + code.replace("ForCausalLM)\n", "ForCausalLM, exist_ok=True)\n")


def _write_task(trained: Trained, folder: Path) -> None:
    """Write the task without its data, and its codebook."""
    content = yaml.safe_load((TASKS / f"{trained.task.name}.yaml").read_text(encoding="utf-8"))
    content["data"] = {}
    if book := content.get("codebook"):
        shutil.copyfile(REPO / book["file"], folder / CODEBOOK)
        book["file"] = f"data/codebooks/{Path(book['file']).name}"
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    (folder / TASK).write_text(text, encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def write_sums(folder: Path) -> None:
    """Write the checksums of all other files, in the form that ``sha256sum --check`` reads."""
    lines = [f"{file_sha256(p)}  {p.name}" for p in sorted(folder.iterdir()) if p.name != SUMS]
    (folder / SUMS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def check_sums(folder: Path) -> dict[str, str]:
    """Return the checksums of a folder after comparing every file with them.

    Raises
    ------
    ShareError
        If a file is missing, was changed, or is not listed.
    """
    listed = folder / SUMS
    if not listed.is_file():
        raise ShareError(f"{folder.name} has no {SUMS}: it was not written by this command")
    lines = listed.read_text(encoding="utf-8").splitlines()
    sums = {name: sha for sha, name in (line.split("  ", 1) for line in lines)}
    for name, sha in sums.items():
        if not (folder / name).is_file() or file_sha256(folder / name) != sha:
            raise ShareError(f"{folder.name}/{name} is missing or was changed: make it again")
    return sums


def check_content(folder: Path, private: Iterable[str] = ()) -> list[Path]:
    """Return the files of a folder if all are expected ones.

    Parameters
    ----------
    folder : what is to be pushed.
    private : strings that no text file may contain (folders of this machine).

    Raises
    ------
    ShareError
        If there is a folder, a link, or a file that does not belong to a model.
    """
    files = sorted(folder.iterdir())
    for path in files:
        if path.is_symlink() or not path.is_file() or not ALLOWED.fullmatch(path.name):
            raise ShareError(
                f"{folder.name} holds {path.name}, which does not belong to a model: nothing was "
                "uploaded. Take it out and run the same command again"
            )
    for path in (p for p in files if p.suffix in TEXT and p.name != "tokenizer.json"):
        content = path.read_text(encoding="utf-8", errors="replace")
        if any(text in content for text in private if len(text) > 1):
            raise ShareError(f"{folder.name}/{path.name} names a folder of this machine")
    return files
