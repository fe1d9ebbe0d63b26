import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from tests.evaluate.faces.template_sets import write_template_set

from fr_eval.cli import main


@pytest.fixture
def folder(tmp_path):
    return write_template_set(tmp_path / "set")


def run(*arguments):
    return CliRunner().invoke(main, ["templates", *map(str, arguments)])


def test_help_answers_without_tensorflow_and_shows_an_example():
    code = (
        "import sys; from fr_eval.cli import main\n"
        "try: main(['templates', '-h'])\n"
        "finally: print(sorted(set(sys.modules) & {'tensorflow', 'keras', 'numpy', 'sklearn', 'fr_eval.models.load'}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "Example: fr-eval templates IJBC --model model.keras" in shown.stdout
    assert shown.stdout.rstrip().endswith("[]")


def test_the_table_has_a_rate_for_each_far(folder, tiny_model_path):
    result = run(folder, "--model", tiny_model_path, "--quiet")
    assert result.exit_code == 0, result.output
    header, _, row = result.stdout.splitlines()
    assert header.split() == ["set", "images", "templates", "pairs", *(f"TAR@1e-{i}" for i in range(1, 7))]
    assert row.split()[:4] == ["tiny", str(len(list((folder / "loose_crop").iterdir()))), "12", "66"]
    assert row.endswith("n/a")
    assert result.stderr == ""


def test_json_holds_the_same(folder, tiny_model_path):
    stored = json.loads(run(folder, "--model", tiny_model_path, "--json", "--no-mirror").stdout)
    assert stored["num_pairs"] == 66
    assert 0 <= stored["tars"]["1e-01"] <= 1
    assert len(stored["model"]["sha256"]) == 64


def test_failures_exit_with_one_and_a_line_that_names_the_file(folder, tmp_path, tiny_model_path):
    for result, named in (
        (run(tmp_path / "nowhere", "--model", tiny_model_path), "nowhere"),
        (run(folder, "--model", tmp_path / "missing.keras"), "missing.keras"),
    ):
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert named in result.stderr


@pytest.mark.parametrize("arguments", [[], ["set"], ["set", "--model", "m.keras", "--scaling", "2"]])
def test_wrong_usage_exits_with_two(arguments):
    assert run(*arguments).exit_code == 2
