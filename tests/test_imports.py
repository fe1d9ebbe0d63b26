"""The house's import rules, held against the source itself and against what a command really loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {
    "fr_data": ROOT / "data" / "fr_data",
    "fr_prep": ROOT / "prep" / "fr_prep",
    "fr_train": ROOT / "train" / "fr_train",
    "fr_eval": ROOT / "evaluate" / "fr_eval",
}
ALLOWED = {
    "fr_data": (),
    "fr_prep": ("fr_data",),
    "fr_train": ("fr_data", "fr_eval"),
    "fr_eval": ("fr_data",),
}
FRAMEWORKS = ("tensorflow", "keras")


def imported_names(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def is_under(name, parents):
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


@pytest.mark.parametrize("package", SOURCES)
def test_a_stage_imports_of_the_others_only_what_is_allowed(package):
    others = [name for name in SOURCES if name != package]
    for path in SOURCES[package].rglob("*.py"):
        for name in imported_names(path):
            assert not is_under(name, others) or is_under(name, ALLOWED[package]), f"{path} imports {name}"


@pytest.mark.parametrize("package", ["fr_data", "fr_prep"])
def test_the_ground_floor_and_preparation_name_no_framework(package):
    for path in SOURCES[package].rglob("*.py"):
        assert not [name for name in imported_names(path) if is_under(name, FRAMEWORKS)], path


def test_reading_bins_loads_no_framework():
    code = (
        "import sys, fr_data.bins.bins; sys.exit(any(m.split('.')[0] in ('tensorflow', 'keras') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("package", [name for name in SOURCES if name != "fr_data"])
def test_a_command_line_imports_only_click_and_its_own_commands_at_module_level(package):
    paths = [SOURCES[package] / "cli.py", *(SOURCES[package] / "commands").glob("*.py")]
    for path in paths:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                for name in names:
                    light = name.split(".")[0] in sys.stdlib_module_names or is_under(
                        name,
                        (
                            "click",
                            "fr_data.errors",
                            f"{package}.commands",
                            f"{package}.errors",
                            "fr_eval.commands.job_group",
                        ),
                    )
                    assert light, f"{path} imports {name} at module level"


@pytest.mark.parametrize("package", [name for name in SOURCES if name != "fr_data"])
def test_help_of_every_command_answers_in_a_blink_since_it_loads_click_alone(package):
    code = (
        "import contextlib, io, sys\n"
        "before = set(sys.modules)\n"
        f"from {package}.cli import main\n"
        "for command in ([], *([name] for name in main.commands)):\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as shown:\n"
        "        main([*command, '--help'])\n"
        "    assert 'Usage: ' in shown.getvalue(), command\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(loaded - sys.stdlib_module_names))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert set(ended.stdout.split()) - set(SOURCES) == {"click"}
