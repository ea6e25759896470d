"""JupyterLab for browser tests: one server, and a page of headless chromium on it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from helpers.runs import REPO

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUIET = {"fetchNews": "false", "checkForUpdates": False}
SECONDS = 60


def find_browser() -> str:
    """Return the path of chromium; skip the test where it or playwright is missing."""
    pytest.importorskip("playwright", reason="browser tests need playwright (pip)")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("browser tests need chromium (Debian: apt-get install chromium)")
    return found


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Start JupyterLab on a free port with `folder`/notebooks as root; yield its address."""
    for name in ("notebooks", "settings", "runtime"):
        (folder / name).mkdir()
    notification = folder / "settings" / "@jupyterlab" / "apputils-extension"
    notification.mkdir(parents=True)
    (notification / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    own = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    paths = os.pathsep.join([str(REPO / "src"), str(REPO / "tests")])
    environment = {
        **os.environ,
        **own,
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PYTHONPATH": paths,
    }
    options = {
        "ServerApp.port": 0,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "ServerApp.root_dir": folder / "notebooks",
        "IdentityProvider.token": "",
        "LabApp.user_settings_dir": folder / "settings",
        "LabApp.workspaces_dir": folder / "workspaces",
        "LabApp.expose_app_in_browser": True,
    }
    command = [sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield _address(server, folder)
        finally:
            server.send_signal(signal.SIGTERM)  # it ends its kernels first
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _address(server: subprocess.Popen, folder: Path) -> str:
    for _ in range(SECONDS * 10):
        for path in (folder / "runtime").glob("jpserver-*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # being written
                return str(json.loads(path.read_text())["url"])
        assert server.poll() is None, (folder / "server.log").read_text()
        time.sleep(0.1)
    raise TimeoutError((folder / "server.log").read_text())


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, path)


class Lab:
    """A notebook that is open in JupyterLab, and the review widget in it."""

    def __init__(self, page: Any, address: str, name: str) -> None:
        self.page, self.address, self.name = page, address, name

    def open(self) -> None:
        """Load the page (again)."""
        self.page.goto(f"{self.address}lab/tree/{self.name}?reset")
        self.page.wait_for_selector(".jp-Notebook .cm-content", timeout=SECONDS * 1000)

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Run a command of JupyterLab."""
        script = "([name, args]) => void window.jupyterapp.commands.execute(name, args)"
        self.page.evaluate(script, [name, arguments or {}])

    def run_all(self) -> None:
        """Run all cells, and wait for the widget."""
        # Before the kernel is there, JupyterLab would ask which one is wanted.
        ready = "async () => void await window.jupyterapp.shell.currentWidget.sessionContext.ready"
        self.page.evaluate(ready)
        self.command("notebook:run-all-cells")
        self.page.wait_for_selector(".review-bar", timeout=SECONDS * 1000)

    def restart(self) -> None:
        """Start a new kernel."""
        kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        self.page.evaluate(f"async () => void await {kernel}.restart()")

    def run_again(self) -> None:
        """Run all cells again, and wait for the new widget."""
        self.command("notebook:clear-all-cell-outputs")
        self.page.wait_for_selector(".review", state="detached")
        self.run_all()

    def focus(self) -> None:
        """Click into the widget, as a coder does."""
        self.page.click(".review-text")
