"""The record table of a data set."""

import hashlib
import io
import json
import random
from contextlib import suppress

import numpy as np
import pytest

from fr_prep.errors import OutputError, ShardError, SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.shards.shard_folder import ShardFolderSource
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.record_table import RECORDS_FILE, RecordTableWriter, read_record_table


@pytest.fixture
def shards(make_set, numbered_jpeg, tmp_path):
    make_set(tmp_path / "set", images=lambda key: numbered_jpeg(key) + bytes(97 * key))
    settings = BuildSettings(plan=PlanSettings(num_shards=3, seed=1, validation_fraction=0.25), quiet=True)
    build_dataset(RecordSetSource(tmp_path / "set"), tmp_path / "out", settings=settings)
    return tmp_path / "out"


def test_every_image_stands_where_the_table_says(shards, read_faces):
    images = ShardFolderSource(shards).read()
    faces = [face for split in read_faces(shards).values() for shard in split for face in shard]
    with ImageReader(images.places) as reader:
        for row, face in enumerate(faces):
            assert reader.read(row) == face.image
            assert (images.keys[row], images.labels[row]) == (face.source_key, face.source_label)
    assert read_record_table(shards, len(faces))["label"].tolist() == [face.label for face in faces]


def test_places_can_be_taken_in_any_order(shards):
    places = ShardFolderSource(shards).read().places
    rows = np.array([7, 0, 11, 3])
    taken = places.take(rows)
    with ImageReader(places) as reader, ImageReader(taken) as other:
        assert [other.read(row) for row in range(4)] == [reader.read(row) for row in rows]
    assert [taken.path(row) for row in range(4)] == [places.path(row) for row in rows]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"x" * 1000])
def test_what_is_no_table_is_an_error(shards, content):
    (shards / RECORDS_FILE).write_bytes(content)
    with pytest.raises(ShardError, match=r"records\.npy"):
        read_record_table(shards, 12)


def test_any_damage_to_the_header_is_found_or_changes_nothing(shards):
    whole = (shards / RECORDS_FILE).read_bytes()
    table = read_record_table(shards, 12)
    rng = random.Random(11)
    for place in range(256):
        damaged = bytearray(whole)
        damaged[place % 128] ^= rng.randrange(1, 256)
        (shards / RECORDS_FILE).write_bytes(damaged)
        with suppress(ShardError):
            assert (read_record_table(shards, 12) == table).all()


def test_rows_can_be_read_without_the_others(shards):
    table = read_record_table(shards, 12)
    assert read_record_table(shards, 12, rows=slice(3, 7)).tolist() == table[3:7].tolist()
    assert len(read_record_table(shards, 12, rows=slice(0))) == 0
    with pytest.raises(ShardError, match="expected 11 rows"):
        read_record_table(shards, 11, rows=slice(0))


def test_a_table_of_another_kind_or_length_is_an_error(shards):
    with pytest.raises(ShardError, match="expected 13 rows"):
        read_record_table(shards, 13)
    np.save(shards / RECORDS_FILE, np.zeros(12))
    with pytest.raises(ShardError, match="expected 12 rows"):
        read_record_table(shards, 12)


def test_a_pickle_in_a_table_is_refused(shards):
    np.save(shards / RECORDS_FILE, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ShardError, match="cannot be read"):
        read_record_table(shards, 12)


@pytest.mark.parametrize(
    ("column", "value"), [("label", -1), ("label", 99), ("image_offset", -5), ("image_offset", 1 << 40)]
)
def test_a_table_that_names_what_is_not_there_is_refused_as_a_source(shards, column, value):
    table = np.load(shards / RECORDS_FILE)
    table[column][5] = value
    np.save(shards / RECORDS_FILE, table)
    with pytest.raises(SourceError, match="not there"):
        ShardFolderSource(shards).read()


def test_the_manifest_has_the_digest_of_the_table(shards):
    stated = json.loads((shards / "manifest.json").read_text())["record_table"]
    assert stated == {"file": RECORDS_FILE, "sha256": hashlib.sha256((shards / RECORDS_FILE).read_bytes()).hexdigest()}


def test_the_table_has_the_bytes_that_numpy_saves(shards):
    saved = io.BytesIO()
    np.save(saved, read_record_table(shards, 12))
    assert (shards / RECORDS_FILE).read_bytes() == saved.getvalue()


def test_a_table_that_is_not_finished_is_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), RecordTableWriter(tmp_path, 12):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == [f"{RECORDS_FILE}.incomplete"]


def test_a_table_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    with (
        pytest.raises(OutputError, match=r"gone/records\.npy.*cannot be written: No such file"),
        RecordTableWriter(tmp_path / "gone", 12),
    ):
        pass
