import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fr_train.data.augment.settings import AugmentSettings
from fr_train.data.shard_set import read_shard_set
from fr_train.data.stream import Stream, StreamSettings
from fr_train.errors import ConfigError, ShardSetError


def open_stream(folder, *, seed=3, image_size=None, **settings):
    shards = read_shard_set(folder)
    settings = StreamSettings(**{"batch_size": 8, **settings})
    return Stream(shards, settings, seed=seed, image_size=image_size or shards.image_size)


def read_epoch(stream, epoch=0, **where):
    return [[np.asarray(part) for part in batch] for batch in stream.epoch(epoch, **where)]


def assert_equal(some, others):
    assert len(some) == len(others)
    for batch, other in zip(some, others, strict=True):
        for part, other_part in zip(batch, other, strict=True):
            np.testing.assert_array_equal(part, other_part)


def read_with_tensorflow(folder):
    """Source key → (image, label), as the records themselves say it."""
    found = {}
    for file in read_shard_set(folder).files["train"]:
        for record in tf.data.TFRecordDataset(str(file)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            image = np.asarray(Image.open(io.BytesIO(feature["image"].bytes_list.value[0])).convert("RGB"))
            found[feature["source_key"].int64_list.value[0]] = image, feature["label"].int64_list.value[0]
    return found


def test_images_are_uint8_and_labels_dense_int32(shards):
    batches = read_epoch(open_stream(shards))
    assert {(images.dtype.name, images.shape) for images, _ in batches} == {("uint8", (8, 32, 32, 3))}
    assert {labels.dtype.name for _, labels in batches} == {"int32"}
    assert {int(label) for _, labels in batches for label in labels} == set(range(5))


def test_an_epoch_leaves_out_only_the_last_smaller_batch(shards):
    stream = open_stream(shards, batch_size=8)
    assert stream.steps_per_epoch == 7  # 60 images
    assert len(stream.epoch(0)) == len(read_epoch(stream)) == 7
    assert len(stream.epoch(0, first_step=5)) == 2


def test_every_record_comes_once_with_its_own_pixels_label_and_key(shards):
    ((images, labels, keys),) = read_epoch(open_stream(shards, batch_size=60, mirror=False, with_keys=True))
    assert keys.dtype == np.int64
    expected = read_with_tensorflow(shards)
    assert len(expected) == 60
    for image, label, key in zip(images, labels, keys, strict=True):
        expected_image, expected_label = expected.pop(int(key))
        np.testing.assert_array_equal(image, expected_image)
        assert label == expected_label


@pytest.mark.shared
def test_pixels_of_real_faces_are_those_of_tensorflow_and_of_evaluation(shared, tmp_path):
    from fr_data.images.decode import decode_image
    from fr_prep.sources.record_sets.record_set import RecordSetSource
    from fr_prep.write.build import BuildSettings, build_dataset

    build_dataset(RecordSetSource(shared / "faces" / "tiny"), tmp_path / "shards", settings=BuildSettings(quiet=True))
    stream = open_stream(tmp_path / "shards", batch_size=100, mirror=False)
    _, encoded_images = stream.open_epoch(0)(0)
    ((images, _),) = stream.epoch(0).first(1)
    for image, encoded in zip(np.asarray(images), encoded_images, strict=True):
        np.testing.assert_array_equal(image, decode_image(bytes(encoded)))
        np.testing.assert_array_equal(image, tf.io.decode_jpeg(bytes(encoded), dct_method="INTEGER_ACCURATE").numpy())


def test_the_seed_and_the_epoch_decide_everything(shards):
    first = read_epoch(open_stream(shards, seed=3), epoch=1)
    assert_equal(first, read_epoch(open_stream(shards, seed=3), epoch=1))
    for other in (read_epoch(open_stream(shards, seed=4), epoch=1), read_epoch(open_stream(shards), epoch=2)):
        assert any((labels != others).any() for (_, labels), (_, others) in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"images_per_class": 2},
        {"augment": AugmentSettings(crop=0.5, brightness=0.5, jpeg=0.5)},
    ],
    ids=["plain", "balanced", "augmented"],
)
@pytest.mark.parametrize("first_step", [0, 1, 6, 7])
def test_an_epoch_can_be_entered_at_any_step(shards, settings, first_step):
    stream = open_stream(shards, **settings)
    whole, rest = read_epoch(stream, epoch=2), read_epoch(stream, epoch=2, first_step=first_step)
    assert_equal(whole[first_step:], rest)


def test_batches_can_be_gone_through_again_and_left_early(shards):
    batches = open_stream(shards).epoch(0)
    first = [[np.asarray(part) for part in batch] for batch in islice(batches, 2)]
    assert_equal(first, [[np.asarray(part) for part in batch] for batch in batches][:2])


