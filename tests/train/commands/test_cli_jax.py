"""`fr-train --backend jax` as a machine without TensorFlow runs it."""

import csv
import importlib.util

import keras
import pytest
from tests.train.jax_process import run_code

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed: pip install '.[jax]'"
)
SMALL = ["--backbone", "plaincnn", "--width", "0.25", "--embedding-size", "8", "--batch-size", "10", "--quiet"]


def fr_train(*arguments, without="tensorflow", cwd):
    """Runs the command where a package cannot be imported."""
    code = "from fr_train.cli import main; main(sys.argv[1:], 'fr-train')"
    return run_code(code, *arguments, devices=2, without=without, cwd=cwd)


@pytest.fixture(scope="module")
def bin_path(draw_image, tmp_path_factory):
    from fr_data.bins.bins import write_bin

    same = [bool(number % 2) for number in range(20)]
    labels = [label for number, alike in enumerate(same) for label in (number % 5, (number + (not alike)) % 5)]
    images = [draw_image(label, 1000 + number) for number, label in enumerate(labels)]
    path = tmp_path_factory.mktemp("bins") / "patterns.bin"
    write_bin(path, images, same)
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_two_devices_goes_on_under_tensorflow_on_one(shards, bin_path, tmp_path):
    options = ["--shards", shards, "--bins", bin_path, "--out", "run", "--backend", "jax", "--loss", "center+cosface"]
    ended = fr_train(
        *options,
        "--optimizer",
        "adamw",
        "--learning-rate",
        5e-3,
        "--epochs",
        2,
        "--devices",
        "all",
        *SMALL,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    for name in ("run/best.keras", "run/centers.npy", "run/curves.png"):
        assert name in ended.stdout
    changes = ["--backend", "tensorflow", "--devices", 1, "--epochs", 3, "--force", "--quiet"]
    ended = fr_train("--resume", "--out", "run", *changes, without="jax", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    with (tmp_path / "run" / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 3
    assert "patterns" in ended.stdout
    assert losses[2] < losses[1] < losses[0]
    assert keras.saving.load_model(tmp_path / "run" / "last.keras").output_shape == (None, 8)


@pytest.mark.parametrize(
    ("arguments", "without", "code", "message"),
    [
        ([], "jax", 1, "jax, which is not installed: pip install 'fr-toolkit[jax]'"),
        (["--precision", "mixed_float16"], "tensorflow", 2, "precision: expected mixed_bfloat16 or float32"),
        (["--devices", "3"], "tensorflow", 2, "devices: expected at most 2 (cpu:0, cpu:1), received 3"),
        (["--devices", "2", "--batch-size", "9"], "tensorflow", 2, "a multiple of the 2 devices"),
        (["--augment", "light"], "tensorflow", 1, "augment: is TensorFlow's work under every backend"),
        (["--set", "tensorboard=true"], "tensorflow", 1, "tensorboard: is TensorFlow's work under every backend"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(shards, tmp_path, arguments, without, code, message):
    options = ["--shards", shards, "--out", "run", "--backend", "jax", *SMALL]
    ended = fr_train(*options, *arguments, without=without, cwd=tmp_path)
    assert ended.returncode == code, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
