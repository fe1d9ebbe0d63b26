"""Writing one shard: golden bytes, blocks, and a source that is not what the plan says."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fr_data.images.header import ImageKind
from fr_data.tfrecord.example import INTEGER_FEATURES
from fr_prep.errors import DamagedRecordError, OutputError, SourceError
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.write.shard_task import ShardTask
from fr_prep.write.shard_writer import ShardResult, receipt_path, write_shard

MAGIC_BYTES = bytes.fromhex("0a23d7ce")


def make_task(source, path, *, extra_bytes=0, **integers):
    face_set = read_face_set(source)
    columns = {"label": face_set.labels, "source_key": face_set.keys, "source_label": face_set.labels * 10 - 7}
    places = replace(face_set.places, image_lengths=face_set.places.image_lengths + extra_bytes)
    return ShardTask(path=path, places=places, integers={**columns, **integers})


def assert_nothing_is_left(path):
    assert not list(path.parent.glob(f"{path.name}*"))


def test_a_small_shard_is_golden(make_set, tmp_path):
    # No release may change this: shards of the same set would differ.
    make_set(tmp_path / "set", num_classes=2, images_per_class=2)
    result = write_shard(make_task(tmp_path / "set", tmp_path / "shard"))
    assert (result.num_records, result.num_bytes, result.sha256) == GOLDEN_SHARD
    assert hashlib.sha256((tmp_path / "shard").read_bytes()).hexdigest() == result.sha256
    assert (tmp_path / "shard").stat().st_size == result.num_bytes
    assert result.image_kinds == Counter({ImageKind("jpeg", 16, 16, 3): 4})


GOLDEN_SHARD = (4, 1654, "ec3a3d3ce3af46dd45752f5fc072a4d7d7aec50c0f3ec98f3ba5fb5c09d50273")


def jpeg_header_and_zeros(num_zeros):
    return b"\xff\xd8\xff\xc0\0\x0b\x08\0\x10\0\x10\x01" + bytes(num_zeros)


def write_with_tensorflow(path, images, integers):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row, image in enumerate(images):
            features = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))}
            for name, values in integers.items():
                features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(values[row])]))
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString(deterministic=True))


def test_a_shard_is_what_tensorflow_writes(make_set, tmp_path):
    made = make_set(tmp_path / "set", images=lambda key: jpeg_header_and_zeros(50 * key))
    task = make_task(tmp_path / "set", tmp_path / "shard")
    write_shard(task)
    write_with_tensorflow(tmp_path / "expected", [record.image for record in made.records], task.integers)
    assert (tmp_path / "shard").read_bytes() == (tmp_path / "expected").read_bytes()


@pytest.mark.parametrize("block_bytes", [1, 1 << 21], ids=["one record a block", "one block"])
def test_the_smallest_images_stand_between_numbers_and_lengths_of_every_width(
    make_set, tmp_path, monkeypatch, block_bytes
):
    # What stands around an image is laid over a little of it first; 32 bytes are the fewest that an image may have.
    sizes = (32, 1 << 7, 32, 1 << 14, 32, 1 << 21, 32, 32)
    made = make_set(
        tmp_path / "set", num_classes=len(sizes), images=lambda key: jpeg_header_and_zeros(sizes[key % len(sizes)] - 12)
    )
    row = np.arange(len(made.records))
    numbers = np.array([-1, 0, 1 << 62, 1, 1 << 14, 5, -(1 << 63), 127, 3])
    integers = {name: numbers[row * (place + 2) % len(numbers)] for place, name in enumerate(INTEGER_FEATURES)}
    monkeypatch.setattr("fr_prep.write.record_blocks.BLOCK_BYTES", block_bytes)
    write_shard(make_task(tmp_path / "set", tmp_path / "shard", **integers))
    write_with_tensorflow(tmp_path / "expected", [record.image for record in made.records], integers)
    assert (tmp_path / "shard").read_bytes() == (tmp_path / "expected").read_bytes()


@pytest.mark.parametrize("block_bytes", [1, 600, 1000, 5000])
def test_the_size_of_a_block_changes_no_byte(make_set, numbered_jpeg, tmp_path, monkeypatch, block_bytes):
    make_set(tmp_path / "set", images=lambda key: numbered_jpeg(key) + bytes(97 * key) + MAGIC_BYTES * (key % 3))
    task = make_task(tmp_path / "set", tmp_path / "shard")
    write_shard(task)
    expected = (tmp_path / "shard").read_bytes()
    monkeypatch.setattr("fr_prep.write.record_blocks.BLOCK_BYTES", block_bytes)
    write_shard(task)
    assert (tmp_path / "shard").read_bytes() == expected


@pytest.mark.parametrize("split", [False, True])
def test_a_source_that_became_shorter_is_an_error_and_leaves_nothing(make_set, numbered_jpeg, tmp_path, split):
    def image(key):
        jpeg = numbered_jpeg(key)
        return jpeg + bytes(-len(jpeg) % 4) + MAGIC_BYTES * split

    made = make_set(tmp_path / "set", images=image)
    task = make_task(tmp_path / "set", tmp_path / "shard")
    content = made.rec.read_bytes()
    for length in (made.entries[6][1] + 40, made.entries[1][1], 4):
        made.rec.write_bytes(content[:length])
        with pytest.raises(SourceError, match=r"train\.rec"):
            write_shard(task)
        assert_nothing_is_left(tmp_path / "shard")


def test_a_source_that_is_gone_or_empty_is_an_error(make_set, tmp_path):
    made = make_set(tmp_path / "set")
    task = make_task(tmp_path / "set", tmp_path / "shard")
    made.rec.write_bytes(b"")
    with pytest.raises(SourceError):
        write_shard(task)
    made.rec.unlink()
    with pytest.raises(SourceError, match="No such file"):
        write_shard(task)
    assert_nothing_is_left(tmp_path / "shard")


def test_a_source_whose_images_were_replaced_is_an_error(make_set, tmp_path):
    made = make_set(tmp_path / "set")
    task = make_task(tmp_path / "set", tmp_path / "shard")
    made.rec.write_bytes(bytes(made.rec.stat().st_size))
    with pytest.raises(DamagedRecordError, match="key 1, record at byte 40: expected a JPEG"):
        write_shard(task)
    assert_nothing_is_left(tmp_path / "shard")


def test_a_split_record_of_another_length_than_planned_is_an_error(make_set, numbered_jpeg, tmp_path):
    def image(key):
        jpeg = numbered_jpeg(key)
        return jpeg + bytes(-len(jpeg) % 4) + MAGIC_BYTES + b"tail"

    make_set(tmp_path / "set", images=image)
    for change in (-1, 1):
        task = make_task(tmp_path / "set", tmp_path / "shard", extra_bytes=change)
        with pytest.raises(SourceError):
            write_shard(task)
        assert_nothing_is_left(tmp_path / "shard")


def test_a_folder_that_is_gone_is_an_output_error(make_set, tmp_path):
    make_set(tmp_path / "set")
    with pytest.raises(OutputError, match="cannot be written"):
        write_shard(make_task(tmp_path / "set", tmp_path / "gone" / "shard"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full_is_an_output_error(make_set, tmp_path):
    make_set(tmp_path / "set")
    (tmp_path / "shard.incomplete").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="cannot be written"):
        write_shard(make_task(tmp_path / "set", tmp_path / "shard"))
    assert_nothing_is_left(tmp_path / "shard")


def test_a_receipt_gives_the_result_back(make_set, tmp_path):
    make_set(tmp_path / "set")
    result = write_shard(make_task(tmp_path / "set", tmp_path / "shard"))
    assert ShardResult.from_json(receipt_path(tmp_path / "shard").read_text()) == result


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "5", "{}", '{"image_kinds": [1]}', '{"image_kinds": [["jpeg"]]}']
)
def test_what_is_no_receipt_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        ShardResult.from_json(text)


def test_labels_and_keys_of_any_size_are_written(make_set, read_faces, tmp_path):
    from fr_data.tfrecord.example_reader import parse_example
    from fr_data.tfrecord.frames import iterate_records

    make_set(tmp_path / "set")
    rows = 12
    labels = 2 ** np.arange(rows, dtype=np.int64) * 1000
    keys = 2 ** (np.arange(rows, dtype=np.int64) * 5)
    task = make_task(tmp_path / "set", tmp_path / "shard", label=labels, source_key=keys, source_label=-labels)
    write_shard(task)
    shard = memoryview((tmp_path / "shard").read_bytes())
    faces = [parse_example(data) for _, data in iterate_records(shard, name="shard")]
    assert [face.label for face in faces] == labels.tolist()
    assert [face.source_key for face in faces] == keys.tolist()
    assert [face.source_label for face in faces] == (-labels).tolist()
