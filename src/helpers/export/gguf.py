"""A merged model folder as one GGUF file, in 16 bits or quantised."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from helpers.export.converter import converter, source
from helpers.export.optional import ExportError, require
from helpers.runs import atomic_path, file_sha256, write_json

Kind = Literal["f16", "Q4_K_M"]
TOKENIZER_MODEL = "tokenizer.model"


def export_gguf(
    model_folder: Path,
    out: Path,
    kind: Kind = "f16",
    *,
    tokenizer_model: Path | None = None,
    cache: Path | None = None,
    archive: Path | None = None,
    threads: int = 1,
) -> Path:
    """Convert a merged model folder to GGUF, and quantise it.

    Parameters
    ----------
    model_folder : weights (safetensors), configuration and tokenizer, as `train` and
        `merge_adapter` save them. The architecture must be one that llama.cpp knows.
    out : the file to write, ``*.gguf``; what it was made from goes beside it, into ``*.json``.
    kind : ``f16``, or ``Q4_K_M`` (the paper's: about 4.9 bits a weight).
    tokenizer_model : the base model's sentencepiece file (LLAMA 2), if `model_folder` has none:
        transformers 5 does not save it.
    cache, archive : see `helpers.export.converter.converter`.
    threads : for quantisation.

    Raises
    ------
    ExportError
        If the optional part is missing, the folder is not a model that llama.cpp knows, or the
        conversion fails.
    """
    if kind not in ("f16", "Q4_K_M"):
        raise ExportError(f"unknown kind {kind!r}: use 'f16' or 'Q4_K_M'")
    for part in ("llama_cpp", "sentencepiece"):
        require(part)
    _check_folder(model_folder, tokenizer_model)
    script = converter(cache, archive)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        staged = _staged(model_folder, tokenizer_model, Path(scratch) / model_folder.name)
        converted = Path(scratch) / "f16.gguf"
        _convert(script, staged, converted)
        if kind == "f16":
            os.replace(converted, out)
        else:
            quantise(converted, out, kind, threads=threads)
    made_from = {"converter": source(script), "kind": kind, "sha256": file_sha256(out)}
    weights = sorted(model_folder.glob("*.safetensors"))
    made_from["weights"] = {path.name: file_sha256(path) for path in weights}
    write_json(out.with_suffix(".json"), made_from)
    return out


def quantise(f16: Path, out: Path, kind: Literal["Q4_K_M"] = "Q4_K_M", *, threads: int = 1) -> Path:
    """Quantise a GGUF file of 16 bits.

    Rows whose length is no multiple of 256 get a simpler format of more bits (llama.cpp decides).

    Raises
    ------
    ExportError
        If llama-cpp-python is missing or llama.cpp refuses the file.
    """
    llama_cpp = require("llama_cpp")
    if not f16.is_file():
        raise ExportError(f"there is no file {f16.name} to quantise: convert the model first")
    _quiet()
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.nthread = threads
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    with atomic_path(out) as part:
        failed = llama_cpp.llama_model_quantize(
            os.fsencode(f16), os.fsencode(part), ctypes.byref(settings)
        )
        if failed:
            raise ExportError(
                f"llama.cpp cannot quantise {f16.name} to {kind} (status {failed}): is it a GGUF "
                "file of 16 bits, and is there room on the disk?"
            )
    return out


def _quiet() -> None:
    """Keep llama.cpp's report of every tensor off the screen; errors still come."""
    from importlib import import_module

    import_module("llama_cpp._logger").set_verbose(False)


def _check_folder(folder: Path, tokenizer_model: Path | None) -> None:
    """Refuse what the converter would fail on, or convert wrongly."""
    config = folder / "config.json"
    if not config.is_file() or not list(folder.glob("*.safetensors")):
        raise ExportError(
            f"{folder.name} is no merged model (config.json and *.safetensors are needed): an "
            "adapter must be merged first, with helpers.export.merge_adapter"
        )
    if json.loads(config.read_text(encoding="utf-8")).get("model_type") == "prefix-lm":
        raise ExportError(
            "the offline model cannot be exported: it reads its prompt in both directions, which "
            "llama.cpp has no architecture for; export a LLAMA-type model"
        )
    if tokenizer_model is not None and not tokenizer_model.is_file():
        raise ExportError(
            f"there is no file {tokenizer_model.name} in {tokenizer_model.parent.name}"
        )
    if tokenizer_model is None and _is_sentencepiece(folder) and not _has_scores(folder):
        # The converter would take it, but give all pieces the same score: texts would be cut into
        # other tokens than those the model was trained on, without a word.
        raise ExportError(
            f"{folder.name} has a sentencepiece tokenizer without its {TOKENIZER_MODEL}: pass the "
            f"base model's file as tokenizer_model"
        )


def _has_scores(folder: Path) -> bool:
    return (folder / TOKENIZER_MODEL).is_file()


def _is_sentencepiece(folder: Path) -> bool:
    """Whether the tokenizer is of LLAMA 2's kind: pieces of text, unknown signs as bytes."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return False
    model: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model"]
    return bool(model.get("byte_fallback"))


def _staged(folder: Path, tokenizer_model: Path | None, staged: Path) -> Path:
    """Return a folder with links to the model's files and the tokenizer's file."""
    if tokenizer_model is None:
        return folder
    staged.mkdir()
    for path in folder.iterdir():
        (staged / path.name).symlink_to(path.resolve())
    (staged / TOKENIZER_MODEL).unlink(missing_ok=True)
    (staged / TOKENIZER_MODEL).symlink_to(tokenizer_model.resolve())
    return staged


def _convert(script: Path, folder: Path, out: Path) -> None:
    """Run the converter in a process of its own: it changes global settings of its libraries."""
    command = [sys.executable, str(script), str(folder), "--outfile", str(out), "--outtype", "f16"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not out.is_file():
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ExportError(
            f"llama.cpp's converter failed on {folder.name}: {lines[-1]} (an architecture or a "
            "pre-tokenizer that it does not know? see docs/gpu.md)"
        )
