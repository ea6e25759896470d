"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

from helpers.runs import REPO

FOLDERS = (REPO / "data" / "upstream", REPO.parent / "shared" / "upstream")


def find_upstream() -> Path | None:
    """Return the folder of the authors' files: UPSTREAM, the download, or a copy beside it."""
    if given := os.environ.get("UPSTREAM"):
        return Path(given)
    wanted = "flourishing/sample.csv"
    return next((folder for folder in FOLDERS if (folder / wanted).is_file()), None)


@pytest.fixture(scope="session")
def upstream_folder() -> Path:
    """Give the folder of the authors' files; skip the test where there is none."""
    folder = find_upstream()
    if folder is None:
        pytest.skip("the authors' files are not here: run `make data`, or set UPSTREAM=<folder>")
    return folder
