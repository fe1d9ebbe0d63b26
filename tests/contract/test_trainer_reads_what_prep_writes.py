"""Real output of preparation, fed to the trainer: the shard folder is all that joins the two."""

import io

import numpy as np
from PIL import Image

from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.record_sets.recordio import RecordWriter
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.manifest import read_manifest
from fr_train.data.shard_set import read_shard_set
from fr_train.data.stream import Stream, StreamSettings


def write_set(folder, labels):
    with (folder / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        for key, label in enumerate(labels):
            buffer = io.BytesIO()
            Image.new("RGB", (24, 16), (10 * key, 0, 0)).save(buffer, "PNG")
            writer.write(pack_image_record(float(label), key=key, image=buffer.getvalue()))


def test_classes_counts_and_image_size_come_from_the_manifest(tmp_path):
    source_labels = [7, 3, 7, 3, 900, 7, 3, 900]
    write_set(tmp_path, source_labels)
    settings = BuildSettings(plan=PlanSettings(num_shards=2, validation_fraction=0.25), quiet=True)
    build_dataset(RecordSetSource(tmp_path), tmp_path / "out", settings=settings)
    shards = read_shard_set(tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert shards.num_classes == manifest.num_classes == 3
    assert dict(shards.num_images) == {"train": 6, "validation": 2}
    assert (shards.image_size, shards.uniform_size) == ((16, 24), True)


def test_the_trainer_sees_each_image_with_its_dense_class(tmp_path):
    source_labels = [7, 3, 7, 3, 900, 7]
    write_set(tmp_path, source_labels)
    build_dataset(
        RecordSetSource(tmp_path), tmp_path / "out", settings=BuildSettings(plan=PlanSettings(num_shards=2), quiet=True)
    )
    shards = read_shard_set(tmp_path / "out")
    stream = Stream(shards, StreamSettings(batch_size=6), seed=0, image_size=shards.image_size)
    ((images, labels),) = list(stream.epoch(0))
    dense = {3: 0, 7: 1, 900: 2}
    seen = {int(image[0, 0, 0]) // 10: int(label) for image, label in zip(images, labels, strict=True)}
    assert seen == {key: dense[label] for key, label in enumerate(source_labels)}
    assert np.unique(images[..., 1:]).tolist() == [0]
