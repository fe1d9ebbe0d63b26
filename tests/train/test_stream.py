import io
import shutil

import numpy as np
import pytest
from PIL import Image

from fr_train.errors import ShardSetError
from fr_train.shard_set import read_shard_set
from fr_train.stream import Stream, StreamSettings


def open_stream(folder, *, seed=3, image_size=None, **settings):
    shards = read_shard_set(folder)
    settings = StreamSettings(**{"batch_size": 8, **settings})
    return Stream(shards, settings, seed=seed, image_size=image_size or shards.image_size)


def read_epoch(stream, epoch=0, **where):
    batches = [(images.numpy(), labels.numpy()) for images, labels in stream.epoch(epoch, **where)]
    return np.stack([b[0] for b in batches]), np.stack([b[1] for b in batches])


def test_images_are_uint8_and_labels_dense_int32(shards):
    images, labels = read_epoch(open_stream(shards))
    assert (images.dtype, images.shape[1:]) == (np.uint8, (8, 32, 32, 3))
    assert labels.dtype == np.int32
    assert set(labels.ravel()) == set(range(5))


def test_an_epoch_leaves_out_only_the_last_smaller_batch(shards):
    stream = open_stream(shards, batch_size=8)
    assert stream.steps_per_epoch == 7  # 60 images
    assert read_epoch(stream)[1].size == 56


def test_every_record_comes_once_in_an_epoch(shards):
    images, labels = read_epoch(open_stream(shards, batch_size=60, mirror=False))
    assert len({image.tobytes() for image in images[0]}) == 60
    assert np.bincount(labels[0]).tolist() == [12] * 5


def test_images_are_what_pillow_decodes_within_a_rounding(shards):
    import tensorflow as tf

    images, _ = read_epoch(open_stream(shards, batch_size=60, mirror=False))
    decoded = []
    for file in read_shard_set(shards).files["train"]:
        for record in tf.data.TFRecordDataset(str(file)):
            example = tf.train.Example.FromString(record.numpy())
            decoded.append(np.asarray(Image.open(io.BytesIO(example.features.feature["image"].bytes_list.value[0]))))
    for image in images[0]:
        assert min(np.abs(image.astype(int) - other).max() for other in decoded) <= 1


def test_the_seed_and_the_epoch_decide_everything(shards):
    first = read_epoch(open_stream(shards, seed=3), epoch=1)
    again = read_epoch(open_stream(shards, seed=3), epoch=1)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[1] != read_epoch(open_stream(shards, seed=4), epoch=1)[1]).any()
    assert (first[1] != read_epoch(open_stream(shards, seed=3), epoch=2)[1]).any()


@pytest.mark.parametrize("first_step", [0, 1, 6, 7])
def test_an_epoch_can_be_entered_at_any_step(shards, first_step):
    stream = open_stream(shards)
    images, labels = read_epoch(stream, epoch=2)
    rest = [(i.numpy(), y.numpy()) for i, y in stream.epoch(2, first_step=first_step)]
    assert len(rest) == 7 - first_step
    for position, (some_images, some_labels) in enumerate(rest, start=first_step):
        np.testing.assert_array_equal(some_images, images[position])
        np.testing.assert_array_equal(some_labels, labels[position])


def test_about_half_of_the_images_are_mirrored_and_nothing_else_changes(shards):
    plain, _ = read_epoch(open_stream(shards, batch_size=60, mirror=False))
    turned, _ = read_epoch(open_stream(shards, batch_size=60, mirror=True))
    same = (plain[0] == turned[0]).all(axis=(1, 2, 3))
    mirrored = (plain[0] == turned[0][:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same | mirrored).all()
    assert 15 <= mirrored.sum() <= 45


def test_sets_of_mixed_sizes_and_encodings_are_resized(mixed_shards):
    shards = read_shard_set(mixed_shards)
    assert not shards.uniform_size
    images, _ = read_epoch(open_stream(mixed_shards, image_size=(32, 32), batch_size=60))
    assert images.shape == (1, 60, 32, 32, 3)
    assert images.std() > 20


def test_a_batch_larger_than_the_split_is_refused(shards):
    with pytest.raises(ShardSetError, match="smaller batch size"):
        open_stream(shards, batch_size=61)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(ShardSetError, match=r"manifest\.json, which is missing"):
        read_shard_set(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format_version": 1}', '{"format_version": 2}', "{"])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ShardSetError, match="manifest"):
        read_shard_set(tmp_path)


def test_a_missing_or_short_shard_is_named(shards, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(shards, copy)
    shard = next(copy.glob("*-00001-of-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ShardSetError, match=r"00001-of-00003[\s\S]*fr-prep verify"):
        read_shard_set(copy)
    shard.unlink()
    with pytest.raises(ShardSetError, match="missing"):
        read_shard_set(copy)
