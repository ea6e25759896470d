"""Peak memory of one of several pieces of work that share a process."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path


def forget_peak(device: str = "cpu") -> None:
    """Count the peak anew: of the GPU, and on Linux of this process."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(device: str = "cpu") -> int:
    """Return the peak in MB: of the GPU, or of this process since `forget_peak`.

    Elsewhere than on Linux it is the peak of the process so far.
    """
    if device == "cuda":
        import torch

        return round(torch.cuda.max_memory_allocated() / 2**20)
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return round(int(next(x for x in lines if x.startswith("VmHWM")).split()[1]) / 1024)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)
