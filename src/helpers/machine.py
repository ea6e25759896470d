"""The machine that a chapter ran on, as far as it matters to results and times: never its name."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

# Instruction sets by which numerical libraries choose their kernels, and with them the order in
# which numbers are added up.
INSTRUCTIONS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_tile",
    "asimd",
    "sve",
    "bf16",
)
SAME = ("processor", "architecture", "instructions", "gpu")


def machine() -> dict[str, Any]:
    """Describe this machine.

    Returns
    -------
    mapping with processor, architecture, instructions (sorted), cores, memory_gib, system, python
    implementation and gpu (empty where there is none). No host name, user name or path.
    """
    import psutil

    from helpers import limits

    name, flags = _processor()
    return {
        "processor": name,
        "architecture": platform.machine(),
        "instructions": sorted(flags.intersection(INSTRUCTIONS)),
        "cores": limits.cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": _system(),
        "python": platform.python_implementation(),
        "gpu": _gpu(),
    }


def same_type(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two machines have the same type of processor (and of GPU)."""
    return all(one.get(key) == other.get(key) for key in SAME)


def described(noted: dict[str, Any]) -> str:
    """Return what `machine` noted in words: processor, cores, memory, GPU, system."""
    cores = noted.get("cores")
    parts = [str(noted.get("processor") or "processor not known")]
    parts += [f"{cores} core{'s' if cores > 1 else ''}"] if cores else []
    parts += [f"{noted['memory_gib']} GiB of memory"] if noted.get("memory_gib") else []
    parts += [str(noted[key]) for key in ("gpu", "system") if noted.get(key)]
    return ", ".join(parts)


def _processor() -> tuple[str, set[str]]:
    info = Path("/proc/cpuinfo")
    found: dict[str, str] = {}
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, colon, value = line.partition(":")
            if colon:
                found.setdefault(key.strip(), value.strip())
    name = found.get("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor()
    # The marketing name of a virtual machine says little: family and model say which it is.
    numbers = [found[key] for key in ("cpu family", "model", "stepping") if key in found]
    if numbers:
        name = f"{name} (family/model/stepping {'/'.join(numbers)})"
    flags = found.get("flags") or found.get("Features") or ""
    return name or "unknown", set(flags.split())


def _sysctl(key: str) -> str:
    program = shutil.which("sysctl")
    if platform.system() != "Darwin" or program is None:
        return ""
    done = subprocess.run([program, "-n", key], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _system() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{platform.system()} {platform.release()}"


def _gpu() -> str:
    program = shutil.which("nvidia-smi")
    if program is None or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return ""
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return ", ".join(done.stdout.split("\n")).strip(", ") if done.returncode == 0 else ""
