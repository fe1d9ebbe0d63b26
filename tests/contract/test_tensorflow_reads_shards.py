"""What `fr-prep` writes, read by tf.data and by TensorFlow Datasets, without real data."""

import io

import numpy as np
import pytest
from PIL import Image

from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.record_sets.recordio import RecordWriter
from fr_prep.write.build import BuildSettings, build_dataset

SOURCE_LABELS = [50, 7, 50, 900, 7, 50, 900, 50]
DENSE = {7: 0, 50: 1, 900: 2}
KINDS = {
    "jpeg": lambda key: ("JPEG", "RGB", (32, 24)),
    "png": lambda key: ("PNG", "RGB", (32, 24)),
    "gray jpeg": lambda key: ("JPEG", "L", (32, 24)),
    "sizes": lambda key: ("JPEG", "RGB", (32, 24 + 8 * (key % 2))),
    "encodings": lambda key: (("JPEG", "PNG")[key % 2], "RGB", (32, 24)),
    "all mixed": lambda key: (("PNG", "JPEG")[key % 2], ("RGB", "L")[key % 3 == 0], (16 + 8 * (key % 3), 24)),
}


def encode(key, image_format, mode, size):
    colour = 20 + 25 * key
    buffer = io.BytesIO()
    Image.new(mode, size, colour if mode == "L" else (colour, 255 - colour, 40)).save(buffer, image_format)
    return buffer.getvalue()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.replace(" ", "_"))
def converted(request, tmp_path):
    """A small set of one kind of images, and the encoded image of each key."""
    images = [encode(key, *KINDS[request.param](key)) for key in range(len(SOURCE_LABELS))]
    with (tmp_path / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        for key, (label, image) in enumerate(zip(SOURCE_LABELS, images, strict=True)):
            writer.write(pack_image_record(float(label), key=key, image=image))
    settings = BuildSettings(plan=PlanSettings(num_shards=2, seed=3, validation_fraction=0.25), quiet=True)
    build_dataset(RecordSetSource(tmp_path / "train.rec"), tmp_path / "out", settings=settings)
    return tmp_path / "out", images


def test_tf_data_reads_the_images_and_labels(converted):
    import tensorflow as tf

    folder, images = converted
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        **{name: tf.io.FixedLenFeature([], tf.int64) for name in ("label", "source_key", "source_label")},
    }
    files = sorted(str(path) for path in folder.glob("*.tfrecord-*"))
    seen = {}
    for record in tf.data.TFRecordDataset(files):
        example = tf.io.parse_single_example(record, features)
        key = int(example["source_key"])
        seen[key] = (example["image"].numpy(), int(example["source_label"]), int(example["label"]))
    assert seen == {
        key: (image, label, DENSE[label]) for key, (image, label) in enumerate(zip(images, SOURCE_LABELS, strict=True))
    }


def test_tensorflow_datasets_reads_the_images_and_labels(converted):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    folder, images = converted
    builder = tfds.builder_from_directory(str(folder))
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {"train": 6, "validation": 2}
    assert builder.info.features["label"].num_classes == 3
    assert builder.info.features["label"].names == ["7", "50", "900"]
    assert builder.info.supervised_keys == ("image", "label")
    seen = {}
    for split in builder.as_dataset().values():
        for example in split:
            seen[int(example["source_key"])] = example
    assert sorted(seen) == list(range(len(images)))
    for key, example in seen.items():
        assert int(example["source_label"]) == SOURCE_LABELS[key]
        assert int(example["label"]) == DENSE[SOURCE_LABELS[key]]
        expected = tf.io.decode_image(images[key], channels=3, expand_animations=False).numpy()
        np.testing.assert_array_equal(example["image"].numpy(), expected)


def test_tensorflow_datasets_reads_pairs_of_image_and_label(converted):
    import tensorflow_datasets as tfds

    dataset = tfds.builder_from_directory(str(converted[0])).as_dataset(split="train", as_supervised=True)
    labels = [int(label) for _, label in dataset]
    assert len(labels) == 6
    assert set(labels) <= {0, 1, 2}
