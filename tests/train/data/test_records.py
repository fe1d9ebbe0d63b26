"""Where records lie, and reading them: frames, checksums, open files, memory."""

import gc
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_train.data.records import reader as reader_module
from fr_train.data.records.frames import find_frames
from fr_train.data.records.memory import BatchMemory
from fr_train.data.records.reader import RecordReader
from fr_train.data.records.train_records import read_train_records
from fr_train.data.shard_set import read_shard_set
from fr_train.errors import ShardSetError

# Lengths at which a length of an Example takes one byte more, and around.
EDGES = st.sampled_from([1, 110, 127, 128, 16_200, 16_300, 16_383, 16_384, 2_097_000, 2_097_151]).flatmap(
    lambda edge: st.integers(max(1, edge - 120), edge + 20)
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(EDGES, st.integers(0, 1 << 40), st.integers(-3, 1 << 20), st.integers(0, 1 << 30)),
        min_size=1,
        max_size=9,
    )
)
def test_frames_are_found_whatever_the_lengths(records):
    from fr_data.tfrecord.example import measure_envelopes

    lengths, keys, source_labels, labels = (np.array(column, np.int64) for column in zip(*records, strict=True))
    heads, tails = measure_envelopes(lengths, {"label": labels, "source_key": keys, "source_label": source_labels})
    frame_lengths = 12 + heads + lengths + tails + 4
    starts = np.cumsum(frame_lengths) - frame_lengths
    found = find_frames(starts + 12 + heads, lengths, shard_bytes=int(frame_lengths.sum()))
    np.testing.assert_array_equal(found, starts)


def test_a_shard_without_records_has_no_frames():
    empty = np.zeros(0, np.int64)
    assert len(find_frames(empty, empty, shard_bytes=0)) == 0


def test_the_table_says_where_each_frame_and_each_image_lies(shards):
    records = read_train_records(read_shard_set(shards))
    assert records.first_rows.tolist() == [0, 20, 40, 60]
    assert records.find_shards(np.array([0, 19, 20, 59])).tolist() == [0, 0, 1, 2]
    for row, record in enumerate(records.table):
        content = records.files[row // 20].read_bytes()
        offset = record["frame_offset"]
        assert struct.unpack("<Q", content[offset : offset + 8])[0] + 16 == record["frame_length"]
        image = content[offset + record["image_place"] :][: record["image_length"]]
        assert (image[:2], image[-2:]) == (b"\xff\xd8", b"\xff\xd9")


def test_only_the_train_split_is_taken(tmp_path, shards):
    from fr_prep.plan.plan import PlanSettings
    from fr_prep.sources.open_source import open_source
    from fr_prep.write.build import BuildSettings, build_dataset

    plan = PlanSettings(num_shards=2, validation_fraction=0.4)
    build_dataset(open_source(shards), tmp_path / "split", settings=BuildSettings(plan=plan, quiet=True))
    shard_set = read_shard_set(tmp_path / "split")
    reader = RecordReader(read_train_records(shard_set))
    count = shard_set.num_images["train"]
    assert len(reader.records.table) == count < 60
    whole = RecordReader(read_train_records(read_shard_set(shards)))
    labels = {
        bytes(image): int(label)
        for image, label in zip(whole.read(np.arange(60)), whole.records.table["label"], strict=True)
    }
    for image, label in zip(reader.read(np.arange(count)), reader.records.table["label"], strict=True):
        assert labels.pop(bytes(image)) == label


def test_shards_above_the_limit_of_open_files_are_read_all_the_same(shards, monkeypatch):
    records = read_train_records(read_shard_set(shards))
    rows = np.array([3, 55, 21, 21, 40])
    expected = [bytes(image) for image in RecordReader(records).read(rows)]
    monkeypatch.setattr(reader_module, "MAX_OPEN_FILES", 1)
    limited = RecordReader(records)
    limited.announce(rows)
    assert [bytes(image) for image in limited.read(rows)] == expected


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux lists them")
def test_files_are_closed_when_the_reader_is_gone(shards):
    def count_open():
        return sum(link.resolve().is_relative_to(shards) for link in Path("/proc/self/fd").iterdir())

    gc.collect()
    before = count_open()
    reader = RecordReader(read_train_records(read_shard_set(shards)))
    assert count_open() == before + 3
    del reader
    gc.collect()
    assert count_open() == before


def test_a_shard_that_cannot_be_opened_is_named(shards):
    records = read_train_records(read_shard_set(shards))
    missing = type(records)(records.folder, (shards / "missing",), records.first_rows, records.table)
    with pytest.raises(ShardSetError, match="missing: cannot be opened: No such file"):
        RecordReader(missing)


def test_announcing_names_each_run_of_records_once(shards, monkeypatch):
    reader = RecordReader(read_train_records(read_shard_set(shards)))
    table, told = reader.records.table, []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda fd, offset, length, advice: told.append((fd, offset, length)), raising=False
    )
    reader.announce(np.array([4, 5, 6, 38, 39, 40, 41, 1]))
    descriptors = reader._descriptors
    expected = [(0, 4, 6), (1, 38, 39), (2, 40, 41), (0, 1, 1)]
    for (fd, offset, length), (shard, first, last) in zip(told, expected, strict=True):
        end = table["frame_offset"][last] + table["frame_length"][last]
        assert (fd, offset, length) == (
            descriptors[shard],
            table["frame_offset"][first],
            end - table["frame_offset"][first],
        )
    reader.announce(np.zeros(0, np.int64))
    assert len(told) == 4


def test_memory_is_lent_again_only_when_nobody_looks_at_it():
    memory = BatchMemory()
    first = memory.lend((4, 100))
    place, part = first.ctypes.data, first[1:3, ::2]
    assert place % 64 == 0
    assert (first.dtype, first.shape, first.flags.c_contiguous, first.flags.writeable) == (
        np.uint8,
        (4, 100),
        True,
        True,
    )
    del first
    assert memory.lend((4, 100)).ctypes.data != place
    del part
    assert place in {memory.lend((2, 50)).ctypes.data for _ in range(3)}


def test_a_tensor_that_shares_lent_memory_keeps_it():
    import tensorflow as tf

    memory = BatchMemory()
    lent = memory.lend((4, 100))
    lent[:] = 7
    place = lent.ctypes.data
    tensor = tf.experimental.dlpack.from_dlpack(lent.__dlpack__())
    del lent
    kept = [memory.lend((4, 100)) for _ in range(4)]
    assert place not in {array.ctypes.data for array in kept}
    assert (tensor.numpy() == 7).all()
    view = tensor + 0
    del tensor, view
    gc.collect()
    assert memory.lend((4, 100)).ctypes.data == place
