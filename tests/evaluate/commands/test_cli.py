import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from tests.made_pairs import encode

from fr_data.bins.bins import write_bin
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
        "finally: print(sorted(set(sys.modules) & {'tensorflow', 'keras', 'numpy', 'sklearn', 'fr_eval.models.load'}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "fr-eval --model model.keras lfw.bin" in shown.stdout
    assert shown.stdout.rstrip().endswith("[]")


def test_the_scalings_of_the_command_are_those_of_the_models():
    from fr_eval.models.scaling import SCALINGS

    option = next(parameter for parameter in main.params if parameter.name == "scalings")
    assert list(option.type.choices) == ["auto", *SCALINGS]


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
    assert stored["models"][0]["embedding_size"] == 6
    assert stored["results"][0]["num_folds"] == 4
    assert stored["results"][0]["insightface_mirror_sum"] is None
    assert stored["failures"] == []


def test_one_bad_bin_of_two_is_reported_and_the_other_measured(run, bin_path, bad_path):
    result = run(bad_path, bin_path)
    assert result.exit_code == 1
    assert "'posix.system'" in result.stderr
    assert "\npairs " in result.stdout
    stored = json.loads(run(bad_path, bin_path, "--json").stdout)
    assert [result["bin"] for result in stored["results"]] == ["pairs"]
    assert stored["failures"][0]["bin"] == str(bad_path)


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images, issame: (images, [True] * 6), "pairs.bin: all 6 pairs are 'same': accuracy, ROC and FAR need"),
        (lambda images, issame: (images, [False] * 6), "pairs.bin: all 6 pairs are 'different'"),
        (lambda images, issame: (images[:2], issame[:1]), "pairs.bin: all 1 pairs are 'same'"),
        (
            lambda images, issame: ([*images[:7], b"\xff\xd8\xff", *images[8:]], issame),
            "pairs.bin: entry 7 (pair 3): not a",
        ),
    ],
)
def test_degenerate_bins_end_with_a_message_that_names_them(change, message, run, tmp_path, images):
    path = tmp_path / "pairs.bin"
    write_bin(path, *change(images, [True, False] * 3))
    result = run(path, "--json")
    assert result.exit_code == 1
    assert message in result.stderr
    assert json.loads(result.stdout)["results"] == []


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN or infinite values"), (np.inf, "NaN or infinite values"), (0, "all zeros")]
)
def test_degenerate_embeddings_end_with_a_message_that_names_the_row(value, message, tmp_path, bin_path):
    rows = np.random.default_rng(0).normal(size=(80, 4))
    rows[7] = value
    np.save(tmp_path / "e.npy", rows)
    result = CliRunner().invoke(main, ["--embeddings", str(tmp_path / "e.npy"), str(bin_path)])
    assert result.exit_code == 1
    assert re.search(
        rf"Error: e\.npy: .*pairs\.bin: embeddings: {message}.* in row 7 \(pair 3\), of 80 rows", result.stderr
    )


def test_fewer_pairs_than_folds_are_measured_in_fewer_folds_and_the_table_says_so(run, tmp_path, images):
    write_bin(tmp_path / "few.bin", images, [True, False] * 3)
    result = run(tmp_path / "few.bin")
    assert result.exit_code == 0
    assert "note, few: There are 6 pairs: 6 folds were used in place of 10." in result.stdout


def test_images_of_other_sizes_are_resized(run, tmp_path):
    rng = np.random.default_rng(0)
    images = [encode(rng.integers(0, 255, (size, 20, 3), dtype=np.uint8)) for size in (16, 40, 7, 112)]
    write_bin(tmp_path / "sizes.bin", images, [True, False])
    result = run(tmp_path / "sizes.bin")
    assert result.exit_code == 0, result.stderr
    assert "\nsizes " in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.bin"],
        ["--model", "m.keras"],
        ["--model", "m.keras", "a.bin", "--scaling", "1"],
        ["--model", "m.keras", "a.bin", "--scaling", "128", "--scaling", "255"],
        ["--embeddings", "e.npy", "a.bin", "--layout", "nhwc", "--layout", "nhwc"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_exits_with_two(arguments):
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_several_models_give_a_table_of_models_and_bins_and_then_one_for_each(run, tiny_model_path, bin_path):
    result = run("--model", tiny_model_path, "--scaling", "auto", "--scaling", "127.5", bin_path)
    assert result.exit_code == 0
    blocks = result.stdout.split("\n\n")
    assert re.search(
        r"^accuracy \(mirror sum\) +pairs\n-.*\ntiny.keras, scaling auto +\d.*\ntiny.keras, scaling 127.5 ", blocks[0]
    )
    assert blocks[1].startswith("tiny.keras, scaling auto\nbin ")
    assert blocks[2].startswith("tiny.keras, scaling 127.5\nbin ")


def test_a_model_that_fails_does_not_stop_the_others(run, tmp_path, bin_path):
    result = run("--model", tmp_path / "missing.onnx", bin_path, "--json")
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: .*missing\.onnx: there is no such file; .*\n", result.stderr)
    stored = json.loads(result.stdout)
    assert [model["model"] for model in stored["models"]] == ["tiny.keras"]
    assert len(stored["results"]) == 1
    assert stored["failures"][0]["model"] == "missing.onnx"


def test_embeddings_stand_for_a_model(tmp_path, bin_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "e.npz", embeddings=rng.normal(size=(80, 4)), mirrored=rng.normal(size=(80, 4)))
    result = CliRunner().invoke(main, ["--embeddings", str(tmp_path / "e.npz"), str(bin_path)])
    assert result.exit_code == 0
    assert re.search(r"^pairs +40 +\d+\.\d\d ± \d+\.\d\d % +\d", result.stdout, re.MULTILINE)
    np.save(tmp_path / "short.npy", rng.normal(size=(78, 4)))
    result = CliRunner().invoke(main, ["--embeddings", str(tmp_path / "short.npy"), str(bin_path)])
    assert result.exit_code == 1
    assert "two rows for each of 40 pairs, shape (80, D); received the shape (78, 4)" in result.stderr


def test_csv_and_markdown_are_written_beside_the_table(run, tmp_path, bin_path):
    files = ["--csv", tmp_path / "figures.csv", "--markdown", tmp_path / "figures.md"]
    result = run(bin_path, *files)
    assert result.exit_code == 0
    assert result.stdout.startswith("bin ")
    (line,) = csv.DictReader((tmp_path / "figures.csv").open())
    assert (line["model"], line["bin"], line["num_pairs"]) == ("tiny.keras", "pairs", "40")
    assert (tmp_path / "figures.md").read_text().startswith("| bin | pairs |")
    assert run(bin_path, *files).exit_code == 2
    assert run(bin_path, *files, "--overwrite").exit_code == 0


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
    assert "report.html not written" in result.stderr
    assert not (tmp_path / "report.html").exists()