def test_images_that_are_kept_are_not_written_over(shards):
    stream = open_stream(shards, batch_size=4)
    kept = [images for images, _ in stream.epoch(0)] + [images for images, _ in stream.epoch(1)]
    copies = [np.asarray(images).copy() for images, _ in stream.epoch(0)]
    for images, copy in zip(kept, copies, strict=False):
        np.testing.assert_array_equal(np.asarray(images), copy)


def test_about_half_of_the_images_are_mirrored_and_nothing_else_changes(shards):
    ((plain, _),) = read_epoch(open_stream(shards, batch_size=60, mirror=False))
    ((turned, _),) = read_epoch(open_stream(shards, batch_size=60, mirror=True))
    same = (plain == turned).all(axis=(1, 2, 3))
    mirrored = (plain == turned[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 15 <= mirrored.sum() <= 45


def test_augmentations_are_applied_and_decided_by_the_seed(shards):
    settings = {"batch_size": 60, "mirror": False, "augment": AugmentSettings(brightness=0.5)}
    ((plain, _),) = read_epoch(open_stream(shards, batch_size=60, mirror=False))
    ((augmented, _),) = read_epoch(open_stream(shards, **settings))
    changed = (plain != augmented).any(axis=(1, 2, 3))
    assert 15 <= changed.sum() <= 45
    assert_equal([[augmented]], [[read_epoch(open_stream(shards, **settings))[0][0]]])
    assert (augmented != read_epoch(open_stream(shards, seed=4, **settings))[0][0]).any()


def test_sets_of_mixed_sizes_and_encodings_are_resized_as_evaluation_does(mixed_shards):
    from fr_data.images.decode import decode_image

    shards = read_shard_set(mixed_shards)
    assert not shards.uniform_size
    stream = open_stream(mixed_shards, image_size=(24, 32), batch_size=60)
    _, encoded = stream.open_epoch(0)(0)
    assert {bytes(image[:2]) for image in encoded} == {b"\xff\xd8", b"\x89P"}
    ((images, _),) = read_epoch(stream)
    for image, data in zip(images, encoded, strict=True):
        expected = decode_image(bytes(data), size=(24, 32))
        assert (image == expected).all() or (image == expected[:, ::-1]).all()


def test_rows_can_be_read_in_any_order_as_they_are(shards):
    stream = open_stream(shards, batch_size=4, with_keys=True, augment=AugmentSettings(gray=1.0))
    rows = np.array([7, 7, 59, 0, 31])
    batches = [[np.asarray(part) for part in batch] for batch in stream.read(rows)]
    assert [len(labels) for _, labels, _ in batches] == [4, 1]
    expected = read_with_tensorflow(shards)
    for image, label, key, row in zip(*map(np.concatenate, zip(*batches, strict=True)), rows, strict=True):
        np.testing.assert_array_equal(image, expected[int(key)][0])
        assert label == stream.labels[row]


def test_rows_can_be_trained_on_in_any_order_and_from_any_step(shards):
    stream = open_stream(shards, batch_size=6, with_keys=True)
    rows = np.random.default_rng(0).integers(0, 60, 40)
    whole = [[np.asarray(part) for part in batch] for batch in stream.read(rows, epoch=3)]
    assert len(whole) == 6
    assert_equal(
        whole[2:], [[np.asarray(part) for part in batch] for batch in stream.read(rows, epoch=3, first_step=2)]
    )
    other = [[np.asarray(part) for part in batch] for batch in stream.read(rows, epoch=4)]
    plain = [[np.asarray(part) for part in batch] for batch in stream.read(rows)]
    for (images, labels, keys), (others, *_), (plain_images, *plain_rest) in zip(whole, other, plain, strict=False):
        assert_equal([[labels, keys]], [plain_rest])
        mirrored = (images != plain_images).any(axis=(1, 2, 3))
        np.testing.assert_array_equal(np.where(mirrored[:, None, None, None], images[:, :, ::-1], images), plain_images)
        assert others.shape == images.shape
    assert any((images != others).any() for (images, *_), (others, *_) in zip(whole, other, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected 1 or more, received 0"),
        ({"shuffle_buffer": 0}, "shuffle_buffer: expected 1 or more"),
        (
            {"images_per_class": 3, "batch_size": 8},
            "batch_size: expected a multiple of images_per_class, 3, received 8",
        ),
        ({"steps_per_epoch": 5}, "steps_per_epoch: expected images_per_class with it"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        StreamSettings(**settings)


def test_a_batch_larger_than_the_split_is_refused(shards):
    with pytest.raises(ShardSetError, match="smaller batch size"):
        open_stream(shards, batch_size=61)


# Damage


@pytest.fixture
def copy(shards, tmp_path):
    return shutil.copytree(shards, tmp_path / "copy")


def test_a_flipped_bit_ends_the_epoch_with_the_record_s_name(copy):
    stream = open_stream(copy, batch_size=60, with_keys=True)
    record = stream.reader.records.table[25]
    shard = stream.reader.records.files[1]
    content = bytearray(shard.read_bytes())
    content[record["frame_offset"] + record["image_place"] + 300] ^= 4
    shard.write_bytes(content)
    expected = rf"00001-of-00003, byte {record['frame_offset']}, source_key {record['source_key']}: its checksum is wrong.*verify"
    with pytest.raises(ShardSetError, match=expected):
        list(open_stream(copy, batch_size=60).epoch(0))


def test_what_was_read_before_the_damage_still_comes(copy):
    stream = open_stream(copy, batch_size=4)
    row = stream.open_epoch(0)(9)[0][2]
    record = stream.reader.records.table[row]
    shard = stream.reader.records.files[stream.reader.records.find_shards(np.array([row]))[0]]
    content = bytearray(shard.read_bytes())
    content[record["frame_offset"] + record["frame_length"] - 1] ^= 255
    shard.write_bytes(content)
    batches = iter(open_stream(copy, batch_size=4).epoch(0))
    assert len([next(batches) for _ in range(9)]) == 9
    with pytest.raises(ShardSetError, match=f"source_key {record['source_key']}:"):
        next(batches)


def test_a_shard_that_is_cut_short_while_it_is_read_is_named(copy):
    stream = open_stream(copy, batch_size=60)
    shard = stream.reader.records.files[2]
    os.truncate(shard, shard.stat().st_size - 10)
    with pytest.raises(ShardSetError, match=r"00002-of-00003: expected \d+ bytes more at byte \d+: it was cut short"):
        list(stream.epoch(0))


@pytest.mark.parametrize("image", ["no scan", "half a JPEG", "16 bits"])
def test_an_image_that_cannot_be_decoded_ends_the_epoch_with_its_key_and_what_to_do(tmp_path, draw_image, image):
    from fr_prep.sources.record_sets.image_records import pack_image_record
    from fr_prep.sources.record_sets.record_set import RecordSetSource
    from fr_prep.sources.record_sets.recordio import RecordWriter
    from fr_prep.write.build import BuildSettings, build_dataset

    deep = io.BytesIO()
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(deep, "PNG")
    jpeg = draw_image(0, 0)
    bad = {
        "no scan": jpeg[: jpeg.index(b"\xff\xda")],
        "half a JPEG": jpeg[: len(jpeg) // 2],
        "16 bits": deep.getvalue(),
    }[image]
    with (tmp_path / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        for key in range(12):
            encoded = bad if key == 7 else draw_image(key // 6, key)
            writer.write(pack_image_record(float(key // 6), key=key, image=encoded))
    build_dataset(RecordSetSource(tmp_path), tmp_path / "shards", settings=BuildSettings(quiet=True))
    with pytest.raises(ShardSetError, match=r"source_key 7: its image cannot be decoded: .*--overlay.*verify --decode"):
        list(open_stream(tmp_path / "shards", batch_size=12, image_size=(32, 32)).epoch(0))


def test_a_record_table_of_another_set_is_refused(copy):
    table = bytearray((copy / "records.npy").read_bytes())
    table[-1] ^= 1
    (copy / "records.npy").write_bytes(table)
    with pytest.raises(ShardSetError, match=r"records\.npy: cannot be read \(its SHA-256.*fr-prep verify"):
        open_stream(copy)


def test_shards_that_are_laid_out_otherwise_are_refused(copy):
    table = np.load(copy / "records.npy")
    table["image_offset"] += 1
    np.save(copy / "records.npy", table)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["record_table"]["sha256"] = hashlib.sha256((copy / "records.npy").read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        ShardSetError, match=r"00000-of-00003: expected the first record at byte 0, .* at 1: .*fr-prep verify"
    ):
        open_stream(copy)


def test_a_process_that_ends_within_an_epoch_ends_well(shards):
    code = f"""
from pathlib import Path
from fr_train.data.shard_set import read_shard_set
from fr_train.data.stream import Stream, StreamSettings
stream = Stream(read_shard_set(Path({str(shards)!r})), StreamSettings(batch_size=2), seed=0, image_size=(32, 32))
batches = iter(stream.epoch(0))
next(batches)
print("left")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stdout) == (0, "left\n"), ended.stderr


# The manifest


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(ShardSetError, match=r"manifest\.json, which is missing"):
        read_shard_set(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format_version": 1}', '{"format_version": 2}', "{"])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ShardSetError, match="manifest"):
        read_shard_set(tmp_path)


def test_a_missing_or_short_shard_is_named(copy):
    shard = next(copy.glob("*-00001-of-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ShardSetError, match=r"00001-of-00003[\s\S]*fr-prep verify"):
        read_shard_set(copy)
    shard.unlink()
    with pytest.raises(ShardSetError, match="missing"):
        read_shard_set(copy)
