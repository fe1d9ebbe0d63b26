import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fr_eval.bins import write_bin
from fr_eval.cli import main


@pytest.fixture
def run(tiny_model_path):
    def invoke(*arguments, model=tiny_model_path):
        return CliRunner().invoke(main, ["--model", str(model), *map(str, arguments)])

    return invoke


@pytest.fixture
def bad_path(tmp_path):
    path = tmp_path / "hostile.bin"
    path.write_bytes(b"cposix\nsystem\n(S'touch PWNED'\ntR.")
    return path


def test_help_answers_without_tensorflow_and_shows_an_example():
    code = (
        "import sys; from fr_eval.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted(set(sys.modules) & {'tensorflow', 'keras', 'numpy', 'sklearn', 'fr_eval.models'}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "fr-eval --model model.keras lfw.bin" in shown.stdout
    assert shown.stdout.rstrip().endswith("[]")


def test_the_scalings_of_the_command_are_those_of_the_models():
    from fr_eval.scaling import SCALINGS

    option = next(parameter for parameter in main.params if parameter.name == "scaling")
    assert list(option.type.choices) == list(SCALINGS)


@pytest.mark.slow
def test_the_installed_command_says_nothing_but_its_results(tiny_model_path, bin_path):
    command = [sys.executable, "-c", "from fr_eval.cli import main; main()"]
    done = subprocess.run([*command, "--model", tiny_model_path, bin_path], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("bin ")
    assert done.stderr == ""


def test_version_is_shown():
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert re.fullmatch(r"fr-eval, version \d+\.\d+\.\d+\S*\n", result.output)


def test_the_table_has_a_row_a_bin_and_labels_the_optimistic_figure(run, bin_path):
    result = run(bin_path, "--pca", "3", "--quiet")
    assert result.exit_code == 0
    assert re.search(r"^pairs +40 +\d+\.\d\d ± \d+\.\d\d %", result.stdout, re.MULTILINE)
    assert "accuracy (PCA)" in result.stdout
    assert "* optimistic: threshold chosen on the same pairs" in result.stdout
    assert result.stderr == ""


def test_json_holds_the_same_and_nothing_else_is_on_stdout(run, bin_path):
    result = run(bin_path, "--json", "--no-mirror", "--folds", "4")
    assert result.exit_code == 0
    stored = json.loads(result.stdout)
    assert stored["model"]["embedding_size"] == 6
    assert stored["bins"][0]["num_folds"] == 4
    assert stored["bins"][0]["insightface_mirror_sum"] is None
    assert stored["failures"] == []


def test_one_bad_bin_of_two_is_reported_and_the_other_measured(run, bin_path, bad_path):
    result = run(bad_path, bin_path)
    assert result.exit_code == 1
    assert "'posix.system'" in result.stderr
    assert "\npairs " in result.stdout
    stored = json.loads(run(bad_path, bin_path, "--json").stdout)
    assert [entry["bin"] for entry in stored["bins"]] == ["pairs"]
    assert stored["failures"][0]["path"] == str(bad_path)


def test_failures_exit_with_one_and_a_line_that_names_the_file(run, tmp_path, bin_path, bad_path):
    for result, named in (
        (run(bad_path), "hostile.bin"),
        (run(tmp_path / "missing.bin"), "missing.bin"),
        (run(bin_path, model=tmp_path / "missing.keras"), "missing.keras"),
        (run(bin_path, "--pca", "50"), "PCA to 50"),
    ):
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert named in result.stderr
        assert "Traceback" not in result.output


def test_pairs_of_one_kind_fail_with_a_reason(run, tmp_path, images):
    write_bin(tmp_path / "same.bin", images, [True] * 6)
    result = run(tmp_path / "same.bin")
    assert result.exit_code == 1
    assert "all 6 pairs are 'same'" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["a.bin"], ["--model", "m.keras"], ["--model", "m.keras", "a.bin", "--scaling", "1"], ["--nonsense"]],
)
def test_wrong_usage_exits_with_two(arguments):
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_a_report_is_not_replaced_unless_asked(run, tmp_path, bin_path):
    report = tmp_path / "report.html"
    assert run(bin_path, "--report", report).exit_code == 0
    first = report.read_text()
    result = run(bin_path, "--report", report)
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert run(bin_path, "--report", report, "--overwrite").exit_code == 0
    assert report.read_text() == first
    assert run(bin_path, "--report", tmp_path / "missing" / "report.html").exit_code == 1


def test_a_report_without_results_is_not_written(run, tmp_path, bad_path):
    result = run(bad_path, "--report", tmp_path / "report.html")
    assert result.exit_code == 1
    assert "was not written" in result.stderr
    assert not (tmp_path / "report.html").exists()
