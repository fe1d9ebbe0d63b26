"""Fixtures that all tests may use."""

import os
from pathlib import Path

import pytest

pytest_plugins = ("tests.made_pairs", "tests.made_sets")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests on it are skipped where it is missing."""
    folder = Path(os.environ.get("FR_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "faces").is_dir():
        pytest.skip(f"no real data: {folder} is missing; set FR_SHARED to the folder that holds it")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmarks", action="store_true", help="run the tests that measure speed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Files with long tests first, so that at the end no process works alone on one of them.
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
    if not config.getoption("--benchmarks"):
        for item in items:
            if item.get_closest_marker("benchmark"):
                item.add_marker(pytest.mark.skip(reason="measures speed: give --benchmarks"))
