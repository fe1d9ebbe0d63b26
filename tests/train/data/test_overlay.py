"""Training on shards with a label overlay: what is streamed, counted, saved and compared."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from fr_data.errors import OverlayError
from fr_data.shards.overlay import read_overlay
from fr_train.config.config_file import parse_config
from fr_train.data.shard_set import read_shard_set
from fr_train.data.stream import Stream, StreamSettings
from fr_train.errors import ShardSetError

# The set of the fixture: classes 0 to 4 with 12 images each, keys 0 to 59 in the order of the classes.
ROWS = "1,,0\n2,,drop\n,24,2\n,50,7\n,51,7\n,52,7\n"
SMALL = ["--backbone", "plaincnn", "--width", "0.25", "--embedding-size", "8", "--set", "model.activation=relu"]
SMALL += ["--batch-size", "10", "--quiet"]


@pytest.fixture
def overlay(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("class,source_key,new_class\n" + ROWS)
    return path


def open_stream(folder, overlay=None, **settings):
    shards = read_shard_set(folder, overlay=read_overlay(overlay) if overlay else None)
    return Stream(shards, StreamSettings(**{"batch_size": 8, **settings}), seed=3, image_size=shards.image_size)


def read_epoch(stream, epoch=0, **where):
    return [(np.asarray(images), np.asarray(labels)) for images, labels in stream.epoch(epoch, **where)]


def test_classes_images_and_steps_are_those_that_the_overlay_leaves(shards, overlay):
    shard_set = read_shard_set(shards, overlay=read_overlay(overlay))
    assert (shard_set.num_classes, shard_set.num_images["train"]) == (5, 49)
    assert shard_set.relabelling.images_per_class().tolist() == [24, 1, 12, 9, 3]
    assert shard_set.relabelling.describe() == "15 images moved, 11 dropped; 49 in 5 classes"
    assert open_stream(shards, overlay).steps_per_epoch == 6


def test_each_image_that_is_left_comes_once_with_its_new_label(shards, overlay):
    ((before, old_labels),) = read_epoch(open_stream(shards, batch_size=60, mirror=False))
    ((after, new_labels),) = read_epoch(open_stream(shards, overlay, batch_size=49, mirror=False))
    assert new_labels.dtype == np.int32
    assert np.bincount(new_labels).tolist() == [24, 1, 12, 9, 3]
    old = {image.tobytes(): int(label) for image, label in zip(before, old_labels, strict=True)}
    moves = {(old.pop(image.tobytes()), int(label)) for image, label in zip(after, new_labels, strict=True)}
    assert moves == {(0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (4, 4)}
    assert list(old.values()) == [2] * 11


def test_an_overlay_that_changes_nothing_changes_no_batch(shards, tmp_path):
    (tmp_path / "labels.csv").write_text("class,new_class\n3,3\n")
    plain, same = read_epoch(open_stream(shards)), read_epoch(open_stream(shards, tmp_path / "labels.csv"))
    for (images, labels), (other_images, other_labels) in zip(plain, same, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


@pytest.mark.parametrize("first_step", [1, 3, 6])
def test_an_epoch_can_be_entered_at_any_step(shards, overlay, first_step):
    stream = open_stream(shards, overlay)
    whole, rest = read_epoch(stream, 2), read_epoch(stream, 2, first_step=first_step)
    assert len(rest) == 6 - first_step
    for (images, labels), (other_images, other_labels) in zip(whole[first_step:], rest, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_a_shard_of_which_nothing_is_left_is_passed_over(shards, tmp_path):
    records = np.load(shards / "records.npy")
    keys = records["source_key"][:20].tolist()  # those of the first of 3 shards
    (tmp_path / "labels.csv").write_text("source_key,new_class\n" + "".join(f"{key},drop\n" for key in keys))
    ((_, labels),) = read_epoch(open_stream(shards, tmp_path / "labels.csv", batch_size=40))
    assert np.bincount(labels).tolist() == np.bincount(records["label"][20:]).tolist()


def test_a_batch_larger_than_what_is_left_is_refused(shards, overlay):
    with pytest.raises(ShardSetError, match="the train split has 49"):
        open_stream(shards, overlay, batch_size=50)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,,1\n2,,1\n3,,1\n4,,1\n", "at least 2 classes to train on, 1 are left"),
        ("".join(f"{number},,drop\n" for number in range(5)), "0 are left"),
        ("9,,1\n", "line 2: class 9: the set has the classes 0 to 4"),
        (",60,1\n", "line 2: source_key 60: no record of the set has that key"),
    ],
)
def test_an_overlay_that_does_not_fit_is_refused(shards, overlay, rows, message):
    overlay.write_text("class,source_key,new_class\n" + rows)
    with pytest.raises(OverlayError, match=message):
        open_stream(shards, overlay)


@pytest.mark.parametrize("damage", ["missing", "changed", "cut"])
def test_a_record_table_that_is_damaged_is_refused(shards, overlay, tmp_path, damage):
    copy = tmp_path / "copy"
    shutil.copytree(shards, copy)
    table = (copy / "records.npy").read_bytes()
    if damage == "missing":
        (copy / "records.npy").unlink()
    else:
        (copy / "records.npy").write_bytes(table[:-1] + b"\1" if damage == "changed" else table[:-24])
    for labels in (None, overlay):
        with pytest.raises(ShardSetError, match=r"records\.npy: cannot be read .*fr-prep verify"):
            open_stream(copy, labels)


def test_another_overlay_than_the_run_s_is_refused(overlay):
    digest = read_overlay(overlay).sha256
    assert read_overlay(overlay, sha256=digest).sha256 == digest
    overlay.write_text(overlay.read_text() + "4,,0\n")
    with pytest.raises(OverlayError, match=rf"labels\.csv: was changed: the run began with .*{digest}"):
        read_overlay(overlay, sha256=digest)


def test_another_overlay_on_top_of_a_config_forgets_the_digest_of_the_first():
    values = {"overlay": "a.csv", "overlay_sha256": "00"}
    assert parse_config(values, overrides={("epochs",): 3}).overlay_sha256 == "00"
    assert parse_config(values, overrides={("overlay",): "b.csv"}).overlay_sha256 == ""


def fr_train(*arguments, cwd):
    script = str(Path(sys.executable).with_name("fr-train"))
    return subprocess.run([script, *map(str, arguments)], capture_output=True, text=True, timeout=240, cwd=cwd)


def test_a_run_keeps_its_overlay_and_names_one_that_was_changed(shards, overlay, tmp_path):
    options = ["--shards", shards, "--overlay", "labels.csv", "--out", "run", "--epochs", 1]
    ended = fr_train(*options, *[option for option in SMALL if option != "--quiet"], cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "labels.csv: 15 images moved, 11 dropped; 49 in 5 classes" in ended.stderr
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["overlay"] == str(overlay)
    assert config["overlay_sha256"] == read_overlay(overlay).sha256
    resumed = fr_train("--resume", "--out", "run", "--quiet", cwd=tmp_path / "run" / "..")
    assert resumed.returncode == 0, resumed.stderr
    overlay.write_text("class,new_class\n1,0\n")
    resumed = fr_train("--resume", "--out", "run", "--quiet", cwd=tmp_path)
    assert resumed.returncode == 1
    assert f"{overlay}: was changed" in resumed.stderr
    assert "Traceback" not in resumed.stderr


def test_an_overlay_that_is_none_is_said_before_anything_is_made(shards, tmp_path):
    (tmp_path / "labels.csv").write_text("class,new_class\nx,0\n")
    for name, message in (("labels.csv", "line 2: class: expected a whole number"), ("gone.csv", "cannot be read")):
        ended = fr_train("--shards", shards, "--overlay", name, "--out", "run", *SMALL, cwd=tmp_path)
        assert ended.returncode == 1
        assert f"{tmp_path / name}" in ended.stderr
        assert message in ended.stderr
        assert not (tmp_path / "run").exists()
