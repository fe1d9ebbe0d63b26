import json

import pytest
from click.testing import CliRunner

from fr_eval.cli import main


def run(*arguments):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_help_shows_an_example():
    result = run("--help")
    assert result.exit_code == 0
    assert "fr-eval export best.keras --format onnx --output best.onnx" in result.stdout


def test_a_model_is_exported_once_and_replaced_only_when_asked(tiny_model_path, tmp_path):
    arguments = (tiny_model_path, "--format", "saved_model", "--output", tmp_path / "served")
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "saved_model, float32" in result.stdout
    assert "cosine with the Keras model on 32 drawn images: least 1.000000, mean 1.000000" in result.stdout
    assert result.stderr == ""
    again = run(*arguments)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    stored = json.loads(run(*arguments, "--overwrite", "--json").stdout)
    assert (stored["format"], stored["kind"], stored["num_images"]) == ("saved_model", "drawn", 32)


def test_failures_exit_with_one_and_a_line_that_names_the_file(tiny_model_path, tmp_path):
    for arguments, named in (
        ((tmp_path / "missing.keras", "--output", tmp_path / "out"), "missing.keras"),
        ((tiny_model_path, "--output", tmp_path / "missing" / "out"), "its folder does not exist"),
        ((tiny_model_path, "--output", tmp_path / "out", "--shards", tmp_path), "manifest.json"),
    ):
        result = run(*arguments, "--format", "saved_model")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert named in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("m.keras", "--format", "onnx"),
        ("m.keras", "--format", "onnx", "--output", "m.tflite"),
        ("m.keras", "--format", "onnx", "--output", "m.onnx", "--precision", "int8"),
        ("m.keras", "--format", "tflite", "--output", "m.tflite", "--precision", "int8"),
    ],
)
def test_wrong_usage_exits_with_two(arguments):
    assert run(*arguments).exit_code == 2
