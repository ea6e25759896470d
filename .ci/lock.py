"""Write requirements.txt and environment.yml from pyproject.toml (`make lock`).

pip resolves the dependencies without installing them; what it would install is written down,
every package with its exact version. Left out: local version tags such as ``+cpu`` and the CUDA
packages, which torch itself pins and pip adds where they are needed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
CUDA = re.compile(r"^(nvidia|cuda|triton)\b", re.IGNORECASE)
HEADER = """\
# Every package with its exact version (Python 3.11-3.13).
# Made from pyproject.toml by `make lock`, together with environment.yml: edit pyproject.toml.
# torch: pip takes the build for your platform; for one without CUDA on Linux, install torch
# first as its own site says, then this file.
"""
ENVIRONMENT = """\
# The same versions as requirements.txt, for conda. Made from pyproject.toml by `make lock`.
#   conda env create -f environment.yml && conda activate rethinking-scale
#   pip install --no-deps -e .
name: rethinking-scale
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def resolve() -> list[str]:
    """Return ``name==version`` of every package that pip would install, sorted by name."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--quiet", "--report", "-", f"{REPO}[dev]"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pins = []
    for item in json.loads(report)["install"]:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if name != "helpers" and not CUDA.match(name):
            pins.append(f"{name}=={version.split('+')[0]}")
    return sorted(pins, key=str.lower)


def main() -> None:
    """Resolve once and write both files."""
    pins = resolve()
    (REPO / "requirements.txt").write_text(HEADER + "\n".join(pins) + "\n", encoding="utf-8")
    lines = "".join(f"      - {pin}\n" for pin in pins)
    (REPO / "environment.yml").write_text(ENVIRONMENT + lines, encoding="utf-8")
    print(f"{len(pins)} packages written to requirements.txt and environment.yml")


if __name__ == "__main__":
    main()
