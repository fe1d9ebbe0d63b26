"""Sets and bins written by real MXNet, converted and compared with the truth beside each."""

import collections
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fr_data.tfrecord.example_reader import parse_example
from fr_data.tfrecord.frames import iterate_records
from fr_prep.errors import SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.bins.bins import read_verification_bin
from fr_prep.sources.record_sets.image_records import join_image
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.record_sets.recordio import RecordFile
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.manifest import read_manifest

pytestmark = pytest.mark.shared

DIALECTS = [
    "basic",
    "gray",
    "label_array",
    "label_array_extra",
    "label_gaps",
    "magic_inside",
    "no_header",
    "no_idx",
    "odd_sizes",
    "png",
]
READABLE_BINS = ["py2_str", "py3_bytes", "py3_list_numpy_bool", "numpy1_arrays", "numpy1_columns", "numpy2_arrays"]
REFUSED_BINS = ["bad_image", "odd_count", "hostile_builtin_getattr", "hostile_eval", "hostile_system"]


def read_shards(folder):
    for shard in read_manifest(folder).shards():
        for _, data in iterate_records(memoryview((folder / shard["file"]).read_bytes()), name=shard["file"]):
            yield parse_example(data)


def truth_of(face):
    return (face.source_key, face.source_label, hashlib.sha256(face.image).hexdigest(), len(face.image))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_set_in_any_dialect_converts_to_exactly_its_truth(shared, dialect, tmp_path):
    source = shared / "mxnet" / dialect
    build_dataset(
        RecordSetSource(source),
        tmp_path / "out",
        settings=BuildSettings(plan=PlanSettings(num_shards=3, seed=1), quiet=True),
    )
    truth = json.loads((source / "truth.json").read_text())
    expected = [(record["key"], record["label"], record["sha256"], record["bytes"]) for record in truth]
    faces = list(read_shards(tmp_path / "out"))
    assert sorted(map(truth_of, faces)) == sorted(expected)
    classes = pd.read_csv(tmp_path / "out" / "classes.csv", index_col="class")
    assert all(classes.source_label[face.label] == face.source_label for face in faces)
    assert classes.num_images.to_dict() == collections.Counter(face.label for face in faces)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_without_shuffle_the_order_is_the_source_s(shared, dialect, tmp_path):
    source = shared / "mxnet" / dialect
    settings = BuildSettings(plan=PlanSettings(num_shards=2, shuffle=False), quiet=True)
    build_dataset(RecordSetSource(source), tmp_path / "out", settings=settings)
    keys = [record["key"] for record in json.loads((source / "truth.json").read_text())]
    assert [face.source_key for face in read_shards(tmp_path / "out")] == keys


@pytest.fixture(scope="module")
def converted(shared, tmp_path_factory):
    """The real training set, converted by the command line with 3 workers."""
    out = tmp_path_factory.mktemp("train") / "out"
    convert(shared, out, "--workers", "3")
    return out


def convert(shared, out, *options, seed=1):
    command = [
        str(Path(sys.executable).with_name("fr-prep")),
        "rec2tfrecord",
        str(shared / "faces" / "train"),
        str(out),
    ]
    command += ["--shards", "8", "--seed", str(seed), "--quiet", *options]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_real_training_set_keeps_every_image_byte_and_every_class(shared, converted):
    manifest = read_manifest(converted)
    assert (manifest.num_images, manifest.num_classes, len(manifest.shards())) == (5985, 423, 8)
    source = read_face_set(shared / "faces" / "train")
    with RecordFile(source.path) as file:
        images = [hashlib.sha256(join_image(file, int(offset))).hexdigest() for offset in source.places.record_offsets]
    labels = dict(zip(source.keys.tolist(), source.labels.tolist(), strict=True))
    faces = list(read_shards(converted))
    assert collections.Counter(hashlib.sha256(face.image).hexdigest() for face in faces) == collections.Counter(images)
    classes = pd.read_csv(converted / "classes.csv", index_col="class")
    for face in faces:
        assert classes.source_label[face.label] == face.source_label == labels[face.source_key]


def test_one_worker_and_three_give_the_same_bytes_and_another_seed_another_order(shared, converted, tmp_path):
    convert(shared, tmp_path / "one", "--workers", "1")
    names = sorted(path.name for path in converted.iterdir())
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    for name in names:
        assert (converted / name).read_bytes() == (tmp_path / "one" / name).read_bytes(), name
    convert(shared, tmp_path / "other", seed=2)
    order = [face.source_key for face in read_shards(converted)]
    assert order != [face.source_key for face in read_shards(tmp_path / "other")]


def test_tf_data_and_tensorflow_datasets_read_the_real_set(shared, converted):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    expected = collections.Counter(face.label for face in read_shards(converted))
    features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    files = sorted(str(path) for path in converted.glob("*.tfrecord-*"))
    records = tf.data.TFRecordDataset(files).batch(512).map(lambda batch: tf.io.parse_example(batch, features))
    labels = np.concatenate([batch["label"].numpy() for batch in records])
    assert collections.Counter(labels.tolist()) == expected
    dataset = tfds.builder_from_directory(str(converted)).as_dataset(split="train")
    seen = collections.Counter()
    for example in dataset.batch(512):
        assert example["image"].shape[1:] == (112, 112, 3)
        seen.update(example["label"].numpy().tolist())
    assert seen == expected


@pytest.mark.parametrize("name", READABLE_BINS)
def test_a_bin_in_any_dialect_reads_to_its_truth(shared, name):
    truth = json.loads((shared / "mxnet" / "bins" / "truth.json").read_text())
    bin_ = read_verification_bin(shared / "mxnet" / "bins" / f"{name}.bin")
    assert bin_.issame.tolist() == truth["issame"]
    assert [hashlib.sha256(image).hexdigest() for image in bin_.images] == truth["sha256"]


@pytest.mark.parametrize("name", ["png", "mixed_sizes"])
def test_bins_of_other_encodings_hold_the_same_pairs(shared, name):
    truth = json.loads((shared / "mxnet" / "bins" / "truth.json").read_text())
    bin_ = read_verification_bin(shared / "mxnet" / "bins" / f"{name}.bin")
    assert bin_.issame.tolist() == truth["issame"]
    assert len(bin_.images) == len(truth["sha256"])


@pytest.mark.parametrize("name", REFUSED_BINS)
def test_a_bin_that_is_damaged_or_hostile_is_refused_and_nothing_of_it_is_run(shared, name, tmp_path):
    path = shared / "mxnet" / "bins" / f"{name}.bin"
    with pytest.raises(SourceError, match=name):
        read_verification_bin(path)
    for command in (["inspect", path], ["bin2jpeg", path, "-o", "new.bin"]):
        program = str(Path(sys.executable).with_name("fr-prep"))
        ended = subprocess.run([program, *map(str, command)], capture_output=True, text=True, cwd=tmp_path)
        assert ended.returncode == 1
        assert ended.stderr.startswith("Error: ")
        assert "Traceback" not in ended.stderr
        assert list(tmp_path.iterdir()) == []
