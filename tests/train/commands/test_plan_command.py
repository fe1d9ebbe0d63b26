"""The command `fr-train plan`."""

import json

import pytest
from click.testing import CliRunner

from fr_train.cli import main

SMALL = ["--classes", "1000", "--images", "50000", "--backbone", "plaincnn", "--embedding-size", "32"]


def invoke(*arguments):
    return CliRunner().invoke(main, ["plan", *map(str, arguments)])


def test_it_has_help_with_an_example():
    ended = invoke("--help")
    assert ended.exit_code == 0
    assert "Example: fr-train plan --classes 2059906" in ended.stdout


def test_it_says_memory_traffic_and_time():
    ended = invoke(*SMALL, "--devices", 4, "--batch-size", 64, "--head", "sharded", "--image-size", 32, 24)
    assert ended.exit_code == 0, ended.output
    for part in ("memory a device", "head weights", "of 32.00", "sent by a device a step", "softmax", "hours an epoch"):
        assert part in ended.stdout
    assert "Warning: the time of traffic is left out" in ended.stderr
    assert "published: InsightFace's arcface_torch on a V100" in ended.stdout


def test_numbers_come_from_shards_and_settings_from_a_config(shards, tmp_path):
    (tmp_path / "run.toml").write_text(
        'batch_size = 20\n[model]\nbackbone = "plaincnn"\nembedding_size = 24\n[optimizer]\nname = "adamw"\n'
    )
    ended = invoke("--shards", shards, "--config", tmp_path / "run.toml", "--embedding-size", 48, "--json")
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert (found["job"]["num_classes"], found["job"]["num_images"]) == (5, 60)
    assert (found["job"]["batch_size"], found["job"]["embedding_size"]) == (20, 48)
    assert found["memory"]["head_slots"] == 2 * found["memory"]["head_weights"] == 2 * 5 * 48 * 4
    assert found["time"]["steps_per_epoch"] == 3
    at_112 = json.loads(invoke("--shards", shards, "--image-size", 112, 112, "--backbone", "plaincnn", "--json").stdout)
    assert at_112["network"]["forward_flops"] > 10 * found["network"]["forward_flops"]  # the shards' images are small


def test_measured_rates_serve_another_plan(tmp_path):
    measured = invoke(*SMALL, "--image-size", 32, 32, "--batch-size", 8, "--measure", "--json")
    assert measured.exit_code == 0, measured.output
    (tmp_path / "rates.json").write_text(measured.stdout)
    rates = json.loads(measured.stdout)["rates"]
    assert rates["source"].startswith("measured on ")
    again = json.loads(invoke(*SMALL, "--rates", tmp_path / "rates.json", "--json").stdout)
    assert again["rates"] == rates


def test_what_does_not_fit_is_a_warning():
    ended = invoke(*SMALL, "--device-memory", 0.01)
    assert ended.exit_code == 0
    assert "Warning: it does not fit: " in ended.stderr
    assert json.loads(invoke(*SMALL, "--device-memory", 0.01, "--json").stdout)["memory"]["fits"] is False


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "Expected either --classes and --images, or --shards."),
        (["--classes", 10], 2, "Expected either --classes and --images, or --shards."),
        ([*SMALL, "--shards", "x"], 2, "Expected either --classes and --images, or --shards."),
        ([*SMALL, "--measure", "--rates", "x"], 2, "give one"),
        ([*SMALL, "--rates", "gone.json"], 2, "gone.json: cannot be read"),
        ([*SMALL, "--devices", 3], 2, "batch_size: expected a multiple of the 3 devices, received 128"),
        ([*SMALL, "--backbone", "plaincnm"], 2, "Did you mean plaincnn?"),
        (["--shards", "gone"], 1, "gone: expected a folder of shards"),
    ],
)
def test_it_says_what_cannot_be(options, code, message):
    ended = invoke(*options)
    assert ended.exit_code == code, ended.output
    assert message in ended.output
