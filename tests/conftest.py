"""Fixtures that all tests may use."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests on it are skipped where it is missing."""
    folder = Path(os.environ.get("FR_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "faces").is_dir():
        pytest.skip(f"no real data: {folder} is missing; set FR_SHARED to the folder that holds it")
    return folder
