"""Tests of the TFRecord framing."""

from pathlib import Path

import crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_data.tfrecord.frames import (
    find_frames,
    find_header,
    iterate_records,
    mask_crcs,
    masked_crc32c,
    record_headers,
    sound_length,
)
from fr_prep.errors import ShardError


def make_frame(data: bytes) -> bytes:
    (header,) = record_headers(np.array([len(data)]))
    return header.tobytes() + data + masked_crc32c(data).to_bytes(4, "little")


def read_all(shard: bytes) -> list[tuple[int, bytes]]:
    return [(offset, bytes(data)) for offset, data in iterate_records(memoryview(shard), name="shard")]


def test_the_frame_of_a_small_record_is_golden() -> None:
    assert make_frame(b"hello").hex() == "0500000000000000" + "eab2043e" + "68656c6c6f" + "bb1f1c19"


@given(payloads=st.lists(st.binary(max_size=300), max_size=6))
@settings(max_examples=50, deadline=None)
def test_frames_are_the_bytes_that_tensorflow_writes(scratch: Path, payloads: list[bytes]) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(scratch)) as writer:
        for payload in payloads:
            writer.write(payload)
    shard = b"".join(map(make_frame, payloads))
    assert shard == scratch.read_bytes()
    assert [data for _, data in read_all(shard)] == payloads


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tfrecord") / "shard"


@given(lengths=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_the_table_gives_the_crc_of_every_length(lengths: list[int]) -> None:
    headers = record_headers(np.array(lengths, dtype=np.int64))
    for length, header in zip(lengths, headers, strict=True):
        first = length.to_bytes(8, "little")
        assert header.tobytes() == first + masked_crc32c(first).to_bytes(4, "little")


@given(data=st.binary(max_size=64))
@settings(max_examples=60, deadline=None)
def test_one_crc_is_masked_like_many(data: bytes) -> None:
    assert int(mask_crcs(np.array([crc32c.crc32c(data)], dtype=np.uint32))[0]) == masked_crc32c(data)


def test_the_crc_of_the_standard_s_example_is_right() -> None:
    # RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 0x8a9136aa.
    crc = 0x8A9136AA
    assert masked_crc32c(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def test_no_records_are_an_empty_shard() -> None:
    assert read_all(b"") == []
    assert record_headers(np.empty(0, dtype=np.int64)).shape == (0, 12)


def test_any_single_flipped_byte_is_found() -> None:
    shard = b"".join(map(make_frame, (b"first record", b"", b"the third one")))
    for position in range(len(shard)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(shard)
            damaged[position] ^= flip
            with pytest.raises(ShardError, match=r"record [012] at byte \d+"):
                read_all(bytes(damaged))


def test_a_shard_cut_short_inside_a_record_is_found() -> None:
    frames = [make_frame(b"first record"), make_frame(b"the second one")]
    shard = b"".join(frames)
    for length in range(1, len(shard)):
        if length == len(frames[0]):
            continue  # whole records are left: only the manifest knows how many there should be
        with pytest.raises(ShardError, match="cut short"):
            read_all(shard[:length])


def test_the_error_names_number_and_offset_of_the_record() -> None:
    shard = bytearray(make_frame(b"a") + make_frame(b"b") + make_frame(b"c"))
    shard[2 * 17 + 12] ^= 1
    with pytest.raises(ShardError, match="shard: record 2 at byte 34: the CRC of its data is wrong"):
        read_all(bytes(shard))


def test_a_length_near_two_to_the_64_is_no_overflow() -> None:
    length = (2**64 - 1).to_bytes(8, "little")
    with pytest.raises(ShardError, match="18446744073709551615 bytes"):
        read_all(length + masked_crc32c(length).to_bytes(4, "little") + b"data")


@given(payloads=st.lists(st.binary(max_size=300), max_size=6), rest=st.binary(max_size=11))
@settings(max_examples=60, deadline=None)
def test_all_frames_are_found_up_to_what_is_none(payloads: list[bytes], rest: bytes) -> None:
    shard = b"".join(map(make_frame, payloads)) + rest
    frames = find_frames(np.frombuffer(shard, dtype=np.uint8))
    assert [shard[start:end] for start, end in zip(frames.starts, frames.ends, strict=True)] == payloads
    assert frames.sound.all()
    assert frames.end == len(shard) - len(rest)


def test_frames_with_damaged_data_are_told_apart_and_those_behind_a_damaged_length_are_none() -> None:
    shard = bytearray(b"".join(map(make_frame, (b"a", b"b", b"c", b"d"))))
    shard[17 + 12] ^= 1
    shard[2 * 17 + 3] ^= 1
    frames = find_frames(np.frombuffer(bytes(shard), dtype=np.uint8))
    assert (frames.starts.tolist(), frames.sound.tolist(), frames.end) == ([12, 29], [True, False], 34)


def test_a_header_is_found_anywhere_also_across_the_steps_of_the_search() -> None:
    header = make_frame(b"x" * 300)[:12]
    for place in (0, 1, 50, 65_524, 65_525, 65_530, 65_535, 65_536, 65_537, 131_071, 140_000):
        data = np.zeros(140_012, dtype=np.uint8)
        data[place : place + 12] = np.frombuffer(header, dtype=np.uint8)
        assert find_header(data, 0) == place
        assert find_header(data, place) == place
        assert find_header(data, place + 1) is None
        assert sound_length(data, place) == 300


def test_nothing_is_found_in_random_bytes() -> None:
    data = np.random.default_rng(4).integers(0, 256, 200_000, dtype=np.uint8)
    data[::3] = 0
    assert find_header(data, 0) is None
    assert [sound_length(data[:length], 0) for length in (0, 11, 12)] == [None] * 3
