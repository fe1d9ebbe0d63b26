"""What `fr-prep folder2tfrecord` makes of pictures that are no JPEG or PNG, read by TensorFlow and TensorFlow Datasets."""

import numpy as np
import pytest
from PIL import Image

from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.class_folders.class_folder_source import ClassFolderSource
from fr_prep.write.build import BuildSettings, build_dataset

RNG = np.random.default_rng(1)
COLOUR = RNG.integers(0, 256, (8, 12, 4), dtype=np.uint8)
DEEP = RNG.integers(0, 1 << 16, (8, 12), dtype=np.uint16)
GRAY = np.repeat(COLOUR[..., :1], 3, axis=2)
# Class → the file that is saved there, and what readers of shards see: transparency dropped, 16 bits reduced to the upper 8.
PICTURES = {
    "bmp": (COLOUR[..., :3], COLOUR[..., :3]),
    "webp": (COLOUR[..., :3], COLOUR[..., :3]),
    "gray.tiff": (COLOUR[..., 0], GRAY),
    "rgba.tiff": (COLOUR, COLOUR[..., :3]),
    "deep.tiff": (DEEP, np.repeat((DEEP >> 8).astype(np.uint8)[..., None], 3, axis=2)),
}


@pytest.fixture
def shards(tmp_path):
    for name, (pixels, _) in PICTURES.items():
        (tmp_path / "src" / name).mkdir(parents=True)
        options = {"lossless": True} if name == "webp" else {}
        Image.fromarray(pixels).save(tmp_path / "src" / name / f"1.{name.split('.')[-1]}", **options)
    settings = BuildSettings(plan=PlanSettings(num_shards=2), quiet=True)
    build_dataset(ClassFolderSource(tmp_path / "src"), tmp_path / "out", settings=settings)
    return tmp_path / "out"


def test_the_trainer_s_own_decoding_sees_the_pictures(shards):
    import tensorflow as tf

    features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    seen = {}
    for record in tf.data.TFRecordDataset(sorted(map(str, shards.glob("*.tfrecord-*")))):
        example = tf.io.parse_single_example(record, features)
        image = tf.io.decode_jpeg(example["image"], channels=3, dct_method="INTEGER_ACCURATE")
        seen[sorted(PICTURES)[int(example["label"])]] = image.numpy()
    assert seen.keys() == PICTURES.keys()
    for name, (_, expected) in PICTURES.items():
        np.testing.assert_array_equal(seen[name], expected, err_msg=name)


def test_tensorflow_datasets_sees_them_under_the_names_of_their_folders(shards):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(shards))
    names = builder.info.features["label"].names
    assert names == sorted(PICTURES)
    for example in builder.as_dataset(split="train"):
        name = names[int(example["label"])]
        np.testing.assert_array_equal(example["image"].numpy(), PICTURES[name][1], err_msg=name)
