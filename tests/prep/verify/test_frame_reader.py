"""Reading a file of frames a block at a time, sound and damaged."""

import hashlib
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_data.tfrecord.frames import WRONG_DATA, WRONG_LENGTH, masked_crc32c, record_headers
from fr_prep.verify import frame_reader
from fr_prep.verify.frame_reader import FrameReader

Found = tuple[list[tuple[int, int, bytes]], list[tuple[int, int, str]], FrameReader]


def make_frame(data: bytes) -> bytes:
    (header,) = record_headers(np.array([len(data)]))
    return header.tobytes() + data + masked_crc32c(data).to_bytes(4, "little")


def read(path: Path, content: bytes, *, block_bytes: int = 4 << 20) -> Found:
    """(number, offset of the frame, data) of each sound record; (number, offset, problem) of each damaged one; the reader."""
    path.write_bytes(content)
    records = []
    with pytest.MonkeyPatch.context() as patch, path.open("rb", buffering=0) as file:
        patch.setattr(frame_reader, "BLOCK_BYTES", block_bytes)
        reader = FrameReader(file)
        for block in reader:
            frames = block.frames
            for row in np.flatnonzero(frames.sound).tolist():
                start, end = int(frames.starts[row]), int(frames.ends[row])
                records.append((block.first_number + row, block.offset + start - 12, block.data[start:end].tobytes()))
    damages = [(damage.number, damage.offset, damage.problem) for damage in reader.damages]
    assert (reader.num_bytes, reader.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    return records, damages, reader


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames") / "shard"


@given(payloads=st.lists(st.binary(max_size=60), max_size=8), block_bytes=st.integers(12, 200))
@settings(max_examples=100, deadline=None)
def test_whatever_the_blocks_all_records_are_read_once(path: Path, payloads: list[bytes], block_bytes: int) -> None:
    frames = [make_frame(payload) for payload in payloads]
    offsets = np.cumsum([0, *map(len, frames)]).tolist()
    records, damages, reader = read(path, b"".join(frames), block_bytes=block_bytes)
    assert records == list(zip(range(len(payloads)), offsets, payloads, strict=False))
    assert (damages, reader.num_frames, reader.lost) == ([], len(payloads), False)


@pytest.mark.parametrize("block_bytes", [12, 33, 4 << 20])
def test_a_flipped_byte_costs_its_own_record_alone(path: Path, block_bytes: int) -> None:
    payloads = [b"first record", b"the second one", b"third", b"the last record"]
    frames = [make_frame(payload) for payload in payloads]
    offsets = np.cumsum([0, *map(len, frames)]).tolist()
    for number, frame in enumerate(frames):
        for place in range(len(frame)):
            damaged = bytearray(b"".join(frames))
            damaged[offsets[number] + place] ^= 1 << place % 8
            records, damages, reader = read(path, bytes(damaged), block_bytes=block_bytes)
            problem = WRONG_LENGTH if place < 12 else WRONG_DATA
            assert damages == [(number, offsets[number], problem)]
            assert [record[0] for record in records] == [other for other in range(4) if other != number]
            assert all(payloads[found] == data for found, _, data in records)
            assert (reader.num_frames, reader.lost) == (4, place < 12)


def test_what_is_cut_short_is_named_by_where_it_starts(path: Path) -> None:
    first, second = make_frame(b"first record"), make_frame(b"the second one")
    for length in range(1, len(second)):
        for block_bytes in (16, 4 << 20):
            records, damages, reader = read(path, first + second[:length], block_bytes=block_bytes)
            assert [data for _, _, data in records] == [b"first record"]
            ((number, offset, problem),) = damages
            assert (number, offset, reader.lost) == (1, len(first), True)
            assert problem.endswith("it was cut short")


def test_junk_between_records_is_one_damage(path: Path) -> None:
    junk = random.Random(1).randbytes(200)
    content = make_frame(b"first") + junk + make_frame(b"second") + make_frame(b"third")
    for block_bytes in (13, 100, 4 << 20):
        records, damages, _ = read(path, content, block_bytes=block_bytes)
        assert [data for _, _, data in records] == [b"first", b"second", b"third"]
        assert damages == [(1, len(make_frame(b"first")), WRONG_LENGTH)]


def test_a_length_that_asks_for_all_memory_is_refused_and_passed_over(path: Path) -> None:
    for length in ((1 << 30) + 1, 1 << 62, (1 << 64) - 1):
        header = struct.pack("<Q", length)
        content = header + masked_crc32c(header).to_bytes(4, "little") + b"data" + make_frame(b"next")
        records, damages, _ = read(path, content)
        assert damages == [(0, 0, f"expected at most 1073741824 bytes of data, received {length}")]
        assert records == [(1, 16, b"next")]


def test_a_record_larger_than_a_block_is_read(path: Path) -> None:
    payload = random.Random(2).randbytes(5000)
    records, damages, _ = read(path, make_frame(b"a") + make_frame(payload) + make_frame(b"b"), block_bytes=64)
    assert [data for _, _, data in records] == [b"a", payload, b"b"]
    assert damages == []


def test_any_damage_ends_and_loses_no_record_that_it_did_not_touch(path: Path) -> None:
    rng = random.Random(3)
    payloads = [rng.randbytes(rng.randrange(1, 80)) for _ in range(20)]
    frames = [make_frame(payload) for payload in payloads]
    offsets = np.cumsum([0, *map(len, frames)]).tolist()
    for _ in range(150):
        damaged = bytearray(b"".join(frames))
        touched = set()
        for _ in range(rng.randrange(1, 6)):
            place = rng.randrange(len(damaged))
            damaged[place] ^= rng.randrange(1, 256)
            touched.add(int(np.searchsorted(offsets, place, side="right")) - 1)
        changed = {number for number in touched if damaged[offsets[number] : offsets[number + 1]] != frames[number]}
        records, damages, _ = read(path, bytes(damaged), block_bytes=rng.choice([64, 300, 4 << 20]))
        assert [data for _, _, data in records] == [
            payload for number, payload in enumerate(payloads) if number not in changed
        ]
        assert bool(damages) == bool(changed)
