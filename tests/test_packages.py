"""What people install holds all that the source holds: the wheel that is built through the sdist."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the list of files is that of version control"),
]
PACKAGES = {"fr_data": "data", "fr_prep": "prep", "fr_train": "train", "fr_eval": "evaluate"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with an sdist, and with the wheel that is built of it alone."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], check=True, capture_output=True
    )
    return folder


def source_files():
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES.values()], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return {Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()}


def test_a_wheel_that_is_built_of_the_sdist_holds_every_file_of_the_packages(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    expected = {
        path.relative_to(root).as_posix()
        for path in source_files()
        for package, root in PACKAGES.items()
        if path.is_relative_to(f"{root}/{package}")
    }
    assert "fr_train/config/recipes/demo.toml" in expected
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_an_sdist_holds_what_the_two_commands_of_the_readme_need(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
        assert not [member.name for member in file.getmembers() if member.issym()]
    tracked = subprocess.run(["git", "ls-files", "tests", "docs"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert {"Makefile", "demo.py", "pyproject.toml", "README.md", "LICENSE", *tracked.stdout.split()} <= names
