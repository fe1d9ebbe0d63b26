import json

import numpy as np
import pytest
from click.testing import CliRunner
from tests.made_pairs import encode

from fr_eval.cli import main
from fr_eval.export.sample_images import draw_images
from fr_eval.models.load import load_model

PIXELS = draw_images(3, size=(16, 16), seed=9)


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path, pixels in zip(paths, PIXELS, strict=True):
        path.write_bytes(encode(pixels, "PNG"))
    return paths


@pytest.fixture
def run(tiny_model_path):
    return lambda *words: CliRunner().invoke(main, ["compare", *map(str, words), "--model", str(tiny_model_path)])


def test_help_shows_an_example(run):
    result = CliRunner().invoke(main, ["compare", "--help"])
    assert result.exit_code == 0
    assert "fr-eval compare a.jpg b.jpg --model best.keras --threshold 0.35" in result.stdout


def test_two_images_without_a_threshold_have_a_cosine_and_no_verdict(run, files):
    result = run(*files[:2])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"cosine of {files[0]} and {files[1]}: ")
    assert "person" not in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("mirror", [True, False])
def test_json_holds_the_cosines_of_the_embeddings(run, files, tiny_model_path, mirror):
    stored = json.loads(run(*files, "--json", "--threshold", "0.5", *[] if mirror else ["--no-mirror"]).stdout)
    rows = load_model(tiny_model_path).embed(PIXELS, mirror=mirror).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.allclose(stored["cosines"], rows @ rows.T, atol=1e-5)
    assert stored["same"] == (np.array(stored["cosines"]) >= 0.5).tolist()
    assert [entry["path"] for entry in stored["images"]] == list(map(str, files))
    assert stored["threshold"] == 0.5
    assert stored["far"] is None


def test_a_threshold_is_found_on_a_bin(run, files, bin_path):
    result = run(*files, "--bin", bin_path, "--far", "0.1")
    assert result.exit_code == 0, result.output
    first, _, header, *rest = result.stdout.splitlines()
    assert first.startswith("threshold ")
    assert first.endswith(" on pairs")
    assert header.split() == ["cosine", "1", "2", "3"]
    assert rest[-1] == f"* one person: a cosine of at least {first.split()[1].rstrip(':')}"


def test_images_of_another_size_are_warned_of(run, files, tmp_path):
    (tmp_path / "photo.png").write_bytes(encode(draw_images(1, size=(30, 40))[0], "PNG"))
    result = run(files[0], tmp_path / "photo.png")
    assert result.exit_code == 0
    assert "photo.png: 40 x 30, resized and distorted to 16 x 16; unless it is an aligned face" in result.stderr
    quiet = run(files[0], tmp_path / "photo.png", "--quiet", "--json")
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout)["images"][1]["remark"] == "40 x 30, resized and distorted to 16 x 16"


def test_an_embedding_shorter_than_those_of_the_bin_is_warned_of(run, files, bin_path, tmp_path):
    (tmp_path / "grey.png").write_bytes(encode(np.full((16, 16, 3), 128, np.uint8), "PNG"))  # near zero when scaled
    result = run(files[0], tmp_path / "grey.png", "--bin", bin_path, "--far", "0.1", "--json")
    assert (
        "grey.png: its embedding is shorter than 99 % of those of pairs; unless it is an aligned face" in result.stderr
    )
    assert [image["remark"] for image in json.loads(result.stdout)["images"]] == [
        None,
        "its embedding is shorter than 99 % of those of pairs",
    ]


def test_failures_exit_with_one_and_a_line_that_names_the_file(run, files, tmp_path, bin_path):
    (tmp_path / "text.jpg").write_text("no image")
    for arguments, named in (
        ((files[0], tmp_path / "missing.jpg"), "missing.jpg"),
        ((files[0], tmp_path / "text.jpg"), "text.jpg"),
        ((*files, "--bin", tmp_path / "missing.bin"), "missing.bin"),
        ((*files, "--bin", bin_path), "cannot show a FAR of 0.001"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert named in result.stderr


def test_wrong_usage_exits_with_two(run, files, bin_path):
    for arguments, message in (
        ((), "IMAGE"),
        ((files[0],), "at least two images"),
        ((*files, "--threshold", "2"), "--threshold"),
        ((*files, "--threshold", "0.5", "--bin", bin_path), "exclude each other"),
        ((*files, "--bin", bin_path, "--far", "0"), "--far"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr
