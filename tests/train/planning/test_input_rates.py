"""Measuring the stream alone."""

import json
import time

import pytest
from click.testing import CliRunner

from fr_train.cli import main
from fr_train.data.augment.settings import AugmentSettings
from fr_train.data.shard_set import read_shard_set
from fr_train.data.stream import Stream, StreamSettings
from fr_train.planning.input_rates import PARTS, measure_input


def invoke(*arguments):
    return CliRunner().invoke(main, ["bench-input", *map(str, arguments)])


def open_stream(folder, **settings):
    shards = read_shard_set(folder)
    return Stream(shards, StreamSettings(batch_size=8, **settings), seed=0, image_size=shards.image_size)


def test_the_parts_add_up_to_the_whole(shards):
    figures = measure_input(open_stream(shards), seconds=0)
    assert (figures.num_rounds, figures.num_images) == (3, 3 * 56)
    cpu = figures.cpu_seconds
    assert set(cpu) == {"stream", *PARTS, "decoding_alone"}
    assert all(seconds >= 0 for seconds in cpu.values())
    assert cpu["augment"] == 0
    assert cpu["decode"] > 0
    assert figures.dominant() in PARTS
    assert figures.megabytes_per_second == pytest.approx(figures.images_per_second * figures.image_bytes / 1e6)


def test_augmentation_is_a_part_where_it_is_on(shards):
    figures = measure_input(open_stream(shards, augment=AugmentSettings(rand_augment=1.0)), seconds=0)
    assert figures.cpu_seconds["augment"] > 0


def test_sets_with_other_images_than_jpeg_are_measured(mixed_shards):
    figures = measure_input(open_stream(mixed_shards, images_per_class=2), seconds=0)
    assert figures.decoding_images_per_second > 0


def test_a_longer_time_gives_more_rounds(shards):
    begun = time.perf_counter()
    assert measure_input(open_stream(shards), seconds=0).num_rounds == 3
    three_rounds = time.perf_counter() - begun
    assert measure_input(open_stream(shards), seconds=3 * three_rounds).num_rounds > 3


def test_the_command_shows_rates_parts_and_ratio(shards):
    ended = invoke("--shards", shards, "--batch-size", 10, "--seconds", 0)
    assert ended.exit_code == 0, ended.output
    for word in ("images/s", "MB/s", "read ", "decode ", "dominates", "decoding alone", "ratio"):
        assert word in ended.stdout


def test_the_command_gives_json(shards, tmp_path):
    (tmp_path / "labels.csv").write_text("class,new_class\n1,drop\n")
    options = [
        "--batch-size",
        12,
        "--images-per-class",
        3,
        "--no-mirror",
        "--image-size",
        24,
        20,
        "--augment",
        "gray=0.5",
    ]
    ended = invoke("--shards", shards, "--overlay", tmp_path / "labels.csv", "--seconds", 0, "--json", *options)
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert found["num_images"] == 3 * 48  # of the 48 that are left
    assert found["cpu_seconds"]["augment"] > 0
    assert found["dominant"] in PARTS


def test_the_command_has_help_with_an_example():
    ended = invoke("--help")
    assert ended.exit_code == 0
    assert "Example: fr-train bench-input" in ended.stdout


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--augment", "brigthness=0.5"], 2, "Did you mean augment.brightness"),
        (["--augment", "brightness="], 2, "augment.brightness: expected a number, received ''"),
        (["--augment", "brightness"], 2, "augment.preset: expected one of none, light, strong"),
        (["--augment", "brightness=2"], 2, "augment.brightness: expected a number from 0 to 1, received 2.0"),
        (["--images-per-class", "7"], 2, "batch_size: expected a multiple of images_per_class"),
        (["--batch-size", "61"], 1, "Choose a smaller batch size"),
    ],
)
def test_the_command_says_what_cannot_be(shards, options, code, message):
    ended = invoke("--shards", shards, *options)
    assert ended.exit_code == code
    assert message in ended.output


def test_a_folder_without_shards_is_a_failure(tmp_path):
    ended = invoke("--shards", tmp_path)
    assert ended.exit_code == 1
    assert "manifest.json, which is missing" in ended.output
