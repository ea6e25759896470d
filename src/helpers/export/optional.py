"""The optional packages of this part: present, or a message that says how to get them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from helpers.runs import HelpersError

# import name -> what it is for; sentencepiece is read by llama.cpp's converter, in a child process.
PARTS = {
    "llama_cpp": "llama-cpp-python, to quantise and run GGUF models",
    "sentencepiece": "sentencepiece, to convert tokenizers",
}


class ExportError(HelpersError):
    """A model cannot be exported or a GGUF file cannot be run."""


def is_available() -> bool:
    """Whether all packages of the extra ``[gguf]`` are installed (none is imported)."""
    return all(find_spec(name) is not None for name in PARTS)


def require(name: str) -> Any:
    """Import an optional package.

    Raises
    ------
    ExportError
        If it is not installed, or its compiled library does not load.
    """
    if find_spec(name) is None:
        raise ExportError(
            f"{PARTS[name]}, is not installed: python -m pip install -e '.[gguf]' (it compiles "
            "llama.cpp: a C++ compiler and CMake are needed, and some minutes)"
        )
    try:
        return import_module(name)
    except (OSError, RuntimeError) as error:  # the library was compiled for another machine
        raise ExportError(
            f"{name} is installed but does not load ({str(error).splitlines()[0]}): "
            "python -m pip install --force-reinstall --no-cache-dir -e '.[gguf]'"
        ) from error
